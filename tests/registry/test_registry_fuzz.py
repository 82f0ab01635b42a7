"""Whatever stands in a file, reading it ends in problems or in RegistryError."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calumma.errors import RegistryError
from calumma.extension import Catalog
from calumma.registry import resolve, shipped, validate

SHIPPED = shipped().read_text()
WORDS = [
    "calumma: 1", "include:", "plugins:", "banks:", "components:", "pipelines:", "retriever:", "hnsw", "use:",
    "exact/flat", "extends:", "default", "sampling/nucleus", "rules:", "*a", "&a", "<<:", "- ", "{", "}", "[", "]",
    ",", ": ", "\n", "\n  ", "\n    ", "1e-4", "~", "'", "\"", "|", ">", "!!str", "!!set", "? ", "#", "---", "...",
    "%", "@", "`", "\t", "0x", "0b_", ".inf", ".nan", "no", "\x85", "\ud800", "é", "\x00", "\\", "\"\\ud800\"", "1_0",
    "calumma:registry.yaml", "mine.yaml", "kind:", "bank:",
]  # fmt: skip
TEXTS = st.one_of(st.text(max_size=200), st.lists(st.sampled_from(WORDS), max_size=40).map("".join))


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """The shipped registry with some pieces cut out, doubled or overwritten."""
    text = SHIPPED
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        text = (
            text[:start]
            + draw(st.one_of(st.sampled_from(WORDS), st.text(max_size=8), st.just(text[start:end] * 2)))
            + text[end:]
        )
    return text


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog()


def ends_well(text: str, folder: Path, catalog: Catalog) -> None:
    file = folder / "mine.yaml"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    for problem in validate(file, catalog):
        assert str(problem).encode("utf-8", "backslashreplace")
        assert problem.message
    with contextlib.suppress(RegistryError):
        resolve(file, catalog=catalog, set={"sampler.top_p": 0.5})


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@settings(max_examples=300, deadline=None, suppress_health_check=QUIET)
@given(text=st.one_of(TEXTS, mutated()))
def test_no_text_ends_in_anything_but_registry_errors(text, tmp_path, catalog):
    ends_well(text, tmp_path, catalog)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None, suppress_health_check=QUIET)
@given(text=st.one_of(TEXTS, mutated()))
def test_no_text_ends_in_anything_but_registry_errors_ten_thousand_times(text, tmp_path, catalog):
    ends_well(text, tmp_path, catalog)
