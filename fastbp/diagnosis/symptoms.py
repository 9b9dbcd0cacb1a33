"""Find what failing networks do instead of learning, from the data and from their runs."""

import time
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.analysis.histograms import constant_loss
from fastbp.config.setup import Setup
from fastbp.diagnosis.trials import MeasuredRuns
from fastbp.engine.block import InterruptedBlockError, Pace
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.tasks import activation, rates, task
from fastbp.kernels import measures as m
from fastbp.problems.data_notes import best_possible, equal_inputs
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.schema.text import percent

Real = NDArray[np.float64]

MANY = 0.2
"""A symptom of single runs is reported if more than this share of the failing runs have it."""

VANISHED = 0.01
"""The gradient has vanished if following it through as many updates again lowers the loss by no
more than this share."""

SAME = 0.05
"""A loss within this share of the best constant answer's loss counts as equal to it."""

SENSIBLE = 0.1
"""A sensible learning rate. With a smaller rate, the gradient counts as vanished only if updates at
this rate would not lower the loss either."""

USUAL = 0.4
"""The usual tolerance of outputs, that of the 40-20-40 rule: below 0.4 is 0, above 0.6 is 1 (S. E.
Fahlman (1988), An Empirical Study of Learning Speed in Back-Propagation Networks)."""

SATURATED = 0.9
"""A network is saturated if more than this share of its hidden outputs are near 0 or 1."""

DEAD = 0.25
"""Dead units are worth a word if they are more than this share of the hidden units."""

MAX_INSPECTED = 20
"""The most failing runs that are trained again, side by side."""

FALLS = 0.02
"""A run still learns if its loss falls by more than this share in the second half of the run."""

ALIKE = 0.999
"""Hidden units are duplicates if the correlation of their outputs over the rows is stronger than
this: then they are equal up to a factor and a constant."""

FLAT = 0.01
"""A unit whose output has a smaller standard deviation over the rows gives the same output for
every row."""


class Symptom(NamedTuple):
    """A symptom of failing runs: a short name, and what was seen, as a part of a sentence."""

    name: str
    text: str


# The data


def impossible(setup: Setup) -> str:
    """Say why no setup can learn the data; empty if nothing shows that."""
    X, T = setup.training()
    ranges = np.ptp(T, axis=0)
    if not ranges.any():
        return "there is nothing to learn, as every row has the same target"
    group, distances = equal_inputs(X, T)
    ranges = np.where(ranges > 0, ranges, 1)
    far = (distances / ranges).max(axis=1)
    first = far.argmax()
    if setup.resolved_success != "rows" or far[first] / 2 <= setup.tolerance:
        return ""
    same = np.flatnonzero(group == group[first])
    second = same[(np.abs(T[same] - T[first]) / ranges).max(axis=1).argmax()]
    return (
        f"{np.count_nonzero(far):,} rows contradict each other: equal inputs have different "
        f"targets, such as rows {first + 1:,} and {second + 1:,}; no network can come within the "
        "tolerance of both"
    )


def out_of_reach(setup: Setup) -> str:
    """Say why no network reaches `success` on these rows; empty if nothing shows that."""
    name, _, level = setup.resolved_success.partition(":")
    on_test = setup.success_on == "test"
    if name == "r2" and np.isnan(task(setup).judged[1].scales).any():
        return (
            f"no network has an R² on these {'held-out ' * on_test}rows: their targets are all the "
            "same, too small or too large; change `scale_targets` or `success`"
        )
    judged = slice(setup.rows, None) if on_test else slice(setup.rows)
    most = best_possible(setup.prepared(), judged).get(name, np.inf)
    limit = percent(most) if name == "accuracy" else f"an R² of {most:.3g}"
    return (most < float(level or 0)) * (
        f"no network reaches {setup.resolved_success} on these {'held-out ' * on_test}rows, where "
        f"equal inputs have different answers: {limit} is the most; lower `success`"
    )


# Trajectories of failing runs


class InspectedRuns(NamedTuple):
    """What the trajectories of some failing runs show.

    `falling` [run]: whether the loss still falls when the budget ends. `distinct` [run]: how many
    of the `units` in the first hidden layer neither duplicate others nor give one output for every
    row.
    """

    falling: NDArray[np.bool_]
    distinct: NDArray[np.int64]
    units: int


