"""Somebody's function of a network and samples: called in every style that it may be written in,
and what it returns read.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from inspect import signature
from itertools import islice, product
from operator import itemgetter
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.gradcheck.reference import Case, Real
from fastbp.gradcheck.search import Given
from fastbp.schema.text import plain, shown

MOVED = 1e-12
"""A change of a weight, as a share of the largest, that is more than the rounding of w + ε − ε."""

LINE = 200
"""Characters of an error's text that a line shows."""


class Style(NamedTuple):
    """How a function wants its arguments: W[out, in] or W[in, out]; biases and samples flat, as
    columns or as rows.

    `joined`: whether each W holds its biases, as the weights of an input that is always 1, the
    "first" or the "last" one; `ones`: whether that input is among the samples' already.
    """

    out_in: bool
    biases: str
    samples: str
    joined: str = ""
    ones: bool = False

    def __str__(self) -> str:
        order = "W[out, in]" if self.out_in else "W[in, out]"
        if self.joined:
            order = order.replace("in", "in + 1")
            where = (
                f"the biases in the {self.joined} {'column' if self.out_in else 'row'} {OF_EACH}"
            )
            return f"{order}, {where}, samples {_LIES[self.samples]}{', with a 1 among them' * self.ones}"
        if self.biases == self.samples:
            return f"{order}, vectors {_LIES[self.biases]}"
        return f"{order}, biases {_LIES[self.biases]}, samples {_LIES[self.samples]}"


OF_EACH = "of each W"

_LIES = {"flat": "flat", "column": "as columns", "row": "as rows"}

STYLES = sorted(
    (
        Style(out_in, biases, samples)
        for biases, samples, out_in in product(_LIES, _LIES, (True, False))
    ),
    key=lambda style: style.biases != style.samples,
)
"""First those of which all vectors lie alike."""

PLAIN = 2 * len(_LIES)
"""How many those are."""

JOINED = [
    Style(out_in, samples, samples, joined, ones)
    for ones, samples, joined, out_in in product(
        (False, True), _LIES, ("last", "first"), (True, False)
    )
]
"""Those of functions whose matrices hold the biases."""


class UnfitError(Exception):
    """What a function gave is no gradient, in words; `name`: the array that is none, if it is one;
    `fitting`: those that fit.
    """

    def __init__(
        self, text: str, name: str = "", fitting: Mapping[int, Real] | None = None
    ) -> None:
        self.name, self.fitting = name, dict(fitting or {})
        super().__init__(text)


Answer = dict[str, list[Real]]
"""What one call gave, copied: the ways in which it can be read, each under a name (IN_PLACE: the
changed arguments)."""

IN_PLACE = "in place"

ALONE = "alone"

ABSENT = object()
"""An array that was not returned."""

GRADIENTS = "returns gradients"


class Failure(NamedTuple):
    """Why a style is none: in which case, how telling that is (the smaller the more), the text, the
    array that it is about, and the arrays that fit, by their place among the names.
    """

    case: int
    rank: int
    text: str
    name: str = ""
    fitting: Mapping[int, Real] = MappingProxyType({})
    reached: Sequence[int] = ()
    """Where it raised: its lines, from that which was called inwards."""


class Called(NamedTuple):
    """A function called in one style, case by case, until all were or one failed."""

    style: Style
    answers: list[Answer]
    failure: Failure | None


def called(function: Callable[..., Any], cases: Sequence[Case], style: Style, bias: bool) -> Called:
    """Call it for every case."""
    answers: list[Answer] = []
    apart = bias and not style.joined
    for case in cases:
        W = [_matrix(w, v, style) for w, v in case.layers]
        b = [_lying(v, style.biases) for _, v in case.layers] if apart else []
        x, t = (
            _sample(_with_ones(case.X, style.joined * style.ones), style.samples),
            _sample(case.T, style.samples),
        )
        three = not bias or (style.joined != "" and takes(function, 3))
        shapes = ", ".join(filter(None, (_shapes(W, "W"), _shapes(b, "b"))))
        call = f"function(W{', b' * (not three)}, x, t){', biases in W,' * bool(style.joined)}"
        as_called = f"called as {call} with {shapes}, x {x.shape}, t {t.shape}"
        held_W, held_b = list(W), list(b)
        before = [values.copy() for values in (*W, *b)]
        try:
            # In styles that are not its own a function warns of what is none of its faults.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                returned = function(held_W, x, t) if three else function(held_W, held_b, x, t)
        except (Exception, SystemExit) as error:
            return Called(style, answers, _raised(error, as_called, len(answers)))
        try:
            answer = _answer(returned, before, held_W, held_b, style, apart)
        except UnfitError as unfit:
            return Called(
                style,
                answers,
                Failure(len(answers), 1, f"{unfit} ({as_called})", unfit.name, unfit.fitting),
            )
        except (
            Exception,
            SystemExit,
        ) as error:  # objects of somebody else's may raise whatever is asked of them
            text = f"what it returns cannot be read: {type(error).__name__} ({as_called})"
            return Called(style, answers, Failure(len(answers), 1, text))
        answers.append(
            {
                way: _parted_biases(arrays, case, style) if style.joined else arrays
                for way, arrays in answer.items()
            }
        )
    return Called(style, answers, None)


