"""Is my backprop right? A user's own function against the kernels' gradient and against finite
differences.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fastbp.config.setup import Setup, defaults
from fastbp.engine.block import check_denormals
from fastbp.engine.lane_group import LaneGroup, task
from fastbp.gradcheck.conventions import (
    JOINED,
    OF_EACH,
    PLAIN,
    STYLES,
    Called,
    Failure,
    Style,
    called,
    readings,
    takes,
)
from fastbp.gradcheck.mistakes import CHANGED
from fastbp.gradcheck.reference import Case, Layers, Loss, Real, gradient, loss_of, random_case
from fastbp.gradcheck.search import TOLERANCE, Explanation, Given, Setting, explained
from fastbp.problems.problem import numbered, problem
from fastbp.problems.targets import FileProblem
from fastbp.schema.errors import SweepError
from fastbp.schema.text import shown

DRAWS = 3
"""Random networks and samples that a function is called with."""

MAX_UNITS, MAX_HIDDEN, MAX_ROWS = 64, 8, 256
"""Units of a layer, hidden layers, and samples at once: networks that a textbook's functions are
written for."""

MAX_RATE = 2**100
"""A rate that is less is a float, and its steps are no overflow."""

PLACES = 20
"""Weights of each array that finite differences are taken of, in each draw."""

STEP_OF_KERNELS = 2.0**19
"""The rate of the one step by which the kernels tell their gradient: so large that the weights take
no digit of it."""

LOST = 0.05
"""What rounding may do to a step, as a share of the largest gradient, before nothing can be said of
it."""

_LOST_STEPS = "its steps are lost in the rounding of its weights; needed: a larger rate, or weights in float64"


class GradientCheck(NamedTuple):
    """What a check found.

    `ok`: whether all gradients are right. `first_wrong`: the name of the first array that is not,
    in the order of backpropagation: those of the output layer first. `mistake`: the likely one,
    where it is recognised, or all that it may be; where the function cannot be checked, why.
    `errors`: of each array its largest difference from ours, as a share of our largest gradient in
    it, beyond what the rounding of changed weights explains (∞ where its shape is that of the
    transpose). `finite_differences`: the largest difference of ours from finite differences,
    measured alike. `convention`: how the function was called and understood. `rate`: of the steps
    that it makes, as given or else as found; None where it returns gradients. `tolerance`: the
    largest of `errors` that counts as none.
    """

    ok: bool
    first_wrong: str
    mistake: str
    errors: dict[str, float]
    finite_differences: float
    convention: str
    rate: float | None = None
    tolerance: float = TOLERANCE

    def __str__(self) -> str:
        """In lines: the verdict first."""
        if self.ok:
            verdict = "Your gradients are right."
        elif self.errors:
            verdict = f"Your gradients are wrong, first in {self.first_wrong}. " + (
                f"Likely: {self.mistake}."
                if self.mistake
                else "No usual mistake gives these values."
            )
        else:
            return f"Your function cannot be checked: {self.mistake}."
        rows = [
            f"  {name:<4}{_share(error):>8}{'' if error <= self.tolerance else '  ← wrong'}"
            for name, error in self.errors.items()
        ]
        heading = "difference from ours, as a share of the largest gradient of each array:"
        own = f"ours differs from finite differences by {_share(self.finite_differences)}"
        return "\n".join([verdict, heading, *rows, own, self.convention])


def _share(difference: float) -> str:
    # What is less is rounding, and other digits on every machine.
    return f"{difference:.2g}" if difference >= 1e-9 else "< 1e-9"


def check_gradients(
    function: Callable[..., Any],
    sizes: Sequence[int],
    *,
    loss: Loss = "squared",
    rows: int = 1,
    lr: float | None = None,
    bias: bool = True,
    seed: int = 0,
) -> GradientCheck:
    """Hold a user's own backpropagation against ours, and ours against finite differences.

    `function(W, b, x, t)` gets a list of weight matrices, a list of biases, inputs and targets, and
    returns the gradients of ½Σ(o − t)² (or of the cross-entropy) of a network of sigmoids: as (of
    the weights, of the biases), the other way round, as one list W0, b0, W1, b1, …, as a pair for
    each layer, or as a dictionary; lists and tuples are taken like arrays. Or it makes one step of
    online learning: it changes W and b in place, or returns them changed. What shapes it works with
    is tried: W[out, in] or W[in, out]; vectors [n], columns [n, 1] or rows [1, n].

    Parameters: `sizes`, units of each layer, inputs and outputs included, such as (3, 4, 1);
    `rows`, samples at once: x and t are then tables [row, unit] or, for functions that work with
    columns, [unit, row], and gradients are summed over rows; `lr`, the rate that the function steps
    with: without it, a factor on all gradients looks like another rate, and the rate that explains
    the steps is told; `bias`: without, it is called as function(W, x, t); `seed`, of the random
    networks and samples.

    Raises SweepError for arguments that are none. Whatever is wrong with the function is told by
    what is returned.
    """
    if lines := _mistakes(function, sizes, loss, rows, lr, bias, seed):
        raise SweepError(lines)
    check_denormals()
    units, rows, bias, rate = (
        tuple(int(n) for n in sizes),
        int(rows),
        bool(bias),
        None if lr is None else float(lr),
    )

    def checked(
        units: tuple[int, ...] = units, rows: int = rows, bias: bool = bias
    ) -> GradientCheck:
        return _checked(function, units, loss, rows, rate, bias, seed)

    found, alike = checked(), (max(units),) * len(units)
    if found.errors:
        if not found.ok and not found.mistake and rows > 1 and checked(rows=1).ok:
            return found._replace(mistake="of one row it is right, of several it is not their sum")
        return found
    if found.mistake.startswith("it raises SystemExit"):
        return found
    # Other networks may tell what this one cannot.
    if (
        takes(function, 3)
        and (other := checked(bias=not bias)).errors
        and (bias or OF_EACH in other.convention)
    ):
        hint = f"it has {'no biases' if bias else 'biases in W'}: check it with bias={not bias}"
    elif units != alike and " raises " in found.mistake and (other := checked(alike)).errors:
        hint = f"with sizes {alike} it runs"
    else:
        return found
    likely = f"likely: {other.mistake}" if other.mistake else "no usual mistake gives these values"
    verdict = (
        "its gradients are right"
        if other.ok
        else f"its gradients are wrong, first in {other.first_wrong}, {likely}"
    )
    return found._replace(mistake=f"{found.mistake}; {hint}, and then {verdict}")


def _checked(
    function: Callable[..., Any],
    units: tuple[int, ...],
    loss: Loss,
    rows: int,
    lr: float | None,
    bias: bool,
    seed: int,
) -> GradientCheck:
    rng = np.random.default_rng(seed)
    cases = [random_case(units, rows, bias, rng) for _ in range(DRAWS)]
    ours = [_flat(_kernel_gradient(case, loss), bias) for case in cases]
    numeric = max(
        _difference(case, our, loss, bias, rng) for case, our in zip(cases, ours, strict=True)
    )
    names = [f"{kind}{layer}" for layer in range(len(units) - 1) for kind in ("W", "b")[: 1 + bias]]
    found = _understood(function, Setting(cases, loss, bias, names), ours, lr)
    if isinstance(found, Failure):
        return GradientCheck(False, found.name, found.text, {}, numeric, "")
    wrong = [
        name for name, error in zip(names, found.errors, strict=True) if error > found.tolerance
    ]
    first = (
        "" if found.right else max(wrong or names, key=lambda name: (int(name[1:]), name[0] == "W"))
    )
    errors = dict(zip(names, found.errors, strict=True))
    return GradientCheck(
        found.right,
        first,
        found.mistake,
        errors,
        numeric,
        found.convention(lr),
        found.rate,
        found.tolerance,
    )


def _mistakes(
    function: Any, sizes: Any, loss: Any, rows: Any, lr: Any, bias: Any, seed: Any
) -> list[str]:
    def whole(n: Any, low: int, high: float) -> bool:
        return (
            isinstance(n, int | np.integer) and not isinstance(n, bool) and bool(low <= n <= high)
        )

    lines = []
    if not callable(function):
        lines.append(
            f"function: given {shown(function)}, allowed: something that can be called as function(W, b, x, t)"
        )
    listed = isinstance(sizes, list | tuple | range) or (
        isinstance(sizes, np.ndarray) and sizes.ndim == 1
    )
    if (
        not listed
        or not 3 <= len(sizes) <= MAX_HIDDEN + 2
        or not all(whole(n, 1, MAX_UNITS) for n in sizes)
    ):
        lines.append(
            f"sizes: given {shown(sizes)}, allowed: units of inputs, of 1 to {MAX_HIDDEN} hidden layers and of outputs, such as "
            f"(3, 4, 1), each from 1 to {MAX_UNITS}"
        )
    if not isinstance(loss, str) or loss not in ("squared", "cross-entropy"):
        lines.append(f"loss: given {shown(loss)}, allowed: squared, cross-entropy")
    if not whole(rows, 1, MAX_ROWS):
        lines.append(f"rows: given {shown(rows)}, allowed: an integer from 1 to {MAX_ROWS}")
    real = isinstance(lr, int | float | np.integer | np.floating) and not isinstance(lr, bool)
    if lr is not None and not (real and 0 < (lr if isinstance(lr, int) else float(lr)) < MAX_RATE):
        lines.append(f"lr: given {shown(lr)}, allowed: a number > 0")
    if not isinstance(bias, bool | np.bool_):
        lines.append(f"bias: given {shown(bias)}, allowed: true or false")
    if not whole(seed, 0, float("inf")):
        lines.append(f"seed: given {shown(seed)}, allowed: an integer from 0")
    return lines


def _kernel_gradient(case: Case, loss: Loss) -> Layers:
    """The gradient, summed over rows, as the kernels have it: what a step takes from the
    weights.
    """
    sizes = [case.X.shape[1], *(len(b) for _, b in case.layers)]
    columns = {
        **defaults(), "problem": "file:samples.npz", "targets": "t", "hidden": "-".join(map(str, sizes[1:-1])),
        "loss_function": loss, "order": "cyclic", "batch": len(case.X), "lr": STEP_OF_KERNELS, "updates": 1, "eval_every": 1,
    }  # fmt: skip
    given = FileProblem(problem(case.X, case.T), numbered(sizes[0], sizes[-1]), trained=True)
    group = LaneGroup(task(Setup.from_columns(columns, given)), np.array([0], np.uint64))
    group.set_layers(case.layers)
    group.advance(1)
    return [
        ((W - W_after) / STEP_OF_KERNELS, (b - b_after) / STEP_OF_KERNELS)
        for (W, b), (W_after, b_after) in zip(case.layers, group.layers(), strict=True)
    ]


def _flat(layers: Layers, bias: bool) -> list[Real]:
    return [values for pair in layers for values in pair[: 1 + bias]]


def _difference(
    case: Case,
    ours: Sequence[Real],
    loss: Loss,
    bias: bool,
    rng: np.random.Generator,
    step: float = 1e-3,
) -> float:
    """The largest difference of our gradient from central differences of the loss (of fourth
    order), at some places.
    """
    worst = 0.0
    for values, our in zip(_flat(case.layers, bias), ours, strict=True):
        for place in rng.permutation(values.size)[:PLACES]:
            at = np.unravel_index(place, values.shape)
            kept, slope = float(values[at]), 0.0
            for offset, weight in ((1, 8), (-1, -8), (2, -1), (-2, 1)):
                values[at] = kept + offset * step
                slope += weight * loss_of(case, loss) / (12 * step)
            values[at] = kept
            worst = max(worst, abs(slope - float(our[at])) / _scale(our))
    return worst


def _scale(values: Real) -> float:
    return max(float(np.abs(values).max()), 1e-300)


class _Found(NamedTuple):
    """What was made of a function's answers."""

    right: bool
    errors: list[float]
    mistake: str
    does: str
    style: Style
    rate: float | None
    tolerance: float = TOLERANCE

    def convention(self, given: float | None) -> str:
        """How it was called, what it does, and what cannot be told."""
        step = f": a step of rate {self.rate:.4g}" if self.rate is not None else ""
        free = "\nthat rate is found, not given: a factor on all gradients would look the same (lr = … checks it)"
        return f"called with {self.style}; it {self.does}{step}{free if step and given is None else ''}"


