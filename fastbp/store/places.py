"""Tell what is in a store from what is beside it, and write files that are not of a store."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from fastbp.schema.errors import StoreError, UnsafeFileError
from fastbp.store import safe_files
from fastbp.store.filename import run_files

MAX_STEPS = 10_000
"""Most steps on the way to a path: links may lead in a circle."""

FOLDERS = ("runs", "tmp", "problems", "replays", "quarantine", "figures")
"""The folders of a store."""


def is_store(folder: Path) -> bool:
    """Whether a folder is a store: it has `made.json`, or `runs` and also a run or a lock."""
    with suppress(OSError, StoreError):
        made, lock, runs = (os.path.lexists(folder / n) for n in ("made.json", "lock", "runs"))
        return made or (runs and (lock or any(run_files(folder / "runs"))))
    return False


def link_in_store(path: Path) -> Path | None:
    """The first link in a store on the way to a path, wherever that begins; None without any."""
    here, names = Path("/"), [*reversed(path.absolute().parts[1:])]
    with suppress(OSError, ValueError):  # it is no path
        for _ in range(MAX_STEPS):
            if not names:
                break
            step = here / names.pop()
            if step.name == "..":
                here = here.parent
            elif not os.path.islink(step):
                here = step
            elif any(map(is_store, step.parents)):
                return step
            else:
                here, parts = Path("/"), (here / os.readlink(step)).parts
                names += reversed(parts[1:])
    return None


def is_in_store(path: Path) -> bool:
    """Whether a path leads into a folder that stores have, or through a link in a store."""
    real = path
    with suppress(OSError, ValueError):  # it is no path
        real = Path(os.path.realpath(path))
    folders = (each for each in (real, *real.parents) if each.name in FOLDERS)
    return any(is_store(each.parent) for each in folders) or link_in_store(path) is not None


def make_folder(folder: Path) -> None:
    """Make a folder that is not of a store, and hold it. Raises UnsafeFileError and OSError."""
    refuse_links(folder)
    safe_files.make(folder)
    safe_files.hold(folder)
    refuse_links(folder)  # one may have come meanwhile


def refuse_links(folder: Path) -> None:
    """Raise UnsafeFileError if a link in a store leads to a folder."""
    if link := link_in_store(folder):
        raise UnsafeFileError(link, "it is a link, not a folder")


def write_all(files: Mapping[Path, bytes], folder: Path) -> None:
    """Write files below a folder that is not of a store. Raises UnsafeFileError and OSError."""
    with safe_files.held(folder):
        make_folder(folder)
        for path, content in files.items():
            safe_files.write(path, content, folder)
