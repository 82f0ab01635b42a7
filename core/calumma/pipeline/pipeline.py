"""The pipeline: a request becomes a document with a hole, documents are laid before it, the hole is drawn."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

import PIL.Image

from calumma.documents import CONDITIONAL, Document, Hole, Image, IntArray, Pixels, Task, Text, tasks
from calumma.errors import InputError
from calumma.interfaces import (
    Decoder,
    Embedder,
    Finisher,
    ImageTokenizer,
    Noise,
    Progress,
    Query,
    Retrieved,
    Retriever,
    Sampler,
    Selection,
    TextTokenizer,
)
from calumma.interfaces.component import Component, Device, Dtype
from calumma.pipeline import display
from calumma.pipeline.finishing import check_extra, finished
from calumma.pipeline.images import (
    Box,
    Frame,
    Picture,
    as_pixels,
    cells_of,
    check_box,
    decode_picture,
    encode_picture,
    paste_box,
)
from calumma.pipeline.record import components_record, versions
from calumma.pipeline.result import Result
from calumma.pipeline.wiring import check_wiring

if TYPE_CHECKING:
    from calumma.bank import Bank
    from calumma.extension import Catalog

OnProgress = Callable[[Progress], None]
BATCH = 32  # rows drawn at a time


class Pipeline:
    """Assembled components. Construction checks that they fit together and loads no weights; the first request does.

    Args:
        bank: what the retriever searches; needed unless the retriever accepts nothing.
        extra: further slots by name, of kinds that plugins bring; those that hold a Finisher are applied to every
            picture, in this order.
        device: "cpu", "cuda", "cuda:1", "mps", or "auto" (a GPU if there is one).
        record: what to put into each result's record beside what is worked out here (the resolved registry).

    Raises:
        MismatchError: two parts do not belong together. ComponentError: a part cannot do what another needs.
    """

    def __init__(
        self,
        *,
        image_tokenizer: ImageTokenizer,
        text_tokenizer: TextTokenizer,
        embedder: Embedder,
        retriever: Retriever,
        selection: Selection,
        decoder: Decoder,
        sampler: Sampler,
        bank: Bank | None = None,
        extra: Mapping[str, Component] | None = None,
        device: Device = "auto",
        dtype: Dtype = "float32",
        catalog: Catalog | None = None,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        self.image_tokenizer = image_tokenizer
        self.text_tokenizer = text_tokenizer
        self.embedder = embedder
        self.retriever = retriever
        self.selection = selection
        self.decoder = decoder
        self.sampler = sampler
        self.bank = bank
        self.extra = dict(extra or {})
        check_extra(self.extra)
        self.layout = check_wiring(self.slots, bank)
        self._device, self._dtype = device, dtype
        self._catalog = catalog
        self._record = dict(record or {})
        self._parts_record: dict[str, Any] | None = None
        self._warm: set[str] = set()
        self._codes: dict[int, IntArray] = {}
        self._image_fingerprint = image_tokenizer.fingerprint()
        self._notify("calumma_pipeline_assembled", pipeline=self)

    @property
    def slots(self) -> dict[str, Component]:
        """Slot -> component; the extra ones last, in their order."""
        return {
            "image_tokenizer": self.image_tokenizer,
            "text_tokenizer": self.text_tokenizer,
            "embedder": self.embedder,
            "retriever": self.retriever,
            "selection": self.selection,
            "decoder": self.decoder,
            "sampler": self.sampler,
            **self.extra,
        }

    @property
    def device(self) -> Device:
        """Where the models run; "auto" worked out. Raises InputError for one that is not here, or cannot compute."""
        import torch

        if self._device == "auto":
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.ones(1, device=self._device).item()
        except (RuntimeError, AssertionError) as error:  # AssertionError: a torch without CUDA
            raise InputError(f"There is no device {self._device!r} here to compute on.", "Try cpu, or auto.") from error
        return self._device

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        """Lets go of what the retriever and its index hold open, such as a connection."""
        self.retriever.close()
        if self.bank is not None:
            self.bank.close()

    def __repr__(self) -> str:
        return display.pipeline_text(self)

    def _repr_html_(self) -> str:
        return display.pipeline_html(self)

    def generate(self, prompt: str, n: int = 1, seed: int = 0, *, on_progress: OnProgress | None = None) -> Result:
        """Draws n pictures of a prompt. Picture i depends on (prompt, seed, i) alone. Raises InputError."""
        return self.generate_many([prompt], n, seed, on_progress=on_progress)[0]

    def generate_many(
        self,
        prompts: Sequence[str],
        n: int = 1,
        seed: int = 0,
        *,
        retrieved: Sequence[Sequence[Retrieved]] | None = None,
        batch: int = BATCH,
        on_progress: OnProgress | None = None,
    ) -> list[Result]:
        """Draws n pictures of each prompt, up to `batch` at a time; as `generate` one by one, but faster.

        Args:
            retrieved: documents to lay before each prompt, instead of asking the bank.
        """
        for prompt in prompts:
            if not prompt.strip():
                raise InputError("The prompt is empty.", 'Say what to draw, such as "a red apple, noto style".')
        if retrieved is not None and len(retrieved) != len(prompts):
            raise InputError(f"{len(retrieved)} lists were retrieved for {len(prompts)} prompts.", "Give one for each.")
        grid = self.image_tokenizer.grid(*self.image_tokenizer.resolution)
        documents = [tasks.text_to_image(prompt.strip(), grid) for prompt in prompts]
        return self._run("generate", documents, n, seed, retrieved, batch, on_progress)

    def caption(self, picture: Picture, n: int = 1, seed: int = 0, *, on_progress: OnProgress | None = None) -> Result:
        """Describes a picture n times (`result.texts`). Raises InputError where it is no picture."""
        document = tasks.caption(self._encoded(as_pixels(picture)))
        return self._run("caption", [document], n, seed, on_progress=on_progress)[0]

    def infill(
        self,
        picture: Picture,
        box: Box,
        prompt: str,
        n: int = 1,
        seed: int = 0,
        *,
        paste: bool = True,
        on_progress: OnProgress | None = None,
    ) -> Result:
        """Draws the inside of a box anew.

        Args:
            box: (x0, y0, x1, y1) in the picture's pixels, x1 and y1 exclusive. Cells of the code grid that it touches are
                drawn; all other ids stay.
            paste: put what was drawn into the box of the given picture and leave every other pixel as it was; else
                return the tokenizer's own picture of all ids.
        """
        if not prompt.strip():
            raise InputError("The prompt is empty.", "Say what the whole picture shows with --prompt.")
        pixels = as_pixels(picture)
        check_box(box, pixels)
        encoded = self._encoded(pixels)
        grid = encoded.tokens[self._image_fingerprint].shape
        frame = Frame(pixels.shape[:2], self.image_tokenizer.resolution)
        cells = cells_of(frame.box_to_canvas(box), frame.canvas, (grid[0], grid[1]))
        document = tasks.infill(encoded, cells, prompt.strip())

        def pasted(drawn: Pixels) -> Pixels:
            return paste_box(pixels, frame.back(drawn), box)

        return self._run("infill", [document], n, seed, on_progress=on_progress, finish=pasted if paste else None)[0]

    def retrieve(self, documents: Sequence[Document], seed: int = 0) -> list[list[Retrieved]]:
        """What the bank offers for each document and the selection takes, best last; [] where nothing is to be found."""
        if self.bank is None or not self.retriever.accepts:
            return [[] for _ in documents]
        noise = Noise(seed)
        asked = [self.selection.queries(document, noise) for document in documents]
        flat = self._embedded([query for queries in asked for query in queries.values()])
        hits = iter(self.bank.retrieve(flat, self.selection.candidates, self.retriever))
        vectors = iter(flat)
        taken = []
        for document, queries in zip(documents, asked, strict=True):
            embedded = {name: next(vectors) for name in queries}
            found = {name: next(hits) for name in queries}
            chosen = self.selection.select(document, embedded, found, self.bank, noise)
            self._notify("calumma_documents_retrieved", document=document, retrieved=chosen)
            taken.append(chosen)
        return taken

    def _run(
        self,
        task: Task,
        documents: Sequence[Document],
        n: int,
        seed: int,
        retrieved: Sequence[Sequence[Retrieved]] | None = None,
        batch: int = BATCH,
        on_progress: OnProgress | None = None,
        finish: Callable[[Pixels], Pixels] | None = None,
    ) -> list[Result]:
        """Fills the hole of each document n times; `finish` is applied to each picture before the finishers."""
        if n < 1:
            raise InputError(f"Cannot draw {n} samples.", "Ask for at least one (-n 1).")
        if not 0 <= seed < 2**63:
            raise InputError(f"The seed {seed} is not a whole number from 0 to 2**63 - 1.", "Pick another seed.")
        if not self.layout.supports(task):
            raise InputError(f"The layout of {self.decoder.id} cannot express the task {task!r}.", "Pick another decoder.")
        timings: dict[str, float] = {}
        begun = time.perf_counter()
        with _timed(timings, "warm_up"):
            self._warm_up(*self.slots)
        with _timed(timings, "retrieve"):
            found = self.retrieve(documents, seed) if retrieved is None else [list(taken) for taken in retrieved]
        with _timed(timings, "encode"):
            before = [[self._with_codes(one) for one in taken] for taken in found]
        for document in documents:
            self._notify("calumma_generation_started", task=task, document=document, n=n)
        with _timed(timings, "draw"):
            rows = [(index, sample) for index in range(len(documents)) for sample in range(n)]
            filled: list[Document] = []
            for start in range(0, len(rows), batch):
                filled += self._fill(documents, before, rows[start : start + batch], seed, on_progress)
        with _timed(timings, "decode"):
            pictures = [] if task == "caption" else [self._decoded(document) for document in filled]
            pictures = [finish(pixels) for pixels in pictures] if finish else pictures
        if any(isinstance(part, Finisher) for part in self.extra.values()):
            noise = Noise(seed)
            with _timed(timings, "finish"):
                pictures = [
                    finished(pixels, self.extra, document, noise, sample)
                    for pixels, document, (_, sample) in zip(pictures, filled, rows, strict=False)
                ]
        timings["total"] = time.perf_counter() - begun
        results = []
        for index, document in enumerate(documents):
            outcome, drawn = filled[index * n : index * n + n], pictures[index * n : index * n + n]
            result = Result(
                task=task,
                prompt=document.text,
                documents=outcome,
                images=[PIL.Image.fromarray(pixels) for pixels in drawn],
                texts=[one.text for one in outcome] if task == "caption" else [],
                tokens=[self._codes_of(one) for one in outcome] if task != "caption" else [],
                retrieved=found[index],
                seed=seed,
                timings=dict(timings),
                record=self._request_record(task, document, n, seed, found[index], timings),
                source=_shown(document),
            )
            self._notify("calumma_generation_finished", task=task, result=result)
            results.append(result)
        return results

    def _fill(
        self,
        documents: Sequence[Document],
        before: Sequence[Sequence[Document]],
        rows: Sequence[tuple[int, int]],
        seed: int,
        on_progress: OnProgress | None,
    ) -> list[Document]:
        """Draws the first hole of documents[i] as sample s for each row (i, s)."""
        constraints = {index: self.layout.constraint(documents[index]) for index, _ in rows}
        rules = self.sampler.rules(next(iter(constraints.values())).modality)
        names = sorted({CONDITIONAL}.union(*(rule.streams for rule in rules)))
        prompts = {index: self.layout.streams(documents[index], before[index], names) for index in constraints}
        last: Progress | None = None
        for last in self.sampler.fill(
            self.decoder,
            {name: [prompts[index][name].ids for index, _ in rows] for name in names},
            [constraints[index] for index, _ in rows],
            rules,
            Noise(seed),
            [sample for _, sample in rows],
        ):
            if on_progress is not None:
                on_progress(last)
        assert last is not None
        return [self.layout.fill(documents[index], ids.tolist()) for (index, _), ids in zip(rows, last.ids, strict=True)]

    def _embedded(self, queries: Sequence[Query]) -> list[Query]:
        """The queries with their vectors, in the same order; equal texts are embedded once."""
        self._warm_up("embedder")
        texts = list(dict.fromkeys(query.text for query in queries if query.text is not None))
        of_text = dict(zip(texts, self.embedder.embed_texts(texts), strict=True)) if texts else {}
        embedded = []
        for query in queries:
            if query.vector is not None:
                embedded.append(query)
            elif query.text is not None:
                embedded.append(replace(query, vector=of_text[query.text]))
            else:
                assert query.image is not None
                embedded.append(replace(query, vector=self.embedder.embed_images([query.image])[0]))
        return embedded

    def _encoded(self, pixels: Pixels) -> Image:
        self._warm_up("image_tokenizer")
        return Image(pixels=pixels, tokens={self._image_fingerprint: encode_picture(self.image_tokenizer, pixels)})

    def _with_codes(self, one: Retrieved) -> Document:
        """The retrieved document with the ids of its pictures, worked out once per row of the bank."""
        parts: list[Text | Image | Hole] = []
        for part in one.document.parts:
            if isinstance(part, Image) and self._image_fingerprint not in part.tokens:
                if one.key not in self._codes:
                    if part.pixels is None:
                        raise InputError(f"The document {one.document.id!r} has a picture without pixels or codes.")
                    self._codes[one.key] = encode_picture(self.image_tokenizer, part.pixels)
                part = replace(part, tokens={**part.tokens, self._image_fingerprint: self._codes[one.key]})
            parts.append(part)
        return replace(one.document, parts=tuple(parts))

    def _codes_of(self, document: Document) -> IntArray:
        assert document.image is not None
        return document.image.tokens[self._image_fingerprint]

    def _decoded(self, document: Document) -> Pixels:
        return decode_picture(self.image_tokenizer, self._codes_of(document))

    def _warm_up(self, *slots: str) -> None:
        for slot in slots:
            if slot not in self._warm:
                self.slots[slot].warm_up(self.device, self._dtype)
                self._warm.add(slot)

    def _request_record(
        self, task: Task, document: Document, n: int, seed: int, found: Sequence[Retrieved], timings: Mapping[str, float]
    ) -> dict[str, Any]:
        if self._parts_record is None:
            self._parts_record = components_record(self.slots)
        return {
            "task": task,
            "prompt": document.text,
            "n": n,
            "seed": seed,
            "device": self.device,
            "dtype": self._dtype,
            "retrieved": [{"id": one.document.id, "text": one.document.text, "score": one.score} for one in found],
            "timings": dict(timings),
            "versions": versions(self._record.get("distributions", ())),
            "components": self._parts_record,
            "bank": None if self.bank is None else self.bank.record(),
            **{key: value for key, value in self._record.items() if key != "distributions"},
        }

    def _notify(self, hook: str, **facts: object) -> None:
        if self._catalog is not None:
            self._catalog.notify(hook, **facts)


@contextmanager
def _timed(timings: dict[str, float], stage: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    timings[stage] = time.perf_counter() - begun


def _shown(document: Document) -> PIL.Image.Image | None:
    image = document.image
    return None if image is None or image.pixels is None else PIL.Image.fromarray(image.pixels)
