"""The command in odd surroundings: the same rows and the promised exit code, and no traceback."""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import (
    MODULE,
    PATIENCE,
    command,
    environment,
    refused,
    started,
    succeeded,
    until,
)
from stores import ROOT, few_lanes, rows_of, unchanged

import fastbp
from fastbp.store.store import Store

pytestmark = pytest.mark.usefixtures("file")

SWEEP = """
title = "Öffnet es sich?"
seeds = 20
[setup]
problem = "xor"
hidden = [2]
updates = 60
[grid]
lr = [0.5, 2]
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """The rows of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    with pytest.MonkeyPatch.context() as patch:
        few_lanes(patch)
        fastbp.run(fastbp.Sweep.from_text(SWEEP), store=folder / "store")
    return rows_of(folder / "store")


@pytest.fixture
def complete(undisturbed, tmp_path):
    """Hold a command to it that it trained all runs into this store and said so."""

    def completed(done: subprocess.CompletedProcess[str], store: str = "store") -> None:
        line, *files = succeeded(done).stderr.splitlines()
        assert line.startswith("40 runs trained")
        assert all(file.startswith(("Table: ", "Report: ", "Picture: ")) for file in files)
        assert rows_of(tmp_path / store) == undisturbed

    return completed


# Streams


NO_PAGE = ["mine.toml", "-o", "store", "--no-report"]


def in_shell(streams: str) -> list[str]:
    return ["sh", "-c", f'exec "$0" "$@" {streams}', *MODULE]


def test_without_a_stdout(complete, tmp_path):
    complete(command(*NO_PAGE, cwd=tmp_path, program=in_shell(">&-")))


def test_without_any_stream_or_terminal(undisturbed, tmp_path):
    closed = {"program": in_shell("<&- >&- 2>&-"), "start_new_session": True}
    assert command(*NO_PAGE, cwd=tmp_path, **closed).returncode == 0
    assert rows_of(tmp_path / "store") == undisturbed
    assert command("none.toml", cwd=tmp_path, **closed).returncode == 2
    assert command("--bogus", cwd=tmp_path, **closed).returncode == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_ends_has_the_same_exit_code(tmp_path, number):
    """Modules that are loaded may take a while to end, after the last line was printed."""
    (tmp_path / "slow_end.py").write_text(
        "import atexit, sys, time\n"
        "from fastbp.__main__ import main\n"
        f"atexit.register(lambda: [print('ends', flush=True), time.sleep({PATIENCE})])\n"
        "sys.exit(main())\n"
    )
    with started("list", cwd=tmp_path, program=[sys.executable, "slow_end.py"]) as process:
        assert process.stdout is not None
        assert "ends\n" in process.stdout
        process.send_signal(number)
        assert process.wait(PATIENCE) == 128 + number
        assert process.stderr is not None
        assert process.stderr.read() == "interrupted\n"


