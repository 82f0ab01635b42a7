"""Builds a bank's own embedder again, from what its metadata says."""

from __future__ import annotations

from calumma.bank.schema import EmbedderRecord
from calumma.errors import ComponentError
from calumma.extension import Catalog
from calumma.interfaces import Embedder


def embedder_of(record: EmbedderRecord, catalog: Catalog | None = None) -> Embedder:
    """The embedder, warm. Raises ComponentError or AssetError where it cannot be had here."""
    if not record.id:
        raise ComponentError("The bank does not say which component embedded it.", "Pass its embedder.")
    embedder = (catalog or Catalog()).build("embedder", record.id, record.options, name="the bank's embedder")
    assert isinstance(embedder, Embedder)
    embedder.warm_up()
    return embedder
