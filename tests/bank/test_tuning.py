"""Tuning on real engines: what is found is counted rightly, the choice keeps its promise, nothing is measured twice."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from calumma.bank import Bank, Item, add, build
from calumma.bank.bank import candidates
from calumma.bank.tuning import Row, Tuning, run, tune
from calumma.bank.tuning.questions import ask
from calumma.errors import FailedError, InputError
from calumma.interfaces import Hits

from .conftest import words
from .tuning_samples import clustered_bank, engine, failing, forgetful, short_rounds, stubborn

QUERIES = 150


@pytest.fixture(scope="module", autouse=True)
def _short_rounds() -> Iterator[None]:
    with short_rounds():
        yield


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    return clustered_bank(tmp_path_factory.mktemp("clustered") / "clustered.bank")


@pytest.fixture(scope="module")
def tuning(bank: Bank, tmp_path_factory: pytest.TempPathFactory) -> Tuning:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CALUMMA_CACHE", str(tmp_path_factory.mktemp("cache")))
        engines = [engine("exact/flat"), engine("faiss/index")]
        return tune(bank, engines, tmp_path_factory.mktemp("out"), queries=QUERIES, recall=0.95)


def row(tuning: Tuning, id: str, **options: object) -> Row:
    (found,) = (one for one in tuning.rows if one.retriever == id and options.items() <= one.options.items())
    return found


def lines(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "measurements.jsonl").read_text().splitlines()]


# --- what is counted ---


def test_recall_is_what_a_hand_computes(bank: Bank, tuning: Tuning) -> None:
    index = bank.index(engine("faiss/index", factory="IVF64,Flat", nprobe=1))
    everything = bank.entries()
    places = {key: i for i, key in enumerate(everything.keys.tolist())}
    questions = ask(bank, QUERIES, "document", 10, 0)
    shares = {"recall": [], "alone": []}
    for query in questions.queries:
        scores = (everything.vectors.astype(np.float64) * query.vector).sum(axis=1).astype(np.float32)
        scores[places[int(query.exclude[0])]] = -np.inf
        least = np.sort(scores)[-10]
        for name, wanted in (("recall", candidates(index, 10)), ("alone", 10)):
            hits = index.search([query], wanted)
            found = sorted((scores[places[key]] for key in hits.keys[0, : hits.counts[0]].tolist()), reverse=True)[:10]
            shares[name].append(sum(one >= least for one in found) / 10)
    measured = row(tuning, "faiss/index", factory="IVF64,Flat", nprobe=1)
    assert measured.recall == pytest.approx(np.mean(shares["recall"]))
    assert measured.alone == pytest.approx(np.mean(shares["alone"]))
    assert 0.1 < measured.recall < 0.95
    assert 0 < measured.at_least < measured.recall


def test_exact_engines_find_all(tuning: Tuning) -> None:
    for one in (row(tuning, "exact/flat"), row(tuning, "faiss/index", factory="Flat")):
        assert (one.recall, one.at_least, one.alone) == (1, 1, 1)


def test_more_work_finds_more(tuning: Tuning) -> None:
    recalls = [row(tuning, "faiss/index", factory="IVF64,Flat", nprobe=n).recall for n in (1, 4, 16, 64)]
    assert recalls == sorted(recalls)
    assert recalls[-1] == 1


def test_of_equals_it_is_all_the_same_which_was_found(tmp_path: Path) -> None:
    bank = clustered_bank(tmp_path / "equals.bank", documents=60, copies=40)
    questions = ask(bank, 60, "document", 10, 0)
    equal = [i for i, query in enumerate(questions.queries) if query.exclude[0] >= 20]
    last = np.arange(50, 60)
    found = bank.rescored(questions.queries, Hits.of([(last, np.zeros(10, np.float32))] * 60, 10), 10)
    shares = questions.recall(found)
    expected = [1.0 if questions.queries[i].exclude[0] < 50 else 0.9 for i in equal]
    assert shares[equal].tolist() == expected
    done = tune(bank, [engine("exact/flat")], tmp_path / "out", queries=60)
    assert row(done, "exact/flat").recall == 1


def test_a_bank_of_less_than_k_documents_can_be_found_whole(tmp_path: Path) -> None:
    bank = clustered_bank(tmp_path / "small.bank", documents=6)
    done = tune(bank, [engine("exact/flat"), engine("hnswlib/hnsw")], tmp_path / "out", recall=1)
    assert done.queries == 6
    assert {one.recall for one in done.rows} == {1.0}


def test_no_document_finds_itself_and_a_seed_draws_the_same_ones(bank: Bank) -> None:
    first, again, other = (ask(bank, 20, "text", 5, seed) for seed in (1, 1, 2))
    keys = [[int(query.exclude[0]) for query in one.queries] for one in (first, again, other)]
    assert keys[0] == keys[1] != keys[2]
    np.testing.assert_array_equal(first.queries[3].vector, bank.vectors(np.array(keys[0][3:4]), "text")[0])
    assert (first.least < 0.999999).all()


# --- what is chosen ---


def test_the_choice_reaches_the_recall_and_nothing_that_does_is_faster(tuning: Tuning) -> None:
    chosen = tuning.chosen
    assert chosen is not None
    assert chosen in tuning.front
    assert chosen.recall >= 0.95
    assert all(one.rate <= chosen.rate for one in tuning.rows if one.recall >= 0.95)


def test_nothing_is_as_fast_as_one_of_the_front_and_finds_more(tuning: Tuning) -> None:
    for one in tuning.front:
        assert not any(other.rate >= one.rate and other.recall > one.recall for other in tuning.rows)
        assert not any(other.rate > one.rate and other.recall >= one.recall for other in tuning.rows)
    assert tuning.front[-1].recall == max(one.recall for one in tuning.rows)


def test_where_nothing_reaches_the_recall_the_best_is_known(bank: Bank, tmp_path: Path) -> None:
    done = tune(bank, [stubborn(), forgetful(5)], tmp_path, queries=30, recall=1.0)
    assert done.chosen is not None  # of the grid: forgets=0
    done = tune(bank, [stubborn()], tmp_path, queries=30, recall=0.9)
    assert done.chosen is None
    assert done.best.recall == pytest.approx(0.8)


# --- what is kept ---


def test_what_was_measured_is_not_measured_again(bank: Bank, tmp_path: Path) -> None:
    first = tune(bank, [forgetful()], tmp_path, queries=30)
    before = (tmp_path / "measurements.jsonl").read_text()
    again = tune(bank, [forgetful()], tmp_path, queries=30, recall=0.5)
    assert (tmp_path / "measurements.jsonl").read_text() == before
    assert again.rows == first.rows
    assert not (tmp_path / "indexes").exists()
    more = tune(bank, [forgetful(), stubborn()], tmp_path, queries=30)
    added = lines(tmp_path)[len(before.splitlines()) :]
    assert {one["retriever"] for one in added} == {"tests/stubborn"}
    assert [one for one in more.rows if one.retriever == "tests/forgetful"] == list(first.rows)


def test_options_of_searching_share_one_index(bank: Bank, tmp_path: Path) -> None:
    done = tune(bank, [forgetful()], tmp_path, queries=30)
    assert [one["measured"] for one in lines(tmp_path)].count("build") == 1
    assert {one.rounds for one in done.rows} == {run.ROUNDS}
    assert len(done.rows) == 3


@pytest.mark.parametrize("changed", [{"k": 3}, {"queries": 29}, {"seed": 1}, {"by": "text"}], ids=str)
def test_another_question_is_measured_anew(bank: Bank, tmp_path: Path, changed: dict[str, object]) -> None:
    tune(bank, [stubborn()], tmp_path, queries=30)
    before = len(lines(tmp_path))
    tune(bank, [stubborn()], tmp_path, **{"queries": 30, **changed})
    assert len(lines(tmp_path)) == 2 * before


def test_another_version_of_the_bank_is_measured_anew(tmp_path: Path) -> None:
    old = clustered_bank(tmp_path / "grows.bank", documents=50)
    tune(old, [stubborn()], tmp_path / "out", queries=30)
    before = len(lines(tmp_path / "out"))
    add(old.path, [Item("one", "one more", text_vector=np.ones(32, np.float32))], words(), progress=False)
    tune(Bank.open(old.path), [stubborn()], tmp_path / "out", queries=30)
    assert len(lines(tmp_path / "out")) == 2 * before


def test_a_line_that_was_torn_is_measured_again(bank: Bank, tmp_path: Path) -> None:
    first = tune(bank, [stubborn()], tmp_path, queries=30)
    file = tmp_path / "measurements.jsonl"
    whole = file.read_text()
    file.write_text(whole[:-20])
    again = tune(bank, [stubborn()], tmp_path, queries=30)
    assert [one.rounds for one in again.rows] == [one.rounds for one in first.rows]
    assert len(file.read_text().splitlines()) == len(whole.splitlines()) + 1 + 1  # the torn one, a build, a round


# --- what ends early, or fails ---


def test_a_budget_stops_and_the_next_run_goes_on(bank: Bank, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count()
    fake = SimpleNamespace(monotonic=lambda: float(next(clock)), perf_counter=time.perf_counter)
    monkeypatch.setattr(run, "time", fake)
    engines = [forgetful(), stubborn(), engine("exact/flat")]
    stopped = tune(bank, engines, tmp_path, queries=30, budget=5)
    assert stopped.stopped
    assert 0 < len(stopped.rows) < stopped.planned == 5
    assert {one.rounds for one in stopped.rows} == {1}
    before = (tmp_path / "measurements.jsonl").read_text()
    monkeypatch.undo()
    done = tune(bank, engines, tmp_path, queries=30)
    assert not done.stopped
    assert len(done.rows) == 5
    assert {one.rounds for one in done.rows} == {run.ROUNDS}
    assert (tmp_path / "measurements.jsonl").read_text().startswith(before)
    assert not (tmp_path / "indexes").exists()


def test_a_budget_of_nothing_says_so(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(FailedError, match=r"Nothing was measured. The budget ended before. Give more --budget"):
        tune(bank, [stubborn()], tmp_path, queries=30, budget=0)


def test_an_engine_that_fails_is_left_out_and_the_others_go_on(bank: Bank, tmp_path: Path) -> None:
    done = tune(bank, [failing(), stubborn()], tmp_path, queries=30)
    assert [one.retriever for one in done.rows] == ["tests/stubborn"]
    assert [str(one) for one in done.left_out] == ["tests/failing is left out: RuntimeError: out of luck."]
    with pytest.raises(FailedError, match=r"Nothing was measured. tests/failing is left out: RuntimeError: out of luck"):
        tune(bank, [failing()], tmp_path, queries=30)


def test_lists_that_do_not_fit_the_bank_are_left_out(tuning: Tuning) -> None:
    said = [str(one) for one in tuning.left_out]
    assert (
        "faiss/index factory=IVF4096,Flat is left out: it is for banks of 159,744 documents and more, and this one has 3,000."
        in said
    )
    assert not any(one.options.get("factory") == "IVF4096,Flat" for one in tuning.rows)


def test_what_cannot_be_asked_is_refused(bank: Bank, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bm25/text does not search by vectors alone"):
        tune(bank, [engine("bm25/text")], tmp_path)
    with pytest.raises(InputError, match=r"No document of the bank clustered.bank has a vector of its image"):
        tune(bank, [stubborn()], tmp_path, by="image")
    with pytest.raises(InputError, match="recall is out of its range"):
        tune(bank, [stubborn()], tmp_path, recall=1.5)
    build([Item("1", "one")], tmp_path / "one.bank", words(), progress=False)
    with pytest.raises(InputError, match="has 1 documents: there is nothing to find"):
        tune(Bank.open(tmp_path / "one.bank"), [stubborn()], tmp_path)


def test_the_bank_is_left_as_it_is(tmp_path: Path) -> None:
    bank = clustered_bank(tmp_path / "kept.bank", documents=50)
    before = sorted(path.relative_to(bank.path) for path in bank.path.rglob("*"))
    tune(bank, [engine("hnswlib/hnsw")], tmp_path / "out", queries=10)
    assert sorted(path.relative_to(bank.path) for path in bank.path.rglob("*")) == before