def takes(function: Callable[..., Any], arguments: int) -> bool:
    """Whether it can be called with so many, as far as it says."""
    try:
        signature(function).bind(*[None] * arguments)
    except TypeError:
        return False
    except ValueError:
        return True  # it does not say
    return True


def _matrix(W: Real, b: Real, style: Style) -> Real:
    if style.joined:
        W = np.insert(W, 0 if style.joined == "first" else W.shape[1], b, axis=1)
    return (W if style.out_in else W.T).copy()


def _with_ones(X: Real, joined: str) -> Real:
    return np.insert(X, 0 if joined == "first" else X.shape[1], 1.0, axis=1) if joined else X


def _parted_biases(arrays: Sequence[Real], case: Case, style: Style) -> list[Real]:
    """Weights and biases out of matrices that hold both; those that have the shape of the transpose
    keep it.
    """
    found = []
    for values, (W, b) in zip(arrays, case.layers, strict=True):
        place = 0 if style.joined == "first" else W.shape[1]
        axis = 1 if values.shape == (len(b), W.shape[1] + 1) else 0
        found += [np.delete(values, place, axis), np.take(values, place, axis)]
    return found


def readings(
    answers: Sequence[Answer], cases: Sequence[Case], lr: float | None, bias: bool
) -> list[tuple[str, Given]]:
    """Each way to read what a function gave, and what it does then; the likeliest first."""
    ways = [way for way in answers[0] if all(way in answer for answer in answers)]
    before = [
        [values for pair in case.layers for values in pair[: 1 + bias]]
        for case in cases[: len(answers)]
    ]
    gradients, steps = [], []
    for way in ways:
        arrays = [answer[way] for answer in answers]
        if way == IN_PLACE:
            continue
        how = GRADIENTS + ", the output layer's first" * way.startswith("reversed")
        gradients.append((how, Given(arrays, [0.0] * len(arrays[0]))))
        if not way.endswith(ALONE) and all(
            a.shape == w.shape
            for after, weights in zip(arrays, before, strict=True)
            for a, w in zip(after, weights, strict=True)
        ):
            steps.append(("returns changed weights", _steps(arrays, before, lr, bias)))
    if IN_PLACE in ways:
        steps = [
            (
                "changes its arguments",
                _steps([answer[IN_PLACE] for answer in answers], before, lr, bias),
            )
        ]
        return [*steps, *((f"{how}, and changes its arguments", given) for how, given in gradients)]
    return [*gradients, *steps] if lr is None else [*steps, *gradients]


def _steps(
    after: Sequence[list[Real]], before: Sequence[list[Real]], lr: float | None, bias: bool
) -> Given:
    rate = 1.0 if lr is None else lr
    arrays = [
        [(w - a) / rate for a, w in zip(x, y, strict=True)]
        for x, y in zip(after, before, strict=True)
    ]
    noise = []
    for i in range(len(before[0])):
        values = [a[i] for a in after]
        single = all(np.array_equal(v, v.astype(np.float32)) for v in values)
        digits = float(np.finfo(np.float32 if single else np.float64).eps)
        noise.append(2 * digits * max(float(np.abs(v).max()) for v in values) / rate)
    return Given(arrays, noise, True, lr, [list(a[:: 1 + bias]) for a in after])


