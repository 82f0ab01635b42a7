"""Members of a tar file that anybody may have made: read once from front to back, bounded in memory, never put on a disk.

Python's `tarfile` follows what headers say: it would read a header of any length, wait for a size that the file does not
have, and take a damaged header for the end. Here each of these ends the archive, with a reason.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

from calumma.bank.sources.places import UnusableError, unreadable
from calumma.files import open_file

MAX_HEADER = 2**20  # of a long name, or of extended attributes
_BEFORE_ANOTHER = frozenset(
    {tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK}
)


@dataclass(frozen=True)
class Member:
    """A file of an archive: its content, or why it has none, such as "is a link"; neither where it was not wanted."""

    name: str
    content: bytes | None = None
    reason: str = ""


def read_tar(path: Path, most: Callable[[str], int]) -> Iterator[Member]:
    """Members in order, without folders.

    Args:
        most: the most bytes that a member of a name may have; 0 for one whose content nobody wants.

    Raises UnusableError: no ordinary file, no tar, or cut off or damaged after what came.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                return
            with tarfile.open(fileobj=file, mode="r|", bufsize=2**16, tarinfo=_Header) as archive:
                yield from _members(archive, size, most)
                file.seek(archive.offset)
            end = file.read(tarfile.BLOCKSIZE)
            if len(end) < tarfile.BLOCKSIZE or any(end):
                raise tarfile.ReadError("the archive has no end")
    except OSError as error:
        raise unreadable(error) from error
    except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
        raise UnusableError("damaged or cut off: the rest of the archive cannot be read") from error


def _members(archive: tarfile.TarFile, size: int, most: Callable[[str], int]) -> Iterator[Member]:
    while (header := archive.next()) is not None:
        cast(Any, archive).members.clear()  # else they pile up
        name = header.name.removeprefix("./")
        if archive.offset > size:
            raise tarfile.ReadError("a member is said to reach beyond the file")
        if name.startswith("/") or ".." in name.split("/"):
            yield Member(name, reason="points outside of the archive")
        elif header.isdir():
            continue
        elif header.issparse() or not header.isreg():
            yield Member(name, reason=f"is {_kind(header)}")
        elif header.size > (limit := most(name)):
            yield Member(name, reason=f"is too large: it holds more than {limit:,} bytes" if limit else "")
        else:
            content = archive.extractfile(header)
            yield Member(name, content.read() if content is not None else b"")


def _kind(header: tarfile.TarInfo) -> str:
    if header.issym() or header.islnk():
        return "a link"
    return "a sparse file" if header.issparse() else "a device or a pipe"


class _Header(tarfile.TarInfo):
    """Refuses a header that precedes another, such as one with a long name, of a size that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _BEFORE_ANOTHER and header.size > MAX_HEADER):
            raise tarfile.ReadError("a header of an impossible size")
        return header
