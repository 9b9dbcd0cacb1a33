"""The texts of a diagnosis: the verdict, the table, what to do next; and the diagnosis as JSON."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import pandas as pd

from fastbp.analysis.statistics.proportions import wilson
from fastbp.config.setup import Setup
from fastbp.config.toml_text import toml
from fastbp.diagnosis import own_weights
from fastbp.diagnosis.candidates import Change
from fastbp.diagnosis.recommend import Recommendation
from fastbp.diagnosis.trials import CONTROL
from fastbp.reporting.phrases import plain
from fastbp.schema.keys import KEYS
from fastbp.schema.text import aligned, and_, first_of, percent, plural, points

if TYPE_CHECKING:
    from fastbp.diagnosis.diagnose import Diagnosis

MAX_LINES = 7
"""The most changes in the table on the terminal."""

MAX_WIDE = 118
"""Characters per line of the terminal."""

NONE = 0.02
"""A difference of convergence rates up to this counts as none."""

COMMON = 0.9
"""A setup of at least this convergence rate counts as sound."""

SOUND = 0.99
"""From this convergence rate on, a network that fails is not explained by its setup."""

VAGUE = 0.5
"""If the 95% interval of the convergence rate is wider than this, the rate says nothing about a
single seed."""

OF_DATA = ("unscaled inputs", "contradictory labels")
"""Names of the symptoms that are found in the data, before any training."""

NAMED = 6
"""The most changes that a sentence lists."""


def screen(
    diagnosis: Diagnosis, placement: own_weights.Placement | None, next_lines: Sequence[str]
) -> list[str]:
    """The lines for a terminal: the verdict, the table, and what to do next."""
    sentences = verdict(diagnosis) + (own_weights.sentences(placement) if placement else [])
    wrapped = (textwrap.wrap(each, MAX_WIDE, break_on_hyphens=False) for each in sentences)
    parts = (["", *part] for part in (table(diagnosis), next_lines) if part)
    return [*chain(*wrapped, *parts)]


# The verdict


def verdict(diagnosis: Diagnosis) -> list[str]:
    """What is wrong, what fixes it, and what does not, in sentences."""
    if final := [symptom.text for symptom in diagnosis.symptoms if symptom.final]:
        return [f"No setup can learn this: {'; '.join(final)}."]
    lines = [_how_common(diagnosis)]
    if diagnosis.converged < 1:
        runs = [each.text for each in diagnosis.symptoms if each.name not in OF_DATA]
        lines += [f"Data: {each.text}." for each in diagnosis.symptoms if each.name in OF_DATA]
        lines.append(
            f"Failing runs: {'; '.join(runs)}." if runs else "Failing runs show nothing unusual."
        )
    if diagnosis.left_out:
        lines.append(f"There was no time to try {and_(first_of(diagnosis.left_out, NAMED))}.")
    if diagnosis.converged == 1:
        return [*lines, "Nothing needs fixing: the setup is sound."]
    if diagnosis.converged >= COMMON:
        lines += _of_sound(diagnosis)
    elif _fixing(diagnosis):
        lines += _of_fixes(diagnosis)
    elif len(diagnosis.table) > 1:
        lines.append(_nothing_fixes(diagnosis))
    return [*lines, *_recommendation(diagnosis)]


def _how_common(diagnosis: Diagnosis) -> str:
    """Say how often the setup fails, and whether to blame the seed, the setup or the code."""
    n, converged = diagnosis.runs, diagnosis.outcomes["converged"]
    rate, (low, high) = converged / n, map(float, wilson(converged, n))
    fail = "fails" if n == 1 else "fail"
    sound = f"All {n:,} seeds converge" if n > 1 else "The one seed that was tried converges"
    some = f"{percent(1 - rate)} of {plural(n, 'seed')} {fail} with this setup"
    failing = sound if converged == n else some
    constant = diagnosis.outcomes["collapsed"] + diagnosis.outcomes["one-class"]
    same = f"; {percent(constant / n)} give the same output for every row" * (constant > 0)
    rare = ", or a rare seed" * (converged < n)
    blames = (
        (high - low > VAGUE, "too few seeds to say whether yours is to blame"),
        (rate >= SOUND, f"where yours does not, it is your code{rare}"),
        (rate >= COMMON, "it is your seed"),
        (rate < 0.1, "it is not your seed"),
        (True, "it is your seed as much as your setup"),
    )
    blame = next(text for applies, text in blames if applies)
    interval = f"95% CI of the convergence rate: {percent(low)} to {percent(high)}"
    return f"{failing} ({interval}{same}): {blame}."


def _of_sound(diagnosis: Diagnosis) -> Iterator[str]:
    yield (
        "Another seed fixes it: the setup is sound."
        if diagnosis.converged < SOUND
        else "The setup is sound."
    )
    if best := _fixing(diagnosis):
        yield f"Fewer seeds fail with {' or with '.join(_effect(row) for row in best[:2])}."


def _nothing_fixes(diagnosis: Diagnosis) -> str:
    tried = int((diagnosis.table["cause"] != CONTROL).sum())
    best = diagnosis.recommended
    nor = ", nor do pairs of them" * (diagnosis.complete and not best)
    none = f"None of {plural(tried, 'single change')} makes more seeds converge{nor}"
    none += f", as far as {plural(diagnosis.runs, 'seed')} can show"
    if not best:
        return f"{none}."
    several = "both" if len(best.changes) == 2 else "all"
    causes = and_([each.cause for each in best.changes])
    return f"What is wrong: {causes}, {several} at once. {none}; together, some do."


def _of_fixes(diagnosis: Diagnosis) -> Iterator[str]:
    """Say what fixes the setup, and what makes no difference."""
    first, *others = _fixing(diagnosis)
    best, cause, does = diagnosis.recommended, first["cause"], "fixes it"
    if first["converged"] <= first["pairs"] / 2:
        does = "helps most"
        if best and len(best.changes) > 1:
            cause = and_([each.cause for each in best.changes])  # more than one thing is wrong
    name = first["change"][:1].upper() + first["change"][1:]
    yield (
        f"What is wrong: {cause}. {name} {does}: {_share(first['converged'], first['pairs'])} of "
        f"the same {plural(first['pairs'], 'seed')} then converge "
        f"({points(first['difference'])} points, 95% CI {points(first['difference_low'])} to "
        f"{points(first['difference_high'])}), "
        f"{_cost(first['multiply_adds'])}."
    )
    good = [row for row in others if row["difference"] > first["difference"] / 2]
    if good:
        yield f"At least half as good: {', '.join(_effect(row) for row in good[:4])}."
    small = [
        row["change"]
        for row in diagnosis.table.to_dict("records")
        if row["cause"] != CONTROL and abs(row["difference"]) <= NONE and not row["fixes"]
    ]
    if orders := [name for name in small if name.startswith("order ")]:
        yield f"The order of samples alone makes no measurable difference ({and_(orders)})."
    yield from _orders(diagnosis)
    if rest := [name for name in small if name not in orders]:
        yield f"These changes made no measurable difference: {and_(first_of(rest, NAMED))}."


def _orders(diagnosis: Diagnosis) -> Iterator[str]:
    """Say how much an order of samples changes if everything else is the same."""
    compared = diagnosis.orders
    if compared is None or not (diagnosis.advised or compared.low > 0):
        return
    n, other = compared.runs, compared.order.name
    moved = f"{other} is {'better' if compared.low > 0 else 'worse'} by that much and no more"
    worth = "no measurable difference" if compared.low <= 0 <= compared.high else moved
    intro = "The answerer's advice, compared fairly: with" if diagnosis.advised else "With"
    difference = points((compared.other - compared.converged) / n)
    yield (
        f"{intro} {compared.change.name} in both, {_share(compared.other, n)} of "
        f"{plural(n, 'fresh seed')} converge with {other} and {_share(compared.converged, n)} with "
        f"order {diagnosis.setup.resolved_order} ({difference} points, 95% CI "
        f"{points(compared.low)} to {points(compared.high)}): {worth}."
    )


def _recommendation(diagnosis: Diagnosis) -> Iterator[str]:
    best = diagnosis.recommended
    if best is None:
        return
    what = f"Recommended: {and_([each.name for each in best.changes])}"
    if not best.runs:
        yield f"{what}; there was no time to check it on fresh seeds."
        return
    it = "it" if len(best.changes) == 1 else "them"
    fail = " Most still fail: more is wrong than these changes can fix."
    yield (
        f"{what}. Of {plural(best.runs, 'fresh seed')}, which were not used to choose {it}, "
        f"{_share(best.converged, best.runs)} converge with {it} and "
        f"{_share(best.before, best.runs)} without.{fail * (best.converged <= best.runs / 2)}"
    )


# Parts of sentences


def _share(count: int, total: int) -> str:
    return percent(count / total) if total else "–"


def _cost(times: float) -> str:
    return "at no cost" if abs(times - 1) < 0.005 else f"at {_times(times)} × the multiply-adds"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _effect(row: dict[Any, Any]) -> str:
    return f"{row['change']} ({points(row['difference'])} points, {_cost(row['multiply_adds'])})"


def _fixing(diagnosis: Diagnosis) -> list[dict[Any, Any]]:
    return diagnosis.table[diagnosis.table["fixes"]].to_dict("records")


# The table

TITLES = [
    *("change", "fixed", "broken", "difference", "[95%]", "converge", "presented", "mult-adds"),
    *("p (Holm)", ""),
]
"""The titles of the columns of a table of changes; the last column has none."""


def table(diagnosis: Diagnosis) -> list[str]:
    """List the changes that were tried, best first, then the best pairs, one line each."""
    control = diagnosis.table["cause"] == CONTROL
    if control.all():
        return []
    shown = pd.concat([diagnosis.table[~control].head(MAX_LINES), diagnosis.table[control]])
    rows = [cells(row) for row in shown.to_dict("records")]
    lines = aligned([TITLES, *rows], left=(0, len(TITLES) - 1))
    if more := len(diagnosis.table) - len(shown):
        lines.append(f"and {plural(more, 'change')} that did no more than the last of these")
    recommended = diagnosis.recommended.changes if diagnosis.recommended else ()
    best = and_([each.name for each in recommended])
    pairs = sorted(diagnosis.pairs.to_dict("records"), key=lambda row: row["change"] != best)
    return lines + [
        f"together, {row['change']}: {_share(row['converged'], row['pairs'])} of "
        f"{plural(row['pairs'], 'fresh seed')} converge, {_cost(row['multiply_adds'])}"
        for row in pairs[:2]
    ]


def cells(row: dict[Any, Any]) -> list[str]:
    """The texts in one row of a table of changes, one for each of `TITLES`."""
    control = CONTROL if row["cause"] == CONTROL else ""
    return [
        row["change"],
        plain(row["fixed"]),
        plain(row["broken"]),
        points(row["difference"]),
        f"[{points(row['difference_low'])}, {points(row['difference_high'])}]",
        _share(row["converged"], row["pairs"]),
        f"{_times(row['presentations'])} ×",
        f"{_times(row['multiply_adds'])} ×",
        "<0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.2g}",
        "fixes" if row["fixes"] else control,
    ]


# What to do next


def settings(changes: Sequence[Change]) -> dict[str, Any]:
    """The keys that changes set, with their values, as in a sweep file."""
    names = {key.column: key.name for key in KEYS.values()}
    keys = {names[column]: v for change in changes for column, v in change.keys.items()}
    if "hidden" in keys:
        keys["hidden"] = [int(size) for size in str(keys["hidden"]).split("-")]
    return {key: value for key, value in keys.items() if value is not None}


def commands(
    diagnosis: Diagnosis, sweep_file: str = "", store: str = "", name: str = ""
) -> list[str]:
    """Say what to do next: which keys to change, and commands if there is a sweep file.

    `sweep_file`, `store`: the paths of that file and of the folder for its runs. `name`: the
    setup's name in Python, if it has one.
    """
    best, example = diagnosis.recommended, diagnosis.example
    lines = [f"in your own code: {_custom_code(best)}"] if best else []
    if sweep_file:
        what = "both setups" if best else "the setup"
        lines.append(
            f"{what} from many seeds: "
            f"fastbp sweep {shlex.quote(sweep_file)} -o {shlex.quote(store)}"
        )
        if example is not None:
            run = f"{shlex.quote(store)} {diagnosis.setup.identity()} {example}"
            lines.append(f"then a run that fails, with its picture: fastbp replay {run}")
    elif example is not None and (setup := name or _python(diagnosis.setup)):
        lines.append(f"a run that fails, from Python: fastbp.retrain({setup}, {example})")
    return lines


def _python(setup: Setup) -> str:
    """The setup as Python code; empty if its data file, such as a sample of a table, is gone."""
    keys = setup.settings()
    if setup.problem.startswith("file:"):
        path = setup.problem.removeprefix("file:")
        if not os.path.exists(path):
            return ""
        keys["problem"] = f"file:{os.path.relpath(path)}"
    return f"fastbp.Setup({', '.join(f'{key}={value!r}' for key, value in keys.items())})"


def _custom_code(best: Recommendation) -> str:
    """List the keys to change, with what the user's own program must do for them."""
    notes = {
        "standard": "subtract each input column's mean and divide by its σ",
        "minmax": "scale each input column to 0..1",
        "sum": "sum the gradients of its rows",
        "mean": "average the gradients of its rows",
    }
    scaled, reduction = best.setup.scale_inputs, best.setup.reduction
    explained = {"scale_inputs": notes.get(scaled, "")}
    explained["batch"] = notes[reduction] * (best.setup.batch_rows > 1)
    return ", ".join(
        f"{key} = {toml(value)}" + (f" ({explained[key]})" if explained.get(key) else "")
        for key, value in settings(best.changes).items()
    )


def as_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as a dictionary for JSON."""
    best, orders = diagnosis.recommended, diagnosis.orders
    return {
        "setup": diagnosis.setup.identity(),
        "runs": diagnosis.runs,
        "outcomes": diagnosis.outcomes,
        "verdict": verdict(diagnosis),
        "symptoms": [symptom._asdict() for symptom in diagnosis.symptoms],
        "changes": _records(diagnosis.table),
        "pairs": _records(diagnosis.pairs),
        "recommended": best
        and best._asdict() | {"changes": settings(best.changes), "setup": best.setup.identity()},
        "orders": orders
        and orders._asdict() | {"change": settings([orders.change]), **settings([orders.order])},
        "left_out": diagnosis.left_out,
        "example": diagnosis.example,
        "complete": diagnosis.complete,
    }


def _records(frame: pd.DataFrame) -> list[dict[Any, Any]]:
    """List the rows of a table for JSON: NaN and ∞ become None."""
    finite = frame.astype(object).where(frame.notna() & (frame != float("inf")), None)
    return finite.to_dict("records")
