"""Opens whatever holds documents: what it is can be seen from what lies there."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from calumma.bank.sources.bank_source import BankSource
from calumma.bank.sources.clip_retrieval import ClipRetrieval
from calumma.bank.sources.hf_dataset import HFDataset, refuse_hub
from calumma.bank.sources.image_folder import ImageFolder
from calumma.bank.sources.source import Source
from calumma.bank.sources.table import Table
from calumma.bank.sources.web_dataset import WebDataset
from calumma.errors import BankError
from calumma.extension.nearest import suggestion

FORMATS: dict[str, Any] = {  # the most specific first
    "bank": BankSource,
    "clip-retrieval": ClipRetrieval,
    "datasets": HFDataset,
    "webdataset": WebDataset,
    "image-folder": ImageFolder,
    "table": Table,
}
READABLE = (
    "a bank; a folder of clip-retrieval; a folder that Hugging Face's datasets saved; .tar files of webdataset or img2dataset; "
    "a folder of pictures with captions; .parquet, .jsonl or .ndjson files"
)


def open_source(path: str | Path, format: str | None = None, **options: Any) -> Source:
    """The source of the documents that lie at a path; its attribute `format` says what was recognised.

    >>> for item in open_source("laion/{00000..00010}.tar"):
    ...     print(item.name)

    Args:
        format: "bank", "clip-retrieval", "datasets", "webdataset", "image-folder" or "table"; None looks.
        options: of the class that reads it, such as `text_column`.

    Raises:
        BankError: nothing is there that can be read, or no such format or option.
        ComponentError: a library is not installed.
    """
    refuse_hub(path)
    name = _recognised(path) if format is None else format
    if name not in FORMATS:
        raise BankError(f"There is no format {format!r}.", suggestion(name, FORMATS, "formats"))
    known = [one for one in inspect.signature(FORMATS[name]).parameters if one != "path"]
    for option in options:
        if option not in known:
            raise BankError(f"{name} has no option {option!r}.", suggestion(option, known, "options"))
    source = FORMATS[name](path, **options)
    assert isinstance(source, Source)
    return source


def _recognised(path: str | Path) -> str:
    place = Path(path).expanduser()
    for name, reader in FORMATS.items():
        if reader.recognises(place):
            return name
    there = "holds nothing that can be read" if place.exists() else "is not there"
    raise BankError(f"{path} {there}.", f"Give {READABLE}.")