def _steady(function: Callable[..., Any], asked: Setting, style: Style) -> bool:
    """Whether it gives the same again for the same."""
    first, again = (called(function, asked.cases[:1], style, asked.bias).answers for _ in range(2))
    return [a.tolist() for way in first for arrays in way.values() for a in arrays] == [
        a.tolist() for way in again for arrays in way.values() for a in arrays
    ]


def _understood(
    function: Callable[..., Any], asked: Setting, ours: Sequence[list[Real]], lr: float | None
) -> _Found | Failure:
    """Call it in every style that it may be written in, and take that in which it is right, else
    one whose mistakes are known.
    """
    seen: list[tuple[Given, str, Style]] = []
    failures: list[Failure] = []
    three = asked.bias and takes(function, 3) and not takes(function, 4)
    for styles in (JOINED,) if three else (STYLES[:PLAIN], STYLES[PLAIN:], JOINED * asked.bias):
        new: list[tuple[Given, str, Style]] = []
        for style in styles:
            if asked.rows > 1 and style.samples == "row" and style.biases != "row":
                continue  # a table of several samples lies as with "flat"
            found = called(function, asked.cases, style, asked.bias)
            read = readings(found.answers, asked.cases, lr, asked.bias) if found.answers else []
            right = _right_one(found, read, asked, ours)
            if right is not None:
                return right
            if found.failure:
                if found.failure.rank < 0:
                    return found.failure  # it would end every program
                if not style.joined or three or found.failure.rank == 0:
                    failures.append(found.failure)
            elif not read:
                failures.append(
                    Failure(
                        0,
                        1,
                        "it changes its arguments in some calls and returns something in others",
                    )
                )
            elif not _steady(function, asked, style):
                unsteady = _wrong([(given, does, style) for does, given in read], [], ours)
                return (
                    unsteady
                    if isinstance(unsteady, Failure)
                    else unsteady._replace(mistake=_UNSTEADY)
                )
            else:
                known = [given for given, _, _ in seen + new]
                new += [
                    (given, does, style)
                    for does, given in read
                    if not any(_alike(given, other) for other in known)
                ]
        if explanations := explained([given for given, _, _ in new], asked):
            return _wrong(new, explanations, ours)
        seen += new
    nearest = max(
        (_right(dict(enumerate(given.arrays[0])), ours[0]) for given, _, _ in seen), default=0
    )
    fits = [(_right(each.fitting, ours[each.case]), len(each.fitting)) for each in failures]
    if seen and nearest >= max((right for right, _ in fits), default=0):
        return _wrong(seen, [], ours)
    rank = min(failure.rank for failure in failures)
    likely = max(
        (*fit, failure.reached)
        for fit, failure in zip(fits, failures, strict=True)
        if failure.rank == rank
    )
    left = [
        each
        for fit, each in zip(fits, failures, strict=True)
        if each.rank == rank and (*fit, each.reached) == likely
    ]
    if rank == 1:
        return left[0]
    texts = Counter(failure.text.partition(" (called as ")[0] for failure in left)
    often = texts.most_common(1)[0][0]  # what it does however it is called is its own fault
    return next(failure for failure in left if failure.text.startswith(often))


