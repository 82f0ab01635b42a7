"""Completion as a shell asks for it: bash itself with the script sourced, zsh and fish by what their scripts send."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from calumma.cli.main import run

ASK = """
import sys
from calumma.cli.main import run
sys.argv = ["calumma"]
try:
    run()
except SystemExit as ended:
    print("CODE", ended.code, "HEAVY", *sorted(set(sys.modules) & {heavy!r}))
"""
HEAVY = {"torch", "faiss", "open_clip", "lance", "pyarrow", "transformers", "taming", "hnswlib", "tokenizers", "torchvision"}


def environment(**more: str) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {**os.environ, "PATH": scripts + os.pathsep + os.environ["PATH"], "TERM": "dumb", "INPUTRC": os.devnull, **more}


Ask = Callable[..., tuple[list[str], int, str]]
Found = Callable[[str, Path], list[str]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """Asks as a shell's script does: `ask(shell, folder, line)` gives (lines, exit code, stderr)."""

    def asked(shell: str, cwd: Path, line: str, action: str = "get-args") -> tuple[list[str], int, str]:
        variables = {"_CALUMMA_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
        variables |= {"_TYPER_COMPLETE_FISH_ACTION": action, "COMP_WORDS": line.replace(" ", "\n"), "COMP_CWORD": "9"}
        with monkeypatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["calumma"])
            patch.chdir(cwd)
            with pytest.raises(SystemExit) as stopped:
                run()
        out, err = capfd.readouterr()
        return [one for one in out.splitlines() if one], int(stopped.value.code or 0), err

    return asked


@pytest.fixture
def found(ask: Ask) -> Found:
    """What fish would offer for a line, without the help."""

    def offered(line: str, cwd: Path) -> list[str]:
        lines, _, err = ask("fish", cwd, line)
        assert err == ""
        return [one.partition("\t")[0] for one in lines]

    return offered


# --- a real bash ---


