"""Hostile files of weights, made as an attacker would make them."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .conftest import Canary

Maker = Callable[[Path, Canary], None]


def plain_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(canary.pickled())


def old_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(canary.pickled(0))


def new_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(canary.pickled(5))


def torch_zip(path: Path, canary: Canary) -> None:
    """What `torch.save` writes, its pickle replaced."""
    _rewritten(path, canary.pickled())


def torch_zip_beside_tensors(path: Path, canary: Canary) -> None:
    torch.save({"state_dict": {"a": torch.ones(2)}, "callbacks": _Runner(canary)}, path)


def torch_before_zips(path: Path, canary: Canary) -> None:
    torch.save({"state_dict": _Runner(canary)}, path, _use_new_zipfile_serialization=False)


def torch_tar(path: Path, canary: Canary) -> None:
    """The first format of torch: a tar of storages, tensors and a pickle."""
    with tarfile.open(path, "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            info = tarfile.TarInfo(name)
            info.size = len(canary.pickled())
            archive.addfile(info, io.BytesIO(canary.pickled()))


def torch_script(path: Path, canary: Canary) -> None:
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))


def numpy_objects(path: Path, canary: Canary) -> None:
    with path.open("wb") as file:
        np.save(file, np.array([_Runner(canary)], object), allow_pickle=True)


def numpy_zip_of_objects(path: Path, canary: Canary) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.array([_Runner(canary)], object))


def compressed_zip(path: Path, canary: Canary) -> None:
    """A torch zip whose one storage unpacks to 64 MB."""
    torch.save({"a": torch.zeros(1)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, bytes(2**26) if "/data/" in name else content)


def overlapping_zip(path: Path, canary: Canary) -> None:
    """A zip of many entries that are all the same bytes, so that it unpacks to a thousand times itself."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", bytes(2**16))
        archive.filelist *= 1000
    path.write_bytes(buffer.getvalue())


def huge_storage(path: Path, canary: Canary) -> None:
    """A torch zip that claims 40 TB in one tensor of four bytes."""

    class Claims:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch._utils._rebuild_tensor_v2, (_Storage(), 0, (10**13,), (1,), False, OrderedDict())

    class _Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, one: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", 10**13) if isinstance(one, _Storage) else None

    buffer = io.BytesIO()
    Pickler(buffer, 2).dump({"state_dict": {"a": Claims()}})
    _rewritten(path, buffer.getvalue())


def half_a_zip(path: Path, canary: Canary) -> None:
    torch.save({"a": torch.zeros(99)}, path)
    path.write_bytes(path.read_bytes()[:500])


def names_that_are_none(path: Path, canary: Canary) -> None:
    torch.save({"state_dict": {1: torch.zeros(1)}}, path)


def nested_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")


PICKLES: dict[str, Maker] = {
    one.__name__.replace("_", " "): one
    for one in (
        plain_pickle, old_pickle, new_pickle, torch_zip, torch_zip_beside_tensors, torch_before_zips, torch_tar, torch_script,
        numpy_objects, numpy_zip_of_objects, compressed_zip, overlapping_zip, huge_storage, half_a_zip, names_that_are_none,
        nested_pickle,
    )
}  # fmt: skip


def tensors(header: object, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of any header, its length told truly or not."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def one(shape: list[int], start: int, end: int, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


SAFETENSORS = {
    "a header of 2**63 bytes": tensors({}, length=2**63),
    "a header longer than the file": tensors({}, length=10_000_000),
    "a header of 0 bytes": struct.pack("<Q", 0),
    "tensors that overlap": tensors({"a": one([4], 0, 16), "b": one([4], 8, 24)}, bytes(24)),
    "a tensor that begins beyond the file": tensors({"a": one([1], 2**40, 2**40 + 4)}, bytes(4)),
    "a tensor that ends before it begins": tensors({"a": one([1], 4, 0)}, bytes(4)),
    "a shape that overflows": tensors({"a": one([2**62, 2**62], 0, 4)}, bytes(4)),
    "a shape of its own": tensors({"a": one([10**9], 0, 4)}, bytes(4)),
    "a negative shape": tensors({"a": one([-1], 0, 4)}, bytes(4)),
    "a type that does not exist": tensors({"a": one([1], 0, 4, "OBJECT")}, bytes(4)),
    "a header nested 100,000 deep": tensors(b"[" * 100_000 + b"]" * 100_000),
    "bytes behind the tensors": tensors({"a": one([1], 0, 4)}, bytes(4000)),
    "no header": b"\x05",
    "nothing": b"",
}


class _Runner:
    def __init__(self, canary: Canary) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.system, (self.canary.command,)


def _rewritten(path: Path, content: bytes) -> None:
    torch.save({"a": torch.ones(1)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in members.items():
            archive.writestr(name, content if name.endswith("data.pkl") else old)
