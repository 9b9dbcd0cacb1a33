"""Find the usual mistakes that give exactly the gradients that a function returned."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product, takewhile
from typing import NamedTuple, Self

import numpy as np

from fastbp.gradcheck.folded_biases import folded
from fastbp.gradcheck.mistakes import (
    MAX_MISTAKES,
    LayerState,
    Variant,
    biases,
    forward_variants,
    inputs,
    other_units,
    passed,
    slopes,
    sources,
    ways_back,
)
from fastbp.gradcheck.reading import TOLERANCE, CheckTask, Reading, errors_of
from fastbp.gradcheck.reference import Kinds, Real, Terms, gradient
from fastbp.schema.text import and_, grouped

SAME = 1e-3
"""Factors that differ by less than this share count as equal."""


class LikelyMistakes(NamedTuple):
    """Mistakes that give the gradients of a reading.

    `rank`: the number of mistakes, how rare they are, and the number of places; the smallest rank
    is the likeliest. `text`: the mistakes in words. `factor`: what most arrays are multiplied by,
    besides these mistakes. `kinds`: the units of the network in which they are made.
    """

    reading: Reading
    rank: tuple[int, int, int]
    text: str
    factor: float
    kinds: Kinds


class _Match(NamedTuple):
    """How the array of a reading follows from that of a variant.

    `factor`: what it is multiplied by. `turned`: "", or the name of one of `_TURNS`.
    """

    factor: float
    turned: str = ""


class _Path(NamedTuple):
    """An explanation of the layers from the output down to the one above `states[0].layer`.

    `states`: for each example, what is known where the next layer begins. `mistakes`: texts, each
    with its layer, or 0 for the forward pass. `rare`: the sum of `Variant.rare`. `matches`: how
    each array explained so far matches.
    """

    states: list[LayerState]
    mistakes: frozenset[tuple[str, int]]
    rare: int
    matches: dict[str, _Match]

    @property
    def rank(self) -> tuple[int, int, int]:
        """How many mistakes there are, how rare, and in how many places: the smallest is best."""
        return len({text for text, _ in self.mistakes}), self.rare, len(self.mistakes)

    def plus(self, variants: Sequence[Variant]) -> Self:
        """A copy of the path to which these variants at the layer `states[0].layer` are added."""
        wrong = [variant for variant in variants if variant.text]
        return self._replace(
            mistakes=self.mistakes.union((each.text, self.states[0].layer) for each in wrong),
            rare=self.rare + sum(each.rare for each in wrong),
        )


def fitting_units(readings: Sequence[Reading], task: CheckTask) -> Terms | None:
    """Find the terms with other units for which a reading is right; None if there are none."""
    for terms in filter(None, map(task.terms.of, other_units(task.terms))):
        with np.errstate(all="ignore"):
            examples = [each._replace(kinds=terms.kinds) for each in task.examples]
            ours = [gradient(each, terms, [W for W, _ in each.layers]) for each in examples]
            errors = (errors_of(each, task._replace(ours=ours))[0] for each in readings)
            if any(max(each.values()) <= TOLERANCE for each in errors):
                return terms
    return None


def explained(readings: Sequence[Reading], task: CheckTask) -> list[LikelyMistakes]:
    """Find the smallest sets of mistakes that give exactly the gradients of a reading.

    The search goes from the output down, as backpropagation does: it keeps what explains the arrays
    of a layer, and goes on with the layer below.

    Returns
    -------
    list of LikelyMistakes
        Up to three sets of the same rank, which give equal numbers; empty if nothing fits.
    """
    likely: list[LikelyMistakes] = []
    with np.errstate(all="ignore"):
        for most in range(1, MAX_MISTAKES + 1):
            # Without a text all gradients are right, but for a little more than the tolerance.
            likely = [
                each
                for reading in readings
                for each in _explanations(reading, task, most)
                if each.text
            ]
            if any(each.rank[0] <= most for each in likely):
                break  # more mistakes would rank behind
    best = min((each.rank for each in likely), default=None)
    first = {each.text: each for each in reversed(likely) if each.rank == best}
    return list(first.values())[::-1][:3]


def _explanations(reading: Reading, task: CheckTask, most: int) -> list[LikelyMistakes]:
    """List explanations of a reading with up to `most` mistakes, factors not counted."""
    if all(
        np.abs(values).max() <= reading.noise[name]
        for arrays in reading.arrays
        for name, values in arrays.items()
    ):
        return []
    changed = reading.changed or [[]] * len(reading.arrays)
    paths = [
        _Path(
            [passed(forward.instead(e), c) for e, c in zip(task.examples, changed, strict=True)],
            frozenset((text, 0) for text in forward.texts),
            0,
            {},
        )
        for forward in forward_variants(task)
        if len(forward.texts) <= most <= len(forward.texts) + forward.most
    ]
    for _ in task.examples[0].layers:
        paths = [lower for path in paths for lower in _lower(path, reading, task, most)]
    return [min(_worded(path, reading, task), key=lambda each: each.rank[0]) for path in paths]


def _lower(path: _Path, reading: Reading, task: CheckTask, most: int) -> Iterator[_Path]:
    """Generate the continuations of a path that also explain W and b of the next layer."""
    layer, last = path.states[0].layer, len(task.examples[0].layers)
    W, b = f"W{layer - 1}", f"b{layer - 1}"
    more = folded(reading.convention.joined, layer, last)
    ways = {W: inputs(layer, last) + more.get("inputs", [])}
    if task.terms.bias:
        ways[b] = biases(layer) + more.get("biases", [])
    for variants, states in _deltas(path, reading, task, most):
        every = (_matching(each, reading, name, states) for name, each in ways.items())
        matching = [*takewhile(bool, every)]
        if len(matching) < len(ways):
            continue  # nothing explains one of the arrays
        for found in product(*matching):
            longer = path.plus([*variants, *(variant for variant, _ in found)])
            matches = dict(zip(ways, (match for _, match in found), strict=True))
            # Arrays that are all 0 say nothing about deltas.
            says = any(match.factor for match in matches.values())
            if longer.rank[0] <= most and (says or not any(each.text for each in variants)):
                below = [at._replace(layer=layer - 1, above=at.delta) for at in states]
                yield longer._replace(states=below, matches={**matches, **path.matches})


def _matching(
    variants: Sequence[Variant], reading: Reading, name: str, states: Sequence[LayerState]
) -> list[tuple[Variant, _Match]]:
    """List the variants that give the array `name` of a reading, and how they match."""
    # The first example alone refutes most.
    near = [variant for variant in variants if _match(reading, name, states[:1], variant)]
    matches = [(variant, _match(reading, name, states, variant)) for variant in near]
    return [(each, match) for each, match in matches if match and (match.factor or not each.text)]


def _deltas(
    path: _Path, reading: Reading, task: CheckTask, most: int
) -> Iterator[tuple[tuple[Variant, ...], list[LayerState]]]:
    """Generate every way to compute the next layer's deltas: variants, and the states after."""
    states = path.states
    layer, last = states[0].layer, len(task.examples[0].layers)
    shapes = [at.activations[layer].shape for at in states]
    above_shapes = [at.activations[min(layer + 1, last)].shape for at in states]
    more, loss = folded(reading.convention.joined, layer, last), task.terms.loss
    every_slope = _made(
        slopes(layer, last, loss) + more.get("slopes", []), states, shapes, path, most
    )
    ways = ways_back(layer, last, reading.steps) + more.get("ways_back", [])
    for source, above in _made(sources(layer, last, loss), states, above_shapes, path, most):
        fed = [at._replace(above=a) for at, a in zip(states, above, strict=True)]
        for way, carried in _made(ways, fed, shapes, path, most, source):
            for slope, factors in every_slope:
                if path.plus([source, way, slope]).rank[0] <= most:
                    yield (
                        (source, way, slope),
                        [
                            at._replace(carried=c, slope=s, delta=c * s)
                            for at, c, s in zip(fed, carried, factors, strict=True)
                        ],
                    )


