"""Is my backprop right? A user's own function against the kernels' gradient and against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise, product
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.engine.block import Group, check_denormals, task
from fastbp.engine.problem import numbered, problem
from fastbp.engine.problem_files import FileProblem
from fastbp.engine.reading import SweepError, shown
from fastbp.engine.spec import Setup, defaults
from fastbp.kernels.network import BIASES, WEIGHTS

Real = NDArray[np.float64]
Layers = list[tuple[Real, Real]]
"""Of each layer its weights [out, in] and its biases [out]."""

DRAWS = 3
"""Random networks and samples that a function is called with."""

TOLERANCE = 1e-4
"""Largest difference of an array, as a share of its largest gradient, that counts as none: float32 keeps seven digits."""

MOST_UNITS, MOST_ROWS = 64, 256
"""Units of a layer, and samples at once: finite differences take two passes for every weight."""


class Slopes(NamedTuple):
    """What a textbook's backpropagation can get wrong between the error and the gradients, each by a word."""

    output: Literal["right", "none", "of squashed"] = "right"
    hidden: Literal["right", "none", "of squashed", "of the layer above"] = "right"
    carried: Literal["delta", "error"] = "delta"
    back: Literal["right", "not transposed", "changed"] = "right"
    inputs: Literal["right", "sums"] = "right"


_TOLD = {
    ("output", "none"): "σ′ is missing at the output layer (which is right for cross-entropy, not for squared error)",
    (
        "output",
        "of squashed",
    ): "σ′ at the output layer is taken of an output squashed already: of o = σ(z) it is o·(1 − o)",
    ("hidden", "none"): "σ′ is missing at the hidden layers",
    ("hidden", "of squashed"): "σ′ at the hidden layers is taken of what is squashed already: of a = σ(z) it is a·(1 − a)",
    ("hidden", "of the layer above"): "σ′ of the wrong layer: hidden deltas take the slope of the layer above, not their own",
    ("carried", "error"): "what is carried back to the hidden layers is the error o − t, not the output's delta",
    ("back", "not transposed"): "deltas are carried back through weights that are not transposed",
    ("back", "changed"): "outgoing weights are changed before the hidden deltas are computed: compute all deltas, then update",
    ("inputs", "sums"): "gradients of the upper layers are taken with the sums z of the layer below, not with its σ(z)",
}


class GradientCheck(NamedTuple):
    """What a check found.

    `ok`: whether all gradients are right. `first_wrong`: the name of the first array that is not, in the order of
    backpropagation: those of the output layer first. `mistake`: the likely one, where it is recognised. `errors`: of each array
    its largest difference from ours, as a share of our largest gradient in it. `finite_differences`: the largest difference of
    ours from finite differences, measured alike. `convention`: how the function was called and understood.
    """

    ok: bool
    first_wrong: str
    mistake: str
    errors: dict[str, float]
    finite_differences: float
    convention: str

    def __str__(self) -> str:
        """In lines: the verdict first."""
        if self.ok:
            verdict = "Your gradients are right."
        elif self.errors:
            verdict = f"Your gradients are wrong, first in {self.first_wrong}. " + (
                f"Likely: {self.mistake}." if self.mistake else "No usual mistake gives these values."
            )
        else:
            verdict = f"Your function cannot be checked: {self.mistake}."
        rows = [f"  {name:<5}{error:9.2g}{'' if error <= TOLERANCE else '  ← wrong'}" for name, error in self.errors.items()]
        heading = ["difference from ours, as a share of the largest gradient of each array:"] if rows else []
        own = [f"(ours differs from finite differences by {self.finite_differences:.1g})", self.convention] if rows else []
        return "\n".join([verdict, *heading, *rows, *own])


