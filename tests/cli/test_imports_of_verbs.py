"""What only looks costs little: no verb that does not run a model imports one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from calumma.registry import shipped

HEAVY = ("torch", "faiss", "open_clip", "lance", "pyarrow", "transformers", "taming", "hnswlib", "tokenizers", "torchvision")
SCRIPT = """
import sys
from calumma.cli.main import run
sys.argv = ["calumma", *sys.argv[1:]]
try:
    run()
except SystemExit as ended:
    assert not ended.code, ended.code
print("HEAVY", *sorted(set(sys.modules) & set({heavy!r})), file=sys.stderr)
"""


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["generate", "--help"],
        ["caption", "--help"],
        ["infill", "--help"],
        ["bank", "--help"],
        ["plugins", "list"],
        ["plugins", "show", "openclip/clip"],
        ["registry", "validate", str(shipped())],
        ["registry", "show"],
        ["registry", "schema"],
    ],
    ids=" ".join,
)
def test_a_verb_that_only_looks_imports_nothing_heavy(words):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(heavy=HEAVY), *words], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr.splitlines()[-1].split() == ["HEAVY"]
