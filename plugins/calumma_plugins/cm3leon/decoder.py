"""CM3Leon's transformer as a decoder: prompts of unequal length, a static key-value cache, rows that fork, leave and rewind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from calumma.documents import CM3LeonLayout, IntArray, Layout
from calumma.errors import ComponentError, MismatchError
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
from calumma_plugins.cm3leon.config import ModelConfig
from calumma_plugins.cm3leon.engine import Engine, bucketed
from calumma_plugins.cm3leon.footprint import footprint_of, room_for
from calumma_plugins.cm3leon.model import Cache, Transformer
from calumma_plugins.cm3leon.options import CM3LeonDecoderOptions
from calumma_plugins.cm3leon.quantize import quantize
from calumma_plugins.cm3leon.weights import load_model, read_config

SHORTEST_PREFIX = 16  # ids that prompts have in common: fewer are not worth a pass of their own


@dataclass(eq=False)
class CachedState:
    """Rows in flight: `lengths` [B], and what the model keeps of their ids.

    The cache may be larger than `capacity`, which is what was asked for.
    """

    engine: Engine
    lengths: Tensor
    cache: Cache
    capacity: int
    last: Tensor | None = None

    @property
    def logits(self) -> Tensor:
        """[B, V], after each row's last id; worked out when they are asked for, since who rewinds may not ask."""
        if self.last is None:
            with torch.no_grad():
                rows = torch.arange(len(self.lengths), device=self.lengths.device)
                self.last = self.engine.head(self.cache.hidden[rows, self.lengths - 1])
        return self.last

    @logits.setter
    def logits(self, logits: Tensor) -> None:
        self.last = logits


