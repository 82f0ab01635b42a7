"""Options say how they are tuned; the grid does what they say, and says what it leaves out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import Field, model_validator

from calumma.bank.tuning.grid import grid
from calumma.extension import Catalog
from calumma.interfaces import Options, Retriever
from calumma_plugins.exact.flat import Flat

from .tuning_samples import engine


class Tunable(Options):
    lists: int = Field(
        8,
        description="Lists.",
        json_schema_extra={"meaning": True, "tune": [8, {"value": 64, "from": 1000}, {"value": 2, "to": 100}]},
    )
    compressed: bool = Field(False, description="Bytes.", json_schema_extra={"meaning": True, "tune": [False, True]})
    other: int = Field(3, description="Not tuned.", json_schema_extra={"meaning": True})
    again: int = Field(
        1,
        description="Read again.",
        json_schema_extra={"meaning": True, "search": True, "tune": [1, 4], "tune_where": {"compressed": "True"}},
    )

    @model_validator(mode="after")
    def _no_such_pair(self) -> Tunable:
        if self.lists == 64 and self.again == 4:
            raise ValueError("64 lists are not read 4 times")
        return self


class Tuned(Flat):
    Options = Tunable


def tuned(**options: Any) -> Retriever:
    retriever = Tuned(Tunable(**options))
    retriever.id = "tests/tuned"
    return retriever


def options(retriever: Retriever, documents: int) -> list[dict[str, Any]]:
    return [one.retriever.options.model_dump() for one in grid(retriever, documents)[0]]


def test_what_is_marked_is_varied_where_its_condition_holds() -> None:
    found = {(one["lists"], one["compressed"], one["again"]) for one in options(tuned(), 500)}
    assert found == {(8, False, 1), (8, True, 1), (8, True, 4)}


def test_the_present_options_come_first_and_what_is_not_marked_stays() -> None:
    found = options(tuned(lists=5, other=9), 500)
    assert (found[0]["lists"], found[0]["again"]) == (5, 1)
    assert {one["other"] for one in found} == {9}
    assert len(found) == 4


def test_the_present_options_are_there_once() -> None:
    found = options(tuned(), 500)
    assert found[0] == tuned().options.model_dump()
    assert found.count(found[0]) == 1


def test_what_does_not_fit_the_bank_is_left_out_with_the_reason() -> None:
    small = [str(one) for one in grid(tuned(), 500)[1]]
    assert small == [
        "tests/tuned lists=64 is left out: it is for banks of 1,000 documents and more, and this one has 500.",
        "tests/tuned lists=2 is left out: it is for banks of at most 100 documents, and this one has 500.",
    ]
    assert {one["lists"] for one in options(tuned(), 100)} == {8, 2}


def test_options_that_exclude_each_other_are_left_out_with_the_reason() -> None:
    found, left_out = grid(tuned(), 1000)
    assert len(found) == 5
    assert "lists=64, compressed=True, again=4 is left out: 64 lists are not read 4 times." in str(left_out[-1])


def test_what_is_written_is_what_was_varied_and_what_is_no_default() -> None:
    first, *more = grid(tuned(other=9), 500)[0]
    assert first.written == {"lists": 8, "compressed": False, "other": 9}
    assert {"lists": 8, "compressed": True, "other": 9, "again": 4} in [one.written for one in more]
    assert grid(engine("exact/flat"), 500)[0][0].written == {}


def marked() -> Iterator[tuple[str, str, dict[str, Any], type[Options]]]:
    catalog = Catalog()
    for spec in catalog.components("retriever"):
        if catalog.status(spec)[0] == "available":
            cls = catalog.options_class(spec)
            for name, field in cls.model_fields.items():
                if isinstance(field.json_schema_extra, dict) and "tune" in field.json_schema_extra:
                    yield spec.name, name, field.json_schema_extra, cls


@pytest.mark.parametrize(("id", "name", "marks", "cls"), [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in marked()])
def test_what_a_plugin_marks_is_valid(id: str, name: str, marks: dict[str, Any], cls: type[Options]) -> None:
    fields = list(cls.model_fields)
    for one in marks["tune"]:
        value = one["value"] if isinstance(one, dict) else one
        assert getattr(cls.model_validate({name: value}), name) == value
    for other in marks.get("tune_where", {}):
        assert fields.index(other) < fields.index(name)


def test_the_engines_that_approximate_are_tuned() -> None:
    assert {"hnswlib/hnsw", "faiss/index", "lance/ivf"} <= {id for id, *_ in marked()}
