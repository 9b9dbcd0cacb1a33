"""Call a user's function with arguments in every usual layout, and read what it returns."""

import re
import traceback
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from itertools import chain, islice, product
from typing import Any

import numpy as np

from fastbp.engine.lane_group import by_name
from fastbp.gradcheck.reading import (
    ENDS,
    FORMS,
    OWN_ERROR,
    SHAPES,
    CallFailure,
    CheckTask,
    Convention,
    Reading,
    fitted,
    is_changed,
    vector,
)
from fastbp.gradcheck.reference import Arrays, ModuleGradients, takes
from fastbp.schema.text import first_of, plain, shown

SEPARATE = [
    [Convention(out_in, form, form) for form, out_in in product(FORMS, (True, False))],
    [
        Convention(out_in, biases, samples)
        for biases, samples, out_in in product(FORMS, FORMS, (True, False))
        if biases != samples
    ],
]
"""Conventions in which biases are separate arrays: first those in which biases and samples have the
same layout, then the others."""

JOINED = [
    Convention(out_in, samples, samples, joined, ones)
    for ones, samples, joined, out_in in product(
        (False, True), FORMS, ("last", "first"), (True, False)
    )
]
"""Conventions in which each W holds the biases of its layer."""


def conventions_of(task: CheckTask) -> list[list[Convention]]:
    """Groups of conventions to call a function in, the likeliest first."""
    if isinstance(task.function, ModuleGradients):
        return [SEPARATE[0][:1]]
    only_joined = task.terms.bias and takes(task.function, 3) and not takes(task.function, 4)
    # Several samples as rows are those of "flat".
    return [
        [
            each
            for each in group
            if task.terms.rows == 1 or each.samples != "row" or each.biases == "row"
        ]
        for group in ([JOINED] if only_joined else [*SEPARATE, JOINED * task.terms.bias])
    ]


Answer = dict[tuple[bool, int, bool], Arrays]
"""What one call gave: copies of its results, as arrays by name, for each nesting that fits: whether
the output layer comes first, the number of the nesting, and whether it has all arrays. The key
`IN_PLACE` has the arguments after the call, if the function changed them."""

IN_PLACE = (False, -1, True)


def call(task: CheckTask, convention: Convention) -> tuple[list[Answer], CallFailure | None]:
    """Call the function for each example; return its answers, and the first failure, if any."""
    answers: list[Answer] = []
    separate = task.terms.bias and not convention.joined
    three = not separate and (not task.terms.bias or takes(task.function, 3))
    for number, example in enumerate(task.examples):
        W = [convention.matrix(*layer) for layer in example.layers]
        b = [vector(b, convention.biases) for _, b in example.layers] if separate else []
        x, t = convention.sample(example.X, convention.ones), convention.sample(example.T)
        arguments = [W, x, t] if three else [W, b, x, t]
        before = deepcopy(by_name(list(zip(W, b or W, strict=True)), separate))
        shapes = [f"{k}{i} {v.shape}" for k, a in {"W": W, "b": b}.items() for i, v in enumerate(a)]
        called_as = (
            f"(called as function(W{'' if three else ', b'}, x, t)"
            f"{', biases in W,' * bool(convention.joined)} with {', '.join(first_of(shapes, 6))}, "
            f"x {x.shape}, t {t.shape})"
        )
        try:
            # In a convention that is not its own a function may warn of anything.
            with warnings.catch_warnings(action="ignore"):
                returned = task.function(*arguments)
        except (Exception, SystemExit) as error:
            return answers, _raised(error, called_as, number)
        try:
            with warnings.catch_warnings(action="ignore"):  # of complex numbers, for example
                answer = _answer(returned, before, W, b, convention)
        except CallFailure as unfit:
            return answers, replace(unfit, text=f"{unfit.text} {called_as}", example=number)
        except (Exception, SystemExit) as error:  # a foreign object may raise anything when read
            why = f"what it returns cannot be read: {type(error).__name__} {called_as}"
            return answers, CallFailure(why, example=number)
        if convention.joined:
            answer = {way: convention.separated(arrays, example) for way, arrays in answer.items()}
        answers.append(answer)
    return answers, None


