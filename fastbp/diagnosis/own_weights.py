"""Compare runs from a user's own initial weights with runs from fresh seeds."""

import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import wilson
from fastbp.config.setup import Setup
from fastbp.diagnosis.sentences import times_text
from fastbp.diagnosis.trials import NO_RUNS, MeasuredRuns, joined, measured
from fastbp.engine import block
from fastbp.engine.lane_group import LaneGroup, Layers
from fastbp.engine.tasks import task
from fastbp.kernels import measures as m
from fastbp.schema.errors import SweepError, raise_memory_error
from fastbp.schema.keys import MAX_LAYERS
from fastbp.schema.text import dashed, first_line, named, percent, plural
from fastbp.store import safe_files
from fastbp.store.npz import MAX_BYTES, MAX_NUMBER, read_arrays

STAY_EQUAL = "whose hidden units stay equal"
"""What is wrong with weights if units start with the same ones."""

_NAMES = [f"{kind}{layer}" for layer in range(MAX_LAYERS + 2) for kind in "Wb"]
"""Names of the arrays of a file: those of all networks, and of one layer more."""

UNUSUAL = 3.0
"""Weights are tried at their usual size, too, if they are this many times larger or smaller."""


def read(path: str | Path, setup: Setup) -> Layers:
    """Read initial weights, W0 [out, in], b0 [out], W1, b1, …, from a .npz file.

    Raises
    ------
    SweepError
        If the file cannot be read, or if its arrays do not fit the setup; it lists every mistake.
    """
    refusal = f"--weights: given {named(path)}, allowed:"
    try:
        arrays = read_arrays(safe_files.named_file(path, MAX_BYTES), optional=_NAMES)
    except FileNotFoundError:
        raise SweepError([f"{refusal} an existing .npz file"]) from None
    except Exception as error:  # over damaged bytes NumPy and zipfile raise a dozen kinds
        raise_memory_error(error)
        raise SweepError(
            [
                f"{refusal} a readable .npz file; "
                f"{getattr(error, 'strerror', None) or first_line(error)}"
            ]
        ) from None
    return fitting(arrays, setup)


def fitting(arrays: dict[str, NDArray[Any]], setup: Setup) -> Layers:
    """List named arrays by layer, if they fit the networks of a setup.

    Without biases in the setup, all biases are zeros. Raises SweepError with every mistake.
    """
    lines: list[str] = []
    layers: Layers = []
    for layer, (n, k) in enumerate(pairwise(setup.sizes)):
        W, b = _checked(arrays, f"W{layer}", (k, n), lines), np.zeros(k)
        if setup.bias:
            b = _checked(arrays, f"b{layer}", (k,), lines)
        elif f"b{layer}" in arrays and np.any(_checked(arrays, f"b{layer}", (k,), lines)):
            lines.append(
                f"b{layer}: given, but this setup has bias = false; needed: none, or zeros"
            )
        layers.append((W, b))
    last = len(setup.hidden)
    lines += [
        f"{name}: given, but the network has {last + 1} layers, 0 to {last}; needed: none"
        for name in _NAMES
        if name in arrays and int(name[1:]) > last
    ]
    if lines:
        raise SweepError(
            [f"--weights, for a network {dashed(setup.sizes)}: {line}" for line in lines]
        )
    return layers


def _checked(
    arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], lines: list[str]
) -> NDArray[np.float64]:
    """The array `name` in this shape. If it is wrong, add a line to `lines` and return zeros."""
    values = np.asarray(arrays.get(name))
    if values.dtype.kind not in "fiu":
        given = "no real numbers" if name in arrays else "nothing"
        problem = f"given {given}, needed: an array of shape {shape} ([out, in] for weights)"
    elif values.shape != shape and (name[0] == "W" or values.size != shape[0]):
        swapped = ", which is transposed: W[out, in]" * (values.shape == shape[::-1])
        problem = f"given shape {values.shape}{swapped}, needed: {shape}"
    elif count := int(np.count_nonzero(~(np.abs(numbers := _as_float64(values)) <= MAX_NUMBER))):
        most = f"{MAX_NUMBER:g}"
        problem = f"given {plural(count, 'value')} not from -{most} to {most}, needed: none"
    else:
        return numbers.reshape(shape)
    lines.append(f"{name}: {problem}")
    return np.zeros(shape)


def _as_float64(values: NDArray[Any]) -> NDArray[np.float64]:
    with np.errstate(over="ignore"):  # of long doubles: what becomes infinite is refused
        return values.astype(np.float64)


