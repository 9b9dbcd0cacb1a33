"""A diagnosis in words: the verdict first, then the table, then what to do with it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics import wilson
from fastbp.analysis.wording import aligned, percent, plain, plural, points
from fastbp.inquiry.diagnosis import COMMON, PLACEBO, Diagnosis
from fastbp.inquiry.remedies import Change
from fastbp.inquiry.weights import Placed

MOST_LINES = 12
"""Changes that a terminal shows."""

NONE = 0.02
"""A difference of shares up to which a change does next to nothing."""


def verdict(found: Diagnosis) -> list[str]:
    """What is wrong, what mends it, and what does not, in sentences."""
    if final := [finding for finding in found.findings if finding.final]:
        return [f"No setup can learn this: {'; '.join(finding.text for finding in final)}."]
    lines = [_how_common(found)]
    best = _mending(found)
    if found.converged < 1:
        told = [finding.text for finding in found.findings]
        lines.append("What failing networks do: " + "; ".join(told) + "." if told else "Failing networks show nothing unusual.")
    if found.converged >= COMMON:
        lines.append("A run that fails under this setup is unlucky: draw another seed.")
    if not best:
        tried = int((found.table["cause"] != PLACEBO).sum())
        lines.append(f"None of {plural(tried, 'single change')} makes more seeds converge.")
        return lines
    first = best[0]
    name = first["change"][:1].upper() + first["change"][1:]
    lines.append(
        f"What is wrong: {first['cause']}. {name} mends it: {_share(first['converged'], first['pairs'])} of the same "
        f"{plural(first['pairs'], 'seed')} then converge ({_difference(first)}), at {_cost(first['multiply_adds'])}."
    )
    others = [row for row in best[1:] if row["difference"] > first["difference"] / 2]
    if others:
        lines.append(f"So do, nearly or half as well, {_and([_told(row) for row in others[:4]])}.")
    rows = [row for row in found.table.to_dict("records") if row["cause"] != PLACEBO]
    small = [row["change"] for row in rows if abs(row["difference"]) <= NONE]
    orders = [name for name in small if name.startswith("order ")]
    if orders:
        lines.append(f"The order of samples by itself does next to nothing ({_and(orders)}).")
    rest = [name for name in small if name not in orders]
    if rest:
        names = ", ".join(rest[:6]) if len(rest) > 6 else _and(rest)
        lines.append(f"Next to nothing comes of: {names}{' and others' * (len(rest) > 6)}.")
    return [*lines, *_recommendation(found)]


def _how_common(found: Diagnosis) -> str:
    n, converged = found.runs, found.outcomes["converged"]
    low, high = (float(bound) for bound in wilson(converged, n))
    constant = found.outcomes["collapsed"] + found.outcomes["one-class"]
    failing = f"{_share(n - converged, n)} of {plural(n, 'seed')} fail under this setup"
    interval = f"{percent(low)} to {percent(high)} converge with 95% confidence"
    what = f"{interval}; {percent(constant / n)} give the same answer to everything"
    seed = "it is your seed"
    if converged / n < COMMON:
        seed = "it is not your seed" if converged / n < 0.1 else "it is your seed as much as your setup"
    return f"{failing} ({what}): {seed}."


def _share(count: int, total: int) -> str:
    return percent(count / total) if total else "–"


def _difference(row: dict[Any, Any]) -> str:
    low, high = points(row["difference_low"]), points(row["difference_high"])
    return f"{points(row['difference'])} points, 95% interval {low} to {high}"


def _cost(times: float) -> str:
    return "no cost" if abs(times - 1) < 0.005 else f"{times:.3g} × the multiply-adds"


def _told(row: dict[Any, Any]) -> str:
    return f"{row['change']} ({points(row['difference'])} points, {_cost(row['multiply_adds'])})"


def _and(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _mending(found: Diagnosis) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = found.table[found.table["mends"]].to_dict("records")
    return rows


def _recommendation(found: Diagnosis) -> list[str]:
    best = found.recommended
    if best is None:
        return []
    what = " and ".join(change.name for change in best.changes)
    if not best.runs:
        return [f"Recommended: {what}; there was no time to check it on fresh seeds."]
    return [
        f"Recommended: {what}. Of {plural(best.runs, 'fresh seed')}, which took no part in choosing it, "
        f"{_share(best.converged, best.runs)} converge, and {_share(best.before, best.runs)} without it."
    ]


def table(found: Diagnosis) -> list[str]:
    """The changes that were tried, best first, one line each."""
    titles = ["change", "mended", "broken", "difference", "[95%]", "converge", "presentations", "multiply-adds", "p (Holm)", ""]
    rows = found.table.to_dict("records")
    shown = rows[:MOST_LINES]
    shown += [row for row in rows[MOST_LINES:] if row["cause"] == PLACEBO]
    lines = aligned([titles, *map(cells, shown)], left=(0, len(titles) - 1))
    more = len(rows) - len(shown)
    pairs = found.pairs.to_dict("records")[:3]
    if pairs:
        lines += ["", *aligned([["pairs, on fresh seeds", *titles[1:]], *map(cells, pairs)], left=(0, len(titles) - 1))]
    return [*lines, *([f"and {plural(more, 'change')} that did less"] if more > 0 else [])]


def cells(row: dict[Any, Any]) -> list[str]:
    """A row of a table as texts."""
    interval = f"[{points(row['difference_low'])}, {points(row['difference_high'])}]"
    told = [row["change"], plain(row["mended"]), plain(row["broken"]), points(row["difference"]), interval]
    told += [_share(row["converged"], row["pairs"]), f"{row['presentations']:.3g} ×", f"{row['multiply_adds']:.3g} ×"]
    return [
        *told,
        "<0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.2g}",
        "mends" if row["mends"] else "placebo" if row["cause"] == PLACEBO else "",
    ]


def settings(changes: Sequence[Change]) -> dict[str, Any]:
    """The keys of a sweep file that changes set, as they are written there."""
    keys: dict[str, Any] = {}
    for change in changes:
        keys |= change.keys
    if "loss_function" in keys:
        keys["loss"] = keys.pop("loss_function")
    if "hidden" in keys:
        keys["hidden"] = [int(size) for size in str(keys["hidden"]).split("-")]
    return {key: value for key, value in keys.items() if value is not None}


def commands(found: Diagnosis, sweep_file: str = "", store: str = "") -> list[str]:
    """What to do next: in a setup's own keys, and as commands where there is a sweep file."""
    lines = []
    if found.recommended:
        keys = settings(found.recommended.changes)
        lines.append("in your own code: " + ", ".join(f"{key} = {value}" for key, value in keys.items()))
    if sweep_file:
        lines.append(f"both setups from many seeds: fastbp sweep {shlex.quote(sweep_file)} -o {shlex.quote(store)}")
        if found.example is not None:
            identity = found.setup.identity()
            lines.append(f"then a run that fails: fastbp replay {shlex.quote(store)} {identity} {found.example}")
    return lines


