"""What failing networks do instead of learning, read from a problem and from runs: each finding is
a sentence and its cause.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import constant_loss
from fastbp.config.setup import Setup
from fastbp.diagnosis.trajectories import Trajectories
from fastbp.diagnosis.trials import Measured
from fastbp.engine.lane_group import rates
from fastbp.kernels import measures as m
from fastbp.reporting.phrases import percent
from fastbp.schema.outcomes import OUTCOMES, Outcome

Real = NDArray[np.float64]

MANY = 0.2
"""A finding about more than this share of failing runs is told."""

VANISHED = 0.01
"""The gradient has vanished where following it through another budget would lower the loss by no
more than this share."""

SAME = 0.05
"""A loss within this share of the best constant answer's is that answer's."""

SENSIBLE = 0.1
"""A rate at which following a gradient that has not vanished lowers a loss."""

USUAL = 0.4
"""The tolerance of Fahlman's 40-20-40 rule."""

SATURATED = 0.9
"""A network with more than this share of its hidden outputs near 0 or 1 is saturated."""

UNSCALED = 10.0
"""Inputs of this size, or that lie so many standard deviations from 0, saturate units whatever the
weights learn."""


class Symptom(NamedTuple):
    """What was found: a word for it, and a sentence. `final`: no setup can fix it."""

    name: str
    text: str
    final: bool = False


def of_problem(setup: Setup) -> list[Symptom]:
    """What can be said of a problem before anything is trained."""
    X, T = setup.data()
    found = []
    if not (np.ptp(T, axis=0) > 0).any():
        found.append(
            Symptom(
                "one class", "there is nothing to learn, as every row has the same target", True
            )
        )
        return found
    if contradiction := _contradiction(X, T, setup.tolerance):
        found.append(contradiction)
    size, spread = np.abs(X).max(axis=0), X.std(axis=0)
    far = (size > UNSCALED) | ((spread > 0) & (np.abs(X.mean(axis=0)) > UNSCALED * spread))
    if far.any():
        names = ", ".join(np.array(setup.names.inputs)[far][:5]) + (
            " and others" if far.sum() > 5 else ""
        )
        reach = f"{'reaches' if far.sum() == 1 else 'reach'} {size[far].max():.3g}"
        found.append(
            Symptom(
                "unscaled inputs",
                f"inputs are not scaled: {names} {reach}, and sigmoids saturate beyond some ±5",
            )
        )
    return found


