"""Measures of runs that were never trained."""

import numpy as np

from fastbp.diagnosis.trials import SCORES, MeasuredRuns
from fastbp.kernels import measures as m
from fastbp.schema.outcomes import OUTCOMES


def ends(n: int = 100, **given: float | np.ndarray) -> np.ndarray:
    """Measures of made-up runs, [measure, run]: those given, and nothing unusual."""
    end = np.zeros((m.MEASURES, n))
    usual = {
        "LOSS": 0.02,
        "SPREAD": 0.5,
        "MAX_ERROR": 0.9,
        "WRONG": 3,
        "SATURATION": 0.2,
        "GRAD_NORM": 1e-2,
        "FINITE": 1,
    }
    for key, value in (usual | given).items():
        end[getattr(m, key)] = value
    return end


def made(end: np.ndarray, outcome: str = "collapsed") -> MeasuredRuns:
    return MeasuredRuns(
        np.full(end.shape[1], [str(o) for o in OUTCOMES].index(outcome), np.int8),
        end,
        np.full(end.shape[1], -1),
        np.full((len(SCORES), end.shape[1]), np.nan),
    )
