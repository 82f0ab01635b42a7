"""Requests step by step: what updates say, previews, stopping, and that watching changes nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from calumma import Pipeline, Result
from calumma.documents import CM3LeonLayout, tasks
from calumma.errors import InputError
from calumma.pipeline import Update
from calumma.pipeline.cells import GREY, Cells
from calumma.pipeline.images import decode_picture

from .test_observers import Watching, assembled
from .tiny import CELL, SIDE, picture

PROMPT, ROWS = "a red disc", SIDE // CELL
BOX = (4, 4, 12, 12)  # the four cells in the middle: two of four rows


def bytes_of(result: Result) -> list[bytes]:
    return [image.tobytes() for image in result.images]


def stopped(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, after: int, error: BaseException) -> Pipeline:
    """A pipeline whose sampler raises after so many steps, counted over all batches."""
    fill, steps = pipeline.sampler.fill, iter(range(after))

    def failing(*args: object) -> Iterator[object]:
        for progress in fill(*args):
            if next(steps, None) is None:
                raise error
            yield progress

    monkeypatch.setattr(pipeline.sampler, "fill", failing)
    return pipeline


@pytest.mark.parametrize("preview", [False, True])
def test_generating_is_streaming_to_the_end(pipeline: Pipeline, preview: bool) -> None:
    whole = pipeline.generate(PROMPT, n=3, seed=5)
    *steps, last = pipeline.stream(PROMPT, n=3, seed=5, preview=preview)
    assert all(one.result is None for one in steps)
    assert last.result is not None
    assert bytes_of(last.result) == bytes_of(whole)
    assert all(np.array_equal(a, b) for a, b in zip(last.result.tokens, whole.tokens, strict=True))
    drawn = {sample: image.tobytes() for one in steps for sample, image in one.drawn.items()}
    assert [drawn[sample] for sample in range(3)] == bytes_of(whole)


def test_an_update_says_how_far_it_is(pipeline: Pipeline) -> None:
    *steps, last = pipeline.stream(PROMPT, n=2)
    assert [one.row for one in steps] == [min(1 + i // ROWS, ROWS) for i in range(1, ROWS * ROWS + 1)]
    assert {one.rows for one in steps} == {ROWS}
    assert [one.finished for one in steps] == [0] * (len(steps) - 1) + [2]
    assert [one.tokens for one in steps] == [2 * i for i in range(1, len(steps) + 1)]
    assert [one.share for one in steps] == [i / len(steps) for i in range(1, len(steps) + 1)]
    assert (last.finished, last.n, last.share, last.progress) == (2, 2, 1.0, None)
    assert repr(steps[ROWS]) == f"<Update row 2 of {ROWS}, 0 of 2 finished, {2 * ROWS + 2} tokens, 31%>"


def test_a_share_is_of_all_batches(pipeline: Pipeline) -> None:
    stream = pipeline.stream(PROMPT, n=3, batch=2)
    shares = [one.share for one in stream]
    assert shares == sorted(shares)
    assert shares[ROWS * ROWS - 1] == pytest.approx(2 / 3)


def test_partial_pictures_come_row_by_row_and_are_grey_where_nothing_is_drawn(pipeline: Pipeline) -> None:
    shown = [one for one in pipeline.stream(PROMPT, n=2, seed=5, preview=True) if one.images is not None]
    assert len(shown) == ROWS
    for done, one in enumerate(shown, 1):
        assert list(one.images) == [0, 1]
        for image in one.images.values():
            pixels = np.asarray(image)
            assert pixels.shape == (SIDE, SIDE, 3)
            assert (pixels[done * CELL :] == GREY).all()
            assert not (pixels[: done * CELL] == GREY).all()
    whole = pipeline.generate(PROMPT, n=2, seed=5)
    assert [image.tobytes() for image in shown[-1].images.values()] == bytes_of(whole)


def test_without_preview_there_are_no_partial_pictures(pipeline: Pipeline) -> None:
    assert all(one.images is None for one in pipeline.stream(PROMPT))


def test_a_partial_infilling_is_grey_inside_the_box_alone(pipeline: Pipeline) -> None:
    pixels = picture(SIDE, SIDE)
    updates = list(pipeline.stream_infill(pixels, BOX, PROMPT, seed=2, preview=True))
    shown = [np.asarray(one.images[0]) for one in updates if one.images is not None]
    assert [one.rows for one in updates] == [2] * len(updates)
    assert len(shown) == 2
    assert (shown[0][8:12, 4:12] == GREY).all()
    assert not (shown[0][4:8, 4:12] == GREY).all()
    outside = np.ones((SIDE, SIDE), bool)
    outside[4:12, 4:12] = False
    assert all(np.array_equal(one[outside], pixels[outside]) for one in shown)
    assert updates[-1].result.images[0].tobytes() == pipeline.infill(pixels, BOX, PROMPT, seed=2).images[0].tobytes()


def test_captions_stream_too_and_have_no_rows(pipeline: Pipeline) -> None:
    *steps, last = pipeline.stream_caption(picture(20, 20), n=2, seed=3)
    assert {(one.row, one.rows) for one in steps} == {(0, 0)}
    assert last.result.texts == pipeline.caption(picture(20, 20), n=2, seed=3).texts
    assert steps[-1].finished == 2


def test_nothing_is_done_before_the_first_update_but_input_is_checked(registry: object, pipeline: Pipeline) -> None:
    watching = Watching()
    stream = assembled(registry, watching).stream(PROMPT)
    assert watching.seen == ["assembled"]
    next(stream)
    assert watching.seen[-1] == "started generate 1"
    for n, first, best_of in ((0, 0, 1), (1, -1, 1), (1, 0, 0), (2**31, 1, 1)):
        with pytest.raises(InputError):
            pipeline.stream(PROMPT, n=n, first=first, best_of=best_of)


def test_closing_early_is_safe_and_leaves_what_is_finished(registry: object) -> None:
    watching = Watching()
    pipeline = assembled(registry, watching)
    with pipeline.stream(PROMPT, n=2, seed=5) as stream:
        next(stream)
    assert list(stream) == []
    assert "finished generate" not in watching.seen
    assert stream.so_far().images == []
    with pytest.raises(InputError, match="at its end"):
        stream.result()
    pipeline.stream(PROMPT).close()
    again = pipeline.generate(PROMPT, n=2, seed=5)
    assert bytes_of(again) == bytes_of(pipeline.stream(PROMPT, n=2, seed=5).result())


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("no memory")], ids=repr)
def test_what_is_finished_stays_after_an_interruption(
    registry: object, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    broken = stopped(assembled(registry), monkeypatch, ROWS * ROWS + 3, error)
    stream = broken.stream(PROMPT, n=5, seed=5, batch=2)
    with pytest.raises(type(error)):
        stream.result()
    kept = stream.so_far()
    assert bytes_of(kept) == bytes_of(pipeline.generate(PROMPT, n=2, seed=5))
    assert (kept.samples, kept.record["interrupted"]) == ([0, 1], {"finished": 2, "of": 5})
    assert (kept.record["n"], kept.record["samples"]) == (5, [0, 1])


def test_samples_that_are_complete_in_the_batch_in_flight_are_finished_too(
    registry: object, pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = assembled(registry)
    monkeypatch.setattr("calumma.pipeline.drawing.decode_picture", fails_first(KeyboardInterrupt()))
    stream = broken.stream(PROMPT, n=2, seed=5)
    with pytest.raises(KeyboardInterrupt):
        stream.result()
    assert bytes_of(stream.so_far()) == bytes_of(pipeline.generate(PROMPT, n=2, seed=5))
    assert "interrupted" not in stream.so_far().record


def fails_first(error: BaseException) -> object:
    """`decode_picture`, but its second call raises."""
    calls: list[int] = []

    def decode(*args: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise error
        return decode_picture(*args)

    return decode


def test_the_first_picture_may_be_any(pipeline: Pipeline) -> None:
    four, rest = pipeline.generate(PROMPT, n=4, seed=3), pipeline.generate(PROMPT, n=2, seed=3, first=2)
    assert bytes_of(rest) == bytes_of(four)[2:]
    assert (rest.samples, four.samples, rest.record["first"]) == ([2, 3], [0, 1, 2, 3], 2)
    box = pipeline.infill(picture(SIDE, SIDE), BOX, PROMPT, n=2, seed=3)
    assert bytes_of(pipeline.infill(picture(SIDE, SIDE), BOX, PROMPT, seed=3, first=1)) == bytes_of(box)[1:]


def test_the_rest_of_a_run_has_files_of_its_own(pipeline: Pipeline, tmp_path: object) -> None:
    pipeline.generate(PROMPT, n=2, seed=3).save(tmp_path)
    pipeline.generate(PROMPT, n=2, seed=3, first=2).save(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    stems = ("", "-from-2")
    assert written == {f"a-red-disc-s3-{i}.png" for i in range(4)} | {
        f"a-red-disc-s3{stem}{end}" for stem in stems for end in (".json", "-sheet.png")
    }


def test_cells_of_an_image_that_cannot_be_told_have_no_rows(pipeline: Pipeline) -> None:
    document = tasks.text_to_image(PROMPT, (ROWS, ROWS))
    layout = pipeline.layout
    assert isinstance(layout, CM3LeonLayout)
    assert Cells(document, (ROWS, ROWS), layout.constraint(document)).rows == ROWS
    assert Cells(document, (ROWS, ROWS + 1), layout.constraint(document)).rows == 0
    assert isinstance(next(pipeline.stream(PROMPT)), Update)
