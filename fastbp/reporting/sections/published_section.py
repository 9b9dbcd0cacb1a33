"""What others printed of such runs, beside ours: the figures of a sweep file's `[[published]]` and
the same figures of our runs.

All times are in epochs. Two figures agree where their 95% intervals overlap: the published one's,
which is that of the few runs behind it, and ours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from math import ceil, floor, inf, isfinite, log10, nan
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.analysis.counts import SetupCounts, varying
from fastbp.analysis.statistics.kaplan_meier import DRAWS, costs_of_draws, restart
from fastbp.analysis.statistics.proportions import Real, clopper_pearson
from fastbp.analysis.summary import LEVEL, key_columns, keys_of
from fastbp.reporting.phrases import aligned, and_, plain, plural, setting
from fastbp.schema.paper_figures import FIGURES, MAX_RUNS
from fastbp.store.provenance import LatestSweep

MAX_ROWS, MAX_NAMED = 40, 4
"""Rows of a table and setups in a sentence."""


class Printed(NamedTuple):
    """A figure as it was printed, and the ids of the setups of which it is.

    `unit`: to what it was rounded, 0 where it is exact; `runs` behind it, where that is known; its
    bounds, where they were printed, else NaN; `shift`: epochs by which the paper's count is ahead
    of ours.
    """

    source: str
    figure: str
    value: float
    unit: float
    runs: int | None
    low: float
    high: float
    shift: int
    setups: tuple[str, ...]


def printed(sweep: LatestSweep) -> tuple[Printed, ...]:
    """The figures of a store's sweep file; none where one of them is not as fastbp writes it."""
    try:
        return tuple(_printed(one, setups) for one, setups in sweep.published)
    except (ValueError, TypeError, KeyError, OverflowError):
        return ()


def _printed(one: Mapping[str, Any], setups: tuple[str, ...]) -> Printed:
    figure, value, runs = str(one["figure"]), float(one["value"]), one.get("runs")
    if (
        figure not in FIGURES
        or not isfinite(value)
        or not (runs is None or 1 <= int(runs) <= MAX_RUNS)
    ):
        raise ValueError(f"no published figure: {one}")
    reach = float(one.get("plus_minus", nan))
    low, high = float(one.get("low", value - reach)), float(one.get("high", value + reach))
    shift = int(one.get("looks") == "before")
    source, runs = plain(" ".join(str(one["source"]).split())), None if runs is None else int(runs)
    return Printed(
        source,
        figure,
        value,
        _unit(figure, value, one.get("rounded")),
        None if runs is None else int(runs),
        low,
        high,
        shift,
        setups,
    )


def _unit(figure: str, value: float, rounded: float | None) -> float:
    """To what a figure was rounded: where that is not said its last digit, and a share of 0 or 1 is
    exact.
    """
    if rounded is not None:
        if not 0 < float(rounded) < inf:
            raise ValueError(f"rounded to {rounded}")
        return float(rounded)
    if figure == "success" and value in (0, 1):
        return 0.0
    exponent = Decimal(repr(int(value) if value.is_integer() else value)).as_tuple().exponent
    return 10.0 ** int(exponent)


# The figures of our runs


class Times(NamedTuple):
    """Epochs to convergence, ascending, [time], and how many of so many runs took each, [draw,
    time].
    """

    epochs: Real
    counts: Real
    runs: int


def _mean(t: Times) -> Real:
    with np.errstate(invalid="ignore"):
        mean: Real = t.counts @ t.epochs / t.counts.sum(axis=1)
    return mean


def _sd(t: Times) -> Real:
    far = (t.epochs - _mean(t)[:, None]) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        sd: Real = np.sqrt((t.counts * far).sum(axis=1) / (t.counts.sum(axis=1) - 1))
    return sd


def _median(t: Times) -> Real:
    done = t.counts.cumsum(axis=1)
    first = np.argmax(2 * done >= done[:, -1:], axis=1)
    return np.where(done[:, -1] > 0, t.epochs[first], nan)


def _harmonic(t: Times) -> Real:
    with np.errstate(divide="ignore"):
        mean: Real = t.runs / (t.counts @ (1 / t.epochs))
    return mean


def _costs(t: Times) -> Real:
    return costs_of_draws(t.epochs, t.counts, t.counts * t.epochs, t.runs)


def _limit(t: Times) -> Real:
    costs = _costs(t)
    return np.where(np.isfinite(costs.min(axis=1)), t.epochs[costs.argmin(axis=1)], nan)


_MEASURES: dict[str, Callable[[Times], Real]] = {
    "success": lambda t: t.counts.sum(axis=1) / t.runs,
    "mean": _mean,
    "sd": _sd,
    "median": _median,
    "harmonic": _harmonic,
    "efficiency": lambda t: 1000 / _costs(t).min(axis=1),
    "limit": _limit,
}
"""Each of `FIGURES`, of every draw: [draw]. Of runs none of which converged it is NaN or what
follows from a time without end."""

