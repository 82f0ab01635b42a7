"""What the guide says of speed is what `benchmarks/decoding.py` measured."""

from __future__ import annotations

import json
import re

from terminal import ROOT

PAGE = ROOT / "docs" / "how-to" / "fast-decoding.md"
CASES = ("batch 1", "batch 1 guided", "batch 8", "batch 8 guided")
DTYPES = ("float32", "bfloat16")
MEASURED = json.loads((ROOT / "benchmarks" / "results" / "decoding.json").read_text(encoding="utf-8"))


def test_the_table_is_that_of_the_benchmark() -> None:
    told = re.findall(r"^\| (float32|bfloat16) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert dict(told) == {
        dtype: " | ".join(f"{MEASURED['speed'][dtype][case]['ratio']:.1f}" for case in CASES)
        for dtype in ("float32", "bfloat16")
    }


def test_the_share_of_the_bandwidth_is_that_of_the_benchmark() -> None:
    shares = [MEASURED["speed"][dtype]["batch 1"]["share_of_bandwidth"] for dtype in DTYPES]
    assert f"at {min(shares):.0%}".replace("%", " %") in PAGE.read_text(encoding="utf-8")


def test_eight_bits_are_as_slow_as_it_says() -> None:
    slower = MEASURED["int8"]["batch 1"] / MEASURED["speed"]["bfloat16"]["batch 1"]["ours_tokens_per_s"]
    assert 0.55 < slower < 0.65
    assert "three fifths" in PAGE.read_text(encoding="utf-8")
