"""The content of a document as one digest: what tells whether it changed, and what is its id where the caller gives none."""

from __future__ import annotations

import hashlib


def content_of(text: str, image: bytes | None, metadata: str) -> bytes:
    """A digest (16 bytes) of all that a bank keeps of a document; `image` as it is kept, `metadata` as JSON."""
    parts = (b"" if image is None else image, text.encode(), metadata.encode(), b"" if image is None else b"image")
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()[:16]


def id_of(text: str, image: bytes | None) -> str:
    """32 hex digits of the text and of the file of the picture as it was found."""
    return hashlib.sha256((image or b"") + b"\0" + text.encode("utf-8", "replace")).hexdigest()[:32]