def test_interrupted_without_a_stderr_it_says_so_in_no_other_file(tmp_path):
    """The first file that is opened would have the number of stderr."""
    many = ("--seeds", "1000000", "-o", "store")
    with started(*many, cwd=tmp_path, program=in_shell("2>&-")) as process:
        until(lambda: list(tmp_path.glob("store/runs/*")), process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 143
    assert not [
        file
        for file in (tmp_path / "store").rglob("*")
        if file.is_file() and b"interrupted" in file.read_bytes()
    ]
    Store(tmp_path / "store").check_files()


def test_in_the_locale_of_last_resort(complete, tmp_path):
    """Without what Python does by itself to fix it, so that all text is ASCII, names of files
    too."""
    done = command(
        "mine.toml",
        "-o",
        "store",
        cwd=tmp_path,
        env=environment(LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0"),
    )
    complete(done)
    assert done.stdout.isascii()
    assert "lr 0.5 -> 2" in done.stdout
    assert "Öffnet" in (tmp_path / "store" / "sweep.toml").read_text("utf-8")


# Homes and users


@pytest.mark.parametrize(
    "odd",
    [
        {"HOME": "/dev/null/x"},
        {"MPLBACKEND": "none", "NUMBA_NUM_THREADS": "0", "SOURCE_DATE_EPOCH": "x"}
        | {"PANDAS_FUTURE_INFER_STRING": "x", "NPY_PROMOTION_STATE": "x"},
    ],
    ids=str,
)
def test_a_home_that_there_is_not_and_settings_with_which_no_package_is_imported(
    complete, tmp_path, odd
):
    complete(command("mine.toml", "-o", "store", cwd=tmp_path, env=environment(**odd)))


def test_settings_of_a_package_with_which_it_is_not_imported(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    refused(
        command("mine.toml", cwd=tmp_path, env=environment(MPLCONFIGDIR=str(tmp_path / "loop"))),
        2,
        "matplotlib cannot be imported: .*",
    )


def test_a_user_whom_nobody_knows(complete, tmp_path):
    """Without a name, a home or HOME."""
    unknown = ["unshare", "--user", "--map-user=54321", "--map-group=54321", "env", "--unset=HOME"]
    if (
        not shutil.which("unshare")
        or subprocess.run([*unknown, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("no users of our own here")
    complete(command("mine.toml", "-o", "store", cwd=tmp_path, program=[*unknown, *MODULE]))


def powerless() -> list[str]:
    """What to put before a command so that permissions hold for it, whoever runs the tests."""
    if os.geteuid():
        return []
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    if (
        not shutil.which("setpriv")
        or subprocess.run([*drop, "true"], capture_output=True, check=False).returncode
    ):
        pytest.skip("to root nothing is forbidden")
    return drop


def test_a_folder_that_can_only_be_written_to(complete, tmp_path):
    (tmp_path / "box").mkdir(0o311)
    complete(
        command("mine.toml", "-o", "box/new", cwd=tmp_path, program=[*powerless(), *MODULE]),
        "box/new",
    )


def test_an_installation_that_can_only_be_read(complete, tmp_path):
    program, site = [*powerless(), *MODULE], tmp_path / "site"
    for name in ("fastbp", "sweeps"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("__pycache__"))
    with read_only(site), unchanged(site):
        done = command(
            "mine.toml",
            "-o",
            "store",
            cwd=tmp_path,
            program=program,
            env=environment(PYTHONPATH=str(site)),
        )
    complete(done)


@contextlib.contextmanager
def read_only(folder: Path) -> Iterator[None]:
    entries = [folder, *folder.rglob("*")]
    for entry in entries:
        entry.chmod(0o555 if entry.is_dir() else 0o444)
    try:
        yield
    finally:
        for entry in entries:
            entry.chmod(0o755)


@pytest.mark.parametrize("folder", ["gone", "gone/deeper"])
def test_a_folder_of_results_that_can_only_be_read(tmp_path, folder):
    program = [*powerless(), *MODULE]
    (tmp_path / "gone").mkdir()
    with read_only(tmp_path / "gone"):
        done = command("mine.toml", "-o", f"{folder}/store", cwd=tmp_path, program=program)
    refused(done, 4, f"{folder}/store cannot be written: Permission denied")


def test_a_current_folder_that_can_only_be_read_is_no_matter_to_a_store_elsewhere(
    complete, tmp_path
):
    own = {"cwd": tmp_path / "gone", "program": [*powerless(), *MODULE]}
    own["cwd"].mkdir()
    with read_only(own["cwd"]):
        refused(
            command("../mine.toml", **own), 4, "results/mine cannot be written: Permission denied"
        )
        complete(command("../mine.toml", "-o", "../store", **own))


@pytest.mark.parametrize("executor", ["threads", "processes", "dask"])
def test_a_current_folder_in_which_nothing_can_be_opened(complete, tmp_path, executor):
    """As where `sudo` begins."""
    (tmp_path / "here").mkdir()
    enter = ["sh", "-c", 'cd here; chmod 0 .; exec "$0" "$@"', *powerless(), *MODULE]
    complete(
        command(
            tmp_path / "mine.toml",
            *("-o", tmp_path / "store", "--executor", executor, "-j", "1"),
            cwd=tmp_path,
            program=enter,
        )
    )


# Limits


def test_few_open_files(undisturbed, tmp_path):
    """Fewer than there are setups, files of runs or pictures."""
    rates = [0.5, 2, *range(3, 41)]
    done = command(
        "mine.toml", "-o", "store", "--set", f"lr={rates}", "--quiet", cwd=tmp_path,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "store")
    assert len(rows) == len(rates)
    assert undisturbed.items() <= rows.items()


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_files_are_for_whom_the_user_says(complete, tmp_path, here, umask):
    complete(here("mine.toml", "-o", "store"))
    assert not [
        entry
        for entry in [tmp_path / "store", *(tmp_path / "store").rglob("*")]
        if entry.stat().st_mode & 0o077
    ]


def test_a_user_who_may_not_read_his_own_files(tmp_path):
    program = ["sh", "-c", 'umask 0777; exec "$0" "$@"', *powerless(), *MODULE]
    refused(
        command("mine.toml", "-o", "store", cwd=tmp_path, program=program),
        4,
        "store cannot be written: Permission denied",
    )


# Clocks


def test_a_clock_that_runs_backwards(complete, tmp_path, here, monkeypatch):
    start = time.time()
    monkeypatch.setattr(time, "time", lambda: start - 86_400 - 1_000 * time.perf_counter())
    complete(here("mine.toml", "-o", "store"))


def test_a_clock_that_is_put_back_between_two_commands(tmp_path, here, file):
    """What is there is from tomorrow, and still what is new is shown."""
    here("mine.toml", "-o", "store")
    tomorrow = time.time() + 86_400
    for entry in (tmp_path / "store").rglob("*"):
        os.utime(entry, (tomorrow, tomorrow))
    file.write_text(SWEEP.replace("Öffnet", "Schließt"))
    here("mine.toml", "-o", "store")
    assert "Schließt" in (tmp_path / "store" / "report.html").read_text("utf-8")


# Names of places


@pytest.mark.parametrize(
    "arguments", [["mine.toml", "-o", "store"], ["--dry-run"], ["--help"]], ids=" ".join
)
def test_a_current_folder_that_is_gone(tmp_path, arguments):
    (tmp_path / "gone").mkdir()
    done = command(
        *arguments,
        cwd=tmp_path / "gone",
        program=["sh", "-c", 'rmdir ../gone; exec "$0" "$@"', *MODULE],
    )
    if arguments == ["--help"]:
        assert done.returncode == 0
    else:
        refused(done, 2, "the current folder no longer exists: change to another one")


@pytest.mark.parametrize(
    "name",
    ["a 'store' of \"mine\"", "new\nline", "Öffnung – 😀", "s3:", "ab:cd", "a?b#c*[d]%20", "~x"],
    ids=ascii,
)
def test_odd_names_of_stores(complete, tmp_path, here, name):
    """Twice: once it is made, once it is read."""
    done = here("mine.toml", "-o", name)
    complete(done, name)
    assert succeeded(here("mine.toml", "-o", name), stdout=done.stdout).stderr.startswith(
        "complete already"
    )


@pytest.mark.parametrize("address", ["s3://mine/x", "file:///tmp/x", "abfs+x://y"])
def test_an_address_is_no_folder(tmp_path, here, address):
    """Nor is one made that is called so."""
    refused(
        here("mine.toml", "-o", address),
        3,
        f"{re.escape(str(Path(address)))} is an address, not a folder: choose .* -o DIR",
    )
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.toml"]


def test_names_that_are_no_text(complete, tmp_path, here):
    """Arrow opens no files of such names."""
    odd = os.fsdecode(b"\xff")
    try:
        (tmp_path / odd).mkdir()
    except OSError:
        pytest.skip("no such names here")
    for options in ([], ["--dry-run"]):
        refused(
            here("mine.toml", "-o", f"{odd}/store", *options),
            3,
            r"\\udcff/store has a name that is not valid text: choose .* -o DIR",
        )
    (tmp_path / "mine.toml").rename(tmp_path / odd / f"{odd}.toml")
    refused(here(f"{odd}/{odd}.toml"), 3, r"results/\\udcff has a name that is not valid text: .*")
    complete(here(f"{odd}/{odd}.toml", "-o", "store"))
    (tmp_path / odd / "d.csv").write_text("x,y\n1,0\n2,1\n")
    done = here(
        f"{odd}/{odd}.toml",
        "-o",
        "other",
        "--set",
        f"problem=file:{odd}/d.csv",
        "--set",
        "targets=y",
    )
    refused(done, 2, r"--set problem: given 'file:\\udcff/d.csv', allowed: file:PATH")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([odd, "store"])


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["list", "-h"]], ids=" ".join)
def test_help_that_cannot_be_written(tmp_path, arguments):
    """The standard output is a full disk."""
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full")
    done = command(
        *arguments,
        cwd=tmp_path,
        program=["sh", "-c", 'exec "$0" -m fastbp "$@" >/dev/full', MODULE[0]],
    )
    refused(done, 4, "standard output: No space left on device")
