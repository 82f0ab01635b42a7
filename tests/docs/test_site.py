"""The site builds without a warning, opens from a folder without a network, and every reference in it leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from generate import navigation
from site_reading import Page, css_loads, is_outside, js_loads
from terminal import ROOT
from test_pages import PAGES, WRITTEN

import calumma.interfaces
from calumma.extension import Catalog


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {path.relative_to(site).as_posix(): Page(path) for path in sorted(site.rglob("*.html"))}


def test_every_written_page_and_every_component_has_its_place(pages: dict[str, Page]) -> None:
    written = {name.removeprefix("docs/").replace(".md", ".html") for name in WRITTEN if name.startswith("docs/")}
    components = {name.replace(".md", ".html") for name in PAGES if name.startswith("reference/components/")}
    assert written | components <= set(pages)
    listed = {f"{page}.html" for section in navigation.SECTIONS.values() for page in section}
    assert listed <= set(pages)
    ids = {spec.name for kind in Catalog().kinds() for spec in Catalog().components(kind)}
    assert len(components) == len(ids) + 1


def test_nothing_is_loaded_from_another_host(site: Path, pages: dict[str, Page]) -> None:
    loads = {name: [one for one in page.loads if is_outside(one)] for name, page in pages.items()}
    loads |= {path.name: [one for one in css_loads(path.read_text()) if is_outside(one)] for path in site.rglob("*.css")}
    loads |= {path.name: js_loads(path.read_text()) for path in site.rglob("*.js")}
    assert len(list(site.rglob("*.css"))) > 1
    assert {name: found for name, found in loads.items() if found} == {}


def test_what_a_page_loads_and_links_to_is_there(pages: dict[str, Page]) -> None:
    by_path = {page.path: page for page in pages.values()}
    lost = []
    for name, page in pages.items():
        for address in [*page.loads, *page.links]:
            if is_outside(address) or address.startswith(("data:", "mailto:")):
                continue
            path, _, anchor = unquote(address).partition("#")
            target = (page.path.parent / path.partition("?")[0]).resolve() if path else page.path
            there = by_path.get(target)
            if not target.exists() or (anchor and there is not None and anchor not in there.anchors):
                lost.append(f"{name}: {address}")
    assert lost == []


def test_pages_are_made_for_narrow_windows_and_for_those_who_hear_them(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert "width=device-width" in page.viewport, name
        assert page.language == "en", name
        assert all(page.images), f"{name} has a picture without words"


def test_the_search_needs_no_server(site: Path, pages: dict[str, Page]) -> None:
    assert "searchindex.js" in {Path(one.partition("?")[0]).name for one in pages["search.html"].loads}
    assert re.search(r"search\.setindex", (site / "searchindex.js").read_text(), re.IGNORECASE)
    assert "hnsw" in (site / "searchindex.js").read_text()


def test_links_of_the_written_pages_work_where_they_lie() -> None:
    """On a code host, where nothing is generated."""
    for name, text in WRITTEN.items():
        for address in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
            if not is_outside(address):
                assert (ROOT / name).parent.joinpath(address).exists(), f"{name}: {address}"


def test_the_table_of_interfaces_names_what_is_there() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", WRITTEN["docs/architecture.md"], re.MULTILINE)
    found = {name: about for name, about in rows if hasattr(calumma.interfaces, name)}
    assert len(found) == 10
    for name, about in found.items():
        cls = getattr(calumma.interfaces, name)
        there = {word for one in cls.__mro__ for word in [*vars(one), *getattr(one, "__annotations__", {})]}
        words = {word.partition("(")[0] for word in re.findall(r"`([^`]+)`", about)}
        assert words <= there, f"{name} has no {words - there}"
