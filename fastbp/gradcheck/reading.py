"""What a function returned or changed, read as gradients and compared with fastbp's."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastbp.gradcheck.reference import Arrays, Example, Real, Terms, scale_of
from fastbp.schema.text import shown

if TYPE_CHECKING:
    from fastbp.gradcheck.conventions import Convention

TOLERANCE = 1e-4
"""A gradient is right if no entry differs from fastbp's by more than this share of the largest
entry of its array: float32 keeps seven digits."""


class CheckTask(NamedTuple):
    """A function to be checked, the examples it is called with, and fastbp's gradients for them.

    `ours`: the gradient of each example. `numeric`: how much it differs from finite differences.
    """

    function: Callable[..., Any]
    examples: Sequence[Example]
    ours: Sequence[Arrays]
    terms: Terms
    numeric: float


class Reading(NamedTuple):
    """One way to read the results of a function, for every example.

    `arrays`: the gradients of each example, weights as [out, in]; a gradient with the shape of the
    transpose keeps it. `noise`: how much rounding may have changed the entries of each array,
    absolute. `does`: in words, what the function does. `convention`: how it was called. `steps`:
    whether the gradients are computed from steps that the function made. `rate`: the learning rate
    of the steps, 1 for gradients; if it is None, `arrays` are the steps themselves. `changed`: the
    weights of each example after the step, [out, in] for each layer.
    """

    arrays: list[Arrays]
    noise: dict[str, float]
    does: str
    convention: "Convention"
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] = []  # noqa: RUF012


ENDS, OWN_ERROR, UNFIT, SHAPES = range(-1, 3)
"""Kinds of failed calls, the one that says most first: the function ends the program; it raises an
error that has nothing to do with shapes; its results are not gradients; it raises an error that
a call with other shapes may avoid."""


@dataclass(eq=False)
class CallFailure(Exception):  # noqa: N818
    """Why a call of the user's function failed.

    `text`: the reason, in words. `name`: the first array that does not fit, if known. `fitting`:
    the arrays of the result that fit. `rank`: the kind of failure, from `ENDS` to `SHAPES`; the
    smallest says most. `example`: the index of the example that it was called with. `reached`: the
    numbers of the lines in the traceback, from the function inwards.
    """

    text: str
    name: str = ""
    fitting: Arrays = field(default_factory=dict)
    rank: int = UNFIT
    example: int = 0
    reached: Sequence[int] = ()


def right_arrays(arrays: Mapping[str, Real], ours: Arrays) -> int:
    """Count the arrays that equal `ours`, fastbp's gradients, up to `TOLERANCE`."""
    return sum(
        values.shape == ours[name].shape
        and float(np.abs(values - ours[name]).max()) <= TOLERANCE * scale_of(ours[name])
        for name, values in arrays.items()
    )


def equal(a: Reading, b: Reading) -> bool:
    """Whether two readings hold the same numbers, up to rounding."""
    return a.steps == b.steps and all(
        x[name].shape == y[name].shape and np.allclose(x[name], y[name], rtol=1e-12, atol=0)
        for x, y in zip(a.arrays, b.arrays, strict=True)
        for name in x
    )


def errors_of(
    reading: Reading, task: CheckTask, factor: float = 0.0
) -> tuple[dict[str, float], float, float]:
    """Compare the gradients of a reading with fastbp's.

    Errors and rounding are divided by the largest entry of fastbp's gradient of that array in all
    examples.

    Parameters
    ----------
    reading : Reading
    task : CheckTask
    factor : float
        The rate to assume if the reading has none; 0 for the rate that fits the output layer's
        weights best.

    Returns
    -------
    errors : dict
        The largest difference of each array, without what rounding explains; ∞ if shapes differ.
    rounding : float
        The largest difference that rounding explains.
    rate : float
        The learning rate, given or inferred; 1 for gradients.
    """
    pairs = list(zip(reading.arrays, task.ours, strict=False))
    rate = 1.0
    if reading.rate is None:
        last = list(task.ours[0])[-1 - task.terms.bias]
        fit = sum(float((a[last] * o[last]).sum()) for a, o in pairs)
        square = sum(float((o[last] ** 2).sum()) for _, o in pairs)
        rate = abs(factor or fit / (square or 1.0)) or 1.0
    errors, largest = {}, 0.0
    for name, noise in reading.noise.items():
        # Not the scale of each draw: in one the gradients may happen to cancel.
        scale = max(scale_of(ours[name]) for ours in task.ours)
        worst = max(
            float(np.abs(a[name] / rate - o[name]).max()) / scale
            if a[name].shape == o[name].shape
            else np.inf
            for a, o in pairs
        )
        errors[name] = max(worst - noise / rate / scale, 0.0)
        largest = max(largest, noise / rate / scale)
    return errors, largest, reading.rate or rate


