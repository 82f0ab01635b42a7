"""The reader is strict: a page that says what is not so fails, whatever the block."""

from __future__ import annotations

from pathlib import Path

import pytest
from blocks import blocks
from expected import holds, matches, subset
from reader import Reader


def read(page: str, folder: Path) -> Reader:
    (folder / "here").mkdir()
    reader = Reader(page, folder / "here", folder)
    reader.read()
    return reader


SHOW = "```sh\ncalumma plugins show exact/flat --json\n```"
REGISTRY = "calumma: 1\ninclude: [calumma:registry.yaml]\n"
RIGHT = {
    "what was printed": "```python\nprint('a 1')\n```\n\n```text\na ...\n```",
    "names of earlier blocks": "```python\na = 1\n```\n\n```python\nassert a == 1\n```",
    "a file and its excerpt": "In `a.toml`:\n\n```toml\n[a]\nb = 1\nc = 2\n```\n\n`a.toml` says:\n\n```toml\nb = 1\n```",
    "a change": "In `a.py`:\n\n```python\na = 1\n\nb = 2\n```\n\nIn `a.py`:\n\n```diff\n a = 1\n\n-b = 2\n+b = 3\n```",
    "the command": "```sh\ncalumma --version\n```\n\n```text\n0...\n```",
    "a command that is to fail": "```sh\ncalumma generate  # exit code 2\n```",
    "JSON of a command": f'{SHOW}\n\n```json\n{{"id": "exact/flat", "licence": "..."}}\n```',
    "a registry": f"In `a.yaml`:\n\n```yaml\n{REGISTRY}```",
    "a wrong registry": "In `wrong.yaml`:\n\n```yaml\ncalumma: 2\n```",
    "folders": "```sh\nmkdir a && cd a\nls\n```\n\n```python\nimport os\nassert os.getcwd().endswith('a')\n```",
}
WRONG = {
    "other output": "```python\nprint('a 2')\n```\n\n```text\na 1\n```",
    "output of nothing": "```text\na\n```",
    "an exception": "```python\n1 / 0\n```",
    "a command that fails": "```sh\ncalumma generate\n```",
    "a command that should fail": "```sh\ncalumma --version  # exit code 2\n```",
    "a command nobody runs": "```sh\ncurl example.org\n```",
    "a folder that is not there": "```sh\ncd a\n```",
    "an excerpt that is none": "In `a.toml`:\n\n```toml\nb = 1\n```\n\n`a.toml` says:\n\n```toml\nb = 2\n```",
    "a change of other lines": "In `a.py`:\n\n```python\na = 1\n```\n\nIn `a.py`:\n\n```diff\n-b = 2\n+b = 3\n```",
    "data without a file": "```yaml\na: 1\n```",
    "data that cannot be parsed": "In `a.toml`:\n\n```toml\na = = 1\n```",
    "a registry with a mistake": f"In `a.yaml`:\n\n```yaml\n{REGISTRY}pipelines: {{a: {{extends: no-such}}}}\n```",
    "a wrong registry that is right": f"In `wrong.yaml`:\n\n```yaml\n{REGISTRY}```",
    "other JSON": f'{SHOW}\n\n```json\n{{"id": "exact/other"}}\n```',
}


@pytest.mark.parametrize("page", RIGHT.values(), ids=RIGHT)
def test_a_page_that_is_right_is_read_to_its_end(page: str, tmp_path: Path) -> None:
    read(page, tmp_path)


@pytest.mark.parametrize("page", WRONG.values(), ids=WRONG)
def test_a_page_that_is_wrong_fails_and_says_on_which_line(page: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"line \d+"):
        read(page, tmp_path)


@pytest.mark.parametrize(
    "page",
    ["```\na\n```", "```rust\na\n```", "- a\n\n  ```sh\n  calumma\n  ```", "~~~sh\ncalumma\n~~~", "```sh\ncalumma"],
    ids=["no language", "unknown language", "indented", "tildes", "unclosed"],
)
def test_a_block_that_nobody_would_run_is_no_block(page: str) -> None:
    with pytest.raises(ValueError):
        blocks(page)


def test_commands_do_not_reach_the_home_of_who_runs_the_tests(tmp_path: Path) -> None:
    read("```sh\ncalumma --install-completion bash\n```", tmp_path)
    assert "calumma" in (tmp_path / ".bashrc").read_text()


def test_three_dots_stand_for_anything_and_nothing_else_does() -> None:
    assert matches("a ... c\n...\nd", "a  b c\nx\ny\nd\n")
    assert matches("...\nd", "d")
    assert not matches("a ... c", "a b")
    assert not matches("a", "a\nb")
    assert not matches("a\n...\nd", "a\nx")
    assert holds("b\nc", "a\nb\nc\nd")
    assert not holds("b\nd", "a\nb\nc\nd")
    assert subset({"a": [1, "..."]}, {"a": [1, 2], "b": 3})
    assert not subset({"a": [1]}, {"a": [1, 2]})
    assert not subset({"c": 1}, {"a": 1})
