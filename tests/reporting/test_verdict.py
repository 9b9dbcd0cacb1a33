"""What a page says of a sweep in sentences: right for any sweep, and each number that of its
table."""

import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import sample_frames as frames
from hypothesis import given, settings, strategies as st

from fastbp import attribution, contrasts
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.paired import tango
from fastbp.analysis.summary import (
    ALPHA,
    SHARES,
    keys_of,
    settings_of,
    simultaneous_bounds,
    summary,
)
from fastbp.reporting.phrases import as_best, plain, setting
from fastbp.reporting.verdict import verdict
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import percent, points

BASE = frames.identity({})
C, P, K, S, D = "converged", "partial", "collapsed", "one-class", "diverged"

Setups = Sequence[tuple[dict[str, object], list[str]]]

HEADLINE = (
    r"(?:More|Fewer|A larger|A smaller|Changing) (\S+) (?:fix(?:es)? it(?: best)?|helps?(?: "
    r"most)?): "
    r"going from (.+?) to (.+?) raises the convergence rate"
)
"""The key and the values of the change that the answer names."""


class Answer:
    """A sweep's tables and its verdict, which reads as sentences do."""

    def __init__(self, runs: pd.DataFrame, baseline: str | None = BASE) -> None:
        counted = count_runs(runs)
        self.summary, self.contrasts = summary(counted), contrasts(counted, baseline)
        self.attribution = attribution(counted, baseline)
        self.lines = verdict(self.summary, self.contrasts, self.attribution, baseline)
        self.baseline = baseline
        assert self.lines
        for paragraph in self.lines:
            reads_well(paragraph)
        self.numbers_are_those_of_the_tables()

    @property
    def text(self) -> str:
        return " ".join(self.lines)

    def numbers_are_those_of_the_tables(self) -> None:
        shares = [
            c
            for c in self.summary.columns
            if c.endswith(("_share", "_low", "_high")) and "updates" not in c
        ]
        known = {percent(v) for c in shares if "restart" not in c for v in self.summary[c]}
        of_problem = settings_of(self.summary, ["problem"] * ("problem" in self.summary))
        for name, rows in product(SHARES, [self.summary, *of_problem]):
            low, high = simultaneous_bounds(rows, name)  # of the best, and of what more runs may do
            known |= {percent(v) for v in (*low, *high, *(1 - low))}
        end = r"(\S+) with (\S+) (.+?) \(95% interval (\S+)% to (\S+)%\)"
        averaged = rf"Averaged over .*? ranges from {end} to {end}\."
        rest = " ".join(each for each in self.lines if not each.startswith("Averaged"))
        for low, key, least, *bounds, high, again, most, other, _ in (
            re.fullmatch(averaged, each).groups() for each in self.lines if each not in rest
        ):  # type: ignore[union-attr]
            pooled = self.summary.groupby(self.summary[key].map(plain))["converged_share"].mean()
            assert (key, pooled[least], pooled[most]) == (again, pooled.min(), pooled.max())
            assert (low, high) == (percent(pooled.min()), percent(pooled.max()))
            assert float(bounds[1]) < float(other)
        assert set(re.findall(r"[<>]?[\d.]+%(?! interval| confidence)", rest)) <= known
        steps = [
            v
            for c in self.contrasts.columns[self.contrasts.columns.str.contains("difference")]
            for v in self.contrasts[c]
        ]
        steps += (self.attribution.filter(like="_points") / 100).to_numpy().ravel().tolist()
        signed = {points(v) for v in steps}
        assert set(re.findall(r"[+−]\d+(?:\.\d+)?", self.text)) <= signed
        assert set(re.findall(r"(?:by|most|up to) ([\d.]+) points", self.text)) <= {
            each.lstrip("+−") for each in signed
        }
        counts = {plain(n) for n in [*self.summary["runs"], self.summary["runs"].sum()]}
        assert set(re.findall(r"(?:of|all|All) ([\d,]+) runs", self.text)) <= counts

    def row(self, **keys: object) -> dict[str, object]:
        """Of the summary."""
        (row,) = self.summary[(self.summary[list(keys)] == pd.Series(keys)).all(axis=1)].to_dict(
            "records"
        )
        return row

    def fixes(self) -> list[dict[str, object]]:
        """The comparisons that the text says fix."""
        found = re.findall(HEADLINE, self.text)
        own = self.contrasts.to_dict("records")
        start = next(
            iter(self.summary[self.summary["setup"] == self.baseline].to_dict("records")), {}
        )
        alike = [
            row
            for row in own
            if all(
                plain(start[key]) == plain(row[key])
                for key in start
                if key in row and key not in (row["key"], "updates")
            )
        ]
        return [row for row in alike if (row["key"], plain(row["from"]), plain(row["to"])) in found]


def reads_well(text: str) -> None:
    assert text[0].isupper() or text[0].isdigit(), text
    assert text[-1] == ".", text
    assert "  " not in text, text
    assert not re.search(r"\b(\w+) \1\b", re.sub(r"\d[\d.,%]*", "#", text)), text
    assert not re.search(r"\bnan\b|<NA>|None(?! of)|inf\b|\.\.|,,|\( |:\.", text), text
    assert text.count("(") == text.count(")"), text
    assert not re.search(
        r"(?<!→ )(?<![\d.])\b1 (runs|setups|seeds|updates|settings|changes|others)\b", text
    ), text
    assert not re.search(r"(?<!make )none (of [\d,]+ runs )?(converge|give)\b", text), text
    assert not re.search(r"(all|%) (of )?([\d,]+ runs )?(converges|gives)\b", text), text
    assert not re.search(r"(?<!make )its one run (converge|give)\b|\bit (converge|give)\b", text), (
        text
    )


