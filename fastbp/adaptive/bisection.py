"""Find the value of a setup key at which half of the seeds converge, by trying values."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise, product
from typing import Any, NamedTuple

import pandas as pd

from fastbp.adaptive.until_width import Train, count_outcomes
from fastbp.analysis.statistics.proportions import bonferroni, wilson
from fastbp.analysis.summary import keys_of
from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.engine.driver import Trained, add_up
from fastbp.reporting import phrases
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import ALTERNATIVE, MAX_EPOCHS, MAX_REAL, MAX_UPDATES
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.schema.text import nearest, refusal
from fastbp.store.store import Store

DOUBLINGS, BUDGET_DOUBLINGS = 10, 6
"""Doublings and halvings of the start: of most keys, and of a budget, which slows the runs."""

FINE, FINEST = 0.1, 1e-4
"""A bound is precise enough if the next value tried is nearer than this share of the interval, or
if the ratio of the two differs from 1 by less than the second number."""

HALVINGS, PEAK_ROUNDS = 2, 3
"""Rounds that halve a given range, and rounds that try values next to the most extreme share."""


class SearchAxis(NamedTuple):
    """A numeric setup key, and the range from `low` to `high` in which its values are tried.

    `first`: the value that is tried first if the search starts at 0. `integer`: the key is a
    budget; a larger one makes more runs converge. `mirrored`: 1 − value, not the value, is doubled
    and halved.
    """

    key: str
    low: float
    high: float
    first: float = 0.0
    integer: bool = False
    mirrored: bool = False

    def number(self, value: float) -> float:
        """Convert a value to the type of the key."""
        return int(value) if self.integer else float(value)

    def stepped(self, value: float, steps: int) -> float:
        """Double a value `steps` times (if negative: halve it), but stay in the range."""
        far = 1 - (1 - value) * 2.0**-steps if self.mirrored else value * 2.0**steps
        far = round(far) if self.integer else float(f"{far:.4g}")
        return min(max(far, self.low), self.high)

    def distance(self, a: float, b: float) -> float:
        """The logarithm of the ratio of two values, a ≤ b. If a is 0: 1, or 0 if b is tiny."""
        if a == 0 and not self.mirrored:
            return float(b > self.first * 4.0**-DOUBLINGS)
        return math.log(1 - a) - math.log(1 - b) if self.mirrored else math.log(b) - math.log(a)

    def between(self, a: float, b: float, part: float) -> float:
        """The value at this part of the way from a to b: geometric, but linear if a is 0."""
        if self.mirrored:
            return float(1 - (1 - a) ** (1 - part) * (1 - b) ** part)
        return float(a ** (1 - part) * b**part if a > 0 else b * part)

    def middle(self, a: float, b: float) -> float | None:
        """A value with few digits near the middle of two; None if no value lies between them."""
        if self.integer:
            middle: float = min(max(round(self.between(a, b, 0.5)), int(a) + 1), int(b) - 1)
        else:
            middle = shortest(*(self.between(a, b, part) for part in (0.4, 0.5, 0.6)))
        return middle if a < middle < b else None


AXES: dict[str, SearchAxis] = {
    axis.key: axis
    for axis in (
        SearchAxis("lr", 1e-6, MAX_REAL, first=0.1),
        SearchAxis("init_scale", 1e-6, MAX_REAL),
        SearchAxis("momentum", 0.0, 0.9999, first=0.5, mirrored=True),
        SearchAxis("weight_decay", 0.0, MAX_REAL, first=1e-4),
        SearchAxis("prime_offset", 0.0, MAX_REAL, first=0.1),
        SearchAxis("target_margin", 0.0, 0.49, first=0.1),
        SearchAxis("tolerance", 1e-6, 0.5),
        SearchAxis("updates", 1, MAX_UPDATES, integer=True),
        SearchAxis("epochs", 1, MAX_EPOCHS, integer=True),
    )
}
"""The keys that can be bisected: all numeric ones except `hidden` and `batch`, which also have
values that are no numbers, and `eval_every` and `collapse`, which do not change how a run ends."""


def shortest(low: float, middle: float, high: float) -> float:
    """Round `middle` to the fewest digits with which it stays between `low` and `high`."""
    numbers = (float(f"{middle:.{digits}e}") for digits in range(17))
    return next((number for number in numbers if low <= number <= high), middle)


def read_key(text: str) -> SearchAxis:
    """Look up a key that can be bisected, by its name. Raises SweepError if there is none."""
    if text not in AXES:
        raise SweepError([f"--bisect: {refusal(text, ', '.join(AXES) + nearest(text, AXES))}"])
    return AXES[text]


class HalfwayPoint(NamedTuple):
    """The value at which half of the seeds converge, with its 95% confidence interval.

    `rising`: whether more converge above it. `crossings`: how many such values were found; this one
    is nearest to the start.
    """

    value: float
    low: float
    high: float
    rising: bool
    crossings: int


class Bisection:
    """Searches for the value of a key at which half of the seeds converge.

    Train the values `wanted`, write into `converged` how many seeds converge, until none is wanted.

    Parameters
    ----------
    axis : SearchAxis
    seeds : int
        The number of seeds that are trained at each value.
    start : float
        The value with which the search starts.
    given : sequence of float
        Values to search between; with fewer than two, the start is doubled and halved.
    allowed : callable
        Whether a value may be tried.

    Notes
    -----
    The interval inverts the test that the share at a value is one half (E. L. Lehmann and J. P.
    Romano (2005), Testing Statistical Hypotheses, section 3.5): from its ends on, Wilson's 95%
    interval excludes one half, for any curve; crossings too close to be separated lie in one. There
    is one only if values lie on either side by intervals that hold at once (Bonferroni).
    """

    def __init__(
        self,
        axis: SearchAxis,
        seeds: int,
        start: float,
        given: Sequence[float] = (),
        allowed: Callable[[float], bool] = lambda value: True,
    ) -> None:
        self.axis, self.seeds, self.start = axis, seeds, start
        self.given = sorted(set(given)) if len(set(given)) > 1 else []
        self.converged: dict[float, int] = {}
        self._allowed, self._exploration = allowed, self._explore()

    def side(self, value: float, level: float = 0.95) -> int:
        """Return 1 if more than half converge at a value, −1 if fewer, 0 if that is uncertain."""
        low, high = wilson(self.converged[value], self.seeds, level)
        return int(low > 0.5) - int(high < 0.5)

    def wanted(self) -> list[float]:
        """The values to try next; none if the search is finished."""
        if not self.converged:
            return self.given or [self.start, *[self.axis.first] * (self.start == 0)]
        if not (spans := self._spans()):
            return next((values for values in self._exploration if values), [])
        span = spans[0]
        finest = max(FINEST, FINE * self.axis.distance(span[0], span[-1]))
        edges = {span[:2], span[-2:], self._halves(span)}
        return sorted(self._middles(edge for edge in edges if self.axis.distance(*edge) > finest))

    def point(self) -> HalfwayPoint | None:
        """The halfway point; None if no two values certainly lie on different sides of one half."""
        if not (spans := self._spans()):
            return None
        low, *_, high = spans[0]
        rising, (a, b) = self.side(low) < 0, self._halves(spans[0])
        if self.axis.integer:
            return HalfwayPoint(b if rising else a, low, high, rising, len(spans))
        part = (self.seeds / 2 - self.converged[a]) / (self.converged[b] - self.converged[a])
        value, reach = self.axis.between(a, b, part), (high - low) / 40
        value = shortest(value - reach, value, value + reach)
        return HalfwayPoint(value, low, high, rising, len(spans))

    @property
    def tried(self) -> dict[float, int]:
        """The number of seeds that converge at each value, in ascending order of values."""
        return dict(sorted(self.converged.items()))

    def _spans(self) -> list[tuple[float, ...]]:
        """List the ranges that certainly cross one half, the nearest to the start first."""
        values = sorted(self.converged)
        if not {-1, 1} <= {self.side(value, bonferroni(0.95, len(values))) for value in values}:
            return []  # of many values near one half some lie on either side by chance
        sides = {i: side for i, value in enumerate(values) if (side := self.side(value))}
        spans = [tuple(values[i : j + 1]) for i, j in pairwise(sides) if sides[i] != sides[j]]
        start, distance = self.start, self.axis.distance
        return sorted(spans, key=lambda s: distance(*sorted((start, min(max(start, s[0]), s[-1])))))

    def _halves(self, span: tuple[float, ...]) -> tuple[float, float]:
        """The first two neighbours in a span between which the share crosses one half."""
        more = [2 * self.converged[value] >= self.seeds for value in span]
        i = more.index(more[-1], 1)
        return span[i - 1], span[i]

    def _explore(self) -> Iterator[list[float]]:
        """Values to try as long as all lie on the same side of one half."""
        if self.given:
            for _ in range(HALVINGS):
                yield self._middles(pairwise(sorted(self.converged)))
        else:
            yield from self._outwards()
        for _ in range(PEAK_ROUNDS):
            counts, values = self.converged.values(), sorted(self.converged)
            if self.axis.integer or max(counts) == 0 or min(counts) == self.seeds:
                return
            extreme = min if any(self.side(value) > 0 for value in values) else max
            i = values.index(extreme(values, key=self.converged.__getitem__))
            # A peak may lie between two doublings.
            yield self._middles(pairwise(values[max(0, i - 1) : i + 2]))

    def _outwards(self) -> Iterator[list[float]]:
        """Values further and further away from the start, up to the bounds."""
        origin, side = self.start or self.axis.first, self.side(self.start)
        # More updates make more runs converge, but take longer.
        directions = [-side] if self.axis.integer and side else [1, -1]
        for step in range(1, 1 + (BUDGET_DOUBLINGS if self.axis.integer else DOUBLINGS)):
            values = {way: self.axis.stepped(origin, way * step) for way in directions}
            directions = [
                way
                for way, value in values.items()
                if way * (value - origin) > 0
                and value not in self.converged
                and self._allowed(value)
            ]
            yield sorted(values[way] for way in directions)
        if self.axis.low == 0 and 0 not in self.converged:
            yield [0.0]

    def _middles(self, pairs: Iterable[tuple[float, ...]]) -> list[float]:
        return [value for value in (self.axis.middle(a, b) for a, b in pairs) if value is not None]


class SettingSearch(NamedTuple):
    """The search in one setting of the grid's other keys. `setup`: a setup in this setting."""

    setting: dict[str, Any]
    setup: Setup
    bisection: Bisection

    def as_json(self) -> dict[str, Any]:
        """The result as a dictionary for JSON."""
        search, point = self.bisection, self.bisection.point()
        return {
            "setting": self.setting,
            **(point._asdict() if point else dict.fromkeys(HalfwayPoint._fields)),
            "tried": [{"value": value, "converged": n} for value, n in search.tried.items()],
        }


