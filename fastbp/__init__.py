"""Train one small network from thousands of seeds, and see how often it converges or collapses.

>>> import fastbp
>>> keys = {"problem": "xor", "hidden": [2], "epochs": 5_000, "lr": 0.5}
>>> sweep = fastbp.Sweep(title="xor", seeds=1_000, setup=keys)
>>> runs = fastbp.run(sweep)          # doctest: +SKIP
>>> fastbp.summary(runs)              # doctest: +SKIP
"""

import os
import signal
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not see what is looked up when first used
    from fastbp.analysis.attribution import attribution as attribution
    from fastbp.analysis.comparison import comparison as comparison
    from fastbp.analysis.contrasts import contrasts as contrasts
    from fastbp.analysis.summary import summary as summary, survival as survival
    from fastbp.config.setup import Setup as Setup
    from fastbp.config.sweep import Sweep as Sweep
    from fastbp.diagnosis.diagnose import explain as explain
    from fastbp.engine.driver import run as run
    from fastbp.engine.retrain import retrain as retrain
    from fastbp.gradcheck.check import check_gradients as check_gradients
    from fastbp.reporting import plots as plots
    from fastbp.reporting.sections.outcomes_section import table as table
    from fastbp.schema.errors import SweepError as SweepError
    from fastbp.store.load import load as load

__version__ = "0.1.0"


def _set_environment() -> None:
    """Set the environment of a command and of the processes that it starts."""
    # whatever package starts them, they import nothing from the current folder
    os.environ["PYTHONSAFEPATH"] = os.environ["FASTBP_COMMAND"] = "1"
    if _ImportedElsewhere not in sys.meta_path:
        sys.meta_path.insert(0, _ImportedElsewhere)
    # with more threads OpenBLAS never returns where it finds no memory for them; nothing needs them
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Dask advises against large tasks, such as those of large tables
    os.environ["DASK_DISTRIBUTED__ADMIN__LARGE_GRAPH_WARNING_THRESHOLD"] = "1 TB"
    # packages may fail as they tidy up, as after a bad connection: nothing depends on it
    sys.unraisablehook = lambda unraisable: None
    # packages take a home that nobody knows for a folder `~` in the current one
    if not os.path.isabs(os.path.expanduser("~")):
        os.environ["HOME"] = "/"
    # no command opens a window, uses Numba's threads, writes a date into a picture or wants other
    # types of NumPy and pandas, and with some values of these packages cannot even be imported
    numeric = ("NUMBA_NUM_THREADS", "NPY_PROMOTION_STATE", "PANDAS_FUTURE_INFER_STRING")
    for name in ("MPLBACKEND", "SOURCE_DATE_EPOCH", *numeric):
        os.environ.pop(name, None)


class _ImportedElsewhere:
    """Finds packages that read settings from the current folder, which may be a stranger's.

    They are imported while another folder is the current one.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in ("matplotlib", "numba"):
            return None
        spec = PathFinder.find_spec(name, path)
        if spec and spec.loader:
            spec.loader.exec_module = partial(_run_elsewhere, spec.loader.exec_module)  # type: ignore[method-assign]
        return spec


def _run_elsewhere(run: Callable[[ModuleType], None], module: ModuleType) -> None:
    import tempfile

    for name in ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        if folder := os.environ.get(name):
            os.environ[name] = os.path.abspath(folder)
    with ExitStack() as back:
        with suppress(OSError):
            tempfile.gettempdir()  # where there is no other, it is the current folder
        with suppress(PermissionError):  # where no file can be opened, no settings are
            # it may not be readable
            here = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))
            back.callback(os.close, here)
            back.callback(os.fchdir, here)
            os.chdir(sys.prefix)
        try:
            run(module)
        except Exception as error:  # as by settings that are a link to themselves
            from fastbp.schema import errors, text

            errors.raise_memory_error(error)
            raise errors.SweepError(
                [f"{module.__name__} cannot be imported: {text.first_line(error)}"]
            ) from error
    if config := sys.modules.get("numba.core.config"):
        config.reload_config = lambda: None  # type: ignore[attr-defined]  # of each compilation


def _ignore_signals() -> None:
    """The last that a command does before Python takes its handlers away."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


# Python looks for the module of `python -m fastbp.sweep`: NumPy is not loaded yet
if sys.argv[:1] == ["-m"] and any(
    arg.partition(".")[0].removeprefix("-m") == "fastbp" for arg in sys.orig_argv
):
    _set_environment()
elif "FASTBP_COMMAND" in os.environ:  # a command has set it for a process that it started
    sys.meta_path.insert(0, _ImportedElsewhere)

_HOMES = {
    "Setup": "config.setup",
    "Sweep": "config.sweep",
    "SweepError": "schema.errors",
    "attribution": "analysis.attribution",
    "check_gradients": "gradcheck.check",
    "comparison": "analysis.comparison",
    "contrasts": "analysis.contrasts",
    "explain": "diagnosis.diagnose",
    "load": "store.load",
    "plots": "reporting.plots",
    "retrain": "engine.retrain",
    "run": "engine.driver",
    "summary": "analysis.summary",
    "survival": "analysis.summary",
    "table": "reporting.sections.outcomes_section",
}
"""The module of each public name, relative to `fastbp`."""

__all__ = sorted(["__version__", *_HOMES])  # noqa: PLE0605


def __getattr__(name: str) -> Any:
    # Looked up when first used: `fastbp sweep --help` needs neither Numba nor pandas, and reading
    # results needs no Numba.
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    module = import_module(f"fastbp.{_HOMES[name]}")
    return module if name == "plots" else getattr(module, name)


def __dir__() -> list[str]:
    # The public names, without what this file is made of.
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
