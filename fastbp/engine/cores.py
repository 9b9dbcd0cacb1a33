"""How many cores there are for us."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any


def available_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: its affinity, and the processor quota of its control group (Linux, versions 2 and 1)."""
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
    """The folders of the process's own control group and those above it (Linux, versions 2 and 1)."""
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