def answer(*setups: Any, baseline: str | None = BASE) -> Answer:
    """The answer about setups: keys, outcomes and perhaps seeds of each."""
    return Answer(frames.frame(*(frames.table(*each) for each in setups)), baseline)


def rates(shares: dict[float, int], of: int) -> Setups:
    """So many of the runs of each rate converge."""
    return [({"lr": lr}, [C] * n + [P] * (of - n)) for lr, n in shares.items()]


GRID = [(lr, m) for lr in (0.2, 0.4) for m in (0.0, 0.9)]
CONSTANT: Setups = [({}, [P] * 30), ({"lr": 0.1}, [K] * 15 + [S] * 9 + [P] * 6)]
NONE_CONVERGES = (
    "\n\nNo run converges in any of 2 setups (at most 14.3% of a setup's runs would, at 95% "
    "confidence). Runs give the same answer to every input most often with lr 0.1: 80.0% of 30 "
    "(95% interval for the highest of 2: 59.9% to 91.4%). They do so least often with lr 0.2: "
    "none of 30 (95% interval for the lowest of 2: 0% to 14.3%).\n"
)

SAID: dict[str, tuple[Any, str | None, list[str], list[str]]] = {
    "a change that fixes": (
        [({}, [K] * 20 + [P] * 10), ({"lr": 0.4}, [C] * 30)],
        BASE,
        [
            "\n\nA larger lr fixes it: going from 0.2 to 0.4 raises the convergence rate from 0% "
            "to 100% (+100.0 points, 95% interval +77.3 to +100.0, 30 paired seeds); the share of "
            "runs that give the same answer to every input falls from 66.7% to 0%.\n"
            "At the baseline (lr 0.2), none of 30 runs converges, and 66.7% give the same answer "
            "to every input (66.7% collapsed, 0% one-class).\n\n"
        ],
        [],
    ),
    "a change that breaks": (
        [({}, [C] * 30), ({"lr": 0.4}, [P] * 30)],
        BASE,
        [
            "\n\nNo single change of the baseline makes measurably more runs converge: lr 0.2 → "
            "0.4.\nAt the baseline (lr 0.2), all 30 runs converge, and none gives the same answer "
            "to every input. On its own, lr 0.2 → 0.4 lowers the convergence rate by 100.0 points "
            "(simultaneous 95% interval −100.0 to −77.3).\n\n"
        ],
        [],
    ),
    "a difference that is not shown is no effect": (
        [({}, [P] * 30), ({"lr": 0.4}, [C] * 4 + [P] * 26)],
        BASE,
        [
            "\n\nNo single change of the baseline makes measurably more runs converge, or fewer: "
            "lr 0.2 → 0.4. A gain of up to 29.7 points or a loss of up to 0.5 points may be "
            "unseen.\nAt the baseline (lr 0.2), none of 30 runs converges, and none gives the same "
            "answer to every input.\n"
        ],
        [],
    ),
    "words": (
        [({"hidden": "4"}, [P] * 20), ({"hidden": "8-8"}, [C] * 20), ({"hidden": "16"}, [C] * 20)],
        BASE,
        ["\n\nChanging hidden fixes it: going from 4 to "],
        [],
    ),
    "every change fixes": (
        [({"lr": n / 10}, ([P] if n == 2 else [C]) * 20) for n in range(2, 9)],
        BASE,
        [
            "\n\nA larger lr fixes it: going from 0.2 to 0.3 ",
            "lr 0.2 → 0.4, lr 0.2 → 0.5, lr 0.2 → 0.6 and 2 more may raise it as much",
            " On its own, lr 0.2 → 0.4 raises the convergence rate by 100.0 points ",
            " and 2 more changes raise it too.\n",
        ],
        [],
    ),
    "every change breaks": (
        [({}, [C] * 20), *(({"lr": lr}, [K] * 20) for lr in (0.4, 0.5, 0.6, 0.7))],
        BASE,
        [
            "\n\nNo single change of the baseline makes measurably more runs converge: lr 0.2 → "
            "0.4, ",
            "and 1 more change lowers it too.\n",
        ],
        [],
    ),
    "no effect of many": (
        [
            ({"lr": 0.2 + i}, [C if u < 0.5 else P for u in row])
            for i, row in enumerate(np.random.default_rng(0).random((9, 9)))
        ],
        BASE,
        [
            "\n\nNo single change of the baseline makes measurably more runs converge, or fewer: 8 "
            "changes. A gain of up to 89.2 points or a loss of up to 60.9 points may be unseen.\n"
        ],
        [],
    ),
    "what is shown comes before what is larger": (  # a few seeds may differ by much
        [
            *(({"lr": lr}, [P if lr < 0.3 else C] * 60) for lr in (0.2, 0.4)),
            *(({"lr": 0.2 + i}, [C] * 2) for i in range(1, 5)),
        ],
        None,
        [". On its own, lr 0.2 → 0.4 raises the convergence rate by 100.0 points"],
        [],
    ),
    "the best of all is not named if it is near": (
        [({"lr": lr, "momentum": m}, [P if lr == 0.2 else C] * 30) for lr, m in GRID],
        BASE,
        [],
        ["most often"],
    ),
    "the best of all is named if it is far": (
        [({"lr": lr, "momentum": m}, [C if lr > 0.3 and m else P] * 30) for lr, m in GRID],
        BASE,
        [
            "\nBoth changes together (lr 0.4, momentum 0.9) raise the convergence rate to 100% "
            "(+100.0 points, 95% interval +77.3 to +100.0, 30 paired seeds). ",
            "\nOf all 4 setups, runs converge most often with lr 0.4, momentum 0.9: all 30 (95% "
            "interval for the highest of 4: 82.8% to 100%). ",
        ],
        [],
    ),
    "budgets in epochs beside others in updates": (
        [
            ({"epochs": 10, "updates": 80}, [P] * 30),
            ({"epochs": 20, "updates": 160}, [C] * 30),
            ({"updates": 7}, [P] * 30),
        ],
        frames.identity({"epochs": 10, "updates": 80}),
        ["\n\nMore epochs fix it: going from 10 to 20 raises the convergence rate from 0% to"],
        [],
    ),
    "the share that is constant then": (
        [
            ({}, [P] * 40),
            ({"lr": 0.4}, [C] * 40),
            ({"lr": 0.1}, [K] * 25 + [P] * 15),
            ({"lr": 0.8}, [S] * 3 + [P] * 37),
        ],
        BASE,
        [
            "These changes alone make no measurable difference (at most 12.5 points, at 95% "
            "confidence): lr 0.2 → 0.1 (but the share that give the same answer to every input "
            "rises from 0% to 62.5%, 95% interval of the difference +47.0 to +75.8) and lr 0.2 → "
            "0.8.\n"
        ],
        [],
    ),
    "of many the first are named": (
        [
            ({}, [P] * 40),
            ({"lr": 0.4}, [C] * 40),
            ({"lr": 0.1}, [P] * 40),
            *(({"momentum": m}, [P] * 40) for m in (0.1, 0.2, 0.3, 0.4)),
            ({"order": "cyclic"}, [P] * 40),
            ({"order": "shuffled"}, [K] * 10 + [P] * 30),
        ],
        BASE,
        [
            " These changes alone make no measurable difference (at most 15.7 points, at 95% "
            "confidence): order random → shuffled (but the share that give the same answer to "
            "every input rises from 0% to 25.0%, 95% interval of the difference +14.0 to +40.2), "
            "order random → cyclic, lr 0.2 → 0.1 and 4 more.\n"
        ],
        [],
    ),
    "no average of runs that are not as many": (
        [
            ({"lr": lr, "momentum": m}, [C if lr > 0.3 and m else P, P] * n)
            for lr in (0.2, 0.1, 0.4, 0.8, 1.6)
            for m, n in ((0.0, 30), (0.9, 10))  # else it would count less at some rates
        ],
        BASE,
        [],
        ["Averaged over all other keys"],
    ),
    "nor of few seeds that do not show it": (
        [
            ({"lr": lr, "momentum": m}, [C if lr > 0.3 and m else P, P] * 10)
            for lr in (0.2, 0.1, 0.4, 0.8, 1.6)
            for m in (0.0, 0.9)
        ],
        BASE,
        [],
        ["Averaged over all other keys"],
    ),
    "nor where other keys speak for it": (  # only lr 0.2 was tried with momentum, which does all
        [
            *rates(dict.fromkeys((0.2, 0.1, 0.4, 0.8, 1.6), 2), 40),
            *(({"momentum": m}, [C] * 40) for m in (0.9, 0.5)),
        ],
        BASE,
        [],
        ["Averaged over all other keys"],
    ),
    "the share that is constant differs": (
        CONSTANT,
        BASE,
        [
            f"{NONE_CONVERGES}At the baseline (lr 0.2), none of 30 runs converges, and none gives "
            "the same answer to every input.\n\n"
        ],
        [],
    ),
    "the share that is constant differs, of no baseline": (
        CONSTANT,
        None,
        [f"{NONE_CONVERGES}\n"],
        [],
    ),
    "one setup": (
        [({}, [C, P] * 9 + [K] * 2)],
        BASE,
        [
            "\n\n45.0% of 20 runs converge (95% interval 25.8% to 65.8%), and 10.0% give the same "
            "answer to every input (10.0% collapsed, 0% one-class). There is only one setup, so "
            "there is nothing to compare it with.\n\n"
        ],
        [],
    ),
    "one setup that never converges": (
        [({}, [P] * 9)],
        BASE,
        ["\n\nNone of 9 runs converges (95% interval 0% to 29.9%), and none gives the "],
        [],
    ),
    "one setup that always converges": (
        [({}, [C] * 9)],
        BASE,
        [
            "\n\nAll 9 runs converge (95% interval 70.1% to 100%), and none gives the ",
            "Half had converged after 80 updates.",
        ],
        [],
    ),
    "one seed": (
        [
            ({}, [K]),
            ({"lr": 0.1}, [C]),
            ({"momentum": 0.9}, [P]),
            ({"lr": 0.1, "momentum": 0.9}, [C]),
        ],
        BASE,
        [
            "\n\nNo single change of the baseline makes measurably more runs converge, or fewer: "
            "lr 0.2 → 0.1 and momentum 0 → 0.9. A gain of up to 100.0 points or a loss of up to "
            "83.4 points may be unseen.\n"
            "At the baseline (lr 0.2, momentum 0), its one run does not converge, and it gives the "
            "same answer to every input.\n"
            "Both changes together (lr 0.1, momentum 0.9) make no measurable difference (+100.0 "
            "points, 95% interval −58.7 to +100.0, 1 paired seed). Averaged over all orders of "
            "making the changes, they contribute these points (95% interval): lr +100.0 (−51.0 to "
            "+100.0) and momentum 0.0 (−65.3 to +65.3).\n\n"
        ],
        [],
    ),
    "one seed, of no baseline": (
        [({}, [K]), ({"lr": 0.1}, [C])],
        None,
        [
            "\n\nRuns converge most often with lr 0.1: 1 of 1 (95% interval for the highest of 2: "
            "16.6% to 100%; 1 other setup may do so as often). They do so least often with lr 0.2: "
            "0 of 1 (95% interval for the lowest of 2: 0% to 83.4%; 1 other setup may do so as "
            "seldom). On its own, lr 0.1 → 0.2 shows no effect (at most 100.0 points, at 95% "
            "confidence).\n"
        ],
        [],
    ),
    "no seeds in common": (
        [({}, [P] * 9), ({"lr": 0.1}, [C] * 9, range(100, 109))],
        BASE,
        [
            " No two setups differ in exactly one key and share seeds, so the effect of a single "
            "change is unknown.\n"
        ],
        [],
    ),
    "some seeds in common": (
        [({}, [P] * 30), ({"lr": 0.1}, [C] * 50 + [P] * 50, range(10, 110))],
        BASE,
        [
            "\n\nA smaller lr helps: going from 0.2 to 0.1 raises the convergence rate (+100.0 "
            "points, 95% interval +67.8 to +100.0, over the 20 seeds that both ran"
        ],
        [],
    ),
    "not the one best change if others may be as good": (
        rates({0.2: 10, 0.4: 200, 0.8: 190, 1.6: 60}, 300),
        BASE,
        ["\n\nA larger lr fixes it: ", "), and lr 0.2 → 0.8 may raise it as much; "],
        [],
    ),
    "the one best change if others are surely worse": (
        rates({0.2: 10, 0.4: 200, 1.6: 60}, 300),
        BASE,
        ["\n\nA larger lr fixes it best: "],
        ["may raise"],
    ),
    "what converges in half of the runs, but not surely, helps": (
        rates({0.2: 0, 0.4: 20}, 38),
        BASE,
        ["\n\nA larger lr helps: going from"],
        [],
    ),
    "what converges surely in half of the runs fixes": (
        rates({0.2: 0, 0.4: 29}, 38),
        BASE,
        ["\n\nA larger lr fixes it: going from"],
        [],
    ),
    "constant answers fall": (
        [({}, [K] * 10 + [P] * 30), ({"lr": 0.4}, [C] * 39 + [K])],
        BASE,
        ["falls from 25.0% to 2.5%"],
        [],
    ),
    "few constant answers do not measurably change": (
        [({}, [K, *[P] * 39]), ({"lr": 0.4}, [C] * 40)],
        BASE,
        ["same answer to every input does not measurably change.\n"],
        [],
    ),
    "constant answers are compared over the same seeds": (
        [({}, [K] * 10 + [P] * 30), ({"lr": 0.4}, [*[C] * 39, *[K] * 61])],
        BASE,
        ["same answer to every input falls by 22.5 points.\n"],
        [],
    ),
    "all changes lead to a rate only over the same seeds": (
        [
            ({"lr": lr, "momentum": m}, [C] * 40 + [P] * 60 if lr > 0.3 and m else [P] * 40)
            for lr, m in GRID
        ],
        BASE,
        [
            "(lr 0.4, momentum 0.9) raise the convergence rate (+100.0 points, 95% interval "
            f"{points(tango(40, 0, 40)[0])} to +100.0, 40 paired seeds)"
        ],
        [],
    ),
}
"""Setups, the baseline, and parts of what is said and of what is not; paragraphs are lines, with an
empty one before the first and after the last."""


