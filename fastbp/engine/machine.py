"""What this process may use: cores, memory and disk."""

import os
import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil, inf
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path("/")


class Disk(NamedTuple):
    """Free space on a disk: bytes, and files if their number is limited."""

    bytes: int
    files: int | None


def available_cores(root: Path = ROOT) -> int:
    """Count the cores that this process may use.

    The bounds are its CPU affinity and the quotas of its control groups (Linux, versions 2 and 1).
    """
    affinity: Callable[[int], Any] | None = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, ceil(min([cores, *map(_cpu_quota, _control_groups(root, "cpu"))])))


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's control group and of those above it."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            base = root / "sys/fs/cgroup" / (controller if controllers else "")
            if not controllers or controller in controllers.split(","):
                group = base / path.lstrip("/")
                yield from (each for each in [group, *group.parents] if each.is_relative_to(base))


def _cpu_quota(folder: Path) -> float:
    """Cores that a control group may use; infinite if it has no quota."""
    with suppress(OSError, ValueError):  # ValueError: "max", which is no limit
        quota, period = map(int, (folder / "cpu.max").read_text().split())
        return quota / period
    with suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else inf
    return inf


def memory(root: Path = ROOT) -> int | None:
    """Bytes that this process may use, including those that it uses already.

    The bounds are the memory that the machine has available and the limits of its control groups
    (Linux, versions 2 and 1). None if the system does not report them.
    """
    with suppress(OSError, ValueError):
        free = _number_after("MemAvailable:", root / "proc/meminfo") * 1024
        limits = [_memory_left(folder) for folder in _control_groups(root, "memory")]
        return int(max(min([free, *limits]), 0)) + resident(root)
    return None


def resident(root: Path = ROOT) -> int:
    """Bytes of memory that this process uses now; 0 if the system does not report them."""
    with suppress(OSError, ValueError):
        return int((root / "proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _memory_left(folder: Path) -> float:
    """Bytes that a control group has left; infinite if it has no limit.

    File caches do not count as used: the system drops them when memory is short.
    """
    for limit, used, cache in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        with suppress(OSError, ValueError):  # ValueError: "max", which is no limit
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            return left + _number_after(cache, folder / "memory.stat")
    return inf


def _number_after(name: str, file: Path) -> int:
    """The number after a name at the start of a line in a file. Raises ValueError if missing."""
    (number,) = (
        line.split()[1] for line in file.read_text().splitlines() if line.partition(" ")[0] == name
    )
    return int(number)


def disk(path: Path) -> Disk | None:
    """Free space for files below a path, which need not exist yet. None if it is unknown."""
    with suppress(OSError, AttributeError, StopIteration):
        room = os.statvfs(
            next(
                folder for folder in (path.absolute(), *path.absolute().parents) if folder.is_dir()
            )
        )
        if room.f_blocks:  # 0 if there is no disk, or a network file system hides it
            return Disk(room.f_bavail * room.f_frsize, room.f_favail if room.f_files else None)
    return None


def cpu_name() -> str:
    """The name of the processor, by the system and by the compiler."""
    from llvmlite import binding

    name = platform.processor() or platform.machine()
    with suppress(OSError):
        models = (
            line.partition(":")[2]
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        )
        name = next(models, name).strip()
    return f"{name} ({binding.get_host_cpu_name()})"
