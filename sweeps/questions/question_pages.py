"""The pages of single questions, as Markdown with a picture; make_page.py writes them."""

import tomllib
from collections.abc import Iterator
from typing import Any

from cases import JUDGED, Case, diagnosed, does_most, interval, source_of, table
from judge import (
    AS_ASKED,
    HERE,
    LEVEL,
    OWN,
    RIGHT,
    Change,
    contribution,
    together,
)
from matplotlib.figure import Figure

from fastbp.reporting.plots import style
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import percent, points

RULES = {
    0: "most runs as asked diverge, and the asker saw no such thing: this is not their network",
    1: "the answer does not help, or less than a tenth as much as the best setup",
    2: "the setup as asked seldom fails, so another seed does it",
    3: "one of its changes gives the network something else to learn",
    4: "it does at least half of what the best setup does, each change that it names helps, and "
    "one of these does most",
    5: "it helps, but the best setup does more than twice as much, or a change that it names does "
    "not help, or one that it does not name does most",
}
"""Each rule of README.md in a clause, as the reason for a verdict."""

OTHER = "#d9d9d9"
"""The colour of runs that neither converge nor answer the same to every row nor diverge."""


def ranked(case: Case) -> list[Change]:
    """All changes of a question, the largest effect first."""
    return sorted(case.effects.changes, key=lambda each: -case.effect(each).value)


def label(case: Case, change: Change) -> str:
    """The name of a setup: its changes, and whether they are the answer or belong to it."""
    if change == AS_ASKED:
        return "as asked"
    ways = case.question.ways
    if any(change == together(way) for way in ways) or change == case.question.instead:
        return f"the answer: {case.text(change)}"
    return case.text(change) + " (of the answer)" * any(change in way for way in ways)


@style.styled
def picture(case: Case) -> Any:
    """How the runs end as asked and with each change: a bar of stacked shares for each setup."""
    setups = [AS_ASKED, *ranked(case)]
    names = [style.clipped(label(case, each), 5.0, 9) for each in setups]
    left, high = max(style.inches(name, 9) for name in names) + 0.3, 0.28 * len(names) + 1.0
    wide = left + 5.2
    figure = Figure(figsize=(wide, high))
    ax = figure.add_axes((left / wide, 0.5 / high, 5.0 / wide, 1 - 0.9 / high))
    counts = [case.effects.counts[AS_ASKED, each] for each in setups]
    parts = {
        "converged": (Outcome.CONVERGED.colour, [each.share for each in counts]),
        "the same answer to every row": (
            Outcome.COLLAPSED.colour,
            [each.constant for each in counts],
        ),
        "diverged": (Outcome.DIVERGED.colour, [each.diverged for each in counts]),
    }
    known = zip(*(shares for _, shares in parts.values()), strict=True)
    parts["other"] = OTHER, [1 - sum(row) for row in known]
    start = [0.0] * len(setups)
    for name, (colour, shares) in parts.items():
        if not any(shares):
            continue
        wide_parts = [100 * max(share, 0.0) for share in shares]
        ax.barh(range(len(setups)), wide_parts, 0.72, start, color=colour, label=name)
        start = [sum(pair) for pair in zip(start, wide_parts, strict=True)]
    ax.set_yticks(range(len(names)), names, fontsize=9)
    for text, name in zip(ax.get_yticklabels(), names, strict=True):
        text.set_fontweight("bold" if name.startswith(("as asked", "the answer")) else "normal")
    ax.set(ylim=(len(names) - 0.4, -0.6), xlim=(0, 100), xlabel="share of runs (%)")
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=4, fontsize=9, frameon=False,
        borderaxespad=0.2, handlelength=1.2, columnspacing=1.2,
    )  # fmt: skip
    return style.bare(ax)


