"""The page of scale is what its command makes of the figures that are there."""

from __future__ import annotations

import importlib.util
import json
import sys
from types import ModuleType
from typing import Any

import pytest
from terminal import ROOT

RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def scale() -> ModuleType:
    spec = importlib.util.spec_from_file_location("scale", ROOT / "benchmarks" / "scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for names
    spec.loader.exec_module(module)
    return module


def figures(name: str) -> dict[str, Any]:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def test_the_page_is_as_it_was_written(scale: ModuleType) -> None:
    page = scale.page(figures("units"), figures("retrieval-1m"))
    assert page == (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")


def test_costs_grow_as_the_structures_do(scale: ModuleType) -> None:
    unit = {"rows": 10**6, "memory_bytes": 10**9, "disk_bytes": 2 * 10**9, "build_s": 100.0, "query_ms": 10.0}
    flat = scale.cost("exact/flat", unit, 10**8, cores=2)
    assert (flat.memory, flat.disk, flat.build) == (10**11, 2 * 10**11, 20_000)
    assert flat.query == pytest.approx(1.0)
    lists = scale.cost("faiss IVF,Flat", unit, 10**8, cores=2)
    assert lists.query == pytest.approx(0.1)
    assert lists.build == pytest.approx(200_000)
    graph = scale.cost("faiss HNSW32", unit, 10**8, cores=2)
    assert graph.query == pytest.approx(0.01 * 8 / 6)
    spread = scale.cost("exact/flat", unit, 10**9, cores=2)
    assert spread.machines == 6  # 1 TB of memory, of which a machine has 192 GB to use
    assert spread.query == pytest.approx(10 / 6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0005, "0.5 ms"), (30, "30 s"), (600, "10 min"), (7200, "2 h"), (864000, "10 days"), (1e9, "31.7 years")],
)
def test_durations_are_said_as_people_say_them(scale: ModuleType, seconds: float, text: str) -> None:
    assert scale.duration(seconds) == text


def test_sizes_are_said_as_people_say_them(scale: ModuleType) -> None:
    assert [scale.size(count) for count in (12, 12_000, 2.05e12)] == ["12 B", "12 kB", "2.05 TB"]
