"""Makes the page of the questions: `python sweeps/questions/make_page.py`.

From effects.csv and diagnose.csv in results/questions, which make_counts.py and make_diagnoses.py
write, and from answers.json it makes README.md, questions.csv and questions.svg there: the same
bytes each time.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from judge import (
    AS_ASKED,
    BEST,
    MAIN,
    NEARLY,
    OWN,
    RARE,
    RIGHT,
    Change,
    Counts,
    Diagnosed,
    Effects,
    Question,
    Step,
    Verdict,
    contribution,
    kind_of,
    questions,
    read,
    score,
    together,
    verdict,
    written,
)
from make_counts import FOLDER, counts_in, csv_of, rows_of
from matplotlib.figure import Figure

from fastbp.analysis.statistics.paired import PointsInterval
from fastbp.reporting.plots import style
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import and_, percent, points

RULES = "[the rules](../../sweeps/questions/README.md#how-an-answer-is-judged)"


# From counts to verdicts


class Case(NamedTuple):
    """A question with what its runs show; `verdict` is None where no answer can be read."""

    question: Question
    effects: Effects
    verdict: Verdict | None
    best: Change
    single: Change
    first: Diagnosed
    score: str

    @property
    def whole(self) -> Change:
        """All changes of the answer."""
        return together(self.verdict.way) if self.verdict else AS_ASKED

    def share(self, change: Change) -> float:
        """The share that converges with a change."""
        return self.effects.counts[AS_ASKED, change].share

    def effect(self, change: Change, start: Change = AS_ASKED) -> PointsInterval:
        """The effect of a change."""
        return self.effects.of(change, start)

    def text(self, change: Change) -> str:
        """A change for a reader: `lr 0.2 → 0.02, epochs 50 → 500`."""
        asked, order = self.effects.asked, [*MAIN, "lr"]
        return ", ".join(
            f"{key} {grouped(asked[key])} → {grouped(value)}"
            if key in asked
            else f"{key} {grouped(value)}"
            for key, value in sorted(change, key=lambda each: (each[0] not in order, each))
        )


def grouped(text: str) -> str:
    """A value with its digits in groups: 100,000."""
    return f"{int(text):,}" if text.isdigit() else text


def case_of(
    question: Question, counts: Mapping[Step, Counts], diagnosis: Mapping[str, str]
) -> Case:
    """Judge a question from its counts and its row of diagnose.csv."""
    effects = Effects(question, counts)
    gain = (float(diagnosis[name] or 0) for name in ("difference", "low", "high"))
    first = Diagnosed(read(diagnosis["change"]), diagnosis["cause"], PointsInterval(*gain))
    return Case(
        question,
        effects,
        verdict(effects) if question.ways else None,
        effects.best(),
        effects.best(single=True),
        first,
        score(effects, first),
    )


def cases(folder: Path = FOLDER) -> list[Case]:
    """Judge all questions from effects.csv and diagnose.csv."""
    counts = counts_in(folder)
    diagnoses = {row["question"]: row for row in rows_of(folder / "diagnose.csv")}
    return [case_of(each, counts[each.file], diagnoses[each.file]) for each in questions()]


# From verdicts to the page


def interval(effect: PointsInterval) -> str:
    """An effect in points, with its interval: `+84.5 (+83.9 to +85.1)`."""
    value, low, high = map(points, effect)
    return f"{value} ({low} to {high})"


def findings(judged: Sequence[Case], further: Sequence[Case]) -> str:
    """The paragraph of findings."""
    verdicts = Counter(each.verdict.verdict for each in judged if each.verdict)
    unlike = verdicts["not judged"]
    left = f"; {unlike} {'is' if unlike == 1 else 'are'} not judged" * (unlike > 0)
    fails = [each.effects.fails() for each in judged]
    helped = [each for each in judged if each.effects.helps(each.whole)]
    ended, single = (
        sum(each.share(change(each)) >= NEARLY for each in judged)
        for change in (lambda each: each.whole, lambda each: each.single)
    )
    kinds = Counter(
        kind_of(each.single, each.effects.asked)
        for each in judged
        if each.effects.helps(each.single)
    )
    common = [f"{kind} in {n}" for kind, n in sorted(kinds.items(), key=lambda k: (-k[1], k[0]))]
    beaten = sum(each.effect(each.whole).high < each.effect(each.single).low for each in judged)
    right, by_grid, exact = (
        [sum(each.score in scores for each in group) for group in (judged, further)]
        for scores in ((BEST, RIGHT, OWN), (BEST, RIGHT), (BEST,))
    )
    return (
        f"Of {len(judged)} answers, the explanation of {verdicts['yes']} holds, that of "
        f"{verdicts['in part']} holds in part, and that of {verdicts['no']} does not{left}. "
        "The setup as "
        f"asked fails in more than half of the seeds in {sum(low > 0.5 for _, low, _ in fails)} "
        f"questions, and in fewer than one in twenty in {sum(high < RARE for *_, high in fails)}. "
        f"The answer helps in {len(helped)}, and nine of ten runs converge with it in {ended}; "
        f"the best single change does that in {single}, and is shown to do more than the whole "
        f"answer in {beaten}. What does most by itself is {and_(common)}. A diagnosis of "
        f"the setup and its data names a right cause first in {right[0]} of {len(judged)}, and in "
        f"{right[1]} of the {len(further)} further ones that nothing is tuned on; by the grid "
        f"alone in {by_grid[0]} and {by_grid[1]}, and the very best one in {exact[0]} and "
        f"{exact[1]}."
    )


def source_of(question: Question) -> str:
    """The number of a question, linked to where it stands."""
    return f"[{question.label}]({question.source})" if question.source else question.label


def page_of(question: Question) -> str:
    """The link from the results of a question to its sweep file, which makes its own page."""
    return f"../../sweeps/questions/{question.file}"


def common_cells(case: Case) -> list[str]:
    """What both tables have: question, network, fails."""
    question, (share, low, high) = case.question, case.effects.fails()
    asked = case.effects.counts[AS_ASKED, AS_ASKED]
    fails = f"{percent(share)} of {asked.pairs:,} ({percent(low)}–{percent(high)})"
    fails = fails.replace("%–", "–")
    for name in ("constant", "diverged"):
        part = getattr(asked, name)
        fails += f"; {percent(part)} {name}" * (part > 0)
    network = f"[{question.network}]({page_of(question)})"
    return [source_of(question), network, question.asked, fails]


def does_most(case: Case) -> str:
    """The best single change with its effect, and the best setup where it does more."""
    if not case.effects.helps(case.single):
        return "nothing that was tried by itself"
    text = f"{case.text(case.single)}: {interval(case.effect(case.single))}"
    if case.effect(case.best).low > case.effect(case.single).high:
        text += f"; together {case.text(case.best)}: {interval(case.effect(case.best))}"
    return text


def diagnosed(case: Case) -> str:
    """What the diagnosis names first, and whether that is right."""
    return f"{case.first.cause or 'nothing'}: {case.score}"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A table in Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return [f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines]


def parts_of(case: Case) -> list[list[str]]:
    """A row for each change of an answer: its effect by itself and made last."""
    assert case.verdict is not None
    way, rows = case.verdict.way, []
    for change in way:
        alone, last = contribution(case.effects, way, change)
        named = "yes" if case.question.is_named(change) else "no"
        rows.append(
            [case.question.label, case.text(change), named, interval(alone), interval(last)]
        )
    return rows


def page(judged: Sequence[Case], further: Sequence[Case]) -> str:
    """The text of README.md."""
    answers = [
        [
            *common_cells(each),
            each.question.answer,
            f"{percent(each.share(each.whole))}: {interval(each.effect(each.whole))}",
            does_most(each),
            f"{each.verdict.verdict} (rule {each.verdict.rule})",
            diagnosed(each),
        ]
        for each in judged
        if each.verdict
    ]
    others = [[*common_cells(each), does_most(each), diagnosed(each)] for each in further]
    parts = [row for each in judged for row in parts_of(each) if len(each.verdict.way) > 1]
    instead = [each for each in judged if each.question.instead]
    heads = ["#", "network", "as asked", "fails"]
    return "\n".join(
        [
            "<!-- Made by python sweeps/questions/make_page.py: edit answers.json, not this. -->",
            "",
            "# Twenty-four real questions, judged again",
            "",
            findings(judged, further),
            "",
            "![As asked, with the answer, and with the best single change](questions.svg)",
            "",
            "*Fails*: the share of seeds that do not converge as asked, with its 95% interval. "
            "Effects are in percentage points, over the same seeds; their intervals hold at once "
            f"for all setups of a question. *Verdict*: whether the explanation holds, by {RULES}. "
            "*Diagnosis*: the cause that it names first. A number leads to the question, a network "
            "to its sweep file, which trains it and makes its page.",
            "",
            *table(
                [*heads, "answer", "converge with it", "what does most", "verdict", "diagnosis"],
                answers,
            ),
            "",
            *(
                "The answer to "
                f"{each.question.label} gives the network something else to learn "
                f"({each.text(each.question.instead)}); on that, "
                f"{percent(each.share(each.question.instead))} of the runs converge. It is judged "
                "by its other changes.\n"
                for each in instead
            ),
            "## The changes of each answer",
            "",
            "Made by itself, and made last: added to the others. *Named*: by the explanation.",
            "",
            *table(["#", "change", "named", "by itself", "last"], parts),
            "",
            "## Eight further questions",
            "",
            "Their answers cannot be read. They only test the diagnosis.",
            "",
            *table([*heads, "what does most", "diagnosis"], others),
            "",
            "## How it was made",
            "",
            "[effects.csv](effects.csv) has the counts of every setup, [questions.csv]"
            "(questions.csv) the results of this page, [diagnose.csv](diagnose.csv) what the "
            "diagnoses named.",
            "",
            "```sh",
            "python -m fastbp.sweep --all sweeps",
            "python sweeps/questions/make_counts.py results",
            "python sweeps/questions/make_diagnoses.py",
            "python sweeps/questions/make_page.py",
            "```",
            "",
        ]
    )


def csv_row(case: Case) -> dict[str, Any]:
    """The row of a question in questions.csv."""
    question, first = case.question, case.first
    asked = case.effects.counts[AS_ASKED, AS_ASKED]
    row: dict[str, Any] = {
        "question": question.file,
        "number": question.label,
        "source": question.source,
        "date": question.date,
        "network": question.network,
        "runs": asked.pairs,
        "constant": asked.constant,
        "diverged": asked.diverged,
        **numbers("fails", ("", "_low", "_high"), case.effects.fails()),
    }
    for name, change in (("answer", case.whole), ("single", case.single), ("best", case.best)):
        results = (case.share(change), *case.effect(change)) if change else ()
        ends = ("_share", "_effect", "_low", "_high")
        row |= {name: written(change), **numbers(name, ends, results or [""] * len(ends))}
    return row | {
        "verdict": case.verdict.verdict if case.verdict else "",
        "rule": case.verdict.rule if case.verdict else "",
        "diagnosis": written(first.change),
        "cause": first.cause,
        "score": case.score,
    }


def numbers(name: str, ends: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Columns with numbers of six digits after the point."""
    return {
        f"{name}{end}": value and round(value, 6) for end, value in zip(ends, values, strict=True)
    }


