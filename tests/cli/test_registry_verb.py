"""calumma registry, run in this process."""

from __future__ import annotations

import json

import pytest

from calumma.cli.main import run
from calumma.registry import shipped


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `calumma WORDS`; gives (exit code, stdout, stderr)."""

    def one(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["calumma", *words])
        with pytest.raises(SystemExit) as ended:
            run()
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return one


def test_a_right_registry_is_ok(call):
    assert call("registry", "validate", str(shipped())) == (0, f"{shipped()}: ok\n", "")
    code, out, _ = call("registry", "validate", str(shipped()), "--json")
    assert (code, json.loads(out)) == (0, {"ok": True, "errors": []})


def test_mistakes_are_listed_with_their_lines_and_exit_2(call, tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("calumma: 1\ncomponents:\n  retriever:\n    a: {use: exact/flat, blok: 1}\npipelins: {}\n")
    code, out, _ = call("registry", "validate", str(file), "--json")
    answer = json.loads(out)
    assert (code, answer["ok"]) == (2, False)
    assert [(error["line"], error["column"], error["path"]) for error in answer["errors"]] == [
        (4, 26, "components.retriever.a.blok"),
        (5, 1, "pipelins"),
    ]
    assert set(answer["errors"][0]) == {"file", "line", "column", "path", "message"}
    code, out, err = call("registry", "validate", str(file))
    assert code == 2
    assert f"{file}:4:26: components.retriever.a.blok: unknown option 'blok'. Did you mean 'block'?" in err


def test_a_missing_file_is_told(call, tmp_path):
    code, out, _ = call("registry", "validate", str(tmp_path / "no.yaml"), "--json")
    assert (code, json.loads(out)["errors"][0]["line"]) == (2, 0)


def test_show_says_where_each_value_came_from(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    flags = ["--pipeline", "exact", "--swap", "retriever=hnsw", "--set", "sampler.top_p=1e-1"]
    code, out, _ = call("registry", "show", *flags)
    assert code == 0
    assert "  top_p: 0.1                                      # --set sampler.top_p" in out.splitlines()
    assert any(line.startswith("  M: 32") and "registry.yaml:" in line for line in out.splitlines())
    assert any(line.startswith("  ef_construction: 200") and line.endswith("# default") for line in out.splitlines())
    facts = json.loads(call("registry", "show", *flags, "--json")[1])
    assert facts["slots"]["sampler"]["options"]["top_p"] == {"value": 0.1, "origin": "--set sampler.top_p"}


def test_a_wrong_flag_is_one_sentence(call):
    code, out, _ = call("registry", "show", "--set", "sampler.topp=1", "--json")
    assert (code, json.loads(out)["error"]["message"]) == (
        2,
        "--set sampler.topp: sampler.topp: unknown option 'topp'. Did you mean 'top_p'?",
    )
    assert call("registry", "show", "--set", "sampler.top_p=[")[0] == 2
    assert call("registry", "show", "--set", "sampler.top_p")[0] == 2


def test_the_schema_is_json(call):
    code, out, _ = call("registry", "schema")
    assert (code, json.loads(out)["title"]) == (0, "Calumma registry")
