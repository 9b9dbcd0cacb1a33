"""Build and parse the names of files of runs, SETUP-START-COUNT-DIGEST.parquet."""

import os
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from fastbp.schema.errors import RunsError, remedy
from fastbp.schema.keys import LAST_SEED
from fastbp.schema.text import nearest, plain
from fastbp.store import safe_files
from fastbp.store.places import RUN_FILE

Range = tuple[int, int]
"""Seeds start … start + count − 1, as (start, count)."""


@dataclass(frozen=True)
class RunFile:
    """The name of a file of runs, which has runs of one setup for consecutive seeds.

    Attributes
    ----------
    path : Path
        The file.
    setup : str
        Id of the setup, 12 hex digits.
    start, count : int
        First seed and number of seeds.
    digest : str
        First 16 hex digits of the digest of its rows.
    """

    path: Path
    setup: str
    start: int
    count: int
    digest: str

    @classmethod
    def parse(cls, path: Path) -> Self | None:
        """Parse the name of a file; None if it is not the name of a file of runs."""
        match = RUN_FILE.fullmatch(path.name)
        if not match:
            return None
        setup, start, count, digest = match.groups()
        made = cls(path, setup, int(start), int(count), digest)
        return made if made.stop <= LAST_SEED else None

    @property
    def stop(self) -> int:
        """The seed after the last one."""
        return self.start + self.count

    @property
    def seeds(self) -> Range:
        """First seed and number of seeds."""
        return self.start, self.count


def name(setup: str, start: int, count: int, digest: str) -> str:
    """Build the name of a file of runs, with the first 16 hex digits of `digest`."""
    return f"{setup}-{start}-{count}-{digest[:16]}.parquet"


def runs_folder(store: Path) -> Path:
    """The folder of a store with its files of runs.

    Raises
    ------
    FileNotFoundError
        If there is no store at this path.
    PermissionError
        If it cannot be read.
    """
    if not os.path.isdir(store / "runs"):
        try:
            os.stat(store / "runs")
        except PermissionError:
            raise
        except (OSError, ValueError):
            pass  # it is not there
        if os.path.lexists(store):
            raise FileNotFoundError(f"{store} is not a store: it has no folder runs")
        raise FileNotFoundError(f"{store} does not exist{nearest(store.name, _stores(store))}")
    return store / "runs"


def _stores(beside: Path) -> list[str]:
    """The names of the stores beside a path; none if their folder cannot be read."""
    with suppress(OSError):
        return [each.parent.name for each in beside.parent.glob("*/runs") if each.is_dir()]
    return []


def run_files(folder: Path) -> Iterator[RunFile]:
    """The files of runs in a folder, sorted by name; none if the folder does not exist.

    Raises
    ------
    UnsafeFileError, OSError
        If it is a link, or cannot be read. It must not look empty, or its runs would be trained
        again.
    """
    root, *names = root_of(folder)
    files = (RunFile.parse(folder / name) for name in safe_files.listed(root, *names))
    yield from filter(None, files)


def all_names(store: Path) -> dict[Path, RunFile | None]:
    """All in the folder `runs` of a store but what is hidden, and which of it are files of runs.

    Raises as `safe_files.listed`.
    """
    return {
        store / "runs" / name: RunFile.parse(store / "runs" / name) if is_file else None
        for name, is_file in safe_files.listed(store, "runs").items()
        if not name.startswith(".")  # as a Mac makes them
    }


def root_of(runs: Path) -> tuple[Path, *tuple[str, ...]]:
    """The store of a folder with files of runs, and the name of the folder in it.

    A folder of another name is its own store.
    """
    return (runs.parent, runs.name) if runs.name == "runs" else (runs,)


def overlaps(files: Iterable[RunFile]) -> Iterator[tuple[RunFile, RunFile]]:
    """Yield pairs of files that share seeds of a setup.

    Without the second file of each pair, no two files share seeds. Of two files with equal seeds,
    the first in `files` is the first of the pair.
    """
    last: RunFile | None = None
    for file in sorted(files, key=lambda each: (each.setup, each.start, -each.count)):
        if last and last.setup == file.setup and file.start < last.stop:
            yield last, file
        else:
            last = file


def check_overlaps(files: Iterable[RunFile], store: Path) -> None:
    """Raise RunsError about the first two files that share seeds, if any do."""
    for one, other in overlaps(files):
        raise RunsError(
            f"{one.path} and {other.path.name} have runs of the same seeds: {remedy(store)}"
        )


def check_versions(versions: Collection[str], store: Path) -> None:
    """Raise RunsError if files of a store have several numerics versions."""
    if len(versions) > 1:
        raise RunsError(
            f"{store} holds runs of numerics versions {plain(' and '.join(sorted(versions)), 90)}, "
            "which do not mix: move those of one version to another folder"
        )
