"""From a source to rows that a bank does not have yet: checked, decoded in parallel, in the order of the source."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, TypeVar

from calumma.bank.sources.source import Item, Skipped
from calumma.bank.writing.content import content_of, id_of
from calumma.bank.writing.journal import Journal, Noted
from calumma.bank.writing.known import Known, KnownIds
from calumma.bank.writing.report import SkippedList
from calumma.documents import Pixels
from calumma.documents.pictures import png_bytes, read_picture
from calumma.errors import BankError, InputError
from calumma.interfaces import Vectors

T = TypeVar("T")
WINDOW, WINDOW_BYTES = 1024, 2**26  # items that are looked up together
AHEAD, AHEAD_BYTES = 256, 2**29  # pictures that are decoded before they are asked for
BATCH_PIXELS = 2**26
STORED_AS_THEY_ARE = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")  # PNG, JPEG, WebP


@dataclass(frozen=True, eq=False)
class Row:
    """A document as a bank keeps it, before it is embedded.

    Attributes:
        name: the item's. content: its digest. image: the file as it is kept; pixels: uint8 [H, W, 3].
        text_vector, image_vector: where the source brought them. prepared: the picture as the embedder takes it, else.
    """

    id: str
    name: str
    text: str
    image: bytes | None
    pixels: Pixels | None
    metadata: str
    content: bytes
    text_vector: Vectors | None = None
    image_vector: Vectors | None = None
    prepared: Any = None

    @property
    def brings_vectors(self) -> bool:
        """Whether nothing of it is embedded."""
        return self.text_vector is not None or self.image_vector is not None

    def without_picture(self) -> Row:
        """What is left to remember once it is embedded."""
        return replace(self, image=None, pixels=None, prepared=None, text_vector=None, image_vector=None)

    def noted(self, key: int) -> Noted:
        """What the journal says of it."""
        return Noted(self.id, self.name, self.content, key)


@dataclass
class Incoming:
    """The rows of a source that have to be embedded; counts the others.

    Attributes:
        prepare: of the embedder, for one picture; called in the threads that decode.
        known: of the bank; None for a new one. replaces: take the place of a document with the same id (upsert).
        read: items of the source. resumed: embedded by an earlier run. there: in the bank already, just like this.
        replaced: row keys of the bank's documents whose place others take.
    """

    source: Iterable[Item | Skipped]
    skipped: SkippedList
    journal: Journal
    prepare: Callable[[Pixels], Any]
    known: KnownIds | None = None
    replaces: bool = False
    strict: bool = False
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    read: int = 0
    resumed: int = 0
    there: int = 0
    replaced: list[int] = field(default_factory=list)
    _fresh: dict[str, str] = field(default_factory=dict)  # id -> name, of rows that the journal does not have yet
    _giving_way: dict[str, int] = field(default_factory=dict)  # id -> key of the bank's, while its picture may yet be unusable

    def __iter__(self) -> Iterator[Row]:
        checked = (one for window in _windows(self.source) for one in self._window(window))
        for row in _ahead(self._prepared, checked, self.workers):
            if isinstance(row, Skipped):
                self._skip(row)
            else:
                if row.id in self._giving_way:
                    self.replaced.append(self._giving_way.pop(row.id))
                yield row

    def written(self, rows: Iterable[Row]) -> None:
        """These rows are in the journal now."""
        for row in rows:
            self._fresh.pop(row.id, None)

    def _window(self, items: list[Item | Skipped]) -> Iterator[Row | Skipped]:
        rows = [_checked(item) for item in items]
        ids = [row.id for row in rows if isinstance(row, Row)]
        known = self.known.find(ids) if self.known is not None else {}
        for row in rows:
            self.read += 1
            if isinstance(row, Skipped):
                yield row
            elif not self._is_done(row, known):
                yield self._with_stashed(row)

    def _is_done(self, row: Row, known: Mapping[str, Known]) -> bool:
        """Whether nothing is left to do for a row: embedded before, there already, or skipped."""
        if row.id in self._fresh:
            return self._skip(Skipped(row.name, f"duplicate: of {self._fresh[row.id]}"))
        found = self.journal.find(row.id)
        if found is not None and found[1]:
            return self._skip(Skipped(row.name, f"duplicate: of {found[0].name}"))
        there = known.get(row.id)
        if there is not None and there.content == _kept_content(row):
            self.there += 1
            self.journal.note_there(row.id, row.name)
            return True
        if found is not None and found[0].content == row.content:
            self.journal.meet(row.id)
            self.resumed += 1
            if there is not None:
                self.replaced.append(there.key)
            return True
        if there is not None and not self.replaces:
            reason = "there already, with other content: `calumma bank upsert` replaces it"
            return self._skip(Skipped(row.name, reason))
        if there is not None:
            self._giving_way[row.id] = there.key
        self._fresh[row.id] = row.name
        return False

    def _prepared(self, row: Row | Skipped) -> Row | Skipped:
        decoded = _decoded(row)
        if isinstance(decoded, Skipped) or decoded.pixels is None or decoded.brings_vectors:
            return decoded
        return replace(decoded, prepared=self.prepare(decoded.pixels))

    def _with_stashed(self, row: Row) -> Row:
        vectors = self.journal.stashed(row.id, row.content)
        if vectors is None:
            return row
        self.resumed += 1
        return replace(row, text_vector=vectors[0], image_vector=vectors[1])

    def _skip(self, one: Skipped) -> bool:
        if self.strict:
            raise BankError(f"{one.name}: {one.reason}.", "Mend it and run the same again, or leave --strict out.")
        self.skipped.append(one)
        return True


def _checked(item: Item | Skipped) -> Row | Skipped:
    """A row whose picture is not decoded yet."""
    if isinstance(item, Skipped):
        return item
    if not item.text and item.image is None and item.text_vector is None and item.image_vector is None:
        return Skipped(item.name, "neither text nor picture")
    name = item.name.encode("utf-8", "backslashreplace").decode()
    try:
        text = item.text.encode().decode()
        id = item.id.encode().decode() if item.id else id_of(text, item.image)
        metadata = json.dumps(dict(item.metadata), sort_keys=True, ensure_ascii=False, allow_nan=False)
        metadata.encode()
    except UnicodeEncodeError:
        return Skipped(name, "text that is not valid Unicode")
    except (TypeError, ValueError, RecursionError):
        return Skipped(name, "metadata that is not JSON")
    content = content_of(text, item.image, metadata)
    return Row(id, name, text, item.image, None, metadata, content, item.text_vector, item.image_vector)


def _decoded(row: Row | Skipped) -> Row | Skipped:
    if isinstance(row, Skipped) or row.image is None:
        return row
    try:
        pixels = read_picture(row.image, row.name)
    except InputError as error:
        kind = "too large" if "too large" in error.message else "not a readable picture"
        return Skipped(row.name, f"{kind}: {error.message}")
    image = row.image if row.image.startswith(STORED_AS_THEY_ARE) else png_bytes(pixels)
    return replace(row, image=image, pixels=pixels)


def _kept_content(row: Row) -> bytes:
    """The digest that the row will have in the bank, where a picture of another format is kept as PNG."""
    decoded = row if row.image is None or row.image.startswith(STORED_AS_THEY_ARE) else _decoded(row)
    return row.content if isinstance(decoded, Skipped) else content_of(decoded.text, decoded.image, decoded.metadata)


def _windows(items: Iterable[Item | Skipped]) -> Iterator[list[Item | Skipped]]:
    """Items in groups that fit into memory."""
    group, size = list[Item | Skipped](), 0
    for item in items:
        group.append(item)
        size += len(item.image or b"") if isinstance(item, Item) else 0
        if len(group) >= WINDOW or size >= WINDOW_BYTES:
            yield group
            group, size = [], 0
    yield group


def _ahead(function: Callable[[T], Row | Skipped], items: Iterable[T], workers: int) -> Iterator[Row | Skipped]:
    """`map` by several threads: in order, some items ahead of who asks, never with more decoded than memory should hold."""
    held, lock = Counter[str](), Lock()

    def held_by(result: Row | Skipped) -> int:
        parts = (result.pixels, result.prepared) if isinstance(result, Row) else ()
        return sum(getattr(part, "nbytes", 0) for part in parts)

    def run(item: T) -> Row | Skipped:
        result = function(item)
        with lock:
            held["bytes"] += held_by(result)
        return result

    def taken(future: Future[Row | Skipped]) -> Row | Skipped:
        result = future.result()
        with lock:
            held["bytes"] -= held_by(result)
        return result

    waiting: deque[Future[Row | Skipped]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(run, item))
                while len(waiting) > AHEAD or (held["bytes"] > AHEAD_BYTES and waiting):
                    yield taken(waiting.popleft())
            while waiting:
                yield taken(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()


def batches(rows: Iterable[Row], most: int) -> Iterator[list[Row]]:
    """Rows in groups that are embedded at once; a group of large pictures is smaller."""
    group, pixels = list[Row](), 0
    for row in rows:
        group.append(row)
        pixels += row.pixels.size if row.pixels is not None else 0
        if len(group) >= most or pixels >= BATCH_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group
