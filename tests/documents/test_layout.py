from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from layout_samples import CODES, GRID, PRINT, Bytes, image, same, written

from calumma.documents import CM3LeonLayout, Document, Hole, Image, Text, segments, tasks
from calumma.errors import InputError

LAYOUT = CM3LeonLayout(Bytes(), CODES, GRID, PRINT, 400)
grids = st.lists(st.integers(0, CODES - 1), min_size=12, max_size=12).map(lambda codes: np.array(codes).reshape(GRID))
images = grids.map(lambda codes: Image(tokens={PRINT: codes}))
texts = st.text(st.characters(codec="utf-8"), max_size=8).map(Text)
masks = st.lists(st.booleans(), min_size=12, max_size=12).filter(any).map(lambda bits: np.array(bits).reshape(GRID))


def normalised(parts: list[Text | Image]) -> Document:
    """No text next to a text."""
    kept: list[Text | Image] = []
    for part in parts:
        if not (kept and isinstance(part, Text) and isinstance(kept[-1], Text)):
            kept.append(part)
    return Document(tuple(kept))


documents = st.lists(st.one_of(texts, images), min_size=1, max_size=4).map(normalised)


@given(documents)
def test_a_normalised_document_survives_encoding(document: Document) -> None:
    assert same(LAYOUT.decode(LAYOUT.encode(document).ids), document)


@given(documents, st.lists(documents, max_size=2))
def test_retrieved_documents_come_apart_by_part(document: Document, retrieved: list[Document]) -> None:
    sequence, alone = LAYOUT.encode(document, retrieved), LAYOUT.encode(document)
    before = len(sequence) - len(alone)
    assert (sequence.part[: before + 1] == -1).all()
    assert np.array_equal(sequence.ids[before + 1 :], alone.ids[1:])
    assert np.array_equal(sequence.part[before + 1 :], alone.part[1:])
    assert np.array_equal(sequence.positions, np.arange(len(sequence)))


@given(documents)
def test_only_the_first_id_weighs_nothing(document: Document) -> None:
    weight = LAYOUT.encode(document).loss_weight
    assert weight[0] == 0
    assert (weight[1:] == 1).all()


def test_a_pair_is_written_as_in_figure_9(layout: CM3LeonLayout, pair: Document) -> None:
    picture = "I " * 12
    assert written(layout, layout.encode(pair, [pair]).ids) == (
        f"<eos> a b <break> {picture}<break> a b <break> {picture}<eos>"
    )


def test_texts_in_a_row_share_a_segment(layout: CM3LeonLayout) -> None:
    sequence = layout.encode(Document((Text("a"), Text("b"), image())))
    assert sequence.part[:4].tolist() == [-1, 0, 1, -1]
    assert layout.decode(sequence.ids).parts[0] == Text("ab")


def test_images_in_a_row_are_kept_apart(layout: CM3LeonLayout) -> None:
    sequence = layout.encode(Document((image(1), image(2))))
    assert written(layout, sequence.ids).count("<break>") == 1


PICTURE = "I " * 12


@pytest.mark.parametrize(
    ("document", "conditional", "unconditional"),
    [
        (tasks.text_to_image("ab", GRID), "<eos> a b <break>", "<eos> <mask:0> <break>"),
        (tasks.caption(image()), f"<eos> <mask:0> <break> {PICTURE}<eos> <infill> <mask:0>",
         "<eos> <mask:0> <break> <mask:1> <eos> <infill> <mask:0>"),
        (Document((image(), Hole("text"))), f"<eos> {PICTURE}<break>", "<eos> <mask:0> <break>"),
        (Document((Hole("text"),)), "<eos>", "<eos>"),
        (Document((Hole("image"), Text("a"))), "<eos> <mask:0> <break> a <eos> <infill> <mask:0>",
         "<eos> <mask:0> <break> <mask:1> <eos> <infill> <mask:0>"),
        (Document((Text("Q"), Hole("text"), Text("."), image())),
         f"<eos> Q <mask:0> . <break> {PICTURE}<eos> <infill> <mask:0>",
         "<eos> Q <mask:0> . <break> <mask:1> <eos> <infill> <mask:0>"),
        (Document((Hole("text"), Hole("image"))), "<eos> <mask:0> <break> <mask:1> <eos> <infill> <mask:0>",
         "<eos> <mask:0> <break> <mask:1> <eos> <infill> <mask:0>"),
    ],
)  # fmt: skip
def test_streams_of_holes(layout: CM3LeonLayout, document: Document, conditional: str, unconditional: str) -> None:
    streams = layout.streams(document, [], ["conditional", "unconditional"])
    assert written(layout, streams["conditional"].ids) == conditional
    assert written(layout, streams["unconditional"].ids) == unconditional


