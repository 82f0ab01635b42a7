"""The contract of decoders: every way to reach a row of ids gives the logits that prefilling the row alone gives."""

from __future__ import annotations

import copy
import functools
from typing import Any, cast, get_args

import numpy as np
import torch

from calumma.contracts.contract import rule
from calumma.contracts.decoder_layout import ROOM
from calumma.contracts.decoder_training import TrainingRules
from calumma.errors import ComponentError, InputError
from calumma.interfaces import Decoder, Dtype

LONG = 300  # ids: beyond what caches are commonly grown by


class DecoderContract(TrainingRules):
    """What a decoder keeps. Its small instance takes rows of 32 ids or more, and its weights are drawn: zeros test nothing.

    >>> class TestMine(DecoderContract):
    ...     component = "mine/decoder"
    """

    # --- start ---

    @rule
    def test_logits_are_float32_in_every_precision(self) -> None:
        """Logits are finite float32 [B, V] that cover the layout's ids, and lengths int64 [B], under bfloat16 too."""
        for dtype in get_args(Dtype):
            decoder = self.make(dtype=dtype)
            state = decoder.start(self.prompts(decoder, 5, 9), ROOM)
            step = decoder.append(state, torch.tensor([[1, 2, 0], [0, 1, 2]]), torch.tensor([3, 2]))
            covered = self.layout(decoder).vocabulary_size
            for what, logits, shape in (("start", state.logits, [2]), ("append", step, [2, 3])):
                assert logits.dtype == torch.float32, f"{what} gave {logits.dtype} under {dtype}."
                assert list(logits.shape[:-1]) == shape, f"{what} gave {list(logits.shape)}, not [{shape} and V]."
                assert logits.shape[-1] >= covered, f"{what} gave {logits.shape[-1]} logits for {covered} ids."
            assert bool(torch.isfinite(state.logits).all()), f"some are not numbers under {dtype}."
            held = (state.lengths.dtype, state.lengths.tolist())
            assert held == (torch.int64, [8, 11]), f"lengths are {held[0]} {held[1]}, not int64 [8, 11]."

    @rule
    def test_every_prompt_is_as_if_alone(self) -> None:
        """Prompts of unequal length, in any order, have the logits that each has alone."""
        decoder = self.make()
        prompts = self.prompts(decoder, 5, 17, 1, 9)
        for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
            rows = [prompts[i] for i in order]
            self.rows_are(decoder, decoder.start(rows, ROOM), rows)

    @rule
    def test_the_last_id_of_a_prompt_counts(self) -> None:
        """Prompts that differ in their last id have other logits."""
        decoder = self.make()
        (prompt,) = self.prompts(decoder, 6)
        one, other = (self.alone(decoder, np.append(prompt, id)) for id in (1, 2))
        assert not torch.equal(one, other), "they have the same."

    @rule
    def test_starts_do_not_depend_on_what_was_before(self) -> None:
        """The same prompts give the same logits again, after other work, and in another instance of the same options."""
        options = self.small()
        decoder, twin = (cast(Decoder, self._built(options)) for _ in range(2))
        decoder.warm_up()
        twin.warm_up()
        prompts, others = self.prompts(decoder, 5, 8), self.prompts(decoder, 20, 3, 7, seed=1)
        first = decoder.start(prompts, ROOM).logits.clone()
        self.grow(decoder, decoder.start(others, ROOM), others, [[1, 1]] * 3, [2, 1, 0])
        self.same(decoder.start(prompts, ROOM).logits, first, "the logits of a later start")
        self.same(twin.start(prompts, ROOM).logits, first, "the logits of another instance")

    @rule
    def test_what_does_not_fit_is_refused(self) -> None:
        """A prompt without ids, and more than context or capacity hold, raise InputError; the state stays as it was."""
        decoder = self.make()
        prompts, nothing, long = self.prompts(decoder, 3, 7), np.zeros(0, np.int64), np.zeros(decoder.context + 1, np.int64)
        self.refused(lambda: decoder.start([*prompts, nothing], ROOM), "A prompt without ids", InputError)
        self.refused(lambda: decoder.start(prompts, decoder.context + 1), "A capacity beyond the context", InputError)
        self.refused(lambda: decoder.start([long], decoder.context), "A prompt beyond the context", InputError)
        self.refused(lambda: decoder.start(prompts, 6), "A prompt beyond the capacity", InputError)
        state, ids = decoder.start(prompts, 8), [[1, 2], [3, 4]]
        self.refused(lambda: self.grow(decoder, state, prompts, ids, [2, 2]), "A row beyond its capacity", InputError)
        self.rows_are(decoder, state, self.grow(decoder, state, prompts, ids, [2, 1]))

    # --- append ---

    @rule
    def test_appending_is_prefilling(self) -> None:
        """Ids appended one by one, or in runs, have the logits that prefilling the whole row gives."""
        decoder = self.make()
        prompts, new = self.prompts(decoder, 5, 17, 1, 9), np.stack(self.prompts(decoder, 12, 12, 12, 12, seed=1))
        whole = [np.append(prompt, run) for prompt, run in zip(prompts, new, strict=True)]
        wanted = [self.each(decoder, row)[-12:] for row in whole]
        for step in (1, 5, 12):
            state = decoder.start(prompts, ROOM)
            for at in range(0, 12, step):
                run = torch.from_numpy(new[:, at : at + step])
                logits = decoder.append(state, run, torch.full((4,), run.shape[1]))
                for row in range(4):
                    told = f"of row {row} after ids {at} to {at + run.shape[1] - 1}, {step} at once,"
                    self.same(logits[row], wanted[row][at : at + step], f"the logits that append returned {told}")
                    self.same(state.logits[row], logits[row, -1], f"the logits that the state has {told}")

    @rule
    def test_rows_take_as_many_ids_as_are_valid(self) -> None:
        """Of the ids of row i the first valid[i] count; 0 leaves its logits and its length as they were."""
        decoder = self.make()
        rows, ids = self.prompts(decoder, 5, 17, 1, 9), self.prompts(decoder, 3, 3, 3, 3, seed=1)
        state = decoder.start(rows, ROOM)
        before = state.logits.clone()
        rows = self.grow(decoder, state, rows, ids, [3, 2, 0, 1])
        assert torch.equal(state.logits[2], before[2]), "the logits of a row with valid = 0 changed."
        self.rows_are(decoder, state, rows)
        self.rows_are(decoder, state, self.grow(decoder, state, rows, ids[::-1], [1, 2, 3, 0]))

    @rule
    def test_a_full_row_stays_while_others_grow(self) -> None:
        """A row can hold `capacity` ids, and a full one is as it was while others take more."""
        decoder = self.make()
        rows = self.prompts(decoder, 12, 4)
        state = decoder.start(rows, 12)
        for id in (1, 2):
            rows = self.grow(decoder, state, rows, [[id], [id]], [0, 1])
        self.rows_are(decoder, state, rows)
        if "rewind" in decoder.capabilities:
            decoder.rewind(state, [11, 6])
            self.rows_are(decoder, state, self.grow(decoder, state, [rows[0][:11], rows[1]], [[3], [3]], [1, 1]))

    @rule
    def test_rows_may_fill_the_context(self) -> None:
        """Rows stay right up to the whole context, and a full one is as it was while others take runs."""
        decoder = self.make()
        room = min(decoder.context, LONG)
        rows, new = self.prompts(decoder, room // 2, 7), self.prompts(decoder, room, room, seed=1)
        state = decoder.start(rows, room)
        while len(rows[1]) < room:
            run = [each[len(rows[1]) - 7 :][:13] for each in new]
            rows = self.grow(decoder, state, rows, run, [min(len(run[0]), room - len(row)) for row in rows])
            self.rows_are(decoder, state, rows)

    @rule
    def test_states_are_apart(self) -> None:
        """Two states in flight do not know of each other."""
        decoder = self.make()
        one_rows, other_rows = self.prompts(decoder, 6, 9), self.prompts(decoder, 4, 11, seed=1)
        one, other = decoder.start(one_rows, ROOM), decoder.start(other_rows, ROOM)
        for id in (1, 2):
            one_rows = self.grow(decoder, one, one_rows, [[id], [id]], [1, 1])
            other_rows = self.grow(decoder, other, other_rows, [[id + 4], [id + 4]], [1, 1])
        self.rows_are(decoder, one, one_rows)
        self.rows_are(decoder, other, other_rows)

    @rule
    def test_arguments_are_not_changed(self) -> None:
        """Prompts, ids and valid are as they were after start and append."""
        decoder = self.make()
        given: list[Any] = [*self.prompts(decoder, 5, 8), torch.tensor([[1, 2], [3, 4]]), torch.tensor([2, 1])]
        before = copy.deepcopy(given)
        decoder.append(decoder.start(given[:2], ROOM), given[2], given[3])
        for name, new, old in zip(("a prompt", "a prompt", "ids", "valid"), given, before, strict=True):
            assert new.tolist() == old.tolist(), f"{name} became {new.tolist()} from {old.tolist()}."

    # --- fork, keep, rewind ---

    @rule
    def test_forked_rows_are_copies(self) -> None:
        """fork copies rows in any order and number, and both states go on apart; or it raises ComponentError."""
        decoder = self.make()
        rows = self.prompts(decoder, 5, 12, 1)
        state = decoder.start(rows, 20)
        if self.lacks(decoder, "fork", lambda: decoder.fork(state, [0])):
            return
        forked, copies = decoder.fork(state, [1, 1, 0, 2]), [rows[i] for i in (1, 1, 0, 2)]
        self.rows_are(decoder, forked, copies)
        copies = self.grow(decoder, forked, copies, [[1], [2], [3], [4]], [1, 1, 1, 0])
        self.rows_are(decoder, state, rows)
        rows = self.grow(decoder, state, rows, [[7, 8]] * 3, [2, 2, 2])
        self.rows_are(decoder, forked, copies)
        self.rows_are(decoder, forked, self.grow(decoder, forked, copies, [[5, 6]] * 4, [2, 1, 2, 1]))
        self.rows_are(decoder, state, rows)

    @rule
    def test_kept_rows_go_on(self) -> None:
        """keep leaves the rows that it is told, in that order, and they go on as if nothing had happened."""
        decoder = self.make()
        prompts = self.prompts(decoder, 5, 12, 1, 9)
        for order in ([3, 0], [2], [0, 1, 2, 3]):
            state, rows = decoder.keep(decoder.start(prompts, ROOM), order), [prompts[i] for i in order]
            self.rows_are(decoder, state, rows)
            self.rows_are(decoder, state, self.grow(decoder, state, rows, [[row + 1] for row in order], [1] * len(order)))

    @rule
    def test_rewound_rows_forget(self) -> None:
        """After rewind rows are as they were at those lengths, and go on from there; or it raises ComponentError."""
        decoder = self.make()
        rows, ids = self.prompts(decoder, 5, 12, 8), self.prompts(decoder, 4, 4, 4, seed=1)
        state = decoder.start(rows, ROOM)
        if self.lacks(decoder, "rewind", lambda: decoder.rewind(state, [1, 1, 1])):
            return
        rows = self.grow(decoder, state, rows, ids, [4, 4, 3])
        for lengths in ([9, 15, 10], [6, 12, 7], [1, 11, 7]):
            decoder.rewind(state, lengths)
            rows = [row[:length] for row, length in zip(rows, lengths, strict=True)]
            self.rows_are(decoder, state, rows)
        self.rows_are(decoder, state, self.grow(decoder, state, rows, [[1, 2], [3, 4], [5, 6]], [2, 1, 0]))

    @rule
    def test_rewinding_to_what_never_was_is_refused(self) -> None:
        """rewind raises InputError unless each length is at least 1 and at most the row's; or it raises ComponentError."""
        decoder = self.make()
        rows = self.prompts(decoder, 5, 12)
        for lengths in ([0, 12], [5, 13], [-1, 3], [5]):
            state = decoder.start(rows, ROOM)
            error = InputError if "rewind" in decoder.capabilities else ComponentError
            self.refused(functools.partial(decoder.rewind, state, lengths), f"Rewinding [5, 12] to {lengths}", error)
            self.rows_are(decoder, state, rows)