def inspect(
    setup: Setup, seeds: NDArray[np.uint64], deadline: float = np.inf
) -> InspectedRuns | None:
    """Train failing runs again and inspect their trajectories.

    Only as many seeds are trained as one group of lanes holds. None if there are no seeds or no
    time.
    """
    if not seeds.size:
        return None
    group = LaneGroup(task(setup), seeds[: task(setup).lanes])
    runs, half, losses = min(len(seeds), group.task.lanes), setup.epochs_budget // 2, []
    pace = Pace(lambda: time.perf_counter() > deadline)
    try:
        for epochs in (half, setup.epochs_budget):
            while group.epochs < epochs:
                pace(group.advance, epochs - group.epochs)
            losses.append(group.measure(with_gradient=False)[0][m.LOSS, :runs])
    except InterruptedBlockError:
        return None
    falling = (losses[1] < (1 - FALLS) * losses[0]) & (half > 0)
    f, _ = activation(setup.activations[0])
    with np.errstate(over="ignore", invalid="ignore"):
        layers = (group.layers(lane)[0] for lane in range(runs))
        distinct = [_distinct(f(setup.training().X @ W.T + b)) for W, b in layers]
    return InspectedRuns(falling, np.array(distinct), setup.hidden[0])


def _distinct(a: Real) -> int:
    """Count the units whose outputs, a [row, unit], vary; units that vary together count as one."""
    varying = a[:, a.std(axis=0) > FLAT]
    if varying.shape[1] < 2:
        return int(varying.shape[1])
    return int((~np.tril(np.abs(np.corrcoef(varying.T)) > ALIKE, -1).any(axis=1)).sum())


# Failing runs


def of_runs(
    setup: Setup,
    runs: MeasuredRuns,
    inspected: InspectedRuns | None,
    slower: Mapping[str, MeasuredRuns],
) -> list[Symptom]:
    """Find the symptoms of the runs that did not converge.

    Parameters
    ----------
    setup : Setup
    runs : MeasuredRuns
        All runs of the setup.
    inspected : InspectedRuns, optional
        The trajectories of some of the failing runs.
    slower : mapping from name to MeasuredRuns
        Runs of the same seeds at lower learning rates.
    """
    failing = ~runs.converged()
    if not failing.any():
        return []
    end = runs.end[:, failing]
    stuck = inspected is None or inspected.falling.mean() <= 0.5
    lower = {name: each.end[m.LOSS, failing] for name, each in slower.items()} if stuck else {}
    shapes = [*_of_trajectories(inspected)] if inspected else []
    gradient = _of_gradient(setup, end, any(each.name == "stuck" for each in shapes))
    if any(each.name == "tiny steps" for each in gradient):
        shapes = [each for each in shapes if each.name != "stuck"]
    return [
        *_of_loss(setup, end, lower),
        *_of_partial(runs, failing),
        *_of_measures(setup, end),
        *shapes,
        *gradient,
    ]


def of(count: int, n: int) -> str:
    """A number of the n failing runs in words: `all 20`, `12 of 40 (30.0%)`."""
    share = f" ({percent(count / n)})" * (n > 20)
    return f"all {n:,}" if count == n > 1 else f"{count:,} of {n:,}{share}"


def _of_loss(setup: Setup, end: Real, slower: Mapping[str, Real]) -> Iterator[Symptom]:
    """Compare final losses with that of the best constant answer, and with those at lower rates.

    The rate is too high if the loss is stuck above that of the best constant answer, and if most of
    the same seeds end lower both at a third and at a tenth of the rate.
    """
    n, loss = end.shape[1], end[m.LOSS]
    if diverged := int(np.isnan(end[m.MAX_ERROR]).sum()):
        yield Symptom(
            "diverged", f"{of(diverged, n)} diverged: a weight is no longer a finite number"
        )
    constant = constant_loss(setup.training().T, setup.loss)
    T = setup.in_table_units(setup.training().T.mean(axis=0, keepdims=True))
    mean = f"{T[0, 0]:.3g} for every row, " if T.size == 1 else ""
    answer = f"the best constant answer ({mean}loss {constant:.3g})"
    same = (end[m.ONE_SIDED] == 1) | (end[m.SPREAD] < setup.collapse)
    near = int((same & (np.abs(loss - constant) <= SAME * constant)).sum())
    if near > MANY * n:
        yield Symptom("constant", f"{of(near, n)} learned {answer} and no more")
        answer = "that"
    above = (loss > (1 + SAME) * constant) | np.isnan(loss)
    worse = int(above.sum())
    if worse > MANY * n:
        name, text = "worse than constant", f"{of(worse, n)} did worse than {answer}"
        better = {
            name: int((other < loss)[above].sum() + (np.isnan(loss) & ~np.isnan(other)).sum())
            for name, other in slower.items()
        }
        if better and min(better.values()) > 0.5 * worse:
            counts = " and ".join(f"{count:,} at {name}" for name, count in better.items())
            name, text = "rate too high", f"{text}, and of these seeds, {counts} did better"
        yield Symptom(name, text)


