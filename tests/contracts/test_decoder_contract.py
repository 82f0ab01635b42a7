from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.contracts.breaking import assert_caught

from calumma.contracts import BrokenRule, DecoderContract
from calumma.contracts.samples.decoder import HashDecoder, HashState
from calumma.documents import CM3LeonLayout
from calumma.errors import ComponentError, InputError
from calumma.extension import ComponentSpec
from calumma.interfaces import Packed


class TestHashDecoder(DecoderContract):
    component = HashDecoder


class TestCM3Leon(DecoderContract):
    component = "cm3leon/decoder"

    def test_its_example_attends(self) -> None:
        """Else the contract would find nothing in its cache."""
        decoder = self.make()
        one, other = (self.alone(decoder, np.array([first, 5, 6, 7, 8])) for first in (1, 2))
        assert float((one - other).abs().max()) > 0.1 * float(one.abs().max())


class TestChameleon(DecoderContract):
    component = "transformers/chameleon"

    def test_its_example_attends(self) -> None:
        """Else the contract would find nothing in its cache."""
        decoder = self.make()
        one, other = (self.alone(decoder, np.array([first, 5, 6, 7, 8])) for first in (1, 2))
        assert float((one - other).abs().max()) > 0.1 * float(one.abs().max())


class TestChameleonOverItsOwnTokenizers(DecoderContract):
    component = "transformers/chameleon"

    def small(self):
        if not hasattr(self, "tokenizers"):
            options = super().small()
            self.tokenizers = (
                self._catalog().build("text_tokenizer", "transformers/tokenizer", options),
                self._catalog().build("image_tokenizer", "transformers/chameleon-vq", options),
            )
            self.made = options
        return self.made

    def text_tokenizer(self):
        self.small()
        return self.tokenizers[0]

    def image_tokenizer(self):
        self.small()
        return self.tokenizers[1]


class Bare(HashDecoder):
    """Declares nothing, and says so: correct."""

    capabilities = frozenset()


class TestBareDecoder(DecoderContract):
    component = Bare


# --- broken on purpose ---


class RewindsOneTooFew(HashDecoder):
    def rewind(self, state, lengths):
        super().rewind(state, [min(length + 1, held) for length, held in zip(lengths, state.lengths.tolist(), strict=True)])


class RewindKeepsLogits(HashDecoder):
    def rewind(self, state, lengths):
        before = state.logits
        super().rewind(state, lengths)
        state.logits = before


class RewindTakesAnything(HashDecoder):
    def rewind(self, state, lengths):
        held = state.lengths.tolist()
        super().rewind(state, [max(1, min(new, old)) for new, old in zip(lengths, held, strict=False)] + held[len(lengths) :])


class ForkShares(HashDecoder):
    def fork(self, state, rows):
        return self._state([state.rows[row] for row in rows], state.capacity)


class ForkForgetsRepeats(HashDecoder):
    def fork(self, state, rows):
        return super().fork(state, [row if row not in rows[:i] else (row + 1) % len(state.rows) for i, row in enumerate(rows)])


class ForkWithoutRoom(HashDecoder):
    def fork(self, state, rows):
        forked = super().fork(state, rows)
        forked.capacity = max(forked.lengths.tolist())
        return forked


class KeepIgnoresOrder(HashDecoder):
    def keep(self, state, rows):
        return super().keep(state, sorted(rows))


class KeepsEveryRow(HashDecoder):
    def keep(self, state, rows):
        return state


class Remembers(HashDecoder):
    """A start depends on the starts before it."""

    starts = 0

    def start(self, prompts, capacity):
        type(self).starts += 1
        state = super().start([np.append(prompt, self.starts) for prompt in prompts], capacity + 1)
        state.lengths -= 1
        return state


class OneState(HashDecoder):
    """Keeps rows in the decoder, so that the second state writes over the first."""

    rows: list[list[int]] = []

    def _state(self, rows, capacity):
        self.rows[:] = rows
        return HashState(self.rows, capacity, self._logits([row[-1] for row in rows]), torch.tensor([len(row) for row in rows]))


class PaddingAttended(HashDecoder):
    """Pads on the left and lets the ids see it."""

    def start(self, prompts, capacity):
        longest = max(map(len, prompts))
        state = super().start([np.append(np.zeros(longest - len(prompt), np.int64), prompt) for prompt in prompts], capacity)
        state.lengths = torch.tensor([len(prompt) for prompt in prompts])
        return state


class ValidIgnored(HashDecoder):
    def append(self, state, ids, valid):
        return super().append(state, ids, torch.full_like(valid, ids.shape[1]))


