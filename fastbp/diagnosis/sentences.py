"""The sentences of a diagnosis, each with its label."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastbp.analysis.statistics.proportions import wilson
from fastbp.diagnosis.candidates import Change
from fastbp.diagnosis.effects import score_of
from fastbp.diagnosis.recommend import Recommendation
from fastbp.diagnosis.symptoms import out_of_reach
from fastbp.diagnosis.trials import CONTROL
from fastbp.schema.text import and_, first_of, percent, plural, points

if TYPE_CHECKING:
    from fastbp.diagnosis.diagnose import Diagnosis

NONE = 0.02
"""A change makes no difference if the interval of its effect lies within this much of 0."""

SOUND, COMMON, MOST, RARE = 0.97, 0.85, 0.5, 0.15
"""Limits for the interval of the convergence rate. If its lower end is at least SOUND, a failure is
due to the user's own code or to a rare seed; at least COMMON, the setup is sound; at least MOST,
most seeds converge. If its upper end is below MOST, the setup is more to blame than the seed; below
RARE, it is not the seed."""

VAGUE = 0.5
"""If the 95% interval of the convergence rate is wider than this, the rate says nothing about a
single seed."""

APART = 0.05
"""Scores on the training rows and on held-out rows differ if they are further apart than this."""

SCORE_NAMES = {
    "accuracy": "accuracy",
    "r2": "R²",
    "test_accuracy": "accuracy on held-out rows",
    "test_r2": "R² on held-out rows",
}
"""What scores are called, by their columns."""

NOTES = (
    "contradicting-rows",
    "out-of-range-target",
    "unscaled-inputs",
    "recoded-labels",
    "imbalanced",
    "many-classes",
    "constant-column",
    "duplicated-rows",
)
"""The ids of notes about data, the most important ones first."""

MAX_ALSO = 4
"""The most other changes that help which a sentence lists."""

NAMED = 6
"""The most changes that a sentence lists."""


Line = tuple[str, str]
"""A label of at most seven letters, and a sentence."""


# The verdict


def labelled(diagnosis: Diagnosis, most: int) -> list[Line]:
    """The sentences of the verdict with their labels, the answer first.

    `most`: the most notes about data; the important ones come first.
    """
    notes = sorted(diagnosis.data, key=lambda note: NOTES.index(note.id))
    data = [("Data", f"{_capital(note.text)}.") for note in notes[:most]]
    data += [("Data", f"+ {len(notes) - most} more in --json.")] * (len(notes) > most)
    if diagnosis.impossible:
        return [("Wrong", f"no setup can learn this: {diagnosis.impossible}."), *data]
    lines = [*_answer(diagnosis), *_now(diagnosis), *data]
    if diagnosis.converged < 1 and diagnosis.symptoms:
        lines.append(("Failing", f"{'; '.join(each.text for each in diagnosis.symptoms)}."))
    lines += _others(diagnosis)
    if diagnosis.left_out:
        lines.append(("No time", f"to try {and_(first_of(diagnosis.left_out, NAMED))}."))
    return lines


def _answer(diagnosis: Diagnosis) -> Iterator[Line]:
    """Say what is wrong and what fixes it."""
    if diagnosis.converged == 1 or (diagnosis.own_fault and _is_sound(diagnosis)):
        return
    if beyond := out_of_reach(diagnosis.setup):
        yield "Wrong", f"{beyond}."
    elif _is_sound(diagnosis):
        yield "Fix", "another seed: this setup seldom fails."
    elif _fixing(diagnosis):
        yield "Wrong", _wrong(diagnosis)
    elif len(diagnosis.table) > 1:
        yield "Wrong", _nothing_fixes(diagnosis)
    yield from _recommendation(diagnosis)


def _now(diagnosis: Diagnosis) -> Iterator[Line]:
    """Say how often the setup fails, and whether to blame the seed, the setup or the code."""
    n, converged = diagnosis.runs, diagnosis.outcomes["converged"]
    low, high = map(float, wilson(converged, n))
    some = f"{percent(1 - converged / n)} of {plural(n, 'seed')} {'fails' if n == 1 else 'fail'}"
    everything = f"all {n:,} seeds converge" if n > 1 else "the one seed that was tried converges"
    constant = int(diagnosis.base.constant().sum())
    same = f"; {percent(constant / n)} give the same answer for every row" * (constant > 0)
    own = f"it is your weights, {diagnosis.own_fault}. From random weights, "
    own *= bool(diagnosis.own_fault)
    blames = (
        (high - low > VAGUE, "too few seeds to say whether yours is to blame"),
        (own and low >= COMMON, "the setup is not to blame"),
        (own, "your weights are not all that is wrong"),
        (out_of_reach(diagnosis.setup), "it is the rows, not your seed"),
        (
            converged == n and low >= SOUND,
            "this setup works here: where yours fails, your code or your settings differ",
        ),
        (converged == n, f"up to {percent(1 - low)} may still fail, so try more --seeds"),
        (low >= SOUND, "where yours does not converge, it is your code or a rare seed"),
        (low >= COMMON, "where yours does not converge, it is your seed or your code"),
        (high < RARE, "it is not your seed"),
        (high < MOST, "it is your setup more than your seed"),
        (True, "it is your seed as much as your setup"),
    )
    blame = next(text for applies, text in blames if applies)
    yield (
        "Now",
        f"{own}{some if converged < n else everything} (95% CI of the convergence rate: "
        f"{percent(low)} to {percent(high)}{same}): {blame}.",
    )
    if diagnosis.setup.resolved_success != "rows" or diagnosis.measure in SCORE_NAMES:
        name = score_of(diagnosis.setup)
        always = "always the commonest answer" if diagnosis.setup.groups else "always the mean"
        where = " on held-out rows" * (diagnosis.setup.success_on == "test")
        goal = f"; a seed converges if it reaches {diagnosis.setup.resolved_success}{where}"
        goal *= diagnosis.setup.resolved_success != "rows"
        yield (
            "Now",
            f"Median {SCORE_NAMES[name]} {score_text(diagnosis.base.median(name))}; {always}: "
            f"{score_text(diagnosis.majority)}{goal}.",
        )


def _wrong(diagnosis: Diagnosis) -> str:
    """Say what is wrong, as the changes that fix it show, and what the first of them does alone."""
    changes = _best(diagnosis)
    row = next((row for row in _fixing(diagnosis) if row["change"] == changes[0].name), None)
    enough = (
        row is not None
        and diagnosis.measure == "success"
        and float(wilson(row["converged"], row["pairs"])[0]) >= MOST
    )
    # If one change is not enough, more than one thing is wrong.
    cause = and_([each.cause for each in changes[: 1 if enough else None]])
    if diagnosis.measure != "success":
        judged = SCORE_NAMES.get(diagnosis.measure, "the share of constant answers")
        cause = f"judged by {judged}, {cause}"
    if row is None:
        return f"{cause}."
    does = "fixes it" if enough else "helps"
    return (
        f"{cause}. {_capital(row['change'])} {does}: {_does(diagnosis, row)} "
        f"({_effect_in_full(diagnosis, row)}), {cost_text(row['multiply_adds'])}."
    )


def _does(diagnosis: Diagnosis, row: dict[Any, Any]) -> str:
    """Say what a change does to the same seeds, by the measure of the diagnosis."""
    seeds = f"the same {plural(row['pairs'], 'seed')}"
    if diagnosis.measure in SCORE_NAMES:
        return f"mean {SCORE_NAMES[diagnosis.measure]} of {seeds} {score_text(row['level'])}"
    column, do = {
        "success": ("converged", "converge"),
        "constant": ("constant", "give the same answer for every row"),
    }[diagnosis.measure]
    return f"{share_text(row[column], row['pairs'])} of {seeds} then {do}"


def moved(measure: str, row: dict[Any, Any]) -> list[str]:
    """The effect of a change by a measure, and its 95% interval: fewer constants are negative."""
    effect = row["difference"], row["difference_low"], row["difference_high"]
    if measure == "constant":
        effect = -effect[0], -effect[2], -effect[1]
    if measure in SCORE_NAMES:
        return [
            f"{value:+.3f}".replace("-", "−") if abs(value) >= 5e-4 else "0" for value in effect
        ]
    return [points(value) for value in effect]


def _effect_in_full(diagnosis: Diagnosis, row: dict[Any, Any]) -> str:
    difference, low, high = moved(diagnosis.measure, row)
    return (
        f"{difference}{' points' * (diagnosis.measure not in SCORE_NAMES)}, 95% CI {low} to {high}"
    )


def _nothing_fixes(diagnosis: Diagnosis) -> str:
    """Say that no single change is seen to help, and how large an effect may have been missed."""
    tried = [row for row in diagnosis.table.to_dict("records") if row["cause"] != CONTROL]
    best, most = diagnosis.recommended, max(tried, key=lambda row: row["difference_high"])
    sure, changes = most["difference_high"] <= NONE, plural(len(tried), "single change")
    makes, nor = ("makes", "do pairs") if sure else ("is seen to make", "is any pair")
    nor = f", nor {nor} of them" * (diagnosis.complete and not best)
    none = f"none of {changes} {makes} more seeds converge{nor}"
    if not sure:
        hidden = f"effects of up to {moved(diagnosis.measure, most)[2]} points stay unseen"
        effect = f"{most['change']}: {_effect_in_full(diagnosis, most)}"
        none += f". With {plural(diagnosis.runs, 'seed')} and {changes}, {hidden} ({effect})"
    if not best:
        return f"{none}."
    both = "both" if len(best.changes) == 2 else "all"
    return (
        f"{and_([each.cause for each in best.changes])}, {both} at once. {_capital(none)}. "
        "Together, some do."
    )


def _others(diagnosis: Diagnosis) -> Iterator[Line]:
    """Say which other changes help, and which make no difference."""
    if diagnosis.converged == 1:
        needs = "needs" if _is_sound(diagnosis) else "was seen to need"
        yield "Also", f"nothing {'else ' * bool(diagnosis.own_fault)}{needs} fixing."
        return
    fixing = _fixing(diagnosis)
    good = [row for row in fixing if row["difference"] > fixing[0]["difference"] / 2]
    if _is_sound(diagnosis) and fixing:
        yield "Also", f"fewer seeds fail with {_effects(diagnosis, good[:2], ' or with ')}."
    elif others := [row for row in good if row["change"] != _best(diagnosis)[0].name]:
        yield "Also", f"these help too: {_effects(diagnosis, others[:MAX_ALSO], ', ')}."
    small = [
        row["change"]
        for row in diagnosis.table.to_dict("records")
        if row["cause"] != CONTROL
        and max(abs(row["difference_low"]), abs(row["difference_high"])) <= NONE
        and not row["fixes"]
    ]
    yield from _orders(diagnosis)
    if small:
        near = f"±{NONE}" if diagnosis.measure in SCORE_NAMES else f"±{100 * NONE:.0f} points"
        yield "No help", f"{and_(first_of(small, NAMED))} (95% CI within {near})."


def _orders(diagnosis: Diagnosis) -> Iterator[Line]:
    """Say how much an order of samples changes if everything else is the same."""
    compared = diagnosis.orders
    if compared is None or not (diagnosis.advised or compared.low > 0):
        return
    n, other = compared.runs, compared.order.name
    moved = f"{other} is {'better' if compared.low > 0 else 'worse'}"
    worth = "no measurable difference" if compared.low <= 0 <= compared.high else moved
    intro = "the answerer's advice, compared fairly: with" if diagnosis.advised else "with"
    yield (
        "Order",
        f"{intro} {compared.change.name} in both, {share_text(compared.other, n)} of "
        f"{plural(n, 'fresh seed')} converge with {other} and "
        f"{share_text(compared.converged, n)} with order {diagnosis.setup.resolved_order} "
        f"({points((compared.other - compared.converged) / n)} points, 95% CI "
        f"{points(compared.low)} to {points(compared.high)}): {worth}.",
    )


def _recommendation(diagnosis: Diagnosis) -> Iterator[Line]:
    if diagnosis.withdrawn:
        names = and_([each.name for each in diagnosis.withdrawn.changes])
        yield "Fix", f"none found: {names} looked better, but did not hold on fresh seeds."
    best = diagnosis.recommended
    if best is None:
        return
    names, n = and_([each.name for each in best.changes]), best.runs
    if not n:
        yield "Fix", f"{names}; there was no time to check it on fresh seeds."
        return
    before = share_text(int(best.before.converged().sum()), n)
    constant = [int(runs.constant().sum()) for runs in (best.after, best.before)]
    now, then = (share_text(count, n) for count in constant)
    same = f"; {now} give the same answer for every row ({then} without)" * any(constant)
    yield (
        "Fix",
        f"{names}. Of {plural(n, 'fresh seed')}, not used to choose this, "
        f"{share_text(best.converged, n)} converge ({before} without){same}"
        f"{_scores(diagnosis, best)}.",
    )
    success = diagnosis.setup.resolved_success
    goal = f"reach {success}" if success != "rows" else "converge"
    seeds = "most" if best.converged else "all"
    found = f"This is the best that was found; {seeds} seeds still do not {goal}."
    if float(wilson(best.converged, n)[1]) < MOST and not out_of_reach(diagnosis.setup):
        most = "Most still fail: more is wrong than these changes can fix."
        yield "Fix", most if diagnosis.measure == "success" else found


def _scores(diagnosis: Diagnosis, best: Recommendation) -> str:
    """Say the score of a recommended setup on its rows and on held-out ones."""
    setup, name = diagnosis.setup, score_of(diagnosis.setup).removeprefix("test_")
    if setup.resolved_success == "rows" and diagnosis.measure not in SCORE_NAMES and not setup.test:
        return ""
    text = f"; median {SCORE_NAMES[name]} {score_text(best.after.median(name))}"
    test, train = best.tested.median(f"test_{name}"), best.tested.median(name)
    if not test > -math.inf:
        return text
    rows, copies, usual = best.held_out_rows()
    apart = f", less than the {score_text(train)} on the rows it was trained on"
    apart *= train - test > APART
    always = "the commonest answer" if setup.groups else "the mean"
    same = f", and no more than always giving {always} ({score_text(usual)})" * (test <= usual)
    occur = f"; of {plural(rows, 'held-out row')}, {copies} also occur{'s' * (copies == 1)} among"
    others = f"{occur} the others" * (copies > 0)
    return f"{text}, {score_text(test)} on held-out rows{apart}{same}{others}"


# Parts of sentences


def share_text(count: int, total: int) -> str:
    """A share in percent; – of nothing."""
    return percent(count / total) if total else "–"


def score_text(value: float) -> str:
    """An accuracy or R²; – if it is not finite."""
    text = f"{value:.2f}" if abs(value) < 1000 else f"{value:.3g}"
    return text.replace("-", "−") if math.isfinite(value) else "–"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _is_sound(diagnosis: Diagnosis) -> bool:
    """Whether few enough seeds fail that another seed is the cure."""
    return float(wilson(diagnosis.outcomes["converged"], diagnosis.runs)[0]) >= COMMON


def cost_text(times: float) -> str:
    """What a run costs, as a multiple of the multiply-adds of the setup."""
    return "at no cost" if abs(times - 1) < 0.005 else f"at {times_text(times)} × the multiply-adds"


def times_text(value: float) -> str:
    """A multiple, without digits that say nothing."""
    if math.isinf(value):
        return "more than 1e+308"
    return f"{value:,.0f}" if 100 <= value < 1e9 else f"{value:.3g}"


def _effects(diagnosis: Diagnosis, rows: Iterable[dict[Any, Any]], between: str) -> str:
    unit = " points" * (diagnosis.measure not in SCORE_NAMES)
    return between.join(
        f"{row['change']} ({moved(diagnosis.measure, row)[0]}{unit}, "
        f"{cost_text(row['multiply_adds'])})"
        for row in rows
    )


def _best(diagnosis: Diagnosis) -> tuple[Change, ...]:
    """The recommended changes; if there are none, the first change in the table."""
    best = diagnosis.recommended
    return best.changes if best else diagnosis.changes[diagnosis.table["change"].iloc[0]]


def _fixing(diagnosis: Diagnosis) -> list[dict[Any, Any]]:
    return diagnosis.table[diagnosis.table["fixes"]].to_dict("records")
