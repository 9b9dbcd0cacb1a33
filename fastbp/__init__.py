"""Train the same small sigmoid network from thousands of seeds and see how often it converges or
collapses.

>>> import fastbp
>>> sweep = fastbp.Sweep(title="xor", seeds=1_000, setup={"problem": "xor", "hidden": [2], "epochs": 5_000, "lr": 0.5})
>>> runs = fastbp.run(sweep)          # doctest: +SKIP
>>> fastbp.summary(runs)              # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastbp.analysis.attribution import attribution
    from fastbp.analysis.comparison import comparison
    from fastbp.analysis.contrasts import contrasts
    from fastbp.analysis.summary import summary, survival
    from fastbp.config.setup import Setup
    from fastbp.config.sweep import Sweep
    from fastbp.diagnosis.diagnose import explain
    from fastbp.engine.driver import run
    from fastbp.engine.retrain import retrain
    from fastbp.gradcheck.check import check_gradients
    from fastbp.reporting import plots
    from fastbp.schema.errors import SweepError
    from fastbp.store.load import load

__version__ = "0.1.0"

__all__ = [
    "Setup",
    "Sweep",
    "SweepError",
    "__version__",
    "attribution",
    "check_gradients",
    "comparison",
    "contrasts",
    "explain",
    "load",
    "plots",
    "retrain",
    "run",
    "summary",
    "survival",
]

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
}


def __getattr__(name: str) -> Any:
    # Looked up when first used: `fastbp sweep --help` needs neither Numba nor pandas, and reading
    # results needs no Numba.
    if name == "plots":
        return import_module("fastbp.reporting.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    return getattr(import_module(f"fastbp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(
        {*(name for name in globals() if name.startswith("__")), *__all__}
    )  # not how this file is made
