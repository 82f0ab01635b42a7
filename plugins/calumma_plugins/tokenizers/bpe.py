"""tokenizers/bpe: byte-level BPE (Sennrich et al. 2016, arXiv:1508.07909; bytes as in GPT-2)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property

from tokenizers import Tokenizer

from calumma.errors import AssetError
from calumma.interfaces import Device, Dtype, TextTokenizer
from calumma_plugins.tokenizers.options import BPEOptions

# Code points 0..255, then one of each UTF-8 lead byte: together every byte that UTF-8 can hold.
PROBES = tuple(map(chr, [*range(0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x110000, 0x2000)]))
MAX_BYTES = 2**28


class BPE(TextTokenizer):
    """The file's merges and nothing else: its added tokens are left out, so "<mask:0>" in a prompt is plain text."""

    Options = BPEOptions
    options: BPEOptions

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
        path = self.options.file.local
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ValueError("too large")
            content = json.loads(path.read_text(encoding="utf-8"))
            content.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
            if content["model"].get("dropout"):
                raise AssetError(f"{path} drops merges at random.", "Set its `dropout` to null.")
            tokenizer = Tokenizer.from_str(json.dumps(content))
        except AssetError:
            raise
        except Exception as error:  # the library raises bare Exception for a file that it cannot read
            raise AssetError(f"{path} is not a readable tokenizer.json.", "Check the path, or fetch the file again.") from error
        _check_round_trip(tokenizer, str(path))
        return tokenizer


def _check_round_trip(tokenizer: Tokenizer, name: str) -> None:
    texts = [*PROBES, *(f" {one}  a" for one in PROBES[:256])]
    encoded = [one.ids for one in tokenizer.encode_batch(texts, add_special_tokens=False)]
    for text, back in zip(texts, tokenizer.decode_batch(encoded, skip_special_tokens=False), strict=True):
        if back != text:
            raise AssetError(
                f"{name} is not byte-complete: {text!r} comes back as {back!r}.",
                "Use a byte-level BPE whose vocabulary holds all 256 bytes, without normaliser or prefix space.",
            )