def test_a_box_becomes_one_mask_in_place(layout: CM3LeonLayout) -> None:
    masked = np.zeros(GRID, bool)
    masked[0:2, 1:3] = True  # raster cells 1, 2, 5, 6: the span is 1 to 6
    streams = layout.streams(tasks.infill(image(), masked, "ab"), [], ["conditional", "unconditional"])
    assert written(layout, streams["conditional"].ids) == ("<eos> a b <break> I <mask:0> I I I I I <eos> <infill> <mask:0>")
    assert written(layout, streams["unconditional"].ids) == (
        "<eos> <mask:0> <break> I <mask:1> I I I I I <eos> <infill> <mask:1>"
    )


def test_cells_masked_to_the_very_end_continue_in_place(layout: CM3LeonLayout) -> None:
    masked = np.zeros(GRID, bool)
    masked[2] = True
    document = tasks.infill(image(), masked, "ab")
    assert (
        written(layout, layout.streams(document, [], ["conditional"])["conditional"].ids)
        == "<eos> a b <break> " + "I " * 7 + "I"
    )
    assert layout.constraint(document).capacity == 4


def test_an_edit_has_a_stream_without_text_and_one_without_anything(layout: CM3LeonLayout) -> None:
    streams = layout.streams(tasks.edit(image(), "x", GRID), [], ["image-only", "text-only", "unconditional"])
    assert written(layout, streams["image-only"].ids) == f"<eos> <mask:0> <break> {PICTURE}<break> <mask:1> <break>"
    assert written(layout, streams["text-only"].ids).endswith("<break> <mask:0> <break> x <break>")
    assert written(layout, streams["unconditional"].ids) == "<eos> <mask:0> <break> <mask:1> <break> <mask:2> <break>"


def test_all_streams_share_the_retrieved_documents(layout: CM3LeonLayout, pair: Document) -> None:
    streams = layout.streams(tasks.text_to_image("xyz", GRID), [pair, pair], ["conditional", "unconditional"])
    shared = len(layout.encode(pair, [pair, pair]).ids) - len(layout.encode(pair).ids) + 1
    assert np.array_equal(streams["conditional"].ids[:shared], streams["unconditional"].ids[:shared])
    assert written(layout, streams["unconditional"].ids[shared:]) == "<mask:0> <break>"


def draw(document: Document, choose: st.DataObject) -> list[int]:
    constraint, ids = LAYOUT.constraint(document), []
    while (allowed := constraint.allowed(len(ids), ids)) is not None:
        ids.append(int(allowed[choose.draw(st.integers(0, len(allowed) - 1))]))
    assert len(ids) <= constraint.capacity
    return ids


holes = st.sampled_from([
    tasks.text_to_image("a", GRID), tasks.edit(image(), "b", GRID),
    Document((Hole("image"), Text("a"))), Document((Hole("image"),)),
])  # fmt: skip


@given(holes, st.data())
def test_an_image_hole_gets_exactly_its_cells_whatever_is_drawn(document: Document, choose: st.DataObject) -> None:
    ids = draw(document, choose)
    inside = [id for id in ids if LAYOUT.vocabulary.is_image(np.array(id))]
    assert len(inside) == 12
    assert ids[12:] in ([], [LAYOUT.vocabulary.eoss])
    filled = LAYOUT.fill(document, ids)
    drawn = [part for part in filled.parts if isinstance(part, Image)][-1 if document.parts[0] != Hole("image") else 0]
    assert LAYOUT.vocabulary.image(drawn.tokens[PRINT]).tolist() == inside