@pytest.mark.parametrize(("setups", "baseline", "said", "unsaid"), SAID.values(), ids=SAID)
def test_it_says(setups: Any, baseline: str | None, said: list[str], unsaid: list[str]) -> None:
    text = "\n".join(["\n", *answer(*setups, baseline=baseline).lines, "\n"])
    assert [part for part in said if part not in text] == []
    assert [part for part in unsaid if part in text] == []


@pytest.fixture(scope="module")
def founding() -> pd.DataFrame:
    return frames.frame(*frames.founding(2000))


def test_the_answer_comes_first(founding: pd.DataFrame) -> None:
    it = Answer(founding)
    before, after = (
        it.row(order="random", lr=0.2, updates=999),
        it.row(order="random", lr=0.2, updates=7992),
    )
    change = it.contrasts.query("key == 'updates' and order == 'random' and lr == 0.2").iloc[0]
    assert it.lines[0] == (
        "More updates fix it: going from 999 to 7,992 raises the convergence rate from "
        f"{percent(before['converged_share'])} to {percent(after['converged_share'])} "
        f"({points(change.difference)} points, 95% interval for the best of 3 changes "
        f"{points(change.difference_simultaneous_low)} to "
        f"{points(change.difference_simultaneous_high)}, 2,000 paired seeds); the share of runs "
        f"that give the same answer to every input falls from {percent(before['constant_share'])} "
        f"to {percent(after['constant_share'])}."
    )
    lr = it.contrasts.query("key == 'lr' and updates == 7992")
    alone = it.contrasts.query("order != 'shuffled' and lr != 0.1 and updates != 7992")
    ends = alone[alone["key"] != "updates"].filter(like="difference_simultaneous")
    assert len(ends) == 2
    unseen = points(ends.abs().to_numpy().max()).lstrip("+")
    strongest = lr.loc[lr["difference"].idxmin()]
    elsewhere = setting(
        strongest, [key for key in ("order", "updates") if strongest[key] != before[key]]
    )
    assert it.lines[1] == (
        "At the baseline (order random, lr 0.2, updates 999), "
        f"{percent(before['converged_share'])} of 2,000 runs converge, and "
        f"{percent(before['constant_share'])} give the same answer to every input "
        f"({percent(before['collapsed_share'])} "
        f"collapsed, {percent(before['one_class_share'])} one-class). These changes alone make "
        f"no measurable difference (at most {unseen} points, at 95% confidence): order random → "
        "shuffled "
        f"and lr 0.2 → 0.1. {ELSEWHERE}lr 0.2 → 0.1 lowers the convergence rate by "
        f"{points(-strongest['difference']).lstrip('+')} points (simultaneous 95% interval "
        f"{points(strongest['difference_simultaneous_low'])} to "
        f"{points(strongest['difference_simultaneous_high'])}) with {elsewhere}."
    )
    assert lr["p_holm"].max() < ALPHA, "where it is shown"
    assert it.contrasts[(it.contrasts["key"] == "order")]["p_holm"].min() > ALPHA, (
        "and order nowhere"
    )
    cure = it.row(order="shuffled", lr=0.1, updates=7992)
    parts = it.attribution.set_index("key")

    def written(key: str, name: str) -> list[str]:
        return [
            points(parts.loc[key, f"{name}_points{end}"] / 100) for end in ("", "_low", "_high")
        ]

    total, low, high = written("lr", "total")
    each = [
        "{} {} ({} to {})".format(key, *written(key, "average"))
        for key in ("updates", "lr", "order")
    ]
    assert it.lines[2] == (
        "All three changes together (order shuffled, lr 0.1, updates 7,992) raise the convergence "
        f"rate to {percent(cure['converged_share'])} ({total} points, 95% interval {low} to "
        f"{high}, 2,000 paired seeds). Averaged over all orders of making the changes, they "
        f"contribute these points (95% interval): {each[0]}, {each[1]} and {each[2]}."
    )
    best = it.row(order="shuffled", lr=0.2, updates=7992)
    assert it.lines[3] == (
        "Of all 8 setups, runs converge most often with order shuffled, lr 0.2, updates 7,992: "
        f"{percent(best['converged_share'])} of 2,000{as_best(it.summary, best)}. Half had "
        f"converged after {plain(best['updates_median'])} updates."
    )
    assert "; 1 other setup may do so as often)" in it.lines[3]
    assert len(it.lines) == 4