def _made(
    variants: Sequence[Variant],
    states: Sequence[LayerState],
    shapes: Sequence[tuple[int, ...]],
    path: _Path,
    most: int,
    *before: Variant,
) -> list[tuple[Variant, list[Real]]]:
    """Compute each variant in each example, and keep one of the variants that give the same.

    The kept one is the likeliest. A variant is left out if the path, with it and the variants
    `before`, makes more than `most` mistakes, or if its result has another shape, since nobody can
    have meant that; a single number, or one unit's, stands for all units.
    """
    distinct: list[tuple[Variant, list[Real]]] = []
    known = {"", *(text for text, _ in path.mistakes)}
    for variant in sorted(variants, key=lambda v: (v.text not in known, v.rare if v.text else -1)):
        if path.plus([*before, variant]).rank[0] > most:
            continue
        try:
            made = [
                np.broadcast_to(variant.make(at), shape)
                for at, shape in zip(states, shapes, strict=True)
            ]
        except ValueError:
            continue
        # A layer's second name may be the one that fits the layers below, too.
        second_name = variant.rare == 1 and states[0].layer > 1
        if second_name or not any(all(map(np.array_equal, made, other)) for _, other in distinct):
            distinct.append((variant, made))
    return distinct


_TURNS: list[tuple[str, Callable[[Real], Real]]] = [
    ("", lambda w: w),
    ("transposed", lambda w: w.T),
    ("reshaped, not transposed", lambda w: w.T.reshape(w.shape)),
    ("reshaped, not transposed", lambda w: w.reshape(w.T.shape).T),
]
"""What people do to a matrix, first nothing, in words and as a function."""


