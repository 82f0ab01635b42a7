"""The contract of watermarks: inherit it, name the component, run pytest."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from calumma.contracts import Contract, rule
from calumma.documents import Document, Image, Pixels, Text
from calumma.documents.pictures import png_bytes, read_picture
from calumma.errors import InputError
from calumma.interfaces import Noise

from calumma_watermark.interface import Watermark

MOST = 1  # that a channel may change


class WatermarkContract(Contract[Watermark]):
    """Marks pictures of many sizes and kinds, and reads them again."""

    kind = "watermark"

    @rule
    def test_what_is_written_is_read_back(self) -> None:
        """What is written into a picture is read back, from dark, light, plain and noisy ones of any shape."""
        mark = self.make()
        assert mark.message, "its message is empty."
        for name, image in pictures():
            found = mark.read(finished(mark, image))
            assert found == mark.message, f"from {name} it read {found!r}, not {mark.message!r}."

    @rule
    def test_it_survives_png(self) -> None:
        """The message is read back from a picture that was saved as PNG and opened again."""
        mark = self.make()
        for name, image in pictures():
            found = mark.read(read_picture(png_bytes(finished(mark, image))))
            assert found == mark.message, f"from {name} it read {found!r}, not {mark.message!r}."

    @rule
    def test_nobody_sees_it(self) -> None:
        """No channel of a pixel changes by more than 1, and the size, the shape and the dtype stay."""
        mark = self.make()
        for name, image in pictures():
            marked = finished(mark, image)
            assert marked.dtype == np.uint8, f"{name} became {marked.dtype}."
            assert marked.shape == image.shape, f"{name} of shape {image.shape} became {marked.shape}."
            change = int(np.abs(marked.astype(int) - image).max())
            assert change <= MOST, f"in {name} a channel changed by {change}."

    @rule
    def test_an_unmarked_picture_reads_as_none(self) -> None:
        """A picture that nobody marked reads as None, however small."""
        mark = self.make()
        for name, image in [*pictures(), *tiny()]:
            found = mark.read(image)
            assert found is None, f"in {name} it read {found!r}."

    @rule
    def test_a_damaged_mark_reads_as_none(self) -> None:
        """A mark of which a part was overwritten reads as None, not as another message."""
        mark = self.make()
        for name, image in pictures():
            marked = finished(mark, image)
            for part in np.array_split(np.flatnonzero(marked != image), 4):
                damaged = marked.flatten()
                damaged[part] = image.flatten()[part]
                found = mark.read(damaged.reshape(image.shape))
                assert found in (None, mark.message), f"in {name}, damaged, it read {found!r}."

    @rule
    def test_marking_again_changes_nothing(self) -> None:
        """A picture that is marked already is marked as if it were not, and the message is read back."""
        mark = self.make()
        for name, image in pictures():
            once = finished(mark, image)
            found = mark.read(finished(mark, once))
            assert found == mark.message, f"from {name}, marked twice, it read {found!r}."

    @rule
    def test_the_same_request_gives_the_same_picture(self) -> None:
        """The same picture, document, noise and sample give the same pixels, whatever was marked before."""
        mark, other = self.make(), self.make()
        marked = [finished(mark, image) for _, image in pictures()]
        for (name, image), before in zip(reversed(list(pictures())), reversed(marked), strict=True):
            for one in (mark, other):
                assert np.array_equal(finished(one, image), before), f"{name} was marked in another way later."

    @rule
    def test_the_picture_that_is_given_stays(self) -> None:
        """Neither marking nor reading writes into the picture that it is given."""
        mark = self.make()
        for name, image in pictures():
            given = image.copy()
            marked = finished(mark, given)
            assert np.array_equal(given, image), f"marking wrote into {name}."
            assert not np.shares_memory(given, marked), f"what it made of {name} is a view of it."
            mark.read(given)
            assert np.array_equal(given, image), f"reading wrote into {name}."

    @rule
    def test_a_picture_that_is_too_small_is_refused(self) -> None:
        """A picture too small for the message raises InputError, or the message is read back all the same."""
        mark = self.make()
        for name, image in tiny():
            try:
                marked = finished(mark, image)
            except InputError as error:
                assert len(error.message.split()) > 2, f"it refused {name} without a sentence."
                continue
            assert mark.read(marked) == mark.message, f"it marked {name} with what cannot be read."


def finished(mark: Watermark, image: Pixels, sample: int = 0) -> Pixels:
    """The picture as a pipeline would have it marked."""
    return mark.finish(image, Document((Text("a red disc"), Image())), Noise(1), sample)


def pictures() -> Iterator[tuple[str, Pixels]]:
    """(what it is, uint8 [H, W, 3])."""
    draw = np.random.default_rng(0)
    for value in (0, 1, 127, 254, 255):
        yield f"a plain picture of {value}", np.full((64, 64, 3), value, np.uint8)
    for height, width in ((64, 64), (63, 65), (256, 40), (41, 333)):
        yield f"noise of {width} x {height}", draw.integers(0, 256, (height, width, 3), np.uint8)
    wide = draw.integers(0, 256, (128, 128, 3), np.uint8)
    yield "a cut-out that is not contiguous", wide[::2, ::-2]
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    yield "a gradient", np.repeat(np.repeat(ramp[:, None, None], 64, axis=1), 3, axis=2)


def tiny() -> Iterator[tuple[str, Pixels]]:
    """Pictures that hardly hold a message."""
    draw = np.random.default_rng(1)
    for height, width in ((1, 1), (1, 7), (3, 3)):
        yield f"a picture of {width} x {height}", draw.integers(0, 256, (height, width, 3), np.uint8)