@pytest.mark.parametrize("baseline", [None, "0" * 12])
def test_without_a_baseline(founding: pd.DataFrame, baseline: str | None) -> None:
    it = Answer(founding, baseline)
    best, worst = (
        it.summary.iloc[int(f(it.summary["converged_share"]))] for f in (np.argmax, np.argmin)
    )
    keys = keys_of(it.summary)
    assert it.lines[0].startswith(
        f"Runs converge most often with {setting(best, keys)}: "
        f"{percent(best['converged_share'])} of "
    )
    least = (
        f"They do so least often with {setting(worst, keys)}: none of 2,000"
        f"{as_best(it.summary, worst, least=True)}. "
    )
    assert "; 3 other setups may do so as seldom)" in it.lines[0]
    by = it.contrasts[it.contrasts["key"] == "updates"]["difference"]
    assert (
        f"{least}On its own, updates 999 → 7,992 shows an effect in each of 4 settings (an "
        f"estimated {points(by.min())} to {points(by.max())} points); lr 0.1 → 0.2 shows an effect "
        "in 2 of 4 "
    ) in it.lines[0]
    order = it.contrasts[it.contrasts["key"] == "order"].filter(like="difference_simultaneous")
    assert it.lines[0].endswith(
        "; order random → shuffled shows no effect (at most "
        f"{points(order.abs().to_numpy().max()).lstrip('+')} points, at 95% confidence)."
    )


