"""Published figures beside ours: each figure by hand, its intervals against SciPy and simulation,
and what is said of them."""

from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from scipy import stats

from fastbp.analysis import published as module
from fastbp.analysis.counts import SetupCounts, count_runs
from fastbp.analysis.published import PublishedFigure, published, published_figures
from fastbp.analysis.statistics.kaplan_meier import restart, restart_costs
from fastbp.analysis.statistics.proportions import clopper_pearson
from fastbp.reporting.sections.published_section import sentences, terminal_lines
from fastbp.schema.paper_figures import FIGURES
from fastbp.store.provenance import LatestSweep

EACH = {"s": 4}
"""Updates per epoch."""


def tallied(times: Any, runs: int, setup: str = "s", **keys: Any) -> list[SetupCounts]:
    """One setup, so many runs of which converged after these numbers of epochs."""
    updates = np.full(runs, nan)
    updates[: len(times)] = 4 * np.asarray(times, float)
    frame = {
        "setup": setup,
        "seed": np.arange(runs),
        "outcome": np.where(np.isnan(updates), "partial", "converged"),
        "converged_at": updates,
        "updates": 8_000,
    }
    return count_runs(pd.DataFrame(frame | keys))


def figure(name: str, value: float, runs: float | None = 100, **more: Any) -> PublishedFigure:
    entry = {"source": "Somebody 1990", "figure": name, "value": value, "runs": runs} | more
    (found,) = published_figures(LatestSweep(published=((entry, ("s", "t")),)))
    return found


@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_exact_bounds_of_a_share_are_scipys(count: int) -> None:
    found = stats.binomtest(count, 40).proportion_ci(method="exact")
    low, high = clopper_pearson(count, 40)
    assert (low, high) == pytest.approx((found.low, found.high), rel=1e-12)
    assert isnan(clopper_pearson(0, 0)[0])
    with pytest.raises(ValueError, match="between 0 and its total"):
        clopper_pearson(3, 2)


BY_HAND = {
    "success": 3 / 4,
    "mean": 10 / 3,
    "sd": sqrt(4 / 3),
    "median": 4,
    "harmonic": 4,
    "efficiency": 3000 / 14,
    "limit": 4,
}
"""Of four runs that take 2, 4 and 4 epochs and for ever: a success costs 2 + 4 + 4 + 4 epochs for
three if given up after 4, and 8 for one if given up after 2."""

A_LOOK_LATER = {
    "success": 3 / 4,
    "mean": 13 / 3,
    "sd": sqrt(4 / 3),
    "median": 5,
    "harmonic": 4 / (1 / 3 + 2 / 5),
    "efficiency": 3000 / 18,
    "limit": 5,
}


@pytest.mark.parametrize(("looks", "expected"), [("after", BY_HAND), ("before", A_LOOK_LATER)])
def test_figures_by_hand(looks: str, expected: dict[str, float]) -> None:
    assert [*expected] == [*FIGURES]
    found = published(
        tallied([2, 4, 4], 4), [figure(name, 1, evaluated=looks) for name in FIGURES], EACH
    )
    assert dict(zip(found["figure"], found["ours"], strict=True)) == pytest.approx(expected)
    assert found["evaluated_before"].tolist() == [looks == "before"] * len(found)


def test_an_epoch_that_is_cut_short_counts_as_one() -> None:
    frame = pd.DataFrame(
        {
            "setup": "s",
            "seed": [0, 1, 2],
            "outcome": "converged",
            "converged_at": [8, 9, 10],
            "updates": 10,
        }
    )
    found = published(count_runs(frame), [figure(name, 1) for name in FIGURES], EACH).set_index(
        "figure"
    )
    assert found.loc[["mean", "median", "limit"], "ours"].tolist() == [8 / 3, 3, 3]


