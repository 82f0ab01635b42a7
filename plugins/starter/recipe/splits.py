"""Split records by concept into train, unseen and new-style, and drop from training what leaks a held-out answer.

A split is a pure function of names (a hash, no random state), so a rebuilt or grown corpus keeps it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict

import numpy as np

from sources import Record

UNSEEN_SHARE = 0.06  # of concepts
NEW_STYLE_SHARE = 0.03  # of (concept, style) pairs
NEAR_EQUAL = 0.75  # Jaccard similarity of word sets from which two names count as the same
SAME_PICTURE = 2.0  # mean absolute difference in grey levels below which two pictures of a style are the same
STOP_WORDS = {"a", "an", "the", "of", "with", "and", "in", "on", "style", "icon", "symbol", "sign", "button", "emoji"}
VARIANT_WORDS = {"light", "medium", "dark", "skin", "tone", "light-skin"}


def words(name: str) -> frozenset[str]:
    """Normalised word set of a name: no accents, case, stop words or plural s."""
    text = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    found = re.findall(r"[a-z0-9#*]+", text)
    stems = [w[:-1] if len(w) > 3 and w.endswith("s") and not w.endswith("ss") else w for w in found]
    kept = [w for w in stems if w not in STOP_WORDS]
    return frozenset(kept or stems or [name])


def _draw(key: str) -> float:
    """A uniform number in [0, 1) that depends only on the key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64


def split_key(record: Record) -> str:
    """Concepts whose names are equal after normalisation are one concept, whatever the source."""
    return " ".join(sorted(words(record.concept)))


def assign(records: list[Record]) -> list[str]:
    """Split of each record: "train", "unseen" or "new-style"."""
    styles: dict[str, set[str]] = defaultdict(set)
    for record in records:
        styles[split_key(record)].add(record.style)
    splits = []
    for record in records:
        key = split_key(record)
        if _draw(f"unseen:{key}") < UNSEEN_SHARE:
            splits.append("unseen")
        elif (
            record.style != "clipart"
            and len(styles[key] - {"clipart"}) >= 3
            and _draw(f"new-style:{key}:{record.style}") < NEW_STYLE_SHARE
        ):
            splits.append("new-style")
        else:
            splits.append("train")
    return splits


def name_leaks(records: list[Record], splits: list[str]) -> dict[int, str]:
    """Training records whose name is (nearly) that of a held-out concept: index -> reason."""
    held_names: set[frozenset[str]] = set()
    held_emoji: set[frozenset[str]] = set()
    for record, split in zip(records, splits, strict=True):
        if split == "unseen":
            names = {words(record.name), words(record.concept)}
            held_names |= names
            if record.style != "clipart":
                held_emoji |= {words(record.concept)}
    held_captions = {
        (words(record.name), record.style) for record, split in zip(records, splits, strict=True) if split == "new-style"
    }
    by_word: dict[str, set[frozenset[str]]] = defaultdict(set)
    for name in held_names:
        for word in name:
            by_word[word].add(name)
    drops: dict[int, str] = {}
    for index, (record, split) in enumerate(zip(records, splits, strict=True)):
        if split != "train":
            continue
        own = words(record.name) - VARIANT_WORDS or words(record.name)
        candidates = set().union(*(by_word[word] for word in own)) if own else set()
        if any(_jaccard(own, name) >= NEAR_EQUAL for name in candidates):
            drops[index] = "name near-equal to an unseen concept"
        elif record.style == "clipart" and any(name <= own for name in candidates & held_emoji):
            drops[index] = "title contains an unseen concept"
        elif (words(record.name), record.style) in held_captions:
            drops[index] = "caption equal to a new-style one"
    return drops


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    return len(a & b) / len(a | b)


def picture_leaks(records: list[Record], splits: list[str], images: np.ndarray) -> dict[int, str]:
    """Training pictures that equal a held-out one of the same style, or an earlier one of the same caption."""
    small = images.reshape(len(images), 16, 4, 16, 4, 3).mean((2, 4)).reshape(len(images), -1).astype(np.float32)
    drops: dict[int, str] = {}
    for style in sorted({record.style for record in records}):
        own = [i for i, r in enumerate(records) if r.style == style]
        train = [i for i in own if splits[i] == "train"]
        held = [i for i in own if splits[i] != "train"]
        for i in train:
            if held and np.abs(small[held] - small[i]).mean(1).min() < SAME_PICTURE:
                drops[i] = "picture equal to a held-out one"
    first: set[tuple[str, bytes]] = set()
    captions: Counter[str] = Counter()
    for i, record in enumerate(records):
        if splits[i] != "train" or i in drops:
            continue
        key = (record.caption, images[i].tobytes())
        captions[record.caption] += 1
        if key in first:
            drops[i] = "same caption and picture twice"
        elif captions[record.caption] > 4:
            drops[i] = "fifth picture of one caption"
        first.add(key)
    return drops
