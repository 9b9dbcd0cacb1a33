"""Values of statistics by statsmodels and lifelines, which tests hold fastbp's to.

    python3 -m venv reference
    reference/bin/pip install 'pandas<3' statsmodels lifelines
    reference/bin/python tests/helpers/reference_values.py

The environment is one of its own, since lifelines asks for a pandas below 3. The script writes
tests/analysis/reference_values.json: the versions, and the arguments and values of each function.
"""

import json
from importlib.metadata import version
from itertools import product
from pathlib import Path

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.utils import median_survival_times, restricted_mean_survival_time
from statsmodels.stats import contingency_tables, multitest, proportion

LEVELS = (0.8, 0.95, 0.99)

SHARES = [(81, 263), (15, 148), (0, 20), (20, 20), (1, 29), (7, 10_000), (500_000, 1_000_000)]
"""The first five are examples of Newcombe (1998), Statistics in Medicine 17:857-872."""

TWO_SHARES = [
    *((56, 70, 48, 80), (9, 10, 3, 10), (6, 7, 2, 7), (5, 56, 0, 29), (0, 10, 0, 20)),
    *((0, 10, 0, 10), (10, 10, 0, 20), (10, 10, 0, 10), (9_000, 10_000, 8_900, 10_000)),
]
"""The first eight are examples of Newcombe (1998), Statistics in Medicine 17:873-890."""

DISCORDANT = [(1, 7), (6, 16), (0, 0), (0, 9), (35, 35), (300, 410), (0, 400)]
"""The first two are examples of Fagerland, Lydersen & Laake (2013), BMC Med Res Methodol 13:91."""

P = [[0.01, 0.04, 0.03, 0.005], [0.2, 1e-9, 0.9, 0.04, 0.04, 1.0, 0.0]]

DIPHTHERIA = {(1, 1, 1, 1): 4, (1, 1, 0, 1): 2, (0, 1, 1, 1): 3, (0, 1, 0, 1): 1, (0, 0, 0, 0): 59}
"""How many specimens grew on each of four media: Cochran (1950), Biometrika 37:256-266."""

ENDED = {
    "remissions": (
        [6, 6, 6, 7, 10, 13, 16, 22, 23],
        [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35],
    ),
    "rats 1": (
        [143, 164, 188, 188, 190, 192, 206, 209, 213, 216, 220, 227, 230, 234, 246, 265, 304],
        [216, 244],
    ),
    "rats 2": (
        [142, 156, 163, 198, 205, 232, 232, *[233] * 4, 239, 240, 261, 280, 280, 296, 296, 323],
        [204, 344],
    ),
    "18 times": ([3, 5, 8, 5, 8, 12, 2, 11, 12, 5, 8, 11], [10, 5, 15, 14, 10, 9]),
    "a budget": ([*range(10, 800, 3)], [999] * 150),
}
"""Times with and without the event. Remissions: Freireich et al. (1963), Blood 21:699-716; rats:
Pike (1966), Biometrics 22:142-161; 18 times: SciPy's tests of `ecdf`."""


def survival(ended: list[int], went_on: list[int], level: float) -> tuple[list, list]:
    """Times with their events and censored runs; share, bounds, median with bounds, mean."""
    observed = [1] * len(ended) + [0] * len(went_on)
    curve = KaplanMeierFitter(alpha=1 - level).fit([*ended, *went_on], observed)
    events = curve.event_table.iloc[1:]
    bounds = curve.confidence_interval_.iloc[1:]
    median = [curve.median_survival_time_, *median_survival_times(bounds).iloc[0]]
    return (
        [events.index.tolist(), events["observed"].tolist(), events["censored"].tolist()],
        [
            *(each.tolist() for each in (curve.survival_function_.iloc[1:, 0], *bounds.T.values)),
            [float(x) if np.isfinite(x) else None for x in median],
            restricted_mean_survival_time(curve, t=int(max(ended + went_on))),
        ],
    )


def values() -> dict[str, list]:
    """For each function a list of its arguments and its values."""
    flags = np.repeat(np.array([*DIPHTHERIA]), [*DIPHTHERIA.values()], axis=0)
    q = contingency_tables.cochrans_q(flags).statistic
    both = contingency_tables.cochrans_q(flags[:, [0, 2]]).pvalue
    shares = [(*each, level) for each, level in product(SHARES, LEVELS)]
    two = [(*each, level) for each, level in product(TWO_SHARES, LEVELS)]
    lives = product(ENDED.values(), LEVELS)
    return {
        "wilson": [
            (each, proportion.proportion_confint(*each[:2], 1 - each[2], "wilson"))
            for each in shares
        ],
        "clopper_pearson": [
            (each, proportion.proportion_confint(*each[:2], 1 - each[2], "beta")) for each in shares
        ],
        # Theirs is the first share minus the second one; ours the second minus the first.
        "newcombe": [
            (
                (*each[2:4], *each[:2], each[4]),
                proportion.confint_proportions_2indep(*each[:4], "newcomb", alpha=1 - each[4]),
            )
            for each in two
        ],
        "mcnemar": [
            ((b, c), contingency_tables.mcnemar([[0, b], [c, 0]], exact=True).pvalue)
            for b, c in DISCORDANT
        ],
        "holm": [((p,), multitest.multipletests(p, method="holm")[1].tolist()) for p in P],
        "cochran": [(flags.tolist(), [q, both])],
        "survival": [((*each, level), *survival(*each, level)) for each, level in lives],
    }


if __name__ == "__main__":
    packages = ("lifelines", "numpy", "pandas", "scipy", "statsmodels")
    content = {"versions": {name: version(name) for name in packages}} | values()
    folder = Path(__file__).parents[1] / "analysis"
    text = json.dumps(content, default=float, allow_nan=True)
    (folder / "reference_values.json").write_text(text + "\n", encoding="utf-8")
