"""A diagnosis in words: the verdict first, then the table, then what to do with it."""

from __future__ import annotations

import math
import os
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fastbp.analysis.statistics.proportions import wilson
from fastbp.config.setup import Setup
from fastbp.config.toml_text import toml
from fastbp.diagnosis.candidates import Change
from fastbp.diagnosis.diagnose import Diagnosis
from fastbp.diagnosis.own_weights import Placed
from fastbp.diagnosis.ranking import PLACEBO
from fastbp.diagnosis.recommend import Recommended
from fastbp.reporting.phrases import aligned, and_, percent, plain, plural, points

MAX_LINES = 7
"""Changes that a terminal shows."""

MAX_PAIRS = 2

MAX_WIDE = 118
"""Characters of a line of a terminal."""

NONE = 0.02
"""A difference of shares up to which a change does next to nothing."""

COMMON = 0.9
"""A setup of whose seeds so many converge is none that fails."""

SOUND = 0.99
"""A setup of whose seeds so many converge does not explain a network that fails."""

VAGUE = 0.5
"""An interval of a share that is wider says nothing about anybody's seed."""

OF_DATA = ("unscaled inputs", "contradictory labels")
"""Findings that are about the problem, whatever is trained."""

NAMED = 6
"""Changes that a sentence names."""


def screen(
    found: Diagnosis, own: Placed | None = None, commands_: Sequence[str] | None = None
) -> list[str]:
    """All of it for a terminal: the verdict, the table, and what to do."""
    sentences = [*verdict(found), *(placed(own) if own else [])]
    lines = [
        line
        for sentence in sentences
        for line in textwrap.wrap(sentence, MAX_WIDE, break_on_hyphens=False)
    ]
    for part in (table(found), commands(found) if commands_ is None else commands_):
        lines += ["", *part] if part else []
    return lines


def verdict(found: Diagnosis) -> list[str]:
    """What is wrong, what fixes it, and what does not, in sentences."""
    if final := [finding for finding in found.findings if finding.final]:
        return [f"No setup can learn this: {'; '.join(finding.text for finding in final)}."]
    lines = [_how_common(found)]
    if found.converged < 1:
        lines += [
            f"Of the data: {finding.text}." for finding in found.findings if finding.name in OF_DATA
        ]
        told = [finding.text for finding in found.findings if finding.name not in OF_DATA]
        lines.append(
            f"What failing runs did: {'; '.join(told)}."
            if told
            else "Failing runs show nothing unusual."
        )
    if found.left_out:
        lines.append(f"There was no time to try {_few(found.left_out)}.")
    best = _fixing(found)
    if found.converged == 1:
        return [*lines, "Nothing is to be fixed: the setup is sound."]
    if found.converged >= COMMON:
        lines.append(
            "Another seed fixes it: the setup is sound."
            if found.converged < SOUND
            else "The setup is sound."
        )
        if best:
            lines.append(
                f"Fewer seeds fail with {' or with '.join(_told(row) for row in best[:2])}."
            )
        return [*lines, *_recommendation(found)]
    if not best:
        tried = int((found.table["cause"] != PLACEBO).sum())
        seeds = plural(found.runs, "seed")
        nor = ", nor do pairs of them" if found.complete and not found.recommended else ""
        what = f"None of {plural(tried, 'single change')} makes more seeds converge{nor}, as far as {seeds} can show."
        if found.recommended:
            several = and_([change.cause for change in found.recommended.changes])
            many = "both" if len(found.recommended.changes) == 2 else "all"
            what = f"What is wrong: {several}, {many} at once. {what[:-1]}; together, some do."
        return [*lines, what, *_recommendation(found)] if tried else lines
    first = best[0]
    name = first["change"][:1].upper() + first["change"][1:]
    does = "fixes it" if first["converged"] > first["pairs"] / 2 else "helps most"
    cause = str(first["cause"])
    if does == "helps most" and found.recommended and len(found.recommended.changes) > 1:
        cause = and_(
            [change.cause for change in found.recommended.changes]
        )  # more than one thing is wrong
    lines.append(
        f"What is wrong: {cause}. {name} {does}: {_share(first['converged'], first['pairs'])} of the same "
        f"{plural(first['pairs'], 'seed')} then converge ({_difference(first)}), {_cost(first['multiply_adds'])}."
    )
    return [*lines, *_more(found)]


