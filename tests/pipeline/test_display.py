"""What a person sees of a pipeline and of a result, in a terminal and in a notebook."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import PIL.Image
import pytest

import calumma
from calumma import Document, Image, Pipeline, Result, Text
from calumma.interfaces import Entries, Hits, Query, Retrieved

from .tiny import picture

EVIL = "<script>alert('x')</script> & \"quotes\" \x1b[31mred\x07"


class Page(HTMLParser):
    """Tags in order, each with its attributes, and all text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def pictures(self) -> list[PIL.Image.Image]:
        """Every picture of the page, decoded."""
        addresses = [attributes["src"] or "" for tag, attributes in self.tags if tag == "img"]
        assert all(one.startswith("data:image/png;base64,") for one in addresses)
        return [PIL.Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))) for one in addresses]


@pytest.fixture(scope="module")
def result(pipeline: Pipeline) -> Result:
    return pipeline.generate("a red disc", n=3, seed=4)


@pytest.fixture(scope="module")
def captioned(pipeline: Pipeline) -> Result:
    return pipeline.caption(picture(20, 30), n=2, seed=1)


def with_texts(result: Result, text: str) -> Result:
    """The result as if the bank, the prompt and the model had said this."""
    retrieved = [
        replace(one, document=replace(one.document, parts=(Text(text), *one.document.parts[1:]), id=text))
        for one in result.retrieved
    ]
    return replace(result, prompt=text if result.prompt else "", texts=[text for _ in result.texts], retrieved=retrieved)


# --- results ---


def test_a_result_is_one_line_in_a_list_and_a_few_when_printed(result: Result, captioned: Result) -> None:
    assert re.fullmatch(r"<Result generate 'a red disc': 3 pictures of 16 x 16; retrieved .+, .+; \d+\.\d\d s>", repr(result))
    lines = str(result).splitlines()
    assert lines[0].startswith('generate "a red disc", seed 4: 3 pictures of 16 x 16 in ')
    assert [line.split()[0] for line in lines[1:]] == ["retrieved", "retrieved"]
    assert all(one.document.id in line for one, line in zip(result.retrieved, lines[1:], strict=True))
    assert str(captioned).startswith("caption a picture, seed 1: 2 texts in ")
    assert len(str(captioned).splitlines()) == 1 + len(captioned.retrieved) + 2


def test_a_notebook_shows_the_retrieved_and_the_drawn_pictures_with_captions(result: Result) -> None:
    page = Page(result._repr_html_())
    assert len(page.pictures) == len(result.retrieved) + 3
    for shown, drawn in zip(page.pictures[-3:], result.images, strict=True):
        assert np.array_equal(np.asarray(shown), np.asarray(drawn))
    for one in result.retrieved:
        assert one.document.text in page.text
        assert f"{one.score:.3f}" in page.text
    assert "drawn #2" in page.text


def test_a_notebook_shows_the_texts_of_a_caption_beside_its_picture(captioned: Result) -> None:
    page = Page(captioned._repr_html_())
    assert page.pictures[0].size == (30, 20)
    assert [tag for tag, _ in page.tags].count("li") == 2
    assert captioned._repr_png_() is None


def test_the_png_of_a_result_is_its_contact_sheet(result: Result) -> None:
    shown = PIL.Image.open(io.BytesIO(result._repr_png_() or b""))
    assert np.array_equal(np.asarray(shown), np.asarray(result.sheet()))


def test_texts_of_anybody_are_escaped_in_html(result: Result, captioned: Result) -> None:
    for one in (with_texts(result, EVIL), with_texts(captioned, EVIL)):
        page = Page(one._repr_html_())
        assert {tag for tag, _ in page.tags} <= {"p", "b", "div", "figure", "img", "figcaption", "ol", "li"}
        assert {name for _, attributes in page.tags for name in attributes} <= {"style", "src", "alt"}
        assert "<script>alert('x')</script>" in page.text


