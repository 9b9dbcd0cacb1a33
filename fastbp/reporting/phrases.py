"""Phrases that sentences and tables share: numbers, names of setups, shares, single changes.

The convergence rate of a setup is the share of its runs that end converged.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import ALPHA, keys_of, simultaneous_bounds, simultaneous_medians
from fastbp.schema.text import aligned, percent, plural, points, printable, shortened

Record = Mapping[Any, Any]
"""A row of a DataFrame: a value for each column name."""

MAX_LETTERS = 80
"""Largest number of characters of a key's value in sentences and tables; CSV files have all."""

MAX_EVALUATIONS = 20
"""Largest number of evaluations of a run that a terminal shows."""

MAX_ROWS, MAX_UNITS = 16, 16
"""A terminal shows the answers to problems of at most this many rows and outputs."""

MANY_KEYS = 4
"""If more keys than this vary, the name of a setup has only the keys in which it differs from the
baseline."""

BASELINE = "baseline"
"""Name of the setup that does not differ from the baseline."""


def plain(value: Any) -> str:
    """Write a value for a reader: 7992 as 7,992, 1.0 as 1, True as true, null as –.

    Characters that are not printable become `?`.
    """
    if pd.isna(value):
        return "–"
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, bool | np.bool_):
        return str(value).lower()
    number = float(value)
    return f"{int(number):,}" if number.is_integer() and abs(number) < 1e15 else repr(number)


def named(value: Any) -> str:
    """Write a value of a key as `plain` does, cut to `MAX_LETTERS` characters."""
    return shortened(
        plain(value[: MAX_LETTERS + 1] if isinstance(value, str) else value), MAX_LETTERS
    )


# Setups


def row_of(summary: pd.DataFrame, setup: str | None) -> dict[Any, Any] | None:
    """Find the row of a setup in a summary; None if there is none."""
    return next(iter(summary[summary["setup"] == setup].to_dict("records")), None)


def extreme(summary: pd.DataFrame, name: str, least: bool = False) -> dict[Any, Any]:
    """Find the first row with the largest share of the outcome `name`, or with the smallest."""
    shares = summary[f"{name}_share"].to_numpy()
    row: dict[Any, Any] = summary.iloc[int(shares.argmin() if least else shares.argmax())].to_dict()
    return row


def fastest_and_slowest(summary: pd.DataFrame) -> tuple[dict[Any, Any] | None, ...]:
    """Find the rows with the smallest and the largest `updates_median`.

    Both are None unless their intervals lie apart, which allow for the choice of the extremes.
    """
    timed = summary[summary["updates_median"].notna()]
    if timed.empty:
        return None, None
    medians, (low, high) = timed["updates_median"].astype(int), simultaneous_medians(timed)
    first, last = int(medians.argmin()), int(medians.argmax())
    if not high[first] < low[last]:
        return None, None
    return timed.iloc[first].to_dict(), timed.iloc[last].to_dict()


def setting(row: "Record | pd.Series[Any]", keys: Sequence[Any]) -> str:
    """Write the values of these keys: `order random, lr 0.1`."""
    return ", ".join(f"{key} {named(row[key])}" for key in keys)


def apart(row: "Record | pd.Series[Any]", keys: Sequence[Any], start: Record) -> str:
    """Write the values of the keys in which `row` differs from `start`; `baseline` if in none."""
    return setting(row, [key for key in keys if plain(row[key]) != plain(start[key])]) or BASELINE


def labels(summary: pd.DataFrame, baseline: str | None = None) -> list[str]:
    """Name each row of a summary.

    A name has the values of the keys that vary, and the setup's id if these do not distinguish the
    rows. If many keys vary and the setup `baseline` is among the rows, a name has only what differs
    from it; the name of the baseline has all keys.
    """
    keys = keys_of(summary)
    rows = summary[[*keys, "setup"]].to_dict("records")  # its other columns are many
    names = [setting(row, keys) for row in rows]
    start = next((row for row in rows if row["setup"] == baseline), None)
    if start is not None and len(keys) > MANY_KEYS:
        names = [apart(row, keys, start) for row in rows]
        full = f"{BASELINE}: {setting(start, keys)}"
        names = [full if name == BASELINE else name for name in names]
    if keys and len(set(names)) == len(names):
        return names
    return [
        f"{name}, setup {row['setup']}".removeprefix(", ")
        for name, row in zip(names, rows, strict=True)
    ]


def runs_in(summary: pd.DataFrame) -> str:
    """Say how many runs and setups a summary has: `80 runs in 2 setups`."""
    return f"{plural(int(summary['runs'].sum()), 'run')} in {plural(len(summary), 'setup')}"


def interval(row: Record, name: str) -> str:
    """Write the 95% interval of the share of the outcome `name` in percent: `83.8–85.2`."""
    return f"{percent(row[f'{name}_low'])}–{percent(row[f'{name}_high'])}".replace("%", "")


