"""Files of weights are data too: no option that takes one runs its code, or asks for memory that the file does not fill."""

from __future__ import annotations

import json
import pickle
import resource
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from calumma.errors import AssetError, CalummaError
from calumma.extension import Catalog, checkpoints

from .conftest import Canary, Refused, sentence
from .weights import PICKLES, SAFETENSORS, plain_pickle, torch_zip

SLOTS = {
    "image_tokenizer": ("taming/vqgan", "weights", "tokenizer.safetensors"),
    "embedder": ("openclip/clip", "weights", "clip.safetensors"),
    "decoder": ("cm3leon/decoder", "weights", "decoder.safetensors"),
    "text_tokenizer": ("tokenizers/bpe", "file", "bpe.json"),
}
VQGAN: dict[str, Any] = {
    "embed_dim": 8,
    "n_embed": 24,
    "ddconfig": {
        "double_z": False, "z_channels": 8, "resolution": 16, "in_channels": 3, "out_ch": 3, "ch": 32,
        "ch_mult": [1, 1, 1], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
    },
}  # fmt: skip
CLIP: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "layers": 1, "width": 32, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    },
    "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bilinear", "resize_mode": "squash"},
}


@pytest.fixture(autouse=True)
def little_memory() -> Any:
    """The process does not grow: what a file claims is never allocated."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    yield
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 700_000, f"{grown} kB more than before."


def use(slot: str, path: Path, **options: object) -> None:
    """Builds the component that reads the file, and makes it read it."""
    id, option, _ = SLOTS[slot]
    Catalog().build(slot, id, {option: str(path), **options}).warm_up()


def refusal(slot: str, path: Path, **options: object) -> str:
    with pytest.raises(CalummaError) as error:
        use(slot, path, **options)
    said = sentence(error.value)
    assert path.name in said
    return said


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "vqgan.yaml"
    path.write_text(json.dumps({"model": {"params": VQGAN}}))
    return path


def test_the_canary_would_have_sung(tmp_path: Path, canary: Canary) -> None:
    plain_pickle(tmp_path / "x.pt", canary)
    pickle.loads((tmp_path / "x.pt").read_bytes())
    assert canary.path.exists()
    canary.path.unlink()
    torch_zip(tmp_path / "y.pt", canary)
    torch.load(tmp_path / "y.pt", weights_only=False)
    assert canary.path.exists()
    canary.path.unlink()


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".pth", ".bin", ".safetensors", ""])
@pytest.mark.parametrize("what", PICKLES)
def test_no_checkpoint_of_a_vqgan_runs_code(what: str, suffix: str, tmp_path: Path, config: Path, canary: Canary) -> None:
    path = tmp_path / f"hostile{suffix}"
    PICKLES[what](path, canary)
    refusal("image_tokenizer", path, config=str(config))


@pytest.mark.parametrize("slot", ["decoder", "text_tokenizer"])
@pytest.mark.parametrize("what", PICKLES)
def test_no_pickle_is_read_where_none_belongs(what: str, slot: str, tmp_path: Path, canary: Canary) -> None:
    path = tmp_path / "hostile.pt"
    PICKLES[what](path, canary)
    refusal(slot, path)


@pytest.mark.parametrize("suffix", [".pt", ".npz", ".npy", ".safetensors", ".json"])
@pytest.mark.parametrize("what", ["plain pickle", "torch zip", "numpy zip of objects", "compressed zip"])
def test_no_checkpoint_of_a_clip_runs_code(
    what: str, suffix: str, tmp_path: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = tmp_path / "ViT-S-32-alt.json"
    small.write_text(json.dumps(CLIP["model_cfg"]))
    import open_clip

    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    open_clip.add_model_config(small)
    path = tmp_path / f"hostile{suffix}"
    PICKLES[what](path, canary)
    refusal("embedder", path, model="ViT-S-32-alt")


@pytest.mark.parametrize("slot", ["image_tokenizer", "embedder", "decoder"])
@pytest.mark.parametrize("what", SAFETENSORS)
def test_a_safetensors_file_that_lies_is_refused(what: str, slot: str, tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(SAFETENSORS[what])
    refusal(slot, path)


def changed(base: dict[str, Any], *path: str, value: object) -> dict[str, Any]:
    """A copy with the value at a path of keys."""
    copy = json.loads(json.dumps(base))
    *steps, last = path
    inner = copy
    for step in steps:
        inner = inner[step]
    inner[last] = value
    return copy


def rewritten(tiny: Path, slot: str, config: object, to: Path) -> Path:
    """The tiny weights under another config; what is no text is written as JSON."""
    source = tiny.parent / SLOTS[slot][2]
    save_file(load_file(source), to, {"config": config if isinstance(config, str) else json.dumps(config)})
    return to


CONFIGS: list[tuple[str, tuple[str, ...], object]] = [
    ("image_tokenizer", ("n_embed",), 10**9),
    ("image_tokenizer", ("n_embed",), 1 << 24),
    ("image_tokenizer", ("embed_dim",), 65_536),
    ("image_tokenizer", ("ddconfig", "num_res_blocks"), 10**9),
    ("image_tokenizer", ("ddconfig", "num_res_blocks"), 64),
    ("image_tokenizer", ("ddconfig", "ch_mult"), [1] * 100_000),
    ("image_tokenizer", ("ddconfig", "ch_mult"), [1024] * 3),
    ("image_tokenizer", ("ddconfig", "ch"), 32 * 2**40),
    ("image_tokenizer", ("ddconfig", "resolution"), 10**12),
    ("image_tokenizer", ("ddconfig", "attn_resolutions"), [[[[]]]]),
    ("image_tokenizer", ("ddconfig",), "x"),
    ("decoder", ("layers",), 10**9),
    ("decoder", ("layers",), 256),
    ("decoder", ("width",), 65_536),
    ("decoder", ("width",), 10**9),
    ("decoder", ("context",), 1 << 20),
    ("decoder", ("codebook_size",), 1 << 24),
    ("decoder", ("codebook_size",), 10**9),
    ("decoder", ("heads",), -1),
    ("decoder", ("fingerprints",), []),
    ("embedder", ("model_cfg", "vision_cfg", "layers"), 10**9),
    ("embedder", ("model_cfg", "vision_cfg", "layers"), 256),
    ("embedder", ("model_cfg", "vision_cfg", "width"), 65_536),
    ("embedder", ("model_cfg", "text_cfg", "vocab_size"), 1 << 24),
    ("embedder", ("model_cfg", "embed_dim"), 10**9),
    ("embedder", ("model_cfg", "vision_cfg", "image_size"), 10**9),
    ("embedder", ("model_cfg", "text_cfg", "hf_tokenizer_name"), "./evil"),
    ("embedder", ("model_cfg", "text_cfg", "tokenizer_kwargs"), {"trust_remote_code": True}),
    ("embedder", ("model_cfg", "text_cfg", "hf_model_name"), "./evil"),
    ("embedder", ("model_cfg", "vision_cfg", "timm_model_name"), "local-dir:./evil"),
    ("embedder", ("model_cfg", "multimodal_cfg"), {}),
    ("embedder", ("preprocess_cfg", "interpolation"), "__import__"),
    ("embedder", ("preprocess_cfg", "std"), [0, 0, 0]),
]


@pytest.mark.parametrize(("slot", "path", "value"), CONFIGS, ids=lambda one: str(one)[:40])
def test_a_header_that_claims_what_the_file_does_not_hold_is_refused(
    slot: str, path: tuple[str, ...], value: object, tiny: Path, tmp_path: Path
) -> None:
    if slot == "decoder":
        with safe_open(tiny.parent / "decoder.safetensors", "numpy") as file:
            base = json.loads(file.metadata()["config"])
    else:
        base = VQGAN if slot == "image_tokenizer" else CLIP
    assert refusal(slot, rewritten(tiny, slot, changed(base, *path, value=value), tmp_path / "x.safetensors"))


@pytest.mark.parametrize("slot", ["image_tokenizer", "embedder", "decoder"])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000, "null", "[]", "", '{"config": 1}', "NaN"])
def test_a_config_that_is_none_is_refused(slot: str, text: str, tiny: Path, tmp_path: Path) -> None:
    refusal(slot, rewritten(tiny, slot, text, tmp_path / "x.safetensors"))


YAML = {
    "an object": "model: {{params: !!python/object/apply:os.system ['{command}']}}",
    "a name": "model: {{params: !!python/name:os.system ''}}",
    "laughs": "a: &a [x, x]\nmodel: {{params: [*a, *a]}}",
    "merges": "a: &a {{x: 1}}\nmodel: {{params: {{<<: [*a, *a]}}}}",
    "a hundred thousand levels": "[" * 100_000,
    "a long number": "model: {{params: {{n_embed: " + "9" * 10_000 + "}}}}",
    "a target to import": "model: {{target: os.system, params: {{ddconfig: {{target: os.system}}}}}}",
    "two megabytes": "#" * 2**21,
    "a list": "model: []",
    "another encoding": "\ud800",
}


@pytest.mark.parametrize("what", YAML)
def test_the_yaml_of_a_vqgan_is_data(what: str, tiny: Path, tmp_path: Path, canary: Canary) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(YAML[what].format(command=canary.command), encoding="utf-8", errors="surrogatepass")
    with pytest.raises(AssetError) as error:
        use("image_tokenizer", tiny.parent / "tokenizer.safetensors", config=str(path))
    assert path.name in sentence(error.value)


def bpe(tiny: Path) -> dict[str, Any]:
    return dict(json.loads((tiny.parent / "bpe.json").read_text()))


def nested(depth: int) -> object:
    inner: object = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    for _ in range(depth):
        inner = {"type": "Sequence", "pretokenizers": [inner]}
    return inner


def test_a_tokenizer_file_of_any_shape_is_refused_with_a_sentence(tiny: Path, tmp_path: Path) -> None:
    good, path = bpe(tiny), tmp_path / "hostile.json"
    vocabulary = good["model"]["vocab"]
    texts = [
        "[" * 1_000_000,
        '{"model":' * 100_000,
        json.dumps(changed(good, "pre_tokenizer", value=nested(200))),
        json.dumps(changed(good, "model", "vocab", value={})),
        json.dumps(changed(good, "model", "vocab", value=dict.fromkeys(vocabulary, 2 ** 32 - 1))),
        json.dumps(changed(good, "model", "vocab", value=dict.fromkeys(vocabulary, -1))),
        json.dumps(changed(good, "model", "merges", value=[["nowhere", "to be found"]])),
        json.dumps(changed(good, "model", "merges", value=[["a"]])),
        json.dumps(changed(good, "model", "type", value="Python")),
        json.dumps(changed(good, "model", "dropout", value=0.5)),
        json.dumps(changed(good, "pre_tokenizer", value={"type": "Custom", "module": "os"})),
        json.dumps(changed(good, "model", value=None)),
        "null", "[]", "", "\0", '"\\ud800"',
    ]  # fmt: skip
    for text in texts:
        path.write_text(text)
        refusal("text_tokenizer", path)


def test_a_file_larger_than_any_tokenizer_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "hostile.json").open("wb") as file:
        file.truncate(2**40)
    refusal("text_tokenizer", tmp_path / "hostile.json")


def test_before_torch_2_10_no_pickle_is_read(
    tmp_path: Path, config: Path, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "x.ckpt")
    checkpoints.check_checkpoint(tmp_path / "x.ckpt")
    for version in ("2.4.0", "2.9.1+cu128"):
        monkeypatch.setattr(torch, "__version__", version)
        assert "Update torch" in refusal("image_tokenizer", tmp_path / "x.ckpt", config=str(config))


def test_bytes_changed_anywhere_in_a_checkpoint_give_a_sentence(tiny: Path, tmp_path: Path, config: Path) -> None:
    state = load_file(tiny.parent / "tokenizer.safetensors")
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": state}, path)
    good = path.read_bytes()
    start = good.find(b"data.pkl")
    draw = torch.Generator().manual_seed(0)
    for _ in range(25):
        content = bytearray(good)
        for place in torch.randint(start, start + 3000, (3,), generator=draw).tolist():
            content[place] = int(torch.randint(256, (1,), generator=draw))
        path.write_bytes(content)
        try:
            use("image_tokenizer", path, config=str(config))
        except CalummaError as error:
            said = sentence(error)
            assert "x.ckpt" in said


def test_the_verbs_refuse_hostile_weights(tiny: Path, tmp_path: Path, canary: Canary, config: Path, refused: Refused) -> None:
    draw = ("generate", "a red disc", "--registry", tiny, "--out", "out")
    torch_zip(tmp_path / "hostile.ckpt", canary)
    (tmp_path / "hostile.safetensors").write_bytes(SAFETENSORS["tensors that overlap"])
    swaps = ("--set", f"image_tokenizer.weights={tmp_path / 'hostile.ckpt'}", "--set", f"image_tokenizer.config={config}")
    assert "image_tokenizer" in refused(*draw, *swaps)  # its fingerprint tells before it is opened
    for slot in ("image_tokenizer", "embedder", "decoder"):
        assert "hostile.safetensors" in refused(*draw, "--set", f"{slot}.weights={tmp_path / 'hostile.safetensors'}")
    assert "hostile.ckpt" in refused(*draw, "--set", f"text_tokenizer.file={tmp_path / 'hostile.ckpt'}")