def _match(
    reading: Reading, name: str, states: Sequence[LayerState], variant: Variant
) -> _Match | None:
    """How the arrays of a reading follow from a variant's; None if they do not."""
    noise = reading.noise[name]
    arrays = [each[name] for each, _ in zip(reading.arrays, states, strict=False)]
    if all(np.abs(values).max() <= noise for values in arrays):
        return _Match(0.0)
    made = [variant.make(at) for at in states]
    in_order = [[np.sort(np.abs(v), axis=None) for v in each] for each in (arrays, made)]
    if not _factor(in_order[0], in_order[1], noise):
        return None
    for how, turn in _TURNS[: 1 if made[0].ndim < 2 else None]:
        turned = [turn(values) for values in made]
        # A gradient with the shape of the transpose keeps it.
        for given in (arrays, [values.T for values in arrays])[: 2 if how else 1]:
            if factor := _factor(given, turned, noise):
                return _Match(factor, how)
    return None


def _factor(arrays: Sequence[Real], made: Sequence[Real], noise: float) -> float:
    """Find the factor for which arrays = factor · made in all examples; 0 if there is none."""
    size = sum(float(np.vdot(w, w)) for w in made)
    if arrays[0].shape != made[0].shape or not 0 < size < np.inf:
        return 0.0
    factor = sum(float(np.vdot(g, w)) for g, w in zip(arrays, made, strict=True)) / size
    limit = TOLERANCE * abs(factor) * max(float(np.abs(w).max()) for w in made) + noise
    far = (np.abs(g - factor * w).max() > limit for g, w in zip(arrays, made, strict=True))
    return 0.0 if any(far) else factor


# Explanations in words

_CLIMBS = ": it climbs"
_NEGATED = " (the error is o − t, not t − o; a gradient is not the change −lr·g)"