def test_several_values() -> None:
    shares = {0.2: 0, 0.1: 0, 0.4: 20, 0.8: 40, 1.6: 30, 3.2: 0}
    it = answer(*(({"lr": lr}, [C] * n + [P] * (40 - n)) for lr, n in shares.items()))
    assert it.lines[0].startswith("A larger lr fixes it: going from 0.2 to 0.8 ")
    assert "paired seeds), and lr 0.2 → 1.6 may raise it as much; the share" in it.lines[0]
    assert re.search(
        r" On its own, lr 0\.2 → 1\.6 raises the convergence rate by 75\.0 points \(simultaneous "
        r"95% interval \S+ to \S+\) and lr 0\.2 → 0\.4 raises it by 50\.0 points \(\S+ to \S+\)\. "
        r"These changes alone make no measurable difference \(at most 14\.2 points, at 95% "
        r"confidence\): lr 0\.2 → 0\.1 and lr 0\.2 → 3\.2\.$",
        it.lines[1],
    )
    assert len(it.lines) == 2


def test_of_several_best_the_one_that_is_soonest() -> None:
    def table(lr: float, momentum: float) -> pa.Table:
        runs = frames.table(
            {"lr": lr, "momentum": momentum}, [C if momentum and lr > 0.3 else P] * 30
        )
        at = pa.array([int(400 * lr)] * 30) if momentum and lr > 0.3 else runs["converged_at"]
        return runs.set_column(runs.column_names.index("converged_at"), "converged_at", at)

    it = Answer(
        frames.frame(*(table(lr, momentum) for lr in (0.2, 0.8, 0.4) for momentum in (0.0, 0.9))),
        frames.identity({}),
    )
    assert (
        it.lines[-1]
        == "In 2 of all 6 setups all runs converge, soonest with lr 0.4, momentum 0.9: half "
        "after 160 updates (1 other setup may be as soon)."
    )