def check_gradients(
    function: Any,
    sizes: Sequence[int],
    *,
    loss: Literal["squared", "cross-entropy"] = "squared",
    rows: int = 1,
    lr: float | None = None,
    bias: bool = True,
    seed: int = 0,
) -> GradientCheck:
    """Hold a user's own backpropagation against ours, and ours against finite differences.

    `function(W, b, x, t)` gets a list of weight matrices, a list of biases, inputs and targets, and returns the gradients of
    ½Σ(o − t)² (or of the cross-entropy) of a network of sigmoids: as (of the weights, of the biases), the other way round, as one
    list W0, b0, W1, b1, …, or as a pair for each layer; lists and tuples are taken like arrays. Or it makes one step of online
    learning: it changes W and b in place or, where `lr` is given, returns them changed. What shapes it works with is tried:
    W[out, in] or W[in, out]; vectors [n], columns [n, 1] or rows [1, n].

    Parameters: `sizes`, units of each layer, inputs and outputs included, such as (3, 4, 1); `rows`, samples at once: x and t
    are then tables [row, unit] or, for functions that work with columns, [unit, row], and gradients are summed over rows; `lr`,
    the rate that the function steps with (one that changes its arguments tells it by itself); `bias`: without, it is called as
    function(W, x, t); `seed`, of the random networks and samples.

    Raises SweepError for sizes, rows or a loss that are none. Whatever is wrong with the function is told by what is returned.
    """
    lines = _mistakes(sizes, loss, rows, lr)
    if not callable(function):
        lines.append(f"function: given {shown(function)}, allowed: something that can be called as function(W, b, x, t)")
    if lines:
        raise SweepError(lines)
    check_denormals()
    units = tuple(int(n) for n in sizes)
    rng = np.random.default_rng(seed)
    cases = [_case(units, rows, bias, rng) for _ in range(DRAWS)]
    ours = [_kernel_gradient(case, loss) for case in cases]
    numeric = max(max(_errors(_flat(_differences(case, loss)), _flat(g))) for case, g in zip(cases, ours, strict=True))
    names = [f"{kind}{layer}" for layer in range(len(units) - 1) for kind in ("W", "b")[: 1 + bias]]
    found = _understood(function, cases, ours, rows, lr, bias)
    if isinstance(found, str):
        return GradientCheck(False, "", found, {}, numeric, "")
    errors = np.max([_errors(_arrays(g, bias), _arrays(o, bias)) for g, o in zip(found.gradients, ours, strict=True)], axis=0)
    wrong = [i for i in range(len(names)) if not errors[i] <= TOLERANCE]
    told = dict(zip(names, errors.tolist(), strict=True))
    if not wrong:
        return GradientCheck(True, "", "", told, numeric, found.convention)
    last = max(int(names[i][1:]) for i in wrong)
    first = next(names[i] for i in wrong if int(names[i][1:]) == last)
    return GradientCheck(False, first, _mistake(found, cases, ours, loss, rows, bias, names), told, numeric, found.convention)


def _mistakes(sizes: Sequence[int], loss: str, rows: int, lr: float | None) -> list[str]:
    lines = []
    try:
        units = [n if isinstance(n, int | np.integer) and not isinstance(n, bool) else 0 for n in sizes]
    except TypeError:
        units = []
    if len(units) < 3 or not all(1 <= n <= MOST_UNITS for n in units):
        lines.append(
            f"sizes: given {shown(sizes)}, allowed: units of inputs, of one or more hidden layers and of outputs, such as "
            f"(3, 4, 1), each up to {MOST_UNITS}"
        )
    if loss not in ("squared", "cross-entropy"):
        lines.append(f"loss: given {shown(loss)}, allowed: squared, cross-entropy")
    if isinstance(rows, bool) or not isinstance(rows, int | np.integer) or not 1 <= rows <= MOST_ROWS:
        lines.append(f"rows: given {shown(rows)}, allowed: an integer from 1 to {MOST_ROWS}")
    if lr is not None and not (isinstance(lr, int | float) and np.isfinite(lr) and lr != 0):
        lines.append(f"lr: given {shown(lr)}, allowed: a number other than 0")
    return lines


class _Case(NamedTuple):
    layers: Layers
    X: Real
    T: Real


def _case(sizes: Sequence[int], rows: int, bias: bool, rng: np.random.Generator) -> _Case:
    """A random network, and samples of which no value is special."""
    layers = [(rng.normal(size=(m, n)), rng.normal(size=m) * bias) for n, m in pairwise(sizes)]
    return _Case(layers, rng.normal(size=(rows, sizes[0])), rng.uniform(0.1, 0.9, (rows, sizes[-1])))


