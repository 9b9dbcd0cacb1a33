"""How a function was called, and what it returned or changed, compared with fastbp's gradients."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from fastbp.gradcheck.reference import Arrays, Example, Real, Terms, scale_of
from fastbp.schema.text import shown

TOLERANCE = 1e-4
"""A gradient is right if no entry differs from fastbp's by more than this share of the largest
entry of its array: float32 keeps seven digits."""


FORMS = {"flat": "flat", "column": "as columns", "row": "as rows"}
"""Layouts of a vector, [n], [n, 1] and [1, n], with their names in the report."""


class Convention(NamedTuple):
    """A layout of the arguments of the user's function.

    `out_in`: W[out, in], else W[in, out]. `biases`, `samples`: "flat" [n], "column" [n, 1] or "row"
    [1, n]. `joined`: "first" or "last" if the first or last weights in each W are its biases, the
    weights of an input that is always 1; "" if biases are separate arrays. `ones`: whether x
    contains that input.
    """

    out_in: bool
    biases: str
    samples: str
    joined: str = ""
    ones: bool = False

    def __str__(self) -> str:
        order = "W[out, in]" if self.out_in else "W[in, out]"
        samples = FORMS[self.samples]
        if self.joined:
            line = "column" if self.out_in else "row"
            return (
                f"{order.replace('in', 'in + 1')}, the biases in the {self.joined} {line} of each "
                f"W, samples {samples}{', with a 1 among them' * self.ones}"
            )
        both = f"biases {FORMS[self.biases]}, samples {samples}"
        return f"{order}, {f'vectors {samples}' if self.biases == self.samples else both}"

    def matrix(self, W: Real, b: Real) -> Real:
        """A copy of W [out, in] in the layout of the user's function, which may join b to it."""
        if self.joined:
            W = np.insert(W, self._place(W), b, axis=1)
        return (W if self.out_in else W.T).copy()

    def sample(self, values: Real, with_ones: bool = False) -> Real:
        """A copy of inputs or targets [row, unit] in the layout of the user's function."""
        if with_ones:
            values = np.insert(values, self._place(values), 1.0, axis=1)
        if len(values) == 1:
            return vector(values, self.samples)
        return (values.T if self.samples == "column" else values).copy()

    def separated(self, matrices: Arrays, example: Example) -> Arrays:
        """Split matrices of weights and biases, transposed or not, into W0, b0, W1, b1, …."""
        arrays = {}
        for layer, (values, (W, b)) in enumerate(
            zip(matrices.values(), example.layers, strict=True)
        ):
            axis = 1 if values.shape == (len(b), W.shape[1] + 1) else 0
            arrays[f"W{layer}"] = np.delete(values, self._place(W), axis)
            arrays[f"b{layer}"] = np.take(values, self._place(W), axis)
        return arrays

    def _place(self, W: Real) -> int:
        return 0 if self.joined == "first" else W.shape[1]


def vector(values: Real, form: str) -> Real:
    """A copy of a vector: [n], [n, 1] or [1, n] as `form` says, one of `FORMS`."""
    return values.reshape({"flat": (-1,), "column": (-1, 1), "row": (1, -1)}[form]).copy()


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
    convention: Convention
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


def _distance(values: Real, ours: Real) -> float:
    """The largest difference of the entries of two arrays; ∞ if their shapes differ."""
    return float(np.abs(values - ours).max()) if values.shape == ours.shape else np.inf


def right_arrays(arrays: Mapping[str, Real], ours: Arrays) -> int:
    """Count the arrays that equal `ours`, fastbp's gradients, up to `TOLERANCE`."""
    return sum(
        _distance(values, ours[name]) <= TOLERANCE * scale_of(ours[name])
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
    # Not the scale of each draw: in one the gradients may happen to cancel.
    scales = {name: max(scale_of(ours[name]) for ours in task.ours) for name in reading.noise}
    rounding = {name: noise / rate / scales[name] for name, noise in reading.noise.items()}
    worst = {
        name: max(_distance(a[name] / rate, o[name]) for a, o in pairs) / scale
        for name, scale in scales.items()
    }
    errors = {name: max(error - rounding[name], 0.0) for name, error in worst.items()}
    return errors, max(rounding.values()), reading.rate or rate


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