class Placement(NamedTuple):
    """Runs from the user's weights, in many orders of samples, compared with runs of fresh seeds.

    `custom`: the runs from the user's weights. `fresh`: the runs of fresh seeds. `loss_percentile`:
    percent of fresh runs with a smaller final loss than the median of the user's runs.
    `updates_percentile`: percent of fresh runs that converge in fewer updates than the median of
    the user's runs; a run that never converges comes last. In both, fresh runs equal to the median
    count half. `alike`: for each hidden layer in which units start with the same incoming and
    outgoing weights: its position, counted from 0, the number of such units, and the number of all
    units. `size`: the size of the weights in the layer where that is most unusual, relative to
    random ones; `sized`: if it is `UNUSUAL`, runs of fresh seeds with weights of that size.
    """

    custom: MeasuredRuns
    fresh: MeasuredRuns
    loss_percentile: float
    updates_percentile: float
    alike: tuple[tuple[int, int, int], ...] = ()
    size: float = 1.0
    sized: MeasuredRuns = NO_RUNS

    @property
    def converges(self) -> bool:
        """Whether the median run of the user's weights converges."""
        return bool(np.isfinite(np.median(_updates(self.custom))))

    @property
    def symmetric(self) -> bool:
        """Whether units that stay equal may be why the median run does not converge."""
        return bool(self.alike) and not self.converges

    @property
    def fault(self) -> str:
        """What is wrong with the weights themselves, as a relative clause; empty if nothing is."""
        if self.symmetric:
            return STAY_EQUAL
        n = min(self.sized.runs, self.fresh.runs)
        sized, usual = (runs.end[m.LOSS, :n] for runs in (self.sized, self.fresh))
        worse = int((~(sized <= usual)).sum())  # NaN is the worst
        if self.converges or not wilson(worse, n)[0] > 0.5:
            return ""
        return f"which are too {'large' if self.size > 1 else 'small'}"


def place(
    setup: Setup,
    layers: Layers,
    fresh: MeasuredRuns,
    orders: int = 200,
    start: int = 0,
    deadline: float = np.inf,
) -> Placement | None:
    """Train the user's weights in many orders of samples, and compare them with fresh seeds.

    Parameters
    ----------
    setup : Setup
    layers : list of (W [out, in], b [out])
        The user's initial weights.
    fresh : MeasuredRuns
        Runs of the same setup from fresh seeds.
    orders, start : int
        The number of orders of samples, and the seed of the first.
    deadline : float
        When to stop, on the clock of ``time.perf_counter``.

    Returns
    -------
    Placement or None
        It has fewer orders if time is short; None if there is no time for any.
    """
    side_by_side = task(setup).lanes

    def trained(setup: Setup, layers: Layers | None) -> MeasuredRuns:
        parts = [NO_RUNS]
        with suppress(block.InterruptedBlockError):
            for first in range(0, orders, side_by_side):
                (rows,) = block.train_at_once(
                    [setup],
                    range(start, start + orders)[first : first + side_by_side],
                    stopped=lambda updates: time.perf_counter() > deadline,
                    layers=layers,
                )
                parts.append(measured(setup, rows))
        return joined(parts)

    custom, size, sized = trained(setup, layers), _size(setup, layers), NO_RUNS
    if not custom.runs or not fresh.runs:
        return None
    with suppress(SweepError):
        if not 1 / UNUSUAL <= size <= UNUSUAL:
            sized = trained(setup.with_columns({"init_scale": setup.init_scale * size}), None)
    return Placement(
        custom,
        fresh,
        _percentile(fresh.end[m.LOSS], custom.end[m.LOSS]),
        _percentile(_updates(fresh), _updates(custom)),
        alike(layers),
        size,
        sized,
    )


def _size(setup: Setup, layers: Layers) -> float:
    """The size of weights relative to drawn ones, where it is most unusual; that of zeros is 1."""
    group = LaneGroup(task(setup), np.arange(task(setup).lanes, dtype=np.uint64))
    drawn = zip(*(group.layers(lane) for lane in range(group.task.lanes)), strict=True)
    sizes = (
        (float(np.abs(W).mean()), float(np.abs([V for V, _ in each]).mean()))
        for (W, _), each in zip(layers, drawn, strict=True)
    )
    # at least the least normal number: a quotient of very small ones may be zero
    ratios = [
        max(own / usual, np.finfo(float).tiny) if own and usual else 1.0 for own, usual in sizes
    ]
    return max(ratios, key=lambda ratio: abs(np.log(ratio)))


