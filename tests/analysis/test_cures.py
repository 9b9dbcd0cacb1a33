"""Networks at their best rate, and over all rates."""

from types import SimpleNamespace

import pandas as pd
import pytest
import sample_frames as frames

import fastbp
from fastbp.analysis.cures import at_best_rate, cure_keys, over_rates, pooled
from fastbp.analysis.statistics.proportions import wilson
from fastbp.reporting import plots
from fastbp.reporting.sections import cures_section
from fastbp.reporting.sections.cures_section import sentences
from fastbp.schema.text import percent

C, P, K = "converged", "partial", "collapsed"


def summary() -> pd.DataFrame:
    """ReLU converges best at rate 1, tanh at 0.1; each has two inits."""
    tables = [
        frames.table({"activation": name, "init": init, "lr": lr}, outcomes)
        for init in ("normal", "torch")
        for name, lr, outcomes in (
            ("relu", 0.1, [C, K, K, K]),
            ("relu", 1.0, [C, C, K, K]),
            ("tanh", 0.1, [C, C, C, P]),
            ("tanh", 1.0, [P, P, P, K]),
        )
    ]
    return fastbp.summary(frames.frame(*tables))


def test_each_network_counts_at_the_rate_that_converges_most_often() -> None:
    best = at_best_rate(summary())
    rates = best.groupby("activation")["lr"].agg(["count", "min", "max"])
    assert (rates.loc["relu"].tolist(), rates.loc["tanh"].tolist()) == (
        [2, 1.0, 1.0],
        [2, 0.1, 0.1],
    )
    rows = pooled(best, ["activation"]).set_index("activation")
    assert rows.loc["relu", ["runs", "converged", "constant"]].tolist() == [8, 4, 4]
    assert rows.loc["tanh", ["runs", "converged", "constant"]].tolist() == [8, 6, 0]


def test_equal_rates_are_told_apart_by_constant_answers() -> None:
    tables = [
        frames.table({"activation": "relu", "lr": lr}, [C, other])
        for lr, other in ((0.1, K), (0.2, P), (0.3, P))
    ]
    assert at_best_rate(fastbp.summary(frames.frame(*tables)))["lr"].tolist() == [0.2]


def test_the_share_of_constant_answers_over_rates() -> None:
    ends = over_rates(summary(), ["activation"]).set_index("activation")
    assert (ends.loc["relu"].tolist(), ends.loc["tanh"].tolist()) == ([0.5, 0.75], [0.0, 0.25])


def test_the_answer_goes_from_the_fewest_constant_answers_to_the_most() -> None:
    by_activation, by_init = sentences(SimpleNamespace(summary=summary()))  # type: ignore[arg-type]
    assert by_activation == (
        "Constant answers by activation, each network at its best learning rate (95% intervals), "
        "range from 0% with tanh (0% to 49.0%) to 50.0% with relu (15.0% to 85.0%)."
    )
    quarter = "{} to {}".format(*(percent(float(end)) for end in wilson(1, 4)))
    assert by_init.endswith(f"25.0% with normal ({quarter}) to 25.0% with torch ({quarter}).")


@pytest.mark.parametrize(
    ("varied", "keys"),
    [
        (
            {"activation": ["relu", "tanh"], "optimizer": ["adam", "sgd"]},
            ["activation", "optimizer"],
        ),
        ({"activation": ["relu", "tanh"], "init": ["normal", "torch"]}, ["activation", "init"]),
        ({"activation": ["relu", "tanh"]}, []),
        ({"init": ["normal", "torch"], "lr": [0.1, 0.2]}, []),
    ],
)
def test_which_keys_make_a_picture(varied: dict[str, list[object]], keys: list[str]) -> None:
    values = pd.MultiIndex.from_product(varied.values(), names=list(varied)).to_frame(index=False)
    tables = [frames.table(row, [C]) for row in values.to_dict("records")]
    assert cure_keys(fastbp.summary(frames.frame(*tables))) == keys


def test_of_very_many_problems_some_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [
        frames.table({"problem": problem, "activation": name, "init": init}, [C, K])
        for problem in ("table:0110", "table:0111", "table:0001")
        for name in ("relu", "tanh")
        for init in ("normal", "torch")
    ]
    drawn: list[pd.DataFrame] = []
    monkeypatch.setattr(plots, "cures", lambda rows, *more: drawn.append(rows))
    data = SimpleNamespace(
        summary=fastbp.summary(frames.frame(*tables)),
        baseline=None,
        drawing=lambda draw, *texts: (draw(), texts)[1],
    )
    for most, problems, last in ((3, 3, "are added up, whatever their seed."),
                                 (2, 2, "Of 3 problems the first 2 are drawn.")):  # fmt: skip
        monkeypatch.setattr(cures_section, "MAX_PANELS", most)
        content = cures_section._content(data)  # type: ignore[arg-type]
        assert content is not None
        assert content["cures"][0][-1].endswith(last)
        assert drawn[-1]["problem"].nunique() == problems
