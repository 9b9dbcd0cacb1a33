"""`python -m benchmarks.machine` answers with what it measures on: processor, cores, versions."""

import platform
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

import numba

from benchmarks.children import say
from fastbp.engine.machine import available_cores, cpu_name

PACKAGES = (
    "fastbp",
    "numba",
    "llvmlite",
    "numpy",
    "pandas",
    "pyarrow",
    "jax",
    "torch",
    "scikit-learn",
)


def versions() -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


if __name__ == "__main__":
    say(
        {
            "CPU": cpu_name(),
            "cores": str(available_cores()),
            "system": platform.system(),
            "Python": platform.python_version(),
            **versions(),
            "Numba threads": numba.config.THREADING_LAYER,
        }
    )