def as_json(found: Diagnosis) -> dict[str, Any]:
    """The same for programs."""
    best = found.recommended
    return {
        "setup": found.setup.identity(),
        "runs": found.runs,
        "outcomes": found.outcomes,
        "verdict": verdict(found),
        "findings": [finding._asdict() for finding in found.findings],
        "changes": _records(found.table),
        "pairs": _records(found.pairs),
        "recommended": best
        and {"changes": settings(best.changes), "setup": best.setup.identity(), "runs": best.runs, "converged": best.converged},
        "example": found.example,
        "complete": found.complete,
    }


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): value.item() if isinstance(value, np.generic) else value for key, value in row.items()}
        for row in frame.to_dict("records")
    ]


def placed(found: Placed) -> list[str]:
    """Where a user's own weights lie among fresh seeds."""
    own, fresh = found.own, found.fresh
    smaller, fewer = f"{found.loss_percentile:.0f}%", f"{found.updates_percentile:.0f}%"
    return [
        f"Your weights, in {plural(own.runs, 'order')} of samples: {_share(int(own.converged().sum()), own.runs)} converge; of "
        f"{plural(fresh.runs, 'fresh seed')}, {_share(int(fresh.converged().sum()), fresh.runs)} do.",
        f"{smaller} of fresh networks end with a smaller loss, and {fewer} converge in fewer updates: {_luck(found)}.",
    ]


def _luck(found: Placed) -> str:
    worst = max(found.loss_percentile, found.updates_percentile)
    if worst >= 95:
        return "your network is unlucky"
    return "your network is lucky" if worst <= 5 else "your network is like others"


def placed_json(found: Placed) -> dict[str, Any]:
    """The same for programs."""
    return {
        "orders": found.own.runs,
        "converged": int(found.own.converged().sum()),
        "fresh": found.fresh.runs,
        "fresh_converged": int(found.fresh.converged().sum()),
        "loss_percentile": found.loss_percentile,
        "updates_percentile": found.updates_percentile,
    }
