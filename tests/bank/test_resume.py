"""An interrupted change goes on where it stopped: nothing is embedded twice, and the bank is as if nothing had happened."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calumma.bank import Bank, Item, Report, Skipped, add, build, remove
from calumma.bank.verify import verify
from calumma.bank.writing import changes
from calumma.interfaces import Embedder

from .conftest import words
from .samples import Listed, contents, counting, go_in_small_steps, item, items, keys

BASE = range(0, 6)  # of the bank that is added to
MORE = range(3, 30)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fragment each few documents, so that an interruption meets fragments, stashed vectors and neither."""
    go_in_small_steps(monkeypatch)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    build(items(BASE), tmp_path / "bank", words())
    return tmp_path / "bank"


def changed(verb: str, place: Path, source: Sequence[Item | Skipped] | Listed, embedder: Embedder, **more: object) -> Report:
    """One of the verbs that embed; `build` makes a bank beside, in NAME.new."""
    given = source if isinstance(source, Listed) else Listed(source)
    if verb == "build":
        return build(given, place.with_suffix(".new"), embedder, batch=3, **more)
    if verb == "overwrite":
        return build(given, place, embedder, batch=3, overwrite=True, **more)
    return add(place, given, embedder, replace=verb == "upsert", batch=3, **more)


def result(verb: str, place: Path) -> Path:
    return place.with_suffix(".new") if verb == "build" else place


def documents(verb: str) -> list[Item]:
    """Some there already, some changed, some new, some without a picture or an id."""
    found = items(MORE, "another") if verb == "upsert" else items(MORE)
    found[0], found[4] = item(3), item(7, image=None)
    found[10] = Item("anonymous", "words alone")
    return found


VERBS = ["build", "overwrite", "add", "upsert"]


@pytest.mark.parametrize(("at", "error"), zip([1, 3, 8, 14, 22, 27], [RuntimeError, KeyboardInterrupt] * 3, strict=True))
@pytest.mark.parametrize("verb", VERBS)
def test_what_the_source_interrupts_goes_on_and_nothing_is_embedded_twice(
    base: Path, verb: str, at: int, error: type[BaseException]
) -> None:
    source, whole = documents(verb), base.with_name("whole")
    shutil.copytree(base, whole)
    at_once = counting()
    expected = changed(verb, whole, source, at_once)
    before, first, second = contents(base), counting(), counting()
    with pytest.raises(error):
        changed(verb, base, Listed(source[:at], error=error()), first)
    assert contents(base) == before
    assert verify(base).whole
    report = changed(verb, base, source, second)
    assert sorted(first.texts + second.texts) == sorted(at_once.texts)
    assert first.images + second.images == at_once.images
    assert report.resumed == len(first.texts)
    assert (report.read, report.kept, report.embedded) == (27, expected.kept, expected.embedded - report.resumed)
    assert contents(result(verb, base)) == contents(result(verb, whole))
    assert keys(result(verb, base)) == keys(result(verb, whole))
    assert verify(result(verb, base)).whole
    assert not (result(verb, base) / "_pending").exists()
    assert sorted(one.name for one in base.parent.iterdir() if one.name.startswith(".")) == []


@pytest.mark.parametrize("call", [2, 3, 6, 15])
@pytest.mark.parametrize("verb", VERBS)
def test_what_the_embedder_interrupts_repeats_no_more_than_the_batch_it_failed_in(base: Path, verb: str, call: int) -> None:
    source, whole = documents(verb), base.with_name("whole")
    shutil.copytree(base, whole)
    at_once, first, second = counting(), counting(), counting()
    changed(verb, whole, source, at_once)
    first.fails_at, first.error = call, KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        changed(verb, base, source, first)
    changed(verb, base, source, second)
    assert first.images + second.images == at_once.images
    assert len(first.texts + second.texts) - len(at_once.texts) in (0, 3)
    assert contents(result(verb, base)) == contents(result(verb, whole))


def test_many_interruptions_are_as_good_as_one(base: Path) -> None:
    source, embedder = documents("add"), counting()
    for at in range(0, len(source), 4):
        with pytest.raises(RuntimeError):
            changed("add", base, Listed(source[:at], error=RuntimeError()), embedder)
    report = changed("add", base, source, embedder)
    assert len(embedder.texts) == len(set(embedder.texts)) == 24
    assert (report.kept, report.there, Bank.open(base).version) == (27, 3, 2)
    build([*items(BASE), *source[3:]], base.with_name("whole"), words())
    assert contents(base) == contents(base.with_name("whole"))


def test_other_changes_may_come_between(base: Path) -> None:
    source = documents("upsert")
    with pytest.raises(RuntimeError):
        changed("upsert", base, Listed(source[:20], error=RuntimeError()), words())
    remove(base, ["id0", "id4"])
    report = changed("upsert", base, source, words())
    assert (report.version, report.replaced, report.there) == (3, 1, 1)
    assert sorted(contents(base)) == sorted({f"id{i}" for i in (1, 2, *MORE)} - {"id13"} | {report_id(base)})
    assert verify(base).whole


def report_id(bank: Path) -> str:
    """The id of the one document that brings none."""
    return next(id for id in contents(bank) if len(id) == 32)


numbers = st.integers(0, 9)
versions = st.sampled_from(["", "one", "two"])
documents_ = st.builds(lambda number, text: item(number, text, image=None), numbers, versions)
broken = st.builds(lambda number: item(number, "broken", image=b"no picture"), numbers)
sources = st.lists(st.one_of(documents_, documents_, documents_, broken), max_size=14)
Tried = tuple[dict[str, tuple], tuple[int, ...], list[tuple[str, str]]]


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(verb=st.sampled_from(VERBS), before=sources, after=sources, error=st.sampled_from([RuntimeError, KeyboardInterrupt]))
def test_a_source_that_has_changed_in_between_gives_what_it_would_give_alone(
    tmp_path_factory: pytest.TempPathFactory, verb: str, before: list[Item], after: list[Item], error: type[BaseException]
) -> None:
    place = tmp_path_factory.mktemp("changed") / "bank"
    build([item(number, image=None) for number in range(4)], place, words())
    whole = place.with_name("whole")
    shutil.copytree(place, whole)
    with pytest.raises(error):
        changed(verb, place, Listed(before, error=error()), words())

    def outcome(where: Path) -> object:
        try:
            report = changed(verb, where, after, words())
        except changes.BankError as refused:
            return refused.message.replace(where.name, "bank")
        found = (report.read, report.kept, report.there, report.replaced)
        return contents(result(verb, where)), found, report.skipped, report.reasons

    assert outcome(place) == outcome(whole)
    if result(verb, place).exists():
        assert verify(result(verb, place)).whole


def test_a_second_interruption_may_have_another_source_too(base: Path) -> None:
    rounds: list[Callable[[], list[Item]]] = [
        lambda: items(range(3, 20)),
        lambda: items(range(10, 30), "one"),
        lambda: items(range(8, 25)),
    ]
    for source in rounds:
        with pytest.raises(RuntimeError):
            changed("upsert", base, Listed(source(), error=RuntimeError()), words())
    changed("upsert", base, items(range(8, 12), "last"), words())
    assert sorted(contents(base)) == sorted(f"id{i}" for i in (*BASE, *range(8, 12)))
    assert contents(base)["id9"][0] == "last 9"
