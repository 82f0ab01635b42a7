"""Pictures while they are drawn: what the bar says, the preview, and what is kept when it is interrupted."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calumma.cli.output import note, print_json, progress_bar

if TYPE_CHECKING:
    from calumma.pipeline import Result, Stream, Update
    from calumma.pipeline.result import Saved, Saver

INTERRUPTED = 130  # as shells number what SIGINT ended


def draw(stream: Stream, folder: Path, as_json: bool, description: str) -> None:
    """Draws to the end, writes every picture as soon as it is finished, and says where.

    Interrupted, it writes what is finished, says so, and exits with 130. An error passes through; what was finished is kept.
    """
    from calumma.pipeline.result import Saver

    saver = Saver(folder, stream.stem)
    try:
        result = _drawn(stream, saver, as_json, description)
        saved = saver.result(result)
    except KeyboardInterrupt:
        stream.close()
        kept = stream.so_far()
        if not kept.images:
            note("calumma: Interrupted before the first picture was finished; nothing is written.")
        else:
            _report(kept, saver.result(kept), as_json)
            note(f"calumma: {_went(kept, folder)}")
        sys.exit(INTERRUPTED)  # typer would take its own Exit for an interruption that nobody told of
    except Exception:
        with suppress(Exception):  # the first error is the one to tell
            kept = stream.so_far()
            if kept.images:
                saver.result(kept)
        raise
    finally:
        saver.without_preview()
    _report(result, saved, as_json)


def summary(result: Result) -> dict[str, Any]:
    """What every verb's JSON says of a result."""
    retrieved = [{"id": one.document.id, "text": one.document.text, "score": one.score} for one in result.retrieved]
    return {"retrieved": retrieved, "seconds": round(result.timings["total"], 3)}


@contextmanager
def drawing_bar(description: str, as_json: bool, what: str = "pictures") -> Iterator[Callable[[Update], None]]:
    """Shows a bar on a terminal while it is open, never under --json; gives what to call with each update."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with progress_bar(description, *columns, shown=not as_json) as bar:
        task = bar.add_task(description, total=None, said="getting ready")
        first: list[tuple[float, int]] = []

        def show(update: Update) -> None:
            now = time.monotonic()
            if not first:  # what came before it was reading the prompt
                first.append((now, update.tokens))
            seconds = now - first[0][0]
            speed = (update.tokens - first[0][1]) / seconds if seconds > 0 else 0.0
            bar.update(task, completed=update.share, total=1.0, said=said(update, speed, what))

        yield show


def said(update: Update, speed: float, what: str) -> str:
    """The words beside the bar, such as "row 5 of 8, 32 of 64 pictures, 812 tokens/s"."""
    facts = [f"row {update.row} of {update.rows}"] if update.rows else []
    facts.append(f"{update.finished} of {update.n} {what}")
    facts += [f"{speed:.0f} tokens/s"] if speed else []
    return ", ".join(facts)


def _drawn(stream: Stream, saver: Saver, as_json: bool, description: str) -> Result:
    from calumma.pipeline.sheet import drawing_sheet

    with drawing_bar(description, as_json) as show:

        def watch(update: Update) -> None:
            for sample, image in update.drawn.items():
                saver.picture(sample, image)
            if update.images is not None:
                saver.preview(drawing_sheet(update.images, said(update, 0, "pictures")))
            show(update)

        return stream.result(watch)


def _report(result: Result, saved: Saved, as_json: bool) -> None:
    if as_json:
        interrupted = {key: one for key, one in result.record.items() if key == "interrupted"}
        best = {"samples": result.samples, "scores": result.scores} if result.scores else {}
        images = [str(path) for path in saved.images]
        print_json({"images": images, **best, **summary(result), "record": str(saved.record), **interrupted})
        return
    for one in result.retrieved:
        note(f"retrieved {one.score:.3f}  {one.document.id}  {one.document.text}")
    for sample, score in zip(result.samples, result.scores, strict=False):
        note(f"kept sample {sample}, score {score:.3f}")
    note(f"drew {len(saved.images)} in {result.timings['total']:.1f} s; contact sheet: {saved.sheet}")
    for path in saved.images:
        print(path)


def _went(result: Result, folder: Path) -> str:
    """What an interrupted run has kept, and how to draw the rest of it."""
    record = result.record
    asked, first = record["n"], record.get("first", 0)
    group = len(record["best_of"][0]["samples"]) if "best_of" in record else 1
    have = {sample // group for sample in result.samples}
    rest = [i for i in range(first, first + asked) if i not in have]
    going_on = f"; the same command with `--first {rest[0]} -n {first + asked - rest[0]}` draws the rest" if rest else ""
    return f"Interrupted: {len(have)} of {asked} pictures are finished and lie in {folder}{going_on}."
