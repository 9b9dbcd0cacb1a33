"""The work that is timed: names, what each is, and the keys of its setup. Imports nothing."""

from collections.abc import Mapping
from typing import NamedTuple


class Workload(NamedTuple):
    """One network and one way to train it."""

    title: str
    setup: Mapping[str, object]
    """Keys of a `fastbp.Setup`, but the dtype."""


def _parity(hidden: int, updates: int) -> dict[str, object]:
    """Batches of 16 of the 256 rows of 8-bit parity."""
    return {"problem": "parity:8", "hidden": [hidden], "batch": 16, "lr": 0.02, "updates": updates}


ONLINE: dict[str, object] = {
    "problem": "table:11101011",
    "hidden": [4],
    "order": "random",
    "lr": 0.2,
    "updates": 7_992,
}

WORKLOADS = {
    "W1": Workload("3-4-1 online", ONLINE),
    # Rate and width of the initial weights are those of Fahlman, "An empirical study of learning
    # speed", 1988, for this encoder.
    "W2": Workload(
        "10-5-10 full batch",
        {
            "problem": "encoder:10",
            "hidden": [5],
            "init": "uniform",
            "batch": "full",
            "lr": 1.7,
            "updates": 800,
        },
    ),
    "W3, H 8": Workload("8-8-1 batch 16", _parity(8, 1_024)),
    "W3, H 32": Workload("8-32-1 batch 16", _parity(32, 1_024)),
    "W3, H 128": Workload("8-128-1 batch 16", _parity(128, 512)),
}
"""What every contender runs."""

MOMENTUM = 0.9
FIRST_STEP, MAX_STEP = 0.001, 0.01
"""Of `rprop`: with larger steps weights grow without end where there is nothing left to learn."""
MAX_GROWTH = 1.001
"""Of the steps of `quickprop`: with the usual 1.75 networks diverge, and roundings become large."""

ACTIVATIONS = ("linear", "tanh", "relu", "leaky-relu", "elu", "selu", "softplus", "exponential")
CHOICES: Mapping[str, Mapping[str, object]] = {
    "sigmoid and sgd": {},
    **{name: {"activation": name} for name in ACTIVATIONS},
    "momentum": {"momentum": MOMENTUM},
    "nesterov": {"momentum": MOMENTUM, "nesterov": True},
    **{name: {"optimizer": name, "lr": 0.01} for name in ("adam", "rmsprop", "adagrad")},
    "rprop": {"optimizer": f"rprop:step={FIRST_STEP},max={MAX_STEP}", "lr": None},
    "quickprop": {"optimizer": f"quickprop:mu={MAX_GROWTH}", "lr": 0.0001},
}
"""Every activation of hidden units, with `sgd`, and every optimiser, with the sigmoid, by keys of
the setup."""


def _with(name: str, choice: str) -> Workload:
    """A workload with another choice; sgd with a rate of 0.05."""
    title, setup = WORKLOADS[name]
    keys = {**setup, "lr": 0.05, **CHOICES[choice]}
    return Workload(f"{title}, {choice}", {k: v for k, v in keys.items() if v is not None})


BY_CHOICE = {
    f"{name}, {choice}": _with(name, choice) for name in ("W1", "W2") for choice in CHOICES
}
"""Two of these workloads with every choice, at rates at which no network diverges."""

EVERY = WORKLOADS | BY_CHOICE

EARLY = Workload("3-4-1 online until converged", ONLINE | {"updates": 79_920, "stop": "converged"})
"""Work that ends when it is done, a different time for each network."""

DTYPES = ("float64", "float32")
CHECKED_UPDATES = 100
LARGEST_DIFFERENCE = {"float64": 1e-6, "float32": 1e-3}
"""Of weights after `CHECKED_UPDATES`, relative to max(1, |w|)."""

LOG_LOSS_RATE = 0.2
"""Of scikit-learn, which knows no squared error for classes, and averages gradients over the
batch."""
KS_SEEDS, KS_EPOCHS, KS_MIN_P = 2_000, 10, 0.001
"""Where the order of rows cannot be given: seeds, epochs, and the lowest p-value of a test that
final losses are alike."""


def wide(hidden: int, presentations: int) -> Workload:
    """The parity network with a number of hidden units, trained on about a number of
    presentations."""
    return Workload(f"8-{hidden}-1 batch 16", _parity(hidden, max(1, presentations // 256) * 16))