class CM3LeonDecoder(Decoder):
    """Component `cm3leon/decoder`."""

    id = "cm3leon/decoder"
    Options: ClassVar[type[Options]] = CM3LeonDecoderOptions
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset(("fork", "rewind", "train"))
    options: CM3LeonDecoderOptions

    def __init__(self, options: CM3LeonDecoderOptions) -> None:
        super().__init__(options)
        self._model: Transformer | None = None
        self._engine: Engine | None = None
        self._runs_as: tuple[Device, Dtype] | None = None
        self.context = self.config.context
        self._shared = False  # somebody holds the model, and may change its weights

    @property
    def config(self) -> ModelConfig:
        """The sizes of the model; reads the header of the weights, never the weights."""
        return self._header[0]

    @cached_property
    def _header(self) -> tuple[ModelConfig, dict[str, str]]:
        weights = self.options.weights
        return read_config(weights.local) if weights else (self.options.config(), {})

    @property
    def model(self) -> Transformer:
        """The model itself, for training; loaded onto the CPU if `warm_up` did not load it elsewhere.

        What is compiled or quantised keeps the weights that it was made of: train without both.
        """
        if self._model is None:
            self.warm_up()
        assert self._model is not None
        if self._engine:
            self._engine.restore()
        self._shared = True
        return self._model

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        if self._runs_as == (device, dtype):
            return
        if self._runs_as is not None and self.options.quantize:
            raise ComponentError(f"{self.id} is quantised for {self._runs_as}.", "Build another for other devices or types.")
        with room_for(self.config, dtype, device):
            if self._model is None:
                if self.options.weights:
                    self._model = load_model(self.options.weights.local)
                else:
                    self._model = Transformer(self.config)
                    self._model.initialise(torch.Generator().manual_seed(self.options.seed))
            if self._engine:
                self._engine.restore()
                self._engine = None
            self._model.to(device, getattr(torch, dtype))
            if self.options.quantize:
                quantize(self._model)
            self._runs_as = device, dtype
            self._ready()

    def footprint(self, dtype: Dtype = "float32") -> Footprint:
        return footprint_of(self.config, dtype, quantised=self.options.quantize is not None)

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
        lengths, engine = self.lengths_of(prompts, capacity), self._ready()
        with room_for(self.config, self._dtype, str(self._device), len(prompts), capacity):
            cache = self._prefilled(engine, [np.asarray(prompt, np.int64) for prompt in prompts], capacity)
        return CachedState(engine, torch.tensor(lengths, device=self._device), cache, capacity)

    def _ready(self) -> Engine:
        """The engine, with the weights as they are now."""
        if self._runs_as is None:
            self.warm_up()
        assert self._model is not None
        if self._engine is None or (self._shared and not (self.options.compile or self.options.quantize)):
            self._engine = Engine(self._model, compiled=self.options.compile, release=not self._shared)
        return self._engine

    def _prefilled(self, engine: Engine, prompts: list[IntArray], capacity: int) -> Cache:
        """The cache of these prompts; the ids that all begin with are computed once."""
        slots, shared = min(bucketed(capacity), self.context), _common(prompts)
        if len(prompts) == 1 or shared < SHORTEST_PREFIX:
            return self._filled(engine, prompts, slots)
        ids = self._padded([prompt[shared:] for prompt in prompts])
        cache = self._filled(engine, [prompts[0][:shared]], slots).rows(ids.new_zeros(len(ids)))
        engine.append(ids, shared, cache)
        return cache

    def _filled(self, engine: Engine, prompts: list[IntArray], slots: int) -> Cache:
        cache = engine.model.new_cache(len(prompts), slots)
        engine.append(self._padded(prompts), 0, cache)
        return cache

    def _padded(self, rows: list[IntArray]) -> Tensor:
        """Ids int64 [B, L], padded on the right."""
        ids = torch.full((len(rows), max(map(len, rows))), self.config.vocabulary.pad)
        for row, given in enumerate(rows):
            ids[row, : len(given)] = torch.from_numpy(given.copy())
        return ids.to(self._device)

    @property
    def _device(self) -> Device:
        return self._runs_as[0] if self._runs_as else "cpu"

    @property
    def _dtype(self) -> Dtype:
        return self._runs_as[1] if self._runs_as else "float32"

    @torch.no_grad()
    def append(self, state: State, ids: Tensor, valid: Tensor) -> Tensor:
        assert isinstance(state, CachedState)
        ids, valid = ids.to(state.lengths.device), valid.to(state.lengths.device)
        lengths, cache = state.lengths + valid, state.cache
        self.check_growth(int(lengths.max()), state.capacity)
        logits = state.engine.extend(ids, state.lengths, valid, cache)
        if ids.shape[1] == 1 and bool(valid.all()):
            state.logits = logits[:, 0]
        else:
            last = logits[torch.arange(len(ids), device=ids.device), (valid - 1).clamp(min=0)]
            state.logits = torch.where(valid[:, None] > 0, last, state.logits)
        state.lengths = lengths
        return logits

    @torch.no_grad()
    def fork(self, state: State, rows: Sequence[int]) -> State:
        assert isinstance(state, CachedState)
        index = torch.tensor(list(rows), dtype=torch.int64, device=state.lengths.device)
        last = None if state.last is None else state.last[index]
        return CachedState(state.engine, state.lengths[index], state.cache.rows(index), state.capacity, last)

    def keep(self, state: State, rows: Sequence[int]) -> State:
        return state if list(rows) == list(range(len(state.lengths))) else self.fork(state, rows)

    @torch.no_grad()
    def rewind(self, state: State, lengths: Sequence[int]) -> None:
        assert isinstance(state, CachedState)
        state.lengths, state.last = self.rewound(state, lengths), None

    def train_forward(self, packed: Packed) -> Tensor:
        logits: Tensor = self.model(packed.ids, packed.positions, packed.sample)
        return logits


def _common(prompts: list[IntArray]) -> int:
    """How many ids all begin with, less one: each prompt keeps an id of its own, whose logits are asked for."""
    shortest = min(map(len, prompts))
    rows = np.stack([prompt[: shortest - 1] for prompt in prompts])
    differ = (rows != rows[0]).any(axis=0)
    return int(differ.argmax()) if differ.any() else shortest - 1
