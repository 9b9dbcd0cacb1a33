"""`python -m fastbp.diagnose [DATA]`: say why networks of a setup fail, and what fixes it."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fastbp
from fastbp.cli import process
from fastbp.cli.arguments import (
    Option,
    integer,
    number,
    option,
    output_folder,
    sweep_file,
)
from fastbp.cli.terminal import Phase, print_data, print_note, print_notes
from fastbp.schema.errors import SweepError, UnsafeFileError
from fastbp.schema.keys import KEYS, Key
from fastbp.schema.text import and_, first_of, plural, shown

if TYPE_CHECKING:
    from fastbp.diagnosis.diagnose import Diagnosis
    from fastbp.diagnosis.own_weights import Placement
    from fastbp.problems.data_notes import DataNote

NOT_OPTIONS = ("problem", "targets", "collapse")
"""Setup keys without an option of their own: DATA and --targets give two, and `collapse` changes no
run."""

PAGE_SECONDS = 3.0
"""Seconds of the time limit that are kept for drawing the page."""

MAX_LEFT_OUT = 3
"""The most changes that a note lists for which there was no time."""

TRIALS_SHARE = 0.75
"""The share of the time for trying changes, if the user's own weights are trained, too."""


def _option_name(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _key_option(key: Key) -> Option:
    """Make the option for a key of the setup."""
    shape = {"nargs": "+", "metavar": "N"} if key.name == "hidden" else {"metavar": "VALUE"}
    return option(_option_name(key.name), dest=key.name, help=key.description, **shape)


def diagnose(
    data: str | None,
    targets: list[str] | None,
    settings: list[str],
    weights: str | None,
    seeds: int,
    seconds: float,
    folder: Path | None,
    as_json: bool,
    **keys: Any,
) -> None:
    """Diagnose a setup and print what is wrong and what fixes it."""
    began = time.perf_counter()
    from fastbp.diagnosis import candidates, diagnose as diagnosing, own_weights, printout

    notes: list[DataNote] = []
    settings = _settings(settings, keys)
    try:
        sweep = _sweep(data, targets, settings, folder, notes)
    except SweepError as error:
        raise SweepError(_as_typed(line, keys) for line in error.lines) from None
    (setup,) = sweep.setups
    print_notes(sweep.notes)
    print_notes(note.text for note in setup.data_notes() if note.id == "recoded-labels")
    layers = own_weights.read(weights, setup) if weights else None
    if folder:
        _make_writable(folder)

    def work(phase: Phase) -> tuple[Diagnosis, Placement | None, list[str], list[Path], list[str]]:
        now = time.perf_counter()
        left = seconds - (PAGE_SECONDS if folder else 0) - (now - began)
        share = TRIALS_SHARE if layers else 1.0
        diagnosis = diagnosing.diagnose(
            setup,
            seeds,
            max(share * left, 0.1),
            phase,
            advice=candidates.ANSWERED if data is None else (),
            began=now,
        )._replace(notes=tuple(notes))
        placed: Placement | None = None
        about: list[str] = []
        if layers:
            phase("your weights in many orders")
            deadline = time.perf_counter() + (1 - share) * left
            placed = own_weights.place(setup, layers, diagnosis.base, deadline=deadline)
            fixed, best = None, diagnosis.recommended
            if placed and best and best.setup.sizes == setup.sizes:
                fixed = own_weights.place(best.setup, layers, best.after, deadline=deadline)
            about = own_weights.sentences(placed, fixed and fixed.custom) if placed else []
            alike = own_weights.STAY_EQUAL * bool(own_weights.alike(layers))
            diagnosis = diagnosis._replace(own_fault=placed.fault if placed else alike)
        if folder:
            phase("drawing")
            return diagnosis, placed, about, *printout.write_files(diagnosis, about, sweep, folder)
        return (
            diagnosis,
            placed,
            about,
            [],
            [
                *printout.commands(diagnosis),
                "-o DIR writes this as a page, and a sweep file of "
                + ("both setups" if diagnosis.recommended else "the setup"),
            ],
        )

    diagnosis, placed, about, written, commands = process.in_thread(
        work, "compiling or loading code"
    )
    print_notes(_limits(diagnosis, seeds, seconds))
    if layers and not placed:
        print_notes(["there was no time for your weights: allow more --seconds or fewer updates"])
    if as_json:
        print_data(json.dumps(printout.as_json(diagnosis, placed and own_weights.as_json(placed))))
    else:
        print_data("\n".join(printout.screen(diagnosis, about, commands)))
    if written:
        print_note(f"written: {', '.join(map(str, written))}")


def _limits(diagnosis: Diagnosis, seeds: int, seconds: float) -> list[str]:
    """Say what there was no time for, or why fewer seeds were enough."""
    runs, more = diagnosis.runs, f"more than --seconds {seconds:g} allows"
    notes = (
        (
            diagnosis.beyond > 0,
            f"compiling, once for this machine, took {diagnosis.beyond:.0f} s more than the "
            f"{seconds:g} s allowed",
        ),
        (
            diagnosis.short and not diagnosis.impossible,
            f"{runs:,} of {plural(seeds, 'seed')} of each change were trained; all would take "
            f"{more}",
        ),
        (
            diagnosis.left_out,
            f"left out, as it might take {more}: "
            f"{and_(first_of(diagnosis.left_out, MAX_LEFT_OUT))}",
        ),
        (
            diagnosis.complete
            and runs < seeds
            and diagnosis.table["pairs"].gt(0).any()
            and len(diagnosis.table) > 1,
            f"{runs:,} seeds of each change were enough: all intervals are narrow",
        ),
    )
    return [text for applies, text in notes if applies]


def _make_writable(folder: Path) -> None:
    """Make the output folder, and check that files can be written into it, before training.

    Raises
    ------
    OSError
        If the folder cannot be made or written.
    SweepError
        If it has files with the names of a diagnosis that are not of one, or a link in their place.
    """
    from fastbp.diagnosis.printout import foreign
    from fastbp.store import safe_files

    safe_files.make(folder)
    safe_files.hold(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if others := foreign(folder):
        raise SweepError(
            [f"-o: given {shown(str(folder))}, where {and_(others)} would be replaced, allowed: "
             "a folder of earlier diagnoses, or one without such files and links"]
        )  # fmt: skip


def _sweep(
    data: str | None,
    targets: list[str] | None,
    settings: list[str],
    folder: Path | None,
    notes: list[DataNote],
) -> fastbp.Sweep:
    """The setup to diagnose, as a sweep of one setup; what was done to its table joins `notes`.

    Raises
    ------
    SweepError
        If data, targets or settings are wrong.
    """
    from fastbp.choices.families import FAMILIES
    from fastbp.diagnosis.diagnose import usual_epochs

    is_table = data is not None and data.partition(":")[0] not in (
        {*FAMILIES["problem"].choices} - {"file"}
    )
    if targets and not is_table:
        given = "without DATA" if data is None else f"with {data[:60]}"
        raise SweepError([f"--targets: given {given}, allowed: only with a table such as mine.csv"])
    if data is None:
        return _one(fastbp.Sweep.from_toml(sweep_file("founding")).setup, settings)
    base: dict[str, Any] = {"problem": data, "epochs": 1}
    if targets:
        base["targets"] = targets
    with tempfile.TemporaryDirectory(prefix="fastbp-") as drafts:
        if is_table:
            base["problem"] = f"file:{_table(Path(data), targets, folder, Path(drafts), notes)}"
        sweep = _one(base, settings)
        if not any(re.match(r"\s*(updates|epochs)\s*=", setting) for setting in settings):
            base["epochs"] = usual_epochs(sweep.setups[0])
            sweep = _one(base, settings)
            print_notes(
                [
                    f"no budget was given, so each run has {base['epochs']:,} epochs (change it "
                    "with --epochs or --updates)"
                ]
            )
        return sweep


def _settings(settings: list[str], keys: dict[str, Any]) -> list[str]:
    """List all settings as KEY=VALUE: keys with their own options first, then those of `--set`."""
    values = {key: given for key, given in keys.items() if given is not None}
    if "hidden" in values:
        values["hidden"] = f"[[{', '.join(re.findall('[^][, -]+', ' '.join(values['hidden'])))}]]"
    if twice := values.keys() & {setting.partition("=")[0].strip() for setting in settings}:
        raise SweepError(
            f"{_option_name(key)}: given together with --set {key}, allowed: one of the two"
            for key in sorted(twice)
        )
    return [*(f"{key}={given}" for key, given in values.items()), *settings]


def _as_typed(line: str, keys: dict[str, Any]) -> str:
    """A message about a key of a sweep file, with the name of the argument that gave it."""
    line = line.replace("setup.problem:", "DATA:", 1).replace("setup.targets:", "--targets:", 1)
    given = {f"--set {key}": _option_name(key) for key, value in keys.items() if value is not None}
    return re.sub(r"--set \w+", lambda name: given.get(name[0], name[0]), line)


def _one(base: dict[str, Any], settings: list[str]) -> fastbp.Sweep:
    """Make a sweep of one setup from its keys and further settings KEY=VALUE.

    Raises
    ------
    SweepError
        If the settings make more than one setup.
    """
    sweep = fastbp.Sweep.from_dict(
        {"seeds": 1, "setup": base}, settings=settings, folder=os.getcwd(), any_range=True
    )
    if len(sweep.setups) != 1:
        raise SweepError(
            [f"given {len(sweep.setups):,} setups, allowed: one; `fastbp sweep` compares several"]
        )
    return sweep


def _table(
    path: Path, targets: list[str] | None, folder: Path | None, drafts: Path, notes: list[DataNote]
) -> Path:
    """The table to learn: the file itself, or a copy with column names and fewer rows.

    The copy is in `folder` if there is one, else in `drafts`. What was changed joins
    `notes`.
    """
    from fastbp.diagnosis.printout import CHANGES
    from fastbp.problems import samples
    from fastbp.store.places import real_path
    from fastbp.store.store import write

    if (
        folder
        and path.is_file()
        and (folder / CHANGES).exists()
        and path.samefile(folder / CHANGES)
    ):
        raise SweepError(
            [f"DATA: given {shown(str(path))}, allowed: a file that -o does not overwrite: give it "
             "another name, or -o another folder"]
        )  # fmt: skip
    copied = samples.fixed(path, targets)
    if copied is None:
        return path
    content, changes = copied
    notes += changes
    print_notes(note.text for note in changes)
    copy = drafts / path.name
    if folder:
        _make_writable(folder)
        copy = next(p for p in _copies(folder, path.name) if _is_free(p, folder, content))
    write(copy, content, folder or drafts)
    return Path(real_path(copy))


def _copies(folder: Path, name: str) -> Iterator[Path]:
    """Where in an output folder the copy of a table may be."""
    from fastbp.diagnosis.printout import OUTPUTS

    if name not in OUTPUTS:
        yield folder / name
    yield folder / "learnt" / name
    for another in itertools.count(2):
        yield folder / f"learnt-{another}" / name


def _is_free(copy: Path, root: Path, content: bytes) -> bool:
    """Whether nothing would be lost if a file was written, and no link below `root` followed."""
    from fastbp.store import safe_files
    from fastbp.store.store import is_written

    with suppress(UnsafeFileError):
        return copy.name not in safe_files.listed(
            root, *copy.parent.relative_to(root).parts
        ) or is_written(copy, content, root)
    return False


main = process.Command(
    "diagnose",
    diagnose,
    "Say how often networks of a setup fail, what failing ones do instead of learning, and "
    "which single change fixes it, tried on the same seeds and checked on fresh ones.",
    "Exit: 0 complete, 2 bad usage or data, 3 another folder took the place of DIR, 4 disk full or "
    "not writable, 130 or 143 interrupted.",
    [
        option(
            "data",
            nargs="?",
            metavar="DATA",
            help="a table (.csv, .parquet, .npz), or a problem such as xor or parity:4 (default: "
            "the founding case)",
        ),
        option("--targets", nargs="+", metavar="COL", help="target columns of DATA"),
        option(
            "--set",
            dest="settings",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="a key of the setup and its value, read as TOML",
        ),
        *(_key_option(key) for name, key in KEYS.items() if name not in NOT_OPTIONS),
        option(
            "--weights",
            metavar="FILE.npz",
            help="your own initial weights (W0, b0, W1, b1, … W[out, in]): are they unlucky?",
        ),
        option(
            "--seeds",
            metavar="N",
            type=integer(1, 9_999_999),
            default=1000,
            help="seeds to try each change on (default: 1000)",
        ),
        option(
            "--seconds",
            metavar="S",
            type=number("a number from 1 to 86,400", lambda seconds: 1 <= seconds <= 86_400),
            default=60.0,
            help="take at most this long (default: 60); compiling, once for a machine, may take "
            "longer",
        ),
        option(
            "-o",
            "--folder",
            metavar="DIR",
            type=output_folder,
            help="also write DIR/diagnosis.html, a table, a picture and a sweep file",
        ),
        option(
            "--json",
            action="store_true",
            dest="as_json",
            help="print one JSON object instead of text",
        ),
    ],
    place="folder",
)
main.run_if_main(__name__)
