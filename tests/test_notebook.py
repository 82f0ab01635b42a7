"""The notebook runs from top to bottom, shows pictures, and is stored without what it showed."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import nbformat
import PIL.Image
import pytest
from nbclient import NotebookClient

FILE = Path(__file__).parent.parent / "examples/notebooks/first-pictures.ipynb"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def cells(folder: Path) -> list[Any]:
    """The code cells after a run in an empty folder."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, str(folder / "jupyter"))
        notebook = nbformat.read(FILE, as_version=4)
        NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: Any, kind: str) -> list[str]:
    """What a cell displayed, of one MIME type."""
    return [output.data[kind] for output in cell.outputs if "data" in output and kind in output.data]


def named(cells: list[Any], word: str) -> Any:
    """The one cell whose last line has that word."""
    (found,) = [cell for cell in cells if word in cell.source.splitlines()[-1]]
    return found


def picture(cell: Any) -> PIL.Image.Image:
    (data,) = shown(cell, "image/png")
    return PIL.Image.open(io.BytesIO(base64.b64decode(data)))


def test_it_is_stored_without_outputs() -> None:
    notebook = nbformat.read(FILE, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_no_cell_complains(cells: list[Any]) -> None:
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    said = [output.text for output in outputs if output.get("name") == "stderr"]
    assert [text for text in said if "IProgress not found" not in text] == []  # tqdm's, where ipywidgets is not installed


def test_results_are_shown_as_pictures_with_captions(cells: list[Any]) -> None:
    for cell, pictures in ((cells[1], 4), (cells[4], 2), (named(cells, ".infill("), 5)):
        (html,) = shown(cell, "text/html")
        assert html.count("<img ") == pictures
        assert picture(cell).width >= 420
    assert "red heart, twitter style" in shown(cells[1], "text/html")[0]


def test_a_retrieved_picture_and_a_contact_sheet_are_shown(cells: list[Any]) -> None:
    assert picture(named(cells, "document.image")).size == (64, 64)
    assert picture(named(cells, "contact_sheet(")).height > 3 * 128


def test_a_pipeline_is_shown_as_a_table_and_captions_as_a_list(cells: list[Any]) -> None:
    assert shown(cells[0], "text/html")[0].count("<tr>") == 8
    assert shown(named(cells, ".caption("), "text/html")[0].count("<li>") == 3


def test_what_it_keeps_is_there(cells: list[Any], folder: Path) -> None:
    kept = sorted(path.name for path in (folder / "out").iterdir())
    stem = "red-heart-twitter-style-s1"
    assert kept == [f"{stem}-0.png", f"{stem}-1.png", f"{stem}-sheet.png", f"{stem}.json"]