def _raised(error: BaseException, as_called: str, case: int) -> Failure:
    try:
        text = plain((str(error).splitlines() or [""])[0].strip(), LINE)
    except Exception:  # an error may fail to say what it is
        text = ""
    lines, trace = list[int](), error.__traceback__ and error.__traceback__.tb_next
    while trace:
        lines.append(trace.tb_lineno)
        trace = trace.tb_next
    # Shapes that do not fit are what every style but its own is expected to end with.
    own = not isinstance(error, ValueError | TypeError | IndexError | AssertionError)
    text = f"it raises {type(error).__name__}{': ' * bool(text)}{text} ({as_called})"
    ends = isinstance(error, SystemExit) and not isinstance(
        error.code, str
    )  # it says no word of shapes
    return Failure(case, -1 if ends else 0 if own else 2, text, reached=lines)


def _shapes(arrays: Sequence[Real], letter: str) -> str:
    most = 3
    told = [f"{letter}{i} {values.shape}" for i, values in enumerate(arrays[:most])]
    return ", ".join([*told, *["…"] * (len(arrays) > most)])


def _lying(values: Real, lie: str) -> Real:
    return (
        values.copy()
        if lie == "flat"
        else values.reshape((-1, 1) if lie == "column" else (1, -1)).copy()
    )


def _sample(values: Real, lie: str) -> Real:
    """Inputs or targets, [row, unit], as a function wants them."""
    if len(values) > 1:
        return values.T.copy() if lie == "column" else values.copy()
    return _lying(values[0], lie)


# What it gave


def _answer(
    returned: Any, before: Sequence[Real], W: list[Any], b: list[Any], style: Style, bias: bool
) -> Answer:
    """Raises UnfitError."""
    n = len(before) // (1 + bias)
    names = [f"{kind}{layer}" for layer in range(n) for kind in ("W", "b")[: 1 + bias]]
    given = [
        before[i] for pair in zip(range(n), range(n, 2 * n), strict=True) for i in pair[: 1 + bias]
    ]
    whole = len(W) == n and len(b) == n * bias
    if not whole and returned is None:
        raise UnfitError(
            f"the lists that it was given have {len(W)} weights and {len(b)} biases afterwards"
        )
    if whole:
        after = [
            value for pair in zip(W, b if bias else W, strict=True) for value in pair[: 1 + bias]
        ]
        if any(_moved(a, g) for a, g in zip(after, given, strict=True)):
            arrays = _fitted(after, given, names, style, "")
            try:
                also = _read(returned, given, names, style, "", bias)
            except UnfitError:
                also = {}
            return {IN_PLACE: arrays, **also}
    needed = f"needed: the gradients of {', '.join(names)}, or W{' and b' * bias} changed in place"
    if returned is None:
        raise UnfitError(f"it returns None and changes neither W nor b in place; {needed}")
    return _read(returned, given, names, style, needed, bias)


def _moved(after: Any, before: Real) -> bool:
    """Whether it is another array, by more than the rounding of a weight that was changed and put
    back.
    """
    try:
        values = np.asarray(after, float)
    except (TypeError, ValueError):
        return True
    return values.shape != before.shape or not bool(
        np.all(np.abs(values - before) <= MOVED * np.abs(before).max())
    )


def _read(
    returned: Any,
    given: Sequence[Real],
    names: Sequence[str],
    style: Style,
    needed: str,
    bias: bool,
) -> dict[str, list[Real]]:
    """What was returned, in each way that fits the shapes. Raises UnfitError."""
    if isinstance(returned, Iterator):
        returned = list(islice(returned, len(names) + 1)) or returned
    if isinstance(returned, Mapping):
        parts = _named(returned, names, needed, bias)
    elif isinstance(returned, list | tuple) or (isinstance(returned, np.ndarray) and returned.ndim):
        parts = list(returned)
    else:
        raise UnfitError(f"it returns {shown(returned)}; {needed}")
    try:
        return _parted(parts, returned, given, names, style, needed, bias)
    except UnfitError:
        rest = [
            part
            for part in parts
            if not (isinstance(part, int | float | np.number) or getattr(part, "shape", None) == ())
        ]
        if not 0 < len(rest) < len(parts):
            raise
        # A loss comes with them.
        inside = rest[0] if len(rest) == 1 and isinstance(rest[0], list | tuple | Mapping) else rest
        return _read(inside, given, names, style, needed, bias)


