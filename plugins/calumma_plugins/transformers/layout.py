"""Chameleon's layout: `<s> text <racm3:break> codes <eoss> text ... </s>` (arXiv:2405.09818, section 2)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from calumma.documents import (
    CONDITIONAL,
    IMAGE_ONLY,
    TEXT_ONLY,
    UNCONDITIONAL,
    Constraint,
    Document,
    Hole,
    Image,
    IntArray,
    Layout,
    Modality,
    Task,
    Text,
    TokenSequence,
    codes_of,
)
from calumma.documents.cm3leon import DEFAULT_TEXT_LIMIT, TextCodec
from calumma.errors import InputError
from calumma_plugins.transformers.vocabulary import ChameleonVocabulary

_DROPPED: dict[str, frozenset[Modality]] = {
    CONDITIONAL: frozenset(),
    UNCONDITIONAL: frozenset(("text", "image")),
    IMAGE_ONLY: frozenset(("text",)),
    TEXT_ONLY: frozenset(("image",)),
}
ROOM = 8  # ids of text that a task needs at least


class CodesConstraint(Constraint):
    """Exactly `cells` codes; whatever follows a picture is not drawn."""

    modality = "image"

    def __init__(self, code_ids: IntArray, cells: int) -> None:
        self.capacity = cells
        self._codes = code_ids

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        return self._codes if offset < self.capacity else None


class WordsConstraint(Constraint):
    """One to `limit` text ids, then an id that closes them; at the limit the first of `closing` is forced."""

    modality = "text"

    def __init__(
        self, text: IntArray, text_or_closing: IntArray, forced: IntArray, closing: frozenset[int], limit: int
    ) -> None:
        self.capacity = limit + 1
        self._sets = (text, text_or_closing, forced)
        self._closing = closing
        self._limit = limit

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        if offset == 0:
            return self._sets[0]
        if int(previous[-1]) in self._closing:
            return None
        return self._sets[1] if offset < self._limit else self._sets[2]


class ChameleonLayout(Layout):
    """Documents over Chameleon's vocabulary, read from left to right: there are no masks, so a hole is the end of its prompt.

    An image hole must be the last part. A text hole continues the text that it stands in, and what stands after it must be
    pictures; they are written first, so that a caption is asked for as `<s> picture caption`. Infilling is refused: the
    cells after a box could not be seen. Retrieved documents stand before, each from `<s>` to `</s>`.

    Streams drop what Meta's inference code drops: "unconditional" is `<s> <racm3:break>`, "image-only" keeps the pictures,
    "text-only" the texts. The text that a text hole stands in stays in all of them.

    Args:
        grid: (h, w) of every picture, in codes.
        image_tokenizer: its fingerprint, the key into `Image.tokens`.
        end_of_turn: whether a text hole is asked for with <reserved08706>.
    """

    def __init__(
        self,
        vocabulary: ChameleonVocabulary,
        text_tokenizer: TextCodec,
        grid: tuple[int, int],
        image_tokenizer: str,
        context: int,
        end_of_turn: bool = False,
    ) -> None:
        self.vocabulary = vocabulary
        self.vocabulary_size = vocabulary.size
        self.text_tokenizer = text_tokenizer
        self.grid = grid
        self.cells = grid[0] * grid[1]
        self.image_tokenizer = image_tokenizer
        self.context = context
        self._turn = [vocabulary.end_of_turn] if end_of_turn and vocabulary.end_of_turn is not None else []
        ends = (vocabulary.eos, vocabulary.begin_image, vocabulary.end_of_turn)
        self._closing = frozenset(one for one in ends if one is not None)
        self._text_or_closing = np.union1d(vocabulary.text_ids, np.array(sorted(self._closing), np.int64))
        self._forced = np.array([vocabulary.eos], np.int64)

    def supports(self, task: Task) -> bool:
        pictures = {"generate": 1, "caption": 1, "answer": 1, "edit": 2}.get(task)
        return pictures is not None and pictures * (self.cells + 2) + ROOM <= self.context

    def encode(self, document: Document, retrieved: Sequence[Document] = ()) -> TokenSequence:
        """Training's form. Weight 0 for the first id, which nothing predicts."""
        writer = self._begun(retrieved)
        writer.whole(document)
        return self._checked(writer, 0, retrieved)

    def decode(self, ids: Iterable[int]) -> Document:
        """Texts that follow each other come back as one. Raises InputError where `ids` are not such a sequence."""
        v, row = self.vocabulary, np.fromiter(ids, np.int64)
        row = row[1:] if len(row) and row[0] == v.bos else row
        ends = np.flatnonzero(row == v.eos)
        row = row[: ends[0]] if len(ends) else row
        parts: list[Text | Image | Hole] = []
        while len(row):
            begins = np.flatnonzero(row == v.begin_image)
            at = int(begins[0]) if len(begins) else len(row)
            if at:
                parts.append(Text(self.text_tokenizer.decode(v.text(row[:at]).tolist())))
            rest = row[at + 1 + self.cells :]
            if at < len(row):
                parts.append(self._picture(row[at + 1 : at + 1 + self.cells]))
                if not len(rest) or rest[0] != v.end_image:
                    raise InputError("A picture is not closed by <eoss>.", "Decode a whole sequence of this layout.")
            row = rest[1:]
        return Document(tuple(parts))

    def streams(self, document: Document, retrieved: Sequence[Document], names: Iterable[str]) -> dict[str, TokenSequence]:
        index, hole = self._hole(document)
        capacity = self.constraint(document).capacity
        own = _text_around(document, index) if hole.modality == "text" else frozenset()
        sequences: dict[str, TokenSequence] = {}
        for name in names:
            if name not in _DROPPED:
                raise InputError(f"This layout has no stream {name!r}.", f"It has {', '.join(_DROPPED)}.")
            kept = [
                (i, part)
                for i, part in enumerate(document.parts)
                if i != index and (i in own or _modality(part) not in _DROPPED[name])
            ]
            kept.sort(key=lambda one: one[0] < index)  # stable: what stands after the hole comes first
            writer = self._begun(retrieved)
            for i, part in kept:
                writer.part(i, part)
            for id in [self.vocabulary.begin_image] if hole.modality == "image" else self._turn:
                writer.put(id)
            sequences[name] = self._checked(writer, capacity, retrieved)
        return sequences

    def constraint(self, document: Document) -> Constraint:
        """A text hole without a limit takes the smaller of 128 ids and a quarter of the context."""
        _, hole = self._hole(document)
        if hole.modality == "image":
            return CodesConstraint(self.vocabulary.ascending_code_ids, self.cells)
        limit = min(DEFAULT_TEXT_LIMIT, self.context // 4) if hole.limit is None else hole.limit
        if limit < 1:
            raise InputError(f"A text hole of at most {limit} ids cannot be filled.", "Let the limit be 1 or more.")
        return WordsConstraint(self.vocabulary.text_ids, self._text_or_closing, self._forced, self._closing, limit)

    def fill(self, document: Document, ids: Sequence[int]) -> Document:
        """A text may still lack its closing id; a picture must be complete. Raises InputError otherwise."""
        index, hole = self._hole(document)
        drawn = np.array(ids, np.int64)
        filled: Text | Image
        if hole.modality == "image":
            filled = self._picture(drawn)
        else:
            filled = Text(self.text_tokenizer.decode(drawn[self.vocabulary.is_text(drawn)].tolist()))
        return replace(document, parts=(*document.parts[:index], filled, *document.parts[index + 1 :]))

    def image_ids(self, image: Image) -> IntArray:
        """The ids of a picture's codes, in raster order. Raises InputError where it was not encoded, or has masked cells."""
        if image.masked is not None and image.masked.any():
            raise InputError("Chameleon reads from left to right and cannot draw a box anew.", "Pick a CM3Leon decoder.")
        return self.vocabulary.image(codes_of(image, self.image_tokenizer, self.grid))

    def _picture(self, ids: IntArray) -> Image:
        if len(ids) != self.cells:
            raise InputError(
                f"An image of {self.grid[0]}x{self.grid[1]} cells was given {len(ids)} ids.", "Draw it to its end."
            )
        return Image(tokens={self.image_tokenizer: self.vocabulary.codes(ids).reshape(self.grid)})

    def _hole(self, document: Document) -> tuple[int, Hole]:
        """(index, hole) of the document's one hole, where it can be the end of a prompt."""
        holes = [(i, part) for i, part in enumerate(document.parts) if isinstance(part, Hole)]
        for part in document.parts:
            if isinstance(part, Image) and part.masked is not None and part.masked.any():
                self.image_ids(part)  # refuses it
        if not holes:
            raise InputError("The document has no hole.", "Put a Hole where something is to be drawn.")
        index, hole = holes[0]
        if hole.modality == "image" and hole.grid is not None and tuple(hole.grid) != self.grid:
            raise InputError(f"A hole of {hole.grid} cells was asked for, the decoder draws {self.grid}.", "Ask for its grid.")
        after = document.parts[index + 1 :]
        if len(holes) > 1 or (after if hole.modality == "image" else [one for one in after if not isinstance(one, Image)]):
            raise InputError(
                "Chameleon writes from left to right: a hole is followed by nothing, or one of text by pictures.",
                "Put the hole last, or pick a CM3Leon decoder.",
            )
        return index, hole

    def _begun(self, retrieved: Sequence[Document]) -> _Writer:
        writer = _Writer(self)
        for document in retrieved:
            writer.whole(document, known_part=False)
            writer.put(self.vocabulary.bos)
        return writer

    def _checked(self, writer: _Writer, capacity: int, retrieved: Sequence[Document]) -> TokenSequence:
        sequence = writer.sequence()
        beyond = len(sequence) + capacity - self.context
        if beyond <= 0:
            return sequence
        before = len(self._begun(retrieved).sequence()) - 1
        taken = f"The document takes {len(sequence) - before} ids" + (f" and its hole {capacity} more" if capacity else "")
        more = f", and the {len(retrieved)} retrieved ones before it {before}" if retrieved else ""
        raise InputError(
            f"{taken}{more}: {beyond} beyond the context of {self.context}.",
            "Retrieve fewer documents (--swap retriever=none for none), or shorten the text."
            if before >= beyond
            else f"Shorten the text by {beyond - before} ids, or pick a decoder with a larger context.",
        )


class _Writer:
    """Collects ids and the part that each belongs to, from `<s>` on."""

    def __init__(self, layout: ChameleonLayout) -> None:
        self._layout = layout
        self._ids: list[IntArray] = [np.array([layout.vocabulary.bos], np.int64)]
        self._parts: list[int] = [-1]

    def put(self, id: int) -> None:
        """One id of structure."""
        self._add(np.array([id], np.int64), -1)

    def part(self, index: int, part: Text | Image | Hole) -> None:
        """A known part. Raises InputError for a hole."""
        vocabulary = self._layout.vocabulary
        if isinstance(part, Hole):
            raise InputError("A document with a hole cannot be encoded whole.", "Ask for its streams, or fill it first.")
        if isinstance(part, Text):
            self._add(vocabulary.text(self._layout.text_tokenizer.encode(part.text)), index)
            return
        self.put(vocabulary.begin_image)
        self._add(self._layout.image_ids(part), index)
        self.put(vocabulary.end_image)

    def whole(self, document: Document, known_part: bool = True) -> None:
        """All parts and `</s>`; without `known_part` they belong to no part of the document."""
        if not document.parts:
            raise InputError("The document has no parts.", "Give it a text or an image.")
        for index, part in enumerate(document.parts):
            self.part(index if known_part else -1, part)
        self.put(self._layout.vocabulary.eos)

    def sequence(self) -> TokenSequence:
        counts = [len(ids) for ids in self._ids]
        length = sum(counts)
        weight = np.ones(length, np.float32)
        weight[0] = 0.0
        return TokenSequence(
            ids=np.concatenate(self._ids),
            positions=np.arange(length),
            sample=np.zeros(length, np.int64),
            part=np.repeat(np.array(self._parts, np.int64), counts),
            loss_weight=weight,
        )

    def _add(self, ids: IntArray, part: int) -> None:
        self._ids.append(ids)
        self._parts.append(part)


def _modality(part: Text | Image | Hole) -> Modality:
    return "image" if isinstance(part, Image) else "text"


def _text_around(document: Document, index: int) -> frozenset[int]:
    """The texts that a text hole directly continues."""
    start = index
    while start and isinstance(document.parts[start - 1], Text):
        start -= 1
    return frozenset(range(start, index))
