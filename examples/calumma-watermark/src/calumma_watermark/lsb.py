"""watermark/lsb: length, checksum and text in the last bits of the channels, row by row from the upper left corner."""

from __future__ import annotations

import zlib

import numpy as np
from calumma.documents import Document, Pixels
from calumma.errors import InputError
from calumma.interfaces import Noise

from calumma_watermark.interface import Watermark
from calumma_watermark.options import LastBitsOptions

HEAD = 2 + 4  # bytes: the length of the text, then the CRC-32 of length and text
HEAD_BITS = 8 * HEAD


class LastBits(Watermark):
    """One copy of the message; cropping, scaling or a lossy file destroys it, and `read` then says None."""

    Options = LastBitsOptions
    options: LastBitsOptions

    @property
    def message(self) -> str:
        """The option of that name."""
        return self.options.message

    def finish(self, image: Pixels, document: Document, noise: Noise, sample: int) -> Pixels:
        """A copy whose first bits are the message's."""
        text = self.message.encode()
        length = len(text).to_bytes(2, "big")
        bits = np.unpackbits(np.frombuffer(length + _checksum(length + text) + text, np.uint8))
        if len(bits) > image.size:
            height, width = image.shape[:2]
            raise InputError(
                f"A picture of {width} x {height} pixels is too small for a message of {len(text)} bytes.",
                f"Shorten it to {max(0, image.size // 8 - HEAD)}, or draw larger pictures.",
            )
        marked = image.flatten()
        marked[: len(bits)] = marked[: len(bits)] & 0xFE | bits
        return marked.reshape(image.shape)

    def read(self, image: Pixels) -> str | None:
        """What length and checksum vouch for."""
        bits = image.flatten() & 1
        head = np.packbits(bits[:HEAD_BITS]).tobytes()
        count = int.from_bytes(head[:2], "big")
        text = np.packbits(bits[HEAD_BITS : HEAD_BITS + 8 * count]).tobytes()
        if not count or len(text) < count or _checksum(head[:2] + text) != head[2:]:
            return None
        return text.decode(errors="replace")


def _checksum(content: bytes) -> bytes:
    return zlib.crc32(content).to_bytes(4, "big")