def _parted(
    parts: list[Any],
    returned: Any,
    given: Sequence[Real],
    names: Sequence[str],
    style: Style,
    needed: str,
    bias: bool,
) -> dict[str, list[Real]]:
    """These parts, in each way that fits the shapes. Raises UnfitError."""
    reasons: list[UnfitError] = []
    each = 1 + bias
    n = len(names) // each
    ways = list(_splits(parts, n, bias))
    if isinstance(returned, np.ndarray) and returned.shape == (
        sum(values.size for values in given),
    ):
        by_layer = list(range(len(names)))
        for way, order in (
            ("one row", by_layer),
            ("one row, weights first", sorted(by_layer, key=lambda i: i % each)),
        ):
            rows = np.split(returned, np.cumsum([given[i].size for i in order])[:-1])
            ways.append(
                (
                    way,
                    [
                        row.reshape(given[i].shape)
                        for i, row in sorted(zip(order, rows, strict=True), key=itemgetter(0))
                    ],
                )
            )
    ways += [
        (f"reversed {way}", [v for k in range(n, 0, -1) for v in values[each * (k - 1) : each * k]])
        for way, values in ways
    ]
    alone = [
        (f"{way} {i} {ALONE}", values)
        for i, (way, values) in enumerate([*ways, *_parts_of(parts, returned, n, bias)])
    ]
    for some in (False, True):
        found: dict[str, list[Real]] = {}
        for way, values in alone if some else ways:
            if any(part is ABSENT for part in values) != some:
                continue
            # What is absent is the same as 0 for whoever updates with it.
            arrays = [
                np.zeros(shape.shape) if part is ABSENT else part
                for part, shape in zip(values, given, strict=True)
            ]
            try:
                found[way] = _fitted(arrays, given, names, style, "the gradient of ")
            except UnfitError as reason:
                if not some:
                    reasons.append(reason)
        if found:
            return found
    if reasons:
        raise max(reasons, key=lambda reason: len(reason.fitting))
    kind = "an array" if isinstance(returned, np.ndarray) else f"a {type(returned).__name__}"
    raise UnfitError(f"it returns {kind} of {len(parts)}; {needed}")


def _parts_of(
    parts: list[Any], returned: Any, n: int, bias: bool
) -> Iterator[tuple[str, list[Any]]]:
    """What may be the gradients of some arrays alone, with ABSENT for the others."""
    for k in range(n):
        for part in [returned, *parts] if len(parts) == 1 else [returned]:
            yield "", [part if i == k * (1 + bias) else ABSENT for i in range(n * (1 + bias))]
        if bias and len(parts) == 2:
            yield "", [parts[i - 2 * k] if i // 2 == k else ABSENT for i in range(2 * n)]
    if bias and len(parts) == n:
        yield "", [part for each in parts for part in (ABSENT, each)]


def _named(returned: Mapping[Any, Any], names: Sequence[str], needed: str, bias: bool) -> list[Any]:
    """The parts of a dictionary: W0 or dW0 and so on, from 0 or from 1, or W and b with a list
    each.
    """
    keys = {re.sub(r"[^a-z0-9]", "", str(key).lower()): value for key, value in returned.items()}
    keys = {
        re.sub(r"^(delta|grad|d)?(weights?|w|bias(es)?|b)(?=\d*$)", _letter, key): value
        for key, value in keys.items()
    }
    lists = [_listed(keys[kind]) for kind in ("w", "b")[: 1 + bias] if kind in keys]
    if len(lists) == 1 + bias and all(lists):
        return lists if bias else lists[0]
    layers = [_listed(value) for value in returned.values()]
    if len(layers) == len(names) // (1 + bias) and all(len(layer) == 1 + bias for layer in layers):
        return layers
    first = 0 if "w0" in keys else 1
    wanted = [f"{name[0].lower()}{int(name[1:]) + first}" for name in names]
    if missing := [name for name, key in zip(names, wanted, strict=True) if key not in keys]:
        held = ", ".join(plain(str(key), 20) for key in list(returned)[:8]) or "nothing"
        raise UnfitError(
            f"it returns a dictionary of {held}, without {', '.join(missing)}; {needed}",
            missing[-1],
        )
    return [keys[key] for key in wanted]


def _listed(values: Any) -> list[Any]:
    """The parts of what has parts, none of what has none."""
    if isinstance(values, Mapping):
        return list(values.values())
    return (
        list(values)
        if isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim)
        else []
    )


