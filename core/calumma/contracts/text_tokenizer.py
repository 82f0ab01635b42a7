"""The contract of text tokenizers: every string comes back, and no id is anything but text."""

from __future__ import annotations

import random
from functools import partial

from calumma.contracts.contract import rule
from calumma.contracts.stateless import Answers, StatelessContract
from calumma.contracts.texts import PLAIN, SENTINELS, SURROGATES, TEXTS, random_texts, shown
from calumma.errors import InputError
from calumma.interfaces import TextTokenizer


class TextTokenizerContract(StatelessContract[TextTokenizer]):
    """Inherit it, name the component, run pytest."""

    kind = "text_tokenizer"

    def answers(self, component: TextTokenizer, seed: int = 0) -> Answers:
        ids = [component.encode(text) for text in [*PLAIN, *random_texts(seed, 8 + seed)]]
        return [*ids, *(component.decode(one) for one in ids)]

    @rule
    def test_the_size_is_known_before_warm_up(self) -> None:
        """`size` is known before warm_up, an int of at least 1, and warming up does not change it."""
        tokenizer = self.make(warm=False)
        size = tokenizer.size
        assert type(size) is int, f"it is {size!r}."
        assert size >= 1, f"it is {size}."
        tokenizer.warm_up()
        assert tokenizer.size == size, f"it was {size} and is {tokenizer.size}."

    @rule
    def test_every_string_comes_back(self) -> None:
        """Every string comes back as it was: decode(encode(text)) == text."""
        tokenizer = self.make()
        for text in [*TEXTS, *random_texts(0, 64)]:
            back = tokenizer.decode(tokenizer.encode(text))
            assert back == text, f"{shown(text)} came back as {shown(back)}."

    @rule
    def test_no_string_is_special(self) -> None:
        """No string is special: what looks like a sentinel is plain text, inside a sentence too."""
        tokenizer = self.make()
        for sentinel in SENTINELS:
            text = f"a {sentinel} b{sentinel}"
            back = tokenizer.decode(tokenizer.encode(text))
            assert back == text, f"{shown(text)} came back as {shown(back)}."

    @rule
    def test_ids_are_ints_in_range(self) -> None:
        """encode gives a list of Python ints, each from 0 to size - 1."""
        tokenizer = self.make()
        for text in [*TEXTS, *random_texts(1)]:
            ids = tokenizer.encode(text)
            assert isinstance(ids, list), f"{shown(text)} gave a {type(ids).__name__}."
            wrong = [one for one in ids if type(one) is not int or not 0 <= one < tokenizer.size]
            assert not wrong, f"{shown(text)} gave {wrong[0]!r} ({type(wrong[0]).__name__}), with a size of {tokenizer.size}."

    @rule
    def test_no_text_has_no_ids(self) -> None:
        """The empty text has no ids, and no ids are the empty text."""
        tokenizer = self.make()
        ids, text = tokenizer.encode(""), tokenizer.decode([])
        assert ids == [], f"encode('') gave {ids!r}."
        assert text == "", f"decode([]) gave {text!r}."

    @rule
    def test_every_id_is_a_piece_of_the_text(self) -> None:
        """encode adds no special ids: without any one of its ids, a text is another text."""
        tokenizer = self.make()
        for text in PLAIN:
            ids = tokenizer.encode(text)
            idle = [one for i, one in enumerate(ids) if tokenizer.decode(ids[:i] + ids[i + 1 :]) == text]
            assert not idle, f"{shown(text)} is the same without its id {idle[0]}."

    @rule
    def test_half_a_surrogate_pair_is_refused(self) -> None:
        """A text with half of a surrogate pair, which is no Unicode, is refused with InputError."""
        tokenizer = self.make()
        for text in SURROGATES:
            self.refused(partial(tokenizer.encode, text), repr(text), InputError)

    @rule
    def test_ids_out_of_range_are_refused(self) -> None:
        """decode refuses ids below 0 and from size on with InputError, wherever in the sequence they are."""
        tokenizer = self.make()
        right = tokenizer.encode("a red apple")
        for wrong in (-1, tokenizer.size, -tokenizer.size, 2**40):
            for ids in ([wrong], [*right, wrong], [wrong, *right]):
                self.refused(partial(tokenizer.decode, ids), f"the id {wrong} of {len(ids)}", InputError)

    @rule
    def test_any_ids_decode_to_valid_unicode(self) -> None:
        """Any ids from 0 to size - 1, in any order, decode to a str that UTF-8 can hold."""
        tokenizer, draw = self.make(), random.Random(0)
        alone = [
            [one] for one in sorted({0, tokenizer.size - 1, *draw.sample(range(tokenizer.size), min(tokenizer.size, 1024))})
        ]
        for ids in [*alone, *([draw.randrange(tokenizer.size) for _ in range(12)] for _ in range(128))]:
            text = tokenizer.decode(ids)
            assert isinstance(text, str), f"{ids} gave a {type(text).__name__}."
            text.encode()

    @rule
    def test_decoding_takes_any_sequence_and_leaves_it(self) -> None:
        """decode takes any sequence of ints, and leaves it as it was."""
        tokenizer = self.make()
        ids = tokenizer.encode("a red apple")
        kept = list(ids)
        assert tokenizer.decode(tuple(ids)) == "a red apple", "a tuple of ids gave another text than the list."
        tokenizer.decode(ids)
        assert ids == kept, f"{kept} became {ids}."
