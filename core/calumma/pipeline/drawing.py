"""The one loop that answers requests: it draws batch by batch, and takes in every sample as soon as it is complete."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import PIL.Image

from calumma.documents import CONDITIONAL, Document, IntArray, Pixels
from calumma.errors import ComponentError, InputError
from calumma.interfaces import Finisher, Noise, Progress, Retrieved
from calumma.pipeline.cells import Cells
from calumma.pipeline.finishing import finished
from calumma.pipeline.images import decode_picture
from calumma.pipeline.judging import Judge
from calumma.pipeline.result import Result
from calumma.pipeline.update import Update

if TYPE_CHECKING:
    from calumma.pipeline.pipeline import Pipeline
    from calumma.pipeline.request import Request

Row = tuple[int, int]  # (index of the document, sample)


@dataclass(frozen=True, eq=False)
class _Drawn:
    """One sample: its filled document, its picture (None for a text), its ids as codes, its score under best of n."""

    sample: int
    document: Document
    pixels: Pixels | None
    codes: IntArray | None
    score: float = 0.0


class Drawing:
    """One request while it is answered. Whatever is kept of it stays when it is stopped, at any moment, by any error.

    Raises InputError where the layout cannot express the task.
    """

    def __init__(self, pipeline: Pipeline, request: Request) -> None:
        if not pipeline.layout.supports(request.task):
            raise InputError(
                f"The layout of {pipeline.decoder.id} cannot express the task {request.task!r}.", "Pick another decoder."
            )
        self.request = request
        self._pipeline = pipeline
        self._noise = Noise(request.seed)
        self._begun = time.perf_counter()
        self._timings: dict[str, float] = {}
        self._found: list[list[Retrieved]] = [[] for _ in request.documents]
        self._before: list[list[Document]] = []
        self._cells: dict[int, Cells] = {}
        self._judges: dict[int, Judge] = {}
        self._rows: list[Row] = []  # of the batch in flight
        self._progress: Progress | None = None  # of the batch in flight
        self._waiting: dict[Row, _Drawn] = {}  # samples that are complete, and whose outcome is not chosen yet
        self._kept: dict[tuple[int, int], _Drawn] = {}  # (index of the document, outcome)
        self._scores: dict[tuple[int, int], list[float]] = {}
        self._partial: dict[int, Pixels] = {}  # sample of the batch in flight -> what to show of it
        self._shown_rows = 0

    def updates(self) -> Iterator[Update]:
        """Does the work; one update after each step of the sampler."""
        self._prepare()
        request, tokens = self.request, 0
        for start in range(0, len(request.rows), request.batch):
            self._progress = None  # first: what settles pairs it with the rows
            self._rows = request.rows[start : start + request.batch]
            self._partial, self._shown_rows = {}, 0
            for progress in self._fill():
                self._progress = progress
                before = set(self._kept)
                self.settle()
                drawn = [one for key, one in self._kept.items() if key not in before]
                done, rows = self._finished_rows()
                yield Update(
                    progress=progress,
                    finished=len(self._kept),
                    n=request.n * len(request.documents),
                    share=(start + len(self._rows) * progress.done / max(progress.total, 1)) / len(request.rows),
                    tokens=tokens + sum(map(len, progress.ids)),
                    row=min(done + 1, rows),
                    rows=rows,
                    drawn={one.sample: PIL.Image.fromarray(one.pixels) for one in drawn if one.pixels is not None},
                    images=self._images(done),
                )
            assert self._progress is not None
            tokens += sum(map(len, self._progress.ids))

    def settle(self) -> None:
        """Takes in the samples of the batch in flight that are complete. Interrupted, it can be called again."""
        if self._progress is None:
            return
        for row, ids, complete in zip(self._rows, self._progress.ids, self._progress.finished, strict=True):
            outcome = (row[0], row[1] // self.request.best_of)
            if complete and outcome not in self._kept:
                if row not in self._waiting:
                    self._waiting[row] = self._taken(row, ids)
                self._choose(outcome)

    def results(self) -> list[Result]:
        """What is kept, a result per document; the record says so where that is not all."""
        request = self.request
        timings = {**self._timings, "total": time.perf_counter() - self._begun}
        results = []
        for index, document in enumerate(request.documents):
            kept = {g: self._kept[index, g] for g in request.outcomes if (index, g) in self._kept}
            results.append(
                Result(
                    task=request.task,
                    prompt=document.text,
                    documents=[one.document for one in kept.values()],
                    images=[PIL.Image.fromarray(one.pixels) for one in kept.values() if one.pixels is not None],
                    texts=[one.document.text for one in kept.values()] if request.task == "caption" else [],
                    tokens=[one.codes for one in kept.values() if one.codes is not None],
                    samples=[one.sample for one in kept.values()],
                    scores=[one.score for one in kept.values()] if request.best_of > 1 else [],
                    retrieved=self._found[index],
                    seed=request.seed,
                    timings=dict(timings),
                    record=self._record(index, list(kept), timings),
                    source=_shown(document),
                )
            )
        return results

    def finish(self) -> list[Result]:
        """The results of a request that was answered to its end; observers are told."""
        results = self.results()
        for result in results:
            self._pipeline._notify("calumma_generation_finished", task=self.request.task, result=result)
        return results

    def _prepare(self) -> None:
        """All that comes before the first id, errors of the input included."""
        pipeline, request = self._pipeline, self.request
        with self._timed("warm_up"):
            pipeline._warm_up(*pipeline.slots)
        with self._timed("retrieve"):
            given = request.retrieved
            self._found = pipeline.retrieve(request.documents, request.seed) if given is None else [list(one) for one in given]
        with self._timed("encode"):
            self._before = [[pipeline._with_codes(one) for one in taken] for taken in self._found]
            for index in range(len(request.documents)):
                self._prompts(index)  # one that does not fit is refused before anything is drawn
        if request.best_of > 1:
            with self._timed("score"):
                self._judges = {i: Judge(pipeline.embedder, one.text) for i, one in enumerate(request.documents)}
        for document in request.documents:
            pipeline._notify("calumma_generation_started", task=request.task, document=document, n=request.n)

    def _prompts(self, index: int) -> dict[str, IntArray]:
        """Stream -> ids of a document's prompt. Raises InputError where it does not fit, ComponentError without one."""
        pipeline, document = self._pipeline, self.request.documents[index]
        rules = pipeline.sampler.rules(pipeline.layout.constraint(document).modality)
        names = sorted({CONDITIONAL}.union(*(rule.streams for rule in rules)))
        written = pipeline.layout.streams(document, self._before[index], names)
        for rule in rules:
            for name in sorted(rule.streams - written.keys()):
                raise ComponentError(
                    f"{rule.id} needs the stream {name!r}, which the layout of {pipeline.decoder.id} does not write.",
                    "Turn the rule off (a guidance of 1 is off), or pick another decoder.",
                )
        return {name: written[name].ids for name in names}

    def _fill(self) -> Iterator[Progress]:
        """Draws the batch in flight."""
        pipeline, documents = self._pipeline, self.request.documents
        grid = pipeline.image_tokenizer.grid(*pipeline.image_tokenizer.resolution)
        constraints = {index: pipeline.layout.constraint(documents[index]) for index, _ in self._rows}
        self._cells = {index: Cells(documents[index], grid, one) for index, one in constraints.items()}
        prompts = {index: self._prompts(index) for index in constraints}
        rules = pipeline.sampler.rules(next(iter(constraints.values())).modality)
        steps = pipeline.sampler.fill(
            pipeline.decoder,
            {name: [prompts[index][name] for index, _ in self._rows] for name in prompts[self._rows[0][0]]},
            [constraints[index] for index, _ in self._rows],
            rules,
            self._noise,
            [sample for _, sample in self._rows],
        )
        try:
            while True:
                with self._timed("draw"):
                    progress = next(steps, None)
                if progress is None:
                    return
                yield progress
        finally:
            if hasattr(steps, "close"):
                steps.close()

    def _taken(self, row: Row, ids: IntArray) -> _Drawn:
        """A complete sample as it comes from the decoder and the image tokenizer."""
        index, sample = row
        pipeline, cells = self._pipeline, self._cells[index]
        document = pipeline.layout.fill(self.request.documents[index], ids.tolist())
        if self.request.task == "caption":
            return _Drawn(sample, document, None, None)
        codes = cells.codes(document, pipeline._image_fingerprint)
        with self._timed("decode"):
            pixels = self._pasted(decode_picture(pipeline.image_tokenizer, codes))
        if self.request.preview:
            self._partial[sample] = pixels
        if not self._judges:
            return _Drawn(sample, document, pixels, codes)
        with self._timed("score"):
            return _Drawn(sample, document, pixels, codes, self._judges[index].score(pixels))

    def _choose(self, key: tuple[int, int]) -> None:
        """Keeps the best sample of an outcome, the first of equals, once all of them are there; finishes its picture."""
        samples = [(key[0], sample) for sample in self.request.samples(key[1])]
        if not all(row in self._waiting for row in samples):
            return
        drawn = [self._waiting[row] for row in samples]
        best = max(drawn, key=lambda one: one.score)
        self._scores[key] = [one.score for one in drawn]
        self._kept[key] = self._finished(best)
        for row in samples:
            del self._waiting[row]

    def _finished(self, one: _Drawn) -> _Drawn:
        extra = self._pipeline.extra
        if one.pixels is None or not any(isinstance(part, Finisher) for part in extra.values()):
            return one
        with self._timed("finish"):
            pixels = finished(one.pixels, extra, one.document, self._noise, one.sample)
        return _Drawn(one.sample, one.document, pixels, one.codes, one.score)

    def _pasted(self, pixels: Pixels) -> Pixels:
        return pixels if self.request.paste is None else self.request.paste(pixels)

    def _finished_rows(self) -> tuple[int, int]:
        """How many rows of the code grid the slowest sample of the batch has drawn to their end, and of how many."""
        assert self._progress is not None
        places = [
            (self._cells[index].finished_rows(len(ids)), self._cells[index].rows)
            for (index, _), ids in zip(self._rows, self._progress.ids, strict=True)
        ]
        return min(places, key=lambda place: place[0] - place[1])

    def _images(self, done: int) -> dict[int, PIL.Image.Image] | None:
        """Sample -> its picture so far, whenever one more row of the whole batch is done; else, or unasked, None."""
        if not self.request.preview or self._progress is None or done <= self._shown_rows:
            return None
        self._shown_rows = done
        with self._timed("preview"):
            for (index, sample), ids, complete in zip(self._rows, self._progress.ids, self._progress.finished, strict=True):
                if not complete:
                    pixels = self._cells[index].so_far(
                        self.request.documents[index], self._pipeline.layout, self._pipeline.image_tokenizer, ids.tolist()
                    )
                    self._partial[sample] = self._pasted(pixels)
        return {sample: PIL.Image.fromarray(self._partial[sample]) for _, sample in self._rows}

    def _record(self, index: int, kept: list[int], timings: dict[str, float]) -> dict[str, Any]:
        request = self.request
        record = self._pipeline._request_record(request, index, self._found[index], timings)
        if request.first:
            record["first"] = request.first
        record["samples"] = [self._kept[index, g].sample for g in kept]
        if request.best_of > 1:
            record["best_of"] = [
                {"samples": list(request.samples(g)), "scores": self._scores[index, g], "kept": self._kept[index, g].sample}
                for g in kept
            ]
        if len(kept) < request.n:
            record["interrupted"] = {"finished": len(kept), "of": request.n}
        return record

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        yield
        self._timings[stage] = self._timings.get(stage, 0.0) + time.perf_counter() - begun


def _shown(document: Document) -> PIL.Image.Image | None:
    image = document.image
    return None if image is None or image.pixels is None else PIL.Image.fromarray(image.pixels)
