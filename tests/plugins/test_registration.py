"""What our plugins say of themselves is true, and saying it imports nothing heavy."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from calumma import interfaces
from calumma.extension import ComponentSpec

PLUGINS = (
    "taming",
    "tokenizers",
    "openclip",
    "exact",
    "faiss",
    "hnswlib",
    "none",
    "selection",
    "lance",
    "milvus",
    "bm25",
    "fusion",
    "transformers",
)
KINDS = {
    "image_tokenizer": interfaces.ImageTokenizer,
    "text_tokenizer": interfaces.TextTokenizer,
    "embedder": interfaces.Embedder,
    "retriever": interfaces.Retriever,
    "selection": interfaces.Selection,
    "decoder": interfaces.Decoder,
}


def specs(plugin: str) -> list[ComponentSpec]:
    return list(importlib.import_module(f"calumma_plugins.{plugin}").calumma_components())


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_spec_tells_the_truth_of_its_component(plugin: str) -> None:
    for spec in specs(plugin):
        kind, options = (
            (getattr(importlib.import_module(m), n)) for m, n in (t.split(":") for t in (spec.target, spec.options))
        )
        assert spec.name.startswith(f"{plugin}/")
        assert issubclass(kind, KINDS[spec.kind])
        assert kind.Options is options
        assert set(spec.assets) == {n for n, field in options.model_fields.items() if "Asset" in str(field.annotation)}
        assert bool(spec.requires) == (spec.install not in ("", "calumma"))
        for module in spec.requires:
            importlib.import_module(module)
        if spec.kind == "retriever":
            assert {name for name in spec.capabilities if name != "exact"} == {str(one) for one in kind.capabilities}
        for name, field in options.model_fields.items():
            assert field.description, f"{spec.name}: {name} has no description"


def test_listing_them_imports_no_engine() -> None:
    heavy = "torch taming open_clip faiss hnswlib lance pyarrow transformers"
    code = f"""
import importlib, sys
for plugin in {PLUGINS!r}:
    for spec in importlib.import_module("calumma_plugins." + plugin).calumma_components():
        importlib.import_module(spec.options.split(":")[0])
print([name for name in {heavy.split()!r} if name in sys.modules])
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