def count_of(row: Record, name: str) -> str:
    """Say how many of a setup's runs have an outcome: `none of 80`, `all 80`, `2.5% of 80`."""
    count, runs = int(row[name]), int(row["runs"])
    if runs == 1:
        return f"{count} of 1"
    who = {0: "none of", runs: "all"}.get(count, f"{percent(row[f'{name}_share'])} of")
    return f"{who} {runs:,}"


def share_interval(row: Record, name: str = "converged") -> str:
    """Write the 95% interval of the share of an outcome for a sentence, in brackets."""
    return f" (95% interval {percent(row[f'{name}_low'])} to {percent(row[f'{name}_high'])})"


def place_of(summary: pd.DataFrame, row: Record) -> int:
    """The position of a setup in a summary."""
    return int((summary["setup"] == row["setup"]).to_numpy().argmax())


def rivals(
    summary: pd.DataFrame,
    row: Record,
    name: str = "converged",
    least: bool = False,
    comparisons: Sequence[Record] = (),
) -> int:
    """Count the other setups that may have a share as large as this largest one, or as small.

    Their intervals reach that of the row; the intervals of all setups hold at once. And none of
    `comparisons`, rows of `contrasts`, shows that they converge less often, or more often.
    """
    (low, high), at = simultaneous_bounds(summary, name), place_of(summary, row)
    near = (low <= high[at]) if least else (high >= low[at])
    setups = summary.to_dict("records")
    for each in filter(has_effect, comparisons):
        here, there = ("to", "from") if (each["difference"] > 0) != least else ("from", "to")
        if is_end(each, here, row):
            near &= [not is_end(each, there, other) for other in setups]
    return int(near.sum()) - 1


def as_best(
    summary: pd.DataFrame,
    row: Record,
    name: str = "converged",
    least: bool = False,
    comparisons: Sequence[Record] = (),
) -> str:
    """Write the interval of the largest share of a summary, and how many others may be as large.

    The interval allows for the choice of the row: those of all setups hold at once. `least`,
    `comparisons`: as in `rivals`.
    """
    (low, high), at = simultaneous_bounds(summary, name), place_of(summary, row)
    highest, often = ("lowest", "seldom") if least else ("highest", "often")
    others = rivals(summary, row, name, least, comparisons)
    ties = int((summary[f"{name}_share"] == row[f"{name}_share"]).sum()) - 1
    often += f", {ties} with the same share" * (ties > 0 and not least)
    as_many = f"; {plural(others, 'other setup')} may do so as {often}" * (others > 0)
    return (
        f" (95% interval for the {highest} of {plain(len(summary))}: {percent(low[at])} to "
        f"{percent(high[at])}{as_many})"
    )


def as_soon(summary: pd.DataFrame, row: Record) -> str:
    """Say how many other setups may have converged as soon as one; empty if none may."""
    (low, high), at = simultaneous_medians(summary), place_of(summary, row)
    others = int((~(low > high[at])).sum()) - 1
    return f" ({plural(others, 'other setup')} may be as soon)" * (others > 0)


def half_time(row: Record) -> str:
    """The sentence that says when half of a setup's runs had converged; empty if fewer did."""
    median = row["updates_median"]
    return "" if pd.isna(median) else f" Half had converged after {plural(int(median), 'update')}."


def name_of(row: Record, keys: Sequence[str]) -> str:
    """Name a setup in a sentence by the values of these keys, or by its id without keys."""
    return setting(row, keys) or f"setup {row['setup']}"


# Single changes


def change_of(row: Record) -> str:
    """Write the change of a row of `contrasts`: `updates 999 → 7,992`."""
    return f"{row['key']} {named(row['from'])} → {named(row['to'])}"


def has_effect(row: Record) -> bool:
    """Whether the effect of a row of `contrasts` is significant: `p_holm` is below `ALPHA`."""
    return bool(row["p_holm"] < ALPHA)


def is_end(row: Record, end: str, setup: Record) -> bool:
    """Whether a comparison starts or ends at a setup.

    Parameters
    ----------
    row : mapping
        A row of `contrasts`.
    end : str
        `from` for the start, `to` for the end.
    setup : mapping
        A row of the summary.
    """
    alike = all(plain(row[key]) == plain(setup[key]) for key in unchanged_keys(row, setup))
    return alike and plain(row[end]) == plain(setup[row["key"]])


def starts_at(row: Record, setup: Record | None) -> bool:
    """Whether a comparison starts at a setup; never without one."""
    return setup is not None and is_end(row, "from", setup)


def unchanged_keys(row: Record, keys: Iterable[str]) -> list[str]:
    """Those of `keys` that are columns of a comparison and are not changed by it."""
    # Changing `epochs` changes `updates` too; a row has the updates of its start.
    return [
        key for key in keys if key in {*row} - {row["key"], {"epochs": "updates"}.get(row["key"])}
    ]


def span_of(rows: Sequence[Record]) -> str:
    """Write the range of `difference` in rows of `contrasts`, in points: `+0.6 to +22.1`."""
    differences = sorted(row["difference"] for row in rows)
    return " to ".join(dict.fromkeys((points(differences[0]), points(differences[-1]))))


# Searches


