"""Chameleon's ids: text, codes of pictures and structure share one vocabulary, scattered; names say which is which."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from calumma.documents import BoolArray, IntArray
from calumma.errors import InputError

CODE = re.compile(r"IMGIMG([A-J]+)Z")  # the code's number, A for 0 to J for 9
STRUCTURE = re.compile(r"<(?:s|/s|pad|unk|mask|image|eoss|racm3:break|sentinel:\d+|reserved\d+)>")
BOS, EOS, BEGIN_IMAGE, END_IMAGE, END_OF_TURN = "<s>", "</s>", "<racm3:break>", "<eoss>", "<reserved08706>"


def is_text_name(name: str) -> bool:
    """Whether an entry of a vocabulary is a piece of text."""
    return CODE.fullmatch(name) is None and STRUCTURE.fullmatch(name) is None


@dataclass(frozen=True, eq=False)
class ChameleonVocabulary:
    """Ids 0 <= id < `size`.

    Attributes:
        code_ids: int64 [K], the id of each code of the image tokenizer. text_ids: int64, ascending. Both read-only.
        bos, eos: open and close a sequence. begin_image, end_image: stand around a picture's codes.
        end_of_turn: closes what a chat's user said; None where the vocabulary has no such id.
    """

    size: int
    code_ids: IntArray
    text_ids: IntArray
    bos: int
    eos: int
    begin_image: int
    end_image: int
    end_of_turn: int | None

    @classmethod
    def read(cls, names: Mapping[str, int], size: int) -> ChameleonVocabulary:
        """From name -> id. Raises ValueError where it is not Chameleon's kind of vocabulary."""
        if not names or min(names.values()) < 0 or max(names.values()) >= size:
            raise ValueError(f"vocabulary_map has ids outside of 0..{size - 1}")
        if len(set(names.values())) < len(names):
            raise ValueError("vocabulary_map gives one id to two names")
        lacking = [name for name in (BOS, EOS, BEGIN_IMAGE, END_IMAGE) if name not in names]
        if lacking:
            raise ValueError(f"vocabulary_map lacks {', '.join(lacking)}")
        codes = {
            int(match[1].translate(str.maketrans("ABCDEFGHIJ", "0123456789"))): id
            for name, id in names.items()
            if len(name) < 32 and (match := CODE.fullmatch(name))
        }
        if not codes or sorted(codes) != list(range(len(codes))):
            raise ValueError("vocabulary_map does not number its codes (IMGIMG...Z) from 0 on without a gap")
        text = sorted(id for name, id in names.items() if is_text_name(name))
        if not text:
            raise ValueError("vocabulary_map has no text")
        return cls(
            size=size,
            code_ids=_frozen([codes[code] for code in range(len(codes))]),
            text_ids=_frozen(text),
            bos=names[BOS],
            eos=names[EOS],
            begin_image=names[BEGIN_IMAGE],
            end_image=names[END_IMAGE],
            end_of_turn=names.get(END_OF_TURN),
        )

    @property
    def text_size(self) -> int:
        """What a text tokenizer of this vocabulary has as its size: one more than the largest text id."""
        return int(self.text_ids[-1]) + 1

    @cached_property
    def ascending_code_ids(self) -> IntArray:
        """The ids of all codes in the order of the ids, read-only."""
        return _frozen(sorted(self.code_ids.tolist()))

    def text(self, ids: Sequence[int] | IntArray) -> IntArray:
        """The ids of a text, int64 [n]. Raises InputError for one that is not text."""
        array = np.asarray(ids, np.int64).reshape(-1)
        wrong = array[~self.is_text(array)]
        if len(wrong):
            raise InputError(f"The id {wrong[0]} is no text.", "Use the text tokenizer that the decoder was trained with.")
        return array

    def image(self, codes: Sequence[int] | npt.NDArray[np.integer]) -> IntArray:
        """Codes of any shape as ids, int64 [n] in raster order. Raises InputError for one out of range."""
        array = np.asarray(codes, np.int64).reshape(-1)
        if len(array) and (array.min() < 0 or array.max() >= len(self.code_ids)):
            raise InputError(
                f"A code is outside of 0..{len(self.code_ids) - 1}.",
                "Use the image tokenizer that the decoder was trained with.",
            )
        ids: IntArray = self.code_ids[array]
        return ids

    def codes(self, ids: IntArray) -> IntArray:
        """The inverse of `image`. Raises InputError for an id that is no code's."""
        if not self.is_code(ids).all():
            raise InputError("An id of a picture is no code.", "Decode a whole sequence of this layout.")
        order = np.argsort(self.code_ids)
        codes: IntArray = order[np.searchsorted(self.code_ids[order], ids)].astype(np.int64)
        return codes

    def is_text(self, ids: IntArray) -> BoolArray:
        """Which ids are text."""
        return np.isin(ids, self.text_ids)

    def is_code(self, ids: IntArray) -> BoolArray:
        """Which ids are codes of a picture."""
        return np.isin(ids, self.code_ids)


def _frozen(ids: Sequence[int]) -> IntArray:
    array = np.array(ids, np.int64)
    array.flags.writeable = False
    return array
