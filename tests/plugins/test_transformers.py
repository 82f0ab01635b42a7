"""transformers/chameleon: the logits of transformers' own modules, however a row is reached, and codes among them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from calumma.documents import CM3LeonLayout
from calumma.errors import MismatchError
from calumma.interfaces import Packed
from calumma_plugins.transformers.layout import ChameleonLayout

from .chameleons import (
    assert_same,
    decoder,
    image_tokenizer,
    logits_of,
    published_names,
    rows,
    save,
    text_tokenizer,
)

pytestmark = pytest.mark.usefixtures("one_thread")
KINDS: dict[str, dict[str, Any]] = {
    "grouped keys": {},
    "a key for each head": {"num_key_value_heads": 4},
    "Swin norms, as the 30B": {"swin_norm": True, "num_key_value_heads": 4},
    "one matrix for input and output": {"tie_word_embeddings": True},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "other rotations": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "stretched rotations": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10_000.0, "factor": 2.0}},
}


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_transformers_modules(tmp_path: Path, kind: str) -> None:
    model = save(tmp_path, **KINDS[kind])
    (row,) = rows(model.vocab_size, 24)
    wanted = logits_of(model, row)
    ours = decoder(tmp_path)
    assert_same(ours.start([row], 32).logits[0], wanted[-1])
    state = ours.start([row[:1]], 32)
    for at in range(1, len(row)):
        assert_same(ours.append(state, torch.from_numpy(row[None, at : at + 1]), torch.tensor([1]))[0, 0], wanted[at])


def test_codes_can_be_drawn(tmp_path: Path) -> None:
    """transformers' forward gives all codes the lowest number; ours must not, or no picture could come of it."""
    model = save(tmp_path)
    (row,) = rows(model.vocab_size, 9)
    codes = model.model.vocabulary_mapping.image_tokens
    with torch.no_grad():
        hidden = model(torch.from_numpy(row)[None]).logits[0, -1, codes]
    assert bool((hidden == torch.finfo(torch.float32).min).all())
    ours = decoder(tmp_path).start([row], 16).logits[0]
    assert_same(ours[codes], logits_of(model, row)[-1, codes])


def test_prompts_of_unequal_length_are_each_as_if_alone(tmp_path: Path) -> None:
    model = save(tmp_path)
    ours = decoder(tmp_path)
    prompts, more = rows(model.vocab_size, 5, 17, 1, 9), rows(model.vocab_size, 6, 6, 6, 6, seed=1)
    state = ours.start(prompts, 32)
    for row, prompt in enumerate(prompts):
        assert_same(state.logits[row], logits_of(model, prompt)[-1])
    logits = ours.append(state, torch.from_numpy(np.stack(more)), torch.tensor([6, 3, 0, 1]))
    for row, (prompt, new, count) in enumerate(zip(prompts, more, (6, 3, 0, 1), strict=True)):
        wanted = logits_of(model, np.append(prompt, new[:count]))
        assert_same(state.logits[row], wanted[-1])
        if count:
            assert_same(logits[row, :count], wanted[-count:])


def test_training_gives_the_logits_of_each_sample_alone(tmp_path: Path) -> None:
    model = save(tmp_path)
    one, other = rows(model.vocab_size, 7, 5)
    ids = torch.from_numpy(np.concatenate([one, other, np.zeros(4, np.int64)]))[None]
    positions = torch.tensor([[*range(7), *range(5), *range(4)]])
    sample = torch.tensor([[0] * 7 + [1] * 5 + [-1] * 4])
    logits = decoder(tmp_path).train_forward(Packed(ids, positions, sample))
    assert_same(logits[0, :7].detach(), logits_of(model, one))
    assert_same(logits[0, 7:12].detach(), logits_of(model, other))
    logits.sum().backward()


def test_the_precision_is_the_one_asked_for_and_rotations_stay_exact(tmp_path: Path) -> None:
    model = save(tmp_path)
    (row,) = rows(model.vocab_size, 40)
    ours = decoder(tmp_path)
    ours.warm_up(dtype="bfloat16")
    assert {one.dtype for one in ours.model.parameters()} == {torch.bfloat16}
    assert ours.model.body.rotary_emb.inv_freq.dtype == torch.float32
    rough = ours.start([row], 64).logits[0]
    assert rough.dtype == torch.float32
    half = type(model).from_pretrained(tmp_path, dtype=torch.bfloat16).eval()
    assert_same(rough, logits_of(half, row)[-1], share=0.02)
    ours.warm_up()
    assert_same(ours.start([row], 64).logits[0], logits_of(model, row)[-1])


def test_sharded_weights_are_read_through_their_index(tmp_path: Path) -> None:
    model = save(tmp_path / "sharded", shards="60KB")
    save(tmp_path / "whole")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    (row,) = rows(model.vocab_size, 12)
    sharded, whole = decoder(tmp_path / "sharded"), decoder(tmp_path / "whole")
    assert_same(sharded.start([row], 16).logits, whole.start([row], 16).logits)
    tokenizers = image_tokenizer(tmp_path / "sharded"), image_tokenizer(tmp_path / "whole")
    assert tokenizers[0].fingerprint() == tokenizers[1].fingerprint()
    assert sharded.fingerprint() != whole.fingerprint()


