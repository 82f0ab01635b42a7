"""The example in each hook's docstring is a working plugin."""

from __future__ import annotations

import doctest
from types import SimpleNamespace

import pytest

from calumma.documents import Document, Text
from calumma.extension import Catalog, ComponentSpec, KindSpec, hookimpl, hookspecs
from calumma.extension.loading import HOOKS

FACTS = {
    "pipeline": SimpleNamespace(retriever="a retriever"),
    "document": Document((Text("an apple"),)),
    "retrieved": [SimpleNamespace(document=Document((Text("a pear"),), id="7"))],
    "task": "generate",
    "n": 4,
    "result": SimpleNamespace(timings={"total": 1.0}),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_the_example_of_a_hook_works(hook, capsys):
    names = {"hookimpl": hookimpl, "ComponentSpec": ComponentSpec, "KindSpec": KindSpec}
    (test,) = doctest.DocTestFinder().find(getattr(hookspecs, hook), hook, globs=names)
    for example in test.examples:
        exec(example.source, names)
    catalog = Catalog()
    catalog.add("mine", SimpleNamespace(**{hook: names[hook]}))
    if hook in ("calumma_components", "calumma_kinds"):
        offered = list(names[hook]())
        loaded = catalog.require("mine")
        assert offered == [*loaded.components, *loaded.kinds]
        assert offered
    else:
        wanted = names[hook].__code__.co_varnames[: names[hook].__code__.co_argcount]
        catalog.notify(hook, **{name: FACTS[name] for name in wanted})
        said = capsys.readouterr().err
        assert said
        assert "dropped" not in said


def test_all_hooks_are_in_one_short_file():
    with open(hookspecs.__file__) as file:
        assert len(file.readlines()) < 100
    assert len(HOOKS) == 6
