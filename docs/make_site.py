"""Builds the site into a folder: pages written by hand, and what the code and the plugins say of themselves."""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from generate import pages, plugins
from generate.components import stem
from generate.navigation import trees
from sphinx.cmd.build import build_main

from calumma.extension import Catalog

HERE = Path(__file__).parent
INSTALLED = "<!-- installed plugins -->"
_FENCE = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


def stage(folder: Path) -> Path:
    """Lays out the sources of the site in a folder: our pages, the generated ones, and the navigation between them."""
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("generate", "*.py", "__pycache__"), dirs_exist_ok=True)
    catalog = Catalog()
    ids = {spec.name: f"reference/components/{stem(spec)}.md" for kind in catalog.kinds() for spec in catalog.components(kind)}
    for path in sorted(folder.rglob("*.md")):
        place = path.relative_to(folder)
        path.write_text(linked(path.read_text(encoding="utf-8"), ids, "../" * (len(place.parts) - 1)), encoding="utf-8")
    page = folder / "catalogue.md"
    page.write_text(page.read_text(encoding="utf-8").replace(INSTALLED, plugins.catalogue(catalog)), encoding="utf-8")
    for name, text in pages(catalog).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    for name, tree in trees(folder).items():
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(tree)
    return folder


def linked(text: str, ids: dict[str, str], up: str) -> str:
    """Component ids in running text become links to their pages; fenced blocks and links stay as they are."""

    def link(found: re.Match[str]) -> str:
        return f"[`{found[1]}`]({up}{ids[found[1]]})" if found[1] in ids else found[0]

    pieces = _FENCE.split(text)
    return "".join(piece if i % 2 else re.sub(r"(?<!\[)`([^`\n]+)`", link, piece) for i, piece in enumerate(pieces))


def main() -> int:
    """Builds strictly: a warning is an error, and so is a reference that leads nowhere."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=HERE.parent / "site")
    out: Path = parser.parse_args().out
    if out.exists() and any(out.iterdir()) and not (out / "searchindex.js").exists():
        sys.exit(f"{out} holds something else than a site. Name another folder.")
    with tempfile.TemporaryDirectory(prefix="calumma-docs-") as folder:
        staged = stage(Path(folder, "docs"))
        strict = ["-q", "-E", "-W", "--keep-going", "-n", "-c", str(HERE), "-d", str(Path(folder, "doctrees"))]
        shutil.rmtree(out, ignore_errors=True)
        code = build_main([*strict, "-b", "html", str(staged), str(out)])
    print(out / "index.html" if code == 0 else "The site was not built; see the warnings above.", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
