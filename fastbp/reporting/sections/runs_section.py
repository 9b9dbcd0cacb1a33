"""Single runs on a page: what some networks of each outcome answer, and the trajectories of those that
were replayed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.analysis.counts import SetupCounts
from fastbp.reporting import html, plots
from fastbp.reporting.figures import Drawing
from fastbp.reporting.phrases import plural
from fastbp.reporting.svg import panels
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.store import filename, parquet

MAX_EXAMPLES, MAX_TRAJECTORIES = 5, 6
"""Runs of each outcome, and trajectories."""

Problem = tuple[NDArray[np.float64], NDArray[np.float64]]
Problems = Mapping[str, Problem | None]


def problem_of(store: Path, one: SetupCounts) -> Problem | None:
    """X and T of a setup, where the store has them."""
    file = store / "problems" / f"{one.problem}.npz"
    if not one.problem or not re.fullmatch("[0-9a-f]{64}", one.problem) or not file.is_file():
        return None
    with suppress(Exception):  # whatever is wrong with it, verify says so
        with np.load(file, allow_pickle=False) as arrays:
            X, T = np.asarray(arrays["X"], float), np.asarray(arrays["T"], float)
        if T.ndim == 2 and X.ndim == 2 and len(X) == len(T) and T.size:
            return X, T
    return None


class Example(NamedTuple):
    """A run to look at."""

    outcome: str
    setup: str
    seed: int
    loss: float
    spread: float
    outputs: NDArray[np.float64]


def examples(store: Path, counted: Sequence[SetupCounts], baseline: str | None) -> list[Example]:
    """Five runs of each outcome, of as many setups as there are: of each its first seeds, the setup
    as it stands first.
    """
    order = sorted(counted, key=lambda t: t.setup != baseline)
    wanted: list[tuple[Outcome, str, int]] = []
    for outcome in plots.COLOURS:
        lists = [
            [(outcome, t.setup, seed) for seed in t.histograms.examples.get(outcome, [])]
            for t in order
            if t.histograms
        ]
        turns = (one for turn in zip_longest(*lists) for one in turn if one)
        wanted += [one for one, _ in zip(turns, range(MAX_EXAMPLES), strict=False)]
    found: dict[tuple[str, int], Example] = {}
    for file in filename.run_files(store / "runs"):
        in_file = [
            (outcome, setup, seed)
            for outcome, setup, seed in wanted
            if setup == file.setup and file.start <= seed < file.stop
        ]
        if not in_file:
            continue
        rows, _ = parquet.read(file.path, ["loss", "spread", "outputs"])
        for outcome, setup, seed in in_file:
            row = rows.slice(seed - file.start, 1).to_pylist()[0]
            if row["outputs"] is not None:
                outputs = np.array(row["outputs"], float)
                found[setup, seed] = Example(
                    outcome, setup, seed, row["loss"] or np.nan, row["spread"] or np.nan, outputs
                )
    return [found[setup, seed] for _, setup, seed in wanted if (setup, seed) in found]


def example_groups(
    drawing: Drawing,
    found: Sequence[Example],
    problems: Problems,
    names: Mapping[str, str],
    store: str,
) -> list[dict[str, Any]]:
    """The same as parts of a page, by outcome, and all in one picture; `store`: as commands name
    it.
    """
    known = {setup: problem[1] for setup, problem in problems.items() if problem}
    targets = [
        T if (T := known.get(run.setup)) is not None and T.size == run.outputs.size else None
        for run in found
    ]
    figure, boxes = plots.answers_sheet(
        [(run.outputs, T, run.outcome) for run, T in zip(found, targets, strict=True)],
        [f"{run.setup}, seed {run.seed}" for run in found],
        f"What {len(found)} networks answer to each row, from 0 to 1: dots; lines are their targets",
    )
    alternatives = []
    for run, T in zip(found, targets, strict=True):
        aim = "" if T is None else f", for targets {_numbers(T.ravel())}"
        alternatives.append(f"Outputs of seed {run.seed}: {_numbers(run.outputs)}{aim}.")
    groups: list[dict[str, Any]] = []
    for run, svg in zip(
        found, panels(drawing.files(figure, "answers"), boxes, "answer", alternatives), strict=True
    ):
        if not groups or groups[-1]["outcome"] != run.outcome:
            groups.append({"outcome": str(run.outcome), "runs": []})
        name = ", ".join(
            filter(None, [names[run.setup], f"loss {run.loss:.4g}", f"spread {run.spread:.3g}"])
        )
        command = f"fastbp replay {store} {run.setup} {run.seed}"
        groups[-1]["runs"].append({"svg": svg, "command": command, "name": name})
    return groups


def _numbers(values: NDArray[np.float64], most: int = 16) -> str:
    return " ".join(f"{value:.2g}" for value in values[:most].tolist()) + (
        " and so on" if len(values) > most else ""
    )


def trajectories(drawing: Drawing, store: Path, names: Mapping[str, str]) -> html.Picture | None:
    """The learning curves of runs that were replayed and kept."""
    import pyarrow.parquet as pq

    traces: dict[str, pd.DataFrame] = {}
    for path in sorted((store / "replays").glob("*.parquet")):
        setup, _, seed = path.stem.partition("-")
        if setup in names and len(traces) < MAX_TRAJECTORIES:
            with suppress(
                Exception
            ):  # somebody's own file, or a damaged one: it is no part of the results
                looks = pq.read_table(
                    path, columns=["updates", "loss", "spread", "outcome"]
                ).to_pandas()
                if len(looks) and set(looks["outcome"]) <= set(OUTCOMES):
                    traces[f"{names[setup]}, seed {seed}".removeprefix(", ")] = looks
    if not traces:
        return None
    ends = {name: looks.iloc[-1] for name, looks in traces.items()}
    return drawing(
        plots.learning_sheet(
            traces, f"Loss and spread of {plural(len(traces), 'replayed run')} over their updates"
        ),
        "trajectories",
        "Learning curves of replayed runs",
        "Curves of loss and of spread over updates: "
        + "; ".join(
            f"{name} ended {end['outcome']} with loss {end['loss']:.3g}"
            for name, end in ends.items()
        ),
        "Each run has the colour of the outcome that it ended with. Also as",
    )