class Bash:
    """An interactive bash in a terminal, with the script of --show-completion."""

    def __init__(self, cwd: Path) -> None:
        self.terminal, inside = pty.openpty()
        command = ["bash", "--norc", "--noprofile", "-i"]
        self.process = subprocess.Popen(
            command, stdin=inside, stdout=inside, stderr=inside, cwd=cwd, env=environment(), start_new_session=True
        )
        os.close(inside)
        self.said = ""
        os.write(self.terminal, b"stty cols 500; eval \"$(calumma --show-completion; true)\"; echo rea''dy\n")
        self.until(r"^ready\r?$")

    def completed(self, typed: str) -> str:
        """The line after TAB, with `|` where the cursor is: bash is made to echo it in place of running it."""
        os.write(self.terminal, typed.encode() + b"\t\x05'|'\x01echo so: \n")
        return self.until(r"^so: (.*?)\r?$")[1]

    def until(self, pattern: str) -> re.Match[str]:
        end = time.monotonic() + 60
        while (match := re.search(pattern, self.said, re.MULTILINE)) is None:
            assert time.monotonic() < end, self.said
            if select.select([self.terminal], [], [], 1)[0]:
                self.said += os.read(self.terminal, 65536).decode()
        self.said = self.said[match.end() :]
        return match


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with a registry of its own, a picture, and a registry that is broken."""
    folder = tmp_path_factory.mktemp("completion")
    (folder / "picture.png").write_bytes(b"")
    (folder / "registry.yaml").write_text(
        "calumma: 1\ninclude: ['calumma:registry.yaml']\n"
        "banks: {mine: {path: mine.bank}}\n"
        "components: {sampler: {bold: {extends: nucleus, temperature: 0.7}}}\n"
        "pipelines: {bold: {extends: default, sampler: bold}}\n"
    )
    (folder / "broken.yaml").write_text("calumma: [1\n\t: {")
    return folder


@pytest.fixture(scope="module")
def bash(folder: Path) -> Iterator[Bash]:
    shell = Bash(folder)
    yield shell
    shell.process.kill()
    shell.process.wait()
    os.close(shell.terminal)


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("calumma gen", "calumma generate |"),
        ("calumma plugins sh", "calumma plugins show |"),
        ("calumma generate x --pipel", "calumma generate x --pipeline |"),
        ("calumma generate x --pipeline bo", "calumma generate x --pipeline bold |"),
        ("calumma generate x --bank mi", "calumma generate x --bank mine |"),
        ("calumma generate x --swap samp", "calumma generate x --swap sampler=|"),
        ("calumma generate x --swap sampler=bo", "calumma generate x --swap sampler=bold |"),
        ("calumma generate x --swap retriever=hnswl", "calumma generate x --swap retriever=hnswlib/hnsw |"),
        ("calumma generate x --swap=sampler=bo", "calumma generate x --swap=sampler=bold |"),
        ("calumma generate x --set sampler.top_k", "calumma generate x --set sampler.top_k=|"),
        (
            "calumma generate --pipeline bold --set sampler.temperature=",
            "calumma generate --pipeline bold --set sampler.temperature=0.7 |",
        ),
        (
            "calumma generate --swap sampler=bold --set sampler.temperature=",
            "calumma generate --swap sampler=bold --set sampler.temperature=0.7 |",
        ),
        ("calumma generate 'a red' --device cu", "calumma generate a red --device cuda |"),
        ("calumma plugins show hnswlib/", "calumma plugins show hnswlib/hnsw |"),
        ("calumma bank search mi", "calumma bank search mine |"),
        ("calumma caption pict", "calumma caption picture.png |"),
        ("calumma generate x --registry broken.yaml --swap samp", "calumma generate x --registry broken.yaml --swap samp|"),
        ("calumma paint --sw", "calumma paint --sw|"),
    ],
)
def test_bash_completes(bash: Bash, typed: str, line: str) -> None:
    assert bash.completed(typed) == line


# --- what the scripts of zsh and fish send ---


def test_fish_is_offered_values_of_the_registry_in_use(folder: Path, found: Found) -> None:
    assert found("calumma generate x --pipeline ", folder) == ["default", "no-retrieval", "exact", "faiss", "bold"]
    assert found("calumma generate x --bank ", folder) == ["starter", "held-out", "mine"]
    assert found("calumma generate x --swap sampler=", folder) == [
        "sampler=nucleus",
        "sampler=jacobi",
        "sampler=contrastive",
        "sampler=mixture",
        "sampler=bold",
        "sampler=sampling/nucleus",
        "sampler=sampling/jacobi",
        "sampler=sampling/mixture",
    ]
    slots = {one.partition("=")[0] for one in found("calumma generate x --swap ", folder)}
    assert slots == {"image_tokenizer", "text_tokenizer", "embedder", "retriever", "selection", "decoder", "sampler"}
    assert "retriever.ef_search=" in found("calumma generate x --set retriever.", folder)
    assert found("calumma generate x --set selection.part_cap", folder) == ["selection.part_cap=", "selection.part_cap=0.998"]


def test_fish_is_offered_names_of_plugins_components_and_kinds(folder: Path, found: Found) -> None:
    named = found("calumma plugins show ", folder)
    assert {"exact", "starter", "exact/flat", "sampling/top-p"} <= set(named)
    assert "rule" in found("calumma plugins new x --kind ", folder)
    assert "sampling" in found("calumma generate x --plugin ", folder)


def test_every_verb_is_offered_with_its_help_and_its_own_verbs(folder: Path, ask: Ask, found: Found) -> None:
    lines, _, _ = ask("fish", folder, "calumma ")
    assert dict(line.split("\t") for line in lines)["infill"] == "Draw the inside of a box of a picture anew."
    assert found("calumma registry ", folder) == ["validate", "show", "schema"]
    assert {"list", "show", "new"} <= set(found("calumma plugins ", folder))
    assert {"build", "search", "info"} <= set(found("calumma bank ", folder))


def test_fish_asks_by_the_exit_code_whether_there_is_anything(folder: Path, ask: Ask) -> None:
    for line, code in (("calumma generate x --bank m", 0), ("calumma caption pict", 1)):
        assert ask("fish", folder, line, "is-args") == ([], code, "")


def test_zsh_is_given_an_expression_with_help_or_files(folder: Path, ask: Ask) -> None:
    lines, code, err = ask("zsh", folder, "calumma generate x --bank m")
    assert (lines, code, err) == ([r"""_arguments '*: :(("mine":"mine.bank"))'"""], 0, "")
    assert ask("zsh", folder, "calumma caption pict")[0] == ["_files"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize("option", ["--swap ", "--set sampler.", "--bank ", "--pipeline "])
def test_a_broken_registry_gives_no_values_and_no_words(folder: Path, ask: Ask, shell: str, option: str) -> None:
    lines, _, err = ask(shell, folder, f"calumma generate x --registry broken.yaml {option}")
    assert (lines, err) == ([], "")


@pytest.mark.parametrize(
    "line", ["calumma", "calumma generate 'a red", "calumma generate --", "calumma paint x", "calumma  --x ="]
)
def test_an_odd_line_never_fails_loudly(folder: Path, ask: Ask, line: str) -> None:
    for shell in ("bash", "zsh", "fish"):
        lines, _, err = ask(shell, folder, line)
        assert err == ""
        assert "Traceback" not in "".join(lines)


def test_a_local_plugin_is_not_run_to_complete_a_word(tmp_path: Path, found: Found) -> None:
    (tmp_path / "mine.py").write_text("open('it-ran', 'w')\n")
    lines = "calumma: 1\ninclude: ['calumma:registry.yaml']\nplugins: {local: [./mine.py]}\n"
    (tmp_path / "registry.yaml").write_text(lines)
    assert "retriever=exact" in found("calumma generate x --allow-local --swap retr", tmp_path)
    assert found("calumma generate x --allow-local --set samp", tmp_path) == []
    assert not (tmp_path / "it-ran").exists()


def test_a_plugin_that_prints_or_breaks_when_imported_leaves_no_trace(folder: Path, tmp_path: Path) -> None:
    info = tmp_path / "calumma_loud-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: calumma-loud\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[calumma.plugins.v1]\nloud = loud_plugin\n")
    (tmp_path / "loud_plugin.py").write_text("import os\nprint('loud')\nos.write(1, b'loud')\nos.write(2, b'loud')\n1 / 0\n")
    line = {"_CALUMMA_COMPLETE": "complete_fish", "_TYPER_COMPLETE_ARGS": "calumma plugins show exact/"}
    sent = environment(PYTHONPATH=str(tmp_path), **line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    done = subprocess.run([sys.executable, "-m", "calumma"], cwd=folder, env=sent, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("exact/flat\tretriever\n", "")


@pytest.mark.parametrize(
    "line", ["calumma gen", "calumma generate x --swap retriever=", "calumma generate x --set sampler.top"]
)
def test_completing_imports_nothing_heavy(folder: Path, line: str) -> None:
    sent = environment(_CALUMMA_COMPLETE="complete_fish", _TYPER_COMPLETE_ARGS=line, _TYPER_COMPLETE_FISH_ACTION="get-args")
    code = ASK.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=sent, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) > 1
    assert done.stdout.splitlines()[-1] == "CODE 0 HEAVY"


# --- its script ---


@pytest.mark.parametrize(("shell", "place"), [("bash", ".bash_completions/calumma.sh"), ("zsh", ".zfunc/_calumma"),
                                              ("fish", ".config/fish/completions/calumma.fish")])  # fmt: skip
def test_the_script_is_shown_and_installed_for_the_shell_that_is_named(tmp_path: Path, shell: str, place: str) -> None:
    called, home = [sys.executable, "-m", "calumma"], environment(HOME=str(tmp_path))
    shown = subprocess.run([*called, "--show-completion", shell], env=home, capture_output=True, text=True, check=True)
    assert "_CALUMMA_COMPLETE=complete_" + shell in shown.stdout
    again = subprocess.run([*called, f"--show-completion={shell}"], env=home, capture_output=True, text=True, check=True)
    assert again.stdout == shown.stdout
    subprocess.run([*called, "--install-completion", shell], env=home, capture_output=True, text=True, check=True)
    assert (tmp_path / place).read_text().strip() == shown.stdout.strip()


def test_a_shell_that_has_no_script_is_refused_by_name(here: Path) -> None:
    called = [sys.executable, "-m", "calumma", "--install-completion", "tcsh"]
    refused = subprocess.run(called, env=environment(HOME=str(here)), capture_output=True, text=True)
    assert refused.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in refused.stderr
    assert list(here.iterdir()) == []
