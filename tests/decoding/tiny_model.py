"""A decoder small enough that the chance of every sequence can be written down, and the test that draws agree with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from calumma.documents import CONDITIONAL, IMAGE_ONLY, UNCONDITIONAL, Constraint, IntArray
from calumma.interfaces import Decoder, DecoderCapability, Noise, Options, Rule, Sampler, State

IDS, CODES = 9, 257  # ids 0 to 5 are drawn, 6 to 8 begin a stream
PROMPTS = {CONDITIONAL: np.array([6]), UNCONDITIONAL: np.array([7]), IMAGE_ONLY: np.array([8])}
BATCH, DRAWS = 2000, 20_000


@dataclass(eq=False)
class TinyState:
    """Rows in flight: codes [B, capacity] of each row after each of its ids."""

    codes: torch.Tensor
    lengths: torch.Tensor
    logits: torch.Tensor


class TinyDecoder(Decoder):
    """Logits are a row of a table, chosen by a code of all ids so far."""

    id = "tests/tiny"
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset(("fork", "rewind"))
    context = 16

    def __init__(self, spread: float = 1.2) -> None:
        super().__init__(Options())
        self.table = spread * torch.randn(CODES, IDS, generator=torch.Generator().manual_seed(3))

    def layout(self, text_tokenizer, image_tokenizer):
        raise NotImplementedError

    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        codes, lengths = (
            torch.zeros(len(prompts), capacity + 1, dtype=torch.int64),
            torch.zeros(len(prompts), dtype=torch.int64),
        )
        state = TinyState(codes, lengths, torch.empty(0))
        ids = torch.from_numpy(np.stack(prompts))
        self.append(state, ids, torch.full((len(ids),), ids.shape[1]))
        return state

    def append(self, state: TinyState, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        rows, logits = torch.arange(len(ids)), []
        for step in range(ids.shape[1]):
            live = valid > step
            before = state.codes[rows, state.lengths]
            after = torch.where(live, (before * 7 + ids[:, step] + 1) % CODES, before)
            state.lengths = state.lengths + live
            state.codes[rows, state.lengths] = after
            logits.append(self.table[after])
        state.logits = logits[-1]
        return torch.stack(logits, 1)

    def fork(self, state: TinyState, rows: Sequence[int]) -> State:
        index = torch.tensor(list(rows))
        return TinyState(state.codes[index], state.lengths[index], state.logits[index])

    def keep(self, state: TinyState, rows: Sequence[int]) -> State:
        return self.fork(state, rows)

    def rewind(self, state: TinyState, lengths: Sequence[int]) -> None:
        state.lengths = torch.tensor(list(lengths))
        state.logits = self.table[state.codes[torch.arange(len(state.lengths)), state.lengths]]

    def train_forward(self, packed):
        raise NotImplementedError


class QuickNoise(Noise):
    """Numbers of the finaliser of SplitMix64: making those of Philox takes a third of 20,000 draws."""

    def uniform(self, sample: int, position: int, size: int, purpose: int = 0) -> np.ndarray:
        found = []
        for index in range(size):
            x = (((sample * 64 + position) * 64 + purpose) * 8 + index + (self.seed << 48) + 1) * 0x9E3779B97F4A7C15 % 2**64
            x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
            x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
            found.append((x ^ (x >> 31)) / 2**64)
        return np.array(found)


class Cells(Constraint):
    """Three ids of 0 to 5."""

    modality, capacity = "image", 3
    ids = np.arange(6)

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        return self.ids if offset < 3 else None


class Words(Constraint):
    """One to three ids of 1 to 5 and then the closing id 0; what may follow an odd id is a set with gaps, and one is forced."""

    modality, capacity = "text", 4
    first, odd, even, after_5, last = (np.array(ids) for ids in ([1, 2, 3, 4, 5], [0, 2, 5], [0, 1, 3, 4], [3], [0]))

    def allowed(self, offset: int, previous: Sequence[int]) -> IntArray | None:
        if offset == 0:
            return self.first
        if previous[-1] == 0:
            return None
        if offset == 3:
            return self.last
        return self.after_5 if previous[-1] == 5 else self.odd if previous[-1] % 2 else self.even


def exact(decoder: Decoder, constraint: Constraint, rules: Sequence[Rule]) -> dict[tuple[int, ...], float]:
    """The chance of every sequence: the product of what the rules give for each of its ids."""
    done: dict[tuple[int, ...], float] = {}
    held: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
    names = {CONDITIONAL}.union(*(rule.streams for rule in rules))
    while held:
        ids, chance = held.pop()
        allowed = constraint.allowed(len(ids), ids)
        if allowed is None:
            done[ids] = chance
            continue
        shown = {}
        for name in names:
            row = np.concatenate([PROMPTS[name], np.array(ids, np.int64)])
            shown[name] = decoder.start([row], len(row)).logits[:, torch.from_numpy(allowed)]
        for rule in rules if len(allowed) > 1 else ():
            shown[CONDITIONAL] = rule(shown, np.array([0]), np.array([len(ids)]))
        mass = shown[CONDITIONAL][0].double().softmax(0).tolist()
        held += [((*ids, int(id)), chance * one) for id, one in zip(allowed, mass, strict=True) if one > 0]
    return done


def drawn(
    sampler: Sampler,
    decoder: Decoder,
    constraint: Constraint,
    rules: Sequence[Rule],
    samples: Sequence[int],
    seed: int = 0,
    streams: Mapping[str, IntArray] = PROMPTS,
    noise: type[Noise] = Noise,
) -> list[tuple[int, ...]]:
    """What a sampler draws as these samples."""
    prompts = {name: [prompt] * len(samples) for name, prompt in streams.items()}
    steps = sampler.fill(decoder, prompts, [constraint] * len(samples), rules, noise(seed), samples)
    *_, last = steps
    assert all(last.finished)
    return [tuple(ids.tolist()) for ids in last.ids]


def agreement(sampler: Sampler, constraint: Constraint, rules: Sequence[Rule] = (), seed: int = 0) -> float:
    """p of a chi-square test of 20,000 draws; cells in which less than 5 are expected are joined. 0 for what has no chance."""
    decoder = TinyDecoder()
    chances = exact(decoder, constraint, rules)
    counts = dict.fromkeys(chances, 0)
    for start in range(0, DRAWS, BATCH):
        for ids in drawn(sampler, decoder, constraint, rules, range(start, start + BATCH), seed, noise=QuickNoise):
            if ids not in counts:
                return 0.0
            counts[ids] += 1
    cells, rest = [], np.zeros(2)
    for ids in sorted(chances, key=chances.__getitem__):
        rest += counts[ids], DRAWS * chances[ids]
        if rest[1] >= 5:
            cells.append(rest)
            rest = np.zeros(2)
    if rest[1]:
        cells[-1] = cells[-1] + rest
    seen, expected = np.array(cells).T
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return float(torch.special.gammaincc(torch.tensor((len(cells) - 1) / 2), torch.tensor(statistic / 2).double()))
