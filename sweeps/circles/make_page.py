"""Makes the page of the Circle networks: `python sweeps/circles/make_page.py`.

From results/circles/diagnoses.csv, which make_diagnoses.py writes, and from networks.json and
autotrainer.csv here, it makes README.md and circles.svg there: the same bytes each time.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from circles import HERE, LEVEL, RESULTS, kind_of, networks
from matplotlib.figure import Figure

from fastbp.analysis.statistics.proportions import modified_wilson
from fastbp.reporting.plots import style
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import and_, percent

MOST = 0.5
"""A network fails in most seeds if the interval of its failures lies above this."""


class Row(NamedTuple):
    """A kind of network: its row of diagnoses.csv, and the networks of that kind."""

    found: dict[Any, Any]
    networks: list[dict[str, Any]]

    @property
    def fails(self) -> tuple[float, float, float]:
        """The share of runs that fail, with its interval."""
        runs, failing = self.found["runs"], self.found["runs"] - self.found["converged"]
        return failing / runs, *map(float, modified_wilson(failing, runs))

    @property
    def is_fixed(self) -> bool:
        """Whether more of the same seeds converge with what is recommended; intervals are apart."""
        found = self.found
        low, _ = modified_wilson(found["fresh_converged"], found["fresh_runs"])
        return bool(found["fresh_runs"] and low > 1 - self.fails[1])


def rows(folder: Path = RESULTS) -> list[Row]:
    """The kinds of networks, in the order of diagnoses.csv."""
    missing = {"cause": "", "changes": "", "fresh_runs": 0, "fresh_converged": 0}
    table = pd.read_csv(folder / "diagnoses.csv").fillna(missing)
    every = [each for each in networks() if "left_out" not in each]
    return [
        Row(found, [each for each in every if str(kind_of(each)) == found["network"]])
        for found in table.to_dict("records")
    ]


def repaired() -> pd.Series:
    """The accuracies that AUTOTRAINER's repaired Circle networks reach, by its authors."""
    return pd.read_csv(HERE / "autotrainer.csv")["repaired"]


def reaches(row: Row, accuracy: float) -> bool:
    """Whether networks have this accuracy in the median with what is recommended."""
    return row.is_fixed and row.found["fresh_accuracy"] >= round(accuracy, 4)


def findings(every: Sequence[Row]) -> str:
    """The paragraph of findings."""
    most = [row for row in every if row.fails[1] > MOST]
    known = repaired()
    as_good = [sum(reaches(row, goal) for row in most) for goal in (known.mean(), known.median())]
    lose = [row.found["network"] for row in most if not reaches(row, known.mean())]
    sound = [row for row in every if row.networks[0]["group"] == "sound"]
    rare = [percent(row.fails[0]) for row in sound]
    text = (
        f"Of {len(every)} kinds of networks, {len(most)} fail in more than half of the seeds. For "
        f"{sum(row.is_fixed for row in most)} of these a diagnosis recommends changes with which "
        f"more seeds converge. Then the median accuracy on held-out rows is at least "
        f"{percent(known.mean())}, the mean of AUTOTRAINER's {len(known)} repaired networks, in "
        f"{as_good[0]} kinds, and at least {percent(known.median())}, their median, in "
        f"{as_good[1]}. "
    )
    text += f"It is lower in {and_(lose)}. " * bool(lose)
    return text + (
        f"The {len(sound)} kinds that AUTOTRAINER's authors call sound fail in {and_(rare)} of "
        "the seeds: each tool saw one of them."
    )


def share_of(count: int, runs: int) -> str:
    """A share with its interval: `84.1% (83.4–84.8%)`."""
    low, high = modified_wilson(count, runs)
    return f"{percent(count / runs)} ({percent(float(low))}–{percent(float(high))})".replace(
        "%–", "–"
    )


def others(row: Row) -> Iterator[str]:
    """What the three tools say of the networks of a kind, one cell each."""
    for tool in ("deepdiagnosis", "deeplocalize"):
        yield "; ".join(dict.fromkeys(each[tool] for each in row.networks if each[tool]))
    logs = [log for each in row.networks for log in each.get("autotrainer", [])]
    yield "; ".join(
        f"explodes at epoch {log['epoch']}, {percent(log['accuracy'])} → {percent(log['repaired'])}"
        for log in logs
    )


