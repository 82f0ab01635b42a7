"""A new distribution: which files it has, and how they get onto the disk, all or none."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calumma import __version__
from calumma.errors import FailedError, InputError
from calumma.extension import Catalog
from calumma.extension.discovery import find_module
from calumma.scaffold.names import PREFIX, check_name, class_of, package_of
from calumma.scaffold.template import fill, read


@dataclass(frozen=True)
class Distribution:
    """What is written.

    Attributes:
        name: the plugin's name. distribution: what `pip install` calls it. component: the id of its component.
        files: relative path -> text.
    """

    name: str
    distribution: str
    component: str
    files: Mapping[str, str]


def distribution(name: str, kind: str, catalog: Catalog) -> Distribution:
    """The files of a new plugin with one component of a kind.

    Raises InputError for a name that cannot be had, ComponentError for a kind that does not exist or has no usable template.
    """
    check_name(name, {plugin.name for plugin in catalog.plugins()})
    package = package_of(name)
    if find_module(package) is not None:
        raise InputError(f"There is a package {package} already.", "Choose another name, or uninstall that one.")
    spec = catalog.kind(kind)
    template = read(spec)
    class_name = class_of(name, spec.interface.rpartition(":")[2].rpartition(".")[2])
    values = {
        **template.facts,
        "name": name,
        "distribution": PREFIX + name,
        "package": package,
        "kind": kind,
        "module": re.sub(r"\W", "_", kind),
        "component": f"{name}/{template.facts['component']}",
        "class_name": class_name,
        "options_class": f"{class_name}Options",
        "calumma": __version__,
    }
    return Distribution(name, values["distribution"], values["component"], fill(template, values, kind))


def write(new: Distribution, folder: Path) -> None:
    """Writes the files into a folder that is empty or not there; it is whole or not there at all.

    Raises InputError where the folder holds something or is none, FailedError where the disk refuses.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(
            f"{folder} holds something already." if folder.is_dir() else f"{folder} is no folder.", "Name another."
        )
    target = folder.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{new.name}-", dir=target.parent) as beside:
            whole = Path(beside, "whole")
            for path, text in new.files.items():
                file = whole / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, encoding="utf-8")
            if target.exists():
                target.rmdir()
            whole.rename(target)
    except OSError as error:
        raise FailedError(f"{folder} cannot be written: {error.strerror}.", "Choose another --out folder.") from error