def test_figures_with_many_numbers_of_runs_have_no_intervals_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each needs samples of its own, which would take hours."""
    runs = tallied(range(1, 101), 200)
    figures = [figure("mean", 50, 10 + i) for i in range(5)]
    every = published(runs, figures, EACH)
    assert every["published_low"].notna().all()
    monkeypatch.setattr(module, "MAX_TIMES", 399)
    some = published(runs, figures, EACH)
    assert some["published_low"].isna().tolist() == [False] * 2 + [True] * 3
    pd.testing.assert_frame_equal(some[:2], every[:2])
    assert some["agrees"].isna().tolist() == [False] * 2 + [True] * 3
    assert some["ours_low"].equals(every["ours_low"])


@pytest.mark.parametrize(("entries", "setups"), [(1001, 1), (11, 1000)])
def test_more_figures_than_a_sweep_may_have_are_not_compared(entries: int, setups: int) -> None:
    entry = {"source": "Somebody 1990", "figure": "mean", "value": 3, "runs": 9}
    named = tuple(str(i) for i in range(setups))
    assert published_figures(LatestSweep(published=((entry, named),) * entries)) == ()
    assert len(published_figures(LatestSweep(published=((entry, named),) * (entries - 1)))) > 9


def test_no_success_at_all() -> None:
    found = published(tallied([], 50), [figure(name, 1) for name in FIGURES], EACH).set_index(
        "figure"
    )
    assert found.loc["success", "ours"] == 0
    assert found.loc["success", "agrees"] is np.False_ or not found.loc["success", "agrees"]
    assert (found.loc["harmonic", "ours"], found.loc["efficiency", "ours"]) == (inf, 0)
    assert (
        found.loc[["mean", "sd", "median", "limit", "harmonic", "efficiency"], "agrees"]
        .isna()
        .all()
    )
    assert found.drop("success")[["published_low", "published_high"]].isna().all(axis=None)
    assert "–" in "\n".join(terminal_lines(found.reset_index()))
    assert sentences(found.reset_index()) == [
        "Somebody 1990: 0 of 1 published figure agrees with the setup "
        "(not success; mean, sd, median, harmonic, efficiency and limit cannot be compared)."
    ]
    assert sentences(found.loc[["mean"]].reset_index()) == [
        "Somebody 1990: mean cannot be compared with the setup."
    ]


def test_what_cannot_be_told_of_a_setting_does_not_count() -> None:
    both = [*tallied([40] * 75, 100, lr=0.5), *tallied([], 100, "t", lr=0.25)]
    found = published(
        both, [figure("mean", 40), figure("mean", 90), figure("mean", 95)], EACH | {"t": 4}
    )
    said = (
        "Somebody 1990: 1 of 3 published figures agrees with the baseline (not mean); too few "
        "figures are known to compare 1 setting."
    )
    assert sentences(found, "s") == [said]


EPOCHS = np.ceil(np.random.default_rng(5).lognormal(3.5, 0.6, 60_000))
OURS = tallied(EPOCHS, 80_000)
"""A quarter never converges, and the others have a long tail."""


def experiments(count: int, runs: int, slower: float = 1.0) -> list[dict[str, float]]:
    """What papers would print that train so many runs of the same setup, or of a slower one."""
    rng = np.random.default_rng(6)
    found = []
    for _ in range(count):
        drawn = rng.random(runs) < 0.75
        times: NDArray[np.float64] = np.ceil(slower * rng.lognormal(3.5, 0.6, int(drawn.sum())))
        each, counts = np.unique(times, return_counts=True)
        costs = restart_costs(each, counts, runs)
        found.append(
            {
                "efficiency": 1000 / costs.min(),
                "limit": each[costs.argmin()],
                "success": len(times) / runs,
            }
        )
        found[-1] |= {
            "median": float(np.quantile(times, 0.5, method="inverted_cdf")),
            "mean": times.mean(),
        }
        found[-1] |= {"sd": times.std(ddof=1), "harmonic": runs / (1 / times).sum()}
    return found


def agreeing(papers: list[dict[str, float]], runs: int, unit: float) -> "pd.Series[float]":
    """The share of papers that agree with ours, by figure."""
    said = [
        figure(n, round(v / unit) * unit, runs, rounded=unit)
        for paper in papers
        for n, v in paper.items()
    ]
    found = published(OURS, said, EACH)
    return found["agrees"].astype(float).groupby(found["figure"]).mean()


def test_papers_on_the_same_setup_agree_as_often_as_95_percent_intervals_say() -> None:
    """Of 300, a share of 95% strays by 2.5 points twice in three; exact intervals hold more often,
    and so does what is counted in whole epochs."""
    shares = agreeing(experiments(300, 200), 200, 1e-6)
    assert shares.index.tolist() == sorted(FIGURES)
    assert shares.min() > 0.9, shares
    assert shares[["mean", "harmonic", "efficiency"]].max() < 0.99, shares


def test_papers_on_a_slower_setup_do_not() -> None:
    shares = agreeing(experiments(60, 1_000, slower=1.2), 1_000, 0.01)
    assert shares[["mean", "harmonic", "median", "efficiency"]].max() < 0.05, shares
    assert shares["success"] > 0.9, "as many converge"


def test_rounding_widens_and_printed_bounds_go_before_all() -> None:
    runs = 10**9  # that sampling is nothing
    value = published(OURS, [figure("mean", 1)], EACH)["ours"][0]
    far = [figure("mean", round(value) + d, runs) for d in (-1, 0, 1)]
    assert published(OURS, far, EACH)["agrees"].tolist() == [False, True, False]
    assert published(OURS, [figure("mean", round(value) + 1, runs, rounded=10)], EACH)[
        "agrees"
    ].tolist() == [True]
    found = published(
        OURS, [figure("mean", 60, 5, plus_minus=3), figure("limit", 5, low=3, high=2_000)], EACH
    )
    assert found[["published_low", "published_high"]].to_numpy().tolist() == [[57, 63], [3, 2_000]]


@pytest.mark.parametrize(
    ("value", "more", "low", "high"),
    [
        (0.76, {}, stats.binomtest(755, 1000), stats.binomtest(765, 1000)),
        (0.76, {"rounded": 0.001}, stats.binomtest(760, 1000), stats.binomtest(760, 1000)),
        (1, {"rounded": 0.01}, stats.binomtest(995, 1000), stats.binomtest(1000, 1000)),
        (1, {}, stats.binomtest(1000, 1000), stats.binomtest(1000, 1000)),
        (0, {}, stats.binomtest(0, 1000), stats.binomtest(0, 1000)),
    ],
)
def test_a_share_may_be_any_that_rounds_to_it(
    value: float, more: dict[str, float], low: Any, high: Any
) -> None:
    found = published(OURS, [figure("success", value, 1000, **more)], EACH)
    bounds = low.proportion_ci(method="exact").low, high.proportion_ci(method="exact").high
    assert (found["published_low"][0], found["published_high"][0]) == pytest.approx(
        bounds, rel=1e-9
    )


def test_our_own_interval() -> None:
    found = published(OURS, [figure(name, 1) for name in FIGURES], EACH).set_index("figure")
    count = stats.binomtest(60_000, 80_000).proportion_ci(method="exact")
    assert tuple(found.loc["success", ["ours_low", "ours_high"]]) == pytest.approx(
        (count.low, count.high)
    )
    reach = 1.96 * EPOCHS.std() / sqrt(len(EPOCHS))
    assert tuple(found.loc["mean", ["ours_low", "ours_high"]]) == pytest.approx(
        (EPOCHS.mean() - reach, EPOCHS.mean() + reach), abs=0.15 * reach
    )
    times, events = np.unique(EPOCHS, return_counts=True)
    best = restart(times, events, 80_000)
    assert tuple(found.loc["limit", ["ours", "ours_low", "ours_high"]]) == (
        best.at,
        best.at_low,
        best.at_high,
    )
    assert found.loc["efficiency", "ours"] == pytest.approx(1000 / best.cost)


def test_runs_that_all_converge_before_they_begin_have_a_bound() -> None:
    """As only a forged store has them."""
    found = published(tallied([0] * 20, 20), [figure(name, 1) for name in FIGURES], EACH)
    assert found.set_index("figure").loc["efficiency", ["ours_low", "ours_high"]].tolist() == [
        inf,
        inf,
    ]
    assert "efficiency" in "\n".join(terminal_lines(found))


def test_which_setups_and_in_which_order() -> None:
    both = [*tallied([2, 4], 9, lr=0.5), *tallied([3, 9], 9, "t", lr=0.25)]
    figures = [figure("mean", 3), figure("success", 0.2)._replace(setups=("t", "gone"))]
    found = published(both, figures, EACH | {"t": 1})
    assert found[["figure", "lr", "setup"]].to_numpy().tolist() == [
        ["mean", 0.5, "s"],
        ["mean", 0.25, "t"],
        ["success", 0.25, "t"],
    ]
    assert found["ours"].tolist() == pytest.approx([3, 24, 2 / 9])
    assert published(both, figures, EACH)["setup"].tolist() == ["s"], (
        "of the other nobody knows how long an epoch is"
    )
    assert published(both, [], EACH).empty


def test_what_is_said() -> None:
    both = [*tallied([40] * 75, 100, lr=0.5), *tallied([80] * 75, 100, "t", lr=0.25)]
    figures = [
        figure("success", 0.75),
        figure("mean", 40),
        figure("limit", 40)._replace(source="Another"),
    ]
    found = published(both, figures, EACH | {"t": 4})
    assert terminal_lines(found, "s", 200)[-10:] == [
        "Somebody 1990: 2 of 2 published figures agree with the baseline; in the one other setting "
        "not all agree.",
        "ours       success    mean",
        "published     0.75      40",
        "baseline     0.750    40.0",
        "lr 0.25      0.750  ≠ 80.0",
        "Another: 1 of 1 published figure agrees with the baseline; in the one other setting not "
        "all agree.",
        "ours        limit",
        "published      40",
        "baseline     40.0",
        "lr 0.25    ≠ 80.0",
    ]
    assert sentences(found, "t")[0] == (
        "Somebody 1990: 1 of 2 published figures agrees with the baseline (not mean); "
        "in the one other setting all agree (lr 0.5)."
    )
    assert sentences(found)[1] == "Another: all agree in 1 of 2 settings (lr 0.5)."
    title, *_, said, a, b, c = terminal_lines(published(both[:1], figures[:2], EACH))
    lines = [a, b, c]
    assert title.startswith("Published figures and ours")
    assert said == "Somebody 1990: 2 of 2 published figures agree with the setup."
    assert [line.split() for line in lines] == [
        ["figure", "published", "[95%]", "runs", "ours", "[95%]", "runs", "they"],
        ["success", "0.75", "[0.653–0.831]", "100", "0.750", "[0.653–0.831]", "100", "agree"],
        ["mean", "40", "[39.5–40.5]", "100", "40.0", "[40.0–40.0]", "100", "agree"],
    ]
    fine = [figure("mean", 40, rounded=5e-324), figure("sd", 1.5e-322)]
    *_, exact, tiny, _ = terminal_lines(published(both[:1], fine, EACH))
    assert [line.split()[1] for line in (exact, tiny)] == [f"{x}.{'0' * 15}" for x in (40, 0)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": 0},
        {"value": nan},
        {"value": "x"},
        {"figure": "best"},
        {"rounded": -1},
        {"runs": inf},
    ],
)
def test_somebodys_own_file_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, OverflowError)):
        figure(**({"name": "mean", "value": 3, "runs": 10} | wrong))