def _kernel_gradient(case: _Case, loss: str) -> Layers:
    """The gradient, summed over rows, as the kernels have it: what a step of rate 1 takes from the weights."""
    sizes = [case.X.shape[1], *(len(b) for _, b in case.layers)]
    columns = {
        **defaults(), "problem": "file:samples.npz", "targets": "t", "hidden": "-".join(map(str, sizes[1:-1])),
        "loss_function": loss, "order": "cyclic", "batch": len(case.X), "lr": 1.0, "updates": 1, "check_every": 1,
    }  # fmt: skip
    given = FileProblem(problem(case.X, case.T), numbered(sizes[0], sizes[-1]), trained=True)
    group = Group(task(Setup.from_columns(columns, given)), np.array([0], np.uint64))
    block = group.state.block.reshape(-1, group.task.lanes)
    places = [[int(group.task.network.layers[layer, column]) for column in (WEIGHTS, BIASES)] for layer in range(1, len(sizes))]
    for (W, b), (w, at) in zip(case.layers, places, strict=True):
        block[w : w + W.size], block[at : at + b.size] = W.reshape(-1, 1), b.reshape(-1, 1)
    group.advance(1)
    return [
        (W - block[w : w + W.size, 0].reshape(W.shape), b - block[at : at + b.size, 0])
        for (W, b), (w, at) in zip(case.layers, places, strict=True)
    ]


def _sigmoid(z: Real) -> Real:
    return 1 / (1 + np.exp(-z))


def _loss(case: _Case, loss: str) -> float:
    a = case.X
    for W, b in case.layers:
        a = _sigmoid(a @ W.T + b)
    if loss == "squared":
        return 0.5 * float(((a - case.T) ** 2).sum())
    return -float((case.T * np.log(a) + (1 - case.T) * np.log1p(-a)).sum())


def _differences(case: _Case, loss: str, step: float = 1e-5) -> Layers:
    """Central differences of the loss, for every weight and bias."""
    found = []
    for pair in case.layers:
        slopes = []
        for values in pair:
            slope = np.empty_like(values)
            for place in np.ndindex(values.shape):
                kept, ends = float(values[place]), []
                for side in (step, -step):
                    values[place] = kept + side
                    ends.append(_loss(case, loss))
                values[place] = kept
                slope[place] = (ends[0] - ends[1]) / (2 * step)
            slopes.append(slope)
        found.append((slopes[0], slopes[1]))
    return found


def _arrays(layers: Layers, bias: bool) -> list[Real]:
    return [values for pair in layers for values in pair[: 1 + bias]]


def _flat(layers: Layers) -> list[Real]:
    return [values for pair in layers for values in pair]


def _errors(given: Sequence[Real], right: Sequence[Real]) -> list[float]:
    """Of each array the largest difference, as a share of the largest right value."""
    scales = [max(float(np.abs(r).max()), 1e-12) for r in right]
    return [float(np.abs(g - r).max()) / scale for g, r, scale in zip(given, right, scales, strict=True)]


# How a function is called, and what it returns


class _Understood(NamedTuple):
    """The gradients that a function gave in each case, and what was made of it."""

    gradients: list[Layers]
    convention: str
    steps: bool
    lr: float


class _UnfitError(Exception):
    """What a function gave is no gradient, in words."""


Style = tuple[bool, str]
"""Whether matrices are [out, in], and how vectors lie: flat, column or row."""

STYLES: list[Style] = [(out_in, lie) for lie in ("flat", "column", "row") for out_in in (True, False)]


def _understood(
    function: Callable[..., Any], cases: Sequence[_Case], ours: Sequence[Layers], rows: int, lr: float | None, bias: bool
) -> _Understood | str:
    """Call it in every style that it may be written in, and take the one that comes nearest to ours; else say what it does."""
    best: tuple[float, _Understood] | None = None
    reasons: list[tuple[int, str]] = []
    for style in STYLES:
        try:
            found = _called(function, cases, ours, style, rows, lr, bias)
        except _UnfitError as error:
            reasons.append((0, str(error)))
            continue
        except Exception as error:
            text = str(error).splitlines()[0] if str(error) else ""
            reasons.append((1, f"it raises {type(error).__name__}{': ' * bool(text)}{text}"))
            continue
        distance = max(max(_errors(_arrays(g, bias), _arrays(o, bias))) for g, o in zip(found.gradients, ours, strict=True))
        if best is None or distance < best[0] * (1 - 1e-9):
            best = (distance, found)
    return best[1] if best else min(reasons, key=lambda reason: reason[0])[1]


