"""Text to words, whatever the language: no list of words, no stemming, nothing learned."""

from __future__ import annotations

import functools
import re
import unicodedata

# Scripts that put no space between words: Thai and Lao, Myanmar, Khmer, Japanese, Chinese.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
MARKS_END = 0x20000  # no combining mark is above, but for variation selectors


def words_of(text: str) -> list[str]:
    """The words of a text in order: runs of letters and digits with their accents, in Unicode's folded case (NFKC).

    A character of a script without spaces is a word of its own.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    found: list[str] = _pattern().findall(folded)
    return found


@functools.cache
def _pattern() -> re.Pattern[str]:
    marks = "".join(chr(code) for code in range(0x300, MARKS_END) if unicodedata.category(chr(code)).startswith("M"))
    letter = rf"[^\W_{UNSPACED}]"
    return re.compile(rf"[{UNSPACED}][{marks}]*|{letter}(?:{letter}|[{marks}])*")
