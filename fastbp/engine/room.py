"""What room there is for us: memory and disk."""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from fastbp.engine.cores import control_groups


class Disk(NamedTuple):
    """What a user may still write: bytes, and how many files (where the file system counts them)."""

    bytes: int
    files: int | None


def memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may have, with those that it has: what is available on the machine and under the limits of its
    control group (Linux, versions 2 and 1). None where the system does not say."""
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        for folder in control_groups(root, "memory"):
            free = min(free, _left(folder, free))
        return max(free, 0) + resident(root)
    return None


def resident(root: Path = Path("/")) -> int:
    """Bytes that this process has in memory; 0 where the system does not say."""
    with suppress(OSError, ValueError):
        return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _left(folder: Path, free: int) -> int:
    """What a control group leaves, and `free` where it has no limit: file caches give way, so they are not counted as used."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError, StopIteration):
            most = int((folder / limit).read_text())  # "max" where there is none
            lines = (folder / "memory.stat").read_text().splitlines()
            reclaimed = next(int(line.split()[1]) for line in lines if line.split()[0] == cache)
            return most - int((folder / used).read_text()) + reclaimed
    return free


def disk(path: Path) -> Disk | None:
    """What may be written below a path, which need not exist yet. None where the system does not say."""
    with suppress(OSError, AttributeError):
        there = next(folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir())
        found = os.statvfs(there)
        if not found.f_blocks:  # no disk, or one behind a network that does not tell
            return None
        return Disk(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
    return None
