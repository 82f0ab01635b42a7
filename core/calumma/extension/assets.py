"""Where an asset's source text leads on this machine. No relative path leaves its root."""

from __future__ import annotations

import importlib
import os
import re
import stat
from pathlib import Path
from typing import Any

from calumma.errors import AssetError

FOLDER_FILES = ["*.json", "*.safetensors"]  # what a model in the Hugging Face format is read from
_PLUGIN = re.compile(r"([A-Za-z0-9_][\w.-]+):(.*)", re.DOTALL)


def plugin_of(source: str) -> str | None:
    """The plugin that `PLUGIN:file` names; None for paths and for `hf:` sources. One letter and a colon is a drive."""
    match = _PLUGIN.fullmatch(source)
    return match[1] if match and match[1] != "hf" else None


def file_of_plugin(source: str, folder: Path) -> Path:
    """The file of `PLUGIN:file` in the plugin's assets folder. Raises AssetError where it is missing or lies outside."""
    file = source.partition(":")[2]
    try:
        path = (folder / file).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a NUL byte, or a link to itself
        raise AssetError(f"The asset {source!r} is no name of a file.", "Name a file below the folder of assets.") from error
    if not file or not path.is_relative_to(folder.resolve()):
        raise AssetError(f"The asset {source!r} leaves the plugin's folder of assets.", "Name a file below that folder.")
    if not _is_there(path, source):
        there = ", ".join(sorted(entry.name for entry in folder.glob("*"))[:24]) or "nothing"
        raise AssetError(f"The asset {source!r} does not exist: there is no {path}.", f"The folder of assets holds {there}.")
    return path


def file_at(source: str, base: Path | None) -> Path:
    """A plain path: absolute, or below `base` (the folder of the YAML), or from the working directory where base is None.

    Raises AssetError where there is no such file, or a relative path climbs out of `base`.
    """
    given = Path(os.path.expanduser(source))
    root = Path.cwd() if base is None else Path(os.path.abspath(base))
    path = Path(os.path.normpath(root / given))
    if base is not None and not given.is_absolute() and not path.is_relative_to(root):
        raise AssetError(f"The path {source!r} leaves {root}.", "Write the absolute path, or put the file beside the registry.")
    if not _is_there(path, source):
        raise AssetError(
            f"The file {source!r} does not exist: there is no {path!s}.", "Correct the path, or put the file there."
        )
    return path


def _is_there(path: Path, source: str) -> bool:
    """Whether there is a file or a folder. Raises AssetError for a pipe or a device, which could be read for ever."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise AssetError(f"{source!r} is no ordinary file but a pipe, a device or a socket.", "Name a file or a folder.")
    return True


def file_of_hub(source: str) -> Path:
    """Downloads `hf:org/repo/file@revision`, or finds it in the hub's cache; honours HF_HUB_OFFLINE. Raises AssetError.

    `hf:org/repo@revision` is a folder with the repository's JSON and safetensors files at its top: its pickles stay there.
    """
    repository, file, revision = parse_hub(source)
    try:
        hub: Any = importlib.import_module("huggingface_hub")
    except ImportError as error:
        raise AssetError(f"The asset {source!r} needs huggingface_hub.", "Run: pip install huggingface_hub") from error
    try:
        if file is None:
            return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=FOLDER_FILES))
        return Path(hub.hf_hub_download(repository, file, revision=revision))
    except Exception as error:  # the hub's many kinds of failure mean one thing here
        said = " ".join(str(error).split())[:300]
        raise AssetError(
            f"The asset {source!r} cannot be fetched: {said}", "Check its name, the network and HF_HUB_OFFLINE."
        ) from error


def parse_hub(source: str) -> tuple[str, str | None, str | None]:
    """(repository, file, revision) of `hf:org/repo/file@revision`; no file where it is left out. Raises AssetError."""
    match = re.fullmatch(r"hf:([\w.-]+/[\w.-]+)(?:/([^@\\\0-\x1f]+))?(?:@([\w./-]+))?", source)
    steps = "/".join(filter(None, match.groups())).split("/") if match else [""]
    if match is None or {"", ".", ".."} & set(steps):
        raise AssetError(f"The asset {source!r} is not of the form hf:org/repo/file@revision.", "Write it like that.")
    return match[1], match[2], match[3]
