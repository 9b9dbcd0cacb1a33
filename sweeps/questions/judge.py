"""Judges the answers to the questions: from counts of paired runs to verdicts.

The rules stand in README.md, under "How an answer is judged"; answers.json says what an answer is.
"""

import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastbp.analysis.statistics.paired import PointsInterval, tango
from fastbp.analysis.statistics.proportions import bonferroni, modified_wilson
from fastbp.schema.keys import KEYS
from fastbp.schema.text import number

HERE = Path(__file__).resolve().parent

LEVEL = 0.95
RARE = 0.05
"""If fewer runs of a setup fail, another seed does it."""

NEARLY, HALF, TENTH = 0.9, 0.5, 0.1
"""Shares of the largest effect: what is as good, what is enough, and what does not count."""

TIED = ({"optimizer", "lr", "momentum"}, {"init", "init_scale"})
"""Keys that cannot be chosen apart: the first of them makes them one change."""

Change = frozenset[tuple[str, str]]
"""The keys in which a setup differs from the one as asked, with their values as text."""

AS_ASKED: Change = frozenset()

Step = tuple[Change, Change]
"""Two setups, before and after."""


def text_of(key: str, value: Any) -> str:
    """A value of a setup as text: 8-8, 0.02, relu, squares.csv."""
    if key == "problem":
        return Path(str(value).removeprefix("file:")).name
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return number(value)


def change_of(keys: Mapping[str, Any]) -> Change:
    """A change from the keys and values of a sweep file."""
    return frozenset((key, text_of(key, value)) for key, value in keys.items())


def written(change: Change) -> str:
    """A change as one text: `epochs=50; lr=0.01`."""
    return "; ".join(f"{key}={value}" for key, value in sorted(change))


def read(text: str) -> Change:
    """The change that `written` wrote."""
    return frozenset(
        (key, value) for key, _, value in (each.partition("=") for each in text.split("; ") if each)
    )


class Question(NamedTuple):
    """A row of answers.json.

    Attributes
    ----------
    file, source, date : str
        The sweep file; where the question stands, and of when it is, empty if no page shows that.
    network, asked, answer, because : str
        The network, the failure, the answer and its explanation, in our words.
    ways : tuple
        The ways that the answer offers, each of changes that belong together. The grid has each
        change by itself, all of a way, and all but one.
    names : set of str
        Keys of the changes that the explanation names; empty if it names all.
    seed : bool
        Whether the explanation is that the initial weights decide.
    diverges : bool
        Whether the asker tells of runs that diverge.
    task : bool
        Whether a change gives the network something else to learn. Then `ways` has the others, and
        `instead` is the whole answer.
    """

    file: str
    source: str
    date: str
    network: str
    asked: str
    answer: str = ""
    because: str = ""
    ways: tuple[tuple[Change, ...], ...] = ()
    names: frozenset[str] = frozenset()
    seed: bool = False
    task: bool = False
    diverges: bool = False
    instead: Change = AS_ASKED

    @property
    def name(self) -> str:
        """The name of its sweep: `04-three-neurons`."""
        return Path(self.file).stem

    @property
    def store(self) -> str:
        """The folder of its store in `results/questions`."""
        return self.file.removesuffix(".toml")

    @property
    def label(self) -> str:
        """Its number in the list: 4 for `04-three-neurons`, 1 for the founding case."""
        first = self.name.partition("-")[0]
        return str(int(first)) if first.isdigit() else "1"

    def setup(self) -> dict[str, Any]:
        """The setup as asked, as its sweep file has it."""
        setup: dict[str, Any] = tomllib.loads((HERE / self.file).read_text("utf-8"))["setup"]
        return setup

    def is_named(self, change: Change) -> bool:
        """Whether the explanation names this change of the answer."""
        return not self.names or any(key in self.names for key, _ in change)

    def steps(self) -> Iterable[Step]:
        """What `made last` needs: from each way without one of its changes to the whole way."""
        for way in self.ways:
            for change in way if len(way) > 1 else ():
                yield together(each for each in way if each != change), together(way)


