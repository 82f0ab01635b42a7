"""survivors.md: the share of each plugin's mutants that the contracts kill, and why each of the others may live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

FILE = Path(__file__).with_name("survivors.md")
UNEXPLAINED = "Unexplained"
HEAD = """\
# Mutants that survive

`python -m tests.mutations` changes our plugins mechanically, one place at a time (a comparison, an operator, a constant, a line
left out), and runs the contracts of their components against each change. Words for people are left alone. This page lists what
no rule notices, and why that may be. `make test-slow` fails where a mutant survives that is not on it, or where a share falls.

`python -m tests.mutations --write` writes it anew: explanations stay, what is new comes under "Unexplained".

| plugin | mutants | killed | share |
|---|---|---|---|
"""


@dataclass
class Page:
    """What survivors.md says of one plugin.

    Attributes:
        share: of its mutants that were killed, 0 to 1.
        why: mutant -> the explanation that it stands under.
    """

    mutants: int = 0
    killed: int = 0
    why: dict[str, str] = field(default_factory=dict)

    @property
    def share(self) -> float:
        return self.killed / max(1, self.mutants)

    @property
    def unexplained(self) -> list[str]:
        """Survivors without an explanation."""
        return [name for name, why in self.why.items() if why == UNEXPLAINED]

    def renewed(self, survivors: Sequence[str], mutants: int) -> Page:
        """The page of today's survivors, with yesterday's explanations."""
        why = {name: self.why.get(name, UNEXPLAINED) for name in survivors}
        return Page(mutants, mutants - len(survivors), why)


def read(text: str) -> dict[str, Page]:
    """Plugin -> its page."""
    pages: dict[str, Page] = {}
    plugin = why = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[1].isdigit():
            pages[cells[0]] = Page(int(cells[1]), int(cells[2]))
        elif line.startswith("## "):
            plugin = line.removeprefix("## ")
        elif line.startswith("### "):
            why = line.removeprefix("### ")
        elif line.startswith("- "):
            pages[plugin].why[line.removeprefix("- ")] = why
    return pages


def written(pages: dict[str, Page]) -> str:
    """The text of survivors.md."""
    rows = [f"| {name} | {one.mutants} | {one.killed} | {one.share:.1%} |" for name, one in pages.items()]
    total = Page(sum(one.mutants for one in pages.values()), sum(one.killed for one in pages.values()))
    lines = [*rows, f"| all | {total.mutants} | {total.killed} | {total.share:.1%} |"]
    for plugin, page in pages.items():
        lines += ["", f"## {plugin}"] if page.why else []
        for why in sorted(set(page.why.values()), key=lambda one: (one != UNEXPLAINED, one)):
            lines += ["", f"### {why}", "", *(f"- {name}" for name, group in page.why.items() if group == why)]
    return HEAD + "\n".join(lines) + "\n"
