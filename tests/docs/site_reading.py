"""Reading a built site: what each page loads, what it links to, which anchors it has."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    "script": "src",
    "img": "src",
    "source": "srcset",
    "iframe": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
}
LINKED = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch", "manifest"}
_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
_JS = re.compile(r"""(?:fetch|import|importScripts|Worker|open)\s*\(\s*["'`](\w+:)?//|\.(?:src|href)\s*=\s*["'`](?:\w+:)?//""")


class Page(HTMLParser):
    """One page.

    Attributes:
        loads: addresses that a browser fetches by itself. links: where its anchors lead. anchors: ids in it.
        images: alternative texts of its pictures. viewport, language: what it says of itself.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.loads: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.images: list[str] = []
        self.viewport = ""
        self.language = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes what the element loads, links to, and is called."""
        values = {name: value or "" for name, value in attrs}
        self.anchors.add(values.get("id", ""))
        if tag in LOADS and values.get(LOADS[tag]):
            self.loads.append(values[LOADS[tag]])
        if tag == "link" and LINKED & set(values.get("rel", "").split()):
            self.loads.append(values["href"])
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "img":
            self.images.append(values.get("alt", ""))
        if tag == "meta" and values.get("name") == "viewport":
            self.viewport = values["content"]
        if tag == "html":
            self.language = values.get("lang", "")
        self.loads += css_loads(values.get("style", ""))


def css_loads(text: str) -> list[str]:
    """What a stylesheet fetches, less what it holds itself."""
    found = [first or second for first, second in _CSS.findall(text)]
    return [one for one in found if not one.startswith(("data:", "#"))]


def js_loads(text: str) -> list[str]:
    """Calls in a script that fetch from an outside address."""
    return [match[0] for match in _JS.finditer(text)]


def is_outside(address: str) -> bool:
    """Whether it leads to another host."""
    return bool(re.match(r"(?:[a-z][a-z0-9+.-]*:)?//", address, re.IGNORECASE))