def test_of_many_keys_only_what_differs_from_the_baseline() -> None:
    """Momentum does harm where the rate is high, whatever the order, and most where it is
    shuffled."""
    counts = {
        ("random", 0.2): 0,
        ("random", 0.4): 60,
        ("shuffled", 0.2): 0,
        ("shuffled", 0.4): 80,
    }
    axes: dict[str, Sequence[object]] = {
        "order": ["random", "shuffled"],
        "lr": [0.2, 0.4],
        "momentum": [0.0, 0.9],
    }
    it = grid(lambda order, lr, momentum: 0 if momentum else counts[order, lr], 80, **axes)
    lowers = r"momentum 0 → 0\.9 lowers the convergence rate by 100\.0 points \([^)]*\) with "
    assert re.search(f"{lowers}order shuffled, lr 0.4", it.lines[1])
    counts["random", 0.4] = 80
    counts["shuffled", 0.4] = 60
    it = grid(lambda order, lr, momentum: 0 if momentum else counts[order, lr], 80, **axes)
    assert re.search(f"{lowers}lr 0.4", it.lines[1])


def test_five_hundred_setups() -> None:
    rng = np.random.default_rng(1)
    axes = list(product(range(25), range(10), ("random", "shuffled")))
    setups = [
        (
            {"lr": 0.2 + a, "momentum": b / 20, "order": order},
            [C if u < a / 25 else P for u in rng.random(6)],
        )
        for a, b, order in axes
    ]
    it = answer(*setups)
    assert "In 60 of all 500 setups all runs converge, soonest with " in it.text
    assert len(it.text) < 3000


def grid(count: Callable[..., int], n: int = 40, **axes: Sequence[object]) -> Answer:
    """A setup for each combination of these values, of which so many of n runs converge."""
    found: Setups = [
        (keys, [C] * count(**keys) + [P] * (n - count(**keys)))
        for keys in (dict(zip(axes, each, strict=True)) for each in product(*axes.values()))
    ]
    return answer(
        *found, baseline=frames.identity({key: values[0] for key, values in axes.items()})
    )


ELSEWHERE = "In other settings changes have effects that the baseline does not show: "


@pytest.mark.parametrize("turned", [False, True])
def test_where_by_itself_it_does_nothing(turned: bool) -> None:
    """Momentum is of use, or does harm, where lr is 0.4 only."""

    def count(lr: float, momentum: float) -> int:
        return 0 if lr == 0.2 else 36 if (momentum == 0.9) is not turned else 11

    it = grid(count, lr=[0.2, 0.4], momentum=[0.0, 0.9])
    (row,) = it.contrasts.query("key == 'momentum' and lr == 0.4").to_dict("records")
    assert row["difference"] == pytest.approx((-1 if turned else 1) * 25 / 40)
    assert row["p_holm"] < ALPHA
    verb = "lowers" if turned else "raises"
    assert it.lines[1].endswith(
        f"{ELSEWHERE}momentum 0 → 0.9 {verb} the convergence rate by 62.5 points (simultaneous 95% "
        f"interval {points(row['difference_simultaneous_low'])} to "
        f"{points(row['difference_simultaneous_high'])}) with lr 0.4."
    )


def test_where_it_does_the_opposite_though_more_of_the_same_elsewhere() -> None:
    counts = {
        ("random", 0.0): 10,
        ("random", 0.9): 30,
        ("shuffled", 0.0): 0,
        ("shuffled", 0.9): 40,
    }
    counts |= {("cyclic", 0.0): 25, ("cyclic", 0.9): 8}
    it = grid(
        lambda order, momentum: counts[order, momentum],
        order=["random", "shuffled", "cyclic"],
        momentum=[0.0, 0.9],
    )
    told = it.lines[1].split(ELSEWHERE)[1]
    lowers = "momentum 0 → 0.9 lowers it by 42.5 points"
    assert re.search(rf"{lowers} \([^)]*\) with order cyclic", told)
    assert told.count("momentum 0 → 0.9") == 1


def test_nothing_where_effects_are_alike() -> None:
    alike = grid(
        lambda lr, momentum: 10 + 15 * (lr > 0.3) + 14 * (momentum > 0),
        lr=[0.2, 0.4],
        momentum=[0.0, 0.9],
    )
    assert (alike.contrasts["p_holm"] < ALPHA).all()
    assert ELSEWHERE not in alike.text


def test_the_largest_of_many() -> None:
    """Momentum is needed before anything else is of use."""
    axes: dict[str, Sequence[object]] = {
        "momentum": [0.0, 0.9],
        "lr": [0.2, 0.4],
        "order": ["random", "shuffled"],
    }
    axes |= {"bias": [True, False], "batch": [1, 2]}
    size = {"lr": 60, "order": 50, "bias": 40, "batch": 30}
    for n, more in (
        (2, ""),
        (3, "1 more change"),
        (4, "2 more changes"),
    ):
        some = dict(list(axes.items())[: n + 1])

        def count(
            momentum: float, axes: dict[str, Sequence[object]] = some, **others: object
        ) -> int:
            return (
                sum(size[key] for key, value in others.items() if value == axes[key][1])
                if momentum
                else 0
            )

        total = sum(list(size.values())[:n])
        says = grid(count, 200, **some).lines[1].split(ELSEWHERE)[1]
        raised = re.findall(
            r"(\w+) \S+ → \S+ raises (?:the convergence rate|it) by ([\d.]+) points \(", says
        )
        assert raised == [("momentum", f"{total / 2:.1f}"), ("lr", "30.0"), ("order", "25.0")]
        wheres = re.split(r"\) with ", says)[1:]
        assert all(
            f"{key} {plain(values[1])}" in wheres[0]
            for key, values in some.items()
            if key != "momentum"
        )
        assert all("momentum 0.9" in where for where in wheres[1:])
        assert says.endswith(f" and {more}." if more else ".")
        assert ("more change" in says) == bool(more)