def together(changes: Iterable[Change]) -> Change:
    """Several changes as one."""
    return frozenset[tuple[str, str]]().union(*changes)


def questions() -> list[Question]:
    """All rows of answers.json."""
    tables = json.loads((HERE / "answers.json").read_text("utf-8"))
    return [question(table) for table in tables]


def question(table: Mapping[str, Any]) -> Question:
    """A row of answers.json."""
    ways = tuple(tuple(map(change_of, way)) for way in table.get("ways", []))
    names, instead = frozenset(table.get("names", [])), change_of(table.get("instead", {}))
    return Question(**{**table, "ways": ways, "names": names, "instead": instead})


class Counts(NamedTuple):
    """The seeds that two setups both ran.

    `before`, `after`: how many of them converge in each; `fixed`, `broken`: only after, only
    before. `constant`, `diverged`: shares of all runs after that end so.
    """

    pairs: int
    before: int
    after: int
    fixed: int
    broken: int
    constant: float = 0.0
    diverged: float = 0.0

    @property
    def share(self) -> float:
        """The share that converges after."""
        return self.after / self.pairs


class Effects:
    """The effects of all changes of a question, with intervals that hold at once.

    Parameters
    ----------
    question : Question
    counts : dict of Counts
        For each two setups that are compared; from each setup of the grid to itself or to another.
    """

    def __init__(self, question: Question, counts: Mapping[Step, Counts]) -> None:
        self.question, self.counts = question, counts
        usual = {name: key.default for name, key in KEYS.items() if key.default is not None}
        self.asked = dict(change_of(usual)) | dict(change_of(question.setup()))
        """The setup as asked."""
        self.changes = [to for start, to in counts if start == AS_ASKED and to != AS_ASKED]
        self.level = bonferroni(LEVEL, max(1, len(self.changes)))
        self._known: dict[Step, PointsInterval] = {}

    def of(self, change: Change, start: Change = AS_ASKED) -> PointsInterval:
        """The effect of a change, and its interval. KeyError if nobody ran it."""
        step = start, change
        if step not in self._known:
            n = self.counts[step]
            low, high = map(float, tango(n.fixed, n.broken, n.pairs, self.level))
            self._known[step] = PointsInterval((n.fixed - n.broken) / n.pairs, low, high)
        return self._known[step]

    def helps(self, change: Change) -> bool:
        """Whether the interval of a change's effect lies above 0."""
        return change != AS_ASKED and self.of(change).low > 0

    def is_single(self, change: Change) -> bool:
        """Whether this is a change of one thing."""
        keys = {key for key, _ in change}
        tied = any(keys <= each and keys & {"optimizer", "init"} for each in TIED)
        return len(keys) == 1 or tied or any(change in way for way in self.question.ways)

    def best(self, single: bool = False, kind: str = "") -> Change:
        """The change with the largest effect, of single changes and of a kind if so wanted.

        `AS_ASKED` if there is none. A change of what is to be learned does not count.
        """
        rivals = [
            change
            for change in self.changes
            if not (self.question.task and any(key == "problem" for key, _ in change))
            and (self.is_single(change) or not single)
            and (not kind or kind_of(change, self.asked) == kind)
        ]
        # `max` takes the first of equals, the earlier one of the file.
        return max(rivals, key=lambda one: (self.of(one).value, -len(one)), default=AS_ASKED)

    @property
    def share(self) -> float:
        """The share that converges as asked."""
        return self.counts[AS_ASKED, AS_ASKED].share

    def fails(self) -> tuple[float, float, float]:
        """The share of runs as asked that fail, with its interval."""
        n = self.counts[AS_ASKED, AS_ASKED]
        low, high = modified_wilson(n.pairs - n.after, n.pairs)
        return 1 - n.share, float(low), float(high)


class Verdict(NamedTuple):
    """What becomes of an answer: the verdict, the rule that decided, and the way that stands."""

    verdict: str
    rule: int
    way: tuple[Change, ...]