_CELLS = 2_000_000
"""Draws × times that are held at once."""


class _Own:
    """The figures of one setup, as a paper counts epochs that is so far ahead of us."""

    def __init__(self, one: SetupCounts, each: int, shift: int) -> None:
        self.runs = one.runs
        # A look at the end of a budget may lie within an epoch. Without any success there is still
        # a time, at which none was.
        epochs, place = np.unique(np.ceil(one.times / each) + shift, return_inverse=True)
        self._epochs: Real = epochs if epochs.size else np.ones(1)
        self._events: Real = np.bincount(place, one.events, self._epochs.size).astype(float)
        self._drawn: dict[int, dict[str, Real]] = {}
        self._intervals: dict[str, tuple[float, float]] = {}

    @property
    def successes(self) -> int:
        """How many of our runs converged."""
        return int(self._events.sum())

    def value(self, figure: str) -> float:
        """Of all our runs."""
        return float(_MEASURES[figure](Times(self._epochs, self._events[None], self.runs))[0])

    def interval(self, figure: str) -> tuple[float, float]:
        """Its bounds: of a share exact binomial, of a best time as the summary's, else percentiles
        of the bootstrap.
        """
        if figure not in self._intervals:
            self._intervals[figure] = self._bounds(figure)
        return self._intervals[figure]

    def _bounds(self, figure: str) -> tuple[float, float]:
        if figure == "success":
            low, high = clopper_pearson(self._events.sum(), self.runs, LEVEL)
            return float(low), float(high)
        if figure in ("efficiency", "limit"):
            best = restart(self._epochs, self._events, self.runs, LEVEL)
            return (
                (best.at_low, best.at_high)
                if figure == "limit"
                else (1000 / best.cost_high, 1000 / best.cost_low)
            )
        return self.spread(figure, self.runs)

    def spread(self, figure: str, runs: int) -> tuple[float, float]:
        """Between which bounds the figure lies in 95% of experiments of so many runs."""
        drawn = self._draws(runs)[figure]
        if np.isnan(drawn).any():
            return nan, nan
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
        return float(low), float(high)

    def _draws(self, runs: int) -> dict[str, Real]:
        """Every figure of many experiments of so many runs, drawn from ours with replacement."""
        if runs not in self._drawn:
            rng = np.random.default_rng(0)
            shares = [*self._events / self.runs, max(0.0, 1 - self._events.sum() / self.runs)]
            some = max(1, _CELLS // len(shares))
            parts: dict[str, list[Real]] = {figure: [] for figure in FIGURES}
            for start in range(0, DRAWS, some):
                counts = rng.multinomial(runs, shares, min(some, DRAWS - start))[:, :-1].astype(
                    float
                )
                for figure, found in parts.items():
                    found.append(_MEASURES[figure](Times(self._epochs, counts, runs)))
            self._drawn[runs] = {figure: np.concatenate(found) for figure, found in parts.items()}
        return self._drawn[runs]


def _sampled(one: Printed, own: _Own) -> tuple[float, float]:
    """Between which bounds the true figure lies, by what was printed: as its source says, else as
    so many runs can tell.

    A share: exact binomial of every count that rounds to it. Else as far as an experiment of so
    many of our runs strays from all of them (the basic bootstrap), and half of what rounding takes.
    """
    if isfinite(one.low) and isfinite(one.high):
        return one.low, one.high
    if one.runs is None:
        return nan, nan
    if one.figure == "success":
        half = one.unit / 2 * one.runs
        slack = 1e-9 * one.runs  # 0.755 × 1,000 may come out just below 755
        fewest = max(0, ceil(one.value * one.runs - half - slack))
        most = min(one.runs, floor(one.value * one.runs + half + slack))
        # With so few runs that no count rounds to it, the two nearest.
        lows, highs = clopper_pearson([min(fewest, most), max(fewest, most)], one.runs, LEVEL)
        return float(lows[0]), float(highs[1])
    if not own.successes:
        return nan, nan  # runs that never succeed do not tell how far a figure strays
    centre, (low, high) = own.value(one.figure), own.spread(one.figure, one.runs)
    if not isfinite(centre):
        return nan, nan
    return max(0.0, one.value - (high - centre) - one.unit / 2), one.value + (
        centre - low
    ) + one.unit / 2


def table(
    counted: Sequence[SetupCounts], figures: Sequence[Printed], updates_per_epoch: Mapping[str, int]
) -> pd.DataFrame:
    """Published figures beside ours.

    Parameters: `counted`, as `tables.count_runs` returns them; `figures`, as `printed` does;
    `updates_per_epoch` of each setup, by its id: one without is left out.

    Returns a row for each figure and setup of which it is, in that order, with the columns:
    `source`; `figure`; the keys that vary; `setup`; `published`, with its 95% bounds
    `published_low` and `published_high` and the runs behind it, `published_runs`; `rounded`, to
    what; `ours`, `ours_low`, `ours_high` and `runs`; `looks_before`, whether the paper looks before
    the updates of an epoch, which adds one to ours; `agrees`, whether the two intervals overlap,
    null where there is none.
    """
    own: dict[tuple[str, int], _Own] = {}
    rows: list[dict[str, Any]] = []
    place: list[SetupCounts] = []
    for one in figures:
        for t in counted:
            if t.setup not in one.setups or t.setup not in updates_per_epoch:
                continue
            ours = own.setdefault(
                (t.setup, one.shift), _Own(t, updates_per_epoch[t.setup], one.shift)
            )
            low, high = _sampled(one, ours)
            own_low, own_high = ours.interval(one.figure)
            known = not np.isnan([low, high, own_low, own_high]).any()
            place.append(t)
            rows.append({
                "source": one.source, "figure": one.figure, "published": one.value, "published_low": low, "published_high": high,
                "published_runs": one.runs, "rounded": one.unit, "ours": ours.value(one.figure), "ours_low": own_low,
                "ours_high": own_high, "runs": t.runs, "looks_before": bool(one.shift),
                "agrees": bool(low <= own_high and own_low <= high) if known else None,
            })  # fmt: skip
    types = {
        "source": "object",
        "figure": "object",
        "published_runs": "Int64",
        "runs": "int64",
        "looks_before": "bool",
    }
    types["agrees"] = "boolean"
    found = {
        name: pd.Series([row[name] for row in rows], dtype=types.get(name, "float64"))
        for name in _COLUMNS
    }
    keys = key_columns(place, varying(counted)) | {
        "setup": pd.Series([t.setup for t in place], dtype=object)
    }
    return pd.DataFrame(
        {name: found[name] for name in _COLUMNS[:2]}
        | keys
        | {name: found[name] for name in _COLUMNS[2:]}
    )


_COLUMNS = (
    "source", "figure", "published", "published_low", "published_high", "published_runs", "rounded", "ours", "ours_low",
    "ours_high", "runs", "looks_before", "agrees",
)  # fmt: skip


# In words


class Form(NamedTuple):
    """A table as it is read: of one source, its titles, its rows of texts and which of them stand
    for the baseline.
    """

    source: str
    titles: list[str]
    rows: list[list[str]]
    marked: list[bool]


def forms(table: pd.DataFrame, baseline: str | None = None) -> list[Form]:
    """A table of each source: where its figures are of one setup a row for each with both
    intervals, else a row for each setup, named by what it has other than the baseline, `≠` where a
    figure of it does not agree.
    """
    return [
        _form(str(source), rows, table, baseline)
        for source, rows in table.groupby("source", sort=False)
    ]


def _form(source: str, rows: pd.DataFrame, table: pd.DataFrame, baseline: str | None) -> Form:
    if rows["setup"].nunique() == 1:
        titles = ["figure", "published", "[95%]", "runs", "ours", "[95%]", "runs", "they"]
        lines = [_cells(row) for row in rows.to_dict("records")]
        return Form(source, titles, lines, [False] * len(lines))
    figures = list(dict.fromkeys(map(_figure, rows.to_dict("records"))))
    printed: dict[str, str] = {}
    ours: dict[str, dict[str, str]] = {}
    for row in rows.to_dict("records"):
        unit = _unit_shown(row)
        printed.setdefault(_figure(row), _number(row["published"], unit))
        differs = "" if pd.isna(row["agrees"]) or row["agrees"] else "≠ "
        ours.setdefault(row["setup"], {})[_figure(row)] = differs + _number(row["ours"], unit / 10)
    names = _names(table, baseline)
    order = sorted(ours, key=lambda setup: setup != baseline)
    lines = [["published", *(printed[figure] for figure in figures)]]
    lines += [
        [names[setup], *(ours[setup].get(figure, "") for figure in figures)] for setup in order
    ]
    return Form(source, ["ours", *figures], lines, [False, *(setup == baseline for setup in order)])


def _names(table: pd.DataFrame, baseline: str | None) -> dict[str, str]:
    """What each setup has other than the baseline; without that, all keys that vary."""
    keys = keys_of(table)[2:]
    setups = {str(row["setup"]): row for row in table.to_dict("records")}
    start = setups.get(baseline or "")
    names = {}
    for setup, row in setups.items():
        others = (
            keys if start is None else [key for key in keys if plain(row[key]) != plain(start[key])]
        )
        names[setup] = setting(row, others) or (
            "as it stands" if setup == baseline else f"setup {setup}"
        )
    return names


def _figure(row: Mapping[Any, Any]) -> str:
    return str(row["figure"]) + " (before)" * bool(row["looks_before"])


def _unit_shown(row: Mapping[Any, Any]) -> float:
    return float(row["rounded"]) or 0.01


def _cells(row: Mapping[Any, Any]) -> list[str]:
    unit = _unit_shown(row)
    theirs, ours = (
        f"[{_number(row[f'{one}_low'], unit / 10)}–{_number(row[f'{one}_high'], unit / 10)}]"
        for one in _SIDES
    )
    agrees = "–" if pd.isna(row["agrees"]) else "agree" if row["agrees"] else "differ"
    behind = [_number(row["published"], unit), theirs, plain(row["published_runs"])]
    return [
        _figure(row),
        *behind,
        _number(row["ours"], unit / 10),
        ours,
        plain(row["runs"]),
        agrees,
    ]


_SIDES = ("published", "ours")


def _number(value: float, unit: float) -> str:
    """A number to a decimal unit."""
    if not isfinite(value):
        return "∞" if value == inf else "–"
    return f"{value:,.{max(0, ceil(-log10(unit) - 1e-9))}f}"


def sentences(table: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """How many figures of each source agree: of the setup as it stands, and of which others all
    do.
    """
    lines = []
    names = _names(table, baseline)
    for source, rows in table.groupby("source", sort=False):
        several = rows["setup"].nunique() > 1
        own = rows[rows["setup"] == baseline] if several else rows
        parts = []
        if len(own):
            parts.append(_agreeing(own, "the setup" + " as it stands" * several))
        if several:
            told = rows[rows["agrees"].notna() & (rows["setup"] != baseline)]
            whole = told["agrees"].astype(bool).groupby(told["setup"], sort=False).all()
            parts += _elsewhere(whole, names, "other " * bool(len(own)))
            untold = rows.loc[rows["setup"] != baseline, "setup"].nunique() - len(whole)
            parts += [f"in {plural(untold, 'setting')} nothing can be told"] * bool(untold)
        lines.append(f"{source}: {'; '.join(parts)}.")
    return lines


def _agreeing(rows: pd.DataFrame, of: str) -> str:
    """How many figures agree with a setup, of those of which it can be told, and which others do
    not.
    """
    unknown = _named(rows[rows["agrees"].isna()])
    known = rows[rows["agrees"].notna()]
    if known.empty:
        return f"whether {unknown} agree{'s'[: len(rows) == 1]} with {of} cannot be told"
    wrong = known[~known["agrees"].astype(bool)]
    many = len(known) - len(wrong)
    but = [f"not {_named(wrong)}"] * bool(len(wrong))
    but += [f"{unknown} cannot be told"] * bool(unknown)
    count = (
        f"{many} of {plural(len(known), 'published figure')} agree{'s'[: 1 in (many, len(known))]}"
    )
    return f"{count} with {of}" + (f" ({'; '.join(but)})" if but else "")


def _named(rows: pd.DataFrame) -> str:
    """Which figures these are, each once."""
    names = list(dict.fromkeys(map(_figure, rows.to_dict("records"))))
    return and_(names) if names else ""


def _elsewhere(whole: pd.Series[Any], names: Mapping[str, str], other: str) -> list[str]:
    """In how many settings all figures agree, and which these are: `whole`, whether they do, by
    setup.
    """
    ids = list(whole[whole].index)
    more = f" and {len(ids) - MAX_NAMED} more" * (len(ids) > MAX_NAMED)
    told = f" ({'; '.join(names[setup] for setup in ids[:MAX_NAMED])}{more})" * bool(ids)
    if len(whole) == 1:
        return [f"in the one {other}setting {'not ' * (not ids)}all agree{told}"]
    return [f"all agree in {len(ids)} of {plural(len(whole), other + 'setting')}{told}"] * bool(
        len(whole)
    )


def console(table: pd.DataFrame, baseline: str | None = None) -> str:
    """Published figures beside ours, for a terminal."""
    before = "; (before) if outputs are looked at before the updates of an epoch, one later" * bool(
        table["looks_before"].any()
    )
    lines = [
        f"Published beside ours (times in epochs; ≠ where the 95% intervals of the two do not overlap{before}):"
    ]
    for form, said in zip(forms(table, baseline), sentences(table, baseline), strict=True):
        lines += [said, *aligned([form.titles, *form.rows[:MAX_ROWS]], left=(0, 7))]
        if len(form.rows) > MAX_ROWS:
            lines.append(f"and {len(form.rows) - MAX_ROWS:,} more in published.csv")
    return "\n".join(lines)