def finding(case: Case) -> str:
    """What the runs show, in sentences."""
    share, low, high = case.effects.fails()
    asked = case.effects.counts[AS_ASKED, AS_ASKED]
    text = (
        f"As asked, {percent(share)} of {asked.pairs:,} seeds fail (95% interval {percent(low)} to "
        f"{percent(high)})"
    )
    text += f", and {percent(asked.constant)} answer the same to every row" * (asked.constant > 0)
    text += f", and {percent(asked.diverged)} diverge" * (asked.diverged > 0)
    if case.verdict:
        effect = case.effect(case.whole)
        text += f". With the answer, {percent(case.share(case.whole))} converge"
        text += f": {interval(effect)} points"
    return f"{text}. What does most by itself: {does_most(case)}."


def explanation(case: Case, rules: str) -> Iterator[str]:
    """What the answer says, and whether it holds by the rules, which stand at an address."""
    if not case.verdict:
        yield "The answer cannot be read, so nothing is judged."
        return
    question, verdict = case.question, case.verdict
    answer = question.answer.removeprefix("asker: ")
    yield f"The answer: {answer}. Its explanation: {question.because}."
    yield ""
    yield (
        f"Does that hold? **{verdict.verdict.capitalize()}**, by "
        f"[rule {verdict.rule}]({rules}): "
        f"{RULES[verdict.rule]}."
    )
    if len(verdict.way) > 1:
        yield from ["", "Its changes made by themselves, and made last, added to the others:", ""]
        rows = [
            [case.text(change), *map(interval, contribution(case.effects, verdict.way, change))]
            for change in verdict.way
        ]
        yield from table(["change", "by itself", "last"], rows)


def diagnosis(case: Case) -> str:
    """What the diagnosis says, and how good that is."""
    first, (value, low, high) = case.first, case.first.effect
    text = f"Given the setup as asked and its data for a minute, it names first: {diagnosed(case)}"
    if first.change and (value, low, high) != (0.0, 0.0, 0.0):
        text += f" ({case.text(first.change)}: {points(value)} points on its own seeds"
        text += f", {points(low)} to {points(high)})" if low < high else ")"
    note = {RIGHT: "another cause does as much", OWN: "the grid lacks that value"}
    return f"{text}. {note[case.score].capitalize()}.".strip() if case.score in note else f"{text}."


def rebuilt(case: Case) -> Iterator[str]:
    """What the head of the sweep file says."""
    for line in (HERE / case.question.file).read_text("utf-8").splitlines():
        if not line.startswith("#"):
            return
        yield line.removeprefix("#").strip()


def cells(case: Case, change: Change) -> list[str]:
    """The row of a setup."""
    counts = case.effects.counts[AS_ASKED, change]
    effect = interval(case.effect(change)) if change else ""
    others = [percent(part) if part else "" for part in (counts.constant, counts.diverged)]
    return [label(case, change), f"{counts.pairs:,}", percent(counts.share), effect, *others]


def page(case: Case) -> str:
    """The text of the page of a question."""
    question = case.question
    title = tomllib.loads((HERE / question.file).read_text("utf-8"))["title"]
    up = "../" * question.store.removeprefix("../").count("/")
    further = question.store.startswith("further")
    where = f"{'Further question' if further else 'Question'} {source_of(question)}"
    dated = f", {question.date}" * bool(question.date)
    columns = ["setup", "seeds", "converge", "effect in points", "constant", "diverged"]
    file = f"sweeps/questions/{question.file}".replace("questions/../", "")
    lines = [
        "<!-- Made by python sweeps/questions/make_page.py. -->",
        "",
        f"# {title}",
        "",
        f"{where}{dated}. {question.network}: {question.asked}. [All questions]({up}README.md)",
        "",
        finding(case),
        "",
        f"![How the runs end, as asked and with each change]({question.name}.svg)",
        "",
        "## The explanation",
        "",
        *explanation(case, up + JUDGED),
        "",
        "## Every change",
        "",
        "Over the same seeds as the setup as asked, the largest effect first; the intervals of a "
        f"question hold at once, at {LEVEL:.0%}.",
        "",
        *table(columns, [cells(case, each) for each in (AS_ASKED, *ranked(case))]),
        "",
        "## The diagnosis",
        "",
        diagnosis(case),
        "",
        "## The network, rebuilt",
        "",
        *rebuilt(case),
        "",
        "```sh",
        f"python -m fastbp.sweep {file}",
        "```",
        "",
    ]
    return "\n".join(lines)