def _of_partial(runs: MeasuredRuns, failing: NDArray[np.bool_]) -> Iterator[Symptom]:
    """Count the rows on the wrong side if networks separate only some rows."""
    partial = runs.codes[failing] == OUTCOMES.index(Outcome.PARTIAL)
    count, n = int(partial.sum()), int(failing.sum())
    if count > MANY * n:
        wrong = np.median(runs.end[m.WRONG, failing][partial])
        rows = "row" if wrong == 1 else "rows"
        some = f"separated some rows but not all: the median run has {wrong:g} {rows} wrong"
        near = "had every row on the right side, but not close enough to its target"
        yield Symptom("partial", f"{of(count, n)} {some if wrong else near}")


def _of_measures(setup: Setup, end: Real) -> list[Symptom]:
    """Count the runs with saturated or dead units, and those that only the tolerance refuses."""
    n = end.shape[1]
    seen = {
        "saturated": (
            end[m.SATURATION] > SATURATED,
            f"had more than {SATURATED:.0%} of the hidden outputs near the ends of their range, "
            "where units learn little",
        ),
        "dead units": (
            end[m.DEAD_UNITS] > DEAD,
            f"had more than {DEAD:.0%} of the hidden units dead, with the same output for every "
            "row",
        ),
        "lenient": (
            (end[m.MAX_ERROR] <= USUAL) & (setup.tolerance < USUAL),
            f"were within {USUAL:g} of every target, the usual tolerance, and fail only because "
            f"the tolerance is {setup.tolerance:g}",
        ),
    }
    return [
        Symptom(name, f"{of(int(those.sum()), n)} {text}")
        for name, (those, text) in seen.items()
        if those.sum() > MANY * n
    ]


def _of_trajectories(inspected: InspectedRuns) -> Iterator[Symptom]:
    """Find out whether hidden units duplicate each other, and whether the loss still falls."""
    n = len(inspected.falling)
    doubled = inspected.distinct < inspected.units
    if inspected.units > 1 and doubled.sum() > 0.5 * n:
        yield Symptom(
            "doubled",
            f"in {of(int(doubled.sum()), n)} inspected, hidden units duplicated each other or gave "
            "the same output for every row (median: "
            f"{np.median(inspected.distinct[doubled]):g} of {inspected.units} distinct)",
        )
    falling = int(inspected.falling.sum())
    if falling > 0.5 * n:
        yield Symptom(
            "slow",
            f"in {of(falling, n)} inspected, the loss was still falling when the budget ended: "
            "slow, not stuck",
        )
    elif falling <= 0.25 * n:
        yield Symptom(
            "stuck",
            f"in {of(n - falling, n)} inspected, the loss no longer fell: stuck, not slow",
        )


def _of_gradient(setup: Setup, end: Real, stuck: bool) -> list[Symptom]:
    """Find out whether following the gradient for as many updates again would lower the loss.

    An update moves the weights by rate · batch · gradient, and with momentum by that over 1 −
    momentum; each such step lowers the loss by its product with the gradient.
    """
    norm, loss = end[m.GRAD_NORM], end[m.LOSS]
    known = np.isfinite(norm) & np.isfinite(loss) & (loss > 0)
    if known.sum() <= 0.5 * len(norm):
        return []
    rows = setup.batch_rows if setup.reduction == "sum" else 1
    rate = float(np.mean(rates(setup)))
    step = rate * rows / (1 - setup.momentum)
    with np.errstate(over="ignore"):  # a gradient of 1e160
        fall = float(np.median(setup.budget * step * norm[known] ** 2 / loss[known]))
    size = f"(median length {np.median(norm[known]):.2g})"
    # A tiny rate does not make a gradient vanish.
    at_usual_rate = fall * max(1.0, SENSIBLE / max(rate, np.finfo(float).tiny))
    again = f"another budget would lower the loss by {percent(fall)}"
    why = "steps jump about" if setup.schedule == "constant" else "the rate has fallen"
    why = "weight decay holds against it" if setup.weight_decay else why
    small = f"is sizeable {size}, but the steps are so small that {again}: slow, not stuck"
    kinds = (
        (fall <= VANISHED < at_usual_rate, "tiny steps", small),
        (fall <= VANISHED, "vanished", f"has vanished {size}: {again}"),
        (not stuck, "sizeable", f"is still sizeable {size}"),
        (True, "jumping", f"has not vanished {size}: {why}"),
    )
    name, text = next((name, text) for applies, name, text in kinds if applies)
    return [Symptom(name, f"the gradient {text}")]