def half(
    key: str,
    setting: str,
    seeds: int,
    tried: Mapping[float, int],
    crossing: tuple[float, float, float, bool, int] | None,
    start: float,
) -> str:
    """Say where half of the seeds converge, after a `--bisect` sweep.

    Parameters
    ----------
    key, setting : str
        The key that was searched, and a text with the values of the other keys that vary, which may
        be empty.
    seeds : int
        Number of seeds of each setup.
    tried : mapping
        For each tried value of `key`, ascending, how many of the seeds converged.
    crossing : tuple, optional
        The value of `key` at which half converge, its lower and upper bound, whether more converge
        above it, and how many such values there are.
    start : float
        The baseline's value of `key`.
    """
    before = f"{setting}: " if setting else ""
    if crossing:
        value, low, high, rising, crossings = crossing
        nearest = f"; of {crossings} such values it is the nearest to {key} {plain(start)}"
        return (
            f"{before}{key} = {plain(value)} [{plain(low)}, {plain(high)}]: half of "
            f"{plural(seeds, 'seed')} converge{', fewer above it' * (not rising)}"
            f"{nearest * (crossings > 1)}"
        )
    values = list(tried)
    all_tried = f"{len(values)} values of {key} tried, {plain(values[0])} to {plain(values[-1])}"
    lowest, highest = min(tried, key=tried.__getitem__), max(values[::-1], key=tried.__getitem__)
    least, most = (_share_at(tried[value], seeds, value) for value in (lowest, highest))
    some = f"of {plural(seeds, 'seed')} converge"
    if 2 * tried[highest] < seeds:
        return f"{before}fewer than half {some} at all {all_tried}: at most {most}"
    if 2 * tried[lowest] > seeds:
        return f"{before}more than half {some} at all {all_tried}: at least {least}"
    return (
        f"{before}half {some} somewhere, but no two of the {all_tried} have clearly fewer and "
        f"clearly more: {least}, to {most}"
    )


def _share_at(count: int, seeds: int, value: float) -> str:
    low, high = (percent(float(bound)).removesuffix("%") for bound in wilson(count, seeds))
    return f"{percent(count / seeds)} [{low}–{high}], at {plain(value)}"


# Single runs


def trajectory(evaluations: pd.DataFrame, converged_at: int | None = None) -> str:
    """Write the measures of a run at its evaluations as lines for a terminal.

    Parameters
    ----------
    evaluations : DataFrame
        One row per evaluation, as `retrain` or a trace has them. At most 20 are shown: the first,
        the last, the one at which the run first converged, and others at even distances.
    converged_at : int, optional
        Updates at the evaluation at which the run first converged.
    """
    measures = [
        *losses(evaluations),
        "spread",
        "max_error",
        "saturation",
        "grad_norm",
        "weight_max",
    ]
    first = (evaluations["updates"] == (-1 if converged_at is None else converged_at)).to_numpy()
    shown = np.union1d(
        evenly(len(evaluations), MAX_EVALUATIONS - int(first.any())), np.flatnonzero(first)
    )
    cells = [["updates", *measures, "wrong", "outcome"]]
    for i in shown:
        row = evaluations.iloc[i]
        values = ["–" if pd.isna(row[name]) else f"{row[name]:#.4g}" for name in measures]
        outcome = f"{row['outcome']}{'  ← first converged' * bool(first[i])}"
        cells.append([plain(row["updates"]), *values, plain(row["wrong"]), outcome])
    return "\n".join(aligned(cells, left=(len(cells[0]) - 1,)))


def losses(evaluations: pd.DataFrame) -> list[str]:
    """The columns with losses: of the training rows, and of held-out rows if there are any."""
    return ["loss", *["test_loss"] * bool(evaluations.get("test_loss", pd.Series()).notna().any())]


def answers(
    X: NDArray[np.float64], T: NDArray[np.float64], outputs: NDArray[np.float32] | None
) -> str:
    """Write inputs, targets and outputs of each row of a problem as lines for a terminal.

    The text is empty without outputs, or if there are too many to read.

    Parameters
    ----------
    X : float64 array, [row, input]
        Inputs.
    T : float64 array, [row, output]
        Targets.
    outputs : float32 array, [row × output], or None
        Outputs of the network, row by row.
    """
    if outputs is None or len(T) > MAX_ROWS or T.shape[1] > MAX_UNITS:
        return ""
    columns = {
        "row": [plain(row) for row in range(len(T))],
        **({"inputs": _numbers(X, "g")} if X.shape[1] <= MAX_UNITS else {}),
        "targets": _numbers(T, "g"),
        "outputs": _numbers(outputs.reshape(T.shape), ".3f"),
    }
    return "\n".join(aligned([[*columns], *zip(*columns.values(), strict=True)], left=()))


def _numbers(values: NDArray[Any], form: str) -> list[str]:
    """Write the numbers of each row."""
    return [" ".join(format(value, form) for value in row) for row in values]


def evenly(n: int, most: int) -> NDArray[np.intp]:
    """Choose at most `most` of n positions, evenly spaced, the first and the last included."""
    return np.linspace(0, n - 1, min(n, most)).round().astype(np.intp)