_UNSTEADY = "called again with the same it answers otherwise: it keeps something from call to call, or draws numbers"


def _right_one(
    found: Called, read: list[tuple[str, Given]], asked: Setting, ours: Sequence[list[Real]]
) -> _Found | Failure | None:
    """That of these readings which is right, or nearly: then what is wrong with it."""
    for i, (does, given) in enumerate(read):
        errors, noise, rate = _measured(given, ours)
        if max(errors) > TOLERANCE:
            continue
        if found.failure:
            often = f"in call {len(found.answers) + 1} of {len(asked.cases)} {found.failure.text}"
            return found.failure._replace(text=often)  # it fails only sometimes
        if max(noise) > LOST:
            return Failure(0, 0, _LOST_STEPS)
        if i and read[0][1].steps and not given.steps and explained([read[0][1]], asked):
            del read[1:]  # what it returns is right, what it does is not
            return None
        if (
            given.steps
            and (size := max(errors)) > 0
            and max(_measured(given, _changed(given, asked))[0]) < 0.1 * size
        ):
            # Of a small rate, but there: the smaller it is, the less do weights that are changed
            # too early differ.
            return _Found(False, errors, CHANGED, does, found.style, rate, size / 1e3)
        return _Found(True, errors, "", does, found.style, rate if given.steps else None)
    return None


