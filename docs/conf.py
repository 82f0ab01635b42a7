"""Sphinx: Markdown by MyST, the Furo theme, names from docstrings; nothing is fetched from anywhere."""

from __future__ import annotations

import importlib
from typing import Any

from generate.python import MODULES

import calumma

PUBLIC = set()
for module in map(importlib.import_module, MODULES):
    names = getattr(module, "__all__", ())
    vars(module).update({name: getattr(module, name) for name in names})  # autodoc looks at what is there, not at __getattr__
    PUBLIC.update(names)

project = "Calumma"
release = version = calumma.__version__
html_title = f"Calumma {calumma.__version__}"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["generate", "static"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

default_role = "literal"  # docstrings are written with single backticks, as Markdown is
autodoc_class_signature = "separated"
autodoc_typehints_format = "short"
autodoc_default_options = {"exclude-members": "model_config, model_post_init, __init__, __new__"}
napoleon_use_ivar = True
add_module_names = False
nitpick_ignore_regex = [("py:.*", r"(?!calumma).*")]  # names of other projects: there is no inventory to look them up in

html_theme = "furo"
html_static_path = ["static"]
html_css_files = ["calumma.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False  # LICENSE and NOTICE say it
html_show_search_summary = False  # summaries are fetched, which a page opened from a file may not do
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#3f51b5", "color-brand-content": "#3f51b5"},
    "dark_css_variables": {"color-brand-primary": "#9fa8ff", "color-brand-content": "#9fa8ff"},
}
copybutton_exclude = ".linenos, .gp, .go"
pygments_style, pygments_dark_style = "friendly", "github-dark"


def _home(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """A reference to where a name is defined leads to where it is public: calumma.bank.bank.Bank to calumma.Bank.

    A name that is nowhere public, such as a type variable, stays without a link.
    """
    target = node.get("reftarget", "")
    if not target.startswith("calumma."):
        return None
    domain = env.get_domain("py")
    parts = target.split(".")
    for depth in range(len(parts) - 2, 0, -1):
        public = ".".join([*parts[:depth], parts[-1]])
        if public in domain.objects:
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)
    return None if parts[-1] in PUBLIC else contnode


def _skip(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """`Component.Options` is `calumma.interfaces.Options` itself, which has its place already."""
    return True if what == "class" and name == "Options" else None


def setup(app: Any) -> None:
    """Registers the above."""
    app.connect("missing-reference", _home)
    app.connect("autodoc-skip-member", _skip)