@given(images, masks, texts, st.data())
def test_known_cells_of_an_infill_come_back_unchanged(whole: Image, masked, prompt: Text, choose: st.DataObject) -> None:
    document = tasks.infill(whole, masked, prompt.text)
    ids = draw(document, choose)
    filled = LAYOUT.fill(document, ids).parts[-1]
    assert isinstance(filled, Image)
    assert filled.masked is None
    assert np.array_equal(filled.tokens[PRINT][~masked], whole.tokens[PRINT][~masked])
    moved = ids[-1] == LAYOUT.vocabulary.eoss
    prompted = [*LAYOUT.streams(document, [], ["conditional"])["conditional"].ids.tolist(), *ids]
    assert same(LAYOUT.decode(prompted), LAYOUT.fill(document, ids))
    assert moved == (not masked[-1, -1])


@given(st.sampled_from([tasks.caption(image(), limit=5), Document((image(), Hole("text", limit=5)))]), st.data())
def test_a_text_has_one_to_limit_ids_and_then_closes(document: Document, choose: st.DataObject) -> None:
    ids = draw(document, choose)
    v = LAYOUT.vocabulary
    assert 1 <= len(ids) - 1 <= 5
    assert v.is_text(np.array(ids[:-1])).all()
    assert ids[-1] in ((v.eoss,) if document.parts[0] == Hole("text", limit=5) else (v.eos, v.break_))


def test_a_caption_cannot_begin_with_its_closing_id(layout: CM3LeonLayout) -> None:
    first = layout.constraint(tasks.caption(image())).allowed(0, [])
    assert first is not None
    assert first.tolist() == list(range(256))


def test_the_same_set_is_the_same_object(layout: CM3LeonLayout) -> None:
    masked = np.zeros(GRID, bool)
    masked[0, 1] = masked[2, 2] = True
    one, other = (layout.constraint(tasks.infill(image(), masked)) for _ in range(2))
    for offset in range(one.capacity):
        assert one.allowed(offset, []) is other.allowed(offset, [])
    caption = layout.constraint(tasks.caption(image()))
    assert caption.allowed(1, [3]) is caption.allowed(2, [3, 4])


def test_a_caption_is_put_back_where_it_was_asked_for(layout: CM3LeonLayout) -> None:
    document = tasks.caption(image())
    filled = layout.fill(document, [*b"hello", layout.vocabulary.eoss])
    assert filled.parts[0] == Text("hello")
    assert filled.parts[1] is document.parts[1]


def test_the_first_of_two_equal_holes_is_filled(layout: CM3LeonLayout) -> None:
    hole = Hole("text")
    filled = layout.fill(Document((hole, image(), hole)), [*b"a", layout.vocabulary.eoss])
    assert filled.parts[0] == Text("a")
    assert filled.parts[2] == hole


