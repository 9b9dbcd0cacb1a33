"""Twelve tables with one planted fault each, as people have them.

The tables are from scikit-learn or from fixed generators. `fault` has the keys of the setup, `good`
those that undo the fault and nothing else: what a network reaches with them is measured, not known.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import datasets


class RealTable(NamedTuple):
    """`table`: inputs [row, input], and the column of targets as its owner has it. `cause`: a
    pattern of what must be called wrong. `note`: the id of a note about the data that must be
    there. `mistake`: what the owner's program does wrong besides, by a key of the NumPy networks:
    it starts from zeros."""

    name: str
    table: Callable[[], tuple[np.ndarray, np.ndarray]]
    fault: dict[str, Any]
    good: dict[str, Any]
    cause: str = ""
    note: str = ""
    mistake: dict[str, Any] = {}  # noqa: RUF012  # nothing writes into it

    def frame(self) -> pd.DataFrame:
        """The table, with the targets as `y`."""
        X, y = self.table()
        return pd.DataFrame(X, columns=[f"x{i}" for i in range(X.shape[1])]).assign(y=y)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Inputs and T [row, unit]: numbers as they are, names of classes as 0 and 1."""
        X, y = self.table()
        names, codes = np.unique(y, return_inverse=True)
        if y.dtype.kind != "U":
            return X, y[:, None].astype(float)
        return X, np.eye(len(names))[codes] if len(names) > 2 else codes[:, None].astype(float)

    def command(self, folder: Path) -> list[str]:
        """Write the files, and the arguments of `fastbp diagnose` that ask about them."""
        self.frame().to_csv(folder / "own.csv", index=False)
        settings = [
            part for each in self.fault.items() for part in ("--set", "{}={}".format(*each))
        ]
        if self.mistake:
            W0, W1 = np.zeros((8, 2)), np.zeros((1, 8))
            np.savez(folder / "own.npz", W0=W0, b0=np.zeros(8), W1=W1, b1=np.zeros(1))
            settings += ["--weights", str(folder / "own.npz")]
        return [str(folder / "own.csv"), "--targets", "y", *settings]


def sampled(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A data set of scikit-learn, with the names of its classes."""
    data = getattr(datasets, f"load_{name}")()
    return data.data, data.target_names[data.target].astype(str)


def curve() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    x = np.sort(rng.uniform(-1, 1, 120))
    return x[:, None], np.round(0.5 + 0.4 * np.sin(3 * x) + rng.normal(0, 0.02, 120), 4)


def made(
    seed: int, rows: int, inputs: int, rule: Callable[..., np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Normal inputs, and what a rule makes of their columns and of further random numbers."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, inputs))
    return X, rule(rng, *X.T)


def surveys() -> tuple[np.ndarray, np.ndarray]:
    """Each of 60 answers to five questions thrice, and every tenth row has the wrong class."""
    rng = np.random.default_rng(9)
    X = np.repeat(rng.integers(0, 2, (60, 5)), 3, axis=0)
    return X, (X[:, :3].sum(axis=1) >= 2) ^ (rng.random(len(X)) < 0.1)


PIXELS = [18, 20, 26, 28, 34, 36, 42, 44]

TABLES = [
    RealTable(
        "wine unscaled",
        lambda: sampled("wine"),
        {"hidden": [5], "lr": 0.1, "epochs": 60},
        {"scale_inputs": "standard"},
        "unscaled inputs",
        "unscaled-inputs",
    ),
    RealTable(
        "breast cancer unscaled",
        lambda: sampled("breast_cancer"),
        {"hidden": [4], "lr": 0.1, "epochs": 30},
        {"scale_inputs": "standard"},
        "unscaled inputs",
        "unscaled-inputs",
    ),
    RealTable(
        "digits with huge weights",
        lambda: (
            datasets.load_digits(n_class=2).data[:, PIXELS] / 16,
            datasets.load_digits(n_class=2).target,
        ),
        {"hidden": [4], "lr": 0.2, "epochs": 60, "init_scale": 30.0},
        {"init_scale": 1.0},
        "initial weights too large",
    ),
    RealTable(
        "moons too few updates",
        lambda: datasets.make_moons(300, noise=0.15, random_state=1),
        {"hidden": [8], "lr": 0.3, "epochs": 10},
        {"epochs": 300},
        "too few updates",
    ),
    RealTable(
        "circles one hidden unit",
        lambda: datasets.make_circles(300, noise=0.08, factor=0.4, random_state=2),
        {"hidden": [1], "lr": 0.5, "epochs": 200},
        {"hidden": [6]},
        "too few hidden units",
    ),
    RealTable(
        "curve at a low rate",
        curve,
        {"hidden": [6], "lr": 0.003, "epochs": 200},
        {"lr": 0.5},
        "rate too low",
    ),
    RealTable(
        "prices from 0 to 100",
        lambda: made(
            *(6, 200, 3),
            lambda rng, a, b, c: np.round(
                np.clip(50 + 15 * a - 10 * b + 4 * c * a + rng.normal(0, 2, 200), 0, 100), 2
            ),
        ),
        {"hidden": [5], "lr": 0.1, "epochs": 100},
        {"scale_targets": "minmax"},
        "targets that the output does not reach",
        "out-of-range-target",
    ),
    RealTable(
        "labels -1 and 1",
        lambda: made(7, 200, 2, lambda _, a, b: np.where(a + b**2 > 1, 1, -1)),
        {"hidden": [6], "lr": 0.5, "epochs": 200},
        {},
        note="recoded-labels",
    ),
    RealTable(
        "3 in 100",
        # The twelve rows of 400 beyond a line.
        lambda: made(
            *(8, 400, 3),
            lambda _, a, b, c: (a + b / 2 > np.quantile(a + b / 2, 0.97)).astype(int),
        ),
        {"hidden": [4], "lr": 0.02, "epochs": 60},
        {"class_weight": "balanced"},
        note="imbalanced",
    ),
    RealTable(
        "contradicting rows",
        surveys,
        {"hidden": [4], "lr": 0.1, "epochs": 300},
        {},
        note="contradicting-rows",
    ),
    RealTable(
        "weights of zero",
        lambda: datasets.make_moons(300, noise=0.15, random_state=1),
        {"hidden": [8], "lr": 0.3, "epochs": 300},
        {},
        "all 8 units of hidden layer 1 start with the same",
        mistake={"init_scale": 0.0},
    ),
    RealTable(
        "iris times a million",
        lambda: (sampled("iris")[0] * 1e6, sampled("iris")[1]),
        {"hidden": [5], "lr": 0.5, "epochs": 100},
        {"scale_inputs": "standard"},
        "unscaled inputs",
        "unscaled-inputs",
    ),
]