def _more(found: Diagnosis) -> list[str]:
    """What else fixes, what does not, and what is recommended."""
    lines, best = [], _fixing(found)
    others = [row for row in best[1:] if row["difference"] > best[0]["difference"] / 2]
    if others:
        many = "does" if len(others) == 1 else "do"
        lines.append(
            f"At least half as well {many}: {', '.join(_told(row) for row in others[:4])}."
        )
    rows = [row for row in found.table.to_dict("records") if row["cause"] != PLACEBO]
    small = [row["change"] for row in rows if abs(row["difference"]) <= NONE and not row["fixes"]]
    orders = [name for name in small if name.startswith("order ")]
    if orders:
        lines.append(f"The order of samples by itself does next to nothing ({and_(orders)}).")
    lines += _fairly(found)
    rest = [name for name in small if name not in orders]
    if rest:
        lines.append(f"Next to nothing comes of: {_few(rest)}.")
    return [*lines, *_recommendation(found)]


def _few(names: Sequence[str]) -> str:
    more = len(names) - NAMED
    return f"{', '.join(names[:NAMED])} and {more:,} more" if more > 1 else and_(names)


def _fairly(found: Diagnosis) -> list[str]:
    """What an order of samples is worth where all else is changed alike."""
    judged = found.judged
    if judged is None or not (found.advised or judged.low > 0):
        return []
    n, other = judged.runs, judged.order.name
    interval = f"95% interval {points(judged.low)} to {points(judged.high)}"
    worth = "no difference is seen"
    if not judged.low <= 0 <= judged.high:
        worth = f"{other} is {'better' if judged.low > 0 else 'worse'} by that much and no more"
    own = f"{_share(judged.converged, n)} under order {found.setup.resolved_order} still"
    shares = f"{_share(judged.other, n)} of {plural(n, 'fresh seed')} converge under {other}, {own}"
    whose = "The answerer's advice, judged fairly: with" if found.advised else "With"
    difference = points((judged.other - judged.converged) / n)
    return [
        f"{whose} {judged.change.name} in both, {shares} ({difference} points, {interval}): {worth}."
    ]


def _how_common(found: Diagnosis) -> str:
    n, converged = found.runs, found.outcomes["converged"]
    low, high = (float(bound) for bound in wilson(converged, n))
    constant = found.outcomes["collapsed"] + found.outcomes["one-class"]
    failing = f"{_share(n - converged, n)} of {plural(n, 'seed')} {'fails' if n == 1 else 'fail'} under this setup"
    if converged == n:
        failing = f"All {n:,} seeds converge" if n > 1 else "The one seed that was tried converges"
    interval = (
        f"between {percent(low)} and {percent(high)} of all seeds converge, with 95% confidence"
    )
    alike = f"; {percent(constant / n)} give the same answer to everything" if constant else ""
    seed = "it is your seed"
    if converged / n < COMMON:
        seed = (
            "it is not your seed"
            if converged / n < 0.1
            else "it is your seed as much as your setup"
        )
    elif converged / n >= SOUND:
        seed = "where yours does not, it is your code" + (
            ", or a rare seed" if converged < n else ""
        )
    if high - low > VAGUE:
        seed = "too few seeds to say whether it is yours"
    return f"{failing} ({interval}{alike}): {seed}."


def _share(count: int, total: int) -> str:
    return percent(count / total) if total else "–"


def _difference(row: dict[Any, Any]) -> str:
    low, high = points(row["difference_low"]), points(row["difference_high"])
    return f"{points(row['difference'])} points, 95% interval {low} to {high}"


def _cost(times: float) -> str:
    return "at no cost" if abs(times - 1) < 0.005 else f"at {_times(times)} × the multiply-adds"