class BisectionResult(NamedTuple):
    """The value of `key` at which half of the seeds converge, in each setting of the other keys.

    `sweep` has all values that were tried. `searches` is empty if blocks failed.
    """

    sweep: Sweep
    trained: Trained
    key: str
    searches: list[SettingSearch]

    @property
    def complete(self) -> bool:
        """Whether all searches are finished."""
        return bool(self.searches)

    def lines(self, summary: pd.DataFrame) -> list[str]:
        """Describe the result of each setting in a sentence; `summary`: the table of these runs."""
        key, seeds = self.key, self.sweep.seeds.count
        others = [name for name in keys_of(summary) if name not in (key, ALTERNATIVE.get(key))]
        return [
            phrases.half(
                key,
                phrases.setting(setup.columns(), others),
                seeds,
                search.tried,
                search.point(),
                search.start,
            )
            for _, setup, search in self.searches
        ]

    def as_json(self) -> dict[str, Any]:
        """The result as a dictionary for JSON."""
        searched = {"key": self.key, "seeds": self.sweep.seeds.count}
        return {"bisect": [searched | search.as_json() for search in self.searches]}


def bisect(
    sweep: Sweep, searches: Sequence[SettingSearch], store: Store, axis: SearchAxis, train: Train
) -> BisectionResult:
    """Find the value of a key at which half of a sweep's seeds converge.

    There is a search in each setting of the grid's other keys: between the grid's values of the key
    if there are several, else outwards from the baseline. Repeating the command trains nothing.

    Parameters
    ----------
    sweep, searches : Sweep, sequence of SettingSearch
        A sweep, and its `searches_of`.
    store : Store
        Where `train` puts the runs of a sweep.
    axis : SearchAxis
    train : callable
        Trains the missing runs of a sweep.

    Raises
    ------
    StoreError
        If the store lacks runs that were trained.
    """
    rounds, tried, seeds = list[Trained](), sweep, (sweep.seeds.start, sweep.seeds.count)
    while any(wanted := [search.bisection.wanted() for search in searches]):
        tried = _tried(sweep, axis.key, searches, wanted)
        rounds.append(train(tried))
        if rounds[-1].failed:
            return BisectionResult(tried, add_up(rounds), axis.key, [])
        tries = [(one, v) for one, values in zip(searches, wanted, strict=True) for v in values]
        ids = [_changed(search.setup, axis.key, value).identity() for search, value in tries]
        counts = count_outcomes(store, ids, seeds)[:, OUTCOMES.index(Outcome.CONVERGED)]
        for (search, value), count in zip(tries, counts.tolist(), strict=True):
            search.bisection.converged[value] = count
    return BisectionResult(tried, add_up(rounds), axis.key, [*searches])


