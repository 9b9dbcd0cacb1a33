"""Train the same small sigmoid network from thousands of seeds and see how often it converges or collapses.

>>> import fastbp
>>> sweep = fastbp.Sweep(title="xor", seeds=1_000, setup={"problem": "xor", "hidden": [2], "epochs": 5_000, "lr": 0.5})
>>> runs = fastbp.run(sweep)          # doctest: +SKIP
>>> fastbp.summary(runs)              # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastbp.analysis import plots
    from fastbp.analysis.comparison import comparison
    from fastbp.analysis.tables import attribution, contrasts, summary, survival
    from fastbp.engine.run import run
    from fastbp.engine.spec import Setup, Sweep, SweepError
    from fastbp.inquiry.explain import explain
    from fastbp.inquiry.gradients import check_gradients
    from fastbp.inquiry.retrain import retrain
    from fastbp.runs import load

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
    "Setup": "engine.spec",
    "Sweep": "engine.spec",
    "SweepError": "engine.spec",
    "attribution": "analysis.tables",
    "check_gradients": "inquiry.gradients",
    "comparison": "analysis.comparison",
    "contrasts": "analysis.tables",
    "explain": "inquiry.explain",
    "load": "runs",
    "plots": "analysis.plots",
    "retrain": "inquiry.retrain",
    "run": "engine.run",
    "summary": "analysis.tables",
    "survival": "analysis.tables",
}


def __getattr__(name: str) -> Any:
    # Looked up when first used: `fastbp sweep --help` needs neither Numba nor pandas, and reading results needs no Numba.
    if name == "plots":
        return import_module("fastbp.analysis.plots")
    if name not in _HOMES:
        raise AttributeError(f"module 'fastbp' has no attribute {name!r}")
    return getattr(import_module(f"fastbp.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})  # not how this file is made
