"""calumma bank search: the documents nearest to a text, a picture, both, or a vector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from calumma.cli.bank.arguments import BankArgument, JsonOption, RegistryOption, VersionOption, open_bank, retriever_of
from calumma.cli.output import note, print_json
from calumma.errors import InputError

if TYPE_CHECKING:
    from calumma.interfaces import Vectors

MAX_VECTOR = 2**24


def search_bank(
    bank: BankArgument,
    text: Annotated[str, typer.Argument(help="What to look for.")] = "",
    k: Annotated[int, typer.Option("-k", min=1, max=10_000, help="How many documents to show.")] = 5,
    image: Annotated[Path | None, typer.Option("--image", help="A picture to look for; with a text, the mean of both.")] = None,
    vector: Annotated[Path | None, typer.Option("--vector", help="A .npy file: one vector of the bank's embedder.")] = None,
    where: Annotated[str | None, typer.Option("--where", help="A condition on metadata, such as \"style = 'noto'\".")] = None,
    retriever: Annotated[
        str | None, typer.Option("--retriever", help="An engine by registry name or id; by default every document is scored.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option("--sheet", help="Write a contact sheet of what was found (PNG).")] = None,
    at: VersionOption = None,
    registry: RegistryOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the documents nearest to a text or a picture, by the bank's own embedder."""
    from calumma.documents.pictures import read_picture
    from calumma.documents.printing import printable

    opened = open_bank(bank, at)
    pixels = None if image is None else read_picture(image)
    given = None if vector is None else _vector(vector)
    engine = None if retriever is None else retriever_of(retriever, registry)
    found = opened.search(text or None, k, image=pixels, vector=given, where=where, retriever=engine)
    hits = [{"id": one.document.id, "text": one.document.text, "score": round(one.score, 6)} for one in found]
    if sheet is not None:
        from calumma.documents.pictures import write_png
        from calumma.pipeline.sheet import hits_sheet

        write_png(sheet, hits_sheet(found, text or str(image or vector), pixels))
        note(f"contact sheet: {sheet}")
    if as_json:
        print_json({"hits": hits, **({} if sheet is None else {"sheet": str(sheet)})})
        return
    for hit in hits:
        print(printable(f"{hit['score']:.4f}  {hit['id']}  {hit['text']}"))
    if not hits:
        note("nothing was found")


def _vector(path: Path) -> Vectors:
    import io

    import numpy as np

    from calumma.files import read_file

    try:
        numbers = np.load(io.BytesIO(read_file(path, MAX_VECTOR)), allow_pickle=False)
        return np.asarray(numbers, np.float32).squeeze()
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise InputError(f"{path} holds no array of numbers.", "Write one with numpy.save.") from error
