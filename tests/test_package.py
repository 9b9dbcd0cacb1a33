import importlib.util
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from commands import ended, helps, succeeded
from stores import CHECKOUT, ROOT

import fastbp
from fastbp.__main__ import COMMANDS

HEAVY = ["numba", "llvmlite", "pandas", "pyarrow", "numpy", "scipy", "matplotlib", "pydantic"]


def python(*arguments: str, path: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=path,
        env=os.environ | {"PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


def imported_by(code: str) -> set[str]:
    """The heavy packages that some lines of Python bring with them."""
    done = succeeded(
        python(
            "-c",
            f"{code}\nimport json, sys\nprint(json.dumps([name for name in {HEAVY} if name in "
            "sys.modules]))",
        )
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


# Imports


def test_importing_fastbp_imports_nothing_heavy():
    assert imported_by(
        "import fastbp, fastbp.sweep, fastbp.cli.process, fastbp.schema.outcomes as o"
    ) <= {"numpy"}
    assert imported_by("import fastbp") == set()


@pytest.mark.parametrize("command", ["sweep", "replay"])
def test_help_imports_nothing_heavy(command):
    code = f"""from fastbp.{command} import main
try:
    main(["--help"])
except SystemExit:
    pass"""
    assert imported_by(code) == set()


def test_describing_a_sweep_needs_no_pandas():
    sweep = "fastbp.Sweep(seeds=3, setup={'problem': 'xor', 'updates': 10})"
    assert imported_by(f"import fastbp; {sweep}.setups[0].data()").isdisjoint(
        {"pandas", "pyarrow", "matplotlib"}
    )


def test_reading_a_table_needs_no_matplotlib(tmp_path):
    (tmp_path / "d.csv").write_text("x,y\n1,0\n2,1\n")
    setup = f"problem='file:{tmp_path}/d.csv', targets='y', updates=9"
    assert "matplotlib" not in imported_by(f"import fastbp; fastbp.Setup({setup}).data()")


# Names


def test_every_public_name_is_there():
    assert sorted(fastbp.__all__) == fastbp.__all__
    for name in fastbp.__all__:
        assert getattr(fastbp, name) is not None
    assert callable(fastbp.run)
    assert callable(fastbp.load)
    assert issubclass(fastbp.SweepError, Exception)
    scope: dict[str, object] = {}
    exec("from fastbp import *", scope)
    assert set(fastbp.__all__) <= scope.keys()


def test_no_other_name_is_there():
    with pytest.raises(AttributeError, match="module 'fastbp' has no attribute 'runn'"):
        _ = fastbp.runn
    assert not hasattr(fastbp, "train")


def test_names_that_are_looked_up_are_listed():
    assert set(fastbp._HOMES) == set(fastbp.__all__) - {"__version__"}
    assert set(fastbp.__all__) <= set(dir(fastbp))


def test_front_doors_and_public_names_do_not_collide():
    """`fastbp.sweep` is the command's module, whatever was imported first."""
    assert {path.stem for path in Path(fastbp.__file__).parent.glob("*.py")}.isdisjoint(
        fastbp.__all__
    )


# Commands

HELP = {
    "sweep": ("-o", "--seeds", "--set", "-j", "--dry-run", "--quiet", "--json", "founding", "130"),
    "report": ("STORE", "--collapse", "--all-runs"),
    "compare": ("A B", "-o"),
    "replay": ("STORE", "SETUP", "SEED", "--check", "--export", "--figure", "initial_W0", "130"),
    "verify": ("STORE", "--repair", "--replay", "quarantine", "sha256", "130"),
    "merge": ("INTO", "FROM", "bit for bit", "130"),
    "list": ("sweeps",),
}
"""Words that the help of each command has, but for `diagnose`, which has Greek letters in it."""


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"diagnose"}))
def test_every_command_explains_itself(command, name):
    helps(command(name, "-h"), *HELP[name])


@pytest.mark.parametrize(
    "line",
    [
        "sweep --bogus",
        "sweep --seeds",
        "sweep a b",
        "report",
        "report a b",
        "report a --collapse",
        "report a --nothing",
        "compare a",
        "compare a b c",
        "replay a b",
        "diagnose --nothing",
        "verify",
        "merge",
        "list founding",
    ],
)
def test_bad_usage_ends_with_2(command, tmp_path, line):
    name, *arguments = line.split()
    assert f"usage: fastbp {name}" in ended(command(name, *arguments), 2, stdout="").stderr
    assert list(tmp_path.iterdir()) == []


# What is shipped


@pytest.fixture(scope="module")
def project():
    file = CHECKOUT / "pyproject.toml"
    if not file.exists():
        pytest.skip("not in a checkout")
    return tomllib.loads(file.read_text())


def test_there_is_one_version(project):
    assert project["project"]["version"] == fastbp.__version__


@pytest.fixture(scope="module")
def wheel(project, tmp_path_factory):
    """The wheel that a user installs."""
    if not importlib.util.find_spec("pip"):
        pytest.skip("no pip here to build a wheel with")
    folder = tmp_path_factory.mktemp("wheel")
    alone = (
        ["--no-build-isolation"]
        if importlib.util.find_spec("hatchling")
        else ["--retries", "0", "--timeout", "10"]
    )
    done = python(
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        *alone,
        "-w",
        str(folder),
        str(CHECKOUT),
    )
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("no hatchling here, and no way to fetch it")
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return file


def test_the_wheel_has_the_sweeps_and_nothing_of_the_workshop(wheel):
    with zipfile.ZipFile(wheel) as content:
        names = content.namelist()
        founding = content.read("fastbp/sweeps/founding.toml")
    assert founding == (CHECKOUT / "sweeps" / "founding.toml").read_bytes()
    assert {"fastbp/py.typed", "fastbp/sweep.py", "fastbp/kernels/training.py"} <= set(names)
    assert {name.split("/")[0] for name in names} == {
        "fastbp",
        f"fastbp-{fastbp.__version__}.dist-info",
    }
    assert not [name for name in names if name.endswith((".pyc", ".nbi", ".nbc"))]
    shipped = {
        f"fastbp/{path.relative_to(CHECKOUT).as_posix()}"
        for path in (CHECKOUT / "sweeps").rglob("*.*")
    }
    assert {name for name in names if name.startswith("fastbp/sweeps/")} == shipped


def test_the_wheel_has_the_command_and_finds_its_sweeps(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as content:
        content.extractall(tmp_path / "site")
    metadata = tmp_path / "site" / f"fastbp-{fastbp.__version__}.dist-info"
    assert "fastbp = fastbp.__main__:main" in (metadata / "entry_points.txt").read_text()
    done = python(
        "-c",
        "from fastbp.cli.arguments import sweep_file; print(sweep_file('founding'))",
        path=tmp_path / "site",
    )
    assert done.stdout.strip() == str(tmp_path / "site" / "fastbp" / "sweeps" / "founding.toml"), (
        done.stderr
    )


def test_a_home_that_nobody_knows_is_not_in_the_current_folder(monkeypatch):
    """Dask, for one, would read settings from there. What it cannot tidy up is not shown."""
    monkeypatch.setenv("HOME", "relative")
    odd = "class Odd:\n    def __del__(self):\n        raise TimeoutError\nOdd()\n"
    code = "import os, fastbp\nfastbp._set_environment()\nprint(os.path.expanduser('~'))\n"
    assert succeeded(python("-c", code + odd), stderr="").stdout == "/\n"
