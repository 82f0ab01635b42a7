"""Words for errors: what was probably meant, or what there is."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The valid word most like `word`, upper and lower case alike; None where nothing comes close."""
    folded: dict[str, str] = {}
    for valid in islice(words, 500):
        folded.setdefault(valid.casefold(), valid)
    found = difflib.get_close_matches(word[:200].casefold(), list(folded), n=1, cutoff=0.5)
    return folded[found[0]] if found else None


def suggestion(word: str, words: Iterable[str], what: str) -> str:
    """One sentence: "Did you mean 'hnsw'?", or what there is; `what` is a plural, such as "retrievers"."""
    valid = sorted(set(words))
    best = nearest(word, valid)
    if best is not None:
        return f"Did you mean {best!r}?"
    if not valid:
        return f"There are no {what}."
    return f"There are these {what}: {', '.join(valid[:24])}{', ...' if len(valid) > 24 else ''}."
