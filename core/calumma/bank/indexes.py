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

from calumma.errors import CalummaError
from calumma.interfaces import Retriever, sha256_of

if TYPE_CHECKING:
    from calumma.bank.bank import Bank

log = logging.getLogger(__name__)
MANIFEST = "manifest.json"


def cache_folder() -> Path:
    """$CALUMMA_CACHE, or ~/.cache/calumma."""
    return Path(os.environ.get("CALUMMA_CACHE") or "~/.cache/calumma").expanduser()


def ready_index(bank: Bank, retriever: Retriever) -> Retriever:
    """The retriever's index of a bank: opened where it was kept, else built and kept."""
    if not retriever.accepts:
        return retriever
    name = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', retriever.index_key())}-v{bank.version}"
    places = [bank.path / "_indexes" / name, cache_folder() / "indexes" / bank.info.identity / name]
    for place in places:
        if place.is_dir() and (index := _open(bank, retriever, place)) is not None:
            return index
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
    files = {file.name: sha256_of(file) for file in sorted(folder.iterdir()) if file.name != MANIFEST}
    return {"retriever": retriever.index_key(), "bank": bank.info.identity, "version": bank.version, "files": files}


def _open(bank: Bank, retriever: Retriever, place: Path) -> Retriever | None:
    """None, with a notice, where what lies there is not exactly what was kept: engines may crash on damaged files."""
    try:
        if json.loads((place / MANIFEST).read_text(encoding="utf-8")) == _manifest(bank, retriever, place):
            index = type(retriever).open(place, retriever.options)
            index.id = retriever.id
            return index
        reason = "its files are not those that were written"
    except (CalummaError, OSError, ValueError) as error:
        reason = str(error)
    log.warning("The index %s cannot be used (%s); it is built again.", place, reason)
    return None


def _keep(bank: Bank, index: Retriever, place: Path) -> bool:
    """Writes beside its place, then moves it there; False where that cannot be written."""
    temporary = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
        index.save(temporary)
        (temporary / MANIFEST).write_text(json.dumps(_manifest(bank, index, temporary)), encoding="utf-8")
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
