"""A bank's own embedder: built again from what its metadata says, and told from others."""

from __future__ import annotations

from calumma.bank.schema import EmbedderRecord
from calumma.errors import ComponentError, MismatchError
from calumma.extension import Catalog
from calumma.interfaces import Embedder


def embedder_of(record: EmbedderRecord, catalog: Catalog | None = None, device: str = "cpu") -> Embedder:
    """The embedder, warm. Raises ComponentError or AssetError where it cannot be had here."""
    if not record.id:
        raise ComponentError("The bank does not say which component embedded it.", "Pass its embedder.")
    embedder = (catalog or Catalog()).build("embedder", record.id, record.options, name="the bank's embedder")
    assert isinstance(embedder, Embedder)
    embedder.warm_up(device)
    return embedder


def check_embedder(bank: object, record: EmbedderRecord, embedder: Embedder) -> None:
    """Raises MismatchError unless a bank's vectors are this embedder's: model, weights, preprocessing and all."""
    if embedder.fingerprint() != record.fingerprint:
        raise MismatchError(
            f"The bank {bank} was embedded by {record.fingerprint}, not by {embedder.fingerprint()}.",
            f"Embed it again: calumma bank build {bank} --out NEW --embedder NAME; or use the embedder it was made with.",
        )
