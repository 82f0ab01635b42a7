"""Measures an index: what it finds, and how fast it is asked the way a bank asks it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from calumma.bank.bank import Bank, candidates
from calumma.bank.tuning.questions import Questions
from calumma.interfaces import Hits, Query, Retriever

BATCH = 64
RESAMPLES = 1000
LOWER = 0.025  # quantile: the lower end of the 95 % interval
AT_LEAST, AT_MOST = 0.05, 1.0  # seconds of a round in batches
SINGLE_AT_LEAST, SINGLE_AT_MOST, SINGLES = 0.02, 0.5, 100  # seconds, seconds and queries of a round one by one


def recalls(bank: Bank, index: Retriever, questions: Questions) -> dict[str, float]:
    """`recall`@k of the bank's answers; `at_least`, the lower end of its 95 % interval; `alone`, the index's own k best.

    A bank asks for more candidates than k and scores them exactly, which mends much of what a compressed index gets wrong.
    """
    by_bank = questions.recall(_answers(bank, index, questions, candidates(index, questions.k)))
    alone = questions.recall(_answers(bank, index, questions, questions.k))
    found = {"recall": float(by_bank.mean()), "at_least": lower_end(by_bank), "alone": float(alone.mean())}
    return {**found, "queries": len(by_bank)}


def _answers(bank: Bank, index: Retriever, questions: Questions, wanted: int) -> list[Hits]:
    found: list[Hits] = []
    for batch in batches(questions.queries):
        found += bank.rescored(batch, index.search(batch, wanted), questions.k)
    return found


def lower_end(values: npt.NDArray[np.float64]) -> float:
    """Of the 95 % bootstrap interval of the mean of values [Q]: queries are drawn anew, with repetition, 1,000 times."""
    noise = np.random.default_rng(0)
    means = [values[noise.integers(0, len(values), len(values))].mean() for _ in range(RESAMPLES)]
    return float(np.quantile(means, LOWER))


def rate(index: Retriever, questions: Questions) -> float:
    """Queries a second in batches of 64, each asked for as many candidates as a bank wants, after one batch to warm up."""
    wanted, queries = candidates(index, questions.k), questions.queries
    rounds = batches([queries[i % len(queries)] for i in range(-(-len(queries) // BATCH) * BATCH)])
    index.search(rounds[0], wanted)
    asked, begun, passed, number = 0, time.perf_counter(), 0.0, 0
    while (number < len(rounds) and passed < AT_MOST) or passed < AT_LEAST:
        index.search(rounds[number % len(rounds)], wanted)
        asked, number, passed = asked + BATCH, number + 1, time.perf_counter() - begun
    return asked / passed


def latency(index: Retriever, questions: Questions) -> float:
    """Median milliseconds of a query that is asked alone, after three to warm up."""
    wanted, queries = candidates(index, questions.k), questions.queries[:SINGLES]
    for query in queries[:3]:
        index.search([query], wanted)
    taken: list[float] = []
    while (len(taken) < len(queries) and sum(taken) < SINGLE_AT_MOST) or sum(taken) < SINGLE_AT_LEAST:
        begun = time.perf_counter()
        index.search([queries[len(taken) % len(queries)]], wanted)
        taken.append(time.perf_counter() - begun)
    return float(np.median(taken)) * 1000


def batches(queries: Sequence[Query]) -> list[list[Query]]:
    """In groups of 64; the last may be smaller."""
    return [list(queries[i : i + BATCH]) for i in range(0, len(queries), BATCH)]
