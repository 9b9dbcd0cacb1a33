"""Which usual mistakes give just the gradients that somebody's function gave."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from fastbp.inquiry.textbook import Case, Loss, Real, Slips, gradient, slips

TOLERANCE = 1e-4
"""Largest difference of an array, as a share of its largest gradient, that counts as none: float32 keeps seven digits."""

SAME = 1e-3
"""Two factors that differ by less are one."""

MOST_SLIPS = 3
"""Slips at once that are looked for: what takes more is told better by nobody."""

MOST_TOLD = 3
"""Explanations of the same gradients that are told."""


class Given(NamedTuple):
    """What a function gave: of each case an array for each name, weights as [out, in].

    An array of weights that has the shape of its transpose is kept so. Where `rate` is None, steps are kept in place of
    gradients: a rate that nobody told cannot be taken out. `noise`: what rounding alone may have done to each array.
    `changed`: of each case the weights after the step, of functions that make steps.
    """

    arrays: list[list[Real]]
    noise: list[float]
    steps: bool = False
    rate: float | None = 1.0
    changed: list[list[Real]] | None = None


class Explanation(NamedTuple):
    """Mistakes that give these gradients: which ones, how many, in words, and the number by which the rest differs from ours."""

    given: int
    cost: int
    told: str
    factor: float


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
    turned: bool
    factor: float


def explained(every: Sequence[Given], asked: Setting) -> list[Explanation]:
    """The explanations with the fewest mistakes of what a function may have given, none where there is none.

    Several that cannot be told apart are all there.
    """
    places = [i for i, given in enumerate(every) if _any(given)]
    hidden, best = len(asked.cases[0].layers) - 1, list[Explanation]()
    for each in slips(asked.loss, asked.bias, any(every[i].steps for i in places), hidden, MOST_SLIPS):
        if best and each.wrong > best[0].cost:
            break
        known: dict[int, list[Real] | None] = {}  # the same for all, but for what the function itself has changed
        for i in places:
            given = every[i]
            if each.back == "changed":
                if not given.steps:
                    continue
                known = {}
            relations = _relations(given, asked, each, known)
            if relations is None:
                continue
            found = min(_told(i, given, asked, each, relations), key=lambda explanation: explanation.cost)
            if not best or found.cost <= best[0].cost:
                best = [*(other for other in best if other.cost == found.cost), found]
    return list({explanation.told: explanation for explanation in reversed(best)}.values())[::-1][:MOST_TOLD]


def _any(given: Given) -> bool:
    return any(np.abs(a).max() > noise for arrays in given.arrays for a, noise in zip(arrays, given.noise, strict=True))


def _relations(given: Given, asked: Setting, each: Slips, known: dict[int, list[Real] | None]) -> list[_Relation] | None:
    """How each array stands to that of a textbook with these slips; None where one stands in no simple relation."""
    wrong: list[list[Real]] = []
    for i, case in enumerate(asked.cases):
        if i not in known:
            try:
                layers = gradient(case, asked.loss, each, given.changed[i] if given.changed else ())
                known[i] = [values for pair in layers for values in pair[: 1 + asked.bias]]
            except ValueError:
                known[i] = None  # shapes that do not fit: nobody can have made that mistake
        one = known[i]
        if one is None:
            return None
        wrong.append(one)
        if i == 0 and any(relation is None for relation in _all_relations(given, wrong)):
            return None  # most are out after the first case
    found = [relation for relation in _all_relations(given, wrong) if relation is not None]
    return found if len(found) == len(asked.names) else None


def _all_relations(given: Given, wrong: Sequence[list[Real]]) -> Iterator[_Relation | None]:
    for i, noise in enumerate(given.noise):
        yield _relation([g[i] for g, _ in zip(given.arrays, wrong, strict=False)], [w[i] for w in wrong], noise)


def _relation(given: Sequence[Real], wrong: Sequence[Real], noise: float) -> _Relation | None:
    """One number by which all values differ, as they stand or transposed."""
    if all(np.abs(g).max() <= noise for g in given):
        return _Relation(False, 0.0)
    for turned in (False, True):
        arrays = [g.T if turned else g for g in given]
        if any(g.shape != w.shape for g, w in zip(arrays, wrong, strict=True)):
            continue
        size = sum(float((w * w).sum()) for w in wrong)
        factor = sum(float((g * w).sum()) for g, w in zip(arrays, wrong, strict=True)) / size if size else 0.0
        limit = TOLERANCE * abs(factor) * max(np.abs(w).max() for w in wrong) + noise
        if factor and all(np.abs(g - factor * w).max() <= limit for g, w in zip(arrays, wrong, strict=True)):
            return _Relation(turned, factor)
    return None


def _told(place: int, given: Given, asked: Setting, each: Slips, relations: Sequence[_Relation]) -> Iterator[Explanation]:
    """These slips in words, once for each factor that may be the common one: that of the output's weights first."""
    names = asked.names
    last_weights = max(i for i, name in enumerate(names) if name[0] == "W")
    order = [last_weights, *(i for i in range(len(names)) if i != last_weights)]
    tried: list[float] = []
    for common in (relations[i].factor for i in order if relations[i].factor):
        if any(_same(common, other) for other in tried):
            continue
        tried.append(common)
        told = list(each.told)
        if given.rate is not None and not _same(abs(common), 1.0):
            other = f" or the rate is {given.rate * abs(common):.4g}, not {given.rate:.4g}" if given.steps else ""
            told.append(_factor(abs(common), asked, given.steps) + other)
        if common < 0:
            told.append("the sign is wrong: it climbs" if given.steps else "the sign is wrong")
        if turned := [name for name, relation in zip(names, relations, strict=True) if relation.turned]:
            told.append(f"{_gradients(turned)} transposed")
        for factor, group in _groups([relation.factor / common for relation in relations], names):
            told.append(_group(factor, group, asked, given.steps))
        yield Explanation(place, len(told), ", and ".join(told), common)


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
    return f"the gradient{'s' * (len(names) > 1)} of {_listed(names)} {'are' if len(names) > 1 else 'is'}"


