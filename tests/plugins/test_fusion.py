"""fusion/rrf ranks as the paper's formula does, asks every part, and is one index of all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calumma.contracts.samples.retriever import DotRetriever, WordRetriever
from calumma.errors import AssetError, ComponentError, InputError
from calumma.extension import Catalog
from calumma.interfaces import Entries, Hits, Options, Query, Retriever
from calumma.registry import build, resolve, shipped
from calumma_plugins.fusion.options import RRFOptions
from calumma_plugins.fusion.rrf import RRF

KEYS = np.array([10, 20, 30, 40])
VECTORS = np.array([[0.8, 0.6], [0.6, 0.8], [1, 0], [0, 1]], np.float32)
TEXTS = ["a red apple", "rain, rain, rain", "rain and a long day at the river", "the sun"]
BY_VECTOR = [30, 10, 20, 40]  # of the query below
BY_WORDS = [20, 30]
QUERY = Query(vector=np.array([1, 0], np.float32), text="rain")


def rrf(*parts: Any, **options: Any) -> RRF:
    retrievers = list(parts or ("exact/flat", "bm25/text"))
    built = Catalog().build("retriever", "fusion/rrf", {"retrievers": retrievers, **options})
    assert isinstance(built, RRF)
    return built


def filled(index: RRF) -> RRF:
    index.add(Entries(KEYS, VECTORS, TEXTS))
    return index


def answers(hits: Hits) -> dict[int, float]:
    count = hits.counts[0]
    return dict(zip(hits.keys[0, :count].tolist(), hits.scores[0, :count].tolist(), strict=True))


def sample(cls: type[Retriever]) -> Retriever:
    part = cls(Options())
    part.id = f"tests/{cls.__name__.lower()}"
    return part


def test_scores_are_those_of_the_paper() -> None:
    found = answers(filled(rrf()).search([QUERY], 10))
    assert found == pytest.approx({30: 1 / 61 + 1 / 62, 20: 1 / 63 + 1 / 61, 10: 1 / 62, 40: 1 / 64})
    assert list(found) == [30, 20, 10, 40]


def test_weights_and_the_constant_are_in_the_formula() -> None:
    found = answers(filled(rrf(weights=[0.5, 2], k_constant=1)).search([QUERY], 10))
    assert found == pytest.approx({20: 0.5 / 4 + 2 / 2, 30: 0.5 / 2 + 2 / 3, 10: 0.5 / 3, 40: 0.5 / 5})
    assert list(found) == [20, 30, 10, 40]
    alone = answers(filled(rrf(weights=[0, 1])).search([QUERY], 10))
    assert list(alone) == BY_WORDS


def test_equal_scores_are_in_the_order_of_keys() -> None:
    index = rrf()
    index.add(Entries(np.array([7, 5]), np.array([[1, 0], [0.5, 0]], np.float32), ["rain and a river", "rain"]))
    assert list(answers(index.search([QUERY], 2))) == [5, 7], "each is first once and second once"


def test_depth_is_how_many_each_part_is_asked_for() -> None:
    index = filled(rrf(depth=1))
    assert answers(index.search([QUERY], 1)) == pytest.approx({20: 1 / 61})
    assert answers(index.search([QUERY], 2)) == pytest.approx({30: 1 / 61 + 1 / 62, 20: 1 / 61}), "never fewer than k"
    assert list(answers(filled(rrf(depth=2)).search([QUERY], 1))) == [30]


def test_excluded_keys_take_no_rank() -> None:
    excluding = Query(QUERY.vector, QUERY.text, exclude=np.array([30]))
    assert answers(filled(rrf()).search([excluding], 10)) == pytest.approx({20: 1 / 62 + 1 / 61, 10: 1 / 61, 40: 1 / 63})


@pytest.mark.parametrize(
    ("query", "who"), [(Query(QUERY.vector), "bm25/text searches by text"), (Query(text="rain"), "exact/flat searches by vec")]
)
def test_a_query_that_one_part_cannot_answer_is_refused(query: Query, who: str) -> None:
    for index in (filled(rrf()), rrf()):
        with pytest.raises(InputError, match=who):
            index.search([QUERY, query], 3)


def test_it_can_do_what_all_its_parts_can() -> None:
    index = rrf("exact/flat", "none/none", sample(WordRetriever))
    assert index.accepts == {"vector", "text"}
    assert not index.capabilities
    filled(index)
    with pytest.raises(ComponentError, match=r"^tests/wordretriever cannot take more"):
        index.add(Entries(np.array([50]), VECTORS[:1], ["more"]))
    with pytest.raises(ComponentError, match=r"^tests/wordretriever cannot remove"):
        index.remove(KEYS[:1])
    with pytest.raises(ComponentError, match="fusion/rrf cannot filter"):
        index.search([Query(QUERY.vector, QUERY.text, only=KEYS[:1])], 1)
    assert index.size == 4
    assert RRF.capabilities == set(Catalog().spec("retriever", "fusion/rrf").capabilities)
    assert rrf(sample(DotRetriever), "exact/flat").capabilities == DotRetriever.capabilities
    assert rrf(sample(NeverForgets), "exact/flat").capabilities == {"grows"}


def test_what_one_part_refuses_no_part_holds() -> None:
    untrainable = rrf("exact/flat", {"use": "faiss/index", "factory": "IVF256,PQ2"}, sample(DotRetriever))
    with pytest.raises(ComponentError, match="too few to train"):
        filled(untrainable)
    assert untrainable.size == 0
    assert answers(rrf("exact/flat").search([QUERY], 3)) == {}


@pytest.mark.parametrize("parts", [("bm25/text", "exact/flat"), ("exact/flat", "bm25/text"), ("bm25/text",)])
@pytest.mark.parametrize("reopened", [False, True])
def test_rows_are_refused_before_any_part_has_them(parts: tuple[str, ...], reopened: bool, tmp_path: Path) -> None:
    index, more = filled(rrf(*parts)), np.array([50, 60])
    if reopened:
        index.save(tmp_path)
        index = RRF.open(tmp_path, index.options)
    wrong = [
        (Entries(more, VECTORS[:2], TEXTS[:1]), "bm25/text needs one text for every key"),
        (Entries(more, VECTORS[:2]), "bm25/text needs one text for every key"),
        (Entries(np.array([50, 10]), VECTORS[:2], TEXTS[:2]), "A key was added twice"),
        (Entries(np.array([50, 50]), VECTORS[:2], TEXTS[:2]), "A key was added twice"),
    ]
    if len(parts) > 1:
        wrong += [
            (Entries(more, np.ones((2, 3), np.float32), TEXTS[:2]), "3 dimensions"),
            (Entries(more, np.array([[0, 1], [np.nan, 0]], np.float32), TEXTS[:2]), "NaN"),
        ]
    for entries, reason in wrong:
        with pytest.raises(InputError, match=reason):
            index.add(entries)
        assert {part.size for part in index._parts} == {4}
    index.add(Entries(more, VECTORS[:2], TEXTS[:2]))
    assert {part.size for part in index._parts} == {6}


class Refuses(DotRetriever):
    """Takes no rows when it has some."""

    def add(self, entries: Entries) -> None:
        if self.size:
            raise ComponentError("Enough.", "Stop.")
        super().add(entries)


class NeverForgets(DotRetriever):
    capabilities = frozenset({"grows"})


def test_rows_that_a_later_part_refuses_are_taken_out_again() -> None:
    index, more = filled(rrf("exact/flat", sample(Refuses))), Entries(np.array([50]), VECTORS[:1])
    with pytest.raises(ComponentError, match="Enough"):
        index.add(more)
    assert {part.size for part in index._parts} == {4}
    stuck = filled(rrf(sample(NeverForgets), sample(Refuses)))
    with pytest.raises(ComponentError, match="holds and cannot remove"):
        stuck.add(more)


def test_the_key_of_its_index_is_that_of_its_parts_as_built() -> None:
    parts = [{"use": "hnswlib/hnsw", "M": 8, "ef_search": 10}, "bm25/text"]
    one = rrf(*parts)
    same = [rrf({"use": "hnswlib/hnsw", "M": 8, "ef_search": 90}, "bm25/text")]
    same += [rrf(*parts, **change) for change in ({"depth": 7}, {"weights": [1, 2]}, {"k_constant": 1})]
    other = rrf({"use": "hnswlib/hnsw", "M": 9, "ef_search": 10}, "bm25/text")
    assert {one.index_key()} == {index.index_key() for index in same} != {other.index_key()}
    assert len({index.fingerprint() for index in (one, other, *same)}) == 6


def test_a_part_is_the_fusions_own() -> None:
    part = Catalog().build("retriever", "exact/flat", {})
    filled(rrf(part, part))
    assert isinstance(part, Retriever)
    assert part.size == 0


def test_an_index_of_other_parts_is_refused(tmp_path: Path) -> None:
    filled(rrf()).save(tmp_path)
    for other in (rrf("bm25/text", "exact/flat"), rrf("exact/flat"), rrf("exact/flat", {"use": "bm25/text", "k1": 1})):
        with pytest.raises(AssetError, match="not one of these retrievers"):
            RRF.open(tmp_path, other.options)
    for text in ("", "[]", "null", '{"parts": 1}'):
        (tmp_path / "fusion.json").write_text(text)
        with pytest.raises(AssetError):
            RRF.open(tmp_path, rrf().options)


def test_parts_of_different_banks_are_refused(tmp_path: Path) -> None:
    options = filled(rrf()).options
    for name, rows in (("one", 4), ("other", 3)):
        index = RRF(options)
        index.add(Entries(KEYS[:rows], VECTORS[:rows], TEXTS[:rows]))
        (tmp_path / name).mkdir()
        index.save(tmp_path / name)
    (tmp_path / "one/1").rename(tmp_path / "was")
    (tmp_path / "other/1").rename(tmp_path / "one/1")
    with pytest.raises(AssetError, match="damaged"):
        RRF.open(tmp_path / "one", options)


class Elsewhere(DotRetriever):
    dropped: list[str] = []

    @classmethod
    def drop(cls, folder: Path) -> None:
        cls.dropped.append(folder.name)


def test_dropping_asks_those_parts_that_hold_something_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = filled(rrf("exact/flat", sample(Elsewhere)))
    index.save(tmp_path)
    assert json.loads((tmp_path / "fusion.json").read_text())["elsewhere"] == {"1": "tests/elsewhere"}
    with pytest.raises(ComponentError, match="no component"):
        RRF.drop(tmp_path)
    monkeypatch.setattr(Catalog, "spec", lambda self, kind, id: id)
    monkeypatch.setattr(Catalog, "component_class", lambda self, spec: {"tests/elsewhere": Elsewhere}[spec])
    RRF.drop(tmp_path)
    assert Elsewhere.dropped == ["1"]


def test_there_is_a_weight_for_each_retriever() -> None:
    with pytest.raises(ComponentError, match="there are 1 weights for 2 retrievers"):
        rrf(weights=[1])
    with pytest.raises(ValueError):
        RRFOptions.model_validate({"retrievers": []})


def test_a_registry_names_its_parts_by_name_by_id_and_by_block(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "calumma: 1\ninclude: [calumma:registry.yaml]\ncomponents:\n  retriever:\n    both:\n      use: fusion/rrf\n"
        "      retrievers: [hnsw, {use: bm25/text, k1: 1.2}, exact/flat]\n      weights: [1, 0.5, 0.25]\n"
        "pipelines:\n  p: {extends: default, retriever: both}\n"
    )
    resolved = resolve(file, "p")
    retriever = build(resolved)["retriever"]
    assert isinstance(retriever, RRF)
    assert [part.id for part in retriever._parts] == ["hnswlib/hnsw", "bm25/text", "exact/flat"]
    assert retriever._parts[0].options.M == 32
    assert retriever._parts[1].options.k1 == 1.2
    assert retriever.accepts == {"vector", "text"}
    assert list(answers(filled(retriever).search([QUERY], 2))) == [30, 20]


def test_the_shipped_hybrid_asks_by_vectors_and_words() -> None:
    retriever = build(resolve(shipped(), swap={"retriever": "hybrid"}))["retriever"]
    assert isinstance(retriever, RRF)
    assert [part.id for part in retriever._parts] == ["hnswlib/hnsw", "bm25/text"]
