"""A kind of component that Calumma itself does not have, with its contract, its template, and one component."""

from __future__ import annotations

from collections.abc import Iterator

from calumma.extension import ComponentSpec, KindSpec, hookimpl


@hookimpl
def calumma_kinds() -> Iterator[KindSpec]:
    """Offers the kind `watermark`."""
    yield KindSpec(
        name="watermark",
        summary="Marks finished pictures so that a program can tell them.",
        interface="calumma_watermark.interface:Watermark",
        contract="calumma_watermark.contract:WatermarkContract",
        template="calumma_watermark:template.txt",
    )


@hookimpl
def calumma_components() -> Iterator[ComponentSpec]:
    """Offers watermark/lsb."""
    yield ComponentSpec(
        kind="watermark",
        name="watermark/lsb",
        summary="Writes a message and its checksum into the last bits of a picture; invisible, and survives PNG.",
        target="calumma_watermark.lsb:LastBits",
        options="calumma_watermark.options:LastBitsOptions",
        install="calumma-watermark",
        capabilities={"survives": "lossless files"},
        links={"about": "https://en.wikipedia.org/wiki/Bit_numbering#Least_significant_bit_in_digital_steganography"},
    )