@style.styled
def picture(judged: Sequence[Case]) -> Any:
    """The picture: each question a row, as asked → answer → best single change."""
    names = [f"{each.question.label}  {each.question.network}" for each in judged]
    left, high = max(style.inches(name, 9) for name in names) + 0.3, 0.3 * len(names) + 1.5
    figure = Figure(figsize=(left + 6.0, high))
    ax = figure.add_axes((left / (left + 6.0), 0.6 / high, 5.9 / (left + 6.0), 1 - 1.5 / high))
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    marks = (
        ("as asked", "#8a8a8a", "o", lambda each: AS_ASKED),
        ("with the answer", "#0072B2", "D", lambda each: each.whole),
        ("with the best single change", Outcome.CONVERGED.colour, "o", lambda each: each.single),
    )
    shares = [[100 * each.share(mark[3](each)) for each in judged] for mark in marks]
    for y, row in enumerate(zip(*shares, strict=True)):
        for start, end, colour in zip(row, row[1:], (marks[1][1], marks[2][1]), strict=False):
            ax.plot([start, end], [y, y], color=colour, linewidth=1.4, alpha=0.5, zorder=1)
    for (label, colour, shape, _), values, size in zip(marks, shares, (46, 30, 22), strict=True):
        ax.scatter(
            values, range(len(values)), size, colour, marker=shape, label=label, zorder=2,
            edgecolors="white", linewidths=0.5,
        )  # fmt: skip
    for y, each in enumerate(judged):
        text = each.verdict.verdict if each.verdict else ""
        ax.text(103.5, y, text, va="center_baseline", fontsize=8.5)
    ax.set(xlim=(-2, 112), xlabel="share of runs converged (%)")
    ax.set_xticks(range(0, 101, 20))
    title = "Does the explanation hold? As asked, with the answer, with the best single change"
    figure.text(0.1 / (left + 6.0), 1 - 0.1 / high, title, fontsize=12, va="top", weight="bold")
    ax.legend(
        loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=9, frameon=False,
        borderaxespad=0.3,
    )  # fmt: skip
    return style.bare(ax)


def files(folder: Path = FOLDER) -> dict[str, bytes]:
    """The files of the page, by name, from effects.csv and diagnose.csv in a folder."""
    every = cases(folder)
    judged = [each for each in every if each.question.ways]
    further = [each for each in every if not each.question.ways]
    return {
        "README.md": page(judged, further).encode(),
        "questions.csv": csv_of([csv_row(each) for each in every]).encode(),
        "questions.svg": style.encoded(picture(judged).figure, "svg"),
    }


def main() -> None:
    """Write the page."""
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)


if __name__ == "__main__":
    main()
