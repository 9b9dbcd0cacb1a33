"""`python -m benchmarks.machine` answers with what it measures on: processor, cores, versions."""

import platform
from importlib.metadata import version

import numba

from benchmarks.children import say
from fastbp.engine.cores import available_cores
from fastbp.engine.run import cpu_name

if __name__ == "__main__":
    packages = ("fastbp", "numba", "llvmlite", "numpy", "pandas", "pyarrow")
    say(
        {
            "CPU": cpu_name(),
            "cores": str(available_cores()),
            "system": platform.system(),
            "Python": platform.python_version(),
            **{package: version(package) for package in packages},
            "Numba threads": numba.config.THREADING_LAYER,
        }
    )