def test_a_budget_in_epochs_is_not_named_by_the_updates_of_its_start() -> None:
    tables = []
    for epochs, lr in product((10, 20), (0.2, 0.4)):
        tables.append(
            frames.table(
                {"epochs": epochs, "updates": 8 * epochs, "lr": lr},
                [C if lr + epochs > 20.3 else P] * 40,
            )
        )
    tables.append(frames.table({"updates": 7}, [P] * 40))
    it = Answer(frames.frame(*tables), frames.identity({"epochs": 10, "updates": 80, "lr": 0.2}))
    raises = r"raises (?:the convergence rate|it) by 100\.0 points \([^)]*\) with"
    assert re.search(rf"epochs 10 → 20 {raises} lr 0\.4", it.text)
    assert re.search(rf"lr 0\.2 → 0\.4 {raises} epochs 20, updates 160", it.text)


AVERAGED = "Averaged over all other keys"


@pytest.mark.parametrize("start", [True, False])
def test_the_extremes_of_a_key_with_many_values(start: bool) -> None:
    lrs = [0.2, 0.1, 0.4, 0.8, 1.6]
    own = {0.1: 1, 0.2: 3, 0.4: 12, 0.8: 37, 1.6: 22}
    it = grid(lambda lr, momentum: own[lr] + 2 * (momentum > 0), lr=lrs, momentum=[0.0, 0.9])
    if not start:
        own_setups = (
            ({"lr": lr, "momentum": m}, [C] * (n + 2 * (m > 0)) + [P] * (40 - n - 2 * (m > 0)))
            for lr, n in own.items()
            for m in (0.0, 0.9)
        )
        it = Answer(frames.frame(*(frames.table(*each) for each in own_setups)), None)
    pooled = it.summary.groupby("lr")["converged_share"].mean()
    assert (pooled.idxmin(), pooled.idxmax()) == (0.1, 0.8)
    (line,) = (each for each in it.lines if each.startswith(AVERAGED))
    assert re.findall(r"(\S+) with lr ([\d.]+) ", line) == [("5.0%", "0.1"), ("95.0%", "0.8")]


@pytest.mark.parametrize(
    ("said", "count", "axes"),
    [
        pytest.param(
            ELSEWHERE,
            lambda lr, momentum: 20 * (lr > 0.3) + 3 * (lr > 0.3 and momentum > 0),
            {"lr": [0.2, 0.4], "momentum": [0.0, 0.9]},
            id="elsewhere: not shown there",
        ),
        pytest.param(
            ELSEWHERE,
            lambda lr: int(40 * lr),
            {"lr": [0.2, 0.4, 0.8]},
            id="elsewhere: one axis",
        ),
        pytest.param(
            AVERAGED,
            lambda lr, momentum: int(10 * lr + 20 * momentum),
            {"lr": [0.2, 0.1, 0.4, 0.8], "momentum": [0.0, 0.9]},
            id="averaged: few values",
        ),
        pytest.param(
            AVERAGED,
            lambda lr: int(20 * lr),
            {"lr": [0.2, 0.1, 0.4, 0.8, 1.6]},
            id="averaged: nothing else",
        ),
        pytest.param(
            AVERAGED,
            lambda lr, momentum: 30 * (momentum > 0),
            {"lr": [0.2, 0.1, 0.4, 0.8, 1.6], "momentum": [0.0, 0.9]},
            id="averaged: all alike",
        ),
    ],
)
def test_what_says_nothing_is_not_said(
    said: str, count: Callable[..., int], axes: dict[str, list[object]]
) -> None:
    assert said not in grid(count, **axes).text


def test_the_key_that_goes_farthest() -> None:
    it = grid(
        lambda lr, momentum: int(4 * lr + 30 * momentum),
        lr=[0.2, 0.1, 0.4, 0.8, 1.6],
        momentum=[0.0, 0.1, 0.3, 0.5, 0.9],
    )
    (said,) = (each for each in it.lines if each.startswith(AVERAGED))
    assert re.findall(r"with (\S+ [\d.]*\d)", said) == ["momentum 0", "momentum 0.9"]


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ([K] * 9, [S] * 9, ", and all give the same answer to every input."),
        ([P] * 9, [D] * 9, ", and none gives the same answer to every input."),
        (
            [P, K],
            [K, P],
            ". In each of 2 setups 50.0% of the runs give the same answer to every input.",
        ),
    ],
    ids=["all", "none", "shares alike"],
)
def test_and_the_shares_that_are_constant_are_alike(one, other, said: str) -> None:
    it = answer(({}, one), ({"lr": 0.1}, other), baseline=None)
    most = percent(simultaneous_bounds(it.summary, "converged")[1].max())
    unseen = f" (at most {most} of a setup's runs would, at 95% confidence)"
    assert it.lines == [f"No run converges in any of 2 setups{unseen}{said}"]


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (C, "converge"),
        (D, "diverge"),
        (K, "collapse to a constant"),
        (S, "give every input the same decision"),
        (P, "end partial, telling some rows apart but not all as they should"),
    ],
)
@pytest.mark.parametrize("baseline", [None, BASE])
def test_every_run(outcome: str, says: str, baseline: str | None) -> None:
    it = answer(*(({"lr": lr}, [outcome] * 600) for lr in (0.1, 0.2)), baseline=baseline)
    assert it.lines == [
        f"All 1,200 runs {says}, in each of 2 setups; of more runs of a setup up to 0.8% may end "
        "otherwise (at 95% confidence)."
    ]


