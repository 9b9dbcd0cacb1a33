"""The Circle networks as setups, and their data."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.config.setup import Setup

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "results" / "circles"

LEVEL = 0.8
"""The accuracy on the held-out rows from which a run counts as converged."""


class Kind(NamedTuple):
    """What tells the networks apart: their hidden activation, layers and initial weights."""

    activation: str
    depth: int
    init: str
    init_scale: float

    def __str__(self) -> str:
        scale = f" ±{self.init_scale}" if self.init_scale != 1 else ""
        return f"{self.depth} × 5 {self.activation}, {self.init}{scale}"


def networks() -> list[dict[str, Any]]:
    """The rows of networks.json."""
    rows: list[dict[str, Any]] = json.loads((HERE / "networks.json").read_text("utf-8"))
    return rows


def kind_of(network: dict[str, Any]) -> Kind:
    """The kind of a row of networks.json."""
    return Kind(*(network[name] for name in Kind._fields))


def kinds() -> list[Kind]:
    """All kinds that a setup can say, in the order of networks.json."""
    said = (kind_of(each) for each in networks() if "left_out" not in each)
    return list(dict.fromkeys(said))


def data() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """1,000 points on two circles, of radius 1 and 0.8, with normal noise of 0.1; and their class.

    They are drawn and scaled to −1…1 as the benchmark does it, with scikit-learn's
    `make_circles(1000, noise=0.1, random_state=1)` and `MinMaxScaler((-1, 1))`.
    """
    draw, turns = np.random.RandomState(1), np.linspace(0, 2 * np.pi, 500, endpoint=False)
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    points, inner = np.concatenate([circle, 0.8 * circle]), np.repeat([0, 1], 500)
    order = np.arange(1000)
    draw.shuffle(order)
    points = points[order] + draw.normal(scale=0.1, size=(1000, 2))
    scale = 2 / np.ptp(points, axis=0)
    return points * scale + (-1 - points.min(axis=0) * scale), inner[order]


def setup_of(kind: Kind) -> Setup:
    """A network as it is trained there: Adam, rate 0.001, 300 epochs in batches of 128 rows.

    The last 300 of the 1,000 rows are held out, as there.
    """
    return Setup.from_arrays(
        *data(),
        hidden=(5,) * kind.depth,
        activation=kind.activation,
        loss="cross-entropy",
        init=kind.init,
        init_scale=kind.init_scale,
        bias_init="zeros",
        batch=128,
        reduction="mean",
        optimizer="adam",
        lr=0.001,
        epochs=300,
        test=0.3,
        test_split="last",
        success=f"accuracy:{LEVEL}",
        success_on="test",
    )
