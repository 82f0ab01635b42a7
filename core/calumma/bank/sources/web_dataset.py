"""Tar files of samples as WebDataset has them, and what img2dataset writes.

Read by Python's own `tarfile`, not by the package `webdataset`: that one stops at the first damaged archive or calls a
handler without saying what was lost, opens what a name such as `pipe:` tells it to run, and would be one more dependency.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from calumma.bank.sources.img2dataset import failed_rows, row_count
from calumma.bank.sources.parts import PartedSource
from calumma.bank.sources.places import (
    EMPTY,
    MISSING,
    FoundFile,
    Names,
    UnusableError,
    files_below,
    has_files,
    inside,
    text_of,
)
from calumma.bank.sources.rows import Columns, json_object, make_item, take_text
from calumma.bank.sources.source import Item, Skipped
from calumma.bank.sources.tar_stream import Member, read_tar
from calumma.documents.pictures import MAX_FILE
from calumma.documents.printing import printable
from calumma.errors import BankError

TAR, IMAGES = ".tar", frozenset({"jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff"})
MAX_TEXT = 2**20
MAX_SHARDS = 1_000_000
_SAMPLE = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)\Z", re.DOTALL)  # a key, then everything after the first dot
_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")


@dataclass
class _Sample:
    """What one key has gathered, by extension; `reason` says why it cannot be used."""

    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    reason: str = ""


class WebDataset(PartedSource[FoundFile]):
    """A tar file, a folder of them, or a pattern such as `shard-{000000..000010}.tar`.

    Neighbouring members of one name, up to its first dot, are a sample: its first picture, the text of `.txt` or else of
    `text` or `caption` in `.json`, and the other values of `.json` as metadata. Other members are passed by. A sample
    without a picture is a text alone. Documents are called `TAR/KEY`.

    The id is `id` in the `.json`, else the hash of the content. It is not img2dataset's `key`, which counts the rows of one
    run: another run gives the same keys to other pictures, and both could not be in one bank. What img2dataset could not
    download is in the Parquet file beside a tar alone, and is reported as left out, with img2dataset's reason.

    Args:
        text_column, id_column: other keys of `.json` for the text (which then is not taken from `.txt`) and the id.
        uncaptioned: take pictures without a caption too, as pictures alone.

    Raises BankError: there are no tar files.
    """

    def __init__(
        self, path: str | Path, text_column: str | None = None, id_column: str | None = None, uncaptioned: bool = False
    ) -> None:
        place = Path(path).expanduser().absolute()
        self.name = str(place)
        self.columns = Columns(text_column, id=id_column or "id", uncaptioned=uncaptioned)
        self.parts: Sequence[FoundFile] = _tar_files(place)
        if all(part.reason == MISSING for part in self.parts):
            fix = "Give a .tar file, a folder of them, or a pattern such as shard-{000000..000010}.tar."
            raise BankError(f"There are no tar files at {path}.", fix)
        number = f"{len(self.parts)} tar file{'s' * (len(self.parts) > 1)}"
        counted = row_count(self.parts[0].path) is not None
        self.format = f"img2dataset's output, {number}." if counted else f"A webdataset of {number}."

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether a path is a tar file, a folder that has one, or a pattern of them."""
        if path.is_dir():
            return has_files(path, TAR)
        return path.suffix.lower() == TAR and (path.exists() or _BRACES.search(str(path)) is not None)

    def read(self, part: FoundFile) -> Iterator[Item | Skipped]:
        names, empty = Names(), True
        try:
            for sample in _samples(read_tar(part.usable(), _most)):
                empty = False
                yield self._item(names(f"{part.name}/{sample.key}"), sample)
        except UnusableError as error:
            empty = False
            yield error.skipped(names(part.name))
        for failed in self._failed(part, names):
            empty = False
            yield failed
        if empty:
            yield Skipped(part.name, EMPTY)

    def count(self) -> int | None:
        """As img2dataset counted; None without its files."""
        counts = [1 if part.reason else row_count(part.path) for part in self.parts]
        return None if any(count is None for count in counts) else sum(count or 0 for count in counts)

    def _item(self, name: str, sample: _Sample) -> Item | Skipped:
        if sample.reason:
            return Skipped(name, sample.reason)
        try:
            values = json_object(sample.files["json"], "its json cannot be read") if "json" in sample.files else {}
            text = text_of(sample.files["txt"]) if "txt" in sample.files and self.columns.text is None else ""
        except UnusableError as error:
            return error.skipped(name)
        if not text:
            text = take_text(values, self.columns)
        values = {key: value for key, value in values.items() if key not in self.columns.texts or value != text}
        image = next((content for kind, content in sample.files.items() if kind in IMAGES), None)
        return make_item(name, text, image, values, self.columns)

    def _failed(self, part: FoundFile, names: Names) -> Iterator[Skipped]:
        """Rows of img2dataset's own list that are not in the tar."""
        try:
            for key, reason in failed_rows(part.path) if not part.reason else ():
                if (name := f"{part.name}/{key}") not in names:
                    yield Skipped(names(name), reason)
        except UnusableError as error:
            yield error.skipped(names(f"{part.name.removesuffix(part.path.suffix)}.parquet"))


