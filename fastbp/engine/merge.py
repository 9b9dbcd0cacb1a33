"""Stores united: machines that share nothing each train a shard, and their rows are the same
wherever they were made.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastbp.config.sweep import Sweep
from fastbp.engine import integrity
from fastbp.engine.integrity import place
from fastbp.engine.plan import missing
from fastbp.schema.errors import FileError, StoreError, SweepError
from fastbp.store import parquet
from fastbp.store.filename import Range
from fastbp.store.store import Store


class Merged(NamedTuple):
    """What a merge did."""

    files: int
    """Written."""
    runs: int
    there: int
    """Runs that were there already."""


def merge(
    into: Store, sources: Sequence[Store], tick: Callable[[str], None] = lambda what: None
) -> Merged:
    """Bring all runs of some stores into one, which is locked. Nothing is written before everything
    has been read and checked.

    Where seeds are in two stores, their rows must be the same, and only what is missing is written;
    so a merge that was killed is gone on with by the same again. Raises StoreError where a store is
    not sound, is of another numerics version than the others, or where rows differ, with the names
    of the files; and StoreFullError.
    """
    versions: dict[str, Path] = {}
    keys: dict[str, tuple[str, Path]] = {}
    for store in (into, *sources) if any(into.files()) else sources:
        path = store.path

        def show(done: int, of: int, path: Path = path) -> None:
            tick(f"reading {path}: {done:,} of {of:,} files")

        checked = integrity.check(store, show)
        if checked.findings:
            told = "; ".join(f"{finding.file} ({finding.why})" for finding in checked.findings[:3])
            more = f" and {len(checked.findings) - 3:,} more" if len(checked.findings) > 3 else ""
            raise StoreError(f"{store.path} is not sound: {told}{more}; `fastbp verify` says more")
        versions.setdefault(_version(next(store.files())), store.path)
        for setup, own in checked.keys.items():
            if (known := keys.setdefault(setup, (own, path)))[0] != own:
                different = (json.loads(known[0]).items() ^ json.loads(own).items()) or ()
                told = ", ".join(sorted({name for name, _ in different}))
                raise StoreError(
                    f"{known[1]} and {path} have setup {setup} with another {told}: their outcomes do not mix"
                )
    if len(versions) > 1:
        raise StoreError(
            "; ".join(
                f"{path} holds runs of numerics version {version}"
                for version, path in versions.items()
            )
        )
    try:
        wanted = _wanted(into, sources)
        _beside(
            into, sources
        )  # before the runs, which would not be sound without their problems if this were killed
        return _written(into, wanted, tick)
    except FileError as error:  # since it was checked
        raise StoreError(str(error)) from error


def _written(
    into: Store, wanted: Sequence[tuple[Path, list[Range]]], tick: Callable[[str], None]
) -> Merged:
    """Write what is wanted. Raises FileError and StoreFullError."""
    written = runs = there = 0
    for number, (path, gaps) in enumerate(wanted):
        tick(f"writing: {number:,} of {len(wanted):,} files")
        setup, start = place(path)
        count = int(path.name.split("-")[2])
        there += count - sum(gap for _, gap in gaps)
        if gaps == [(start, count)]:
            into.write(into.runs / path.name, parquet.contents(path)[0])
        elif gaps:
            rows, said = parquet.read(path)
            for first, some in gaps:
                into.publish(setup, first, rows.slice(first - start, some), said)
        written += len(gaps)
        runs += sum(some for _, some in gaps)
    return Merged(written, runs, there)


def _version(path: Path) -> str:
    return parquet.contents(path)[1].get("fastbp.numerics", "")


def _wanted(into: Store, sources: Iterable[Store]) -> list[tuple[Path, list[Range]]]:
    """Each file of the sources, and the seeds of it that are nowhere before it. Raises StoreError
    where rows differ.
    """
    known: dict[str, list[tuple[int, int, Path]]] = {}
    names = set()
    wanted, different = [], []
    for store in (into, *sources):
        for path in sorted(store.files(), key=place):
            setup, start = place(path)
            count = int(path.name.split("-")[2])
            others = known.setdefault(setup, [])
            if path.name not in names:  # the same name is the same digest
                for first, many, other in others:
                    if (
                        first < start + count
                        and start < first + many
                        and not integrity.agree(other, path)
                    ):
                        different.append(f"{path} and {other}")
            if store is not into:
                wanted.append(
                    (path, missing((start, count), [(first, many) for first, many, _ in others]))
                )
            others.append((start, count, path))
            names.add(path.name)
    if different:
        more = f", and {len(different) - 3:,} more pairs" if len(different) > 3 else ""
        raise StoreError(
            f"these have other rows for the same seeds: {', '.join(different[:3])}{more}; nothing was written"
        )
    return wanted


def _seen_from(folder: Path, sweep: Path) -> bytes:
    """A sweep file as it is to lie in another folder: the way to a problem's file is another one
    from there.
    """
    try:
        return Sweep.from_toml(sweep).to_toml(folder).encode()
    except SweepError:  # made where that file is
        return sweep.read_bytes()


def _beside(into: Store, sources: Iterable[Store]) -> None:
    """What else a store holds: problems, the sweep, and how runs were made."""
    entries: list[Any] = []
    for store in (into, *sources):
        for path in sorted((store.path / "problems").glob("*.npz")):
            if not (into.path / "problems" / path.name).exists():
                into.write(into.path / "problems" / path.name, path.read_bytes())
        sweep = store.path / "sweep.toml"
        if sweep.exists() and not (into.path / "sweep.toml").exists():
            into.write(into.path / "sweep.toml", _seen_from(into.path, sweep))
        try:
            own = json.loads((store.path / "made.json").read_text())
        except (OSError, ValueError):
            continue
        entries += [
            entry for entry in (own if isinstance(own, list) else []) if entry not in entries
        ]
    if entries:
        into.write(into.path / "made.json", json.dumps(entries, indent=1).encode())
