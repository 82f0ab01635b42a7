"""transformers/chameleon: Chameleon and Anole as a decoder that draws; prompts of unequal length, a static cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from calumma.documents import IntArray, Layout
from calumma.errors import MismatchError
from calumma.interfaces import (
    Decoder,
    DecoderCapability,
    Device,
    Dtype,
    Footprint,
    ImageTokenizer,
    Options,
    Packed,
    State,
    TextTokenizer,
)
from calumma_plugins.transformers.cache import Cache
from calumma_plugins.transformers.folder import VQ, Folder, digest_of, fingerprint, named
from calumma_plugins.transformers.layout import ChameleonLayout
from calumma_plugins.transformers.options import ChameleonOptions
from calumma_plugins.transformers.tokenizer import TOKENIZER, ChameleonTokenizer
from calumma_plugins.transformers.vq import ChameleonVQ

if TYPE_CHECKING:
    from calumma_plugins.transformers.models import Transformer

BUCKET = 64  # capacities and extents are multiples of it, so that few shapes occur


@dataclass(eq=False)
class CachedState:
    """Rows in flight: `logits` [B, V] after each row's last id, `lengths` [B], and what the model keeps of their ids.

    The cache may be larger than `capacity`, which is what was asked for.
    """

    logits: Tensor
    lengths: Tensor
    cache: Cache
    capacity: int


class ChameleonDecoder(Decoder):
    """Component `transformers/chameleon`."""

    id = "transformers/chameleon"
    Options: ClassVar[type[Options]] = ChameleonOptions
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset(("fork", "rewind", "train"))
    options: ChameleonOptions

    def __init__(self, options: ChameleonOptions) -> None:
        super().__init__(options)
        self.folder = Folder(options.model.local)
        self.context = self.folder.config.max_position_embeddings
        self._model: Transformer | None = None
        self._dtype: Dtype = "float32"

    @property
    def model(self) -> Transformer:
        """The model itself; loaded onto the CPU if `warm_up` did not load it elsewhere."""
        if self._model is None:
            self.warm_up()
        assert self._model is not None
        return self._model

    def fingerprint(self) -> str:
        values = {"model": digest_of(self.folder.used()), "end_of_turn": self.options.end_of_turn}
        return fingerprint(self.id, values)

    def assets(self) -> Iterator[tuple[str, Path]]:
        yield from named("model", self.folder.used())

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        from calumma_plugins.transformers.models import load_transformer

        if self._model is None or self._dtype != dtype:
            self._model = load_transformer(self.folder)
        self._model.to_precision(device, getattr(torch, dtype))
        self._dtype = dtype

    def footprint(self, dtype: Dtype = "float32") -> Footprint:
        """From the headers of the weights; the image tokenizer, which is no part of the decoder, is not counted."""
        c, bytes_each = self.folder.config, torch.empty(0, dtype=getattr(torch, dtype)).element_size()
        counts = {name: math.prod(shape) for name, shape in self.folder.shapes.items() if not name.startswith(VQ)}
        table = c.vocab_size * c.hidden_size
        multiplied = sum(count for name, count in counts.items() if name.endswith("_proj.weight")) + table
        cached = (2 * c.num_hidden_layers * c.key_heads * c.head_width + c.hidden_size) * bytes_each
        total = sum(counts.values())
        return Footprint(total, total * bytes_each, cached, 2 * multiplied)

    def layout(self, text_tokenizer: TextTokenizer, image_tokenizer: ImageTokenizer) -> Layout:
        vocabulary = self.folder.config.vocabulary
        codes = len(vocabulary.code_ids)
        for slot, part, has, needs, what in (
            ("text_tokenizer", text_tokenizer, text_tokenizer.size, vocabulary.text_size, "ids"),
            ("image_tokenizer", image_tokenizer, image_tokenizer.codebook_size, codes, "codes"),
        ):
            if has != needs:
                raise MismatchError(
                    f"The {slot} {part.fingerprint()} has {has} {what}, but the decoder has {needs}.",
                    f"Pick the {slot} of the folder {self.options.model.source}.",
                )
        learned_text = self.folder.path / TOKENIZER
        if isinstance(text_tokenizer, ChameleonTokenizer) and learned_text.is_file():
            self._same("text_tokenizer", text_tokenizer.digest, digest_of([learned_text])[TOKENIZER])
        if isinstance(image_tokenizer, ChameleonVQ):
            self._same("image_tokenizer", image_tokenizer.folder.codes_digest, self.folder.codes_digest)
        grid = image_tokenizer.grid(*image_tokenizer.resolution)
        print_ = image_tokenizer.fingerprint()
        return ChameleonLayout(vocabulary, text_tokenizer, grid, print_, self.context, self.options.end_of_turn)

    @torch.no_grad()
    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        model, lengths = self.model, self.lengths_of(prompts, capacity)
        rows = torch.zeros(len(prompts), max(lengths), dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            rows[row, : len(prompt)] = torch.from_numpy(prompt.copy())
        weight, c = model.output.weight, self.folder.config
        room = min(_bucketed(capacity), self.context) + 1
        cache = Cache(
            weight.new_zeros(c.num_hidden_layers, 2, len(prompts), c.key_heads, room, c.head_width),
            weight.new_zeros(len(prompts), room, c.hidden_size),
        )
        ends = torch.tensor(lengths, device=weight.device)
        state = CachedState(weight.new_zeros(len(prompts), 1).float(), torch.zeros_like(ends), cache, capacity)
        self._extend(state, rows.to(weight.device), ends)
        state.lengths, state.logits = ends, self._logits_at(cache, ends)
        return state

    @torch.no_grad()
    def append(self, state: State, ids: Tensor, valid: Tensor) -> Tensor:
        assert isinstance(state, CachedState)
        ids, valid = ids.to(state.lengths.device), valid.to(state.lengths.device)
        lengths = state.lengths + valid
        self.check_growth(int(lengths.max()), state.capacity)
        logits = self.model.head(self._extend(state, ids, valid))
        last = logits[torch.arange(len(ids), device=ids.device), (valid - 1).clamp(min=0)]
        state.logits = torch.where(valid[:, None] > 0, last, state.logits)
        state.lengths = lengths
        return logits

    @torch.no_grad()
    def fork(self, state: State, rows: Sequence[int]) -> State:
        assert isinstance(state, CachedState)
        index = torch.tensor(list(rows), dtype=torch.int64, device=state.lengths.device)
        return CachedState(state.logits[index], state.lengths[index], state.cache.rows(index), state.capacity)

    def keep(self, state: State, rows: Sequence[int]) -> State:
        return state if list(rows) == list(range(len(state.lengths))) else self.fork(state, rows)

    @torch.no_grad()
    def rewind(self, state: State, lengths: Sequence[int]) -> None:
        assert isinstance(state, CachedState)
        state.lengths = self.rewound(state, lengths)
        state.logits = self._logits_at(state.cache, state.lengths)

    def train_forward(self, packed: Packed) -> Tensor:
        length = packed.ids.shape[1]
        causal = torch.ones(length, length, dtype=torch.bool, device=packed.ids.device).tril()
        mask = ((packed.sample[:, :, None] == packed.sample[:, None, :]) & causal).unsqueeze(1)
        return self.model.head(self.model.hidden(packed.ids, packed.positions, mask))

    def _extend(self, state: CachedState, ids: Tensor, valid: Tensor) -> Tensor:
        """Hidden [B, T, W] of new ids behind what the rows hold; they see no padding, which is in no slot of theirs."""
        extent = min(_bucketed(int((state.lengths + valid).max())), state.cache.capacity)
        at, mask = state.cache.aim(state.lengths, valid, ids.shape[1], extent)
        hidden = self.model.hidden(ids, at.clamp(max=self.context - 1), mask, state.cache)
        state.cache.remember(hidden)
        return hidden

    def _logits_at(self, cache: Cache, lengths: Tensor) -> Tensor:
        return self.model.head(cache.hidden[torch.arange(len(lengths), device=lengths.device), lengths - 1])

    def _same(self, slot: str, own: str, learned: str) -> None:
        if own != learned:
            raise MismatchError(
                f"The {slot} is of another model than {self.options.model.source}, whose decoder learned other ids.",
                f"Name the same folder in the {slot}.",
            )


def _bucketed(count: int) -> int:
    return -(-count // BUCKET) * BUCKET
