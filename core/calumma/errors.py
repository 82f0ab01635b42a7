"""Every error that a user of Calumma can catch: one sentence that says what is wrong, and one that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CalummaError(Exception):
    """Wrong input: the message names the culprit, `fix` says what to type or change next. Exit code 2.

    Args:
        message: one sentence, without the remedy.
        fix: one sentence that mends it; empty if there is none to name.
    """

    exit_code = 2

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".strip()


@dataclass(frozen=True)
class Problem:
    """One mistake in a registry, or in a flag that changes it.

    Attributes:
        file: the file as it was named, or the flag, such as "--set sampler.top_p".
        line, column: 1-based; 0 for a flag, or for a file that cannot be read.
        path: where in the registry, such as "components.retriever.hnsw.M"; empty for the whole file.
        message: sentences: what is wrong there, and the nearest valid thing.
    """

    file: str
    line: int
    column: int
    path: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return ": ".join(part for part in (place, self.path, self.message) if part)


class RegistryError(CalummaError):
    """A registry that cannot be parsed, validated or wired; `problems` has every one that was found."""

    def __init__(self, message: str, fix: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, fix)
        self.problems = list(problems)


class ComponentError(CalummaError):
    """A component that does not exist, is not installed, is broken, or cannot do what is asked of it."""


class AssetError(CalummaError):
    """A file of weights or data that is missing, unreadable, unsafe, or outside the folder it belongs to."""


class MismatchError(CalummaError):
    """Two parts that do not belong together: a bank of another embedder, a decoder of another tokenizer."""


class BankError(CalummaError):
    """A bank or a source of documents that is missing, damaged, or not writable."""


class InputError(CalummaError):
    """A prompt, a picture, a box or a folder that cannot be used as given."""


class FailedError(CalummaError):
    """The input was right and the work failed all the same. Exit code 1."""

    exit_code = 1
