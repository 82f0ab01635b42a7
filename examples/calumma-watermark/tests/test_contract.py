"""What every watermark keeps to, and that the contract finds those that do not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from calumma.contracts import run
from calumma.documents import Document, Pixels
from calumma.errors import CalummaError, InputError
from calumma.interfaces import Noise

from calumma_watermark.contract import WatermarkContract, finished
from calumma_watermark.lsb import LastBits
from calumma_watermark.options import LastBitsOptions


class TestLastBits(WatermarkContract):
    component = "watermark/lsb"


class TestLongMessage(WatermarkContract):
    component = "watermark/lsb"
    options: ClassVar[Mapping[str, Any]] = {"message": "Gezeichnet von Calumma, für dich. ✎" * 5}


def test_the_message_of_another_is_read_too() -> None:
    one, other = LastBits(LastBitsOptions(message="one")), LastBits(LastBitsOptions(message="other"))
    image = np.zeros((8, 8, 3), np.uint8)
    assert one.read(finished(other, finished(one, image))) == "other"
    assert one.fingerprint() != other.fingerprint()


def test_a_picture_holds_a_message_to_the_last_bit() -> None:
    image = np.zeros((6, 6, 3), np.uint8)
    fits = LastBits(LastBitsOptions(message="x" * (image.size // 8 - 6)))
    assert fits.read(finished(fits, image)) == fits.message
    with pytest.raises(InputError, match="6 x 6 pixels is too small for a message of 8 bytes"):
        finished(LastBits(LastBitsOptions(message="x" * 8)), image)


@pytest.mark.parametrize("message", ["", "x" * 201])
def test_messages_are_bounded(message: str) -> None:
    with pytest.raises(ValueError, match="message"):
        LastBitsOptions(message=message)


# --- broken watermarks ---


class Silent(LastBits):
    """Marks nothing."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        return image.copy()


class Loud(LastBits):
    """Inverts the picture besides."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        return super().finish(255 - image, document, noise, sample)


class InPlace(LastBits):
    """Writes into what it is given."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        image[...] = super().finish(image, document, noise, sample)
        return image


class Credulous(LastBits):
    """Finds its message everywhere."""

    def read(self, image: Pixels) -> str | None:
        return self.message


class Unchecked(LastBits):
    """Reads what is left of a damaged mark."""

    def read(self, image: Pixels) -> str | None:
        found = super().read(image)
        noise = image.size > 1000 and found is None and image.flatten()[:8].any() and not (image[0, 0] > 1).any()
        return "?" if noise else found


class Cropped(LastBits):
    """Loses a row."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        return super().finish(image[:-1], document, noise, sample)


class Remembering(LastBits):
    """Marks only what it has not marked before."""

    def warm_up(self, device: str = "cpu", dtype: Any = "float32") -> None:
        self.seen = 0

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        self.seen += 1
        marked = super().finish(image, document, noise, sample)
        marked.reshape(-1)[-1] ^= self.seen & 1
        return marked


class Crashing(LastBits):
    """Does not expect small pictures."""

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        try:
            return super().finish(image, document, noise, sample)
        except CalummaError:
            raise IndexError("bits") from None


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (Silent, "What is written into a picture is read back"),
        (Loud, "No channel of a pixel changes by more than 1"),
        (InPlace, "Neither marking nor reading writes into the picture"),
        (Credulous, "A picture that nobody marked reads as None"),
        (Unchecked, "A mark of which a part was overwritten reads as None"),
        (Cropped, "No channel of a pixel changes by more than 1"),
        (Remembering, "The same picture, document, noise and sample give the same pixels"),
        (Crashing, "A picture too small for the message raises InputError"),
    ],
)
def test_a_broken_watermark_is_caught(broken: type[LastBits], rule: str) -> None:
    contract = type("Broken", (WatermarkContract,), {"component": broken})
    failed = [outcome.rule for outcome in run(contract) if not outcome.kept]
    assert any(one.startswith(rule) for one in failed), failed