def _times(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _told(row: dict[Any, Any]) -> str:
    return f"{row['change']} ({points(row['difference'])} points, {_cost(row['multiply_adds'])})"


def _fixing(found: Diagnosis) -> list[dict[Any, Any]]:
    rows: list[dict[Any, Any]] = found.table[found.table["fixes"]].to_dict("records")
    return rows


def _recommendation(found: Diagnosis) -> list[str]:
    best = found.recommended
    if best is None:
        return []
    what = and_([change.name for change in best.changes])
    if not best.runs:
        return [f"Recommended: {what}; there was no time to check it on fresh seeds."]
    it = "it" if len(best.changes) == 1 else "them"
    most = (
        ""
        if best.converged > best.runs / 2
        else " Most still fail: more is wrong than what was tried can fix."
    )
    return [
        f"Recommended: {what}. Of {plural(best.runs, 'fresh seed')}, which took no part in choosing {it}, "
        f"{_share(best.converged, best.runs)} converge, and {_share(best.before, best.runs)} without {it}.{most}"
    ]


TITLES = [
    "change",
    "fixed",
    "broken",
    "difference",
    "[95%]",
    "converge",
    "presented",
    "mult-adds",
    "p (Holm)",
    "",
]
"""Of the columns of a table of changes."""


def table(found: Diagnosis) -> list[str]:
    """The changes that were tried, best first, one line each, and the best pairs."""
    rows = found.table.to_dict("records")
    if all(row["cause"] == PLACEBO for row in rows):
        return []
    changes, placebo = (
        [row for row in rows if (row["cause"] == PLACEBO) == is_placebo]
        for is_placebo in (False, True)
    )
    shown = changes[:MAX_LINES] + placebo
    best = and_([change.name for change in found.recommended.changes]) if found.recommended else ""
    # What is recommended first, then as they come.
    pairs = sorted(found.pairs.to_dict("records"), key=lambda row: row["change"] != best)[
        :MAX_PAIRS
    ]
    lines = aligned([TITLES, *map(cells, shown)], left=(0, len(TITLES) - 1))
    more = len(rows) - len(shown)
    lines += (
        [f"and {plural(more, 'change')} that did no more than the last of these"] if more else []
    )
    for row in pairs:
        together = f"{row['change']}: {_share(row['converged'], row['pairs'])} of {plural(row['pairs'], 'fresh seed')} converge"
        lines += [f"together, {together}, {_cost(row['multiply_adds'])}"]
    return lines


def cells(row: dict[Any, Any]) -> list[str]:
    """A row of a table as texts."""
    interval = f"[{points(row['difference_low'])}, {points(row['difference_high'])}]"
    told = [
        row["change"],
        plain(row["fixed"]),
        plain(row["broken"]),
        points(row["difference"]),
        interval,
    ]
    told += [
        _share(row["converged"], row["pairs"]),
        f"{_times(row['presentations'])} ×",
        f"{_times(row['multiply_adds'])} ×",
    ]
    return [
        *told,
        "<0.0001" if row["p_holm"] < 1e-4 else f"{row['p_holm']:.2g}",
        "fixes" if row["fixes"] else "placebo" if row["cause"] == PLACEBO else "",
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


def commands(found: Diagnosis, sweep_file: str = "", store: str = "", name: str = "") -> list[str]:
    """What to do next: in a setup's own keys, and as commands where there is a sweep file.

    `name`: what the setup is called in Python, where somebody has it there.
    """
    lines = []
    if found.recommended:
        lines.append(f"in your own code: {_own_code(found.recommended)}")
    if sweep_file:
        what = "both setups" if found.recommended else "the setup"
        lines.append(
            f"{what} from many seeds: fastbp sweep {shlex.quote(sweep_file)} -o {shlex.quote(store)}"
        )
        if found.example is not None:
            run = f"{shlex.quote(store)} {found.setup.identity()} {found.example}"
            lines.append(f"then a run that fails, and its picture: fastbp replay {run}")
    elif found.example is not None and (setup := name or _python(found.setup)):
        lines.append(f"a run that fails, from Python: fastbp.retrain({setup}, {found.example})")
    return lines


def _python(setup: Setup) -> str:
    """A setup as Python makes it; nothing where its problem is a file that is not there, such as a
    part drawn of a table.
    """
    keys = setup.model_dump(exclude_defaults=True)
    if setup.problem.startswith("file:"):
        path = setup.problem.removeprefix("file:")
        if not os.path.exists(path):
            return ""
        keys["problem"] = f"file:{os.path.relpath(path)}"
    return f"fastbp.Setup({', '.join(f'{key}={value!r}' for key, value in keys.items())})"


def _own_code(best: Recommended) -> str:
    """The keys that change, with what a program must heed that has other words for them."""
    keys = settings(best.changes)
    notes = {}
    if best.setup.batch_rows > 1:
        notes["batch"] = (
            "sum the gradients of its rows"
            if best.setup.reduction == "sum"
            else "average the gradients of its rows"
        )
    scaled = {
        "standard": "each input column less its mean, over its σ",
        "minmax": "each input column from 0 to 1",
    }
    notes |= (
        {"scale_inputs": scaled[best.setup.scale_inputs]}
        if best.setup.scale_inputs in scaled
        else {}
    )
    told = (
        f"{key} = {toml(value)}" + (f" ({notes[key]})" if key in notes else "")
        for key, value in keys.items()
    )
    return ", ".join(told)


def as_json(found: Diagnosis) -> dict[str, Any]:
    """The same for programs."""
    best, judged = found.recommended, found.judged
    return {
        "setup": found.setup.identity(),
        "runs": found.runs,
        "outcomes": found.outcomes,
        "verdict": verdict(found),
        "findings": [finding._asdict() for finding in found.findings],
        "changes": _records(found.table),
        "pairs": _records(found.pairs),
        "recommended": best
        and {
            "changes": settings(best.changes), "setup": best.setup.identity(), "runs": best.runs, "converged": best.converged,
            "before": best.before,
        },
        "judged": judged
        and judged._asdict() | {"change": settings([judged.change]), "order": settings([judged.order])["order"]},
        "left_out": found.left_out,
        "example": found.example,
        "complete": found.complete,
    }  # fmt: skip


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    """A value as JSON knows it: a loss that is not finite is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def placed(found: Placed) -> list[str]:
    """Where a user's own weights lie among fresh seeds."""
    own, fresh = found.own, found.fresh
    ends = f"{found.loss_percentile:.0f}% of fresh networks end with a smaller loss"
    if not found.converges:
        told = (
            f"{ends}, and in most orders yours never converge"
            if fresh.converged().any()
            else f"{ends}, and none converge"
        )
    else:
        told = f"{ends}, and {found.updates_percentile:.0f}% converge in fewer updates"
    lines = [
        f"Your weights, in {plural(own.runs, 'order')} of samples: {_share(int(own.converged().sum()), own.runs)} converge; of "
        f"{plural(fresh.runs, 'fresh seed')}, {_share(int(fresh.converged().sum()), fresh.runs)} do.",
    ]
    if not found.alike:
        return [*lines, f"{told}: {_luck(found)}."]
    layer, units, of_ = found.alike[0]
    same = f"{f'all {units}' if units == of_ else units} units of hidden layer {layer + 1}"
    return [
        *lines,
        f"{told}. That is no bad luck: {same} start with the same weights, in and out, so that they always get the same "
        "updates and stay one unit, in whatever order. Draw initial weights at random.",
    ]


def _luck(found: Placed) -> str:
    """Whether it is at an end of the fresh ones, or does what most of them do not."""
    own, fresh = found.own.converged().mean() > 0.5, found.fresh.converged().mean() > 0.5
    percentiles = [
        found.loss_percentile,
        *([found.updates_percentile] if found.fresh.converged().any() else []),
    ]
    if max(percentiles) >= 95 or (fresh and not own):
        return "your network is unlucky"
    return (
        "your network is lucky"
        if max(percentiles) <= 5 or (own and not fresh)
        else "your network is like others"
    )


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