def _called(
    function: Callable[..., Any],
    cases: Sequence[_Case],
    ours: Sequence[Layers],
    style: Style,
    rows: int,
    lr: float | None,
    bias: bool,
) -> _Understood:
    out_in, lie = style
    gradients, changes, rate = [], False, lr
    for case, right in zip(cases, ours, strict=True):
        W = [(w if out_in else w.T).copy() for w, _ in case.layers]
        b = [_lying(v, lie) for _, v in case.layers]
        before = [values.copy() for values in (*W, *b)]
        x, t = (_sample(values, lie, rows) for values in (case.X, case.T))
        returned = function(W, b, x, t) if bias else function(W, x, t)
        after = [np.asarray(values, float) for values in (*W, *b)]
        moved = any(a.shape != c.shape or not np.array_equal(a, c) for a, c in zip(after, before, strict=True))
        shapes = [w.shape for w, _ in case.layers]
        if moved:
            stepped = _layers(after[: len(W)], after[len(W) :], shapes, out_in)
        elif returned is None:
            raise _UnfitError("it returns nothing, and changes neither W nor b in place")
        else:
            stepped = _read(returned, shapes, out_in, bias)
        if moved or lr is not None:
            changes = True
            step = [(w - dw, v - dv) for (w, v), (dw, dv) in zip(case.layers, stepped, strict=True)]
            if rate is None:  # as the output layer tells it: what may be wrong with its slope is wrong by less than this asks for
                s, r = (np.concatenate([values.ravel() for values in each[-1][: 1 + bias]]) for each in (step, right))
                rate = abs(float(s @ r / (r @ r))) or 1.0
            gradients.append([(dw / rate, dv / rate) for dw, dv in step])
        else:
            gradients.append(stepped)
    said = f"W[{'out, in' if out_in else 'in, out'}], vectors {lie}"
    does = f"makes steps of rate {rate:.4g}" if changes else "returns gradients"
    return _Understood(gradients, f"called with {said}; it {does}", changes, rate or 1.0)


def _lying(values: Real, lie: str) -> Real:
    return values.copy() if lie == "flat" else values.reshape((-1, 1) if lie == "column" else (1, -1)).copy()


def _sample(values: Real, lie: str, rows: int) -> Real:
    """Inputs or targets, [row, unit], as a function wants them."""
    if rows > 1:
        return values.T.copy() if lie == "column" else values.copy()
    return _lying(values[0], lie)


def _read(returned: Any, shapes: Sequence[tuple[int, ...]], out_in: bool, bias: bool) -> Layers:
    """The gradients in whatever a function returned. Raises _UnfitError."""
    if isinstance(returned, dict):
        names = [f"{kind}{layer}" for layer in range(len(shapes)) for kind in ("W", "b")[: 1 + bias]]
        if missing := [name for name in names if name not in returned and f"d{name}" not in returned]:
            raise _UnfitError(f"it returns a dictionary without {', '.join(missing)}")
        returned = [returned.get(name, returned.get(f"d{name}")) for name in names]
    if not isinstance(returned, list | tuple | np.ndarray):
        raise _UnfitError(f"it returns {shown(returned)}, not arrays")
    parts, n = list(returned), len(shapes)
    reasons = []
    for W, b in _splits(parts, n, bias):
        try:
            return _layers(
                [_array(w, f"W{i}") for i, w in enumerate(W)], [_array(v, f"b{i}") for i, v in enumerate(b)], shapes, out_in
            )
        except _UnfitError as error:
            reasons.append(str(error))
    needed = f"{n} gradients of weights" + f" and {n} of biases" * bias
    raise _UnfitError(reasons[0] if reasons else f"it returns {len(parts)} arrays, where {needed} are needed")


def _splits(parts: list[Any], n: int, bias: bool) -> Iterator[tuple[list[Any], list[Any]]]:
    """The gradients of weights and of biases, in each way in which people return them."""
    if not bias:
        whole = parts[0] if len(parts) == 1 and n > 1 else parts
        if len(whole) == n:
            yield list(whole), []
        return
    if len(parts) == 2 and all(isinstance(part, list | tuple | np.ndarray) and len(part) == n for part in parts):
        yield list(parts[0]), list(parts[1])
        yield list(parts[1]), list(parts[0])
    if len(parts) == 2 * n:
        yield parts[::2], parts[1::2]
        yield parts[:n], parts[n:]
    if len(parts) == n and all(isinstance(part, list | tuple) and len(part) == 2 for part in parts):
        yield [part[0] for part in parts], [part[1] for part in parts]