def cells(row: Row) -> list[str]:
    """The row of a kind."""
    found = row.found
    ended = [
        f"; {percent(found[name] / found['runs'])} {name}" * (found[name] > 0)
        for name in ("constant", "diverged")
    ]
    names = ", ".join(each["name"].removeprefix("model_") for each in row.networks)
    tried = found["fresh_runs"] > 0
    after = share_of(int(found["fresh_converged"]), int(found["fresh_runs"])) if tried else ""
    return [
        f"{found['network']} ({names})",
        share_of(found["runs"] - found["converged"], found["runs"]) + "".join(ended),
        found["cause"] or "nothing",
        found["changes"] or "nothing",
        after,
        percent(found["accuracy"]),
        percent(found["fresh_accuracy"]) if tried else "",
        *others(row),
    ]


def by_reason(key: str) -> list[str]:
    """List the networks that have a value in a column of networks.json, a line for each value."""
    named = [each for each in networks() if key in each]
    reasons = dict.fromkeys(each[key] for each in named)
    return [
        f"- {', '.join(each['name'] for each in named if each[key] == reason)}: {reason}"
        for reason in reasons
    ]


def page(every: Sequence[Row]) -> str:
    """The text of README.md."""
    columns = ["network", "fails", "cause", "recommended", "converges with it"]
    columns += ["accuracy as published", "accuracy with it"]
    columns += ["DeepDiagnosis", "DeepLocalize", "AUTOTRAINER"]
    table = [columns, ["---"] * len(columns), *map(cells, every)]
    seconds = min(row.found["seconds"] for row in every)
    again = [row.found["network"] for row in every if row.found["seconds"] > seconds]
    longer = f", and four times as many where nothing helped enough: {and_(again)}" * bool(again)
    return "\n".join(
        [
            "<!-- Made by python sweeps/circles/make_page.py. -->",
            "",
            "# The Circle networks, over seeds",
            "",
            findings(every),
            "",
            "![The share of runs that converge, as published and with what is recommended]"
            "(circles.svg)",
            "",
            f"A run *converges* if it gets {percent(LEVEL)} of the held-out rows right, else it "
            f"*fails*. Each share is of {every[0].found['runs']:,} seeds that the diagnosis did "
            "not see; *accuracy* is their median, on held-out rows. A diagnosis had "
            f"{seconds:.0f} s{longer}. The tools ran each network once; their columns are in our "
            "words. "
            "AUTOTRAINER's has the accuracies when it stopped a run, and after its repair. "
            "[Where the networks come from](../../sweeps/circles/README.md)",
            "",
            *(f"| {' | '.join(line)} |" for line in table),
            "",
            "Left out:",
            "",
            *by_reason("left_out"),
            "",
            "Rebuilt with the weights of the other layers in the last one, though theirs differ:",
            "",
            *by_reason("last_layer"),
            "",
            "```sh",
            "python sweeps/circles/make_diagnoses.py 120",
            "python sweeps/circles/make_page.py",
            "```",
            "",
        ]
    )


@style.styled
def picture(every: Sequence[Row]) -> Any:
    """Each kind a row: the share that converges as published → with what is recommended."""
    names = [row.found["network"] for row in every]
    left, high = max(style.inches(name, 9) for name in names) + 0.3, 0.3 * len(names) + 1.1
    wide = left + 5.6
    figure = Figure(figsize=(wide, high))
    ax = figure.add_axes((left / wide, 0.55 / high, 5.4 / wide, 1 - 1.0 / high))
    before = [100 * (1 - row.fails[0]) for row in every]
    after = [
        100 * row.found["fresh_converged"] / row.found["fresh_runs"]
        if row.found["fresh_runs"]
        else np.nan
        for row in every
    ]
    for y, ends in enumerate(zip(before, after, strict=True)):
        ax.plot(ends, [y, y], color=Outcome.CONVERGED.colour, linewidth=1.4, alpha=0.5, zorder=1)
    for values, colour, label in (
        (before, "#8a8a8a", "as published"),
        (after, Outcome.CONVERGED.colour, "with what is recommended"),
    ):
        ax.scatter(values, range(len(names)), 40, colour, label=label, zorder=2, edgecolors="white")
    ax.set_yticks(range(len(names)), names, fontsize=9)
    ax.grid(axis="y", color="#bbbbbb", linewidth=0.4)
    ax.set(ylim=(len(names) - 0.5, -0.5), xlim=(-2, 102), xlabel="share of runs converged (%)")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, fontsize=9, frameon=False)
    return style.bare(ax)


def files(folder: Path = RESULTS) -> dict[str, bytes]:
    """The files of the page, by name, from diagnoses.csv in a folder."""
    every = rows(folder)
    return {
        "README.md": page(every).encode(),
        "circles.svg": style.encoded(picture(every).figure, "svg"),
    }


if __name__ == "__main__":
    for name, content in files().items():
        (RESULTS / name).write_bytes(content)
