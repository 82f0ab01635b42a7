"""What a plugin says of its components and kinds, without importing what they need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ComponentSpec:
    """One component, described so that it can be listed, validated and explained before anything heavy is imported.

    Attributes:
        kind: name of its kind, such as "retriever".
        name: `plugin/component`, with `@n` from the second meaning on.
        summary: one line.
        target: import string of the class, "package.module:Class".
        options: import string of its Options; that module imports pydantic and calumma only.
        requires: modules that must be importable; looked for, never imported, to tell `missing-extra`.
        install: what to install for them, such as "calumma[hnswlib]".
        capabilities: facts for wiring, such as {"deletes": True} or {"streams": "conditional,unconditional"}.
        assets: option names that hold assets.
        example: import string of a function `(folder: Path) -> options` of a small instance that needs no network, which may
            write the files it needs into the empty folder; empty where the defaults are one. Contracts and the docs use it.
        licence: SPDX expression of the component's code. links: name -> address of paper or project.
    """

    kind: str
    name: str
    summary: str
    target: str
    options: str
    requires: tuple[str, ...] = ()
    install: str = ""
    capabilities: Mapping[str, object] = field(default_factory=dict)
    assets: tuple[str, ...] = ()
    example: str = ""
    licence: str = "Apache-2.0"
    links: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class KindSpec:
    """One kind of component.

    Attributes:
        interface: import string of the class that its components inherit.
        contract: import string of its contract test class; empty if it has none.
        template: `package:file`, the text of a small component, for `calumma plugins new`; empty if it has none. The module
            `calumma.scaffold.template` says how it is written and which placeholders it may use.
    """

    name: str
    summary: str
    interface: str
    contract: str = ""
    template: str = ""
