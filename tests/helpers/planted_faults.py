"""Twelve setups with one fault each: `python tests/helpers/planted_faults.py FOLDER` writes them as
tables and commands.

Each is a small problem that networks learn once its fault is fixed, so that whatever is said of it
can be held against what is known. Nothing is random but the initial weights and the order of
samples.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastbp.config.setup import Setup


class Fault(NamedTuple):
    """`cause`: a pattern that the sentence about what is wrong must have; `fixes`: of the names of
    changes that do fix it."""

    name: str
    X: np.ndarray
    T: np.ndarray
    keys: dict[str, Any]
    cause: str
    fixes: str | None

    def setup(self) -> Setup:
        return Setup.from_arrays(self.X, self.T, **self.keys)


def bits(d: int) -> np.ndarray:
    return np.array([[row >> (d - 1 - i) & 1 for i in range(d)] for row in range(2**d)], float)


def truth(text: str) -> np.ndarray:
    return np.array([[int(bit)] for bit in text], float)


XOR = bits(2), truth("0110")
ASKED = bits(3), truth("11101011")
MAJORITY = bits(3), truth("00010111")


def measured() -> tuple[np.ndarray, np.ndarray]:
    """Two columns in their own units, such as grams and millimetres."""
    X, T = MAJORITY
    return X * [300.0, 80.0, 1500.0] + [2000.0, 150.0, 40_000.0], T


FAULTS = [
    Fault(
        "too few updates",
        *XOR,
        {"lr": 2.0, "epochs": 60, "order": "shuffled"},
        "too few updates",
        "10+ × the updates",
    ),
    Fault(
        "rate too low", *MAJORITY, {"lr": 0.005, "epochs": 500}, "rate too low", "10+ × the rate"
    ),
    Fault("rate too high", *ASKED, {"lr": 60.0, "epochs": 400}, "rate too high", "rate ÷ (3|10+)"),
    Fault(
        "saturating init",
        *XOR,
        {"lr": 0.5, "epochs": 1500, "init_scale": 30.0},
        "initial weights too large",
        "init .*|.*÷ 3",
    ),
    Fault(
        "symmetric tiny init",
        *XOR,
        {"lr": 0.5, "epochs": 600, "init_scale": 1e-4},
        "initial weights too small",
        "init .*",
    ),
    Fault(
        "unscaled inputs",
        *measured(),
        {"lr": 0.5, "epochs": 300},
        "unscaled inputs",
        "inputs scaled: .*",
    ),
    Fault(
        "contradictory labels",
        np.vstack([XOR[0], XOR[0][:1]]),
        np.vstack([XOR[1], 1 - XOR[1][:1]]),
        {"lr": 0.5, "epochs": 1000, "success": "rows"},
        "rows contradict",
        None,
    ),
    Fault(
        "one class",
        XOR[0],
        np.ones((4, 1)),
        {"lr": 0.5, "epochs": 1000},
        "there is nothing to learn",
        None,
    ),
    Fault(
        "too few hidden units",
        *XOR,
        {"lr": 1.0, "epochs": 1500, "hidden": [1]},
        "too few hidden units",
        ". × the hidden.*",
    ),
    Fault(
        "cross-entropy with a diverging rate",
        *ASKED,
        {"lr": 40.0, "epochs": 300, "loss": "cross-entropy"},
        "rate too high",
        "rate ÷ (3|10+)",
    ),
    Fault(
        "each row 1,000 times in a row",
        *MAJORITY,
        {"lr": 0.5, "epochs": 500, "order": "blocked:1000"},
        "the order of samples",
        "order .*",
    ),
    Fault(
        "momentum too high",
        *XOR,
        {"lr": 0.5, "epochs": 400, "momentum": 0.999},
        "momentum too high",
        "(no )?momentum.*",
    ),
]
"""In the order in which they were asked for."""


def write(folder: Path) -> Iterable[str]:
    """Each as a table, and the command that asks about it."""
    folder.mkdir(parents=True, exist_ok=True)
    for fault in FAULTS:
        table = folder / f"{fault.name.replace(' ', '-').replace(',', '')}.csv"
        inputs, outputs = (
            [f"{letter}{i}" for i in range(values.shape[1])]
            for letter, values in (("x", fault.X), ("t", fault.T))
        )
        lines = [",".join([*inputs, *outputs])]
        lines += [",".join(f"{value:g}" for value in row) for row in np.hstack([fault.X, fault.T])]
        table.write_text("\n".join(lines) + "\n")
        settings = " ".join(
            f"--set {shlex.quote(f'{key}={value}')}" for key, value in fault.keys.items()
        )
        data = f"{shlex.quote(str(table))} --targets {' '.join(outputs)}"
        yield f"python -m fastbp.diagnose {data} {settings}"


if __name__ == "__main__":
    print("\n".join(write(Path(sys.argv[1]))))
