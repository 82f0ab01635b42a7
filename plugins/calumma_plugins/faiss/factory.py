"""What a factory string says before there is an index: what the index can do, and how many rows it wants to learn from.

It holds for FAISS 1.10 and later; a string that is not known here promises no more than that rows can be added.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from calumma.interfaces import RetrieverCapability

TRANSFORMS = re.compile(r"(?:(?:PCA[WR]*\d+|OPQ\d+(?:_\d+)?|ITQ\d*|RR\d*|HR\d*|L2[nN]orm|Pad\d+),)*")
LISTS = re.compile(r"IVF(?P<count>\d+)(?P<k>k?)(?:_HNSW\d*|\(.+?\))?,(?P<code>[^,]+)")
GRAPH = re.compile(r"HNSW\d*(?:[_,](?P<code>[^,]+))?")
SCALAR = re.compile(r"SQ\w+|RaBitQ\d*")
PRODUCT = re.compile(r"PQ\d+(?:x(?P<bits>\d+))?(?:np)?(?P<fast>fs\w*)?")
PER_CENTROID = 256  # FAISS's k-means looks at no more
FOR_CODES = 65_536
BITS = 8


@dataclass(frozen=True)
class Facts:
    """What a factory string says.

    Attributes:
        family: how rows are kept: "flat" (codes one after the other, as they came), "lists", "graph", or some "other" way.
        capabilities: as of a retriever.
        train_rows: how many rows it wants to learn from at the most; 0 where there is nothing to learn.
    """

    family: Literal["flat", "lists", "graph", "other"]
    capabilities: frozenset[RetrieverCapability]
    train_rows: int


def read(factory: str) -> Facts:
    """The facts of a factory string, whether or not FAISS takes it."""
    core = TRANSFORMS.sub("", factory, count=1)
    learned = FOR_CODES if core != factory else 0
    lists, graph = LISTS.fullmatch(core), GRAPH.fullmatch(core)
    if lists is not None and _is_code(lists["code"]):
        learned = max(learned, PER_CENTROID * int(lists["count"]) * (1024 if lists["k"] else 1), _learns(lists["code"]))
        return Facts("lists", _without("maps memory" if _is_fast(lists["code"]) else None), learned)
    if graph is not None:
        return Facts("graph", _without("deletes"), max(learned, _learns(graph["code"] or "Flat")))
    if _is_code(core):
        able = _without("filters" if PRODUCT.fullmatch(core) else None, "maps memory" if _is_fast(core) else None)
        return Facts("flat", able, max(learned, _learns(core)))
    able = _without("deletes", "filters", "maps memory", "grows" if core.startswith("NSG") else None)
    return Facts("other", able, max(learned, FOR_CODES))


def _without(*cannot: RetrieverCapability | None) -> frozenset[RetrieverCapability]:
    able: tuple[RetrieverCapability, ...] = ("deletes", "filters", "grows", "maps memory")
    return frozenset(one for one in able if one not in cannot)


def _is_code(code: str) -> bool:
    return code == "Flat" or any(pattern.fullmatch(code) is not None for pattern in (SCALAR, PRODUCT))


def _is_fast(code: str) -> bool:
    """Codes in an order that only a processor's registers like; FAISS cannot leave them on disk."""
    match = PRODUCT.fullmatch(code)
    return match is not None and match["fast"] is not None


def _learns(code: str) -> int:
    match = PRODUCT.fullmatch(code)
    if match is not None:
        return int(PER_CENTROID * 2 ** min(int(match["bits"] or BITS), 16))
    return 0 if code == "Flat" else FOR_CODES
