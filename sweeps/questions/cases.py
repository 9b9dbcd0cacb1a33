"""The questions judged: what both the page of all and the pages of each are made from."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from judge import (
    AS_ASKED,
    MAIN,
    Change,
    Counts,
    Diagnosed,
    Effects,
    Question,
    Step,
    Verdict,
    contribution,
    questions,
    read,
    score,
    together,
    verdict,
)
from make_counts import FOLDER, counts_in, rows_of

from fastbp.analysis.statistics.paired import PointsInterval
from fastbp.schema.text import points

JUDGED = "../../sweeps/questions/README.md#how-an-answer-is-judged"
"""The rules, from the folder of the results."""


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


# In words


def interval(effect: PointsInterval) -> str:
    """An effect in points, with its interval: `+84.5 (+83.9 to +85.1)`."""
    value, low, high = map(points, effect)
    return f"{value} ({low} to {high})"


def source_of(question: Question) -> str:
    """The number of a question, linked to where it stands."""
    return f"[{question.label}]({question.source})" if question.source else question.label


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