def searches_of(sweep: Sweep, axis: SearchAxis) -> list[SettingSearch]:
    """Make one search for each setting of other keys. Raises SweepError if one lacks the key."""
    searches: dict[tuple[Any, ...], SettingSearch] = {}
    own_keys = {axis.key, ALTERNATIVE.get(axis.key)}
    for table in sweep.grid or ({},):
        others = {name: values for name, values in table.items() if name not in own_keys}
        given = [axis.number(value) for value in table.get(axis.key, ())]
        for values in product(*others.values()):
            setting = dict(zip(others, values, strict=True))
            point = {name: [setting.get(name, each[0])] for name, each in table.items()}
            one = {"seeds": 1, "setup": sweep.setup} | ({"grid": point} if point else {})
            (setup,) = Sweep.from_dict(one).setups
            columns = tuple(v for name, v in setup.columns().items() if name not in own_keys)
            start, allowed = _start(sweep, axis, setup, given), partial(_allows, setup, axis.key)
            try:
                _changed(setup, axis.key, start or axis.first)
            except SweepError as error:
                raise SweepError([f"--bisect: {line}" for line in error.lines]) from None
            bisection = Bisection(axis, sweep.seeds.count, start, given, allowed)
            searches.setdefault(columns, SettingSearch(setting, setup, bisection))
    return list(searches.values())


