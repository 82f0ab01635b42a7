"""The rules of train_forward: training sees what decoding sees."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from calumma.contracts.contract import rule
from calumma.contracts.decoder_layout import LayoutRules
from calumma.contracts.inspection import tensors_of
from calumma.documents import IntArray
from calumma.interfaces import Packed


class TrainingRules(LayoutRules):
    """The part of the decoder's contract that is about full sequences. A decoder that cannot train raises ComponentError."""

    @rule
    def test_training_sees_what_decoding_sees(self) -> None:
        """train_forward gives each id of a packed sample the logits of the sample alone; or it raises ComponentError."""
        decoder = self.make()
        samples = self.prompts(decoder, 5, 9, 7)
        packed = pack([samples[:2], samples[2:]])
        if self.lacks(decoder, "train", lambda: decoder.train_forward(packed)):
            return
        logits = decoder.train_forward(packed).detach()
        assert logits.dtype == torch.float32, f"it gave {logits.dtype}."
        for row, at, sample in ((0, 0, samples[0]), (0, 5, samples[1]), (1, 0, samples[2])):
            self.same(
                logits[row, at : at + len(sample)], self.each(decoder, sample), f"the logits of the sample at {at} of row {row}"
            )

    @rule
    def test_training_looks_at_nothing_else(self) -> None:
        """In train_forward an id changes no logits before it, none of other samples, and padding changes none at all."""
        decoder = self.make()
        samples = self.prompts(decoder, 5, 9, 7)
        packed = pack([samples[:2], samples[2:]])
        if self.lacks(decoder, "train", lambda: decoder.train_forward(packed)):
            return
        before = decoder.train_forward(packed).detach()
        for row, at, until, what in ((0, 3, 5, "a later id"), (0, 5, 14, "another sample"), (1, 7, 14, "padding")):
            ids = packed.ids.clone()
            ids[row, at] = 1 - ids[row, at].clamp(max=1)
            after = decoder.train_forward(Packed(ids, packed.positions, packed.sample)).detach()
            untouched = packed.sample >= 0
            untouched[row, at:until] = False
            self.same(after[untouched], before[untouched], f"with {what} changed, the logits of the others")

    @rule
    def test_training_has_gradients(self) -> None:
        """train_forward is differentiable: gradients are finite and reach the parameters."""
        decoder = self.make()
        packed = pack([self.prompts(decoder, 5, 9)])
        if self.lacks(decoder, "train", lambda: decoder.train_forward(packed)):
            return
        logits = decoder.train_forward(packed)
        assert logits.requires_grad, "its logits have no gradient."
        loss = torch.nn.functional.cross_entropy(logits[0, :-1], packed.ids[0, 1:])
        torch.autograd.backward(loss)
        gradients = {name: tensor.grad for name, tensor in tensors_of(decoder) if tensor.is_leaf and tensor.grad is not None}
        for name, gradient in gradients.items():
            assert bool(torch.isfinite(gradient).all()), f"the gradient of {name} is not finite."
        assert any(bool(gradient.any()) for gradient in gradients.values()), "no parameter that it holds gets one."


def pack(rows: Sequence[Sequence[IntArray]]) -> Packed:
    """Rows of samples one behind the other, padded with id 0 and sample -1."""
    longest = max(sum(map(len, samples)) for samples in rows)
    ids, positions = torch.zeros(len(rows), longest, dtype=torch.int64), torch.zeros(len(rows), longest, dtype=torch.int64)
    sample = torch.full((len(rows), longest), -1)
    for row, samples in enumerate(rows):
        at = 0
        for index, one in enumerate(samples):
            end = at + len(one)
            ids[row, at:end], sample[row, at:end] = torch.from_numpy(one), index
            positions[row, at:end] = torch.arange(len(one))
            at = end
    return Packed(ids, positions, sample)
