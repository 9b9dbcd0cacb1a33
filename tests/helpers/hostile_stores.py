"""Stores in which strangers have changed something, each made anew from its number, and a process
in which commands use them.

`python tests/helpers/hostile_stores.py FIRST COUNT` repeats some.
"""

import contextlib
import io
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from commands import any_command
from fake_runs import replaced
from fuzz_inputs import (
    CSV,
    KINDS,
    NUMBERS,
    OF_FILES,
    OF_ONE,
    Draw,
    by_hand,
    mutant,
    mutated,
    repeat,
)
from stores import replaced_by, tree, unchanged

import fastbp
from fastbp.cli import process
from fastbp.reporting import build, gallery, html_tables
from fastbp.reporting.build import Report
from fastbp.schema.columns import COLUMNS, schema
from fastbp.schema.errors import StoreError
from fastbp.store import parquet

PAGE = '<h1><bdi>t</bdi></h1><section class="verdict"><p>a</p><figure>aria-label="f"'
FILES = {
    "report.html": f'{PAGE} href="figures/one.svg"',
    "figures/one.svg": "<svg/>",
    "quarantine/old.parquet": "old",
    "replays/old.parquet": "old",
    "tmp/x.1.draft": "",
    "tmp/notes.txt": "mine",
}
"""What a store has besides what a sweep writes."""

ODD = ("two\nlines", "\x1b[2J", "\udcff", "-rf", "*", ".hidden", "n" * 255, "\u202egnp.parquet",
       "_metadata", "x.2.draft", "a.npz", f"{'0' * 12}-0-3-{'0' * 16}.parquet")  # fmt: skip
"""Names of copies."""

PLACES = ("lock", "made.json", "sweep.toml", "report.html", "summary.csv", "contrasts.csv", "runs",
          "attribution.csv", "published.csv", "tmp", "problems", "replays", "quarantine", "figures",
          "figures/one.svg", *ODD)  # fmt: skip
"""What is attacked in a store, besides its files."""

ENDS = ("../theirs", "../theirs/notes.txt", "../theirs/runs", "../theirs/pipe", "/dev/zero", ".",
        "nowhere", "../theirs/new", "lock", "made.json", "runs")  # fmt: skip
"""Where links lead."""

HOSTILE: dict[str, list[object]] = {
    "word": [
        "",
        "none",
        "converged",
        "file:/etc/passwd",
        "two\nlines\x1b[2J",
        "9" * 400,
        "xor",
        "8",
    ],
    "integer": [-1, 0, 1, 2**53 + 1, 2**63 - 1, -(2**63)],
    "real": [-1.0, 0.0, float("nan"), float("inf"), -1e308, 5e-324],
    "flag": [True, False],
    "reals": [[], [float("nan")], [1e38] * 9],
}
"""Values of columns, besides null."""

SAID = ("fastbp.numerics", "fastbp.problem", "fastbp.schema", "fastbp.version", "x")
"""What the footer of a file of runs has."""


def crafted(draw: Draw, path: Path) -> None:
    """Another file of runs in the place of one, sealed and named as it should be."""
    rows, said = parquet.read_as_written(path)
    for column in draw.sample(COLUMNS, draw.choice((0, 1, 1, 2))):
        known = [*HOSTILE[column.kind], None, *rows[column.name].to_pylist()]
        values = draw.choices(draw.choice((known, draw.sample(known, 1))), k=rows.num_rows)
        rows = replaced(rows, column.name, pa.array(values, schema().field(column.name).type))
    said[draw.choice(SAID)] = draw.choice(["", "0", "99999", "\x1b[2J", "../lock", "a" * 64])
    content, digest = parquet.encode(rows, said)
    path.unlink()
    path.with_name(f"{path.name[:-24]}{digest[:16]}.parquet").write_bytes(content)


FAULTS: tuple[Callable[[Draw, Path], object], ...] = (
    *[
        lambda draw, path: path.write_bytes(
            mutated(draw, path.read_bytes() or b" ", "toml" if path.suffix == ".toml" else "json")
        )
    ]
    * 4,
    *[crafted] * 8,
    *[  # whoever can change bytes can seal them
        lambda draw, path: path.write_bytes(
            parquet.sealed(mutated(draw, path.read_bytes() or b" ", "parquet").ljust(12))
        )
    ]
    * 3,
    lambda draw, path: replaced_by(
        path, lambda new: new.write_bytes(mutant(draw.choice(KINDS), draw.randrange(10_000)))
    ),
    lambda draw, path: replaced_by(path, lambda new: new.symlink_to(draw.choice(ENDS))),
    lambda draw, path: replaced_by(path, lambda new: os.link("theirs/notes.txt", new)),
    lambda draw, path: replaced_by(path, lambda new: shutil.copytree("theirs/runs", new)),
    lambda draw, path: replaced_by(path, os.mkfifo),
    lambda draw, path: replaced_by(path, str),  # it is gone
    lambda draw, path: os.truncate(
        path, draw.choice((0, 1, 30_000_000, 2**31 - 1, 1 << 32, 1 << 40))
    ),
    lambda draw, path: path.rename(
        path.with_name(NUMBERS.sub(draw.choice(OF_ONE), path.name.encode(), 1).decode()[:250])
    ),
    lambda draw, path: shutil.copy(path, path.with_name(draw.choice(ODD))),
    lambda draw, path: shutil.copy(draw.choice(sorted(Path("sound").rglob("*.*"))), path),
)
"""What strangers do at a place in a store."""


