"""The cache of compiled code on disk, and the versions of Numba that it knows."""

import importlib
import os
import subprocess
import sys
import tomllib
from functools import reduce
from importlib.metadata import version

import pytest
from stores import ROOT

from fastbp.kernels.code_cache import END_NUMBA, MIN_NUMBA, _Files, is_tested_numba


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
    environment = os.environ | {
        "FASTBP_CACHE_DIR": str(tmp_path / "cache"),
        "PYTHONPATH": str(ROOT),
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


# Versions of Numba

PRIVATE = {
    "numba._dynfunc:make_function": "parts of kernels cannot be looked up",
    "numba.core.bytecode:FunctionIdentity._unique_ids": "parts of two processes may share a name",
    "numba.core.caching:CompileResultCacheImpl": "no compiled code can be kept",
    "numba.core.caching:FunctionCache._index_key": "kernels cannot be told apart on disk",
    "numba.core.caching:FunctionCache.load_overload": "damaged files are not noticed",
    "numba.core.caching:FunctionCache.save_overload": "a full disk stops the compiler",
    "numba.core.caching:IndexDataCacheFile._data_name": "processes overwrite each other's files",
    "numba.core.caching:IndexDataCacheFile._load_data": "files are not checked against their seal",
    "numba.core.caching:IndexDataCacheFile._load_index": "files are not checked against their seal",
    "numba.core.caching:IndexDataCacheFile._save_data": "files are not sealed",
    "numba.core.caching:IndexDataCacheFile._save_index": "files are not sealed",
    "numba.core.ccallback:CFunc.enable_caching": "functions called by address cannot be kept",
    "numba.core.codegen:JITCodeLibrary._finalize_dynamic_globals": "parts cannot be finished",
    "numba.core.codegen:JITCodeLibrary._finalize_final_module": "parts become machine code",
    "numba.core.codegen:JITCodeLibrary._optimize_final_module": "parts are optimised twice",
    "numba.core.compiler:DefaultPassBuilder.define_nopython_pipeline": "no pipeline for parts",
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
import numba.core.caching
numba.__version__ = "99.0.0"
del numba.core.caching.IndexDataCacheFile  # moved
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
    environment = os.environ | {"FASTBP_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", NEWER], env=environment, capture_output=True, check=True, text=True
    )
    assert done.stdout.splitlines() == [
        "15",
        "[(int64,)]",
        "None",
        "fastbp is not tested with Numba 99.0.0, so each command compiles anew and takes longer to "
        "do so; pip install 'numba>=0.61,<0.69' avoids this",
    ]
    assert not list(tmp_path.iterdir())
