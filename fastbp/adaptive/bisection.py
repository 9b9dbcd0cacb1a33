"""Sweeps that go on by what they have found: with more seeds until intervals are narrow, or with
other values of a key until it is known where half of the seeds converge.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise, product
from typing import TYPE_CHECKING, Any, NamedTuple

from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import keys_of
from fastbp.config.setup import ALTERNATIVE, Setup
from fastbp.config.sweep import Sweep
from fastbp.engine.driver import Trained
from fastbp.reporting import phrases
from fastbp.schema.errors import SweepError
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.schema.text import nearest, shown
from fastbp.store.store import Store

if TYPE_CHECKING:
    import pandas as pd
from fastbp.adaptive.until_width import Counter, Train, together

# Where half of the seeds converge


class Axis(NamedTuple):
    """A key along which values are tried.

    `low` and `high`: the ends of what is tried. `first`: the first value above 0 where the key is
    0. `whole`: whole numbers, of which more make more runs converge. `mirrored`: steps change 1 −
    value rather than the value.
    """

    key: str
    low: float
    high: float
    first: float = 0.0
    whole: bool = False
    mirrored: bool = False

    def stepped(self, value: float, steps: int) -> float:
        """So many doublings from a value, within the ends."""
        far = 1 - (1 - value) * 2.0**-steps if self.mirrored else value * 2.0**steps
        far = round(far) if self.whole else float(f"{far:.4g}")
        return min(max(far, self.low), self.high)

    def distance(self, a: float, b: float) -> float:
        """How far apart two values are, a ≤ b: the logarithm of their ratio; 1 from 0, but for what
        is next to it.
        """
        if self.mirrored:
            return math.log((1 - a) / (1 - b))
        return math.log(b / a) if a > 0 else float(b > self.first * 4.0**-DOUBLINGS)

    def at(self, a: float, b: float, part: float) -> float:
        """The value at so much of the way from a to b."""
        if self.mirrored:
            return float(1 - (1 - a) ** (1 - part) * (1 - b) ** part)
        return float(a ** (1 - part) * b**part if a > 0 else b * part)

    def middle(self, a: float, b: float) -> float | None:
        """A value near the middle of two with few digits. None where there is none between them."""
        if self.whole:
            middle: float = min(max(round(self.at(a, b, 0.5)), int(a) + 1), int(b) - 1)
        else:
            middle = shortest(self.at(a, b, 0.4), self.at(a, b, 0.5), self.at(a, b, 0.6))
        return middle if a < middle < b else None


AXES: dict[str, Axis] = {
    axis.key: axis
    for axis in (
        Axis("lr", 1e-6, 1e6),
        Axis("init_scale", 1e-6, 1e6),
        Axis("momentum", 0.0, 0.9999, first=0.5, mirrored=True),
        Axis("weight_decay", 0.0, 1e6, first=1e-4),
        Axis("prime_offset", 0.0, 1e6, first=0.1),
        Axis("target_margin", 0.0, 0.49, first=0.1),
        Axis("tolerance", 1e-6, 0.5),
        Axis("updates", 1, 1e12, whole=True),
        Axis("epochs", 1, 2.0**32 - 1, whole=True),
    )
}
"""The numeric keys. Not `hidden` and `batch`, which have other values too, nor `eval_every` and
`collapse`, with which no run changes its end."""

DOUBLINGS, DOUBLINGS_OF_A_BUDGET = 10, 6
"""How far a bracket is looked for: the last doubling of a budget takes as long as all before it."""

FINE = 0.1
"""An end of an interval is known well enough where the values on its two sides are this share of
the interval apart."""

FINEST = 1e-4
"""Values closer than this ratio are not told apart: where the share leaps, that is where."""

INSIDE, AROUND = 2, 3
"""How often a given range without a crossing is halved to look for two in it; then, wherever values
are from, how often values are tried on both sides of the one that comes nearest to the other side
of one half: a peak may lie between doublings."""


def shortest(low: float, middle: float, high: float) -> float:
    """The number of the fewest digits near the middle that is between the ends."""
    for digits in range(17):
        number = float(f"{middle:.{digits}e}")
        if low <= number <= high:
            return number
    return middle


def read_key(text: str) -> Axis:
    """The axis of a key that can be bisected. Raises SweepError."""
    if text not in AXES:
        raise SweepError(
            [f"--bisect: given {shown(text)}, allowed: {', '.join(AXES)}{nearest(text, AXES)}"]
        )
    return AXES[text]


class Crossing(NamedTuple):
    """The value at which half of the seeds converge, and the interval of the values of which that
    cannot be excluded.

    `rising`: whether more converge above it. `crossings`: how many were seen; this is the nearest
    to the baseline's value.
    """

    value: float
    low: float
    high: float
    rising: bool
    crossings: int


class Bisection:
    """Finds where a share that depends on a value passes one half, from how many of the same seeds
    converge at values tried.

    The interval inverts the test that the share at a value is one half: it has the values whose
    Wilson 95% interval contains one half, and reaches out to the next values tried, whose does not.
    So it holds the true value with the confidence of Wilson's interval there, whatever form the
    curve has and though all values share their seeds; where several crossings are close, it spans
    those that cannot be told apart. (Inverting a test: E. L. Lehmann and J. P. Romano (2005),
    Testing Statistical Hypotheses, section 3.5.)

    Parameters: `seeds`, of each value; `start`, the baseline's value; `given`, values between which
    to look, two or more, or none: then values are doubled and halved from the start, until one half
    lies between two of them; `allowed`, whether a value may be tried. Ask `wanted`, put counts into
    `known`, and so on until nothing is wanted.
    """

    def __init__(
        self,
        axis: Axis,
        seeds: int,
        start: float,
        given: Sequence[float] = (),
        allowed: Callable[[float], bool] = lambda v: True,
    ) -> None:
        self.axis, self.seeds, self.start, self.given = axis, seeds, start, sorted(set(given))
        self.known: dict[float, int] = {}
        self._allowed = allowed
        self._steps = self._halved = self._rounds = 0
        self._ends: set[int] = set()
        self._sides: dict[int, int] = {}

    def side(self, value: float) -> int:
        """Whether surely more than half converge at a value, 1, surely fewer, −1, or neither."""
        count = self.known[value]
        if count not in self._sides:
            low, high = wilson(count, self.seeds)
            self._sides[count] = int(bool(low > 0.5)) - int(bool(high < 0.5))
        return self._sides[count]

    def wanted(self) -> list[float]:
        """The values to try next; none at the end."""
        if not self.known:
            first = [self.start, self.axis.first] if self.start == 0 else [self.start]
            return self.given or first
        spans = self._spans()
        if not spans:
            return (self._inside() if self.given else self._further()) or self._around()
        span = spans[0]
        width = self.axis.distance(span[0], span[-1])
        edges = {span[:2], span[-2:], self._middle_of(span)}
        coarse = [edge for edge in edges if self.axis.distance(*edge) > max(FINEST, FINE * width)]
        return sorted(value for edge in coarse if (value := self.axis.middle(*edge)) is not None)

    def crossing(self) -> Crossing | None:
        """What was found; None where no two values lie surely on different sides of one half."""
        spans = self._spans()
        if not spans:
            return None
        span = spans[0]
        low, high, rising = span[0], span[-1], self.side(span[0]) < 0
        a, b = self._middle_of(span)
        if self.axis.whole:
            return Crossing(b if rising else a, low, high, rising, len(spans))
        part = (self.seeds / 2 - self.known[a]) / (self.known[b] - self.known[a])
        value, reach = self.axis.at(a, b, part), (high - low) / 40
        return Crossing(
            shortest(value - reach, value, value + reach), low, high, rising, len(spans)
        )

    def _spans(self) -> list[tuple[float, ...]]:
        """Neighbouring values surely on different sides of one half, with those between them of
        which it is not sure, the nearest to the start first.
        """
        values = sorted(self.known)
        sure = [i for i, value in enumerate(values) if self.side(value)]
        spans = [
            tuple(values[i : j + 1])
            for i, j in pairwise(sure)
            if self.side(values[i]) != self.side(values[j])
        ]
        return sorted(spans, key=self._away)

    def _away(self, span: tuple[float, ...]) -> float:
        low, high = span[0], span[-1]
        if low <= self.start <= high:
            return 0.0
        return (
            self.axis.distance(high, self.start)
            if high < self.start
            else self.axis.distance(self.start, low)
        )

    def _middle_of(self, span: tuple[float, ...]) -> tuple[float, float]:
        """The first neighbours in a span with half of the seeds between them."""
        more = [2 * self.known[value] >= self.seeds for value in span]
        i = more.index(more[-1], 1)
        return span[i - 1], span[i]

    def _further(self) -> list[float]:
        """The next values outwards."""
        origin = self.start or self.axis.first
        directions = [1, -1]
        if self.axis.whole and (side := self.side(self.start)):
            directions = [-side]
        while self._steps < (DOUBLINGS_OF_A_BUDGET if self.axis.whole else DOUBLINGS):
            self._steps += 1
            found = []
            for direction in directions:
                value = self.axis.stepped(origin, direction * self._steps)
                outwards = direction * (value - origin) > 0 and value not in self.known
                if direction in self._ends or not outwards or not self._allowed(value):
                    self._ends.add(direction)  # the end of the key, or of what another key allows
                else:
                    found.append(value)
            if found:
                return sorted(found)
        return [self.axis.low] if self.axis.low == 0 and 0 not in self.known else []

    def _inside(self) -> list[float]:
        """Values between those that are known, a few times."""
        if self._halved == INSIDE:
            return []
        self._halved += 1
        return self._between(sorted(self.known))

    def _around(self) -> list[float]:
        """Values beside the most extreme one, a few times."""
        counts = self.known.values()
        if (
            self._rounds == AROUND
            or self.axis.whole
            or max(counts) == 0
            or min(counts) == self.seeds
        ):
            return []
        self._rounds += 1
        values = sorted(self.known)
        extreme = min if any(self.side(value) > 0 for value in values) else max
        i = values.index(extreme(values, key=self.known.__getitem__))
        return self._between(values[max(0, i - 1) : i + 2])

    def _between(self, values: Sequence[float]) -> list[float]:
        middles = (self.axis.middle(a, b) for a, b in pairwise(values))
        return [value for value in middles if value is not None]


class Found(NamedTuple):
    """Where half of the seeds of a setting converge.

    `setting`: the keys of the grid but for the one that is bisected; `columns`, of a setup in it;
    `tried`: how many converged at each value; `crossing`: None where there is none; `start`: the
    baseline's value.
    """

    setting: Mapping[str, Any]
    columns: Mapping[str, Any]
    tried: Mapping[float, int]
    crossing: Crossing | None
    start: float

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        crossing = self.crossing._asdict() if self.crossing else dict.fromkeys(Crossing._fields)
        tried = [{"value": value, "converged": count} for value, count in self.tried.items()]
        return {"setting": dict(self.setting)} | crossing | {"tried": tried}


class Bisected(NamedTuple):
    """What was found of each setting. `sweep`: with all values that were tried. Nothing is `found`
    where blocks failed.
    """

    sweep: Sweep
    trained: Trained
    key: str
    found: list[Found]

    @property
    def complete(self) -> bool:
        """Whether it is known where, or that nowhere, half of the seeds converge."""
        return bool(self.found)

    def lines(self, summary: pd.DataFrame) -> list[str]:
        """What to say of it, a line for each setting; `summary`, of these runs."""
        varying = [
            key for key in keys_of(summary) if key not in (self.key, ALTERNATIVE.get(self.key))
        ]
        return [
            phrases.half(
                self.key,
                phrases.setting(each.columns, varying),
                self.sweep.seeds.count,
                each.tried,
                each.crossing,
                each.start,
            )
            for each in self.found
        ]

    def as_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "bisect": [
                {"key": self.key, "seeds": self.sweep.seeds.count} | each.as_json()
                for each in self.found
            ]
        }


class _Setting(NamedTuple):
    """The other keys of a grid and a setup that has them, with its own values of the key."""

    keys: dict[str, Any]
    setup: Setup
    bisection: Bisection


def bisect(sweep: Sweep, store: Store, axis: Axis, train: Train) -> Bisected:
    """Find the value of a key at which half of a sweep's seeds converge, in each setting of the
    other keys of its grid.

    Where the grid has two or more values of the key, it is looked for between them, else from the
    baseline's value outwards. What is tried is trained into the store, and depends on the runs
    alone: the same again trains nothing. Raises StoreError.
    """
    counter, settings = Counter(store), list(_settings(sweep, axis))
    seeds = sweep.seeds.start, sweep.seeds.count
    parts: list[Trained] = []
    now = sweep
    while wanted := [
        (setting, values) for setting in settings if (values := setting.bisection.wanted())
    ]:
        now = _tried(sweep, axis.key, settings, {id(setting): values for setting, values in wanted})
        parts.append(train(now))
        if parts[-1].failed:
            return Bisected(now, together(parts), axis.key, [])
        for setting, values in wanted:
            ids = [_changed(setting.setup, axis.key, value).identity() for value in values]
            converged = counter(ids, seeds)[:, OUTCOMES.index(Outcome.CONVERGED)]
            setting.bisection.known.update(zip(values, converged.tolist(), strict=True))
    return Bisected(now, together(parts), axis.key, [_found(*setting) for setting in settings])


def _found(keys: Mapping[str, Any], setup: Setup, bisection: Bisection) -> Found:
    return Found(
        keys,
        setup.columns(),
        dict(sorted(bisection.known.items())),
        bisection.crossing(),
        bisection.start,
    )


def _settings(sweep: Sweep, axis: Axis) -> Iterator[_Setting]:
    """Each setting of the other keys, once."""
    seen = set()
    one: dict[str, Any] = {"seeds": 1, "setup": sweep.setup}
    taken = {axis.key, ALTERNATIVE.get(axis.key)}
    for table in sweep.grid or ({},):
        rest = {name: values for name, values in table.items() if name not in taken}
        given = [_plain(axis, value) for value in table.get(axis.key, ())]
        for values in product(*rest.values()):
            keys = dict(zip(rest, values, strict=True))
            crossed = {name: [each[0]] for name, each in table.items()} | {
                name: [value] for name, value in keys.items()
            }
            (setup,) = Sweep.from_dict(one | ({"grid": crossed} if crossed else {})).setups
            others = tuple(value for name, value in setup.columns().items() if name not in taken)
            if others in seen:
                continue
            seen.add(others)
            allowed = partial(_allows, setup, axis.key)
            start = _start(sweep, axis, setup, given)
            yield _Setting(
                keys,
                setup,
                Bisection(
                    axis, sweep.seeds.count, start, given if len(set(given)) > 1 else (), allowed
                ),
            )


def _start(sweep: Sweep, axis: Axis, setup: Setup, given: Sequence[float]) -> float:
    """The baseline's value of the key, or where there is none that of the setup; in the middle of
    several that are given.
    """
    own = sweep.setup.get(axis.key)
    if len(given) > 1:
        return axis.at(min(given), max(given), 0.5) if own is None else _plain(axis, own)
    if axis.whole:
        return setup.budget if axis.key == "updates" else setup.epochs_budget
    return _plain(axis, getattr(setup, axis.key))


def _plain(axis: Axis, value: float) -> float:
    return int(value) if axis.whole else float(value)


def _changed(setup: Setup, key: str, value: float) -> Setup:
    """The setup with another value of a key. Raises SweepError where that is not allowed."""
    return setup.with_columns({"epochs": None, key: value} if key in ALTERNATIVE else {key: value})


def _allows(setup: Setup, key: str, value: float) -> bool:
    try:
        _changed(setup, key, value)
    except SweepError:
        return False
    return True


def _tried(
    sweep: Sweep, key: str, settings: Sequence[_Setting], wanted: Mapping[int, Sequence[float]]
) -> Sweep:
    """The sweep of all values that were tried in each setting, and those that are to be."""
    tables = [
        {name: [value] for name, value in setting.keys.items()}
        | {key: sorted({*setting.bisection.known, *wanted.get(id(setting), ())})}
        for setting in settings
    ]
    kept = {
        "title": sweep.title,
        "seeds": sweep.seeds,
        "setup": sweep.setup,
        "published": sweep.published,
    }
    return Sweep.from_dict(kept | {"grid": tables})
