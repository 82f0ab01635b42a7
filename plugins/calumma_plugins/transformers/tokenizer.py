"""transformers/tokenizer: the text in a Chameleon folder's tokenizer.json, whose vocabulary holds codes and structure too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from calumma.errors import AssetError
from calumma.files import read_text
from calumma.interfaces import Device, Dtype, TextTokenizer, sha256_of
from calumma_plugins.transformers.options import ChameleonTokenizerOptions
from calumma_plugins.transformers.vocabulary import is_text_name

TOKENIZER = "tokenizer.json"
# Code points 0..255, then one of each UTF-8 lead byte: together every byte that UTF-8 can hold.
PROBES = tuple(map(chr, [*range(0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x110000, 0x2000)]))
MAX_BYTES = 2**28


class ChameleonTokenizer(TextTokenizer):
    """Its text entries and their merges alone, under their own ids: "<eoss>" and "IMGIMGAZ" in a prompt are plain text.

    Ids below `size` that are no text (codes, structure) stand for no text at all.
    """

    id = "transformers/tokenizer"
    Options = ChameleonTokenizerOptions
    options: ChameleonTokenizerOptions

    @property
    def path(self) -> Path:
        """The file that is read."""
        given = self.options.model.local
        return given / TOKENIZER if given.is_dir() else given

    @property
    def digest(self) -> str:
        """Hex sha256 of the file."""
        return sha256_of(self.path)

    def fingerprint(self) -> str:
        return f"{self.id}#{self.digest[:16]}"

    def assets(self) -> Iterator[tuple[str, Path]]:
        yield "model", self.path

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        _ = self._tokenizer

    @property
    def size(self) -> int:
        return self._size

    def encode(self, text: str) -> list[int]:
        self.check_text(text)
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(self.checked_ids(ids), skip_special_tokens=False))

    @cached_property
    def _size(self) -> int:
        return max(self._tokenizer.get_vocab(with_added_tokens=False).values()) + 1

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        path = self.path
        try:
            content = _text_alone(json.loads(read_text(path, MAX_BYTES)))
            tokenizer = Tokenizer.from_str(json.dumps(content))
        except Exception as error:  # the library raises bare Exception for a file that it cannot read
            raise AssetError(
                f"{path} is not a readable tokenizer.json of a BPE.", "Check the path, or fetch the folder again."
            ) from error
        _check_round_trip(tokenizer, str(path))
        return tokenizer


def _text_alone(content: dict[str, Any]) -> dict[str, Any]:
    """The file without its codes, its structure, the merges that would make them, and what is put around every text."""
    model = content["model"]
    special = {one["content"] for one in content.get("added_tokens") or () if one.get("special")}
    names = {name: id for name, id in model["vocab"].items() if is_text_name(name) and name not in special}
    merges = [one if isinstance(one, list) else one.split(" ") for one in model["merges"]]
    kept = [[left, right] for left, right in merges if left in names and right in names and left + right in names]
    whole = {**model, "vocab": names, "merges": kept, "dropout": None, "unk_token": None}
    return {**content, "model": whole, "added_tokens": [], "post_processor": None, "truncation": None, "padding": None}


def _check_round_trip(tokenizer: Tokenizer, name: str) -> None:
    texts = [*PROBES, *(f" {one}  a" for one in PROBES[:256])]
    encoded = [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    for text, back in zip(texts, tokenizer.decode_batch(encoded, skip_special_tokens=False), strict=True):
        if back != text:
            raise AssetError(
                f"{name} is not byte-complete: {text!r} comes back as {back!r}.",
                "Use a byte-level BPE whose vocabulary holds all 256 bytes, without normaliser or prefix space.",
            )
