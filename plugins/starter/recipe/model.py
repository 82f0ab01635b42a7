"""The starter's decoder: which model is trained, and how its weights are stored for cm3leon/decoder.

Run as a script it stores the averaged weights of the newest checkpoint, which training does at its end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from calumma.extension import Catalog
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.model import Transformer
from calumma_plugins.cm3leon.weights import save_weights
from fetch import WORK
from loop import load

# A wider start than the paper's 0.006 and 0.0002: at 256 wide those leave the first minutes without a signal.
CONFIG = ModelConfig(
    layers=8, width=256, heads=4, context=384, text_size=4096, codebook_size=1024, init_std=0.02, position_std=0.01
)
vocabulary = CONFIG.vocabulary


def export(model: Transformer, work: Path) -> None:
    """`decoder.safetensors` in bfloat16, with the fingerprints of both tokenizers it was trained on."""
    catalog = Catalog()
    text = catalog.build("text_tokenizer", "tokenizers/bpe", {"file": str(work / "bpe.json")})
    image = catalog.build("image_tokenizer", "taming/vqgan", {"weights": str(work / "tokenizer.safetensors")})
    fingerprints = {"text_tokenizer": text.fingerprint(), "image_tokenizer": image.fingerprint()}
    save_weights(work / "decoder.safetensors", model, CONFIG, fingerprints, dtype="bfloat16")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=WORK)
    work = parser.parse_args().work
    state = load(work / "decoder.ckpt")
    if state is None:
        raise SystemExit(f"there is no checkpoint {work / 'decoder.ckpt'}")
    model = Transformer(CONFIG)
    model.load_state_dict(state["average"])
    export(model, work)
    print(f"{work / 'decoder.safetensors'}: step {state['step']}, {state['elapsed'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
