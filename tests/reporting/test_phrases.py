import numpy as np
import pandas as pd
import pytest

from fastbp.reporting.phrases import answers, evenly, labels, trajectory


def evaluations(n: int, **changed: object) -> pd.DataFrame:
    names = ["loss", "spread", "max_error", "saturation", "grad_norm", "weight_max"]
    measures = {name: np.linspace(0.5, 0.001, n) for name in names}
    counts = {
        "updates": 80 * np.arange(n),
        "wrong": pd.array([3] * n, "Int64"),
        "outcome": "partial",
    }
    return pd.DataFrame(counts | measures | changed)


@pytest.mark.parametrize("n", [1, 2, 19, 20, 21, 5000])
def test_evenly_has_both_ends_and_no_more_than_requested(n: int) -> None:
    chosen = evenly(n, 20)
    assert (chosen[0], chosen[-1]) == (0, n - 1)
    assert len(set(chosen.tolist())) == len(chosen) == min(n, 20)
    assert np.ptp(np.diff(chosen)) <= 1 if n > 2 else True


@pytest.mark.parametrize("n", [2, 13, 20, 21, 400])
@pytest.mark.parametrize("converged", [None, 1, -1, 11])
def test_a_trajectory_in_at_most_twenty_lines(n: int, converged: int | None) -> None:
    table = evaluations(n)
    at = None if converged is None else int(table["updates"].iloc[min(converged, n - 1)])
    head, *lines = trajectory(table, at).splitlines()
    assert head.split()[0] == "updates"
    assert min(n, 19) <= len(lines) <= 20
    shown = [int(line.split()[0].replace(",", "")) for line in lines]
    assert shown == sorted(set(shown))
    assert {0, 80 * (n - 1)} <= set(shown)
    assert [u for u, line in zip(shown, lines, strict=True) if "first converged" in line] == (
        [] if at is None else [at]
    )


def test_numbers_of_a_trajectory() -> None:
    table = evaluations(
        2,
        loss=[0.333333, np.nan],
        test_loss=[0.5, np.nan],
        grad_norm=[0.0, 1.234567e-9],
        wrong=pd.array([2, None], "Int64"),
    )
    first, last = [line.split() for line in trajectory(table).splitlines()[1:]]
    assert (*first[1:3], first[6], first[8]) == ("0.3333", "0.5000", "0.000", "2")
    assert (*last[1:3], *last[6:7], *last[8:]) == ("–", "–", "1.235e-09", "–", "partial")


def test_answers_beside_targets() -> None:
    X, T = np.array([[0.0, 1.0], [1.0, 0.5]]), np.array([[0.1, 1.0], [0.9, 0.0]])
    assert answers(X, T, np.array([0.25, 1.0, 0.5, 0.12345], np.float32)).splitlines() == [
        "row  inputs  targets      outputs",
        "  0     0 1    0.1 1  0.250 1.000",
        "  1   1 0.5    0.9 0  0.500 0.123",
    ]
    assert answers(X, T, None) == ""
    assert answers(np.zeros((17, 2)), np.zeros((17, 1)), np.zeros(17, np.float32)) == ""
    assert answers(np.zeros((2, 2)), np.zeros((2, 17)), np.zeros(34, np.float32)) == ""
    assert (
        answers(np.zeros((2, 17)), T, np.zeros(4, np.float32)).splitlines()[0]
        == "row  targets      outputs"
    )


def test_of_many_keys_a_setup_is_named_by_what_differs_from_the_baseline() -> None:
    keys = {
        "hidden": ["4", "4", "8"],
        "init": "normal",
        "order": ["random", "shuffled", "shuffled"],
        "lr": 0.2,
        "updates": 999,
    }
    table = pd.DataFrame(keys | {"setup": ["a", "b", "c"]})
    full = "hidden 4, init normal, order random, lr 0.2, updates 999"
    assert labels(table, "a") == [
        f"baseline: {full}",
        "order shuffled",
        "hidden 8, order shuffled",
    ]
    assert labels(table)[0] == labels(table, "d")[0] == full, "there is no baseline"
    assert (
        labels(table.drop(columns="init"), "a")[1]
        == "hidden 4, order shuffled, lr 0.2, updates 999"
    ), "few keys are all told"