def _changed(given: Given, asked: Setting) -> list[list[Real]]:
    """What comes of outgoing weights that are changed before the hidden deltas are computed."""
    changed = given.changed or []
    return [
        _flat(gradient(case, asked.loss, after), asked.bias)
        for case, after in zip(asked.cases, changed, strict=True)
    ]


def _right(arrays: Mapping[int, Real], ours: Sequence[Real]) -> int:
    """How many of these arrays are right."""
    pairs = [(values, ours[i]) for i, values in arrays.items()]
    return sum(
        a.shape == o.shape and float(np.abs(a - o).max()) <= TOLERANCE * _scale(o) for a, o in pairs
    )


def _alike(a: Given, b: Given) -> bool:
    return a.steps == b.steps and all(
        v.shape == w.shape and np.allclose(v, w, rtol=1e-12, atol=0)
        for x, y in zip(a.arrays, b.arrays, strict=True)
        for v, w in zip(x, y, strict=True)
    )


def _measured(
    given: Given, ours: Sequence[list[Real]], factor: float = 0.0
) -> tuple[list[float], list[float], float]:
    """Of each array its error beyond what may be rounding of the weights, and that, as shares of
    our largest gradient; the rate.

    A rate that was not given is that by which the output's weights fit best, or `factor`.
    """
    rate = 1.0
    if given.rate is None:
        last = -2 if len(ours[0]) % 2 == 0 and ours[0][-1].ndim == 1 else -1
        pairs = [(a[last], o[last]) for a, o in zip(given.arrays, ours, strict=False)]
        rate = (
            abs(
                factor
                or sum(float((a * o).sum()) for a, o in pairs)
                / sum(float((o * o).sum()) for _, o in pairs)
            )
            or 1.0
        )
    errors, noise = [], []
    for i, each in enumerate(given.noise):
        scale = max(
            _scale(right[i]) for right in ours
        )  # one draw may happen to have gradients that nearly cancel
        pairs = [(a[i], o[i]) for a, o in zip(given.arrays, ours, strict=False)]
        noise.append(each / rate / scale)
        worst = max(
            float(np.abs(a / rate - o).max()) / scale if a.shape == o.shape else np.inf
            for a, o in pairs
        )
        errors.append(max(worst - noise[-1], 0.0))
    return errors, noise, given.rate or rate


def _wrong(
    seen: Sequence[tuple[Given, str, Style]],
    explanations: Sequence[Explanation],
    ours: Sequence[list[Real]],
) -> _Found | Failure:
    """The answers that are explained by the fewest mistakes, or the nearest where none are."""
    if explanations:
        place, factor = explanations[0].given, explanations[0].factor
    else:
        place, factor = (
            min(range(len(seen)), key=lambda i: max(_measured(seen[i][0], ours)[0])),
            0.0,
        )
    given, does, style = seen[place]
    errors, noise, rate = _measured(given, ours, factor)
    if max(noise) > LOST:
        return Failure(0, 0, _LOST_STEPS)
    none = [
        i
        for i, arrays in enumerate(zip(*given.arrays, strict=True))
        if not any(map(np.any, arrays))
    ]
    if len(none) == len(errors):
        return _Found(
            False,
            errors,
            "W and b are returned unchanged" if given.steps else "all gradients are 0",
            does,
            style,
            None,
        )
    told = list(dict.fromkeys(explanation.told for explanation in explanations))
    return _Found(False, errors, "; or ".join(told), does, style, rate if given.steps else None)
