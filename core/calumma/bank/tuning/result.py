"""What tuning gives: a row for each configuration, the Pareto front, the choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from calumma.bank.tuning.grid import LeftOut, shown
from calumma.interfaces import VectorPart

NAME = "tuned"  # of the block in the registry


@dataclass(frozen=True)
class Row:
    """One configuration as it was measured.

    Attributes:
        retriever: the component id. options: as a registry gives them.
        recall: recall@k of the bank's answers, which the choice is made by. at_least: lower end of its 95 % interval.
        alone: recall@k of the engine's own k best, which the bank did not score again.
        rate: queries a second in batches of 64. latency: milliseconds of a single query. Both medians over the rounds.
        build_seconds: to build its index. index_bytes: of the index on disk. Both shared by all that search it differently.
        rounds: how often its speed was measured.
    """

    retriever: str
    options: Mapping[str, Any]
    recall: float
    at_least: float
    alone: float
    rate: float
    latency: float
    build_seconds: float
    index_bytes: int
    rounds: int

    @property
    def label(self) -> str:
        """What a person calls it: hnswlib/hnsw (M=16, ef_search=64)."""
        return f"{self.retriever} ({shown(self.options)})" if self.options else self.retriever

    def block(self) -> str:
        """The lines of registry.yaml that name it `tuned`."""
        flow = yaml.safe_dump({"use": self.retriever, **self.options}, default_flow_style=True, sort_keys=False, width=10**6)
        return f"components:\n  retriever:\n    {NAME}: {flow}"


@dataclass(frozen=True)
class Tuning:
    """What was measured, and what follows from it.

    Attributes:
        bank: its record: name, identity, version, documents, embedder.
        wanted: the recall that was asked for, at k.
        queries: how many were asked, by which of their vectors, drawn by which seed.
        rows: of all configurations that were measured, the fastest first.
        planned: how many configurations there are; more than rows where the budget ended before, or where some failed.
        stopped: whether the budget ended before all was measured.
        left_out: what was not measured, and why.
        machine, versions: what the speeds depend on.
    """

    bank: Mapping[str, Any]
    wanted: float
    k: int
    queries: int
    by: VectorPart
    seed: int
    rows: Sequence[Row]
    planned: int
    stopped: bool
    left_out: Sequence[LeftOut]
    machine: Mapping[str, str | int]
    versions: Mapping[str, str]

    @property
    def front(self) -> list[Row]:
        """The Pareto front, the fastest first: whatever is as fast as one of these finds less, or is the same."""
        found: list[Row] = []
        for row in sorted(self.rows, key=lambda one: (-one.rate, -one.recall)):
            if not found or row.recall > found[-1].recall:
                found.append(row)
        return found

    @property
    def chosen(self) -> Row | None:
        """The fastest that reaches the recall; None where none does."""
        return next((row for row in self.front if row.recall >= self.wanted), None)

    @property
    def best(self) -> Row:
        """The one that finds most, and of those the fastest."""
        return self.front[-1]

    def dump(self) -> dict[str, Any]:
        """All of it as JSON values."""
        chosen, front = self.chosen, self.front
        rows = [{**asdict(row), "options": dict(row.options), "on_front": row in front} for row in self.rows]
        facts = {name: getattr(self, name) for name in ("wanted", "k", "queries", "by", "seed", "planned", "stopped")}
        return {
            "bank": dict(self.bank),
            **facts,
            "chosen": None if chosen is None else rows[self.rows.index(chosen)],
            "rows": rows,
            "left_out": [asdict(one) for one in self.left_out],
            "machine": dict(self.machine),
            "versions": dict(self.versions),
        }