def _split(name: str) -> tuple[str, str]:
    """(key, extension) of a member, ("", "") where it has none."""
    found = _SAMPLE.match(name)
    return (found[1], found[2].lower()) if found else ("", "")


def _most(name: str) -> int:
    kind = _split(name)[1]
    return MAX_FILE if kind in IMAGES else MAX_TEXT if kind in ("txt", "json") else 0


def _samples(members: Iterator[Member]) -> Iterator[_Sample]:
    """Neighbours of one key together; the one that was being gathered where the archive is cut off is left out."""
    sample = _Sample("")
    for member in members:
        key, kind = _split(member.name)
        if not key or (member.reason and not _most(member.name)):
            yield _Sample(member.name, reason=f"a member that {member.reason or 'is part of no sample'}")
            continue
        if key != sample.key or kind in sample.files:
            if sample.key:
                yield sample
            sample = _Sample(key)
        if member.reason:
            sample.reason = sample.reason or f"its {kind} {member.reason}"
        elif member.content is not None and not (kind in IMAGES and IMAGES & sample.files.keys()):
            sample.files[kind] = member.content
    if sample.key:
        yield sample


def _tar_files(place: Path) -> list[FoundFile]:
    if place.is_dir():
        return files_below(place.resolve(), TAR)
    if place.exists():
        return [FoundFile(place.resolve(), printable(place.name))]
    root = place
    while _BRACES.search(str(root)):
        root = root.parent
    names, found = Names(), list[FoundFile]()
    for one in _expanded(place) if root != place else ():
        name = names(one.relative_to(root).as_posix())
        try:
            found.append(FoundFile(inside(root.resolve(), one), name))
        except UnusableError as error:
            found.append(FoundFile(one, name, str(error)))
    return found


def _expanded(pattern: Path) -> Iterator[Path]:
    """Every path of a pattern with {000..123} and {a,b}, in order. Raises BankError for more than a million."""
    pieces, start, count = list[Sequence[str]](), 0, 1
    text = str(pattern)
    for found in _BRACES.finditer(text):
        first, last, names = found.groups()
        choices = names.split(",") if names is not None else _numbers(first, last)
        pieces += [[text[start : found.start()]], choices]
        start, count = found.end(), count * len(choices)
        if count > MAX_SHARDS:
            raise BankError(f"{pattern} stands for more than {MAX_SHARDS:,} files.", "Give the folder instead.")
    return (Path("".join(one)) for one in itertools.product(*pieces, [text[start:]]))


def _numbers(first: str, last: str) -> list[str]:
    if abs(int(last) - int(first)) >= MAX_SHARDS:
        raise BankError(f"{{{first}..{last}}} stands for more than {MAX_SHARDS:,} files.", "Give the folder instead.")
    width = max(len(first), len(last)) if "0" in (first[0], last[0]) and max(len(first), len(last)) > 1 else 0
    step = 1 if int(last) >= int(first) else -1
    return [str(number).zfill(width) for number in range(int(first), int(last) + step, step)]
