"""Chameleon's layout: what is written where, what each stream keeps, and what it refuses because it reads to the right only."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from calumma.contracts.samples.text_tokenizer import ByteTokenizer
from calumma.documents import Document, Hole, Image, Text, tasks
from calumma.errors import InputError
from calumma.interfaces import Options
from calumma_plugins.transformers.example import vocabulary
from calumma_plugins.transformers.layout import ChameleonLayout
from calumma_plugins.transformers.vocabulary import ChameleonVocabulary

NAMES = vocabulary()
V = ChameleonVocabulary.read(NAMES, len(NAMES))
NAME_OF = {id: name for name, id in NAMES.items()}
PRINT, GRID = "transformers/chameleon-vq#0", (2, 3)
SHORT = {"<racm3:break>": "(", "<eoss>": ")", "<reserved08706>": "|"}


def layout(context: int = 64, **options: Any) -> ChameleonLayout:
    return ChameleonLayout(V, ByteTokenizer(Options()), GRID, PRINT, context, **options)


def picture(seed: int = 0) -> Image:
    return Image(tokens={PRINT: np.random.default_rng(seed).integers(0, 64, GRID)})


def written(ids: np.ndarray) -> str:
    """Ids as one would write them on paper: (IIIIII) is a picture."""
    words = ["I" if NAME_OF[id].startswith("IMGIMG") else SHORT.get(NAME_OF[id], NAME_OF[id]) for id in ids.tolist()]
    return "".join(words).replace(NAME_OF[ord(" ")], " ")


def stream(document: Document, name: str = "conditional", retrieved: Any = (), **options: Any) -> str:
    return written(layout(**options).streams(document, retrieved, [name])[name].ids)


def same(one: Document, other: Document) -> bool:
    pairs = list(zip(one.parts, other.parts, strict=True))
    return all(np.array_equal(a.tokens[PRINT], b.tokens[PRINT]) if isinstance(a, Image) else a == b for a, b in pairs)


# --- whole documents ---


def test_a_document_is_text_and_pictures_between_their_marks() -> None:
    sequence = layout().encode(Document((Text("ab"), picture(), Text("c"))))
    assert written(sequence.ids) == "<s>ab(IIIIII)c</s>"
    assert sequence.part.tolist() == [-1, 0, 0, -1, *[1] * 6, -1, 2, -1]
    assert sequence.loss_weight.tolist() == [0.0, *[1.0] * 12]
    assert sequence.positions.tolist() == list(range(13))


def test_retrieved_documents_stand_before_each_whole() -> None:
    sequence = layout().encode(Document((Text("a"),)), [Document((Text("b"), picture())), Document((Text("c"),))])
    assert written(sequence.ids) == "<s>b(IIIIII)</s><s>c</s><s>a</s>"
    assert sequence.part.tolist() == [-1] * 15 + [0, -1]


def test_codes_are_found_by_name_and_not_by_an_offset() -> None:
    codes = np.array([[0, 1, 2], [10, 63, 7]])
    sequence = layout().encode(Document((Image(tokens={PRINT: codes}),)))
    names = [NAME_OF[id] for id in sequence.ids.tolist()[2:8]]
    assert names == ["IMGIMGAZ", "IMGIMGBZ", "IMGIMGCZ", "IMGIMGBAZ", "IMGIMGGDZ", "IMGIMGHZ"]


PARTS = st.lists(st.one_of(st.text(min_size=1, max_size=5).map(Text), st.integers(0, 99).map(picture)), max_size=3)


@settings(max_examples=60, deadline=None)
@given(PARTS)
def test_documents_come_back(parts: list[Any]) -> None:
    normal = [one for i, one in enumerate(parts) if not (i and isinstance(one, Text) and isinstance(parts[i - 1], Text))]
    if normal:
        document, whole = Document(tuple(normal)), layout(context=256)
        assert same(whole.decode(whole.encode(document).ids), document)


@pytest.mark.parametrize(
    ("cut", "says"), [(-2, "not closed"), (-4, "given 4 ids")], ids=["without its end", "without two codes and its end"]
)
def test_a_picture_that_was_cut_is_refused(cut: int, says: str) -> None:
    whole = layout()
    with pytest.raises(InputError, match=says):
        whole.decode(whole.encode(Document((Text("a"), picture()))).ids[:cut])


def test_ids_that_are_no_document_are_refused() -> None:
    with pytest.raises(InputError, match="is no text"):
        layout().decode([V.bos, 65, int(V.code_ids[3])])
    with pytest.raises(InputError, match="is no code"):
        layout().decode([V.bos, V.begin_image, *[65] * 6, V.end_image])


# --- holes ---


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("conditional", "<s>ab("),
        ("unconditional", "<s>("),
        ("image-only", "<s>("),
        ("text-only", "<s>ab("),
    ],
)
def test_a_picture_is_asked_for_after_its_text(name: str, ids: str) -> None:
    assert stream(tasks.text_to_image("ab", GRID), name) == ids


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("conditional", "<s>a(IIIIII)b("),
        ("unconditional", "<s>("),
        ("image-only", "<s>(IIIIII)("),
        ("text-only", "<s>ab("),
    ],
)
def test_an_edit_keeps_what_its_stream_keeps(name: str, ids: str) -> None:
    assert stream(Document((Text("a"), picture(), Text("b"), Hole("image", GRID))), name) == ids


@pytest.mark.parametrize(("name", "ids"), [("conditional", "<s>(IIIIII)Q:"), ("unconditional", "<s>Q:")])
def test_a_text_is_asked_for_after_the_pictures(name: str, ids: str) -> None:
    """A question stands before the picture in the document; Chameleon reads the picture first, and the question stays."""
    assert stream(Document((Text("Q"), Text(":"), Hole("text", limit=4), picture())), name) == ids


def test_a_caption_follows_its_picture() -> None:
    assert stream(tasks.caption(picture(), limit=4)) == "<s>(IIIIII)"
    assert stream(tasks.caption(picture(), limit=4), end_of_turn=True) == "<s>(IIIIII)|"
    assert stream(tasks.text_to_image("a", GRID), end_of_turn=True) == "<s>a("


def test_streams_share_what_was_retrieved() -> None:
    retrieved = [Document((Text("r"), picture()))]
    for name, own in (("conditional", "a("), ("unconditional", "(")):
        assert stream(tasks.text_to_image("a", GRID), name, retrieved) == f"<s>r(IIIIII)</s><s>{own}"


def test_a_picture_is_exactly_its_codes() -> None:
    document = tasks.text_to_image("a", GRID)
    constraint = layout().constraint(document)
    sets = [constraint.allowed(i, []) for i in range(7)]
    assert constraint.capacity == 6
    assert all(one is sets[0] for one in sets[:6])
    assert sorted(sets[0].tolist()) == sorted(V.code_ids.tolist())
    assert sets[6] is None
    drawn = V.code_ids[[5, 4, 3, 2, 1, 0]].tolist()
    image = layout().fill(document, drawn).image
    assert image is not None
    assert image.tokens[PRINT].tolist() == [[5, 4, 3], [2, 1, 0]]
    with pytest.raises(InputError, match="given 5 ids"):
        layout().fill(document, drawn[:5])


def test_allowed_ids_are_ascending_and_one_object_for_all_documents() -> None:
    whole = layout()
    one, other = (whole.constraint(tasks.text_to_image(text, GRID)) for text in "ab")
    assert one.allowed(0, []) is other.allowed(3, [])
    assert (np.diff(one.allowed(0, [])) > 0).all()
    first, second = (whole.constraint(tasks.caption(picture(seed), limit=3)) for seed in (0, 1))
    assert first.allowed(1, [65]) is second.allowed(2, [65])
    assert (np.diff(first.allowed(1, [65])) > 0).all()


def test_a_text_ends_where_a_sequence_a_turn_or_a_text_does() -> None:
    whole = layout()
    document = tasks.caption(picture(), limit=3)
    constraint = whole.constraint(document)
    closing = {V.eos, V.begin_image, V.end_of_turn}
    assert constraint.capacity == 4
    assert set(constraint.allowed(0, []).tolist()) == set(V.text_ids.tolist())
    assert set(constraint.allowed(1, [65]).tolist()) == set(V.text_ids.tolist()) | closing
    assert constraint.allowed(3, [65, 66, 67]).tolist() == [V.eos]
    for id in closing:
        assert constraint.allowed(2, [65, id]) is None
        assert whole.fill(document, [65, id]).parts[0] == Text("A")
    assert whole.constraint(Document((picture(), Hole("text")))).capacity == 64 // 4 + 1


# --- what is refused ---


def test_tasks_are_those_that_fit_and_can_be_written_to_the_right() -> None:
    assert [name for name in ("generate", "caption", "answer", "edit", "infill") if layout().supports(name)] == [
        "generate", "caption", "answer", "edit",
    ]  # fmt: skip
    assert not layout(context=23).supports("edit")
    assert layout(context=24).supports("edit")
    assert not layout(context=15).supports("generate")
    assert layout(context=16).supports("generate")


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ((Text("a"),), "no hole"),
        ((Hole("image", GRID), Text("a")), "from left to right"),
        ((Hole("text"), Text("a")), "from left to right"),
        ((Hole("text"), Hole("image", GRID)), "from left to right"),
        ((Text("a"), Hole("image", (3, 2))), "the decoder draws"),
        ((picture(), Hole("text", limit=0)), "cannot be filled"),
        ((Image(picture().pixels, picture().tokens, np.ones(GRID, np.bool_)),), "cannot draw a box anew"),
        ((Image(), Hole("text")), "no ids of the image tokenizer"),
        ((Image(tokens={PRINT: np.zeros((1, 6), np.int64)}), Hole("text")), "has 1x6 codes, the decoder draws 2x3"),
    ],
)
def test_a_hole_that_cannot_be_written_to_the_right_is_refused(parts: Any, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        layout().streams(Document(parts), [], ["conditional"])
    assert caught.value.fix


def test_what_does_not_fit_the_context_says_by_how_much() -> None:
    document, retrieved = tasks.text_to_image("abc", GRID), [Document((Text("r" * 10), picture()))]
    with pytest.raises(InputError, match=r"takes 5 ids and its hole 6 more: 1 beyond the context of 10\.") as caught:
        layout(context=10).streams(document, [], ["conditional"])
    assert "by 1 ids" in caught.value.fix
    with pytest.raises(InputError, match=r"the 1 retrieved ones before it 20: 21 beyond") as caught:
        layout(context=10).streams(document, retrieved, ["conditional"])
    assert "by 1 ids" in caught.value.fix
    with pytest.raises(InputError, match=r"20: 15 beyond the context of 16") as caught:
        layout(context=16).streams(document, retrieved, ["conditional"])
    assert "Retrieve fewer" in caught.value.fix
    assert len(layout(context=11).streams(document, [], ["conditional"])["conditional"]) == 5


def test_whole_documents_only_are_encoded_and_known_streams_only_asked_for() -> None:
    whole, document = layout(), tasks.text_to_image("a", GRID)
    for wrong in (document, Document(())):
        with pytest.raises(InputError):
            whole.encode(wrong)
        with pytest.raises(InputError):
            whole.encode(Document((Text("a"),)), [wrong])
    with pytest.raises(InputError, match="no stream 'other'"):
        whole.streams(document, [], ["other"])


def test_codes_and_texts_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match=r"outside of 0\.\.63"):
        V.image([64])
    with pytest.raises(InputError, match=r"outside of 0\.\.63"):
        V.image([-1])
    with pytest.raises(InputError, match=f"The id {V.eos} is no text"):
        V.text([65, V.eos])
