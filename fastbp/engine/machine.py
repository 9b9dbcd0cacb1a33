"""How many cores there are for us."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    pass


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the processor quota of its control group
    (Linux, versions 2 and 1).
    """
    affinity: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    for quota in _quotas(root):
        cores = min(cores, max(1, ceil(quota)))
    return cores


def _quotas(root: Path) -> Iterator[float]:
    """Processor quotas in cores, of the process's own group and those above it."""
    for folder in control_groups(root, "cpu"):
        yield from _quota(folder)


def control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the process's own control group and those above it (Linux, versions 2 and
    1).
    """
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            base = root / "sys/fs/cgroup" / (controller if controllers else "")
            if controllers and controller not in controllers.split(","):
                continue
            group = base / path.lstrip("/")
            for folder in [group, *group.parents]:
                if not folder.is_relative_to(base):
                    break
                yield folder


def _quota(folder: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (folder / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)
    with suppress(OSError, ValueError):
        quota_us = int((folder / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            yield quota_us / int((folder / "cpu.cfs_period_us").read_text())


class Disk(NamedTuple):
    """What a user may still write: bytes, and how many files (where the file system counts
    them).
    """

    bytes: int
    files: int | None


def memory(root: Path = Path("/")) -> int | None:
    """Bytes that this process may have, with those that it has: what is available on the machine
    and under the limits of its control group (Linux, versions 2 and 1). None where the system does
    not say.
    """
    with suppress(OSError, ValueError, StopIteration):
        lines = (root / "proc/meminfo").read_text().splitlines()
        free = 1024 * next(
            int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")
        )
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
    """What a control group leaves, and `free` where it has no limit: file caches give way, so they
    are not counted as used.
    """
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
    """What may be written below a path, which need not exist yet. None where the system does not
    say.
    """
    with suppress(OSError, AttributeError):
        there = next(
            folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir()
        )
        found = os.statvfs(there)
        if not found.f_blocks:  # no disk, or one behind a network that does not tell
            return None
        return Disk(found.f_bavail * found.f_frsize, found.f_favail if found.f_files else None)
    return None


def cpu_name() -> str:
    """The processor, as the system and as the compiler call it."""
    from llvmlite import binding

    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as info:
            name = next(
                (line.split(":", 1)[1].strip() for line in info if line.startswith("model name")),
                name,
            )
    except OSError:
        pass
    return f"{name} ({binding.get_host_cpu_name()})"
