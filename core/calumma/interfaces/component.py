"""What all components share: options, assets, a cheap constructor, `warm_up`, a fingerprint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from calumma.errors import AssetError, ComponentError

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue

Device = str
Dtype = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Asset:
    """A file or folder that a component reads: a path, `PLUGIN:file`, or `hf:org/repo/file@revision`.

    Options hold it unresolved (`path` is None); the registry and the catalog put an absolute `path` in before they build.
    """

    source: str
    path: Path | None = None

    @property
    def local(self) -> Path:
        """The absolute path. Raises AssetError if nobody resolved it."""
        if self.path is None:
            raise AssetError(f"The asset {self.source!r} was not resolved.", "Build the component through the catalog.")
        return self.path

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def parse(value: object) -> Asset:
            if isinstance(value, Asset):
                return value
            if isinstance(value, (str, Path)) and str(value).strip():
                return cls(str(value))
            raise ValueError("should be a path, PLUGIN:file or hf:org/repo/file@revision")

        return core_schema.no_info_plain_validator_function(
            parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda asset: asset.source)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "description": "a path, PLUGIN:file, or hf:org/repo/file@revision"}


@dataclass(frozen=True)
class Part:
    """An option that is itself a component: `{use: id, ...}`, the name of a registry component, or a component id.

    Options hold the source; the registry puts the built component in (`component`) before it builds the owner.
    """

    source: Any
    component: Component | None = None

    @property
    def built(self) -> Component:
        """The component. Raises ComponentError if nobody built it."""
        if self.component is None:
            raise ComponentError(f"The part {self.source!r} was not built.", "Build the component through the catalog.")
        return self.component

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[Any], handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        def parse(value: object) -> Part:
            if isinstance(value, Part):
                return value
            if isinstance(value, Component):
                return cls(value.id, value)
            if isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("use"), str)):
                return cls(value)
            raise ValueError("should be the name of a component, a component id, or {use: id, ...}")

        return core_schema.no_info_plain_validator_function(
            parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda part: part.source)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {
            "anyOf": [{"type": "string"}, {"type": "object", "required": ["use"], "properties": {"use": {"type": "string"}}}]
        }


class Options(BaseModel):
    """Base of every component's options: unknown names are refused, every field is described and bounded.

    A field that changes what the component computes (not how fast, or where) is declared with
    `json_schema_extra={"meaning": True}`; it then enters the fingerprint. Assets always do, by their sha256.
    A field that is itself a component is typed `Part` and says its kind: `json_schema_extra={"kind": "retriever"}`.
    A retriever's field that `calumma bank tune` may vary says which values are worth a try: `{"tune": [16, 32, 64]}`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


AnyOptions = Options  # `Component.Options` hides the name inside the class


class Component:
    """One swappable part. The constructor is cheap: no weights, no engine, no torch. `warm_up` loads.

    Attributes:
        id: the component id (`plugin/component[@n]`) under which it was built.
        options: the validated options, with every asset resolved.
    """

    Options: ClassVar[type[AnyOptions]] = AnyOptions
    id: str = ""

    def __init__(self, options: AnyOptions) -> None:
        self.options = options

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        """Loads weights and engines onto `device`. Idempotent. Raises AssetError where a file is not what it should be."""

    def fingerprint(self) -> str:
        """Identity of what this component computes: `id#` and 16 hex digits over meaning options and asset contents."""
        values: dict[str, object] = {}
        for name, field in type(self.options).model_fields.items():
            value = getattr(self.options, name)
            if isinstance(value, Asset):
                values[name] = sha256_of(value.local)
            elif isinstance(value, Part):
                values[name] = value.built.fingerprint()
            elif isinstance(value, list) and any(isinstance(one, Part) for one in value):
                values[name] = [one.built.fingerprint() for one in value if isinstance(one, Part)]
            elif _changes_meaning(field):
                values[name] = self.options.model_dump(mode="json", include={name})[name]
        digest = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
        return f"{self.id}#{digest[:16]}"

    def assets(self) -> Iterator[tuple[str, Path]]:
        """(option name, absolute path) of each asset in use."""
        for name in type(self.options).model_fields:
            value = getattr(self.options, name)
            if isinstance(value, Asset):
                yield name, value.local

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"


def _changes_meaning(field: FieldInfo) -> bool:
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("meaning"))


_HASHES: dict[tuple[str, int, int], str] = {}


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, or of a folder's files in the order of their names; cached by path, size and mtime."""
    if path.is_dir():
        parts = [f"{file.relative_to(path).as_posix()} {sha256_of(file)}" for file in sorted(path.rglob("*")) if file.is_file()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    try:
        status = path.stat()
        key = (str(path), status.st_size, status.st_mtime_ns)
        if key not in _HASHES:
            with path.open("rb") as file:
                _HASHES[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise AssetError(f"Cannot read {path}: {error.strerror}.", "Check the path in the registry.") from error
    return _HASHES[key]
