"""Mutates plugins and says what the contracts kill: `python -m tests.mutations [PLUGIN ...] [--write]`."""

from __future__ import annotations

import argparse
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"  # before any library is loaded: a fork keeps no threads


def main() -> int:
    """Exit code 1 where a survivor is unexplained or a share fell."""
    from .mutants import mutants_of
    from .survivors import FILE, Page, read, written
    from .targets import ROOT, TARGETS, contracts_of, files_of
    from .trying import try_all

    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("plugins", nargs="*", choices=[*TARGETS, []], metavar="PLUGIN", help="by default all")
    parser.add_argument("--write", action="store_true", help="write survivors.md anew")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    given = parser.parse_args()
    pages = read(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    failed = False
    for plugin in given.plugins or TARGETS:
        begun = time.monotonic()
        mutants = [one for file in files_of(plugin) for one in mutants_of(ROOT, file)]
        tried = {one.mutant.name: one for one in try_all(plugin, mutants, contracts_of(plugin), given.workers)}
        survivors = [one.name for one in mutants if not tried[one.name].killed_by]
        before = pages.get(plugin, Page())
        page = before.renewed(survivors, len(mutants))
        fell = page.share < before.share - 5e-4
        print(
            f"{plugin}: {page.killed} of {page.mutants} mutants killed, {page.share:.1%}, in {time.monotonic() - begun:.0f} s"
        )
        for name in page.unexplained:
            print(f"  survives without an explanation: {name}")
        if fell:
            print(f"  the share was {before.share:.1%}")
        sys.stdout.flush()
        failed = failed or fell or bool(page.unexplained)
        pages[plugin] = page
    if given.write:
        FILE.write_text(written({name: pages[name] for name in TARGETS if name in pages}), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
