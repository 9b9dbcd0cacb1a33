"""Read and write how the runs of a store were made: its `made.json` and `sweep.toml`."""

import json
import tomllib
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from fastbp.schema.text import is_deep, printable
from fastbp.store import safe_files
from fastbp.store.store import Store, writing

MAX_MADE = 50_000_000
"""The most bytes of `made.json`, some 100,000 commands."""

MAX_ENTRIES, MAX_PARTS = 100_000, 2_500_000
"""The most entries that are added to `made.json` at once, and the most parts that it has, as many
as those commands have: each takes memory, even the `{}` of three bytes."""


def read_made(store: Path) -> list[dict[str, Any]]:
    """The entries of `made.json`, one for each command that trained runs of a store.

    If the file is missing or damaged, there are none. Anything that is not an entry is left out.
    Raises UnsafeFileError and OSError if it cannot be read.
    """
    return _entries(store / "made.json", store) or []


def _entries(made: Path, store: Path) -> list[dict[str, Any]] | None:
    """The entries of a `made.json` of a store, none if there is no file; None if it is damaged.

    Raises UnsafeFileError and OSError if it cannot be read.
    """
    try:
        text = safe_files.text_of(made, store, MAX_MADE)
        entries = None if _is_too_large(text) else json.loads(text)
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError):
        return None
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else None


def add_made(store: Store, entries: Iterable[dict[str, Any]]) -> None:
    """Append entries to `made.json`, unless it has them already; the oldest may make room.

    A damaged file is moved into `quarantine/`.

    Raises
    ------
    StoreFullError
        If the file cannot be written.
    """
    made = store.path / "made.json"
    added = dict.fromkeys(islice(map(json.dumps, entries), MAX_ENTRIES))
    with writing(made):
        found = _entries(made, store.path) or _entries(made, store.path)  # it may have been away
        if is_damaged := found is None and bool(added):  # what is moved may be sound by now
            found = _entries(safe_files.set_aside(made, store.path), store.path)
    before = dict.fromkeys(map(json.dumps, found or []))  # in linear time, however many there are
    lines = [*(before | added)]
    if is_damaged or len(lines) > len(before):
        while _is_too_large(content := "[\n" + ",\n".join(lines) + "\n]"):
            lines = lines[len(lines) // 2 + 1 :]
        store.write(made, content.encode())


def _is_too_large(text: str) -> bool:
    return len(text) > MAX_MADE or sum(map(text.count, "[{,")) > MAX_PARTS


class LatestSweep(NamedTuple):
    """What the `sweep.toml` of a store says about the latest sweep.

    Attributes
    ----------
    title : str
        Its title, on one line.
    seeds : int
        The number of seeds of each setup, unless `counts` has others.
    baseline : str or None
        Id of the setup that `[setup]` alone makes; None if it makes none.
    setups : tuple of str
        Ids of the setups.
    counts : tuple of int
        The number of seeds of each of `setups`, if these numbers differ; else empty.
    published : tuple of (dict, tuple of str)
        Tables of figures that papers printed, each with the ids of its setups.
    """

    title: str = ""
    seeds: int = 0
    baseline: str | None = None
    setups: tuple[str, ...] = ()
    counts: tuple[int, ...] = ()
    published: tuple[tuple[dict[str, Any], tuple[str, ...]], ...] = ()

    @property
    def seeds_by_setup(self) -> dict[str, int]:
        """The number of seeds of each setup, by setup id."""
        return dict(zip(self.setups, self.counts or [self.seeds] * len(self.setups), strict=True))


def latest_sweep(store: Path) -> LatestSweep:
    """Read the `sweep.toml` of a store. A file that is missing or invalid counts as empty."""
    try:
        text = safe_files.text_of(store / "sweep.toml", store, safe_files.MAX_SWEEP)
        data = {} if is_deep(text) else tomllib.loads(text)
        seeds, resolved = data.get("seeds", 0), data.get("resolved", {})
        count = int(seeds.get("count", 0) if isinstance(seeds, dict) else seeds)
        baseline, ids = resolved.get("baseline", ""), resolved.get("setups", [])
        counts = tuple(int(each) for each in resolved.get("seeds", []))
        if not (
            all(0 <= each < 1 << 63 for each in (count, *counts))
            and len(counts) in (0, len(ids))
            and isinstance(baseline, str)
            and isinstance(ids, list)
        ):
            return LatestSweep()
        figures, their_setups = data.get("published", []), resolved.get("published", [])
        return LatestSweep(
            # whatever breaks lines or turns them round is no part of a title
            printable(" ".join(str(data.get("title", "")).split())),
            count,
            baseline or None,
            tuple(map(str, ids)),
            counts,
            # a file of somebody's own names no setups
            tuple(
                (dict(one), tuple(map(str, setups)))
                for one, setups in zip(figures, their_setups, strict=False)
            ),
        )
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return LatestSweep()
