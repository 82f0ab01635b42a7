"""Indexes are derived from one version of a bank: kept beside it, checked when opened, built again when in doubt."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from calumma.bank.trust import cache_folder, is_sealed, is_trusted, seal
from calumma.files import read_text
from calumma.interfaces import Retriever, sha256_of

if TYPE_CHECKING:
    from calumma.bank.bank import Bank

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"
MAX_MANIFEST = 2**20


class _Unusable(Exception):  # noqa: N818  (no error: the index is built again)
    """Why what lies in an index's place is not opened, as a phrase."""


def ready_index(bank: Bank, retriever: Retriever) -> Retriever:
    """The retriever's index of a bank: opened where it was kept, else built and kept."""
    if not retriever.accepts:
        return retriever
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', retriever.index_key())}-v{bank.version}"
    places = [cache_folder() / "indexes" / bank.info.identity / name]
    if not (bank.path / "_indexes").is_symlink():  # a bank of somebody else may not say where we write
        places.insert(0, bank.path / "_indexes" / name)
    reasons = []
    for place in places:
        if place.is_dir():
            try:
                return _opened(bank, retriever, place)
            except _Unusable as error:
                reasons.append(f"The index {place} is not opened: {error}; it is built again.")
    for reason in reasons:
        log.warning(reason)
    index = type(retriever)(retriever.options)
    index.id = retriever.id
    index.add(bank.entries(texts="text" in retriever.accepts))
    for place in places:
        if _keep(bank, index, place):
            break
    else:
        log.warning("The index %s could not be kept; it will be built again next time.", name)
    return index


def _manifest(bank: Bank, retriever: Retriever, folder: Path) -> dict[str, object]:
    files = {file.name: _digest(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST}
    return {"retriever": retriever.index_key(), "bank": bank.info.identity, "version": bank.version, "files": files}


def _digest(file: Path) -> str:
    if not file.is_file() and not file.is_dir():
        raise _Unusable(f"{file.name} is a pipe, a device or a broken link")
    return sha256_of(file)


def _opened(bank: Bank, retriever: Retriever, place: Path) -> Retriever:
    """Raises _Unusable where what lies there is not exactly what this user wrote: engines may crash on anything else."""
    try:
        told = json.loads(read_text(place / MANIFEST, MAX_MANIFEST))
        sealed = told.pop("seal", "")
        if not is_trusted(place) and not is_sealed(told, sealed):
            raise _Unusable("it was not built by this user's Calumma, and an index can hold what crashes its engine, or worse")
        if told != _manifest(bank, retriever, place):
            raise _Unusable("its files are not those that were written")
        index = type(retriever).open(place, retriever.options)
    except _Unusable:
        raise
    except Exception as error:  # of the engine, or of the file system
        raise _Unusable(f"{type(error).__name__}: {error}".rstrip(".")) from error
    index.id = retriever.id
    return index


def _keep(bank: Bank, index: Retriever, place: Path) -> bool:
    """Writes beside its place, then moves it there; False where that cannot be written."""
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        index.save(temporary)
        manifest = _manifest(bank, index, temporary)
        (temporary / MANIFEST).write_text(json.dumps(manifest | {"seal": seal(manifest)}), encoding="utf-8")
        temporary.chmod(0o755)
        if place.exists():
            os.rename(place, temporary / "damaged")  # goes with the temporary folder's old content below
            shutil.rmtree(temporary / "damaged")
        os.rename(temporary, place)
    except (OSError, RuntimeError):
        return False
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
    return True
