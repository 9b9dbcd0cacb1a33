"""What `check_gradients` can check: the limits of its arguments."""

from typing import Any

import numpy as np

from fastbp.schema.errors import SweepError
from fastbp.schema.text import shown

MAX_UNITS, MAX_HIDDEN, MAX_ROWS = 64, 8, 256
"""Largest numbers of units per layer, of hidden layers, and of samples per call."""


def check_arguments(
    function: Any,
    sizes: Any,
    loss: Any,
    rows: Any,
    lr: Any,
    bias: Any,
    reduction: Any,
    seed: Any,
) -> None:
    """Raise SweepError with every wrong argument of `check_gradients`."""

    def integer(n: Any, low: int, high: float) -> bool:
        return isinstance(n, int | np.integer) and not isinstance(n, bool) and low <= int(n) <= high

    listed = isinstance(sizes, list | tuple | range) or (
        isinstance(sizes, np.ndarray) and sizes.ndim == 1
    )
    real = isinstance(lr, int | float | np.integer | np.floating) and not isinstance(lr, bool)
    arguments: dict[str, tuple[Any, bool, str]] = {
        "function": (
            function,
            callable(function) and not hasattr(function, "to_json"),
            "a function to call as function(W, b, x, t), or a torch.nn.Module",
        ),
        "sizes": (
            sizes,
            listed
            and 3 <= len(sizes) <= MAX_HIDDEN + 2
            and all(integer(n, 1, MAX_UNITS) for n in sizes),
            f"units of inputs, of 1 to {MAX_HIDDEN} hidden layers and of outputs, such as "
            f"(3, 4, 1), each from 1 to {MAX_UNITS}",
        ),
        "loss": (loss, loss in ("squared", "cross-entropy"), "squared, cross-entropy"),
        "rows": (rows, integer(rows, 1, MAX_ROWS), f"an integer from 1 to {MAX_ROWS}"),
        # Steps of smaller rates do not overflow.
        "lr": (lr, lr is None or (real and 0 < lr < 2**100), "a number > 0"),
        "bias": (bias, isinstance(bias, bool | np.bool_), "true or false"),
        "reduction": (reduction, reduction in ("sum", "mean"), "sum, mean"),
        "seed": (seed, integer(seed, 0, np.inf), "an integer from 0"),
    }
    lines = [
        f"{name}: given {shown(value)}, allowed: {allowed}"
        for name, (value, ok, allowed) in arguments.items()
        if not ok
    ]
    if lines:
        raise SweepError(lines)