def attack(draw: Draw, store: Path) -> None:
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        there = sorted(path for path in store.rglob("*") if path.is_file())
        place = draw.choice((*there, *there, *(store / name for name in PLACES)))
        # not at the end of a link, and not what has another name
        if os.path.realpath(place) == os.path.abspath(place) and (
            not place.exists() or place.is_dir() or (place.is_file() and place.stat().st_nlink == 1)
        ):
            # where it cannot be done, as with a file of a terabyte, the place stays as it is
            with contextlib.suppress(OSError, ValueError, MemoryError, StoreError):
                draw.choice(FAULTS)(draw, place)


Use = str | Callable[[Path], object]
"""A command, or what is called with the path of a store."""

QUICK: tuple[Use, ...] = (
    fastbp.load,
    lambda store: gallery.text(Path(), {"sound": "", str(store): ""}, ""),
    html_tables.provenance,
    "sweep store/sweep.toml -o store --dry-run",
)
"""One of these is tried on most stores."""

READERS: tuple[Use, ...] = (
    *QUICK,
    "report store",
    "report store --all-runs",
    "compare sound store",
    "verify store --replay 1",
)
"""Two of these are tried on the others, and `fastbp verify`."""

RESUME = "sweep mine.toml -o store --no-report --quiet"

WRITERS: tuple[tuple[str, ...], ...] = (
    ("verify store --repair", RESUME, "verify store"),
    (RESUME, "verify store"),
    ("merge store sound", "verify store"),
    ("merge store", "verify store"),
    ("merge merged store", "verify merged"),
)
"""One of these is tried then, its commands one after the other."""

SLOW, EVERY = 1_000, 20
"""All this is tried on so many of the first stores, and then on each of so many."""

PAGES = 40
"""Reports of one store in so many have a page."""


def used(use: Use, done: list[str]) -> str:
    """Use a store, and add to `done` what is wrong with what came of it: anything but the errors
    that users can cause, in lines. Returns the digest of a sound store, or else the exit code."""
    code = -1
    with (
        contextlib.redirect_stdout(io.StringIO()) as out,
        contextlib.redirect_stderr(io.StringIO()) as err,
    ):
        try:
            code = (
                any_command(use.split())
                if isinstance(use, str)
                else process.exit_code(
                    lambda: int(not [use(Path("store"))]), Path(), [Path("store")]
                )
            )
        except Exception as error:
            done.append(f"{use}: {type(error).__name__}: {str(error)[:500]}")
    lines = err.getvalue().splitlines() + out.getvalue().splitlines()
    told = sum(line.startswith("fastbp: ") for line in lines)
    if (
        code not in (0, 2, 3, 4)
        or (told > (code > 0) and code != 2)
        or (code > 0 and not lines)
        or not all(line.isprintable() and len(line) < 3_000 for line in lines)
    ):
        done.append(f"{use}: {code}, {lines}"[:2_000])
    return out.getvalue().partition("sha256 of all rows: ")[2].strip() or f"{code}"


def runs_in(*folders: Path) -> set[bytes]:
    """The contents of the small files in these folders, but not at the ends of links."""
    return {
        path.read_bytes()
        for folder in folders
        if folder.is_dir() and not folder.is_symlink()
        for path in folder.iterdir()
        if path.is_file() and not path.is_symlink() and path.stat().st_size < 10**6
    }


def prepare(folder: Path) -> Callable[[int], list[str]]:
    """Make a sound store in the current folder, and one of somebody else. Returns what changes a
    copy of the first as a number says, uses it, and says what is wrong then."""
    drawn = build.write_page

    # without its pictures, a report takes a hundredth of the time
    def undrawn(report: Report, key: object, write: Callable[..., object], tick: object) -> object:
        return build.write_tables(report, write)

    build.write_page = undrawn
    sweep = OF_FILES.replace('["file:good.csv", "file:./good.parquet"]', '["file:good.csv"]')
    tree(folder, {"good.csv": CSV[0].decode(), "mine.toml": sweep})
    wrong: list[str] = []
    for options in (" --shard 1/2", ""):
        used(RESUME.replace("store", "sound") + options, wrong)
    shutil.copytree(tree(folder / "sound", FILES), "theirs")
    os.mkfifo(tree(folder / "theirs", {"notes.txt": "theirs"}) / "pipe")
    digest = used("verify sound", wrong)
    assert wrong == []
    assert all(map(by_hand, KINDS))  # before memory and time are limited

    def attempt(number: int) -> list[str]:
        draw, store, done = Draw(f"store {number}"), Path("store"), list[str]()
        shutil.copytree("sound", store)
        build.write_page = undrawn if number % PAGES else drawn
        attack(draw, store)
        kept = runs_in(folder / "sound" / "runs") & runs_in(store / "runs")
        honest = {path.name for path in store.glob("runs/*")} <= {*os.listdir("sound/runs")}
        with unchanged(folder / "theirs"):
            uses: tuple[Use, ...] = (draw.choice(QUICK),)
            if number < SLOW or number % EVERY == 0:
                uses = (*draw.sample(READERS, 2), "verify store", *draw.choice(WRITERS))
            codes = [used(use, done) for use in uses]
        before, *made, after = codes[2:] or ("", "")
        allowed = {digest} if RESUME in uses and "0" in made[-1:] else {before, digest}
        if honest and len(after) == len(digest) and after not in allowed:
            done.append(f"{uses}: other rows")
        joined = "merge store" in uses and before == after != "3"
        if not joined and kept - runs_in(store / "runs", store / "quarantine"):
            done.append(f"{uses}: a sound file is lost")
        for place in ("store", "merged"):
            replaced_by(Path(place), str)
        return done

    return attempt


if __name__ == "__main__":
    repeat(prepare, int(sys.argv[1]), int(sys.argv[2]), 10.0, 1_000)