class TakesTheLastColumn(HashDecoder):
    """`logits` are those after the last id of the run, whatever was valid."""

    def append(self, state, ids, valid):
        everything = super().append(self.fork(state, range(len(ids))), ids, torch.full_like(valid, ids.shape[1]))
        logits = super().append(state, ids, valid)
        state.logits = everything[:, -1]
        return logits


class ReturnsTheLastOnly(HashDecoder):
    def append(self, state, ids, valid):
        return super().append(state, ids, valid)[:, -1:].expand(-1, ids.shape[1], -1)


class StaleLogits(HashDecoder):
    def append(self, state, ids, valid):
        before = state.logits
        logits = super().append(state, ids, valid)
        state.logits = before
        return logits


class HalfPrecision(HashDecoder):
    def warm_up(self, device="cpu", dtype="float32"):
        super().warm_up(device)
        self.dtype = getattr(torch, dtype)

    def _logits(self, hashes):
        return super()._logits(hashes).to(self.dtype)


class NotNumbers(HashDecoder):
    def _logits(self, hashes):
        return super()._logits(hashes).index_fill(1, torch.tensor([3]), torch.nan)


class ShortLengths(HashDecoder):
    def _settle(self, state):
        super()._settle(state)
        state.lengths = state.lengths.int()


class ChangesPrompts(HashDecoder):
    def start(self, prompts, capacity):
        state = super().start(prompts, capacity)
        for prompt in prompts:
            prompt[-1] = 0
        return state


class LastIdIgnored(HashDecoder):
    """Consistent with itself, and always one id late."""

    def _logits(self, hashes):
        return super()._logits([0] * len(hashes))


class NoLimits(HashDecoder):
    def start(self, prompts, capacity):
        return self._state(super().start(prompts, self.context).rows, self.context)


class SpoiltByRefusal(HashDecoder):
    """Grows its rows, and then looks whether they fit."""

    def append(self, state, ids, valid):
        capacity, state.capacity = state.capacity, self.context
        logits = super().append(state, ids, valid)
        state.capacity = capacity
        if int(state.lengths.max()) > capacity:
            raise InputError("A row is longer than its capacity.", "Start with more.")
        return logits


class EmptyPrompts(HashDecoder):
    def start(self, prompts, capacity):
        return super().start([prompt if len(prompt) else np.zeros(1, np.int64) for prompt in prompts], capacity)


class FullRowsLoseTheirLast(HashDecoder):
    """Writes what does not count into the last slot of a row."""

    def append(self, state, ids, valid):
        for row, count in zip(state.rows, valid.tolist(), strict=True):
            if count == 0 and len(row) == state.capacity:
                row[-1] += 1
        return super().append(state, ids, valid)


class CanButDoesNotSay(HashDecoder):
    capabilities = frozenset(("fork", "train"))

    def _need(self, capability):
        pass


class SaysButCannot(HashDecoder):
    def fork(self, state, rows):
        raise ComponentError("This decoder cannot fork.", "Pick one that can.")


class CanWhatNobodyKnows(HashDecoder):
    capabilities = frozenset(("fork", "rewind", "train", "dream"))


class TooFewLogits(HashDecoder):
    def _hashed(self, hashes):
        return super()._hashed(hashes)[:, :300]


class LosesLongRows(HashDecoder):
    """Its cache was not made longer than 64 ids."""

    def append(self, state, ids, valid):
        for row in state.rows:
            if len(row) > 64:
                row[-1] = row[63]
        return super().append(state, ids, valid)


class LoadsToKnow(HashDecoder):
    def layout(self, text_tokenizer, image_tokenizer):
        if not hasattr(self, "warm"):
            raise AttributeError("its weights were not loaded")
        return super().layout(text_tokenizer, image_tokenizer)

    def warm_up(self, device="cpu", dtype="float32"):
        super().warm_up(device)
        self.warm = True


class AnyTokenizer(HashDecoder):
    def layout(self, text_tokenizer, image_tokenizer):
        grid = image_tokenizer.grid(*image_tokenizer.resolution)
        return CM3LeonLayout(text_tokenizer, image_tokenizer.codebook_size, grid, image_tokenizer.fingerprint(), self.context)


class MixedUp(CM3LeonLayout):
    def _as_grid(self, ids):
        return super()._as_grid(ids[::-1])


class ShuffledPictures(HashDecoder):
    def layout(self, text_tokenizer, image_tokenizer):
        right = super().layout(text_tokenizer, image_tokenizer)
        return MixedUp(text_tokenizer, image_tokenizer.codebook_size, right.grid, right.image_tokenizer, right.context)


class Overflowing(CM3LeonLayout):
    def constraint(self, document):
        constraint = super().constraint(document)
        constraint.capacity -= 1
        return constraint


