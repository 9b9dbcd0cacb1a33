"""Which usual mistakes give just the gradients that somebody's function gave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import numpy as np

from fastbp.gradcheck.mistakes import (
    At,
    Word,
    biases,
    forwards,
    inputs,
    passed,
    slopes,
    sources,
    ways_back,
)
from fastbp.gradcheck.reference import Case, Loss, Real

TOLERANCE = 1e-4
"""Largest difference of an array, as a share of its largest gradient, that counts as none: float32
keeps seven digits."""

SAME = 1e-3
"""Two factors that differ by less are one."""

MAX_MISTAKES = 3
"""Slips at once that are looked for: what takes more is told better by nobody."""

MAX_REPORTED = 3
"""Explanations of the same gradients that are told."""


class Given(NamedTuple):
    """What a function gave: of each case an array for each name, weights as [out, in].

    An array of weights that has the shape of its transpose is kept so. Where `rate` is None, steps
    are kept in place of gradients: a rate that nobody told cannot be taken out. `noise`: what
    rounding alone may have done to each array. `changed`: of each case the weights after the step,
    of functions that make steps.
    """

    arrays: list[list[Real]]
    noise: list[float]
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] | None = None


class Explanation(NamedTuple):
    """Mistakes that give these gradients: which ones, what comes first, in words, and the number by
    which the rest differs.
    """

    given: int
    rank: tuple[int, int, int]
    told: str
    factor: float

    @property
    def cost(self) -> int:
        """How many mistakes."""
        return self.rank[0]


class Setting(NamedTuple):
    """What was asked for."""

    cases: Sequence[Case]
    loss: Loss
    bias: bool
    names: Sequence[str]

    @property
    def rows(self) -> int:
        """Samples at once."""
        return int(self.cases[0].X.shape[0])

    @property
    def outputs(self) -> int:
        """Output units."""
        return int(self.cases[0].T.shape[1])


class _Relation(NamedTuple):
    """How a given array stands to another: by which factor it differs, and whether it is
    "transposed" or "reshaped".
    """

    factor: float
    turned: str = ""


class _State(NamedTuple):
    """An explanation of the arrays of some layers, from the output layer down: those of `at.layer`
    come next.
    """

    given: int
    ats: list[At]
    words: frozenset[tuple[str, int]]
    """What is wrong, each with the layer where it is; 0: in the forward pass."""
    rare: int
    relations: tuple[_Relation, ...]
    """By name, those of the layers below not there yet."""

    @property
    def rank(self) -> tuple[int, int, int]:
        """What comes first: the fewest mistakes, the likeliest ones, in the fewest layers."""
        return len({told for told, _ in self.words}), self.rare, len(self.words)


def explained(every: Sequence[Given], asked: Setting) -> list[Explanation]:
    """The explanations with the fewest mistakes of what a function may have given, none where there
    is none.

    Several that cannot be told apart are all there. The search goes down layer by layer, as
    backpropagation does: what explains the arrays of a layer is kept, and what is kept with the
    fewest mistakes goes on first.
    """
    best: list[Explanation] = []
    with np.errstate(all="ignore"):
        for most in range(1, MAX_MISTAKES + 1):
            if (best := _fewest(every, asked, most)) and best[0].cost <= most:
                break  # more slips would cost more
    return list({explanation.told: explanation for explanation in reversed(best)}.values())[::-1][
        :MAX_REPORTED
    ]


def _fewest(every: Sequence[Given], asked: Setting, most: int) -> list[Explanation]:
    """Those with up to so many slips."""
    order = count()
    waiting: list[tuple[tuple[int, int, int], int, _State | Explanation]] = []
    for place, given in enumerate(every):
        changed = given.changed or [[]] * len(given.arrays)
        for forward in forwards(asked.loss, asked.bias, asked.rows) if _any(given) else []:
            if len(forward.told) <= most:
                ats = [
                    passed(case, forward, after)
                    for case, after in zip(asked.cases, changed, strict=True)
                ]
                state = _State(place, ats, frozenset((told, 0) for told in forward.told), 0, ())
                heappush(waiting, (state.rank, next(order), state))
    best: list[Explanation] = []
    while waiting and not (best and waiting[0][0] > best[0].rank):
        _, _, reached = heappop(waiting)
        if isinstance(reached, Explanation):
            best.append(reached)
            continue
        for state in _lower(reached, every[reached.given], asked, most):
            done = state.ats[0].layer == 0
            found = (
                min(_told(state, every[state.given], asked), key=lambda each: each.cost)
                if done
                else state
            )
            heappush(waiting, (found.rank, next(order), found))
    return best


def _any(given: Given) -> bool:
    return any(
        np.abs(a).max() > noise
        for arrays in given.arrays
        for a, noise in zip(arrays, given.noise, strict=True)
    )


def _lower(state: _State, given: Given, asked: Setting, most: int) -> Iterator[_State]:
    """All that explains the arrays of one layer more."""
    ats = state.ats
    layer, last = ats[0].layer, len(asked.cases[0].layers)
    first, shapes = (layer - 1) * (1 + asked.bias), [at.activations[layer].shape for at in ats]
    above_shapes = [at.activations[min(layer + 1, last)].shape for at in ats]
    every_slope = _made(slopes(layer, last, asked.loss), ats, shapes, state.words)
    deltas = (
        ((source, way, slope), [
            at._replace(above=up, carried=carried, slope=factor, delta=carried * factor)
            for at, up, carried, factor in zip(ats, above, all_carried, factors, strict=True)
        ])
        for source, above in _made(sources(layer, last, asked.loss), ats, above_shapes, state.words)
        for way, all_carried in _made(ways_back(layer, last, given.steps), _all(ats, above=above), shapes, state.words)
        for slope, factors in every_slope
        if _with(state, layer, (source, way, slope)).rank[0] <= most
    )  # fmt: skip
    for words, here in deltas:
        for word in inputs(layer, last):
            slipped = _with(state, layer, (*words, word))
            if slipped.rank[0] > most or _relation(given, first, here[:1], word) is None:
                continue  # most are out after the first case
            of_weights = _relation(given, first, here, word)
            if of_weights is None or (of_weights.factor == 0 and word.told):
                continue
            found: list[tuple[_State, tuple[_Relation, ...]]] = [(slipped, (of_weights,))]
            if asked.bias:
                found = []
                for another in biases(layer):
                    of_biases = _relation(given, first + 1, here, another)
                    if of_biases is None or (of_biases.factor == 0 and another.told):
                        continue
                    found.append((_with(slipped, layer, [another]), (of_weights, of_biases)))
            for reached, relations in found:
                if reached.rank[0] > most or (
                    not any(each.factor for each in relations) and any(each.told for each in words)
                ):
                    continue  # of arrays that are all 0 nothing can be said
                below = [at._replace(layer=layer - 1, above=at.delta) for at in here]
                yield reached._replace(ats=below, relations=(*relations, *state.relations))


def _all(ats: Sequence[At], above: Sequence[Real]) -> list[At]:
    return [at._replace(above=up) for at, up in zip(ats, above, strict=True)]


def _with(state: _State, layer: int, words: Iterable[Word]) -> _State:
    wrong = [word for word in words if word.told]
    told = state.words.union((word.told, layer) for word in wrong)
    return state._replace(words=told, rare=state.rare + sum(word.rare for word in wrong))


def _made(
    words: Sequence[Word],
    ats: Sequence[At],
    shapes: Sequence[tuple[int, ...]],
    told_already: Iterable[tuple[str, int]],
) -> list[tuple[Word, list[Real]]]:
    """What these words make in each case, each once: that which was told of another layer, or is
    likelier.

    Without those of another shape, which nobody can have meant; a single number or a single unit's
    stands for all units.
    """
    found: list[tuple[Word, list[Real]]] = []
    known = {told for told, _ in told_already}
    for word in sorted(
        words, key=lambda word: (word.told not in known, word.rare) if word.told else (False, -1)
    ):
        try:
            made = [word.make(at) for at in ats]
            made = [
                np.broadcast_to(values, shape) for values, shape in zip(made, shapes, strict=True)
            ]
        except ValueError:
            continue
        other_name = (
            word.rare == 1 and ats[0].layer > 1
        )  # a layer's second name may be what fits the layers below, too
        if other_name or not any(all(map(np.array_equal, made, other)) for _, other in found):
            found.append((word, made))
    return found


def _relation(given: Given, i: int, ats: Sequence[At], word: Word) -> _Relation | None:
    """One number by which all values differ from what this word makes, as they stand or turned."""
    arrays, noise = (
        [arrays[i] for arrays, _ in zip(given.arrays, ats, strict=False)],
        given.noise[i],
    )
    if all(np.abs(g).max() <= noise for g in arrays):
        return _Relation(0.0)
    made = [word.make(at) for at in ats]
    if factor := _factor_of(arrays, made, noise):
        return _Relation(factor)
    sizes, others = (
        [np.sort(np.abs(values), axis=None) for values in each] for each in (arrays, made)
    )
    if made[0].ndim < 2 or not _factor_of(sizes, others, noise):
        return None
    for how, turn in _TURNS:
        turned = [turn(values) for values in made]
        if factor := _factor_of(arrays, turned, noise) or _factor_of(
            [g.T for g in arrays], turned, noise
        ):
            return _Relation(factor, how)
    return None


_TURNS: list[tuple[str, Callable[[Real], Real]]] = [
    ("transposed", lambda w: w.T),
    ("reshaped, not transposed", lambda w: w.T.reshape(w.shape)),
    ("reshaped, not transposed", lambda w: w.reshape(w.T.shape).T),
]
"""What people do with an array whose shape does not fit."""


def _factor_of(given: Sequence[Real], made: Sequence[Real], noise: float) -> float:
    """By which all differ, 0 where there is no such number."""
    if given[0].shape != made[0].shape:
        return 0.0
    size = sum(float(np.vdot(w, w)) for w in made)
    factor = (
        sum(float(np.vdot(g, w)) for g, w in zip(given, made, strict=True)) / size if size else 0.0
    )
    limit = TOLERANCE * abs(factor) * max(float(np.abs(w).max()) for w in made) + noise
    return (
        factor
        if all(np.abs(g - factor * w).max() <= limit for g, w in zip(given, made, strict=True))
        else 0.0
    )


def _told(state: _State, given: Given, asked: Setting) -> Iterator[Explanation]:
    """A whole explanation in words, once for each factor that may be the common one: that of the
    output's weights first.
    """
    names, relations = asked.names, state.relations
    last_weights = max(i for i, name in enumerate(names) if name[0] == "W")
    order = [last_weights, *(i for i in range(len(names)) if i != last_weights)]
    tried: list[float] = []
    for common in (relations[i].factor for i in order if relations[i].factor):
        if any(_same(common, other) for other in tried):
            continue
        tried.append(common)
        told = _slips_told(state.words, len(asked.cases[0].layers))
        if given.rate is not None and not _same(abs(common), 1.0):
            other = (
                f" or the rate is {given.rate * abs(common):.4g}, not {given.rate:.4g}"
                if given.steps
                else ""
            )
            told.append(_factor(abs(common), asked, given.steps, common=True) + other)
        if common < 0:
            told.append(
                "the sign is wrong: it climbs" if given.steps else f"the sign is wrong{_SIGN}"
            )
        for how in dict.fromkeys(relation.turned for relation in relations if relation.turned):
            turned = [
                name
                for name, relation in zip(names, relations, strict=True)
                if relation.turned == how
            ]
            told.append(f"{_gradients(turned)} {how}")
        for factor, group in _groups([relation.factor / common for relation in relations], names):
            told.append(_group(factor, group, asked, given.steps))
        yield Explanation(state.given, (len(told), *state.rank[1:]), ", and ".join(told), common)


_SIGN = " (the error is o − t, not t − o; a gradient is not the change −lr·g)"


def _slips_told(words: Iterable[tuple[str, int]], last: int) -> list[str]:
    """Each mistake once, with all layers where it is made: the forward pass first, then from the
    output down.
    """
    places: dict[str, list[int]] = {}
    for told, layer in sorted(words, key=lambda each: (each[1] > 0, -each[1], each[0])):
        places.setdefault(told, []).append(layer)
    found = []
    for told, layers in places.items():
        said = {"layers": _layers(layers, last)}
        for kind in "Wb":
            names = [f"{kind}{layer - 1}" for layer in reversed(layers)]
            said |= {kind: _gradients(names).rpartition(" ")[0], f"{kind}_are": _gradients(names)}
        found.append(told.format(**said))
    return found


def _layers(layers: Sequence[int], last: int) -> str:
    hidden, output = sorted({*layers} - {last}), ["the output layer"] * (last in layers)
    if len(hidden) == last - 1:
        return _listed([*output, f"the hidden layer{'s' * (last > 2)}"])
    return _listed(
        [*output, f"hidden layer{'s' * (len(hidden) > 1)} {_listed([str(n) for n in hidden])}"]
        if hidden
        else output
    )


def _groups(factors: Sequence[float], names: Sequence[str]) -> list[tuple[float, list[str]]]:
    """Arrays that differ from the rest, by what they differ."""
    groups: list[tuple[float, list[str]]] = []
    for factor, name in zip(factors, names, strict=True):
        if _same(factor, 1.0):
            continue
        for other, group in groups:
            if _same(factor, other):
                group.append(name)
                break
        else:
            groups.append((factor, [name]))
    return groups


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _gradients(names: Sequence[str]) -> str:
    return f"the gradient{'s' * (len(names) > 1)} of {_listed(names)} {_are(names)}"


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 else "is"


def _group(factor: float, names: list[str], asked: Setting, steps: bool) -> str:
    """Some arrays that differ from the rest, in words."""
    if factor == 0:
        if names == [name for name in asked.names if name[0] == "b"]:
            return (
                "the biases are not updated" if steps else "the gradients of the biases are missing"
            )
        if steps:
            return f"{_listed(names)} {_are(names)} not updated"
        return f"{_gradients(names)} missing"
    if _same(factor, -1.0):
        return f"the sign of {_listed(names)} is wrong"
    sign = "the sign is wrong, and " if factor < 0 else ""
    return f"of {_listed(names)}, {sign}{_factor(abs(factor), asked, steps)}"


def _factor(size: float, asked: Setting, steps: bool, common: bool = False) -> str:
    """A factor in words: all that it may come from."""
    rows, outputs = asked.rows, asked.outputs
    known = [(0.5, "they are half of what they should be")]
    counts = [(rows, "rows"), (outputs, "outputs"), (rows * outputs, "rows and outputs")]
    means = [each for each in counts[: 3 if min(rows, outputs) > 1 else 2] if each[0] > 1]
    known += [(1 / count, f"they are means over {over}, not sums") for count, over in means]
    if asked.loss == "squared":
        known.append((2.0, "the ½ of ½Σ(o − t)² is missing (they are twice too large)"))
        known += [
            (2 / count, f"they are means over {over}, not sums, and the ½ of ½Σ(o − t)² is missing")
            for count, over in means
        ]
    if told := [text for value, text in known if _same(size, value)]:
        return " or ".join(told)
    rate = " (gradients have no rate in them: it belongs to the step)" * (
        common and not steps and size < 1
    )
    return f"{'the steps' if steps else 'they'} are {size:.4g} times what they should be{rate}"
