"""Kind `decoder`: the autoregressive model over text and image ids."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

from calumma.documents.document import IntArray
from calumma.documents.layout import Layout
from calumma.errors import InputError
from calumma.interfaces.component import Component, Dtype
from calumma.interfaces.image_tokenizer import ImageTokenizer
from calumma.interfaces.text_tokenizer import TextTokenizer

if TYPE_CHECKING:
    import torch

DecoderCapability = Literal["fork", "rewind", "train"]


class State(Protocol):
    """A batch of contexts in flight, owned by the decoder.

    Attributes:
        logits: float32 [B, V], of the id after each row's last.
        lengths: int64 [B], ids seen by each row.
    """

    logits: torch.Tensor
    lengths: torch.Tensor


@dataclass(frozen=True, eq=False)
class Packed:
    """Training rows: [B, L] each, right-padded with sample -1. Attention is causal within a sample; positions restart."""

    ids: torch.Tensor
    positions: torch.Tensor
    sample: torch.Tensor


@dataclass(frozen=True)
class Footprint:
    """What a decoder takes, known before anything is allocated.

    Attributes:
        parameters: learned numbers. weight_bytes: what they take in memory, all of which one step reads.
        cache_bytes: of one id in one row, all of which every later step of that row reads.
        flops: multiplications and additions of one id, without attention.
    """

    parameters: int
    weight_bytes: int
    cache_bytes: int
    flops: int


class Decoder(Component, ABC):
    """A causal transformer, or anything that continues ids. `layout`, `context` and capabilities are known before weights load.

    Attributes:
        context: the most ids in one row.
        capabilities: which of fork, rewind and train it has; the others raise ComponentError.
    """

    context: int
    capabilities: ClassVar[frozenset[DecoderCapability]] = frozenset()

    @abstractmethod
    def layout(self, text_tokenizer: TextTokenizer, image_tokenizer: ImageTokenizer) -> Layout:
        """Its layout over these tokenizers. Raises MismatchError if it was trained on the codes of others."""

    def footprint(self, dtype: Dtype = "float32") -> Footprint | None:
        """What its weights and caches take in this precision, without loading them; None where it cannot tell."""
        return None

    @abstractmethod
    def start(self, prompts: Sequence[IntArray], capacity: int) -> State:
        """Prefills prompts of unequal length, room for `capacity` ids in all per row; each row as if it were alone.

        Raises InputError where a prompt has no ids or more than `capacity`, and where `capacity` exceeds the context.
        """

    @abstractmethod
    def append(self, state: State, ids: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Appends ids int64 [B, T], of which the first valid[i] count in row i (0 leaves the row as it was).

        Returns logits float32 [B, T, V]; those beyond valid[i] mean nothing. Updates `state` in place. Raises InputError,
        and leaves the state as it was, where a row would hold more than its capacity.
        """

    @abstractmethod
    def fork(self, state: State, rows: Sequence[int]) -> State:
        """A new state whose row i is a copy of row rows[i]; repeats allowed; the old state stays usable."""

    @abstractmethod
    def keep(self, state: State, rows: Sequence[int]) -> State:
        """The state with only these rows, in this order; the old one is given up."""

    @abstractmethod
    def rewind(self, state: State, lengths: Sequence[int]) -> None:
        """Forgets ids beyond lengths[i] in each row; `logits` are as they were then.

        Raises InputError unless 1 <= lengths[i] <= state.lengths[i].
        """

    @abstractmethod
    def train_forward(self, packed: Packed) -> torch.Tensor:
        """Logits float32 [B, L, V] of full sequences, differentiable."""

    # --- what decoders check alike ---

    def lengths_of(self, prompts: Sequence[IntArray], capacity: int) -> list[int]:
        """How many ids each prompt has, where `start` may take them. Raises InputError where it may not."""
        lengths = [len(prompt) for prompt in prompts]
        if not lengths or min(lengths) < 1:
            raise InputError("A prompt without ids cannot be continued.", "Begin it with the id that begins a document.")
        if max(capacity, *lengths) > self.context:
            raise InputError(
                f"{max(capacity, *lengths)} ids do not fit the decoder's context of {self.context}.", "Shorten the prompt."
            )
        if max(lengths) > capacity:
            raise InputError(f"A prompt of {max(lengths)} ids does not fit a capacity of {capacity}.", "Ask for more capacity.")
        return lengths

    def check_growth(self, longest: int, capacity: int) -> None:
        """Raises InputError where `append` would make a row longer than its capacity."""
        if longest > capacity:
            raise InputError(f"A row grows to {longest} ids; its capacity is {capacity}.", "Start it with more capacity.")

    def rewound(self, state: State, lengths: Sequence[int]) -> torch.Tensor:
        """The lengths int64 [B] that `rewind` may take. Raises InputError unless 1 <= lengths[i] <= state.lengths[i]."""
        wanted = state.lengths.new_tensor(list(lengths))
        if len(wanted) != len(state.lengths) or bool(((wanted < 1) | (wanted > state.lengths)).any()):
            raise InputError(f"Rows of {state.lengths.tolist()} ids cannot be rewound to {list(lengths)}.", "Keep 1 or more.")
        return wanted
