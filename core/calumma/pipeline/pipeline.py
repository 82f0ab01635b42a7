"""The pipeline: a request becomes a document with a hole, documents are laid before it, the hole is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from calumma.documents import Document, Hole, Image, IntArray, Pixels, Text, tasks
from calumma.errors import InputError
from calumma.interfaces import (
    Decoder,
    Embedder,
    ImageTokenizer,
    Noise,
    Query,
    Retrieved,
    Retriever,
    Sampler,
    Selection,
    TextTokenizer,
)
from calumma.interfaces.component import Component, Device, Dtype
from calumma.pipeline import display
from calumma.pipeline.drawing import Drawing
from calumma.pipeline.finishing import check_extra
from calumma.pipeline.images import (
    Box,
    Frame,
    Picture,
    as_pixels,
    cells_of,
    check_box,
    encode_picture,
    paste_box,
)
from calumma.pipeline.record import components_record, versions
from calumma.pipeline.request import BATCH, Request
from calumma.pipeline.result import Result
from calumma.pipeline.stream import OnProgress, Stream, progress_of
from calumma.pipeline.wiring import check_wiring

if TYPE_CHECKING:
    from calumma.bank import Bank
    from calumma.extension import Catalog


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

    def generate(
        self,
        prompt: str,
        n: int = 1,
        seed: int = 0,
        *,
        first: int = 0,
        best_of: int = 1,
        on_progress: OnProgress | None = None,
    ) -> Result:
        """Draws n pictures of a prompt. Picture i depends on (prompt, seed, i) alone. Raises InputError.

        Args:
            first: the number of the first picture, to draw some of a larger n, or the rest of an interrupted one.
            best_of: draw so many samples for each picture, and keep the one whose embedding has the largest cosine with the
                prompt's: of picture g the best of samples g * best_of to g * best_of + best_of - 1.
            on_progress: called after each step of the sampler.
        """
        return self.stream(prompt, n, seed, first=first, best_of=best_of).result(progress_of(on_progress))

    def stream(
        self,
        prompt: str,
        n: int = 1,
        seed: int = 0,
        *,
        first: int = 0,
        best_of: int = 1,
        preview: bool = False,
        batch: int = BATCH,
    ) -> Stream:
        """As `generate`, step by step: an iterator of updates that ends with the same result, to be watched or stopped.

        Args:
            preview: also show the pictures while they are drawn, each time that a row of their codes is complete; this
                decodes every picture once per row, and changes none.
            batch: samples drawn at a time; those that are finished can be had before the next are begun.
        """
        documents = self._documents([prompt])
        return Stream(Drawing(self, Request("generate", documents, n, seed, first, best_of, None, batch, preview)))

    def generate_many(
        self,
        prompts: Sequence[str],
        n: int = 1,
        seed: int = 0,
        *,
        first: int = 0,
        best_of: int = 1,
        retrieved: Sequence[Sequence[Retrieved]] | None = None,
        batch: int = BATCH,
        on_progress: OnProgress | None = None,
    ) -> list[Result]:
        """Draws n pictures of each prompt, up to `batch` at a time; as `generate` one by one, but faster.

        Args:
            retrieved: documents to lay before each prompt, instead of asking the bank.
        """
        request = Request("generate", self._documents(prompts), n, seed, first, best_of, retrieved, batch)
        drawing, told = Drawing(self, request), progress_of(on_progress)
        for update in drawing.updates():
            told(update)
        return drawing.finish()

    def caption(self, picture: Picture, n: int = 1, seed: int = 0, *, on_progress: OnProgress | None = None) -> Result:
        """Describes a picture n times (`result.texts`). Raises InputError where it is no picture."""
        return self.stream_caption(picture, n, seed).result(progress_of(on_progress))

    def stream_caption(self, picture: Picture, n: int = 1, seed: int = 0) -> Stream:
        """As `caption`, step by step."""
        document = tasks.caption(self._encoded(as_pixels(picture)))
        return Stream(Drawing(self, Request("caption", [document], n, seed)))

    def infill(
        self,
        picture: Picture,
        box: Box,
        prompt: str,
        n: int = 1,
        seed: int = 0,
        *,
        first: int = 0,
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
        return self.stream_infill(picture, box, prompt, n, seed, first=first, paste=paste).result(progress_of(on_progress))

    def stream_infill(
        self,
        picture: Picture,
        box: Box,
        prompt: str,
        n: int = 1,
        seed: int = 0,
        *,
        first: int = 0,
        paste: bool = True,
        preview: bool = False,
    ) -> Stream:
        """As `infill`, step by step, like `stream`."""
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

        request = Request("infill", [document], n, seed, first, preview=preview, paste=pasted if paste else None)
        return Stream(Drawing(self, request))

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

    def _documents(self, prompts: Sequence[str]) -> list[Document]:
        for prompt in prompts:
            if not prompt.strip():
                raise InputError("The prompt is empty.", 'Say what to draw, such as "a red apple, noto style".')
        grid = self.image_tokenizer.grid(*self.image_tokenizer.resolution)
        return [tasks.text_to_image(prompt.strip(), grid) for prompt in prompts]

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

    def _warm_up(self, *slots: str) -> None:
        for slot in slots:
            if slot not in self._warm:
                self.slots[slot].warm_up(self.device, self._dtype)
                self._warm.add(slot)

    def _request_record(
        self, request: Request, index: int, found: Sequence[Retrieved], timings: Mapping[str, float]
    ) -> dict[str, Any]:
        if self._parts_record is None:
            self._parts_record = components_record(self.slots)
        return {
            "task": request.task,
            "prompt": request.documents[index].text,
            "n": request.n,
            "seed": request.seed,
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
