"""What every source keeps, whatever it reads; and the files that tests of sources are made of."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from calumma.bank import Item, Skipped, Source

from .conftest import encoded, picture

RED = encoded(picture((200, 30, 30), 0))
BLUE = encoded(picture((30, 30, 200), 3))


def found(source: Source, damaged: bool = False) -> list[Item | Skipped]:
    """Everything of a source, after the rules that all sources keep were checked.

    Args:
        damaged: so that it has fewer documents than its files promise.
    """
    first = list(source)
    for again in (source, pickle.loads(pickle.dumps(source)), (one for shard in source.shards() for one in shard)):
        assert_same(first, list(again))
    for shard in source.shards():
        assert_same(list(shard), list(pickle.loads(pickle.dumps(shard))))
        assert len(shard.shards()) == 1
        assert damaged or shard.count() in (None, len(list(shard)))
    names = [one.name for one in first]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() for name in names)
    assert damaged or source.count() in (None, len(first))
    assert source.format.endswith(".")
    for one in first:
        if isinstance(one, Item):
            json.dumps(dict(one.metadata), allow_nan=False)
    return first


def by_name(source: Source, damaged: bool = False) -> dict[str, Item | Skipped]:
    return {one.name: one for one in found(source, damaged)}


def items(source: Source) -> list[Item]:
    """The same, where nothing may be skipped."""
    every = found(source)
    assert not [one for one in every if isinstance(one, Skipped)]
    return [one for one in every if isinstance(one, Item)]


def reasons(source: Source) -> dict[str, str]:
    """Name -> reason of what was skipped."""
    return {one.name: one.reason for one in found(source) if isinstance(one, Skipped)}


def assert_same(first: list[Item | Skipped], second: list[Item | Skipped]) -> None:
    assert first == second
    for one, other in zip(first, second, strict=True):
        for part in ("text_vector", "image_vector"):
            np.testing.assert_array_equal(getattr(one, part, None), getattr(other, part, None))


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size = kind, target, len(content)
    return info, content


def write_tar(path: Path, members: Mapping[str, bytes] | Iterable[tuple[tarfile.TarInfo, bytes]]) -> Path:
    given = [member(*one) for one in members.items()] if isinstance(members, Mapping) else members
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for info, content in given:
            archive.addfile(info, io.BytesIO(content))
    return path


def sample(name: str, image: bytes = RED, caption_file: str | None = None, /, **values: Any) -> dict[str, bytes]:
    """Members of a sample as img2dataset orders them."""
    members = {f"{name}.jpg": image}
    if caption_file is not None:
        members[f"{name}.txt"] = caption_file.encode()
    return {**members, f"{name}.json": json.dumps(values).encode()} if values else members
