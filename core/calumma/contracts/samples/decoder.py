"""A decoder without weights: logits are a hash of all ids of a row, so a mistake of rows, order or rewinding always shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field

from calumma.documents import CM3LeonLayout, IntArray, Layout
from calumma.errors import ComponentError, InputError, MismatchError
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


class HashDecoderOptions(Options):
    context: int = Field(512, ge=8, le=1 << 20, description="The most ids in one row.", json_schema_extra={"meaning": True})
    vocabulary_size: int = Field(
        2048, ge=2, le=1 << 24, description="Number of ids, all special ones included.", json_schema_extra={"meaning": True}
    )


@dataclass(eq=False)
class HashState:
    """Rows in flight.

    Attributes:
        rows: of each row, its hash after each of its ids; so its length is the row's, and cutting it is a rewind.
        capacity: the most ids of a row.
    """

    rows: list[list[int]]
    capacity: int
    logits: torch.Tensor
    lengths: torch.Tensor


class HashDecoder(Decoder):
    """Every id of a row, and its place, changes all logits after it. They lie in [-3, 3), and cost no weights."""

    id = "samples/decoder"
    Options: ClassVar[type[Options]] = HashDecoderOptions
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset(("fork", "rewind", "train"))
    options: HashDecoderOptions

    def __init__(self, options: HashDecoderOptions) -> None:
        super().__init__(options)
        self.context = options.context
        self._gain = torch.nn.Parameter(torch.ones(()))  # the one number that training can move
        self._columns = np.arange(1, options.vocabulary_size + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)

    def warm_up(self, device: Device = "cpu", dtype: Dtype = "float32") -> None:
        self._gain = torch.nn.Parameter(self._gain.detach().to(device))

    def layout(self, text_tokenizer: TextTokenizer, image_tokenizer: ImageTokenizer) -> Layout:
        codes, grid = image_tokenizer.codebook_size, image_tokenizer.grid(*image_tokenizer.resolution)
        layout = CM3LeonLayout(text_tokenizer, codes, grid, image_tokenizer.fingerprint(), self.context)
        if layout.vocabulary_size > self.options.vocabulary_size:
            raise MismatchError(
                f"These tokenizers need {layout.vocabulary_size} ids, the decoder has {self.options.vocabulary_size}.",
                f"Set vocabulary_size to {layout.vocabulary_size} or more.",
            )
        return layout

    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise InputError("A prompt without ids cannot be continued.", "Begin it with an id.")
        if capacity > self.context:
            raise InputError(f"{capacity} ids do not fit a context of {self.context}.", "Ask for less capacity.")
        _check_room(map(len, prompts), capacity)
        rows = [_after(0, prompt.tolist()) for prompt in prompts]
        return self._state(rows, capacity)

    def append(self, state: State, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        assert isinstance(state, HashState)
        _check_room((state.lengths + valid).tolist(), state.capacity)
        steps = []
        for row, new, count in zip(state.rows, ids.tolist(), valid.tolist(), strict=True):
            fresh = _after(row[-1], new[:count])
            row += fresh
            steps += [*fresh, *[row[-1]] * (len(new) - count)]
        self._settle(state)
        return self._logits(steps).view(*ids.shape, -1)

    def fork(self, state: State, rows: Sequence[int]) -> State:
        self._need("fork")
        assert isinstance(state, HashState)
        return self._state([list(state.rows[row]) for row in rows], state.capacity)

    def keep(self, state: State, rows: Sequence[int]) -> State:
        assert isinstance(state, HashState)
        held, state.rows = state.rows, []  # given up: going on with it fails at once
        return self._state([held[row] for row in rows], state.capacity)

    def rewind(self, state: State, lengths: Sequence[int]) -> None:
        self._need("rewind")
        assert isinstance(state, HashState)
        held = state.lengths.tolist()
        if len(lengths) != len(held) or not all(1 <= new <= old for new, old in zip(lengths, held, strict=True)):
            raise InputError(f"Rows of {held} ids cannot be rewound to {list(lengths)}.", "Keep 1 or more ids of each row.")
        for row, length in zip(state.rows, lengths, strict=True):
            del row[length:]
        self._settle(state)

    def train_forward(self, packed: Packed) -> torch.Tensor:
        self._need("train")
        hashes = []
        for ids, samples in zip(packed.ids.tolist(), packed.sample.tolist(), strict=True):
            last: dict[int, int] = {}  # of each sample, the hash of its ids so far
            for id, sample in zip(ids, samples, strict=True):
                last[sample] = _after(last.get(sample, 0), [id])[0]
                hashes.append(last[sample])
        return self._gain * self._hashed(hashes).view(*packed.ids.shape, -1)

    def _state(self, rows: list[list[int]], capacity: int) -> HashState:
        state = HashState(rows, capacity, torch.empty(0), torch.empty(0))
        self._settle(state)
        return state

    def _settle(self, state: HashState) -> None:
        """What the rows say: logits after their last ids, and their lengths."""
        state.logits = self._logits([row[-1] for row in state.rows])
        state.lengths = torch.tensor([len(row) for row in state.rows], device=self._gain.device)

    def _logits(self, hashes: Sequence[int]) -> torch.Tensor:
        return self._gain.detach() * self._hashed(hashes)

    def _hashed(self, hashes: Sequence[int]) -> torch.Tensor:
        """float32 [len(hashes), V], by the finaliser of SplitMix64 (Steele et al. 2014)."""
        x = np.array(hashes, np.uint64)[:, None] + self._columns
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        unit = (x >> np.uint64(40)).astype(np.float32) / 2**24
        return torch.from_numpy(6 * unit - 3).to(self._gain.device)

    def _need(self, capability: DecoderCapability) -> None:
        if capability not in self.capabilities:
            raise ComponentError(f"The decoder {self.id} cannot {capability}.", "Pick one that can.")


def _after(hash: int, ids: Iterable[int]) -> list[int]:
    """The hash of a row after each of these ids, which follow `hash`."""
    hashes = []
    for id in ids:
        hash = (hash * 31 + id + 1) * 0x9E3779B97F4A7C15 % 2**64
        hash ^= hash >> 32
        hashes.append(hash)
    return hashes


def _check_room(lengths: Iterable[int], capacity: int) -> None:
    longest = max(lengths)
    if longest > capacity:
        raise InputError(f"A row of {longest} ids does not fit a capacity of {capacity}.", "Start with more capacity.")