def _contradiction(X: Real, T: Real, tolerance: float) -> Symptom | None:
    """Equal rows with different targets: no function of the inputs comes nearer to all than half
    their distance.
    """
    _, group = np.unique(X, axis=0, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    distance = (np.maximum.reduceat(T[order], starts) - np.minimum.reduceat(T[order], starts)).max(
        axis=1
    )
    against = distance > 0
    if not against.any():
        return None
    span = np.where(np.ptp(T, axis=0) > 0, np.ptp(T, axis=0), 1.0).min()
    rows = int(np.isin(group, np.flatnonzero(against)).sum())
    example = order[starts[np.argmax(distance)]]
    same = np.flatnonzero((X[example] == X).all(axis=1))
    other = same[np.argmax(np.abs(T[same] - T[example]).max(axis=1))]
    final = bool(distance.max() / 2 / span > tolerance)
    rest = (
        "no network can come within the tolerance of both"
        if final
        else "networks answer something between"
    )
    such = f"such as rows {example + 1:,} and {other + 1:,}"
    text = (
        f"{rows:,} rows contradict each other: equal inputs have different targets, {such}; {rest}"
    )
    return Symptom("contradictory labels", text, final)


def best_constant_loss(setup: Setup) -> float:
    """The loss of the best answer that is the same for every row: each output's mean target."""
    return constant_loss(setup.data().T, setup.loss)


def of_runs(
    setup: Setup, runs: Measured, seen: Trajectories | None, slower: Mapping[str, Measured]
) -> list[Symptom]:
    """What runs do that did not converge.

    Parameters: `seen`, what the trajectories of some of them showed; `slower`, by name, runs of the same
    seeds at lower rates.
    """
    failing = ~runs.converged()
    if not failing.any():
        return []
    end = runs.end[:, failing]
    stuck = seen is None or seen.falling.mean() <= 0.5
    lower = {name: each.end[m.LOSS, failing] for name, each in slower.items()} if stuck else {}
    found = _of_loss(setup, end, lower)
    n = int(failing.sum())
    if wrong := _wrong(runs, failing):
        found.append(wrong)
    saturated = int((end[m.SATURATION] > SATURATED).sum())
    if saturated > MANY * n:
        parts = f"more than {SATURATED:.0%} of the hidden outputs below 0.05 or above 0.95, where units learn little"
        found.append(Symptom("saturated", f"{of(saturated, n)} had {parts}"))
    if lenient := _lenient(setup, end):
        found.append(lenient)
    told = _of_lives(seen) if seen else []
    gradient = _gradient(setup, end, any(finding.name == "stuck" for finding in told))
    if any(finding.name == "tiny steps" for finding in gradient):
        told = [finding for finding in told if finding.name != "stuck"]
    return [*found, *told, *gradient]


def _lenient(setup: Setup, end: Real) -> Symptom | None:
    """Whether runs fail by the user's own tolerance alone, which is below Fahlman's."""
    n, near = end.shape[1], int((end[m.MAX_ERROR] <= USUAL).sum())
    if setup.tolerance >= USUAL or near <= MANY * n:
        return None
    text = f"{of(near, n)} were within {USUAL:g} of every target, the usual tolerance, and fail for the {setup.tolerance:g} asked"
    return Symptom("lenient", text)


def _of_loss(setup: Setup, end: Real, slower: Mapping[str, Real]) -> list[Symptom]:
    """Where losses stand beside the best constant answer's, and beside those of the same seeds at
    lower rates.

    A rate is too high where the loss stops falling above the best constant answer's, and the same
    seeds end lower at a third and at a tenth of it. `slower`: none where the loss still falls.
    """
    n = end.shape[1]
    found: list[Symptom] = []
    loss = end[m.LOSS]
    diverged = int(np.isnan(end[m.MAX_ERROR]).sum())
    if diverged:
        found.append(
            Symptom(
                "diverged", f"{of(diverged, n)} diverged: a weight is no longer a finite number"
            )
        )
    constant = best_constant_loss(setup)
    answer = f"the best constant answer (loss {constant:.3g})"
    same = (end[m.ONE_SIDED] == 1) | (end[m.SPREAD] < setup.collapse)
    near = int((same & (np.abs(loss - constant) <= SAME * constant)).sum())
    if near > MANY * n:
        found.append(Symptom("constant", f"{of(near, n)} learnt {answer} and no more"))
    above = (loss > (1 + SAME) * constant) | np.isnan(loss)
    if (worse := int(above.sum())) > MANY * n:
        better = {
            name: int((other < loss)[above].sum() + (np.isnan(loss) & ~np.isnan(other)).sum())
            for name, other in slower.items()
        }
        text = f"{of(worse, n)} did worse than {'that' if near > MANY * n else answer}"
        if better and min(better.values()) > 0.5 * worse:
            told = " and ".join(f"{count:,} at {name}" for name, count in better.items())
            found.append(Symptom("rate too high", f"{text}, and of these seeds, {told} did better"))
        else:
            found.append(Symptom("worse than constant", text))
    return found


def _wrong(runs: Measured, failing: NDArray[np.bool_]) -> Symptom | None:
    """How many rows are on the wrong side where networks tell some apart."""
    partial = runs.codes[failing] == OUTCOMES.index(Outcome.PARTIAL)
    n = int(failing.sum())
    if partial.sum() <= MANY * n:
        return None
    if not (middle := np.median(runs.end[m.WRONG, failing][partial])):
        return Symptom(
            "partial",
            f"{of(int(partial.sum()), n)} had every row on its right side, but not near enough to its target",
        )
    wrong = f"{middle:g}"
    rows = "row" if wrong == "1" else "rows"
    return Symptom(
        "partial",
        f"{of(int(partial.sum()), n)} told some rows apart but not all, and had {wrong} {rows} wrong in the median",
    )


def of(count: int, n: int) -> str:
    """So many of the failing runs."""
    return (
        f"all {n:,}"
        if count == n > 1
        else f"{count:,} of {n:,}" + (f" ({percent(count / n)})" if n > 20 else "")
    )


def _of_lives(seen: Trajectories) -> list[Symptom]:
    """What is seen only in the trajectory of a run: units that double each other, and whether the loss
    still falls.
    """
    n, found = seen.runs, []
    doubled = seen.distinct < seen.units
    if seen.units > 1 and doubled.sum() > 0.5 * n:
        some = f"in {of(int(doubled.sum()), n)} looked into, hidden units doubled each other or said the same to every row"
        say = f"{np.median(seen.distinct[doubled]):g} of {seen.units}"
        found.append(
            Symptom("doubled", f"{some} ({say} said something of their own, in the median)")
        )
    falling = int(seen.falling.sum())
    if falling > 0.5 * n:
        found.append(
            Symptom(
                "slow",
                f"in {of(falling, n)} looked into, the loss still fell when the budget ended: slow, not stuck",
            )
        )
    elif falling <= 0.25 * n:
        found.append(
            Symptom(
                "stuck",
                f"in {of(n - falling, n)} looked into, the loss no longer fell: stuck, not slow",
            )
        )
    return found


def _gradient(setup: Setup, end: Real, stuck: bool) -> list[Symptom]:
    """Whether following the gradient through another budget would lower the loss.

    An update moves the weights by rate · batch · gradient, and by that over 1 − momentum once it
    has got up speed; each such step lowers the loss by its product with the gradient.
    """
    norm, loss = end[m.GRAD_NORM], end[m.LOSS]
    known = np.isfinite(norm) & np.isfinite(loss) & (loss > 0)
    if known.sum() <= 0.5 * len(norm):
        return []
    rows = setup.batch_rows if setup.reduction == "sum" else 1
    step = float(np.mean(rates(setup))) * rows / (1 - setup.momentum)
    fall = float(np.median(setup.budget * step * norm[known] ** 2 / loss[known]))
    # Whether a gradient has vanished is not for a tiny rate to say.
    usual = fall * max(1.0, SENSIBLE / float(np.mean(rates(setup))))
    size = f"{np.median(norm[known]):.2g}"
    if fall <= VANISHED < usual:
        so = f"the gradient is sizeable (its median length is {size}), and steps so small that"
        return [
            Symptom(
                "tiny steps",
                f"{so} as many updates again lower the loss by {percent(fall)}: slow, not stuck",
            )
        ]
    if fall <= VANISHED:
        text = f"the gradient has vanished (its median length is {size}): as many updates again lower the loss by {percent(fall)}"
        return [Symptom("vanished", text)]
    if stuck:
        why = "steps jump about" if setup.schedule == "constant" else "the rate has fallen"
        why = "weight decay holds against it" if setup.weight_decay else why
        return [
            Symptom(
                "jumping", f"the gradient has not vanished (its median length is {size}): {why}"
            )
        ]
    return [Symptom("sizeable", f"the gradient is still sizeable (its median length is {size})")]
