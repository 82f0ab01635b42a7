"""calumma estimate: the numbers of a decoder, from its sizes and this machine alone."""

from __future__ import annotations

import pytest

from calumma.interfaces import Footprint
from calumma.pipeline.estimate import Machine, estimate

from .conftest import Calumma


def test_the_sizes_of_the_paper_are_told_before_anything_is_allocated(calumma: Calumma) -> None:
    told = calumma(
        "estimate", "--decoder", "cm3leon/decoder", "--option", "size=7b", "--dtype", "bfloat16", "-n", 1000, "--json"
    )
    assert told.code == 1  # no machine here has so much
    facts = told.json
    assert facts["parameters"] == 6_723_469_312 + 517 * 4096
    assert facts["weight_bytes"] == 2 * facts["parameters"]
    assert facts["cache_bytes_per_id"] == 2 * (2 * 32 + 1) * 4096
    assert facts["rows"] == 2000
    assert facts["ids"] == 4096
    assert facts["total_bytes"] == facts["weight_bytes"] + 2000 * 4096 * facts["cache_bytes_per_id"]
    assert facts["fits"] is False
    assert facts["bandwidth"] > 1e8
    assert facts["tokens_per_second"] > 0


def test_a_pipeline_is_estimated_with_its_streams_and_its_picture(calumma: Calumma) -> None:
    told = calumma("estimate", "-n", 4, "--set", "sampler.guidance=1", "--json")
    assert (told.code, told.json["rows"]) == (0, 4)
    told = calumma("estimate", "-n", 4, "--set", "sampler.guidance=2", "--json")
    assert (told.code, told.json["rows"], told.json["ids"]) == (0, 8, 384)
    shown = calumma("estimate", "-n", 4)
    assert shown.code == 0
    assert "7.8 M parameters, float32 on" in shown.out
    assert "fits" in shown.out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--before", "5000"], "do not fit the context"),
        (["--dtype", "float13"], "no precision 'float13'"),
        (["--option", "size=7b"], "--option belongs to --decoder"),
    ],
)
def test_what_cannot_be_is_refused(calumma: Calumma, words: list[str], sentence: str) -> None:
    told = calumma("estimate", *words)
    assert told.code == 2
    assert sentence in told.err


def test_a_step_is_as_slow_as_the_slower_of_reading_and_arithmetic() -> None:
    one = Footprint(parameters=1000, weight_bytes=4000, cache_bytes=10, flops=2000)
    reads = estimate(one, Machine(bandwidth=1000, flops=1e9, free_bytes=10_000), samples=2, streams=2, before=50, drawn=100)
    assert (reads.rows, reads.ids, reads.cache_bytes, reads.total_bytes) == (4, 150, 6000, 10_000)
    assert reads.fits
    assert reads.step_seconds == pytest.approx((4000 + 4 * 100 * 10) / 1000)
    assert reads.tokens_per_second == pytest.approx(2 / 8)
    assert reads.seconds == pytest.approx(4 + 100 * 8)
    counts = estimate(one, Machine(bandwidth=1e12, flops=1000, free_bytes=9_999), samples=2, streams=2, before=50, drawn=100)
    assert not counts.fits
    assert counts.step_seconds == pytest.approx(4 * 2000 / 1000)
    assert counts.seconds == pytest.approx(2 * 50 * 2000 / 1000 + 100 * 8)