def _array(values: Any, name: str) -> Real:
    try:
        return np.asarray(values, float)
    except (TypeError, ValueError):
        raise _UnfitError(f"what it returns as the gradient of {name} is no array of numbers") from None


def _layers(W: Sequence[Real], b: Sequence[Real], shapes: Sequence[tuple[int, ...]], out_in: bool) -> Layers:
    """Arrays as gradients of layers. Raises _UnfitError where one has another shape than its weights, or is not finite."""
    found = []
    for i, shape in enumerate(shapes):
        given = shape if out_in else shape[::-1]
        w = W[i]
        v = b[i] if i < len(b) else np.zeros(shape[0])
        if w.shape != given and w.squeeze().shape != tuple(n for n in given if n > 1):
            raise _UnfitError(f"the gradient of W{i} has shape {w.shape}, where W{i} has {given}")
        if v.size != shape[0] or (v.ndim > 1 and max(v.shape) != v.size):
            raise _UnfitError(f"the gradient of b{i} has shape {v.shape}, where b{i} has {shape[0]} numbers")
        for name, values in (("W", w), ("b", v)):
            if not np.isfinite(values).all():
                raise _UnfitError(
                    f"the gradient of {name}{i} has {np.isnan(values).sum()} NaN and {np.isinf(values).sum()} infinite values"
                )
        w = w.reshape(given)
        found.append((w if out_in else w.T, v.reshape(-1)))
    return found


# What may be wrong


def _mistake(
    found: _Understood, cases: Sequence[_Case], ours: Sequence[Layers], loss: str, rows: int, bias: bool, names: Sequence[str]
) -> str:
    """The usual mistake, or two at once, that gives just these gradients."""
    given = [_arrays(layers, bias) for layers in found.gradients]
    if transposed := _transposed(given, [_arrays(layers, bias) for layers in ours], names):
        return transposed
    for slopes in _combinations(found.steps, loss):
        try:
            wrong = [_arrays(_textbook(case, loss, slopes, found.lr), bias) for case in cases]
        except ValueError:  # shapes that do not fit: nobody can have done that
            continue
        for missing in ([], *([[name for name in names if name[0] == "b"]] if bias else [])):
            factor = _factor(given, wrong, names, missing)
            if factor is None:
                continue
            told = [_TOLD[kind, word] for kind, word in slopes._asdict().items() if (kind, word) in _TOLD]
            if missing:
                told.append("biases are not updated" if found.steps else "the gradients of the biases are missing (they are 0)")
            if abs(factor - 1) > TOLERANCE:
                told.append(_told_factor(factor, rows, found.steps, cases[0].T.shape[1]))
            return ", and ".join(told)
    return _one_array(given, [_arrays(layers, bias) for layers in ours], names)


def _combinations(steps: bool, loss: str) -> Iterator[Slopes]:
    """What may be wrong, the fewest mistakes first."""
    words = [
        ("right", "none", "of squashed") if loss == "squared" else ("right", "of squashed"),
        ("right", "none", "of squashed", "of the layer above"),
        ("delta", "error"),
        ("right", "not transposed", *(("changed",) if steps else ())),
        ("right", "sums"),
    ]
    right = Slopes()
    every = [Slopes(*each) for each in product(*words)]
    yield from sorted(every, key=lambda slopes: sum(a != b for a, b in zip(slopes, right, strict=True)))


def _textbook(case: _Case, loss: str, slopes: Slopes, lr: float) -> Layers:
    """Plain backpropagation with these mistakes, summed over rows. Raises ValueError where shapes do not fit."""
    sums, activations = [], [case.X]
    for W, b in case.layers:
        sums.append(activations[-1] @ W.T + b)
        activations.append(_sigmoid(sums[-1]))
    error = activations[-1] - case.T
    o = activations[-1]
    slope = {"right": _slope(o), "none": np.ones_like(o), "of squashed": _slope(_sigmoid(o))}
    natural = loss == "cross-entropy" and slopes.output == "right"
    delta = error if natural else error * slope[slopes.output]
    found: Layers = []
    for layer in range(len(case.layers) - 1, -1, -1):
        W, _ = case.layers[layer]
        below = sums[layer - 1] if slopes.inputs == "sums" and layer else activations[layer]
        dW = delta.T @ below
        found.insert(0, (dW, delta.sum(axis=0)))
        if layer:
            through = {"right": W, "not transposed": W.T, "changed": W - lr * dW}[slopes.back]
            carried = error if slopes.carried == "error" and layer == len(case.layers) - 1 else delta
            a = activations[layer]
            own = {
                "right": _slope(a),
                "none": np.ones_like(a),
                "of squashed": _slope(_sigmoid(a)),
                "of the layer above": _slope(activations[layer + 1]),
            }
            delta = (carried @ through) * own[slopes.hidden]
            if delta.shape != a.shape:
                raise ValueError("another shape")
    return found


