"""Reads ordinary files and nothing else: a pipe would hang, a device never ends, and what is too large never enters memory."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path


def open_file(path: Path) -> io.FileIO:
    """An ordinary file, open for reading and without a buffer; read it to no more than its size.

    Raises OSError: no such file, a folder, not an ordinary file (EINVAL).
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a name with a NUL byte, or half of a surrogate pair
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path)) from error
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return io.FileIO(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path))
    raise OSError(errno.EINVAL, "it is no ordinary file but a pipe, a device or a socket", str(path))


def read_file(path: Path, most: int) -> bytes:
    """The whole content of an ordinary file of at most `most` bytes.

    Raises OSError: no such file, a folder, not an ordinary file (EINVAL), or a larger one (EFBIG).
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = bytearray()
        while max(len(content), size) <= most and (chunk := file.read(2**20)):
            content += chunk
    if max(len(content), size) > most:
        raise OSError(errno.EFBIG, f"it holds more than {most:,} bytes", str(path))
    return bytes(content)


def read_text(path: Path, most: int) -> str:
    """The same as UTF-8, with or without a byte order mark, line ends as `\\n`. Raises OSError, UnicodeDecodeError."""
    return io.TextIOWrapper(io.BytesIO(read_file(path, most)), "utf-8-sig").read()
