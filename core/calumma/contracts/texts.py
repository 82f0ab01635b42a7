"""Texts that careless code loses or changes: what a tokenizer must give back and an embedder must not choke on."""

from __future__ import annotations

import random

PLAIN = ("a red apple", "the night sky over a green field", "two", "Ein größeres Haus, 1984!")
SPACES = (" ", "  a  b  ", "\n", "\n\n a\n", "\r\n", "\r", "\t\ta\t", "a\u00a0b", "\u2028\u2029", "\u200b", "\u3000")
LETTERS = (
    "ALL Caps and none",
    "\u00e9",  # composed
    "e\u0301",  # decomposed: another string
    "\u212b \ufb01 \u2460 \u00bd",  # what compatibility normalisation would change
    "a" + "\u0301" * 50,
    "\u05e9\u05dc\u05d5\u05dd \u202eabc\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629",
    "\u0915\u094d\u0937\u093f \u6f22\u5b57 \ud55c\uad6d\uc5b4",
    "\u0130 \u0131 \u1e9e \u00df",
)
SYMBOLS = (
    "\U0001f34e",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f44d\U0001f3fd \u2764\ufe0f \U0001f1ee\U0001f1f9",
    "\x00",
    "a\x00b",
    "".join(map(chr, [*range(32), 127])),
    "\ufeffa",
    "\ufffd",
    "\ufffe\uffff\U0010ffff",
)
SENTINELS = (
    *("<eos>", "<mask:0>", "<break>", "<|endoftext|>", "<s>a</s>", "[CLS] a [SEP]", "<unk>", "<pad>"),
    *("\u2581a", "\u0120a", "\u010a", "##ing", "a@@ b", "a</w>", "<0x0A>"),
)
LONG = ("a red apple, " * 1500, "a" * 5000, "".join(map(chr, range(0x20, 0x800))))
TEXTS = (*PLAIN, *SPACES, *LETTERS, *SYMBOLS, *SENTINELS, *LONG)
SURROGATES = ("\ud800", "a\udfff b", "\ud83c\udf4e")  # no valid Unicode, the last is an apple in two halves


def random_texts(seed: int, count: int = 8) -> list[str]:
    """Texts of random code points, the surrogates left out."""
    draw = random.Random(seed)
    ranges = (range(0x20, 0x7F), range(0x80, 0x800), range(0x800, 0xD800), range(0xE000, 0x110000))
    return ["".join(chr(draw.choice(draw.choice(ranges))) for _ in range(draw.randint(1, 24))) for _ in range(count)]


def shown(text: str) -> str:
    """A text as an error shows it: its repr, cut where it is long."""
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}... ({len(text)} characters)"
