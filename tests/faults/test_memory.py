"""Memory that runs out is a line and exit code 1; no file is called damaged, and none is moved."""

import errno
import mmap
import os
import resource
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sample_frames as frames
from commands import command as child, environment, in_process, raising, refused, succeeded
from fake_runs import replaced, runs
from stores import ROOT, XOR, opened, unchanged

from fastbp.cli import process
from fastbp.problems import targets
from fastbp.schema.errors import damage_ignored, need_memory
from fastbp.store import parquet, safe_files
from fastbp.store.store import Store, writing
from fastbp.verify import main

here = in_process(main)

SAID = "there is not enough memory: close other programs, or .* with -j; the same command goes on"

ERRORS = {
    "Arrow": pa.ArrowMemoryError("malloc of size 2097152 failed"),
    "Python": MemoryError(),
    "the system": OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "zstd": OSError("ZSTD decompression failed: Allocation error : not enough memory"),
}


@pytest.fixture
def store(tmp_path) -> Store:
    made = opened(tmp_path / "store")
    made.publish(XOR.identity(), 0, runs(XOR, 0, 20))
    return made


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("place", ["bytes", "footer", "rows"])
def test_a_file_that_does_not_fit_is_not_damaged(here, store, monkeypatch, error, place):
    owner, name = {
        "bytes": (safe_files, "read"),
        "footer": (pq, "read_metadata"),
        "rows": (pq.ParquetFile, "read"),
    }[place]
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, raising(ERRORS[error]))
        with pytest.raises(MemoryError):
            parquet.read(next(store.files()))
        with unchanged(store.runs):
            refused(here("store", "--repair"), 1, SAID)
    assert "all sound" in succeeded(here("store", "--repair")).stdout


@pytest.mark.parametrize("error", ERRORS)
def test_nor_is_a_problem_or_a_full_disk(tmp_path, monkeypatch, error):
    (tmp_path / "mine.csv").write_text("a,t\n0,1\n")
    monkeypatch.setattr(
        targets, "DECODERS", dict.fromkeys(targets.DECODERS, raising(ERRORS[error]))
    )
    with pytest.raises(MemoryError):
        targets.check(str(tmp_path / "mine.csv"))
    with pytest.raises(MemoryError), damage_ignored():
        raise ERRORS[error]
    with pytest.raises(MemoryError), writing(tmp_path):
        raise ERRORS[error]


def unloadable() -> None:
    """As llvmlite says it."""
    try:
        raise OSError("libllvmlite.so: failed to map segment from shared object")
    except OSError as error:
        raise OSError("Could not find/load shared object file 'libllvmlite.so'") from error


@pytest.mark.parametrize(
    "work",
    [
        *map(raising, ERRORS.values()),
        raising(RuntimeError("can't start new thread")),
        raising(pa.lib.ArrowException("Unknown error: Failed to launch worker thread: …")),
        raising(ImportError("libarrow.so: failed to map segment from shared object")),
        raising(SystemError("<built-in> returned NULL without setting an exception set")),
        unloadable,
    ],
)
def test_whatever_says_so_it_is_a_line(capsys, work):
    assert process.exit_code(work, Path()) == process.FAILED
    assert "there is not enough memory" in capsys.readouterr().err


@pytest.mark.parametrize("without_memory", [False, True])
def test_without_memory_python_does_not_end_slowly(tmp_path, without_memory):
    """Threads of libraries may crash it then."""
    (tmp_path / "ends.py").write_text(
        "import atexit\n"
        "from pathlib import Path\n"
        "from fastbp.cli import process\n"
        "def work():\n"
        f"    raise {'MemoryError' if without_memory else 'ArithmeticError'}\n"
        "atexit.register(print, 'slowly')\n"
        "print('said')\n"
        "process.leave(process.exit_code(work, Path()))\n"
    )
    done = child(cwd=tmp_path, program=[sys.executable, "ends.py"])
    assert (done.returncode, done.stdout) == (1, "said\n" + "slowly\n" * (not without_memory))


def test_no_thread_is_started_without_memory(monkeypatch):
    """Where it finds none for its own values, glibc ends Python."""
    monkeypatch.setattr(process, "need_memory", raising(MemoryError()))
    with pytest.raises(MemoryError):
        process.in_thread(lambda phase: None)


