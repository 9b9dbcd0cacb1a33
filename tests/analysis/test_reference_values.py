"""Statistics are those of statsmodels and lifelines: `reference_values.py` in tests/helpers wrote
theirs, with the versions."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from fastbp.analysis.statistics.kaplan_meier import kaplan_meier, mean_time_difference
from fastbp.analysis.statistics.paired import cochran, holm, mcnemar
from fastbp.analysis.statistics.proportions import clopper_pearson, newcombe, wilson

REFERENCE = json.loads((Path(__file__).parent / "reference_values.json").read_text("utf-8"))


@pytest.mark.parametrize("function", [wilson, clopper_pearson, newcombe, mcnemar, holm])
def test_is_the_reference(function: Callable[..., Any]) -> None:
    for arguments, values in REFERENCE[function.__name__]:
        np.testing.assert_allclose(function(*arguments), values, rtol=1e-12, atol=1e-15)


def test_cochran_is_the_reference_but_for_boxs_factor() -> None:
    """Theirs is for equal covariances. Box's factor, here by eigenvalues, is 1 for two shares."""
    ((flags, (q, p_of_two)),) = REFERENCE["cochran"]
    flags, k = np.array(flags), 4
    centring = np.eye(k) - 1 / k
    spread = np.linalg.eigvalsh(centring @ (flags.T @ flags) @ centring)
    epsilon = spread.sum() ** 2 / ((k - 1) * (spread**2).sum())
    assert 1 / (k - 1) < epsilon < 1
    assert cochran(flags.T @ flags, len(flags)) == pytest.approx(
        stats.chi2.sf(epsilon * q, epsilon * (k - 1)), rel=1e-12
    )
    two = flags[:, [0, 2]]
    assert cochran(two.T @ two, len(two)) == pytest.approx(p_of_two, rel=1e-12)


def test_survival_is_the_reference() -> None:
    """Where the share is 1 or 0 the log-log bounds are undefined, and lifelines gives the share.

    The first lower bound may be below the second. For bounds of the median lifelines searches as if
    they fell; ours begin where a lower bound first is at most one half.
    """
    for (_, _, level), table, (share, low, high, median, _) in REFERENCE["survival"]:
        curve = kaplan_meier(*table, level)
        np.testing.assert_allclose(curve.share, share, rtol=1e-12)
        inner = np.isfinite(curve.low)
        for bound, expected in ((curve.low, low), (curve.high, high)):
            np.testing.assert_allclose(bound[inner], np.array(expected)[inner], rtol=1e-12)
        middle, earliest, latest = curve.median()
        expected = np.array(median, float)
        np.testing.assert_array_equal((middle, latest), expected[[0, 2]])
        assert earliest == curve.times[np.array(low) <= 0.5][0]
        if (np.diff(low) <= 0).all():
            assert earliest == expected[1]


def test_restricted_means_are_the_reference() -> None:
    """Ours is a difference, here from runs that take no time, of runs censored at the horizon only:
    such are the runs of one budget."""
    lives = [(each, value) for each, _, (*_, value) in REFERENCE["survival"]]
    whole = [(each, value) for each, value in lives if len(set(each[1])) == 1]
    assert len(whole) == 3
    for (ended, went_on, level), value in whole:
        times = np.array([*ended, *went_on], float)
        assert mean_time_difference(0 * times, times, went_on[0], level).value == pytest.approx(
            value, rel=1e-12
        )
