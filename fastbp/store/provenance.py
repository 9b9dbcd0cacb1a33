"""Read and write how the runs of a store were made: its `made.json` and `sweep.toml`."""

import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from fastbp.schema.text import is_deep, printable
from fastbp.store import safe_files
from fastbp.store.store import Store, writing

MAX_MADE, MAX_SWEEP = 50_000_000, 4_000_000
"""The most bytes of `made.json`, some 100,000 commands, and of `sweep.toml`."""

MAX_PARTS = 4_000_000
"""The most parts of `made.json`, half as many again as those commands have: each takes memory, even
the `{}` of three bytes."""


def read_made(store: Path) -> list[dict[str, Any]]:
    """The entries of `made.json`, one for each command that trained runs of a store.

    If the file is missing or damaged, there are none. Anything that is not an entry is left out.
    """
    with suppress(OSError):
        return _entries(store) or []
    return []


def _entries(store: Path) -> list[dict[str, Any]] | None:
    """The entries of `made.json`, none if there is no file; None if it is damaged.

    Raises UnsafeFileError and OSError if it cannot be read.
    """
    try:
        text = safe_files.text_of(store / "made.json", store, MAX_MADE)
        entries = json.loads(text) if sum(map(text.count, "[{,")) <= MAX_PARTS else None
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError):
        return None
    return [e for e in entries if isinstance(e, dict)] if isinstance(entries, list) else None


def add_made(store: Store, *entries: dict[str, Any]) -> None:
    """Append entries to `made.json`, unless it has them already; the oldest may make room.

    A damaged file is moved into `quarantine/`.

    Raises
    ------
    StoreFullError
        If the file cannot be written.
    """
    with writing(store.path / "made.json"):
        found = _entries(store.path)
    lines = [json.dumps(entry) for entry in found or []]
    known = {*lines}  # in linear time, however many there are
    if new := [line for line in map(json.dumps, entries) if line not in known]:
        if found is None:
            with writing(store.path / "made.json"):
                safe_files.set_aside(store.path / "made.json", store.path)
        lines += new
        while sum(map(len, lines)) + 2 * len(lines) + 2 > MAX_MADE:
            lines = lines[len(lines) // 2 + 1 :]
        content = "[\n" + ",\n".join(lines) + "\n]"
        store.write(store.path / "made.json", content.encode())


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
        text = safe_files.text_of(store / "sweep.toml", store, MAX_SWEEP)
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
