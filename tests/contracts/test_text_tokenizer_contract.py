"""The contract of text tokenizers passes ours, and catches each of these faults by the rule that is about it."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Sequence

import pytest
from pydantic import ConfigDict, Field

from calumma.contracts import TextTokenizerContract
from calumma.contracts.samples.text_tokenizer import ByteTokenizer
from calumma.errors import InputError
from calumma.interfaces import Device, Dtype, Options

from .breaking import assert_caught


class TestByteTokenizer(TextTokenizerContract):
    component = ByteTokenizer


class TestBPE(TextTokenizerContract):
    component = "tokenizers/bpe"


class TestChameleonTokenizer(TextTokenizerContract):
    component = "transformers/tokenizer"


class TestStarterBPE(TextTokenizerContract):
    component = "tokenizers/bpe"
    options = {"file": "starter:bpe.json"}


class Strips(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(text.strip())


class LowersCase(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(text.lower())


class Composes(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(unicodedata.normalize("NFC", text))


class EndsAtNull(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(list(itertools.takewhile(bool, ids)))


class SkipsSentinels(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode(ids).replace("<mask:0>", "")


class EndsLines(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(text.replace("\r\n", "\n"))


class CutsLongTexts(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(text)[:4096]


class CountsFromOne(ByteTokenizer):
    """The largest byte of UTF-8 is 244: counted from one, its id is the size."""

    size = 245

    def encode(self, text: str) -> list[int]:
        return [one + 1 for one in super().encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(one - 1 for one in ids).decode(errors="replace")


class BeginsWithAnId(ByteTokenizer):
    size = 257

    def encode(self, text: str) -> list[int]:
        return [256, *super().encode(text)] if text else []

    def decode(self, ids: Sequence[int]) -> str:
        if not all(0 <= one < self.size for one in ids):
            raise InputError("An id is out of range.", "Give another.")
        return bytes(one for one in ids if one < 256).decode(errors="replace")


class EndsTheEmptyText(ByteTokenizer):
    size = 257

    def encode(self, text: str) -> list[int]:
        return [*super().encode(text), 256]

    def decode(self, ids: Sequence[int]) -> str:
        return super().decode([one for one in ids if one != 256])


class GivesBytes(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return super().encode(text) and text.encode()  # the fault: bytes


class KeepsSurrogates(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return list(text.encode("utf-8", "surrogatepass"))


class PassesPythonsError(ByteTokenizer):
    def encode(self, text: str) -> list[int]:
        return list(text.encode())


class TakesNegativeIds(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode([one % 256 if one < 0 else one for one in ids])


class DropsIdsBeyondTheSize(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode([one for one in ids if one < 256])


class RaisesIndexError(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(bytes(range(256))[one : one + 1] or [][one] for one in ids).decode(errors="replace")


class RefusesBrokenBytes(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        super().decode(ids)
        return bytes(ids).decode()


class EscapesBrokenBytes(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        super().decode(ids)
        return bytes(ids).decode(errors="surrogateescape")


class TakesListsOnly(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        return super().decode([*ids][: len(ids.copy())])  # the fault: it wants a list


class EmptiesTheList(ByteTokenizer):
    def decode(self, ids: Sequence[int]) -> str:
        text = super().decode(ids)
        if isinstance(ids, list):
            ids.clear()
        return text


class LearnsItsSizeLate(ByteTokenizer):
    _size = 0

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self._size = 256

    @property
    def size(self) -> int:
        return self._size


class RotatesByCalls(ByteTokenizer):
    """State leaks from call to call: the same text has other ids the next time, and still comes back."""

    turn = 0
    size = 512

    def encode(self, text: str) -> list[int]:
        self.turn += 1
        return [one + 256 * (self.turn % 2) for one in super().encode(text)]

    def decode(self, ids: Sequence[int]) -> str:
        if any(one >= self.size for one in ids):
            raise InputError("An id is out of range.", "Give another.")
        return super().decode([one % 256 if one >= 0 else one for one in ids])


class RemapsAtWarmUp(RotatesByCalls):
    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self.turn += 1

    def encode(self, text: str) -> list[int]:
        return [one + 256 * (self.turn % 2) for one in ByteTokenizer.encode(self, text)]


class NumbersInstances(RotatesByCalls):
    made = itertools.count()

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.offset = 256 * (next(self.made) % 2)

    def encode(self, text: str) -> list[int]:
        return [one + self.offset for one in ByteTokenizer.encode(self, text)]


class SharesItsCache(ByteTokenizer):
    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.known: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        if text not in self.known:
            self.known[text] = super().encode(text)
        return self.known[text]


class TakesAnyOption(ByteTokenizer):
    class Options(Options):  # of the same name, as a component has it
        model_config = ConfigDict(extra="allow")


class BoundsNothing(ByteTokenizer):
    class Options(Options):  # of the same name, as a component has it
        limit: int = Field(1, description="A number without bounds.")


BROKEN = [
    (Strips, "test_every_string_comes_back"),
    (LowersCase, "test_every_string_comes_back"),
    (Composes, "test_every_string_comes_back"),
    (EndsAtNull, "test_every_string_comes_back"),
    (EndsLines, "test_every_string_comes_back"),
    (CutsLongTexts, "test_every_string_comes_back"),
    (SkipsSentinels, "test_no_string_is_special"),
    (CountsFromOne, "test_ids_are_ints_in_range"),
    (GivesBytes, "test_ids_are_ints_in_range"),
    (BeginsWithAnId, "test_every_id_is_a_piece_of_the_text"),
    (EndsTheEmptyText, "test_no_text_has_no_ids"),
    (KeepsSurrogates, "test_half_a_surrogate_pair_is_refused"),
    (PassesPythonsError, "test_half_a_surrogate_pair_is_refused"),
    (TakesNegativeIds, "test_ids_out_of_range_are_refused"),
    (DropsIdsBeyondTheSize, "test_ids_out_of_range_are_refused"),
    (RaisesIndexError, "test_ids_out_of_range_are_refused"),
    (RefusesBrokenBytes, "test_any_ids_decode_to_valid_unicode"),
    (EscapesBrokenBytes, "test_any_ids_decode_to_valid_unicode"),
    (TakesListsOnly, "test_decoding_takes_any_sequence_and_leaves_it"),
    (EmptiesTheList, "test_decoding_takes_any_sequence_and_leaves_it"),
    (LearnsItsSizeLate, "test_the_size_is_known_before_warm_up"),
    (RotatesByCalls, "test_the_same_input_gives_the_same_answer"),
    (RemapsAtWarmUp, "test_warming_up_again_changes_nothing"),
    (NumbersInstances, "test_two_with_the_same_options_agree"),
    (SharesItsCache, "test_what_it_returns_is_the_callers"),
    (TakesAnyOption, "test_unknown_options_are_refused"),
    (BoundsNothing, "test_options_are_described_and_bounded"),
]


@pytest.mark.parametrize(("component", "rule"), BROKEN, ids=lambda one: one if isinstance(one, str) else one.__name__)
def test_a_broken_tokenizer_is_caught(component: type[ByteTokenizer], rule: str) -> None:
    assert_caught(TextTokenizerContract, component, rule)