def _group(factor: float, names: list[str], asked: Setting, steps: bool) -> str:
    """Some arrays that differ from the rest, in words."""
    if factor == 0:
        if names == [name for name in asked.names if name[0] == "b"]:
            return "the biases are not updated" if steps else "the gradients of the biases are missing"
        if steps:
            return f"{_listed(names)} {'are' if len(names) > 1 else 'is'} not updated"
        return f"{_gradients(names)} missing"
    if _same(factor, -1.0):
        return f"the sign of {_listed(names)} is wrong"
    sign = "the sign is wrong, and " if factor < 0 else ""
    return f"of {_listed(names)}, {sign}{_factor(abs(factor), asked, steps)}"


def _factor(size: float, asked: Setting, steps: bool) -> str:
    """A factor in words: all that it may come from."""
    rows, outputs = asked.rows, asked.outputs
    known = [(0.5, "they are half of what they should be")]
    counts = [(rows, "rows"), (outputs, "outputs"), (rows * outputs, "rows and outputs")]
    means = [each for each in counts[: 3 if min(rows, outputs) > 1 else 2] if each[0] > 1]
    known += [(1 / count, f"they are means over {over}, not sums") for count, over in means]
    if asked.loss == "squared":
        known.append((2.0, "the ½ of ½Σ(o − t)² is missing (they are twice too large)"))
        known += [
            (2 / count, f"they are means over {over}, not sums, and the ½ of ½Σ(o − t)² is missing") for count, over in means
        ]
    told = [text for value, text in known if _same(size, value)]
    return " or ".join(told) or f"{'the steps' if steps else 'they'} are {size:.4g} times what they should be"