def sentences(placement: Placement, fixed: MeasuredRuns | None = None) -> list[str]:
    """Say how the user's weights compare with fresh seeds.

    `fixed`: runs from the user's weights with the recommended changes.
    """
    custom, fresh = placement.custom, placement.fresh
    rates = percent(custom.converged().mean()), percent(fresh.converged().mean())
    fewer = f"{placement.updates_percentile:.0f}% converge in fewer updates"
    never = "in most orders yours never converge" if fresh.converged().any() else "none converge"
    ends = f"{placement.loss_percentile:.0f}% of fresh networks end with a smaller loss, and "
    luck = "" if placement.fault else f": {_luck(placement)}"
    lines = [
        f"from yours, in {plural(custom.runs, 'order')} of samples, {rates[0]} converge; of "
        f"{plural(fresh.runs, 'fresh seed')}, {rates[1]} do.",
        f"{ends}{fewer if placement.converges else never}{luck}.",
    ]
    if placement.fault and not placement.symmetric:
        times, size = max(placement.size, 1 / placement.size), placement.fault.split()[-1]
        lines.insert(
            0,
            f"it is your weights, {placement.fault}: {times_text(times)} times as {size} as random "
            f"ones. Of {plural(placement.sized.runs, 'fresh seed')} with weights of that size, "
            f"{percent(placement.sized.converged().mean())} converge.",
        )
    if placement.alike:
        layer, units, total = placement.alike[0]
        same = f"{'all ' * (units == total)}{units} units of hidden layer {layer + 1}"
        must = "yours must go: " * placement.symmetric
        random = ". Draw initial weights at random, as all seeds here do."
        lines.insert(
            0,
            f"{must}{same} start with the same incoming and outgoing weights. They always get the "
            f"same updates and stay equal, in every order{random if must else '.'}",
        )
    elif fixed:
        lines.append(f"with the fix below, {percent(fixed.converged().mean())} do from yours.")
    return lines


def _luck(placement: Placement) -> str:
    """Say whether the user's network is one of the best or worst, or unlike most fresh ones."""
    custom, fresh = placement.custom.converged(), placement.fresh.converged()
    worst = max(placement.loss_percentile, placement.updates_percentile * fresh.any())
    often, usual = custom.mean() > 0.5, fresh.mean() > 0.5
    if worst >= 95 or (usual and not often):
        return "your network is unlucky"
    return f"your network is {'lucky' if worst <= 5 or (often and not usual) else 'like others'}"


def as_json(placement: Placement) -> dict[str, Any]:
    """The comparison as a dictionary for JSON."""
    return {
        "orders": placement.custom.runs,
        "converged": int(placement.custom.converged().sum()),
        "fresh": placement.fresh.runs,
        "fresh_converged": int(placement.fresh.converged().sum()),
        "loss_percentile": placement.loss_percentile,
        "updates_percentile": placement.updates_percentile,
        "size": placement.size,
        "fault": placement.fault,
        "alike": [
            {"layer": layer + 1, "units": units, "of": total}
            for layer, units, total in placement.alike
        ],
    }


def alike(layers: Layers) -> tuple[tuple[int, int, int], ...]:
    """Find hidden layers with units of equal incoming and outgoing weights.

    Returns
    -------
    tuple of (int, int, int)
        For each such layer its position, counted from 0, the number of such units, and the number
        of all units.
    """
    counts = [
        np.unique(np.column_stack([W, b, V.T]), axis=0, return_counts=True)[1]
        for (W, b), (V, _) in pairwise(layers)
    ]
    return tuple(
        (layer, int(each[each > 1].sum()), int(each.sum()))
        for layer, each in enumerate(counts)
        if each.max() > 1
    )


def _updates(runs: MeasuredRuns) -> NDArray[np.float64]:
    """The number of updates after which each run converged; ∞ if it did not."""
    return np.where(runs.converged_at >= 0, runs.converged_at, np.inf)


def _percentile(fresh: NDArray[np.float64], custom: NDArray[np.float64]) -> float:
    """Percent of fresh values below the median of `custom`; equal ones count half, NaN as ∞."""
    fresh, custom = (np.where(np.isnan(values), np.inf, values) for values in (fresh, custom))
    median = np.median(custom)
    return 100 * float((fresh < median).mean() + 0.5 * (fresh == median).mean())
