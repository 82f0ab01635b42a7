"""Files that a source names: below its folder and nowhere else; and what they are called in a report."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from calumma.bank.sources.source import Skipped
from calumma.documents.pictures import MAX_FILE
from calumma.documents.printing import printable
from calumma.files import read_file

OUTSIDE = "points outside of its folder"
MISSING = "no such file"
EMPTY = "an empty shard"


class UnusableError(Exception):
    """A document or a shard that has to be left out; it says why, as a phrase."""

    def skipped(self, name: str) -> Skipped:
        """The same as a source reports it."""
        return Skipped(name, str(self))


class Names:
    """Gives every name once, as it may be printed: a second `a` is `a#2`."""

    def __init__(self) -> None:
        self._given: dict[str, int] = {}

    def __call__(self, name: str) -> str:
        name = printable(name)
        count = self._given[name] = self._given.get(name, 0) + 1
        return name if count == 1 else self(f"{name}#{count}")

    def __contains__(self, name: str) -> bool:
        return printable(name) in self._given


@dataclass(frozen=True)
class FoundFile:
    """A file of a source: what to call it, and why it cannot be used, if so."""

    path: Path
    name: str
    reason: str = ""

    def usable(self) -> Path:
        """Its path. Raises UnusableError."""
        if self.reason:
            raise UnusableError(self.reason)
        return self.path


def files_below(folder: Path, *suffixes: str) -> list[FoundFile]:
    """Files of these suffixes in a folder and its subfolders, in the order of their paths; hidden ones are no part of it."""
    names, found = Names(), list[FoundFile]()
    for path in _sorted_files(folder, suffixes):
        name = names(path.relative_to(folder).as_posix())
        try:
            found.append(FoundFile(inside(folder, path), name))
        except UnusableError as error:
            found.append(FoundFile(path, name, str(error)))
    return found


def has_files(folder: Path, *suffixes: str) -> bool:
    """Whether `files_below` would give any; it stops at the first."""
    return any(_is_visible(path, folder) for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def _sorted_files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
    return sorted((path for path in found if _is_visible(path, folder)), key=lambda path: path.relative_to(folder).as_posix())


def _is_visible(path: Path, folder: Path) -> bool:
    return not path.is_dir() and not any(part.startswith(".") for part in path.relative_to(folder).parts)


def inside(folder: Path, path: Path) -> Path:
    """A path with links followed. Raises UnusableError: it leads out of `folder` (resolved), or no ordinary file is there."""
    try:
        resolved = path.resolve()
        if not resolved.is_relative_to(folder):
            raise UnusableError(OUTSIDE)
        if not resolved.is_file():
            raise UnusableError(MISSING)
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, with a NUL byte, or a link to itself
        raise UnusableError(MISSING) from error
    return resolved


def picture_at(folder: Path, given: str) -> bytes:
    """The file that a table names, relative to its folder (resolved). Raises UnusableError."""
    return content_of_file(inside(folder, folder / given), MAX_FILE)


def content_of_file(path: Path, most: int) -> bytes:
    """The content of an ordinary file of at most `most` bytes. Raises UnusableError."""
    try:
        return read_file(path, most)
    except OSError as error:
        raise unreadable(error) from error


def unreadable(error: Exception) -> UnusableError:
    """What a library raised about a file, as a phrase of one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    return UnusableError(f"unreadable: {printable(' '.join(said.split())[:200])}")


def text_of(content: bytes) -> str:
    """UTF-8, with or without a byte order mark, stripped. Raises UnusableError."""
    try:
        return content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise UnusableError("a text that is not UTF-8") from error