def _raised(error: BaseException, called_as: str, example: int) -> CallFailure:
    why = ""
    with suppress(Exception):  # an error may fail to say what it is
        why = plain((str(error).splitlines() or [""])[0].strip(), 200)
    may_fit = isinstance(error, ValueError | TypeError | IndexError | AssertionError)
    rank = SHAPES if may_fit else OWN_ERROR
    return CallFailure(
        f"it raises {type(error).__name__}{': ' * bool(why)}{why} {called_as}",
        # With a text, SystemExit may refuse the shapes.
        rank=ENDS if isinstance(error, SystemExit) and not isinstance(error.code, str) else rank,
        example=example,
        reached=[line for _, line in traceback.walk_tb(error.__traceback__)][1:],
    )


def readings(answers: Sequence[Answer], task: CheckTask, convention: Convention) -> list[Reading]:
    """Read answers as gradients and as steps, in each way that fits all calls, likeliest first."""
    read = {
        way: [answer[way] for answer in answers]
        for way in (answers[0] if answers else ())
        if all(way in answer for answer in answers)
    }
    changed = read.pop(IN_PLACE, None)
    gradients = [
        Reading(
            each,
            dict.fromkeys(task.ours[0], 0.0),
            "returns gradients" + ", the output layer's first" * backwards,
            convention,
        )
        for (backwards, _, _), each in read.items()
    ]
    if changed:
        return [
            _step("changes its arguments", changed, task, convention),
            *(each._replace(does=f"{each.does}, and changes its arguments") for each in gradients),
        ]
    steps = [
        _step("returns changed weights", each, task, convention)
        for (_, _, complete), each in read.items()
        if complete
        and all(values.shape == task.ours[0][name].shape for name, values in each[0].items())
    ]
    return gradients + steps if task.terms.rate is None else steps + gradients


def _step(does: str, after: Sequence[Arrays], task: CheckTask, convention: Convention) -> Reading:
    """Turn the weights after each call into the gradients of a step, (before − after) / rate."""
    before = [by_name(example.layers, task.terms.bias) for example in task.examples]
    rate = task.terms.rate or 1.0
    arrays = [
        {name: (w[name] - a[name]) / rate for name in w}
        for a, w in zip(after, before, strict=False)
    ]
    noise = {}
    for name in before[0]:
        values = [a[name] for a in after]
        with np.errstate(over="ignore"):
            single = all(np.array_equal(v, v.astype(np.float32)) for v in values)
        digits = float(np.finfo(np.float32 if single else np.float64).eps)
        noise[name] = 2 * digits * max(float(np.abs(v).max()) for v in values) / rate
    changed = [[values for name, values in a.items() if name[0] == "W"] for a in after]
    return Reading(arrays, noise, does, convention, True, task.terms.rate, changed)


# The results of one call


def _answer(
    returned: Any, before: Arrays, W: list[Any], b: list[Any], convention: Convention
) -> Answer:
    """Read what one call changed in place or returned. Raises CallFailure."""
    bias = "b0" in before
    layers = len(before) // (1 + bias)
    if (len(W), len(b)) == (layers, layers * bias):
        after = by_name(list(zip(W, b or W, strict=True)), bias)
        if any(is_changed(after[name], values) for name, values in before.items()):
            answer = {IN_PLACE: fitted(after, before, convention.out_in, "")}
            with suppress(CallFailure):
                return answer | _read(returned, before, convention, "")
            return answer
    elif returned is None:
        raise CallFailure(
            f"the lists that it was given have {len(W)} weights and {len(b)} biases afterwards"
        )
    needed = f"needed: the gradients of {', '.join(before)}, or W{' and b' * bias} changed in place"
    if returned is None:
        raise CallFailure(f"it returns None and changes neither W nor b in place; {needed}")
    return _read(returned, before, convention, needed)


def _read(returned: Any, before: Arrays, convention: Convention, needed: str) -> Answer:
    """Read what was returned, in each nesting that fits the shapes. Raises CallFailure."""
    if isinstance(returned, Iterator):
        returned = list(islice(returned, len(before) + 1)) or returned
    parts = (
        _of_mapping(returned, list(before), needed)
        if isinstance(returned, Mapping)
        else _items(returned)
    )
    if parts is None:
        raise CallFailure(f"it returns {shown(returned)}; {needed}")
    try:
        return _laid_out(parts, returned, before, convention, needed)
    except CallFailure:
        arrays = [
            part
            for part in parts
            if not (isinstance(part, int | float | np.number) or getattr(part, "shape", None) == ())
        ]
        if not 0 < len(arrays) < len(parts):
            raise
        # A loss comes with them.
        inside = len(arrays) == 1 and isinstance(arrays[0], list | tuple | Mapping)
        return _read(arrays[0] if inside else arrays, before, convention, needed)


