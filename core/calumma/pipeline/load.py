"""From a registry to a pipeline, and single components without one."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from calumma.bank import Bank
from calumma.extension import Catalog
from calumma.interfaces import (
    Component,
    Decoder,
    Embedder,
    ImageTokenizer,
    Retriever,
    Sampler,
    Selection,
    TextTokenizer,
)
from calumma.interfaces.component import Device, Dtype
from calumma.pipeline.installed import check_installed
from calumma.pipeline.pipeline import Pipeline
from calumma.registry import ResolvedPipeline, build, default_registry, dump, resolve
from calumma.registry.pipelines import REQUIRED


def component(id: str, *, kind: str | None = None, **options: Any) -> Component:
    """One component by its id, with options as keywords: `calumma.component("hnswlib/hnsw", M=16)`.

    Args:
        kind: needed only where a plugin gives one id to two kinds.

    Raises ComponentError: no such component, an option that it has not, a missing extra.
    """
    catalog = Catalog()
    if kind is None:
        offered = [spec for spec in catalog.require(id.partition("/")[0]).components if spec.name == id] if "/" in id else []
        kind = offered[0].kind if offered else "retriever"
    return catalog.build(kind, id, options)


def load(
    registry: str | Path | None = None,
    *,
    pipeline: str = "default",
    bank: str | None = None,
    swap: Mapping[str, str] | None = None,
    set: Mapping[str, Any] | None = None,
    device: Device = "auto",
    dtype: Dtype = "float32",
    allow_local: bool = False,
    plugins: Iterable[str] = (),
) -> Pipeline:
    """The pipeline that a registry describes; no weights are loaded yet.

    Args:
        registry: a file; None means `registry.yaml` in the working directory if there is one, else the shipped one.
        pipeline: its name. bank: another bank: a name of the registry, a folder, or `PLUGIN:file`.
        swap: slot -> registry name or component id; replaces the whole block. set: "slot.option" -> value; after swaps.
        allow_local: run the local plugin files that the registry names. plugins: more plugins to use (observers).

    Raises:
        RegistryError: everything wrong with the registry at once. ComponentError, MismatchError, AssetError, BankError.
    """
    catalog = Catalog(allow_local=allow_local)
    file = default_registry() if registry is None else Path(registry)
    resolved = resolve(file, pipeline, swap, set, bank, catalog, use=plugins)
    check_installed(resolved)
    slots = build(resolved)
    retriever = cast(Retriever, slots["retriever"])
    path = resolved.bank_path() if retriever.accepts or bank is not None else None
    name = resolved.bank_name or (resolved.bank.value if resolved.bank is not None else None)
    return Pipeline(
        image_tokenizer=cast(ImageTokenizer, slots["image_tokenizer"]),
        text_tokenizer=cast(TextTokenizer, slots["text_tokenizer"]),
        embedder=cast(Embedder, slots["embedder"]),
        retriever=retriever,
        selection=cast(Selection, slots["selection"]),
        decoder=cast(Decoder, slots["decoder"]),
        sampler=cast(Sampler, slots["sampler"]),
        bank=None if path is None else Bank.open(path, name),
        extra={slot: part for slot, part in slots.items() if slot not in REQUIRED},
        device=device,
        dtype=dtype,
        catalog=catalog,
        record={"registry": dump(resolved), "distributions": _distributions(resolved)},
    )


def _distributions(resolved: ResolvedPipeline) -> list[str]:
    """The distributions of the plugins in use and of the libraries that they name."""
    owners = importlib.metadata.packages_distributions()
    of_plugin = {info.name: info.distribution for info in resolved.catalog.plugins()}
    found = {of_plugin.get(one.id.partition("/")[0], "") for one in resolved.slots.values()}
    for one in resolved.slots.values():
        found.update(*(owners.get(module.partition(".")[0], []) for module in one.spec.requires))
    return sorted(found - {""})
