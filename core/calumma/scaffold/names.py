"""Everything that is called after a plugin's name: distribution, package, class."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from calumma.errors import InputError

PREFIX = "calumma-"
LONGEST = 30
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = {
    "calumma": "the core itself",
    "hf": "the Hugging Face hub, in addresses of assets",
}


def check_name(name: str, installed: Iterable[str]) -> None:
    """Raises InputError for a name that no plugin can have, or that one of `installed` has, with one that would do."""
    if name.casefold().startswith(PREFIX):
        raise InputError(f"The prefix of {name!r:.80} is the distribution's.", f"Leave {PREFIX} out: {_offered(name)}.")
    if not _NAME.fullmatch(name):
        said = "is made of lower-case letters, digits and single hyphens, and begins with a letter"
        raise InputError(f"{name!r:.80} is no name for a plugin: it {said}.", f"Call it {_offered(name)}.")
    if not 2 <= len(name) <= LONGEST:
        raise InputError(f"The name {name!r:.80} has {len(name)} characters.", f"Give it 2 to {LONGEST}.")
    if name in _TAKEN:
        raise InputError(f"The name {name!r} means {_TAKEN[name]}.", f"Call it my-{name}.")
    if name in installed:
        raise InputError(f"A plugin named {name!r} is installed.", "Choose another name, or uninstall that one.")


def package_of(name: str) -> str:
    """The import package: `calumma_my_retriever` of `my-retriever`."""
    return f"{PREFIX}{name}".replace("-", "_")


def class_of(name: str, interface: str) -> str:
    """The component's class: name and interface without saying a word twice, and never the interface's own name.

    `MyRetriever` of `my-retriever` and `Retriever`, `FlatRetriever` of `flat`, `MyImageTokenizer` of `my-tokenizer`.
    """
    words = [word.capitalize() for word in name.split("-")]
    last = re.findall(r"[A-Z]?[^A-Z]+", interface)
    while words and last and words[-1] == last[-1]:
        words.pop()
        last.pop()
    return "".join(words or ["My"]) + interface


def _offered(name: str) -> str:
    """The nearest valid name, accents left out; "my-plugin" where nothing of it can stay."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name[:200]).casefold().removeprefix(PREFIX)
    words = re.findall(r"[a-z0-9]+", re.sub(r"[\u0300-\u036f]", "", unicodedata.normalize("NFKD", apart)))
    nearest = "-".join(words).lstrip("0123456789-")[:LONGEST].rstrip("-")
    return nearest if len(nearest) > 1 and nearest not in _TAKEN else "my-plugin"
