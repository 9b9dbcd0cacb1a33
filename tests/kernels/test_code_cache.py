"""The cache of compiled code on disk."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp
from fastbp.kernels.code_cache import _Files


def test_two_processes_that_save_at_once_never_take_each_others_code(tmp_path, monkeypatch):
    """Both have read the index before either writes it, and one writes its code while the other is
    about to."""
    one, other, later = (_Files(str(tmp_path), "advance", "stamp") for _ in range(3))
    write = one._save_data

    def interrupted(name: str, data: object) -> None:
        other.save("b", "code of b")
        write(name, data)

    monkeypatch.setattr(one, "_save_data", interrupted)
    monkeypatch.setattr(other, "_load_index", dict)
    one.save("a", "code of a")
    assert later.load("a") in (None, "code of a")
    assert later.load("b") == "code of b"


def test_a_file_that_is_gone_is_compiled_again(tmp_path):
    files = _Files(str(tmp_path), "advance", "stamp")
    files.save("a", "code of a")
    assert files.load("a") == "code of a"
    for file in tmp_path.glob("*.nbc"):
        file.unlink()
    assert files.load("a") is None


PARTS = """
import sys
from fastbp.kernels.jit import kernel, shared

def made(n):
    @shared
    def part(x):
        return x + n

    @kernel
    def whole(x):
        return n * part(x)

    return whole

print(*(made(int(n))(0) for n in sys.argv[1:]))
"""


@pytest.mark.jit
def test_code_that_several_processes_compiled_never_calls_each_others_parts(tmp_path):
    """Names of parts are those of one process, and the linker takes the first of a name for all."""
    (tmp_path / "parts.py").write_text(PARTS)
    environment = os.environ | {
        "FASTBP_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(Path(fastbp.__file__).parents[1]),
    }

    def made(*numbers):
        command = [sys.executable, tmp_path / "parts.py", *numbers]
        return subprocess.run(
            command, env=environment, capture_output=True, check=True, text=True
        ).stdout.split()

    assert (made("3"), made("5")) == (["9"], ["25"])
    before = sorted((tmp_path / "cache").rglob("*.nbc"))
    assert made("3", "5") == ["9", "25"]
    assert sorted((tmp_path / "cache").rglob("*.nbc")) == before, "all was loaded"
