"""Makes the page of the questions: `python sweeps/questions/make_page.py`.

From effects.csv and diagnose.csv in results/questions, which make_counts.py and make_diagnoses.py
write, and from answers.json it makes README.md, questions.csv, questions.svg and the page of each
question there: the same bytes each time.
"""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import question_pages
from cases import JUDGED, Case, cases, diagnosed, does_most, interval, parts_of, source_of, table
from judge import (
    AS_ASKED,
    BEST,
    NEARLY,
    OWN,
    RARE,
    RIGHT,
    Question,
    kind_of,
    written,
)
from make_counts import FOLDER, csv_of
from matplotlib.figure import Figure

from fastbp.reporting.plots import style
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import and_, percent

RULES = f"[the rules]({JUDGED})"


# From verdicts to the page


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


def page_of(question: Question) -> str:
    """The page of a question, from the folder of all."""
    return f"{question.store.removeprefix('../')}.md"


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
            "to a page of its own.",
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


def headline(judged: Sequence[Case]) -> str:
    """The finding in a few words."""
    answered, single = (
        sum(each.share(change(each)) >= NEARLY for each in judged)
        for change in (lambda each: each.whole, lambda each: each.single)
    )
    return (
        f"The answer makes {answered} of {len(judged)} networks converge, the best single change "
        f"{single}"
    )


@style.styled
def picture(judged: Sequence[Case]) -> Any:
    """The picture: each question a row, as asked → answer → best single change.

    The three marks of a row stand one above the other, so that equal shares are all seen.
    """
    names = [f"{each.question.label}  {each.question.network}" for each in judged]
    left, high = max(style.inches(name, 9) for name in names) + 0.3, 0.38 * len(names) + 1.55
    wide = left + 6.0
    figure = Figure(figsize=(wide, high))
    ax = figure.add_axes((left / wide, 0.55 / high, 5.1 / wide, 1 - 1.5 / high))
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    marks = (
        ("as asked", "#8a8a8a", "o", lambda each: AS_ASKED),
        ("with the answer", "#0072B2", "D", lambda each: each.whole),
        ("with the best single change", Outcome.CONVERGED.colour, "o", lambda each: each.single),
    )
    shares = [[100 * each.share(mark[3](each)) for each in judged] for mark in marks]
    places = [[y + shift for y in range(len(judged))] for shift in (-0.25, 0, 0.25)]
    for i in (1, 2):
        for ends in zip(*shares[i - 1 : i + 1], *places[i - 1 : i + 1], strict=True):
            ax.plot(ends[:2], ends[2:], color=marks[i][1], linewidth=1.4, alpha=0.5, zorder=1)
    for (label, colour, shape, _), values, up in zip(marks, shares, places, strict=True):
        ax.scatter(
            values, up, 26, colour, marker=shape, label=label, zorder=2, edgecolors="white",
            linewidths=0.5,
        )  # fmt: skip
    for y, each in enumerate(judged):
        text = each.verdict.verdict if each.verdict else ""
        ax.text(104, y, text, va="center_baseline", fontsize=8.5)
    ax.set(xlim=(-2, 102), xlabel="share of runs converged (%)")
    ax.set_xticks(range(0, 101, 20))
    subtitle = f"in {NEARLY:.0%} of their runs or more; at the right: whether the explanation holds"
    figure.text(0.1 / wide, 1 - 0.1 / high, headline(judged), fontsize=12, va="top", weight="bold")
    figure.text(0.1 / wide, 1 - 0.37 / high, subtitle, fontsize=9.5, va="top")
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
        **{page_of(each.question): question_pages.page(each).encode() for each in every},
        **{
            page_of(each.question).replace(".md", ".svg"): style.encoded(
                question_pages.picture(each).figure, "svg"
            )
            for each in every
        },
    }


def opened(gallery: str) -> str:
    """The text of the gallery of all results, opened by the picture of the questions."""
    start, end = "<!-- questions -->", "<!-- all sweeps -->"
    judged = [each for each in cases() if each.question.ways]
    card = (
        f"{start}\n[![Twenty-four real questions, judged again](questions/questions.svg)]"
        f"(questions/README.md)\n\n**{headline(judged)}**: "
        f"[real questions, judged again](questions/README.md).\n{end}\n"
    )
    plain = re.sub(rf"\n{start}.*{end}\n", "", gallery, flags=re.DOTALL)
    return plain.replace("# Results\n", f"# Results\n\n{card}", 1)


def main() -> None:
    """Write the page, and open the gallery of all results with its picture."""
    (FOLDER / "further").mkdir(exist_ok=True)
    for name, content in files().items():
        (FOLDER / name).write_bytes(content)
    gallery = FOLDER.parent / "README.md"
    if gallery.exists():
        gallery.write_text(opened(gallery.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
