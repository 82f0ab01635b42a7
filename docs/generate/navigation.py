"""Which page comes after which. The pages themselves stay plain Markdown, readable where they lie."""

from __future__ import annotations

from pathlib import Path

SECTIONS = {
    "Tutorial": ["tutorial/first-picture", "tutorial/first-swap", "tutorial/first-plugin", "tutorial/own-data"],
    "How to": [
        "how-to/own-pictures-to-a-bank",
        "how-to/change-a-bank",
        "how-to/tune-retrieval",
        "how-to/own-weights",
        "how-to/choose-a-sampler",
        "how-to/fast-decoding",
        "how-to/public-checkpoints",
        "how-to/watch-and-stop-drawing",
        "how-to/local-plugin-file",
        "how-to/publish-a-plugin",
        "how-to/test-a-plugin",
        "how-to/add-a-kind",
        "how-to/observe-a-pipeline",
        "how-to/security",
        "how-to/environment-variables",
        "how-to/shell-completion",
    ],
    "Reference": [
        "reference/registry",
        "reference/commands",
        "reference/components/index",
        "reference/kinds",
        "reference/python/index",
    ],
    "Behind it": ["architecture", "catalogue", "results", "scale", "decisions/index"],
}


def trees(folder: Path) -> dict[str, str]:
    """Page -> the navigation to append to it."""
    root = "".join(_tree(pages, caption) for caption, pages in SECTIONS.items())
    components = sorted(path.stem for path in (folder / "reference/components").glob("*.md") if path.stem != "index")
    decisions = sorted(path.stem for path in (folder / "decisions").glob("[0-9]*.md"))
    return {
        "index.md": root,
        "reference/components/index.md": _tree(components),
        "decisions/index.md": _tree(decisions),
    }


def _tree(pages: list[str], caption: str = "") -> str:
    title = f":caption: {caption}\n" if caption else ""
    return "\n\n:::{toctree}\n:hidden:\n" + title + "\n" + "\n".join(pages) + "\n:::\n"