def verdict(effects: Effects) -> Verdict:
    """Judge the explanation of an answer, by the rules of README.md."""
    question = effects.question
    way = max(question.ways, key=lambda each: effects.of(together(each)).value)
    whole, best = effects.of(together(way)), effects.of(effects.best())
    if not question.diverges and effects.counts[AS_ASKED, AS_ASKED].diverged > HALF:
        return Verdict("not judged", 0, way)
    if whole.low <= 0 or whole.value < TENTH * best.value:
        return Verdict("no", 1, way)
    if effects.fails()[2] < RARE:
        return Verdict("yes" if question.seed else "in part", 2, way)
    if question.task:
        return Verdict("in part", 3, way)
    parts = {change: contribution(effects, way, change) for change in way}
    named = [change for change in way if question.is_named(change)]
    most = max(way, key=lambda change: max(each.value for each in parts[change]))
    holds = (
        whole.value >= HALF * best.value
        and all(max(each.low for each in parts[change]) > 0 for change in named)
        and most in named
    )
    return Verdict("yes", 4, way) if holds else Verdict("in part", 5, way)


def contribution(
    effects: Effects, way: Sequence[Change], change: Change
) -> tuple[PointsInterval, PointsInterval]:
    """The effects of a change of an answer by itself and made last."""
    rest = together(each for each in way if each != change)
    return effects.of(change), effects.of(together(way), rest)


# Kinds of changes

WEIGHTS, BUDGET = "the initial weights", "the budget"
MAIN = {
    "problem": "the data",
    "optimizer": "the optimiser",
    "output": "the output",
    "loss": "the loss",
    "init": WEIGHTS,
    "init_scale": WEIGHTS,
    "batch": "the batch",
    "activation": "the activation",
    "epochs": BUDGET,
    "updates": BUDGET,
}
"""What each key changes; of several keys the first in this order is meant."""


def kind_of(change: Change, asked: Mapping[str, str]) -> str:
    """The kind of a change: `a higher rate`, `the budget`, or its key."""
    keys = dict(change)
    for key, kind in MAIN.items():
        if key in keys:
            return kind
    if "hidden" in keys:
        before, after = ([*map(int, each["hidden"].split("-"))] for each in (asked, keys))
        if len(before) != len(after):
            return "the number of layers"
        return f"{'more' if sum(after) > sum(before) else 'fewer'} hidden units"
    if "lr" in keys:
        return f"a {'higher' if float(keys['lr']) > float(asked['lr']) else 'lower'} rate"
    return min(keys, default="")


ANOTHER_SEED = change_of({"seed": "another"})
"""What a diagnosis names where it says that the setup seldom fails."""


MORE_TIME = change_of({"seconds": "more"})
"""What stands for a diagnosis for which a minute was too short."""


class Diagnosed(NamedTuple):
    """What a diagnosis names first: a change, its cause in words, and its effect."""

    change: Change
    cause: str
    effect: PointsInterval


BEST, RIGHT, OWN, WRONG = "best", "right", "right by its own runs", "wrong"
"""How a diagnosis may be judged."""


def score(effects: Effects, first: Diagnosed) -> str:
    """Judge what a diagnosis names first, by the rules of README.md."""
    best = effects.best(single=True)
    most = effects.of(best) if effects.helps(best) else PointsInterval(0.0, 0.0, 0.0)
    if first.change == ANOTHER_SEED:
        return RIGHT if effects.fails()[2] < RARE else WRONG
    if first.change == AS_ASKED:
        return WRONG if effects.helps(best) else BEST
    kind = kind_of(first.change, effects.asked)
    of_kind = effects.best(single=True, kind=kind)
    if effects.helps(of_kind):
        if kind == kind_of(best, effects.asked):
            return BEST
        if is_as_good(effects.of(of_kind), most):
            return RIGHT
    own = first.effect
    if not (own.low > 0 and is_as_good(own, most)):
        return WRONG
    return RIGHT if of_kind == AS_ASKED and effects.helps(best) else OWN


def is_as_good(effect: PointsInterval, most: PointsInterval) -> bool:
    """Whether an effect is nine tenths of the largest, or their intervals overlap."""
    return effect.value >= NEARLY * most.value or effect.high >= most.low