def _slope(a: Real) -> Real:
    return a * (1 - a)


def _factor(
    given: Sequence[list[Real]], wrong: Sequence[list[Real]], names: Sequence[str], missing: Sequence[str]
) -> float | None:
    """The number by which all arrays differ from these, where one does; the missing ones must be 0."""
    kept = [i for i, name in enumerate(names) if name not in missing]
    if any(np.any(arrays[i]) for arrays in given for i in range(len(names)) if i not in kept):
        return None
    g, w = (np.concatenate([arrays[i].ravel() for arrays in each for i in kept]) for each in (given, wrong))
    if not np.any(w):
        return None
    factor = float(g @ w / (w @ w))
    scaled = [[factor * values for values in arrays] for arrays in wrong]
    differences = [_errors([a[i] for i in kept], [b[i] for i in kept]) for a, b in zip(given, scaled, strict=True)]
    return factor if abs(factor) > 1e-9 and np.max(differences) <= TOLERANCE else None


def _told_factor(factor: float, rows: int, steps: bool, outputs: int) -> str:
    size = abs(factor)
    sign = "the sign is wrong: it climbs" if factor < 0 else ""
    known = {2.0: "they are twice too large, as where the ½ of ½Σ(o − t)² is missing", 0.5: "they are half too small"}
    if rows > 1:
        known |= {1 / rows: "they are means over rows, where sums are asked for", float(rows): f"they are {rows} times too large"}
        known |= {2 / rows: "they are means over rows, and the ½ of ½Σ(o − t)² is missing"}
    if outputs > 1:
        known |= {1 / outputs: "they are means over outputs, where sums are asked for"}
        known |= {2 / outputs: "they are means over outputs, and the ½ of ½Σ(o − t)² is missing"}
    text = next((text for value, text in known.items() if abs(size / value - 1) < 1e-3), f"they are {size:.4g} times ours")
    if abs(size - 1) < 1e-3:
        return sign
    return f"{sign}, and {text}" if sign else text


def _transposed(given: Sequence[list[Real]], right: Sequence[list[Real]], names: Sequence[str]) -> str:
    """Square matrices that are right but for being transposed."""
    found = []
    for i, name in enumerate(names):
        pairs = [(arrays[i], ours[i]) for arrays, ours in zip(given, right, strict=True)]
        if max(_errors(*zip(*pairs, strict=True))) <= TOLERANCE:
            continue
        turned = [(g.T, r) for g, r in pairs]
        if (
            pairs[0][0].ndim == 2
            and pairs[0][0].shape == pairs[0][0].T.shape
            and max(_errors(*zip(*turned, strict=True))) <= TOLERANCE
        ):
            found.append(name)
        else:
            return ""
    return f"{' and '.join(found)} {'is' if len(found) == 1 else 'are'} transposed" if found else ""


def _one_array(given: Sequence[list[Real]], right: Sequence[list[Real]], names: Sequence[str]) -> str:
    """What single arrays differ from ours by, where that is one number each."""
    told = []
    for i, name in enumerate(names):
        g, r = (np.concatenate([arrays[i].ravel() for arrays in each]) for each in (given, right))
        factor = float(g @ r / (r @ r))
        if np.abs(g - r).max() <= TOLERANCE * np.abs(r).max():
            continue
        if not np.any(g):
            told.append(f"the gradient of {name} is missing (it is 0)")
        elif np.abs(g - factor * r).max() <= TOLERANCE * np.abs(g).max():
            told.append(f"the sign of {name} is wrong" if abs(factor + 1) < 1e-3 else f"{name} is {factor:.4g} times ours")
        else:
            return ""
    return ", and ".join(told)
