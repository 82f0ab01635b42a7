"""Small documents, an embedder that counts and fails when told, and all that a bank holds as one value to compare."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calumma.bank import Bank, Item, Skipped, Source
from calumma.bank.writing import changes, rows
from calumma.interfaces import Vectors

from .conftest import Words, WordsOptions, encoded, picture


class Counting(Words):
    """Words that remembers what it embedded; `fails_at` is the number of the call that raises `error` instead."""

    def __init__(self, options: WordsOptions) -> None:
        super().__init__(options)
        self.id = "tests/words"
        self.texts: list[str] = []
        self.images, self.calls = 0, 0
        self.fails_at, self.error = 0, BaseException()

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        self._call()
        self.texts += texts
        return super().embed_texts(texts)

    def embed_images(self, images: Sequence[np.ndarray]) -> Vectors:
        self._call()
        self.images += len(images)
        return super().embed_images(images)

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self.fails_at:
            raise self.error


def counting(salt: str = "") -> Counting:
    return Counting(WordsOptions(salt=salt))


def item(number: int, text: str = "", **more: Any) -> Item:
    """A picture with a text; the same number gives the same document."""
    shown = encoded(picture((number * 37 % 256, number * 11 % 256, 90), number % 10))
    given: dict[str, Any] = {"image": shown, "id": f"id{number}", "metadata": {"n": number}} | more
    return Item(f"item {number}", text or f"a red disc {number}", **given)


def items(numbers: Iterable[int], text: str = "") -> list[Item]:
    return [item(number, text and f"{text} {number}") for number in numbers]


class Listed(Source):
    """Items by a name of its own, so that an interrupted change of it can be told from others; `error` follows them."""

    def __init__(self, given: Sequence[Item | Skipped], name: str = "/some/listed", error: BaseException | None = None) -> None:
        self.given, self.name, self.error = list(given), name, error

    def __iter__(self) -> Iterator[Item | Skipped]:
        yield from self.given
        if self.error is not None:
            raise self.error

    def count(self) -> int:
        return len(self.given)


def contents(bank: str | Path, version: int | None = None) -> dict[str, tuple[Any, ...]]:
    """Id -> text, picture, size, metadata and both vectors, of all documents; every id must be there once."""
    every = Bank.open(bank, version=version).dataset.to_table().to_pylist()
    columns = ("text", "image", "width", "height", "metadata")
    found = {row["id"]: tuple(row[name] for name in columns) + tuple(map(_bytes, _vectors(row))) for row in every}
    assert len(found) == len(every) == len({row["key"] for row in every})
    return found


def keys(bank: str | Path, version: int | None = None) -> dict[str, int]:
    """Id -> row key."""
    opened = Bank.open(bank, version=version)
    return dict(zip(opened.ids(opened.keys.tolist()), opened.keys.tolist(), strict=True))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content, but the lock's."""
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith("_lock")}


def _vectors(row: dict[str, Any]) -> tuple[Any, Any]:
    return row["text_vector"], row["image_vector"]


def _bytes(vector: list[float] | None) -> bytes | None:
    return None if vector is None else np.array(vector, np.float32).tobytes()


def go_in_small_steps(monkeypatch: pytest.MonkeyPatch, window: int = 2, ahead: int = 1, fragment: int = 7) -> None:
    """So few documents are looked up, decoded and written at once that an interruption meets every state of a change."""
    monkeypatch.setattr(rows, "WINDOW", window)
    monkeypatch.setattr(rows, "AHEAD", ahead)
    monkeypatch.setattr(changes, "FRAGMENT_ROWS", fragment)