def test_texts_of_anybody_cannot_steer_the_terminal(result: Result, captioned: Result) -> None:
    for one in (with_texts(result, EVIL + "\n"), with_texts(captioned, EVIL + "\r")):
        for text in (str(one), repr(one), repr(one.retrieved[0])):
            assert "\\x1b[31m" in text
            assert all(letter.isprintable() for letter in text.replace("\n", ""))
        assert len(str(one).splitlines()) == 1 + len(one.retrieved) + len(one.texts)


def test_a_page_stays_small_however_much_there_is_to_show(result: Result) -> None:
    large = PIL.Image.fromarray(picture(2000, 1000))
    many = replace(result, images=[large] * 500, samples=[*range(500)], texts=["a word " * 10_000] * 1000)
    html = many._repr_html_()
    assert len(html) < 10_000_000
    page = Page(html)
    assert len(page.pictures) == len(result.retrieved) + 24
    assert page.pictures[-1].size == (128, 256)
    assert "and 476 more" in page.text


# --- pipelines ---


def test_a_pipeline_names_components_what_differs_from_their_defaults_and_the_bank(load: Callable[..., Pipeline]) -> None:
    pipeline = load(set={"sampler.top_p": 0.5})
    lines = {line.split()[0]: line for line in repr(pipeline).splitlines()[1:]}
    assert list(lines) == [*pipeline.slots, "bank"]
    for slot, part in pipeline.slots.items():
        assert part.id in lines[slot]
    assert lines["sampler"].endswith("sampling/nucleus     top_p=0.5")
    assert "weights=tokenizer.safetensors" in lines["image_tokenizer"]
    assert "tiny: 12 documents" in lines["bank"]
    page = Page(pipeline._repr_html_())
    assert [tag for tag, _ in page.tags].count("tr") == 8
    assert "top_p=0.5" in page.text


def test_a_pipeline_without_a_bank_says_so(load: Callable[..., Pipeline]) -> None:
    assert repr(load("no-retrieval")).splitlines()[-1].split() == ["bank", "none>"]


def test_a_device_that_cannot_compute_is_refused(registry: object) -> None:
    for name in ("meta", "abacus"):
        pipeline = calumma.load(registry, device=name)  # a device that is none
        with pytest.raises(calumma.CalummaError, match=f"no device '{name}' here"):
            pipeline.generate("a red disc")


# --- parts ---


def test_parts_with_arrays_print_what_they_are_and_not_what_they_hold(pipeline: Pipeline, result: Result) -> None:
    image = Image(picture(480, 640), {"taming/vqgan#0": np.zeros((8, 9), np.int64)}, np.eye(8, 9, dtype=bool), "there.png")
    assert repr(image) == "<Image 640 x 480 pixels, 8 x 9 ids of taming/vqgan#0, 8 masked, there.png>"
    assert repr(Image()) == "<Image no pixels>"
    assert repr(Document((Text("a"), Image()), "x")).startswith("Document(parts=(Text(text='a'), <Image no pixels>), id='x'")
    found = result.retrieved[0]
    assert repr(found).startswith(f"<Retrieved {found.score:.3f} by text: {found.document.id} ")
    vector = pipeline.embedder.embed_texts(["red"])[0]
    query = Query(vector, "red", picture(5, 6), np.array([3]))
    assert repr(query) == "<Query text 'red', image 6 x 5 pixels, vector 16 numbers, 1 keys excluded>"
    assert repr(Entries(np.arange(3), np.zeros((3, 16), np.float32))) == "<Entries 3 rows of 16 numbers>"
    hits = Hits.of([(np.array([4, 9]), np.array([0.25, 0.5], np.float32)), (np.zeros(0, np.int64), np.zeros(0, np.float32))], 3)
    assert repr(hits) == "<Hits Q = 2, k = 3: 9 (0.500), 4 (0.250); nothing>"
    assert "12 documents" in repr(pipeline.bank)


def test_a_picture_shows_itself_in_a_notebook() -> None:
    image = Image(picture(20, 30))
    assert np.array_equal(np.asarray(PIL.Image.open(io.BytesIO(image._repr_png_() or b""))), image.pixels)
    assert Image()._repr_png_() is None
    assert isinstance(Retrieved(Document((image,)), 1, 0.5).document.image, Image)
