"""The cache of compiled code on disk, and the versions of Numba that it knows."""

import errno
import importlib
import sys
import tomllib
from functools import reduce
from importlib.metadata import version
from pathlib import Path

import pytest
from commands import command, environment, raising, succeeded
from stores import ROOT

from fastbp.kernels.code_cache import END_NUMBA, MIN_NUMBA, is_tested_numba, seal, unsealed


def test_two_processes_that_save_at_once_leave_the_code_of_one_of_them(tmp_path, monkeypatch):
    """One writes its code while the other is about to."""
    file, write = tmp_path / "advance.nbc", Path.write_bytes

    def interrupted(path: Path, content: bytes) -> int:
        monkeypatch.setattr(Path, "write_bytes", write)
        seal(file, b"code of the other")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", interrupted)
    seal(file, b"code of one")
    assert (unsealed(file), list(tmp_path.iterdir())) == (b"code of one", [file])


def test_a_disk_that_is_full_leaves_no_part_of_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "replace", raising(OSError(errno.ENOSPC, "no space left")))
    with pytest.raises(OSError, match="no space left"):
        seal(tmp_path / "advance.nbc", b"code")
    assert not list(tmp_path.iterdir())


PARTS = """
import sys
from fastbp.kernels.jit import kernel, shared

def made(n):
    @shared
    def part(x):
        return x + n

    @kernel(n)
    def whole(x):
        return n * part(x)

    return whole

print(*(made(int(n))(0) for n in sys.argv[1:]))
"""


@pytest.mark.jit
def test_code_that_several_processes_compiled_never_calls_each_others_parts(tmp_path):
    """Names of parts are those of one process, and the linker takes the first of a name for all."""
    (tmp_path / "parts.py").write_text(PARTS)
    env = environment(FASTBP_CACHE_DIR=str(tmp_path / "cache"))

    def made(*numbers):
        done = command(*numbers, cwd=tmp_path, program=[sys.executable, "parts.py"], env=env)
        return succeeded(done).stdout.split()

    assert (made("3"), made("5")) == (["9"], ["25"])
    before = sorted((tmp_path / "cache").rglob("*.nbc"))
    assert made("3", "5") == ["9", "25"]
    assert sorted((tmp_path / "cache").rglob("*.nbc")) == before, "all was loaded"


# Versions of Numba

PRIVATE = {
    "numba._dynfunc:make_function": "parts of kernels cannot be looked up",
    "numba.core.bytecode:FunctionIdentity._unique_ids": "parts of two processes may share a name",
    "numba.core.ccallback:CFunc.compile": "functions called by address cannot be kept",
    "numba.core.codegen:JITCodeLibrary._finalize_dynamic_globals": "parts cannot be finished",
    "numba.core.codegen:JITCodeLibrary._finalize_final_module": "parts become machine code",
    "numba.core.codegen:JITCodeLibrary._optimize_final_module": "parts are optimised twice",
    "numba.core.compiler:CompileResult._rebuild": "no compiled code can be loaded",
    "numba.core.compiler:CompileResult._reduce": "no compiled code can be kept",
    "numba.core.compiler:DefaultPassBuilder.define_nopython_pipeline": "no pipeline for parts",
    "numba.core.serialize:dumps": "no compiled code can be kept",
    "numba.core.typed_passes:NativeLowering.run_pass": "no last step for parts",
}
"""What `code_cache` uses of Numba's private API, and what breaks in a version without it."""


@pytest.mark.parametrize("name", PRIVATE)
def test_numba_has_the_private_api_that_the_cache_uses(name):
    module, _, path = name.partition(":")
    try:
        reduce(getattr, path.split("."), importlib.import_module(module))
    except (ImportError, AttributeError):
        pytest.fail(f"this Numba has no {name}: {PRIVATE[name]}; lower END_NUMBA or adapt to it")


def test_the_bounds_of_numba_are_those_of_the_installation():
    (numba,) = (
        line
        for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        if line.startswith("numba")
    )
    low, high = (".".join(map(str, bound)) for bound in (MIN_NUMBA, END_NUMBA))
    assert numba == f"numba>={low},<{high}"
    assert all(map(is_tested_numba, (version("numba"), f"{low}.0", "0.68.1")))
    assert not any(map(is_tested_numba, ("0.60.0", f"{high}.0", f"{high}.0rc1", "1.0", "99.0.0")))


NEWER = """
import numba
import numba.core.codegen
numba.__version__ = "99.0.0"
del numba.core.codegen.JITCodeLibrary  # moved
from fastbp.kernels import code_cache, jit

@jit.inlined
def twice(x):
    return x + x

@jit.shared
def part(x):
    return twice(x) + 1

@jit.kernel()
def whole(x):
    return part(x) * 3

print(whole(2), whole.signatures, code_cache.cache_folder(), code_cache.why_not_kept(), sep="\\n")
"""


@pytest.mark.jit
def test_with_a_newer_numba_kernels_compile_in_its_plain_way_and_a_note_says_so(tmp_path):
    done = command(
        cwd=tmp_path,
        program=[sys.executable, "-c", NEWER],
        env=environment(FASTBP_CACHE_DIR=str(tmp_path)),
    )
    assert succeeded(done).stdout.splitlines() == [
        "15",
        "[(int64,)]",
        "None",
        "fastbp is not tested with Numba 99.0.0, so each command compiles anew and takes longer to "
        "do so; pip install 'numba>=0.61,<0.69' avoids this",
    ]
    assert not list(tmp_path.iterdir())
