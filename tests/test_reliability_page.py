"""docs/reliability.md: the tests that it names are there, and its script prints what it says."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from commands import succeeded
from stores import ROOT

from fastbp.__main__ import COMMANDS

PAGE = (ROOT / "docs" / "reliability.md").read_text()


def test_every_promise_names_a_test_that_is_there():
    promises = PAGE.partition("## What is promised")[2].partition("\n## ")[0]
    rows = [
        line for line in promises.splitlines() if line.startswith("| ") and "tested in" not in line
    ]
    assert len(rows) > 10
    for row in rows:
        named = re.findall(r"`(tests/[\w/.]+)`", row.rsplit("|", 2)[1])
        assert named, row
        for path in named:
            assert (ROOT / path).exists(), path


def test_commands_that_it_names_are_there():
    assert set(re.findall(r"`fastbp (\w+)", PAGE)) <= set(COMMANDS)


@pytest.mark.soak  # each of its steps has tests of its own in tests/faults
@pytest.mark.jit
@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
def test_its_script_prints_what_it_says(tmp_path):
    pytest.importorskip("distributed")
    (tmp_path / "python").symlink_to(sys.executable)
    environment = os.environ | {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), *sys.path])),
        "TMPDIR": str(tmp_path),
    }
    done = succeeded(
        subprocess.run(
            ["bash", ROOT / "docs" / "reliability.sh"],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=400,
        )
    )
    (shown,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert done.stdout.strip() == shown.strip()