def is_changed(after: Any, before: Real) -> bool:
    """Whether an array differs from its former values by more than rounding."""
    try:
        values = np.asarray(after, float)
    except (TypeError, ValueError):
        return True
    limit = 1e-12 * np.abs(before).max()  # what w + ε − ε leaves is rounding
    return values.shape != before.shape or not bool(np.all(np.abs(values - before) <= limit))


def fitted(arrays: Mapping[str, Any], before: Arrays, out_in: bool, of: str) -> Arrays:
    """Copy arrays that a function returned or changed as W [out, in] and b [out].

    Parameters
    ----------
    arrays : mapping from name to array
    before : Arrays
        The arguments of the call, in the layout of the function.
    out_in : bool
        Whether that layout is W[out, in].
    of : str
        "the gradient of " for gradients, which may be transposed; "" for changed arguments.

    Raises
    ------
    CallFailure
        If an array does not fit. It tells the first, from the output layer down.
    """
    fitted, reasons = {}, []
    for name in sorted(before, key=lambda name: (-int(name[1:]), name)):
        try:
            fitted[name] = _fit(arrays[name], before[name], name, out_in, of)
        except CallFailure as reason:
            reasons.append(reason)
    if reasons:
        raise CallFailure(reasons[0].text, reasons[0].name, fitted)
    return {name: fitted[name] for name in before}


def _fit(values: Any, before: Real, name: str, out_in: bool, of: str) -> Real:
    """Copy one array as `fitted` does; a transposed gradient keeps its shape."""
    try:
        array = np.asarray(values)
        numeric = array.dtype.kind in "biufO"
        # Larger ones stay objects: where shapes do not fit, NumPy makes tables of millions.
        if numeric and array.size == before.size:
            # float refuses None, which NumPy makes NaN.
            array = np.array([float(v) for v in array.flat]).reshape(array.shape)
    except Exception:
        numeric = False
    if not numeric:
        raise CallFailure(f"{of}{name} is not an array of real numbers but {shown(values)}", name)
    size = before.size
    of_weights = [before.shape, *[before.shape[::-1]] * bool(of), *[(size,)] * (1 in before.shape)]
    shapes = of_weights if name[0] == "W" else [(size,), (size, 1), (1, size)]
    after = "" if of else " after the call"
    if array.shape not in shapes + [()] * (size == 1):
        had = f"{name} has" if of else "it had"
        units = 0 if out_in else -1
        wide = array.ndim == 2 and array.shape[units] == before.shape[units] + 1
        kept = ": of what is carried back the biases' part is not dropped" * wide
        raise CallFailure(
            f"{of}{name} has shape {array.shape}{after}, where {had} {before.shape}{kept}", name
        )
    if not np.isfinite(array).all():
        counts = {"NaN": int(np.isnan(array).sum()), "infinite": int(np.isinf(array).sum())}
        held = " and ".join(f"{count} {what}" for what, count in counts.items() if count)
        raise CallFailure(
            f"{of}{name} has {held} of {size} values{after}; needed: finite numbers", name
        )
    if name[0] == "b":
        return array.reshape(-1)
    if array.shape != before.shape[::-1]:
        array = array.reshape(before.shape)
    return array if out_in else array.T
