"""What failing networks do instead of learning, read from a problem and from runs: each finding is a sentence and its cause."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.spec import Setup
from fastbp.inquiry.retrain import Layers, retrain
from fastbp.inquiry.trials import Measured
from fastbp.kernels import measures as m
from fastbp.outcomes import OUTCOMES, Outcome

Real = NDArray[np.float64]

LIVES = 20
"""Failing runs that are trained again and looked into."""

SAME = 0.05
"""A loss within this share of the best constant answer's is that answer's."""

UNSCALED = 10.0
"""Inputs of this size, or that lie so many standard deviations from 0, saturate units whatever the weights learn."""


class Finding(NamedTuple):
    """What was found: the cause it speaks for, in the words of `remedies`, and a sentence. `final`: no setup can mend it."""

    cause: str
    text: str
    final: bool = False


def of_problem(setup: Setup) -> list[Finding]:
    """What can be said of a problem before anything is trained."""
    X, T = setup.data()
    found = []
    if not (np.ptp(T, axis=0) > 0).any():
        found.append(Finding("one class", "there is nothing to learn: every row has the same target", True))
        return found
    if contradiction := _contradiction(X, T, setup.tolerance):
        found.append(contradiction)
    size, spread = np.abs(X).max(axis=0), X.std(axis=0)
    far = (size > UNSCALED) | ((spread > 0) & (np.abs(X.mean(axis=0)) > UNSCALED * spread))
    if far.any():
        names = ", ".join(np.array(setup.names.inputs)[far][:5]) + (" and others" if far.sum() > 5 else "")
        reach = f"{'reaches' if far.sum() == 1 else 'reach'} {size[far].max():.3g}"
        found.append(Finding("unscaled inputs", f"inputs are not scaled: {names} {reach}, and sigmoids saturate beyond some ±5"))
    return found


def _contradiction(X: Real, T: Real, tolerance: float) -> Finding | None:
    """Equal rows with different targets: no function of the inputs comes nearer to all than half their distance."""
    _, group = np.unique(X, axis=0, return_inverse=True)
    group = group.ravel()
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    distance = (np.maximum.reduceat(T[order], starts) - np.minimum.reduceat(T[order], starts)).max(axis=1)
    against = distance > 0
    if not against.any():
        return None
    span = np.where(np.ptp(T, axis=0) > 0, np.ptp(T, axis=0), 1.0).min()
    rows = int(np.isin(group, np.flatnonzero(against)).sum())
    example = order[starts[np.argmax(distance)]]
    same = np.flatnonzero((X[example] == X).all(axis=1))
    other = same[np.argmax(np.abs(T[same] - T[example]).max(axis=1))]
    final = bool(distance.max() / 2 / span > tolerance)
    rest = "no network can come within the tolerance of both" if final else "networks answer something between"
    return Finding(
        "contradictory labels",
        f"{rows:,} rows contradict others: equal inputs have different targets, such as rows {example:,} and {other:,}; {rest}",
        final,
    )


def best_constant_loss(setup: Setup) -> float:
    """The loss of the best answer that is the same for every row: each output's mean target."""
    _, T = setup.data()
    mean = T.mean(axis=0)
    if setup.loss == "cross-entropy":
        inner = mean[(mean > 0) & (mean < 1)]
        return float(-(inner * np.log(inner) + (1 - inner) * np.log1p(-inner)).sum())
    return float(0.5 * ((T - mean) ** 2).mean(axis=0).sum())


def of_runs(setup: Setup, runs: Measured, start: int) -> list[Finding]:
    """What runs do that did not converge: `start` is the first seed of the runs."""
    failing = ~runs.converged()
    if not failing.any():
        return []
    end = runs.end[:, failing]
    n, found = int(failing.sum()), []
    diverged = int((runs.codes == OUTCOMES.index(Outcome.DIVERGED)).sum())
    if diverged:
        found.append(Finding("rate too high", f"{_of(diverged, n)} diverge: a weight is no longer a finite number"))
    constant = best_constant_loss(setup)
    near = int((np.abs(end[m.LOSS] / constant - 1) <= SAME).sum()) if constant else 0
    above = int((end[m.LOSS] > (1 + SAME) * constant).sum())
    answer = f"the best constant answer (loss {constant:.3g})"
    if near > 0.2 * n:
        found.append(Finding("constant", f"{_of(near, n)} have learnt {answer} and no more"))
    if above > 0.2 * n:
        found.append(Finding("rate too high", f"{_of(above, n)} do worse than {answer}"))
    saturated = int((end[m.SATURATION] > 0.9).sum())
    if saturated > 0.2 * n:
        text = (
            f"{_of(saturated, n)} have more than 90% of their hidden outputs below 0.05 or above 0.95, where units learn little"
        )
        found.append(Finding("initial weights", text))
    seeds = start + np.flatnonzero(failing)[:LIVES]
    found += _of_lives(setup, seeds.tolist())
    return found


def _of(count: int, n: int) -> str:
    return f"all {n:,} failing runs" if count == n else f"{count:,} of {n:,} failing runs ({100 * count / n:.0f}%)"


def _of_lives(setup: Setup, seeds: list[int]) -> list[Finding]:
    """What is seen only in the life of a run: units that double each other, and whether the loss still falls."""
    X, _ = setup.data()
    twins = falling = 0
    for seed in seeds:
        life = retrain(setup, seed)
        twins += _doubled(X, life.final, setup.hidden[0])
        losses = life.looks["loss"].to_numpy(float)
        if np.isfinite(losses).all() and len(losses) > 2:
            middle = losses[len(losses) // 2]
            falling += losses[-1] < 0.98 * middle
    found, n = [], len(seeds)
    some = "the failing run looked into" if n == 1 else f"{n} failing runs looked into"
    if twins > n / 2 and setup.hidden[0] > 1:
        found.append(Finding("initial weights", f"in {twins} of {some}, hidden units double each other"))
    if falling > n / 2:
        text = f"in {falling} of {some}, the loss still falls when the budget ends: slow, not stuck"
        found.append(Finding("too few updates", text))
    elif falling <= n / 4:
        found.append(Finding("stuck", f"in {n - falling} of {some}, the loss no longer falls: stuck, not slow"))
    return found


def _doubled(X: Real, final: Layers, units: int) -> bool:
    """Whether all units of the first hidden layer answer every row (nearly) alike, each up to a number of its own."""
    W, b = final[0]
    with np.errstate(over="ignore"):
        a = 1 / (1 + np.exp(-(X @ W.T + b)))
    varying = a[:, a.std(axis=0) > 1e-9]
    if units < 2 or varying.shape[1] < 2:
        return units > 1 and varying.shape[1] <= 1
    return bool((np.abs(np.corrcoef(varying.T)) > 0.999).all())