def _of_mapping(returned: Mapping[Any, Any], names: Sequence[str], needed: str) -> list[Any]:
    """List the parts of a dictionary: arrays (W0 or dW1, …), its lists W and b, or its layers."""
    keys = {re.sub(r"[^a-z0-9]", "", str(key).lower()): value for key, value in returned.items()}
    pattern = r"^(delta|grad|d)?(weights?|w|bias(es)?|b)(?=\d*$)"
    keys = {re.sub(pattern, lambda m: m[2][0], key): value for key, value in keys.items()}
    kinds = "wb" if "b0" in names else "w"
    lists = [_items(keys.get(kind)) for kind in kinds]
    if all(lists):
        return lists
    layers = [_items(value) or () for value in returned.values()]
    if len(layers) * len(kinds) == len(names) and all(len(each) == len(kinds) for each in layers):
        return layers
    first = 0 if "w0" in keys else 1
    wanted = {name: f"{name[0].lower()}{int(name[1:]) + first}" for name in names}
    if missing := [name for name in names if wanted[name] not in keys]:
        held = ", ".join(plain(str(key), 20) for key in list(returned)[:8]) or "nothing"
        raise CallFailure(
            f"it returns a dictionary of {held}, without {', '.join(missing)}; {needed}",
            missing[-1],
        )
    return [keys[wanted[name]] for name in names]


def _items(values: Any) -> list[Any] | None:
    """List the parts of a container or array; None for any other value."""
    if isinstance(values, Mapping):
        return list(values.values())
    has_parts = isinstance(values, list | tuple) or (isinstance(values, np.ndarray) and values.ndim)
    return list(values) if has_parts else None


def _layouts(names: Sequence[str], complete: bool) -> list[Any]:
    """List the nestings in which people return gradients, as nested lists of names.

    With `complete` each has the names of all arrays, else only of some.
    """
    weights = [name for name in names if name[0] == "W"]
    biases = [name for name in names if name[0] == "b"]
    pairs = [list(pair) for pair in zip(weights, biases, strict=False)]
    if complete and not biases:
        return [weights, [weights]]
    if complete:
        return [
            [weights, biases],
            [biases, weights],
            list(names),
            weights + biases,
            biases + weights,
            pairs,
            [pair[::-1] for pair in pairs],
        ]
    return [weights, [weights], biases, *weights, *([name] for name in weights), *pairs]


def _laid_out(
    parts: list[Any], returned: Any, before: Arrays, convention: Convention, needed: str
) -> Answer:
    """Read the returned parts in each nesting that fits. Raises CallFailure if none does."""
    names, reasons = list(before), []
    if getattr(returned, "shape", None) == (sum(values.size for values in before.values()),):
        flat = np.split(
            np.asarray(returned), np.cumsum([values.size for values in before.values()])[:-1]
        )
        parts = [v.reshape(w.shape) for v, w in zip(flat, before.values(), strict=True)]
    backwards = sorted(names, key=lambda name: -int(name[1:]))
    for complete in (True, False):
        answer: Answer = {}
        both = zip(_layouts(names, complete), _layouts(backwards, complete), strict=True)
        for number, layout in enumerate(chain.from_iterable(both)):
            if not (values := _matched(layout, parts)):
                continue
            # An update with an absent array is the same as one with 0.
            arrays = {name: values.get(name, np.zeros(w.shape)) for name, w in before.items()}
            try:
                answer[number % 2 == 1, number, complete] = fitted(
                    arrays, before, convention.out_in, "the gradient of "
                )
            except CallFailure as reason:
                reasons += [reason] * complete
        if answer:
            return answer
    if reasons:
        raise max(reasons, key=lambda reason: len(reason.fitting))
    kind = "an array" if isinstance(returned, np.ndarray) else f"a {type(returned).__name__}"
    raise CallFailure(f"it returns {kind} of {len(parts)}; {needed}")


def _matched(layout: Any, value: Any) -> dict[str, Any]:
    """Name the parts of a value that is nested like the layout, a list of names; else nothing."""
    if isinstance(layout, str):
        return {layout: value}
    parts = _items(value)
    if parts is None or len(parts) != len(layout):
        return {}
    inner = [_matched(*pair) for pair in zip(layout, parts, strict=True)]
    return {name: part for each in inner for name, part in each.items()} if all(inner) else {}
