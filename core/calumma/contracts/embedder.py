"""The contract of embedders: vectors of length 1, each of its own input, texts and pictures in one space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import combinations
from typing import TypeVar

import numpy as np

from calumma.contracts.contract import rule
from calumma.contracts.stateless import Answers, StatelessContract
from calumma.contracts.texts import PLAIN, TEXTS, random_texts
from calumma.documents import Document, Hole, Image, Pixels, Text
from calumma.errors import InputError
from calumma.interfaces import Embedder, Vectors, normalised

T = TypeVar("T")
BITS = 1e-4  # how far the batch that an input is in may move a number of its vector
THREADS = 4
MANY = 67  # more than a usual batch, and no multiple of one


class EmbedderContract(StatelessContract[Embedder]):
    """Inherit it, name the component, run pytest."""

    kind = "embedder"

    def answers(self, component: Embedder, seed: int = 0) -> Answers:
        texts, images = [*PLAIN, *random_texts(seed, 2)], _mosaics(3, seed)
        vectors = component.embed_documents(_documents(seed))
        return [component.embed_texts(texts), component.embed_images(images), vectors]

    # --- vectors ---

    @rule
    def test_the_dimension_is_known_before_warm_up(self) -> None:
        """`dimension` is known before weights load, an int of at least 1, and loading does not change it."""
        embedder = self.make(warm=False)
        dimension = embedder.dimension
        assert type(dimension) is int, f"it is {dimension!r}."
        assert dimension >= 1, f"it is {dimension}."
        embedder.warm_up()
        assert embedder.dimension == dimension, f"it was {dimension} and is {embedder.dimension}."

    @rule
    def test_vectors_of_texts_have_length_1(self) -> None:
        """embed_texts gives float32 [N, dimension] with rows of length 1, for any text: empty, long, of any script."""
        embedder = self.make()
        self._check_rows(embedder, embedder.embed_texts(["", *TEXTS]), 1 + len(TEXTS))

    @rule
    def test_vectors_of_pictures_have_length_1(self) -> None:
        """embed_images gives float32 [N, dimension] with rows of length 1, for pictures of any size and content."""
        embedder = self.make()
        images = _pictures()
        self._check_rows(embedder, embedder.embed_images(images), len(images))

    @rule
    def test_vectors_of_documents_have_length_1(self) -> None:
        """embed_documents gives float32 [N, dimension] with rows of length 1."""
        embedder = self.make()
        documents = _documents(0)
        self._check_rows(embedder, embedder.embed_documents(documents), len(documents))

    @rule
    def test_nothing_gives_no_rows(self) -> None:
        """Of no texts, pictures or documents there are no vectors: float32 [0, dimension]."""
        embedder = self.make()
        for rows in (embedder.embed_texts([]), embedder.embed_images([]), embedder.embed_documents([])):
            self._check_rows(embedder, rows, 0)

    @rule
    def test_different_texts_lie_apart(self) -> None:
        """Different texts have different vectors."""
        self._check_apart(self.make().embed_texts(PLAIN), "texts")

    @rule
    def test_different_pictures_lie_apart(self) -> None:
        """Different pictures have different vectors."""
        self._check_apart(self.make().embed_images(_mosaics(4, 0)), "pictures")

    # --- documents ---

    @rule
    def test_a_document_is_the_mean_of_its_text_and_first_picture(self) -> None:
        """A document's vector is the mean of those of its joined text and of its first picture, of length 1 again."""
        embedder = self.make()
        one, other = _mosaics(2, 0)
        for what, document, text, image in (
            ("of a text and a picture", Document((Text("a red apple"), Image(one))), "a red apple", one),
            ("of a picture and a text", Document((Image(one), Text("a red apple"))), "a red apple", one),
            ("of two texts", Document((Text("a red"), Text("apple"))), "a red apple", None),
            ("of two texts around two pictures", Document((Text("a"), Image(one), Image(other), Text("b"))), "a b", one),
            ("of a picture alone", Document((Image(one),)), "", one),
            ("of an empty text and a picture", Document((Text(""), Image(one))), "", one),
            ("of a text and ids without pixels", Document((Text("an apple"), Image())), "an apple", None),
            ("of a text and a hole", Document((Text("an apple"), Hole("image", (2, 2)))), "an apple", None),
        ):
            parts = [embedder.embed_texts([text])] if text else []
            parts += [] if image is None else [embedder.embed_images([image])]
            expected = normalised(np.mean(np.stack(parts), axis=0, dtype=np.float32))
            apart = _apart(embedder.embed_documents([document]), expected)
            assert apart <= BITS, f"the vector of a document {what} is off by {apart:.3g}."

    @rule
    def test_a_document_of_nothing_is_refused(self) -> None:
        """A document with neither text nor pixels is refused with InputError, among others too."""
        embedder = self.make()
        good = Document((Text("an apple"),), id="good")
        for what, parts in (
            ("a document of no parts", ()),
            ("a document of an empty text", (Text(""),)),
            ("a document of an image without pixels", (Image(),)),
            ("a document of a hole", (Hole("text"),)),
        ):
            for documents in ([Document(parts, id="empty")], [good, Document(parts, id="empty")]):
                self.refused(partial(embedder.embed_documents, documents), what, InputError)

    # --- batches ---

    @rule
    def test_a_texts_vector_depends_on_it_alone(self) -> None:
        """A text has the same vector alone, among many, and elsewhere among them, but for the last bits."""
        texts = ["x", *(f"{PLAIN[i % len(PLAIN)]} {i}" for i in range(MANY - 1))]
        self._check_alone(self.make().embed_texts, texts)

    @rule
    def test_a_pictures_vector_depends_on_it_alone(self) -> None:
        """A picture has the same vector alone, among many, and elsewhere among them, but for the last bits."""
        self._check_alone(self.make().embed_images, [*_pictures(), *_mosaics(MANY - len(_pictures()), 0)])

    @rule
    def test_a_documents_vector_depends_on_it_alone(self) -> None:
        """A document has the same vector alone, among many, and elsewhere among them, but for the last bits."""
        self._check_alone(self.make().embed_documents, [one for seed in range(3) for one in _documents(seed)])

    @rule
    def test_prepared_pictures_have_the_same_vectors(self) -> None:
        """embed_prepared gives what embed_images gives, of pictures that several threads prepared at once, in any order."""
        embedder = self.make()
        images = [*_pictures(), *_mosaics(MANY - len(_pictures()), 0)]
        with ThreadPoolExecutor(THREADS) as pool:
            prepared = list(pool.map(embedder.prepare_image, reversed(images)))[::-1]
        apart = _apart(embedder.embed_prepared(prepared), embedder.embed_images(images))
        assert apart <= BITS, f"a vector differs by {apart:.3g}."

    @rule
    def test_inputs_stay_as_they_were(self) -> None:
        """Texts, pictures, documents and the lists that hold them are left as they were."""
        embedder = self.make()
        texts, images = list(PLAIN), _mosaics(3, 0)
        documents: list[Document] = [Document((Text(text), Image(image))) for text, image in zip(texts, images, strict=False)]
        lists: dict[str, Sequence[object]] = {"texts": texts, "pictures": images, "documents": documents}
        members = {name: [id(one) for one in held] for name, held in lists.items()}
        pixels = [image.copy() for image in images]
        embedder.embed_texts(texts)
        embedder.embed_images(images)
        embedder.embed_documents(documents)
        for name, held in lists.items():
            assert [id(one) for one in held] == members[name], f"the list of {name} holds others."
        for place, (image, before) in enumerate(zip(images, pixels, strict=True)):
            assert np.array_equal(image, before), f"the pixels of picture {place} changed."

    # --- inside ---

    def _check_rows(self, embedder: Embedder, rows: Vectors, count: int) -> None:
        assert isinstance(rows, np.ndarray), f"they are a {type(rows).__name__}, no numpy array."
        assert rows.dtype == np.float32, f"they are {rows.dtype}."
        assert rows.shape == (count, embedder.dimension), f"they are {list(rows.shape)}, not {[count, embedder.dimension]}."
        lengths = np.linalg.norm(rows.astype(np.float64), axis=1)
        wrong = [f"row {i} has length {length:.7g}" for i, length in enumerate(lengths) if not abs(length - 1) <= 1e-5]
        assert not wrong, f"{wrong[0]}, and {len(wrong) - 1} others are wrong." if len(wrong) > 1 else f"{wrong[0]}."

    def _check_alone(self, embed: Callable[[Sequence[T]], Vectors], inputs: Sequence[T]) -> None:
        together = embed(inputs)
        backwards = embed(inputs[::-1])[::-1]
        assert together.shape == backwards.shape == (len(inputs), together.shape[1]), f"there are {len(together)} rows."
        apart = _apart(together, backwards)
        assert apart <= BITS, f"in the other order a row differs by {apart:.3g}."
        for i in sorted({0, 1, 2, len(inputs) // 2, len(inputs) - 2, len(inputs) - 1}):
            apart = _apart(embed([inputs[i]])[0], together[i])
            assert apart <= BITS, f"input {i} of {len(inputs)} has a vector that differs by {apart:.3g} when it is alone."

    def _check_apart(self, rows: Vectors, what: str) -> None:
        same = [f"{i} and {j}" for i, j in combinations(range(len(rows)), 2) if _apart(rows[i], rows[j]) <= 5 * BITS]
        assert not same, f"{what} {', '.join(same)} have the same."


def _apart(one: Vectors, other: Vectors) -> float:
    """The largest difference between two numbers in one place."""
    return float(np.abs(one.astype(np.float64) - other).max(initial=0))


def _mosaics(count: int, seed: int) -> list[Pixels]:
    """Pictures [24, 24, 3] of 4 x 4 random colours."""
    tiles = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), np.uint8)
    return [np.ascontiguousarray(one.repeat(6, 0).repeat(6, 1)) for one in tiles]


def _pictures() -> list[Pixels]:
    """A single pixel, narrow, large, plain ones, and one cut out of a larger: not contiguous in memory."""
    draw = np.random.default_rng(0)
    drawn = [draw.integers(0, 256, (*size, 3), np.uint8) for size in ((1, 1), (1, 7), (50, 3), (33, 64), (96, 96))]
    plain = [np.full((8, 8, 3), value, np.uint8) for value in (0, 128, 255)]
    return [*drawn, *plain, draw.integers(0, 256, (40, 40, 3), np.uint8)[3:20, 5:33]]


def _documents(seed: int) -> list[Document]:
    """Of a text, of a picture, of both."""
    one, other = _mosaics(2, seed)
    texts = random_texts(seed, 2)
    return [Document((Text(f"an apple {seed}"),)), Document((Image(one),)), Document((Text(texts[0]), Image(other)))]