def test_other_errors_are_none_of_it(capsys):
    with pytest.raises(RuntimeError, match="something else"):
        process.exit_code(raising(RuntimeError("something else")), Path())


@pytest.mark.parametrize(
    "arguments", [["fastbp", "list"], ["-m", "fastbp", "list"], ["-m", "fastbp.list"]], ids=" ".join
)
def test_numpy_starts_no_threads_that_would_need_memory(tmp_path, arguments):
    """Where it finds none for them, OpenBLAS never returns."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, pathlib, sys\n"
        "@atexit.register\n"
        "def show_threads():\n"
        "    import numpy\n"
        "    names = [x.read_text() for x in pathlib.Path('/proc/self').glob('task/*/comm')]\n"
        "    own = pathlib.Path('/proc/self/comm').read_text()  # that of Arrow has another\n"
        "    print(names.count(own), file=sys.stderr)\n"
    )
    (tmp_path / "fastbp").write_text("from fastbp.__main__ import main\nmain()")
    surroundings = environment(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path}")
    surroundings.pop("OPENBLAS_NUM_THREADS", None)
    done = child(*arguments, cwd=tmp_path, program=[sys.executable], env=surroundings)
    assert succeeded(done).stderr == "1\n"


def test_arrow_starts_no_threads(tmp_path):
    """Where one cannot be started, it ends Python."""
    (tmp_path / "runs").mkdir()
    frames.write(tmp_path, frames.table({}, ["partial"] * 9))
    pd.DataFrame({"a": [1, 2], "b": [3.0, 4.0]}).to_parquet(tmp_path / "table.parquet")
    (tmp_path / "reads.py").write_text(
        "import pathlib, fastbp\n"
        "fastbp._set_environment()\n"
        "from fastbp.problems.read_table import parquet_frame\n"
        "runs = fastbp.load('.')\n"
        "table = parquet_frame(pathlib.Path('table.parquet').read_bytes(), 10**6)\n"
        "names = [x.read_text() for x in pathlib.Path('/proc/self').glob('task/*/comm')]\n"
        "print(len(runs), len(table), names.count(names[0]))\n"
    )
    surroundings = environment()
    surroundings.pop("OMP_NUM_THREADS", None)
    done = child(cwd=tmp_path, program=[sys.executable, "reads.py"], env=surroundings)
    assert succeeded(done).stdout == "9 2 1\n"


@pytest.mark.parametrize("megabytes", range(250, 600, 50))
def test_a_library_that_would_wait_for_memory_is_not_loaded(tmp_path, megabytes):
    """SciPy has an OpenBLAS of its own, which never returns either."""
    limit = megabytes << 20
    done = child(
        *("xor", "--hidden", "2", "--epochs", "2", "--seconds", "1", "--seeds", "2"),
        cwd=tmp_path,
        program=[sys.executable, "-P", "-m", "fastbp.diagnose"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert done.returncode == 1, done
    assert done.stderr.startswith("fastbp: there is not enough memory: ")


def test_memory_that_is_not_to_be_had_is_told_before_it_is_needed(monkeypatch):
    need_memory(1 << 20)
    with pytest.raises(MemoryError, match="there is not enough memory"):
        need_memory(1 << 60)
    monkeypatch.setattr(mmap, "mmap", raising(BlockingIOError(errno.EAGAIN, "try again")))
    with pytest.raises(MemoryError, match="there is not enough memory"):
        need_memory(1 << 20)


@pytest.mark.soak
@pytest.mark.parametrize("megabytes", range(600, 1300, 50))
def test_under_any_limit_nothing_is_moved(tmp_path, megabytes):
    """Packages that cannot even be loaded may end the process in their own ways."""
    store = opened(tmp_path / "store")
    rows = pa.concat_tables([runs(XOR, 0, 2_000)] * 200).unify_dictionaries().combine_chunks()
    rows = replaced(rows, "seed", pa.array(np.arange(rows.num_rows)))
    store.publish(XOR.identity(), 0, rows)
    limit = megabytes << 20
    with unchanged(store.runs):
        done = child(
            *("store", "--repair"),
            cwd=tmp_path,
            program=[sys.executable, "-P", "-m", "fastbp.verify"],
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
    assert done.returncode not in (2, 3, 4), done
    assert not (store.path / "quarantine").exists()
