"""`fastbp list` as a user runs it."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from commands import in_process, succeeded

from fastbp.cli.arguments import shipped_sweeps, sweep_file
from fastbp.config.sweep import Sweep
from fastbp.list import main

here = in_process(main)

SWEEPS = Path(__file__).parents[1] / "sweeps"


def test_every_sweep_that_ships_is_listed_with_its_size_and_question(here):
    lines = succeeded(here(), stderr="").stdout.splitlines()
    assert max(map(len, lines)) <= 80
    heads = [re.fullmatch(r"(\S+) +([\d,]+) × ([\d,]+) runs", line) for line in lines]
    names = [head[1] for head in heads if head]
    assert (sorted(names), names[0]) == (sorted(shipped_sweeps()), "founding")
    folders = [name.rpartition("/")[0] for name in names]
    assert [*dict.fromkeys(folders)] == [folder for folder, _ in groupby(folders)], "in groups"
    assert lines.count("") == len({*folders}) - 1, "with an empty line between two"
    assert {SWEEPS / f"{name}.toml" for name in names} == set(SWEEPS.rglob("*.toml"))
    founding = lines.index(next(line for line in lines if line.startswith("founding ")))
    sweep = Sweep.from_toml(sweep_file("founding"))
    assert heads[founding].groups()[1:] == (f"{len(sweep.setups):,}", f"{sweep.seeds.count:,}")
    assert lines[founding + 1] == f"    {sweep.title}"


def test_it_takes_no_arguments(here):
    lines = here("founding").stderr.splitlines()
    assert lines[0].startswith("usage: fastbp list")
    assert lines[-1].startswith("fastbp: one argument too many: 'founding'; for all")


@pytest.mark.parametrize(("name", "file"), shipped_sweeps().items())
def test_a_sweep_is_found_by_its_name_with_or_without_its_folder(name, file):
    assert sweep_file(name) == sweep_file(file.stem) == file
