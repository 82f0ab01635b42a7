"""From the values of one row, such as a line of JSON, to a document: text, picture, id, and the rest as metadata."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from calumma.bank.sources.places import UnusableError, picture_at
from calumma.bank.sources.source import Item, Skipped
from calumma.documents.pictures import MAX_FILE

TEXTS = ("text", "caption")
IMAGES = ("image", "file_name", "image_path")
MAX_DEPTH = 64
NO_CAPTION = "no caption"
BROKEN_LINE = "a line that cannot be read"


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; None looks for `TEXTS` and `IMAGES`, in that order.

    Attributes:
        uncaptioned: take pictures without a caption too, as pictures alone.
    """

    text: str | None = None
    image: str | None = None
    id: str = "id"
    uncaptioned: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        """Where to look for the text."""
        return TEXTS if self.text is None else (self.text,)

    @property
    def images(self) -> tuple[str, ...]:
        """Where to look for the picture."""
        return IMAGES if self.image is None else (self.image,)


def json_object(content: str | bytes, reason: str = BROKEN_LINE) -> dict[str, Any]:
    """An object as JSON. Raises UnusableError."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UnusableError(reason) from error
    if not isinstance(values, dict):
        raise UnusableError(reason)
    return values


def item_of_row(name: str, row: Mapping[str, Any] | UnusableError, columns: Columns, folder: Path) -> Item | Skipped:
    """A row of a table: `image` holds the bytes of a file, or Hugging Face's {bytes, path}, or a path below `folder`."""
    if isinstance(row, UnusableError):
        return row.skipped(name)
    values = dict(row)
    text = take_text(values, columns)
    try:
        image = _take_image(values, columns, folder)
        return make_item(name, text, image, values, columns)
    except UnusableError as error:
        return error.skipped(name)


def make_item(name: str, text: str, image: bytes | None, values: dict[str, Any], columns: Columns) -> Item | Skipped:
    """An item whose id is taken out of `values`, and whose metadata the others are."""
    if not text and (image is None or not columns.uncaptioned):
        return Skipped(name, NO_CAPTION)
    try:
        given = take_id(values, columns.id)
        return Item(name, text, image, given, metadata_of(values))
    except UnusableError as error:
        return error.skipped(name)


def take_text(values: dict[str, Any], columns: Columns) -> str:
    """The text of a row, stripped, which is taken out of its values; "" where there is none."""
    for key in columns.texts:
        if isinstance(values.get(key), str):
            return str(values.pop(key)).strip()
    return ""


def take_id(values: dict[str, Any], column: str) -> str | None:
    """The caller's id, which is taken out of a row's values. Raises UnusableError for one that is neither text nor a number."""
    given = values.pop(column, None)
    if given is None or given == "" or (isinstance(given, float) and math.isnan(given)):
        return None
    if isinstance(given, (Mapping, list, tuple, bytes)):
        raise UnusableError("an id that is neither text nor a number")
    try:
        return str(given).encode().decode()
    except UnicodeEncodeError as error:
        raise UnusableError("an id that is not valid Unicode") from error


def metadata_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON has them, without those that are missing; of an object in `metadata`, or of its JSON, each value.

    Raises UnusableError.
    """
    more = _object(values.get("metadata"))
    every = values if more is None else {**more, **{key: value for key, value in values.items() if key != "metadata"}}
    found = {str(key): json_value(value) for key, value in every.items()}
    return {key: value for key, value in found.items() if value is not None}


def json_value(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it: dates and times as ISO 8601, NaN, infinity and bytes as null, others as text.

    Raises UnusableError where lists and objects lie too deep in one another.
    """
    if depth > MAX_DEPTH:
        raise UnusableError("metadata that is nested too deeply")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): json_value(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(one, depth + 1) for one in value]
    if isinstance(value, bytes):
        return None
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return json_value(value.tolist(), depth + 1)
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _object(value: Any) -> Mapping[str, Any] | None:
    if isinstance(value, str) and value.startswith("{"):
        try:
            return json_object(value)
        except UnusableError:
            return None
    return value if isinstance(value, Mapping) else None


def _take_image(values: dict[str, Any], columns: Columns, folder: Path) -> bytes | None:
    key = next((key for key in columns.images if values.get(key) is not None), None)
    if key is None:
        return None
    given = values.pop(key)
    if isinstance(given, Mapping):
        given = given.get("bytes") or given.get("path")
    if isinstance(given, bytes):
        return checked_size(given)
    if isinstance(given, str):
        return picture_at(folder, given) if given else None
    if given is None:
        return None
    raise UnusableError("an image that is neither the bytes of a file nor a path")


def checked_size(image: bytes) -> bytes:
    """The same bytes. Raises UnusableError where no picture file may be so large."""
    if len(image) > MAX_FILE:
        raise UnusableError(f"too large: the picture file holds more than {MAX_FILE:,} bytes")
    return image
