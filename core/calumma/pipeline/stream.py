"""A request that is answered step by step, and can be stopped at each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from typing import Self

from calumma.errors import InputError
from calumma.interfaces import Progress
from calumma.pipeline.drawing import Drawing
from calumma.pipeline.result import Result, stem_of
from calumma.pipeline.update import Update

OnProgress = Callable[[Progress], None]
OnUpdate = Callable[[Update], None]


class Stream(Iterator[Update]):
    """Iterates over updates, the last of which holds the result. Nothing is done before the first is asked for.

    To stop, ask for no more of them. `close()`, or leaving a `with` block, lets go of the decoder's memory at once. What is
    finished by then is `so_far()`, and that holds after an error or a KeyboardInterrupt too.
    """

    def __init__(self, drawing: Drawing) -> None:
        self._drawing = drawing
        self._updates = self._run()

    def __next__(self) -> Update:
        return next(self._updates)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops the work; there are no more updates."""
        self._updates.close()

    def result(self, on_update: OnUpdate | None = None) -> Result:
        """Runs to the end, and gives the result. Raises InputError where the stream was closed, or has given it before."""
        for update in self:
            if on_update is not None:
                on_update(update)
            if update.result is not None:
                return update.result
        raise InputError("The stream is at its end.", "Ask for its result once, or for what it has (`so_far()`).")

    def so_far(self) -> Result:
        """What is finished: as the result of a request that asked for no more. Its record says how many of n there are."""
        self._drawing.settle()
        return self._drawing.results()[0]

    @property
    def stem(self) -> str:
        """What the names of its pictures' files begin with, as in `Result.save`."""
        request = self._drawing.request
        return stem_of(request.task, request.documents[0].text, request.seed)

    def _run(self) -> Generator[Update]:
        last: Update | None = None
        for last in self._drawing.updates():
            yield last
        (result,) = self._drawing.finish()
        assert last is not None
        yield Update(None, last.finished, last.n, 1.0, last.tokens, last.rows, last.rows, result=result)


def progress_of(on_progress: OnProgress | None) -> OnUpdate:
    """What tells each step of the sampler to `on_progress`."""

    def told(update: Update) -> None:
        if on_progress is not None and update.progress is not None:
            on_progress(update.progress)

    return told
