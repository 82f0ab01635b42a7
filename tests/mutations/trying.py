"""Tries mutants: each in a forked process that imports the plugin anew, until something notices."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import math
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from calumma.contracts import BrokenRule, Contract, rules_of

from .mutants import Mutant

SPARE = 10.0  # seconds of a processor that a mutant gets beyond three times what the unchanged plugin takes
PATIENCE = 300.0  # seconds by the clock, beyond ten times as long, for one that waits for ever
MEMORY = 16 * 2**30
OTHER_PROCESSES = {"test_listing_it_imports_no_library"}  # looks at the files on disk, where nothing is changed


@dataclass(frozen=True)
class Tried:
    """What became of a mutant: killed by a rule, by the end of its process, which a loop without end is too, or "" where it
    survived.
    """

    mutant: Mutant
    killed_by: str
    seconds: float


@dataclass
class _Running:
    process: Any
    answer: Connection
    folder: str
    mutant: Mutant | None
    begun: float = field(default_factory=time.monotonic)


def try_all(
    plugin: str, mutants: Sequence[Mutant], contracts: Sequence[type[Contract[Any]]], workers: int = 2
) -> Iterator[Tried]:
    """What becomes of each mutant, as they end. The rules that killed most so far are asked first.

    Raises RuntimeError where the plugin as it is breaks a rule.
    """
    rules = [(i, name) for i, contract in enumerate(contracts) for name in rules_of(contract) if name not in OTHER_PROCESSES]
    kills: Counter[str] = Counter()

    def first_broken() -> str:
        for i, name in sorted(rules, key=lambda one: -kills[f"{contracts[one[0]].__name__}.{one[1]}"]):
            one = contracts[i]()
            one.setup_method()
            try:
                getattr(one, name)()
            except BrokenRule:
                return f"{contracts[i].__name__}.{name}"
            finally:
                one.teardown_method()
        return ""

    for tried in _tried(plugin, mutants, first_broken, workers):
        kills[tried.killed_by] += 1
        yield tried


def try_tests(plugin: str, mutants: Sequence[Mutant], files: Sequence[Path], workers: int = 2) -> Iterator[Tried]:
    """The same with test files; a mutant is killed by the first file that fails."""

    def first_failing() -> str:
        hypothesis.settings.register_profile("mutations", derandomize=True, deadline=None, database=None)
        for name in [name for name in sys.modules if name.startswith("tests.") and not name.startswith("tests.mutations")]:
            del sys.modules[name]  # else pytest takes those that already imported the plugin as it is
        for file in files:
            words = [
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                "--hypothesis-profile=mutations",
                f"--rootdir={file.parents[2]}",
                str(file),
            ]
            if pytest.main([*words, "-c", str(file.parents[2] / "pyproject.toml")]):
                return "/".join(file.parts[-3:])
        return ""

    yield from _tried(plugin, mutants, first_failing, workers)


def _tried(plugin: str, mutants: Sequence[Mutant], check: Callable[[], str], workers: int) -> Iterator[Tried]:
    """Runs `check` in a fork for each mutant; it gives the name of what failed."""
    begun = time.monotonic()
    broken, modules, seconds = _unchanged(plugin, check)
    if broken:
        raise RuntimeError(f"{plugin} as it is fails {broken}.")
    limit, patience = SPARE + 3 * seconds, PATIENCE + 10 * (time.monotonic() - begun)
    for name in modules:  # in this process, so that libraries are imported once, not in every fork
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    waiting, running = list(reversed(mutants)), list[_Running]()
    while waiting or running:
        while waiting and len(running) < workers:
            running.append(_started(plugin, waiting.pop(), check, limit))
        wait([one.answer for one in running], timeout=1.0)
        for one in list(running):
            killed_by = _ended(one, patience)
            if killed_by is not None:
                assert one.mutant is not None
                running.remove(one)
                yield Tried(one.mutant, killed_by, time.monotonic() - one.begun)


def _unchanged(plugin: str, check: Callable[[], str]) -> tuple[str, list[str], float]:
    """What the plugin as it is fails, the libraries that were imported, and seconds of a processor.

    It runs in a fork as well: what else it leaves behind, such as an architecture made known to a library, stays there.
    """
    one = _started(plugin, None, check, None)
    try:
        return one.answer.recv(), one.answer.recv(), one.answer.recv()
    except EOFError:
        return "by the end of its process", [], 0.0
    finally:
        _end(one)


def _started(plugin: str, mutant: Mutant | None, check: Callable[[], str], limit: float | None) -> _Running:
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    folder = tempfile.mkdtemp(prefix="calumma-mutant-")
    process = context.Process(target=_try, args=(plugin, mutant, check, folder, limit, send), daemon=True)
    process.start()
    send.close()
    return _Running(process, receive, folder, mutant)


def _ended(one: _Running, patience: float) -> str | None:
    """None while it runs."""
    if one.answer.poll():
        try:
            answer = str(one.answer.recv())
        except EOFError:
            answer = "the end of the process"
    elif time.monotonic() - one.begun > patience:
        answer = "the time it took"
    else:
        return None
    _end(one)
    return answer


def _end(one: _Running) -> None:
    one.process.kill()
    one.process.join()
    one.answer.close()
    shutil.rmtree(one.folder, ignore_errors=True)


def _try(
    plugin: str, mutant: Mutant | None, check: Callable[[], str], folder: str, limit: float | None, send: Connection
) -> None:
    """In the forked process: sends what failed, or "" where nothing did; then the libraries that are loaded, and seconds.

    Args:
        limit: seconds of a processor after which the process ends; None for no limit.
    """
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(limit), math.ceil(limit)))
    tempfile.tempdir = folder
    os.chdir(folder)
    try:
        _import(plugin, mutant)
    except BaseException:
        send.send("the import")
    else:
        send.send(check())
    if mutant is None:
        send.send([name for name in sys.modules if not name.startswith(("calumma", "tests.", "__"))])
        send.send(time.process_time())


def _import(plugin: str, mutant: Mutant | None) -> None:
    """Imports a plugin anew, one of its modules changed."""
    package = f"calumma_plugins.{plugin}"
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]
    if mutant is not None:
        sys.meta_path.insert(0, _Changed(mutant))
    importlib.import_module(package)


class _Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from a changed syntax tree."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: object, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.mutant.module:
            return None
        file = self.mutant.file
        folders = [str(file.parent)] if file.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(name, file, loader=self, submodule_search_locations=folders)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.mutant.tree, str(self.mutant.file), "exec"), module.__dict__)
