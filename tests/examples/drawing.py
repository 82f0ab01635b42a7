"""Run in an environment that has the examples: draws with the starter by another retriever, and by another tokenizer."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import calumma


def facts(result: calumma.Result) -> dict[str, object]:
    """What two runs are compared by."""
    return {
        "retrieved": [(one.document.id, one.score) for one in result.retrieved],
        "pictures": [hashlib.sha256(image.tobytes()).hexdigest() for image in result.images],
        "sizes": [image.size for image in result.images],
        "tokens": [ids.tolist() for ids in result.tokens],
        "components": {slot: part["id"] for slot, part in result.record["components"].items()},
    }


def main(folder: Path, prompt: str) -> None:
    """Draws by each pipeline and prints the facts by name."""
    drawn = {}
    for name, registry, pipeline in (
        ("exact", None, "exact"),
        ("usearch", folder / "usearch.yaml", "usearch"),
        ("fsq", folder / "fsq.yaml", "fsq"),
    ):
        loaded = calumma.load(registry, pipeline=pipeline, device="cpu")
        drawn[name] = facts(loaded.generate(prompt, n=1 if name != "fsq" else 2, seed=1))
    print(json.dumps(drawn))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