def _start(sweep: Sweep, axis: SearchAxis, setup: Setup, given: Sequence[float]) -> float:
    """The value to start from: the baseline's, else the middle of given ones, else the setup's."""
    if len(given) > 1:
        baseline = sweep.setup.get(axis.key)
        return (
            axis.between(min(given), max(given), 0.5) if baseline is None else axis.number(baseline)
        )
    derived = {"updates": setup.budget, "epochs": setup.epochs_budget}
    return derived[axis.key] if axis.integer else axis.number(getattr(setup, axis.key) or 0.0)


def _changed(setup: Setup, key: str, value: float) -> Setup:
    """The setup with another value of a key. Raises SweepError if that is not allowed."""
    return setup.with_columns({"epochs": None, key: value} if key in ALTERNATIVE else {key: value})


def _allows(setup: Setup, key: str, value: float) -> bool:
    with suppress(SweepError):
        return bool(_changed(setup, key, value))
    return False


def _tried(
    sweep: Sweep, key: str, searches: Sequence[SettingSearch], wanted: Sequence[Sequence[float]]
) -> Sweep:
    """The sweep of all values, in each setting, that were tried or are to be tried next."""
    tables = [
        {name: [value] for name, value in search.setting.items()}
        | {key: sorted({*search.bisection.converged, *values})}
        for search, values in zip(searches, wanted, strict=True)
    ]
    kept = {name: getattr(sweep, name) for name in ("title", "seeds", "setup", "published")}
    return Sweep.from_dict(kept | {"grid": tables})
