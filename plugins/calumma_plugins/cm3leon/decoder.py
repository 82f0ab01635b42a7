"""CM3Leon's transformer as a decoder: prompts of unequal length, a static key-value cache, rows that fork, leave and rewind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from torch import Tensor

from calumma.documents import CM3LeonLayout, IntArray, Layout
from calumma.errors import InputError, MismatchError
from calumma.interfaces import (
    Decoder,
    DecoderCapability,
    Device,
    Dtype,
    ImageTokenizer,
    Options,
    Packed,
    State,
    TextTokenizer,
)
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.model import Cache, Transformer
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.cm3leon.weights import load_model, read_config

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


class CM3LeonDecoder(Decoder):
    """Component `cm3leon/decoder`."""

    id = "cm3leon/decoder"
    Options: ClassVar[type[Options]] = CM3LeonDecoderOptions
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset(("fork", "rewind", "train"))
    options: CM3LeonDecoderOptions

    def __init__(self, options: CM3LeonDecoderOptions) -> None:
        super().__init__(options)
        self._model: Transformer | None = None

    @property
    def config(self) -> ModelConfig:
        """The sizes of the model; reads the header of the weights, never the weights."""
        return self._header[0]

    @cached_property
    def _header(self) -> tuple[ModelConfig, dict[str, str]]:
        weights = self.options.weights
        return read_config(weights.local) if weights else (self.options.config(), {})

    @property
    def context(self) -> int:  # type: ignore[override]  # read from the header of the weights, so never assigned
        """The most ids in one row."""
        return self.config.context

    @property
    def model(self) -> Transformer:
        """The model itself, for training; loaded onto the CPU if `warm_up` did not load it elsewhere."""
        if self._model is None:
            self.warm_up()
        assert self._model is not None
        return self._model

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        if self._model is None:
            if self.options.weights:
                self._model = load_model(self.options.weights.local)
            else:
                self._model = Transformer(self.config)
                self._model.initialise(torch.Generator().manual_seed(self.options.seed))
        self._model.to(device, getattr(torch, dtype))

    def layout(self, text_tokenizer: TextTokenizer, image_tokenizer: ImageTokenizer) -> Layout:
        config, trained_with = self._header
        parts = (
            ("text_tokenizer", text_tokenizer, text_tokenizer.size, config.text_size, "ids"),
            ("image_tokenizer", image_tokenizer, image_tokenizer.codebook_size, config.codebook_size, "codes"),
        )
        for slot, part, has, needs, what in parts:
            learned, own = trained_with.get(slot), part.fingerprint()
            if learned is not None and learned != own:
                raise MismatchError(
                    f"The decoder was trained with the {slot} {learned}, but the pipeline's is {own}.",
                    f"Pick the {slot} it was trained with, or train a decoder on this one.",
                )
            if has != needs:
                raise MismatchError(
                    f"The {slot} {own} has {has} {what}, but the decoder has {needs}.",
                    f"Pick a {slot} of {needs} {what}, or train a decoder on this one.",
                )
        grid = image_tokenizer.grid(*image_tokenizer.resolution)
        return CM3LeonLayout(text_tokenizer, config.codebook_size, grid, image_tokenizer.fingerprint(), config.context)

    @torch.no_grad()
    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        model, lengths = self.model, [len(prompt) for prompt in prompts]
        if not lengths or min(lengths) < 1:
            raise InputError("A prompt without ids cannot be continued.", "Begin it with <eos>.")
        if max(capacity, *lengths) > self.context:
            raise InputError(
                f"{max(capacity, *lengths)} ids do not fit the decoder's context of {self.context}.", "Shorten the prompt."
            )
        if max(lengths) > capacity:
            raise InputError(f"A prompt of {max(lengths)} ids does not fit a capacity of {capacity}.", "Ask for more capacity.")
        device = model.embed.weight.device
        rows = torch.full((len(prompts), max(lengths)), self.config.vocabulary.pad)
        for row, prompt in enumerate(prompts):
            rows[row, : len(prompt)] = torch.from_numpy(prompt.copy())
        cache = model.new_cache(len(prompts), min(_bucketed(capacity), self.context))
        model.prefill(rows.to(device), cache)
        ends = torch.tensor(lengths, device=device)
        return CachedState(self._logits_at(cache, ends), ends, cache, capacity)

    @torch.no_grad()
    def append(self, state: State, ids: Tensor, valid: Tensor) -> Tensor:
        assert isinstance(state, CachedState)
        ids, valid = ids.to(state.lengths.device), valid.to(state.lengths.device)
        lengths, cache = state.lengths + valid, state.cache
        longest = int(lengths.max())
        if longest > state.capacity:
            raise InputError(f"A row grows to {longest} ids; its capacity is {state.capacity}.", "Start it with more capacity.")
        extent = min(_bucketed(longest), cache.capacity)
        logits = self.model.head(self.model.extend(ids, state.lengths, valid, cache, extent))
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
        wanted = torch.tensor(list(lengths), dtype=torch.int64, device=state.lengths.device)
        if len(wanted) != len(state.lengths) or bool(((wanted < 1) | (wanted > state.lengths)).any()):
            raise InputError(f"Rows of {state.lengths.tolist()} ids cannot be rewound to {list(lengths)}.", "Keep 1 or more.")
        state.lengths = wanted
        state.logits = self._logits_at(state.cache, wanted)

    def train_forward(self, packed: Packed) -> Tensor:
        logits: Tensor = self.model(packed.ids, packed.positions, packed.sample)
        return logits

    def _logits_at(self, cache: Cache, lengths: Tensor) -> Tensor:
        return self.model.head(cache.hidden[torch.arange(len(lengths), device=lengths.device), lengths - 1])


def _bucketed(count: int) -> int:
    return -(-count // BUCKET) * BUCKET