@pytest.mark.parametrize("ever", [True, False])
def test_then_what_differs_is_how_long_it_takes(ever: bool) -> None:
    """Runs that no look found converged have no median, and few runs do not tell medians apart."""
    runs = [
        frames.table({"lr": lr}, [C] * 30, ever=[ever or lr < 0.3] * 30) for lr in (0.1, 0.2, 0.4)
    ]
    frame = frames.frame(*runs)
    frame["converged_at"] += frame["seed"] % 30
    slower = frame["lr"] == 0.1
    frame.loc[slower, "converged_at"] += 40
    said = " They differ in speed: half had converged after 94 updates with lr 0.2, and after "
    assert Answer(frame).lines[0].endswith(f"{said}134 with lr 0.1.")
    frame.loc[slower, "converged_at"] -= 36
    assert "speed" not in Answer(frame).text


def test_no_runs() -> None:
    assert Answer(frames.frame(frames.table({}, [P])).iloc[:0]).lines == ["There are no runs yet."]


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_one_run(outcome: str) -> None:
    (said,) = answer(({}, [outcome])).lines
    assert said.startswith(f"The one run ended {outcome}: ")


# What the runs do not show


def test_a_setup_that_a_comparison_excludes_may_not_be_as_good() -> None:
    """The intervals of the two overlap, but the same seeds say which one is better."""
    tables = [
        frames.table({"lr": lr, "momentum": m}, [C] * n + [P] * (400 - n))
        for lr, m, n in ((0.2, 0.0, 200), (0.2, 0.9, 360), (0.4, 0.0, 360), (0.4, 0.9, 375))
    ]
    it = Answer(frames.frame(*tables))
    best = it.row(lr=0.4, momentum=0.9)
    near = it.contrasts[it.contrasts[["fixed", "broken"]].apply(tuple, axis=1) == (15, 0)]
    assert len(near) == 2
    assert (near["p_holm"] < ALPHA).all()
    assert "; 2 other setups may do so as often)" in as_best(it.summary, best)
    assert "may do so as often" not in it.lines[-1]
    assert "may do so as often" not in Answer(frames.frame(*tables), None).lines[0]


def test_noise_has_no_extremes() -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        setups: Setups = [
            ({"lr": lr, "momentum": m}, [C if u < 0.5 else P for u in rng.random(40)])
            for lr in (0.2, 0.1, 0.4, 0.8, 1.6, 3.2)
            for m in (0.0, 0.9)
        ]
        assert AVERAGED not in answer(*setups).text


def test_problems_are_not_ranked_together() -> None:
    """Another problem is no better setup."""
    counts = {("xor", 0.2): 10, ("xor", 0.4): 30, ("and", 0.2): 39, ("and", 0.4): 40}
    setups: Setups = [
        ({"problem": problem, "lr": lr}, [C] * n + [P] * (40 - n))
        for (problem, lr), n in counts.items()
    ]
    text = answer(*setups, baseline=frames.identity({"problem": "xor", "lr": 0.2})).text
    assert text.startswith("A larger lr fixes it: ")
    assert "problem xor → and" not in text
    assert "problem and" not in text
    (first,) = answer(*setups, baseline=None).lines
    assert "With problem and, runs converge most often with lr 0.4: all 40 (95% interval" in first
    assert "With problem xor, runs converge most often with lr 0.4: 75.0% of 40 (95%" in first
    assert first.endswith(
        " On its own, lr 0.2 → 0.4 shows an effect in 1 of 2 settings (an estimated +50.0 points)."
    )
    alone = answer(*setups[::2], baseline=None).lines
    assert alone[0].startswith("With problem and, 97.5% of 40 runs converge (95% interval 87.")


@settings(max_examples=25, derandomize=True)
@given(
    axes=st.sampled_from([(1,), (2,), (5,), (2, 2), (3, 2), (2, 2, 2), (6, 1)]),
    shares=st.lists(
        st.lists(st.integers(0, 8), min_size=5, max_size=5).filter(any), min_size=12, max_size=12
    ),
    runs=st.lists(st.integers(1, 60), min_size=12, max_size=12),
    starts=st.lists(st.sampled_from([0, 0, 0, 5, 1000]), min_size=12, max_size=12),
    lacking=st.sets(st.integers(0, 11), max_size=3),
    baseline=st.sampled_from([BASE, None, "0" * 12]),
)
def test_any_sweep(  # type: ignore[no-untyped-def]
    axes, shares, runs, starts, lacking, baseline
) -> None:
    names = {
        "lr": [0.2, 0.1, 0.4, 0.8, 1.6, 3.2],
        "momentum": [0.0, 0.9],
        "order": ["random", "shuffled"],
    }
    values = [
        dict(zip(names, each, strict=False))
        for each in product(*(names[k][:n] for k, n in zip(names, axes, strict=False)))
    ]
    tables = []
    for i, keys in enumerate(values):
        if i not in lacking or not i:
            rng = np.random.default_rng([i, runs[i]])
            outcomes = frames.mixed(runs[i], rng, *(share / sum(shares[i]) for share in shares[i]))
            tables.append(frames.table(keys, outcomes, np.arange(starts[i], starts[i] + runs[i])))
    it = Answer(frames.frame(*tables), baseline)
    fixes = it.fixes()
    assert len(fixes) == it.text.count(": going from ")
    assert all(row["p_holm"] < ALPHA and row["difference"] > 0 for row in fixes)
