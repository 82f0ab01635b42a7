"""Mutates plugins and says what the contracts kill: `python -m tests.mutations [PLUGIN ...] [--write]`."""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before any library is loaded: a fork keeps no threads

from .mutants import mutants_of, sample
from .survivors import FILE, NOTICED, Page, read, written
from .targets import ROOT, TARGETS, contracts_of, files_of, other_tests_of
from .trying import try_all, try_tests


def main() -> int:
    """Exit code 1 where a survivor is unexplained or a share fell."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("plugins", nargs="*", choices=[*TARGETS, []], metavar="PLUGIN", help="by default all")
    parser.add_argument("--write", action="store_true", help="write survivors.md anew")
    parser.add_argument("--tests", action="store_true", help="run the plugin's own tests against unexplained survivors")
    parser.add_argument("--sample", type=int, metavar="N", help="try N mutants of each; 0: all. By default as the page says")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    given = parser.parse_args()
    failed = False
    for plugin in given.plugins or TARGETS:
        begun = time.monotonic()
        before = _pages().get(plugin, Page())
        everything = [one for file in files_of(plugin) for one in mutants_of(ROOT, file)]
        size = given.sample if given.sample is not None else before.mutants if before.sampled else None
        mutants = sample(everything, size or None)
        tried = {one.mutant.name: one for one in try_all(plugin, mutants, contracts_of(plugin), given.workers)}
        survivors = [one.name for one in mutants if not tried[one.name].killed_by]
        page = before.renewed(survivors, len(mutants), len(everything))
        if given.write:
            _write(plugin, page)
        if given.tests:
            lives = [one for one in mutants if one.name in page.unexplained]
            for one in try_tests(plugin, lives, other_tests_of(plugin), given.workers):
                if one.killed_by.endswith(".py"):
                    page.why[one.mutant.name] = f"{NOTICED} {one.killed_by}"
        fell = page.share < before.share - 5e-4
        told = f"{page.mutants} of {page.of}" if page.sampled else f"{page.mutants}"
        print(
            f"{plugin}: {page.killed} of {told} mutants killed, {page.share:.1%}, other tests notice {page.noticed} more, "
            f"in {time.monotonic() - begun:.0f} s"
        )
        for name in page.unexplained:
            print(f"  survives without an explanation: {name}")
        if fell:
            print(f"  the share was {before.share:.1%}")
        sys.stdout.flush()
        failed = failed or fell or bool(page.unexplained)
        if given.write:
            _write(plugin, page)
    return int(failed)


def _pages() -> dict[str, Page]:
    return read(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}


def _write(plugin: str, page: Page) -> None:
    """Writes survivors.md with another page of one plugin."""
    pages = {**_pages(), plugin: page}
    FILE.write_text(written({name: pages[name] for name in TARGETS if name in pages}), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