def _worded(path: _Path, reading: Reading, task: CheckTask) -> Iterator[LikelyMistakes]:
    """Put a complete path into words, once for each factor that most arrays may have."""
    names, last = list(task.ours[0]), len(task.examples[0].layers)
    groups: dict[float, list[str]] = {}
    for name in names:
        factor = path.matches[name].factor / task.terms.share
        known = next((other for other in groups if _same(factor, other)), factor)
        groups.setdefault(known, []).append(name)
    for common in sorted(filter(None, groups), key=lambda f: f"W{last - 1}" not in groups[f]):
        texts = _mistake_texts(path.mistakes, last)
        if reading.rate is not None and not _same(abs(common), 1.0):
            rates = f" or the rate is {reading.rate * abs(common):.4g}, not {reading.rate:.4g}"
            texts.append(
                _factor_text(abs(common), task, reading.steps, common=True) + rates * reading.steps
            )
        if common < 0:
            texts.append(f"the sign is wrong{_CLIMBS if reading.steps else _NEGATED}")
        for how in sorted({match.turned for match in path.matches.values()} - {""}):
            texts.append(
                f"{_gradients([name for name in names if path.matches[name].turned == how])} {how}"
            )
        texts += [
            _group_text(factor / common, group, task, reading.steps)
            for factor, group in groups.items()
            if factor != common
        ]
        rank, kinds = (len(texts), *path.rank[1:]), path.states[0].example.kinds
        yield LikelyMistakes(reading, rank, ", and ".join(texts), common, kinds)


def _mistake_texts(mistakes: frozenset[tuple[str, int]], last: int) -> list[str]:
    """Say each mistake once, with its layers: the forward pass first, then from the output down."""
    ordered, texts = sorted(mistakes, key=lambda each: (each[1] > 0, -each[1], each[0])), []
    places = grouped((layer for _, layer in ordered), (text for text, _ in ordered))
    for text, layers in places.items():
        values = {"layers": _layers(layers, last)}
        for kind in "Wb":
            gradients = _gradients([f"{kind}{layer - 1}" for layer in reversed(layers)])
            values |= {kind: gradients.rpartition(" ")[0], f"{kind}_are": gradients}
        texts.append(text.format(**values))
    return texts


def _layers(layers: Sequence[int], last: int) -> str:
    names = ["the output layer"] * (last in layers)
    if hidden := [str(layer) for layer in sorted({*layers} - {last})]:
        noun = f"hidden layer{'s' * (len(hidden) > 1)}"
        names.append(f"the {noun}" if len(hidden) == last - 1 else f"{noun} {and_(hidden)}")
    return and_(names)


def _same(a: float, b: float) -> bool:
    return abs(a - b) <= SAME * abs(b)


def _gradients(names: Sequence[str]) -> str:
    several = len(names) > 1
    return f"the gradient{'s' * several} of {and_(names)} {'are' if several else 'is'}"


def _group_text(factor: float, names: list[str], task: CheckTask, steps: bool) -> str:
    """Say what is wrong with arrays that have another factor than the rest."""
    listed = and_(names)
    if factor == 0:
        all_biases = names == [name for name in task.ours[0] if name[0] == "b"]
        missing = _gradients(names) + " missing"
        if steps:
            missing = f"{listed} {'are' if len(names) > 1 else 'is'} not updated"
        return missing.replace(listed, "the biases") if all_biases else missing
    if _same(factor, -1.0):
        return f"the sign of {listed} is wrong"
    sign = "the sign is wrong, and " * (factor < 0)
    return f"for {listed}, {sign}{_factor_text(abs(factor), task, steps)}"


def _factor_text(size: float, task: CheckTask, steps: bool, common: bool = False) -> str:
    """Say what a factor on the gradients may come from, such as a mean in place of a sum."""
    rows, outputs = task.terms.rows, task.examples[0].T.shape[1]
    both = rows * outputs if min(rows, outputs) > 1 else 1
    counts = {"rows": rows, "outputs": outputs, "rows and outputs": both}
    means = {f"they are means over {what}, not sums": 1 / n for what, n in counts.items() if n > 1}
    if task.terms.mean:
        means = {"they are sums over rows, not means": float(rows)}
    texts = {"they are half of what they should be": 0.5, **means}
    if task.terms.loss == "squared":
        half = "the ½ of ½Σ(o − t)² is missing"
        texts[f"{half} (they are twice too large)"] = 2.0
        texts |= {f"{text}, and {half}": 2 * mean for text, mean in means.items()}
    if known := [text for text, value in texts.items() if _same(size, value)]:
        return " or ".join(known)
    hint = " (gradients have no rate in them: it belongs to the step)"
    return (
        f"{'the steps' if steps else 'they'} are {size:.4g} times what they should be"
        f"{hint * (common and not steps and size < 1)}"
    )
