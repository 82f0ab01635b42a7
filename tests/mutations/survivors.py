"""survivors.md: the share of each plugin's mutants that the contracts kill, and why each of the others may live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .reasons import reason_of

FILE = Path(__file__).with_name("survivors.md")
UNEXPLAINED = "Unexplained"
NOTICED = "No matter of the contract, and noticed by"
HEAD = """\
# Mutants that survive

`python -m tests.mutations` changes our plugins mechanically, one place at a time (a comparison, an operator, a constant, a line
left out), and runs the contracts of their components against each change. Words for people are left alone. This page lists what
no rule notices, and why that may be. `make test-slow` fails where a mutant survives that is not on it, or where a share falls.

`python -m tests.mutations --write` writes it anew: explanations stay, what is new comes under "Unexplained". With `--tests` the
plugin's own tests are run against what the contracts let live, and their files named. With `--sample N` a plugin is judged by N
of its mutants, chosen by the hashes of their names; the table says so, and later runs keep to it.

| plugin | mutants | killed by a contract | share | noticed by other tests |
|---|---|---|---|---|
"""


@dataclass
class Page:
    """What survivors.md says of one plugin.

    Attributes:
        mutants: how many were tried. of: how many there are; `sampled` where that is more.
        share: of those tried, how many a contract killed, 0 to 1.
        why: mutant -> the explanation that it stands under.
    """

    mutants: int = 0
    killed: int = 0
    of: int = 0
    why: dict[str, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.killed / max(1, self.mutants)

    @property
    def sampled(self) -> bool:
        return self.mutants < self.of

    @property
    def unexplained(self) -> list[str]:
        """Survivors without an explanation."""
        return [name for name, why in self.why.items() if why == UNEXPLAINED]

    @property
    def noticed(self) -> int:
        """How many survivors tests of the plugin's own notice."""
        return sum(why.startswith(NOTICED) for why in self.why.values())

    def _explained(self, name: str) -> str:
        known = self.why.get(name, UNEXPLAINED)
        return known if known != UNEXPLAINED else reason_of(name) or UNEXPLAINED

    def renewed(self, survivors: Sequence[str], mutants: int, of: int) -> Page:
        """The page of today's survivors, with yesterday's explanations."""
        why = {name: self._explained(name) for name in survivors}
        return Page(mutants, mutants - len(survivors), of, why)


def read(text: str) -> dict[str, Page]:
    """Plugin -> its page."""
    pages: dict[str, Page] = {}
    plugin = why = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 5 and cells[2].isdigit():
            mutants, _, of = cells[1].partition(" of ")
            pages[cells[0]] = Page(int(mutants), int(cells[2]), int(of or mutants))
        elif line.startswith("## "):
            plugin = line.removeprefix("## ")
        elif line.startswith("### "):
            why = line.removeprefix("### ")
        elif line.startswith("- "):
            pages[plugin].why[line.removeprefix("- ")] = why
    return pages


def written(pages: dict[str, Page]) -> str:
    """The text of survivors.md."""
    names = {**pages, "all": _all(pages)}
    lines = [
        f"| {name} | {one.mutants}{f' of {one.of}' if one.sampled else ''} | {one.killed} | {one.share:.1%} | {one.noticed} |"
        for name, one in names.items()
    ]
    for plugin, page in pages.items():
        lines += ["", f"## {plugin}"] if page.why else []
        for why in sorted(set(page.why.values()), key=lambda one: (one != UNEXPLAINED, one)):
            lines += ["", f"### {why}", "", *(f"- {name}" for name, group in page.why.items() if group == why)]
    return HEAD + "\n".join(lines) + "\n"


def _all(pages: dict[str, Page]) -> Page:
    why = {f"{plugin} {name}": why for plugin, page in pages.items() for name, why in page.why.items()}
    mutants, killed, of = (sum(getattr(one, name) for one in pages.values()) for name in ("mutants", "killed", "of"))
    return Page(mutants, killed, of, why)
