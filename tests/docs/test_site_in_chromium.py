"""The site as a browser shows it, opened from its folder with no network: wide and narrow, light and dark, searched."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

pytestmark = pytest.mark.slow

LOOKED_AT = [
    "index.html",
    "tutorial/first-plugin.html",
    "reference/components/hnswlib-hnsw.html",
    "reference/components/cm3leon-decoder.html",
    "reference/python/calumma.interfaces.html",
    "reference/commands.html",
    "architecture.html",
    "results.html",
]
OFFLINE = ("--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--disable-component-update")
# Put at the end of a copy of a page, which says what sticks out of its window (and cannot be scrolled by itself), and how many
# pictures did not load. The copy lies in a frame, because a window of Chromium is never narrower than 500 pixels.
MEASURE = """<script>addEventListener("load", () => {
  const scrolls = one =>
    one && (["auto", "scroll"].includes(getComputedStyle(one).overflowX) || scrolls(one.parentElement.closest("article *")));
  const sticksOut = one => one.getBoundingClientRect().right > innerWidth + 1 && !scrolls(one);
  const out = [...document.querySelectorAll("article *")].filter(sticksOut);
  const lost = [...document.images].filter(one => !one.naturalWidth).length;
  parent.postMessage(`lost=${lost} out=${out.map(one => one.outerHTML.slice(0, 80)).join()}`, "*");
});</script></body>"""
FRAME = """<!doctype html><iframe width="{width}" height="900" src="measured.html"></iframe>
<script>addEventListener("message", event => document.title = `measured ${{event.data}}`)</script>"""


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The start of a command line."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert found, "These tests need Chromium: install it, or leave them out with -k 'not chromium'."
    profile = tmp_path_factory.mktemp("profile")
    return [found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}", *OFFLINE]


def page_after_load(chromium: list[str], address: str, width: int) -> str:
    """Its HTML once its scripts have run."""
    words = [*chromium, f"--window-size={width},900", "--virtual-time-budget=4000", "--dump-dom", address]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=True).stdout


def measured(chromium: list[str], page: Path, text: str, width: int) -> str:
    """What MEASURE says of a page with this text, beside `page`, in a frame of `width` pixels."""
    copy, frame = page.with_name("measured.html"), page.with_name("frame.html")
    copy.write_text(text.replace("</body>", MEASURE), encoding="utf-8")
    frame.write_text(FRAME.format(width=width), encoding="utf-8")
    shown = page_after_load(chromium, frame.as_uri(), 1500)
    copy.unlink()
    frame.unlink()
    found = re.search(r"<title>measured (.*?)</title>", shown, re.DOTALL)
    assert found, shown
    return found[1]


@pytest.mark.parametrize("width", [1400, 420])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_no_page_is_wider_than_its_window(chromium: list[str], site: Path, name: str, width: int) -> None:
    assert measured(chromium, site / name, (site / name).read_text(), width) == "lost=0 out="


def test_a_page_that_is_wider_would_be_seen(chromium: list[str], site: Path) -> None:
    text = (site / "index.html").read_text().replace("</h1>", "</h1><div style='width: 900px'>wide</div><img src='none.png'>")
    said = measured(chromium, site / "index.html", text, 420)
    assert said.startswith("lost=1 out=")
    assert "900px" in said


def test_the_search_finds_without_a_server(chromium: list[str], site: Path) -> None:
    shown = page_after_load(chromium, f"{(site / 'search.html').as_uri()}?q=watermark", 1400)
    assert re.search(r'class="search">.*how-to/add-a-kind\.html', shown, re.DOTALL)


def test_the_site_is_light_or_dark_as_the_reader_wishes(chromium: list[str], site: Path, tmp_path: Path) -> None:
    light = brightness(chromium, site, tmp_path / "light.png", [])
    dark = brightness(chromium, site, tmp_path / "dark.png", ["--force-dark-mode"])
    assert light > 200
    assert dark < 90


def brightness(chromium: list[str], site: Path, out: Path, flags: list[str]) -> float:
    """The mean grey of the architecture's page, 0 to 255."""
    words = [*chromium, *flags, "--window-size=1400,1000", f"--screenshot={out}", (site / "architecture.html").as_uri()]
    subprocess.run(words, capture_output=True, timeout=120, check=True)
    with PIL.Image.open(out) as picture:
        return float(np.asarray(picture.convert("L")).mean())
