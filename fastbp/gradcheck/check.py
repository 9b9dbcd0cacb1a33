"""Compare a user's own backpropagation with fastbp's gradient and with finite differences."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import mode
from typing import Any, Literal, NamedTuple

import numpy as np

from fastbp.engine.block import check_denormals
from fastbp.gradcheck.conventions import call, conventions_of, readings
from fastbp.gradcheck.mistakes import CHANGED
from fastbp.gradcheck.reading import (
    ENDS,
    OWN_ERROR,
    TOLERANCE,
    UNFIT,
    CallFailure,
    CheckTask,
    Convention,
    Reading,
    equal,
    errors_of,
    right_arrays,
)
from fastbp.gradcheck.reference import (
    Kinds,
    Loss,
    ModuleGradients,
    Terms,
    check_arguments,
    gradient,
    is_module,
    kernel_gradient,
    numeric_difference,
    random_example,
    takes,
    units_text,
)
from fastbp.gradcheck.search import LikelyMistakes, explained, fitting_units

DRAWS = 3
"""Number of random networks, each with random samples, that the function is called with."""

LOST = 0.05
"""Steps are not judged if rounding may change an array by more than this share of its largest
gradient."""

_LOST_STEPS = (
    "its steps are so small that rounding its weights loses them; "
    "needed: a larger rate, or float64 weights"
)


_MIXED = "it changes its arguments in some calls and returns something in others"

_UNSTEADY = (
    "called again with the same arguments it returns something else: it keeps values between "
    "calls, or draws random numbers"
)


class GradientCheck(NamedTuple):
    """The result of a gradient check; printed, it is the report.

    `ok`: whether all gradients are right. `first_wrong`: the first wrong array, such as "W1", in
    the order of backpropagation, which starts at the output layer. `mistake`: the likely mistake,
    or why the function cannot be checked. `errors`: for each array the largest absolute difference
    from fastbp's gradient, without what rounding explains, divided by the largest entry of fastbp's
    gradient (∞ for a transposed array). `finite_differences`: the largest difference of fastbp's
    gradient from finite differences, divided likewise. `convention`: how the function was called.
    `rate`: the learning rate of its steps; None if it returns gradients. `tolerance`: an array is
    right up to this error. `units`: for which units they are checked, if these are no sigmoids.
    """

    ok: bool
    first_wrong: str
    mistake: str
    errors: dict[str, float]
    finite_differences: float
    convention: str
    rate: float | None = None
    tolerance: float = TOLERANCE
    units: str = ""

    def __str__(self) -> str:
        """The report: the verdict, the error of each array, and how the function was called."""
        if not self.ok and not self.errors:
            return f"Your function cannot be checked: {self.mistake}."
        likely = f"{self.likely[:1].upper()}{self.likely[1:]}"
        wrong = f"wrong, first in {self.first_wrong}{self.units}. {likely}"
        return "\n".join(
            [
                f"Your gradients are {'right' + self.units if self.ok else wrong}.",
                "difference from fastbp's gradient, as a share of the largest value of each array:",
                *(
                    f"  {name:<4}{_share(error):>8}{'' if error <= self.tolerance else '  ← wrong'}"
                    for name, error in self.errors.items()
                ),
                "fastbp's gradient differs from finite differences by "
                + _share(self.finite_differences),
                self.convention,
            ]
        )

    @property
    def likely(self) -> str:
        """The likely mistake as a phrase, or that no usual mistake gives these values."""
        return f"likely: {self.mistake}" if self.mistake else "no usual mistake gives these values"


def _share(difference: float) -> str:
    # Smaller differences are rounding, with other digits on every machine.
    return f"{difference:.2g}" if difference >= 1e-9 else "< 1e-9"


def check_gradients(
    function: Any,
    sizes: Sequence[int] | None = None,
    *,
    loss: Loss = "squared",
    rows: int = 1,
    lr: float | None = None,
    bias: bool = True,
    reduction: Literal["sum", "mean"] = "sum",
    seed: int = 0,
) -> GradientCheck:
    """Check your own backpropagation, and name the likely mistake.

    Parameters
    ----------
    function : callable or torch.nn.Module
        ``function(W, b, x, t)`` gets lists of weight matrices and of biases, and the inputs and
        targets of a network of sigmoids. It returns the gradients of W and b, or makes a step, in
        place or not, as docs/check-gradients.md says. A module needs no `sizes` and no `bias`.
    sizes : sequence of int
        Units of each layer, inputs and outputs included, such as (3, 4, 1).
    loss : "squared" or "cross-entropy"
        ½Σ(o − t)² or −Σ(t·log(o) + (1 − t)·log(1 − o)), outputs o, targets t.
    rows : int
        Samples per call. Several are tables x and t, [row, unit] or [unit, row].
    lr : float, optional
        Of a function that makes steps. Without it a wrong factor looks like another rate.
    bias : bool
        False for a network without biases: it is called as ``function(W, x, t)``.
    reduction : "sum" or "mean"
        Over the rows.
    seed : int
        Of the random networks and samples.

    Returns
    -------
    GradientCheck
        Print it for a report. Gradients that are right for other units count as right.

    Raises
    ------
    SweepError
        If an argument is not allowed. Errors that the function raises are in the result.
    """
    function, sizes, bias, reduction, kinds = _known(function, sizes, loss, bias, reduction)
    check_arguments(function, sizes, loss, rows, lr, bias, reduction, seed)
    units, rate, mean = tuple(map(int, sizes)), lr and float(lr), reduction == "mean"
    others, kinds = not kinds, kinds or ("sigmoid",) * (len(units) - 1)
    terms = Terms(units, int(rows), bool(bias), loss, rate, mean, seed, kinds, others)
    return _with_hint(_checked(function, terms), function, terms)


def _known(
    function: Any, sizes: Any, loss: Loss, bias: bool, reduction: Any
) -> tuple[Any, Any, bool, Any, Kinds]:
    """These arguments as a torch module says them, and its units; others stay as they are."""
    if not is_module(function):
        return function, sizes, bias, reduction, ()
    module = ModuleGradients(function, loss)
    return module, module.sizes if sizes is None else sizes, module.bias, "sum", module.kinds


def _with_hint(result: GradientCheck, function: Callable[..., Any], terms: Terms) -> GradientCheck:
    """Add to an unclear result how the function does on other networks."""
    unclear = result.errors and not (result.ok or result.mistake or terms.rows == 1)
    if unclear and _checked(function, terms._replace(rows=1)).ok:
        return result._replace(
            mistake="for one row it is right, for several it does not return their sum"
        )
    if result.errors or result.mistake.startswith("it raises SystemExit"):
        return result
    sizes, bias = (max(terms.sizes),) * len(terms.sizes), not terms.bias
    has = "biases in W" if bias else "no biases"
    others: list[tuple[str, dict[str, Any], bool]] = [
        (f"it has {has}: check it with bias={bias}", {"bias": bias}, takes(function, 3)),
        (
            f"with sizes {sizes} it runs",
            {"sizes": sizes},
            sizes != terms.sizes and " raises " in result.mistake,
        ),
    ]
    for hint, changes, applies in others:
        other = _checked(function, terms._replace(**changes)) if applies else result
        # Without biases only a function with biases in W is meant.
        if other.errors and ("sizes" in changes or not bias or "of each W" in other.convention):
            wrong = f"wrong, first in {other.first_wrong}, {other.likely}"
            return result._replace(
                mistake=f"{result.mistake}; {hint}, and then its gradients are "
                f"{'right' if other.ok else wrong}"
            )
    return result


def _checked(function: Callable[..., Any], terms: Terms) -> GradientCheck:
    """Check a function on random networks of these terms."""
    check_denormals()
    rng = np.random.default_rng(terms.seed)
    examples = [random_example(terms, rng) for _ in range(DRAWS)]
    ours = [kernel_gradient(example, terms) for example in examples]
    numeric = max(
        numeric_difference(example, our, terms, rng)
        for example, our in zip(examples, ours, strict=True)
    )
    try:
        return _judged(CheckTask(function, examples, ours, terms, numeric))
    except CallFailure as failure:
        return GradientCheck(False, failure.name, failure.text, {}, numeric, "")


def _judged(task: CheckTask) -> GradientCheck:
    """Call the function in every convention, until it is right in one or its mistakes are known.

    Raises CallFailure if it cannot be checked.
    """
    known: list[Reading] = []
    failures: list[CallFailure] = []
    groups = conventions_of(task)
    for conventions in groups:
        new: list[Reading] = []
        for convention in conventions:
            answers, failure = call(task, convention)
            read = readings(answers, task, convention)
            if right := _right(read, failure, task):
                return right
            if failure:
                if failure.rank == ENDS:
                    raise failure
                if not convention.joined or len(groups) == 1 or failure.rank == OWN_ERROR:
                    failures.append(failure)
            elif not read:
                failures.append(CallFailure(_MIXED))
            elif not _is_steady(task, convention):
                return _wrong(read, [], task, _UNSTEADY)
            else:
                new += [r for r in read if not any(equal(r, other) for other in known + new)]
        likely = [] if (terms := fitting_units(new, task)) else explained(new, task)
        terms = task.terms.of(likely[0].kinds) if likely else terms
        if terms:  # in a network of its units only its mistakes are wrong
            return _checked(task.function, terms)
        if likely:
            return _wrong(new, likely, task)
        known += new
    fits = [right_arrays(each.fitting, task.ours[each.example]) for each in failures]
    nearest = max((right_arrays(each.arrays[0], task.ours[0]) for each in known), default=0)
    if known and nearest >= max(fits, default=0):
        return _wrong(known, [], task)
    raise _most_telling(failures, fits)


def _most_telling(failures: Sequence[CallFailure], fits: Sequence[int]) -> CallFailure:
    """The failure to report: that of the call whose layout fits the function best."""
    ranks = [
        (-failure.rank, fit, len(failure.fitting), failure.reached)
        for failure, fit in zip(failures, fits, strict=True)
    ]
    best = [failure for failure, rank in zip(failures, ranks, strict=True) if rank == max(ranks)]
    if best[0].rank == UNFIT:
        return best[0]
    # An error in every convention is the function's own.
    texts = [failure.text.partition(" (called as ")[0] for failure in best]
    return best[texts.index(mode(texts))]


def _is_steady(task: CheckTask, convention: Convention) -> bool:
    """Whether the function returns the same values when it is called again."""
    first, again = (
        [
            (way, [values.tolist() for values in arrays.values()])
            for answer in call(task._replace(examples=task.examples[:1]), convention)[0]
            for way, arrays in answer.items()
        ]
        for _ in range(2)
    )
    return first == again


def _right(
    read: list[Reading], failure: CallFailure | None, task: CheckTask
) -> GradientCheck | None:
    """The result for the first reading whose gradients are right; None if there is none."""
    for i, reading in enumerate(read):
        errors, noise, rate = errors_of(reading, task)
        size = max(errors.values())
        if size > TOLERANCE:
            continue
        if failure:
            raise replace(
                failure,
                text=f"in call {failure.example + 1} of {len(task.examples)} {failure.text}",
            )
        if noise > LOST:
            raise CallFailure(_LOST_STEPS)
        if i and read[0].steps and not reading.steps and explained([read[0]], task):
            del read[1:]  # the gradients that it returns are right, the step that it makes is not
            return None
        if reading.steps and size > 0:
            # At small rates weights that are changed too early make small differences.
            early = [
                gradient(example, task.terms, after)
                for example, after in zip(task.examples, reading.changed, strict=True)
            ]
            if max(errors_of(reading, task._replace(ours=early))[0].values()) < 0.1 * size:
                return _report(reading, errors, CHANGED, rate, task, size / 1e3)
        return _report(reading, errors, "", rate, task)
    return None


def _wrong(
    known: Sequence[Reading], likely: Sequence[LikelyMistakes], task: CheckTask, mistake: str = ""
) -> GradientCheck:
    """The result for the reading that the likely mistakes explain; without any, for the nearest."""
    if likely:
        reading, factor = likely[0].reading, likely[0].factor
        mistake = "; or ".join(dict.fromkeys(each.text for each in likely))
    else:
        reading = min(known, key=lambda each: max(errors_of(each, task)[0].values()))
        factor = 0.0
    errors, noise, rate = errors_of(reading, task, factor)
    if noise > LOST:
        raise CallFailure(_LOST_STEPS)
    if not any(values.any() for arrays in reading.arrays for values in arrays.values()):
        none = "W and b are returned unchanged" if reading.steps else "all gradients are 0"
        mistake = mistake or none
        reading = reading._replace(steps=False)
    return _report(reading, errors, mistake, rate, task, wrong=True)


def _report(
    reading: Reading,
    errors: dict[str, float],
    mistake: str,
    rate: float,
    task: CheckTask,
    tolerance: float = TOLERANCE,
    wrong: bool = False,
) -> GradientCheck:
    wrong = wrong or bool(mistake)
    names = [name for name, error in errors.items() if error > tolerance] or list(errors)
    first = max(names, key=lambda name: (int(name[1:]), name[0] == "W")) if wrong else ""
    inferred = (
        "\nthe rate is inferred: a factor on all gradients would look the same (lr = … checks it)"
    ) * (task.terms.rate is None)
    step = f": a step of rate {rate:.4g}{inferred}" * reading.steps
    convention = f"called with {reading.convention}; it {reading.does}{step}"
    if isinstance(task.function, ModuleGradients):
        convention = "its gradients are those of backward() in a copy of the module"
    return GradientCheck(
        not wrong,
        first,
        mistake,
        errors,
        task.numeric,
        convention,
        rate if reading.steps else None,
        tolerance,
        units_text(task.terms.kinds),
    )