@pytest.mark.parametrize(
    "document",
    [
        Document(()),
        Document((Text("a"), Image())),
        Document((Image(tokens={PRINT: np.zeros((4, 4), np.int64)}),)),
        Document((Image(tokens={PRINT: np.full(GRID, CODES)}),)),
        Document((Text("a" * 1000),)),
        tasks.text_to_image("a", GRID),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_a_remedy(layout: CM3LeonLayout, document: Document) -> None:
    with pytest.raises(InputError) as caught:
        layout.encode(document)
    assert caught.value.fix


def test_too_many_retrieved_documents_are_never_dropped_silently(layout: CM3LeonLayout, pair: Document) -> None:
    with pytest.raises(InputError, match="context has 256"):
        layout.streams(tasks.text_to_image("a", GRID), [pair] * 20, ["conditional"])


def test_what_does_not_fit_the_context_is_told_in_numbers(layout: CM3LeonLayout, pair: Document) -> None:
    ids = len(pair.parts[0].text) + 12 + 3  # text and picture of a document, two breaks, the <eos> that begins it all
    with pytest.raises(InputError) as beside:
        layout.streams(tasks.text_to_image("a", GRID), [pair] * 20, ["conditional"])
    assert beside.value.message == (
        f"The document takes 3 ids and its hole 12 more, and the 20 retrieved ones before it {20 * (ids - 1)}: "
        f"{15 + 20 * (ids - 1)} in all; the context has 256."
    )
    assert "--set selection.documents=15)" in beside.value.fix
    assert layout.streams(tasks.text_to_image("a", GRID), [pair] * 15, ["conditional"])
    with pytest.raises(InputError, match=r"the context has 256\. Retrieve nothing"):
        layout.streams(tasks.text_to_image("a" * 240, GRID), [pair], ["conditional"])
    with pytest.raises(InputError) as alone:
        layout.streams(tasks.text_to_image("a" * 300, GRID), [pair], ["conditional"])
    assert alone.value.message == "The document takes 302 ids and its hole 12 more, 314 in all; the context has 256."
    assert alone.value.fix.startswith("Shorten the text by 58 ids")
    assert layout.streams(tasks.text_to_image("a" * 242, GRID), [], ["conditional"])


def test_a_retrieved_document_with_a_hole_is_refused(layout: CM3LeonLayout, pair: Document) -> None:
    with pytest.raises(InputError, match="'odd' has a hole"):
        layout.encode(pair, [replace(tasks.text_to_image("a", GRID), id="odd")])


def test_unknown_streams_and_grids_are_refused(layout: CM3LeonLayout) -> None:
    with pytest.raises(InputError, match="no stream 'loud'"):
        layout.streams(tasks.text_to_image("a", GRID), [], ["loud"])
    with pytest.raises(InputError, match="cells"):
        layout.streams(tasks.text_to_image("a", (9, 9)), [], ["conditional"])


@pytest.mark.parametrize("broken", [[300], [1, 256], [270, 5, 270], [258, 269, 1], [260] * 5])
def test_ids_that_are_no_sequence_are_refused(layout: CM3LeonLayout, broken: list[int]) -> None:
    with pytest.raises(InputError):
        layout.decode(broken)


def test_tasks_that_do_not_fit_the_context_are_not_supported() -> None:
    small = CM3LeonLayout(Bytes(), CODES, GRID, PRINT, 24)
    assert small.supports("generate")
    assert not small.supports("edit")


TEMPLATES = [
    tasks.text_to_image("a cat", GRID), tasks.write_text("hi", GRID), tasks.edit(image(), "bluer", GRID),
    tasks.place_objects("a room", [tasks.Placed("cat", (0, 0, 8, 8)), tasks.Placed("dog", (8, 0, 16, 8))], GRID),
    *[tasks.from_structure(kind, image(), "a cat", GRID) for kind in tasks.Structure.__args__],
    *[tasks.caption(image(), style) for style in tasks.CAPTION_PREFIXES],
    *[tasks.answer(image(), "what is it?", form) for form in tasks.QUESTIONS],
    tasks.infill(image(), np.eye(3, 4, dtype=bool), "a cat"),
]  # fmt: skip


@pytest.mark.parametrize("document", TEMPLATES)
def test_every_template_can_be_asked_and_trained_on(document: Document) -> None:
    stream = LAYOUT.streams(document, [], ["conditional"])["conditional"]
    constraint, ids = LAYOUT.constraint(document), []
    while (allowed := constraint.allowed(len(ids), ids)) is not None:
        ids.append(int(allowed[-1]))
    filled = LAYOUT.fill(document, ids)
    assert all(isinstance(part, Text | Image) for part in filled.parts)
    sequence = LAYOUT.encode(filled)
    assert segments(sequence.ids, LAYOUT.vocabulary)
    assert len(stream) < len(sequence) + 5