def _letter(match: re.Match[str]) -> str:
    return match[2][0]


def _splits(parts: list[Any], n: int, bias: bool) -> Iterator[tuple[str, list[Any]]]:
    """W0, b0, W1, b1 and so on, in each way in which people return them."""

    def together(W: Sequence[Any], b: Sequence[Any]) -> list[Any]:
        return [value for pair in zip(W, b, strict=True) for value in pair]

    nested = [_listed(part) for part in parts]
    if not bias:
        if len(parts) == n:
            yield "weights", parts
        if len(parts) == 1 and len(nested[0]) == n:
            yield "a list of weights", nested[0]
        return
    if len(parts) == 2 and all(len(part) == n for part in nested):
        yield "weights, biases", together(*nested)
        yield "biases, weights", together(*nested[::-1])
    if len(parts) == 2 * n:
        yield "W0, b0, W1, b1", parts
        yield "W0, W1, b0, b1", together(parts[:n], parts[n:])
        yield "b0, W0, b1, W1", together(parts[1::2], parts[::2])
        yield "b0, b1, W0, W1", together(parts[n:], parts[:n])
    if len(parts) == n and all(len(part) == 2 for part in nested):
        yield "pairs", [value for part in nested for value in part]
        yield "pairs, biases first", [value for part in nested for value in part[::-1]]
    if len(parts) == n:
        yield "weights", together(parts, [ABSENT] * n)
    if len(parts) == 1 and len(nested[0]) == n:
        yield "a list of weights", together(nested[0], [ABSENT] * n)


def _fitted(
    arrays: Sequence[Any], given: Sequence[Real], names: Sequence[str], style: Style, of: str
) -> list[Real]:
    """Copies of all arrays. Raises UnfitError for the first that does not fit, in the order of
    errors: the output's first.
    """
    found, reasons = {}, []
    for i in sorted(range(len(names)), key=lambda i: (-int(names[i][1:]), i)):
        try:
            found[i] = _fit(
                _array(arrays[i], given[i].size, names[i], of), given[i], names[i], style, of
            )
        except UnfitError as reason:
            reasons.append(reason)
    if reasons:
        raise UnfitError(str(reasons[0]), reasons[0].name, found)
    return [found[i] for i in range(len(names))]


def _array(values: Any, size: int, name: str, of: str) -> NDArray[Any]:
    """A copy as float64; what has another size stays as it is: where shapes do not fit, NumPy makes
    tables of millions.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufO":
            raise TypeError
        if array.size != size:
            return array
        if array.dtype.kind == "O":  # float itself refuses None, of which NumPy makes NaN
            return np.array([float(value) for value in array.flat]).reshape(array.shape)
        return np.array(array, float)
    except Exception:
        raise UnfitError(
            f"{of}{name} is no array of real numbers but {shown(values)}", name
        ) from None


def _fit(values: NDArray[Any], given: Real, name: str, style: Style, of: str) -> Real:
    """An array of the shape of its weights, as [out, in], or of its biases, flat. Raises
    UnfitError.

    A gradient that has the shape of the transpose is kept so.
    """
    after = "" if of else " after the call"
    turned = (
        bool(of)
        and name[0] == "W"
        and values.ndim == 2
        and values.shape == given.shape[::-1] != given.shape
    )
    if name[0] == "b":  # however they lie
        fits = values.size == given.size == max(values.shape, default=1)
    else:
        fits = (
            values.shape == given.shape
            or turned
            or (values.ndim < 2 and values.size == given.size and 1 in given.shape)
        )
    if not fits:
        had = f"{name} has" if of else "it had"
        raise UnfitError(
            f"{of}{name} has shape {values.shape}{after}, where {had} {given.shape}", name
        )
    if not np.isfinite(values).all():
        counts = [(int(np.isnan(values).sum()), "NaN"), (int(np.isinf(values).sum()), "infinite")]
        told = " and ".join(f"{count} {what}" for count, what in counts if count)
        raise UnfitError(
            f"{of}{name} has {told} of {values.size} values{after}; needed: finite numbers", name
        )
    if name[0] == "b":
        return values.reshape(-1)
    values = values if turned else values.reshape(given.shape)
    return values if style.out_in else values.T