def test_a_layout_needs_no_weights_and_takes_the_folders_own_tokenizers(tmp_path: Path) -> None:
    save(tmp_path)
    ours = decoder(tmp_path)
    layout = ours.layout(text_tokenizer(tmp_path), image_tokenizer(tmp_path))
    assert isinstance(layout, ChameleonLayout)
    assert not isinstance(layout, CM3LeonLayout)
    assert (ours.context, layout.vocabulary_size, layout.grid) == (192, 328, (4, 4))
    assert ours._model is None


def test_tokenizers_of_another_model_are_refused(tmp_path: Path) -> None:
    save(tmp_path / "one")
    save(tmp_path / "other", seed=1)
    ours = decoder(tmp_path / "one")
    with pytest.raises(MismatchError, match="image_tokenizer is of another model") as caught:
        ours.layout(text_tokenizer(tmp_path / "one"), image_tokenizer(tmp_path / "other"))
    assert "same folder" in caught.value.fix
    path = tmp_path / "other" / "tokenizer.json"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(MismatchError, match="text_tokenizer is of another model"):
        ours.layout(text_tokenizer(tmp_path / "other"), image_tokenizer(tmp_path / "one"))


def test_codes_of_the_same_image_tokenizer_are_the_same_codes(tmp_path: Path) -> None:
    """Chameleon and Anole share it; what one has encoded the other can read."""
    save(tmp_path / "chameleon")
    model = save(tmp_path / "anole")
    with torch.no_grad():
        model.lm_head.weight.add_(1)
    model.save_pretrained(tmp_path / "anole")
    chameleon, anole = image_tokenizer(tmp_path / "chameleon"), image_tokenizer(tmp_path / "anole")
    assert chameleon.fingerprint() == anole.fingerprint()
    assert decoder(tmp_path / "chameleon").fingerprint() != decoder(tmp_path / "anole").fingerprint()
    decoder(tmp_path / "anole").layout(text_tokenizer(tmp_path / "anole"), chameleon)


def test_what_does_not_matter_changes_no_fingerprint(tmp_path: Path) -> None:
    """Downloads leave notes of their own beside a model."""
    save(tmp_path)
    before = decoder(tmp_path).fingerprint(), image_tokenizer(tmp_path).fingerprint(), text_tokenizer(tmp_path).fingerprint()
    (tmp_path / ".cache").mkdir()
    (tmp_path / ".cache" / "note").write_text("fetched today")
    (tmp_path / "README.md").write_text("a model")
    after = decoder(tmp_path).fingerprint(), image_tokenizer(tmp_path).fingerprint(), text_tokenizer(tmp_path).fingerprint()
    assert before == after
    assert [name for name, _ in decoder(tmp_path).assets()] == ["model/config.json", "model/model.safetensors"]


def test_a_vocabulary_in_the_published_order_is_read_by_its_names(tmp_path: Path) -> None:
    from calumma_plugins.transformers.example import vocabulary

    names = published_names(vocabulary())
    model = save(tmp_path, vocabulary_map=names, vocab_size=len(names))
    ours = decoder(tmp_path)
    v = ours.folder.config.vocabulary
    assert v.code_ids.tolist() == [model.model.vocabulary_mapping.img2bpe[code] for code in range(64)]
    assert sorted(v.code_ids.tolist()) == model.model.vocabulary_mapping.image_tokens
    assert (v.begin_image, v.end_image) == (names["<racm3:break>"], names["<eoss>"])
    assert v.text_size == len(names)
    assert not v.is_text(np.array([v.bos, v.eos, v.begin_image, v.end_image, *v.code_ids])).any()


@pytest.mark.parametrize("kind", ["grouped keys", "one matrix for input and output", "biases"])
def test_what_it_takes_is_known_without_loading_it(tmp_path: Path, kind: str) -> None:
    model = save(tmp_path, **KINDS[kind])
    ours = decoder(tmp_path)
    told, half = ours.footprint(), ours.footprint("bfloat16")
    assert ours._model is None
    assert told.parameters == sum(one.numel() for name, one in model.named_parameters() if "vqmodel" not in name)
    assert (told.weight_bytes, half.weight_bytes) == (4 * told.parameters, 2 * told.parameters)
    cache = ours.start([np.arange(4)], 9).cache
    assert cache.capacity == 64
    assert told.cache_bytes * (cache.capacity + 1) == 4 * (cache.slots.numel() + cache.hidden.numel())
    matrices = [m for name, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "vqmodel" not in name]
    assert told.flops == 2 * sum(m.weight.numel() for m in matrices)


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    save(tmp_path, tie_word_embeddings=True)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert "lm_head.weight" not in file.keys()  # noqa: SIM118
    ours = decoder(tmp_path)
    ours.warm_up(dtype="bfloat16")
    assert torch.equal(ours.model.output.weight, ours.model.body.embed_tokens.weight)