class HolesThatOverflow(HashDecoder):
    def layout(self, text_tokenizer, image_tokenizer):
        right = super().layout(text_tokenizer, image_tokenizer)
        return Overflowing(text_tokenizer, image_tokenizer.codebook_size, right.grid, right.image_tokenizer, right.context)


class PositionsGoOn(HashDecoder):
    """A pack is one long sample to it."""

    def train_forward(self, packed):
        return super().train_forward(Packed(packed.ids, packed.positions, torch.zeros_like(packed.sample)))


class TrainsOneLate(HashDecoder):
    def train_forward(self, packed):
        return super().train_forward(packed).roll(1, dims=1)


class LooksAhead(HashDecoder):
    def train_forward(self, packed):
        ahead = packed.ids.roll(-1, dims=1)
        return super().train_forward(packed) + 1e-2 * ahead[..., None].float()


class PaddingCounts(HashDecoder):
    def train_forward(self, packed):
        weight = torch.where(packed.sample < 0, packed.ids, 0).sum(1)
        return super().train_forward(packed) + 1e-2 * weight[:, None, None].float()


class NoGradient(HashDecoder):
    def train_forward(self, packed):
        return super().train_forward(packed).detach()


class GradientToNothing(HashDecoder):
    def train_forward(self, packed):
        return super().train_forward(packed).detach() + torch.zeros((), requires_grad=True)


def test_a_spec_that_tells_other_capabilities_is_caught() -> None:
    class Told(DecoderContract):
        component = Bare

        def spec(self):
            return ComponentSpec("decoder", "tests/bare", "", "", "", capabilities={"fork": True})

    contract = Told()
    contract.setup_method()
    with pytest.raises(BrokenRule, match="spec says fork: True, the class does not"):
        contract.test_capabilities_are_those_of_the_spec()


BROKEN = {
    RewindsOneTooFew: "test_rewound_rows_forget",
    RewindKeepsLogits: "test_rewound_rows_forget",
    RewindTakesAnything: "test_rewinding_to_what_never_was_is_refused",
    ForkShares: "test_forked_rows_are_copies",
    ForkForgetsRepeats: "test_forked_rows_are_copies",
    ForkWithoutRoom: "test_forked_rows_are_copies",
    KeepIgnoresOrder: "test_kept_rows_go_on",
    KeepsEveryRow: "test_kept_rows_go_on",
    Remembers: "test_starts_do_not_depend_on_what_was_before",
    OneState: "test_states_are_apart",
    PaddingAttended: "test_every_prompt_is_as_if_alone",
    ValidIgnored: "test_rows_take_as_many_ids_as_are_valid",
    TakesTheLastColumn: "test_rows_take_as_many_ids_as_are_valid",
    ReturnsTheLastOnly: "test_appending_is_prefilling",
    StaleLogits: "test_appending_is_prefilling",
    HalfPrecision: "test_logits_are_float32_in_every_precision",
    NotNumbers: "test_logits_are_float32_in_every_precision",
    ShortLengths: "test_logits_are_float32_in_every_precision",
    ChangesPrompts: "test_arguments_are_not_changed",
    LastIdIgnored: "test_the_last_id_of_a_prompt_counts",
    NoLimits: "test_what_does_not_fit_is_refused",
    SpoiltByRefusal: "test_what_does_not_fit_is_refused",
    EmptyPrompts: "test_what_does_not_fit_is_refused",
    FullRowsLoseTheirLast: "test_a_full_row_stays_while_others_grow",
    CanButDoesNotSay: "test_rewound_rows_forget",
    SaysButCannot: "test_forked_rows_are_copies",
    CanWhatNobodyKnows: "test_capabilities_are_those_of_the_spec",
    TooFewLogits: "test_logits_are_float32_in_every_precision",
    LosesLongRows: "test_rows_may_fill_the_context",
    LoadsToKnow: "test_layout_and_context_are_known_before_weights_load",
    AnyTokenizer: "test_a_layout_that_does_not_fit_is_refused",
    ShuffledPictures: "test_documents_come_back_from_their_ids",
    HolesThatOverflow: "test_holes_are_filled_within_the_context",
    PositionsGoOn: "test_training_sees_what_decoding_sees",
    TrainsOneLate: "test_training_sees_what_decoding_sees",
    LooksAhead: "test_training_looks_at_nothing_else",
    PaddingCounts: "test_training_looks_at_nothing_else",
    NoGradient: "test_training_has_gradients",
    GradientToNothing: "test_training_has_gradients",
}


@pytest.mark.parametrize("component", BROKEN, ids=lambda component: component.__name__)
def test_a_broken_decoder_is_caught(component: type[HashDecoder]) -> None:
    assert_caught(DecoderContract, component, BROKEN[component])
