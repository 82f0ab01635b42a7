"""CM3Leon's layout: `<eos> (doc_text <break> doc_image <break>)* text <break> image <eos>` (arXiv:2309.02591, figure 9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from calumma.documents.constraints import ImageConstraint, TextConstraint
from calumma.documents.document import Document, Hole, Image, IntArray, Modality, Text
from calumma.documents.layout import (
    CONDITIONAL,
    IMAGE_ONLY,
    TEXT_ONLY,
    UNCONDITIONAL,
    Constraint,
    Layout,
    Task,
    TokenSequence,
    codes_of,
)
from calumma.documents.reading import read
from calumma.documents.vocabulary import Vocabulary
from calumma.errors import InputError

_DROPPED: dict[str, frozenset[Modality]] = {
    CONDITIONAL: frozenset(),
    UNCONDITIONAL: frozenset(("text", "image")),
    IMAGE_ONLY: frozenset(("text",)),
    TEXT_ONLY: frozenset(("image",)),
}
DEFAULT_TEXT_LIMIT = 128


class TextCodec(Protocol):
    """What the layout needs of a text tokenizer."""

    @property
    def size(self) -> int: ...
    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True, eq=False)
class _Piece:
    """Known ids of one document part, or (`hole`) the place of ids that are to be drawn."""

    part: int
    ids: IntArray
    hole: bool = False


@dataclass(frozen=True, eq=False)
class _Segment:
    """What stands between two `<break>`: texts that follow each other, or one image."""

    modality: Modality
    pieces: list[_Piece]


class CM3LeonLayout(Layout):
    """Documents over CM3Leon's vocabulary.

    A `<break>` stands at every change of modality, between two images and after each retrieved document; texts that
    follow each other share a segment, each encoded apart. So `decode(encode(d).ids)` is `d` for every document that is
    *normalised*: no two texts adjacent, images given by their ids alone, no id, no metadata.

    A hole at the end of the document continues in place. Any other becomes `<mask:i>` (numbered by position), and its span
    follows the whole body: `... <eos> <infill> <mask:i> span <eoss>`. A masked image is one span in raster order from its
    first to its last masked cell; the known cells inside it are forced. It too continues in place where nothing follows it.

    Streams keep the retrieved documents, so that all share a prefix. "unconditional" replaces every segment but the hole's
    own by a mask: `<eos> documents <mask:0> <break>` for text to image, the picture's ids for a caption, the prompt for an
    infill (whose own known cells stay). "image-only" drops so only texts, "text-only" only images. A question stands in the
    answer's segment and stays. metaseq writes `<eos> documents` where there are any; the mask keeps the modality structure.

    Args:
        text_tokenizer: of `vocabulary.text_size` ids.
        codebook_size: number of codes of the image tokenizer.
        grid: (h, w) of every image, in codes.
        image_tokenizer: its fingerprint, the key into `Image.tokens`.
        context: the most ids in one sequence.
    """

    def __init__(
        self, text_tokenizer: TextCodec, codebook_size: int, grid: tuple[int, int], image_tokenizer: str, context: int
    ) -> None:
        self.vocabulary = Vocabulary(text_tokenizer.size, codebook_size)
        self.vocabulary_size = self.vocabulary.size
        self.text_tokenizer = text_tokenizer
        self.grid = grid
        self.cells = grid[0] * grid[1]
        self.image_tokenizer = image_tokenizer
        self.context = context

    def supports(self, task: Task) -> bool:
        return (2 if task == "edit" else 1) * self.cells + 8 <= self.context

    def encode(self, document: Document, retrieved: Sequence[Document] = ()) -> TokenSequence:
        """Training's form. Weight 0 for the first id, which nothing predicts; 1 for all others, retrieved ones too [2.2]."""
        if self._first_hole(document) is not None:
            raise InputError("A document with a hole cannot be encoded whole.", "Ask for its streams, or fill it first.")
        writer = _Writer(self.vocabulary)
        self._write_retrieved(writer, retrieved)
        writer.body(self._segments(document))
        writer.put(self.vocabulary.eos)
        self._check_length(len(writer), 0, retrieved)
        return writer.sequence()

    def decode(self, ids: Iterable[int]) -> Document:
        """Texts that follow each other come back as one. Raises InputError where `ids` are not such a sequence."""
        parts: list[Text | Image | Hole] = []
        for modality, content in read(np.fromiter(ids, np.int64), self.vocabulary):
            if modality == "text":
                parts.append(Text(self.text_tokenizer.decode(content.tolist())))
            else:
                parts.append(Image(tokens={self.image_tokenizer: self._as_grid(content)}))
        return Document(tuple(parts))

    def streams(self, document: Document, retrieved: Sequence[Document], names: Iterable[str]) -> dict[str, TokenSequence]:
        capacity = self.constraint(document).capacity
        segments = self._segments(document)
        sequences: dict[str, TokenSequence] = {}
        for name in names:
            if name not in _DROPPED:
                raise InputError(f"This layout has no stream {name!r}.", f"It has {', '.join(_DROPPED)}.")
            writer = _Writer(self.vocabulary)
            self._write_retrieved(writer, retrieved)
            writer.prompt(segments, _DROPPED[name])
            self._check_length(len(writer), capacity, retrieved)
            sequences[name] = writer.sequence()
        return sequences

    def constraint(self, document: Document) -> Constraint:
        """A text hole without a limit takes the smaller of 128 ids and a quarter of the context."""
        part = self._hole(document)
        moved = not _continues(self._segments(document))
        v = self.vocabulary
        if isinstance(part, Image):
            start, end = _span(part)
            masked = _flat_mask(part)[start:end]
            return ImageConstraint(v, self._image_ids(part)[start:end], masked, v.eoss if moved else None)
        if part.modality == "image":
            known = np.zeros(self.cells, np.int64)
            return ImageConstraint(v, known, np.ones(self.cells, np.bool_), v.eoss if moved else None)
        limit = min(DEFAULT_TEXT_LIMIT, self.context // 4) if part.limit is None else part.limit
        if limit < 1:
            raise InputError(f"A text hole of at most {limit} ids cannot be filled.", "Let the limit be 1 or more.")
        return TextConstraint(v, limit, (v.eoss,) if moved else (v.eos, v.break_))

    def fill(self, document: Document, ids: Sequence[int]) -> Document:
        """A text may still lack its closing id; an image must be complete. Raises InputError otherwise."""
        part = self._hole(document)
        content = np.array([id for id in ids if id < self.vocabulary.content_size], np.int64)
        filled: Text | Image
        if isinstance(part, Image):
            start, end = _span(part)
            whole = self._image_ids(part).copy()
            if len(content) != end - start:
                raise InputError(f"The hole has {end - start} cells and was given {len(content)}.", "Draw it to its end.")
            whole[start:end] = content
            filled = replace(part, pixels=None, masked=None, tokens={self.image_tokenizer: self._as_grid(whole)})
        elif part.modality == "image":
            filled = Image(tokens={self.image_tokenizer: self._as_grid(content)})
        else:
            filled = Text(self.text_tokenizer.decode(content.tolist()))
        at = next(i for i, one in enumerate(document.parts) if one is part)
        return replace(document, parts=(*document.parts[:at], filled, *document.parts[at + 1 :]))

    def _write_retrieved(self, writer: _Writer, retrieved: Sequence[Document]) -> None:
        writer.put(self.vocabulary.eos, weight=0.0)
        for document in retrieved:
            if self._first_hole(document) is not None:
                raise InputError(f"The retrieved document {document.id!r} has a hole.", "Retrieve whole documents.")
            writer.body(self._segments(document), known_part=False)
            writer.put(self.vocabulary.break_)

    def _segments(self, document: Document) -> list[_Segment]:
        if not document.parts:
            raise InputError("The document has no parts.", "Give it a text or an image.")
        segments: list[_Segment] = []
        nothing = np.zeros(0, np.int64)
        for index, part in enumerate(document.parts):
            if isinstance(part, Image):
                segments.append(_Segment("image", self._image_pieces(index, part)))
                continue
            if isinstance(part, Hole):
                self._check_hole(part)
                modality, piece = part.modality, _Piece(index, nothing, hole=True)
            else:
                modality = "text"
                piece = _Piece(index, self.vocabulary.text(self.text_tokenizer.encode(part.text)))
            if modality == "text" and segments and segments[-1].modality == "text":
                segments[-1].pieces.append(piece)
            else:
                segments.append(_Segment(modality, [piece]))
        return segments

    def _image_pieces(self, index: int, image: Image) -> list[_Piece]:
        ids = self._image_ids(image)
        if image.masked is None or not image.masked.any():
            return [_Piece(index, ids)]
        start, end = _span(image)
        pieces = [_Piece(index, ids[:start]), _Piece(index, ids[start:end], hole=True), _Piece(index, ids[end:])]
        return [piece for piece in pieces if piece.hole or len(piece.ids)]

    def _image_ids(self, image: Image) -> IntArray:
        if image.masked is not None and image.masked.shape != self.grid:
            raise InputError(
                f"The mask has {image.masked.shape} cells, the decoder's images have {self.grid}.", "Mask its grid."
            )
        tokens = image.tokens.get(self.image_tokenizer)
        if tokens is None and image.masked is not None and image.masked.all():
            return np.full(self.cells, self.vocabulary.text_size, np.int64)
        return self.vocabulary.image(codes_of(image, self.image_tokenizer, self.grid))

    def _as_grid(self, ids: IntArray) -> IntArray:
        if len(ids) != self.cells:
            raise InputError(
                f"An image of {self.grid[0]}x{self.grid[1]} cells was given {len(ids)} ids.", "Draw it to its end."
            )
        return self.vocabulary.codes(ids).reshape(self.grid)

    def _check_hole(self, hole: Hole) -> None:
        if hole.modality == "image" and hole.grid is not None and tuple(hole.grid) != self.grid:
            raise InputError(f"A hole of {hole.grid} cells was asked for, the decoder draws {self.grid}.", "Ask for its grid.")

    def _check_length(self, prompt: int, capacity: int, retrieved: Sequence[Document]) -> None:
        """Raises InputError where prompt and hole are beyond the context: by themselves, or beside what was retrieved."""
        if prompt + capacity <= self.context:
            return
        before = self._length_of(retrieved)
        own = prompt - before + 1  # the first <eos> is there without retrieved documents too
        beyond = own + capacity - self.context
        taken = f"The document takes {own} ids" + (f" and its hole {capacity} more" if capacity else "")
        if beyond > 0:
            fix = f"Shorten the text by {beyond} ids, or pick a decoder with a larger context."
            raise InputError(f"{taken}, {own + capacity} in all; the context has {self.context}.", fix)
        count, room = len(retrieved), self.context - own - capacity + 1
        fitting = max(k for k in range(count) if self._length_of(retrieved[count - k :]) <= room)  # the best are the last
        raise InputError(
            f"{taken}, and {'its retrieved one' if count == 1 else f'the {count} retrieved ones'} before it {before - 1}: "
            f"{prompt + capacity} in all; the context has {self.context}.",
            f"Retrieve at most {fitting} (--set selection.documents={fitting}), or shorten the text."
            if fitting
            else "Retrieve nothing (--swap retriever=none), or shorten the text.",
        )

    def _length_of(self, retrieved: Sequence[Document]) -> int:
        writer = _Writer(self.vocabulary)
        self._write_retrieved(writer, retrieved)
        return len(writer)

    @staticmethod
    def _first_hole(document: Document) -> Image | Hole | None:
        for part in document.parts:
            if isinstance(part, Hole) or (isinstance(part, Image) and part.masked is not None and part.masked.any()):
                return part
        return None

    def _hole(self, document: Document) -> Image | Hole:
        part = self._first_hole(document)
        if part is None:
            raise InputError("The document has no hole.", "Put a Hole where something is to be drawn, or mask cells.")
        return part


class _Writer:
    """Collects ids with their parts and weights."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._ids: list[IntArray] = []
        self._parts: list[tuple[int, float]] = []
        self._masks = 0

    def __len__(self) -> int:
        return sum(len(ids) for ids in self._ids)

    def put(self, id: int, weight: float = 1.0) -> None:
        """One structure id."""
        self._add(np.array([id], np.int64), -1, weight)

    def body(self, segments: Sequence[_Segment], known_part: bool = True) -> None:
        """Whole segments with a `<break>` between them; without `known_part` they belong to no part of the document."""
        for i, segment in enumerate(segments):
            if i:
                self.put(self.vocabulary.break_)
            for piece in segment.pieces:
                self._add(piece.ids, piece.part if known_part else -1, 1.0)

    def prompt(self, segments: Sequence[_Segment], dropped: frozenset[Modality]) -> None:
        """All that stands before the first id of the first hole."""
        asked = next(i for i, segment in enumerate(segments) if any(piece.hole for piece in segment.pieces))
        in_place = _continues(segments)
        mask = -1
        for i, segment in enumerate(segments):
            if i:
                self.put(self.vocabulary.break_)
            if i != asked and segment.modality in dropped:
                self._mask()
                continue
            for piece in segment.pieces:
                if not piece.hole:
                    self._add(piece.ids, piece.part, 1.0)
                elif in_place:
                    return
                else:
                    index = self._mask()
                    mask = index if mask < 0 else mask
        for id in (self.vocabulary.eos, self.vocabulary.infill):
            self.put(id)
        self.put(self.vocabulary.mask(mask), 0.0)

    def sequence(self) -> TokenSequence:
        counts = [len(ids) for ids in self._ids]
        length = sum(counts)
        return TokenSequence(
            ids=np.concatenate(self._ids),
            positions=np.arange(length),
            sample=np.zeros(length, np.int64),
            part=np.repeat(np.array([part for part, _ in self._parts], np.int64), counts),
            loss_weight=np.repeat(np.array([weight for _, weight in self._parts], np.float32), counts),
        )

    def _mask(self) -> int:
        self.put(self.vocabulary.mask(self._masks), 0.0)
        self._masks += 1
        return self._masks - 1

    def _add(self, ids: IntArray, part: int, weight: float) -> None:
        self._ids.append(ids)
        self._parts.append((part, weight))


def _continues(segments: Sequence[_Segment]) -> bool:
    """Whether the first hole is the very end of the document."""
    pieces = [piece for segment in segments for piece in segment.pieces]
    return pieces[-1].hole and not any(piece.hole for piece in pieces[:-1])


def _flat_mask(image: Image) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    assert image.masked is not None
    return image.masked.reshape(-1)


def _span(image: Image) -> tuple[int, int]:
    """[start, end) from the first to the last masked cell, in raster order."""
    cells = np.flatnonzero(_flat_mask(image))
    return int(cells[0]), int(cells[-1]) + 1
