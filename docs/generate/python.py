"""Pages of the public Python names, for autodoc to fill from docstrings."""

from __future__ import annotations

MODULES = {
    "calumma": ("The package", ["load", "component", "Pipeline", "Result", "Bank"]),
    "calumma.pipeline": ("Requests step by step", ["Stream", "Update"]),
    "calumma.documents": ("Documents", []),
    "calumma.interfaces": ("Interfaces: one class a kind", []),
    "calumma.extension": ("Extension: plugins, specs, the catalog", []),
    "calumma.extension.hookspecs": ("Hooks", []),
    "calumma.contracts": ("Contracts", []),
    "calumma.bank": ("Banks and their sources", ["ImageFolder", "Item", "Report", "Skipped", "Source", "add_tokens", "build"]),
    "calumma.bank.tuning": ("Tuning retrieval", []),
    "calumma.errors": ("Errors", []),
}


def pages() -> dict[str, str]:
    """Path -> reStructuredText of each module's page and of their list."""
    found = {f"reference/python/{module}.rst": _page(module) for module in MODULES}
    names = "".join(f"   {module}\n" for module in MODULES)
    index = f"{_title('Python')}\nWhat may be imported; all else is private.\n\n.. toctree::\n\n{names}"
    return {**found, "reference/python/index.rst": index}


def _page(module: str) -> str:
    title, names = MODULES[module]
    members = f"   :members: {', '.join(names)}\n" if names else "   :members:\n"
    return f"{_title(f'{module}')}\n*{title}*\n\n.. automodule:: {module}\n{members}   :member-order: bysource\n"


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n"
