"""The sections on single runs: examples of each outcome, and runs that were trained again."""

import re
from itertools import chain, islice, zip_longest
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fastbp.reporting import plots
from fastbp.reporting.phrases import Record
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.reporting.svg import dots
from fastbp.schema.errors import damage_ignored
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import grouped, plural, typed
from fastbp.store import filename, parquet, places, safe_files
from fastbp.store.npz import in_units

MAX_EXAMPLES = 5
"""Largest number of runs of each outcome."""

MAX_NUMBERS = 16
"""Largest number of outputs, and of targets, in the text of a figure for screen readers."""


def _alternative(run: Record) -> str:
    """The text that screen readers read instead of the figure of a run."""
    aim = "" if run["targets"] is None else f", for targets {_numbers(run['targets'].ravel())}"
    return f"Outputs of seed {run['seed']}: {_numbers(run['outputs'])}{aim}."


def _numbers(values: NDArray[np.float64]) -> str:
    return " ".join(f"{value:.3g}" for value in values[:MAX_NUMBERS].tolist()) + (
        " and so on" * (len(values) > MAX_NUMBERS)
    )


def _wanted(data: ReportData) -> list[tuple[Outcome, str, int]]:
    """Choose five runs of each outcome: the first seeds of different setups, baseline first."""
    order = sorted(data.counted, key=lambda t: t.setup != data.baseline)
    wanted: list[tuple[Outcome, str, int]] = []
    for outcome in STACKED:
        lists = [
            [(outcome, t.setup, seed) for seed in t.histograms.examples.get(outcome, [])]
            for t in order
            if t.histograms
        ]
        wanted += islice(filter(None, chain.from_iterable(zip_longest(*lists))), MAX_EXAMPLES)
    return wanted


def examples(data: ReportData) -> list[Record]:
    """Read up to `MAX_EXAMPLES` runs of each outcome, sorted by outcome.

    Returns
    -------
    list of dict
        `outcome`, `setup` and `seed` of each run, the `loss` and `spread` at its end (NaN if not
        known), its `outputs` [row × output], the `targets` [row, output], or None if they are not
        known, and the `ends` of the outputs' range, all in the units of the table.
    """
    wanted = _wanted(data)
    runs: dict[tuple[str, int], Record] = {}
    for file in filename.run_files(data.store / "runs"):
        inside = [
            (outcome, seed)
            for outcome, setup, seed in wanted
            if setup == file.setup and file.start <= seed < file.stop
        ]
        if not inside:
            continue
        rows, _ = parquet.read(file.path, ["loss", "spread", "outputs"])
        for outcome, seed in inside:
            row = rows.slice(seed - file.start, 1).to_pylist()[0]
            if row["outputs"] is not None:
                outputs, problem = np.array(row["outputs"], float), data.problem_of(file.setup)
                targets, ends = None, np.array([[0.0], [1.0]])
                if problem and problem.T.size == outputs.size:
                    ends = np.repeat(ends, problem.T.shape[1], axis=1)
                    outputs, targets, ends = (
                        in_units(values, problem.units)
                        for values in (outputs.reshape(problem.T.shape), problem.T, ends)
                    )
                runs[file.setup, seed] = {
                    "outcome": outcome,
                    "setup": file.setup,
                    "seed": seed,
                    "loss": row["loss"],
                    "spread": row["spread"],
                    "outputs": outputs.ravel(),
                    "targets": targets,
                    "ends": (float(ends.min()), float(ends.max())),
                }
    return [runs[setup, seed] for _, setup, seed in wanted if (setup, seed) in runs]


def shown_path(store: Path) -> str:
    """The path of a store in a command that a reader may copy: `results/NAME` or its name."""
    path = Path(places.real_path(store, strict=False))
    return typed(f"results/{path.name}" if path.parent.name == "results" else path.name)


def _measured(run: Record) -> str:
    """The loss and the spread of a run, if it has them."""
    return "".join(
        f", {name} {run[name]:.{digits}g}"
        for name, digits in (("loss", 4), ("spread", 3))
        if run[name] is not None
    )


def _content(data: ReportData) -> Content | None:
    runs = examples(data)
    if not runs:
        return None
    shown = [
        {
            "svg": dots(
                run["outputs"],
                run["targets"],
                run["ends"],
                run["outcome"].colour,
                _alternative(run),
            ),
            "command": f"fastbp replay {shown_path(data.store)} {run['setup']} {run['seed']}",
            "name": data.names[run["setup"]] + _measured(run),
        }
        for run in runs
    ]
    return {"groups": grouped(shown, [str(run["outcome"]) for run in runs])}


SECTION = Section(
    "runs",
    "Single runs",
    _content,
    """\
<p>The outputs of single networks, in the units of the table: a dot for each output of each row, and
a line at its target. The command below a figure trains that run again, bit for bit, and shows its
trajectory.</p>
{% for outcome, runs in groups.items() %}<h3>{{ outcome }}</h3>
<div class="small">
{% for run in runs %}<figure>{{ run.svg | markup }}<figcaption><code>{{ run.command }}</code><br>
<bdi>{{ run.name }}</bdi></figcaption></figure>
{% endfor %}</div>
{% endfor %}""",
)


MAX_TRAJECTORIES = 6
"""Largest number of replayed runs on a page."""

TRACED = ["updates", "loss", "spread", "outcome"]
"""Columns of the evaluations of a replayed run that are drawn."""

MAX_TRACE = 500_000_000
"""Most bytes of the file of a replayed run: somewhat more than its evaluations may have."""

MAX_TRACES = 1 << 30
"""Most bytes of all such files that are read, whether or not they are sound."""

MAX_EVALUATIONS = 1_000_000
"""Most evaluations of all runs in the picture: `replay` writes at most 400,000 of a run."""


def _traces(data: ReportData) -> dict[str, pd.DataFrame]:
    """The evaluations of each replayed run, by its name."""
    traces: dict[str, pd.DataFrame] = {}
    left, room = MAX_EVALUATIONS, MAX_TRACES
    for name in safe_files.listed(data.store, "replays"):
        path = data.store / "replays" / name
        setup, _, seed = path.stem.partition("-")
        is_trace = path.suffix == ".parquet" and re.fullmatch("[0-9]{1,19}", seed)
        if not is_trace or setup not in data.names or len(traces) == MAX_TRAJECTORIES:
            continue
        with damage_ignored():  # a damaged file, or one of another program, is not shown
            content = safe_files.read(path, data.store, min(MAX_TRACE, room))
            room -= len(content)
            trace = (
                parquet.decoded(content, TRACED, most=left)
                .select(TRACED)
                .to_pandas(use_threads=False)
            )
            left -= len(trace)
            if len(trace) and set(trace["outcome"]) <= set(OUTCOMES):
                traces[f"{data.names[setup]}, seed {seed}".removeprefix(", ")] = trace
    return traces


def _curves(data: ReportData) -> Content | None:
    traces = _traces(data)
    if not traces:
        return None
    texts = [
        f"{name} ended {trace['outcome'].iloc[-1]} with loss {trace['loss'].iloc[-1]:.3g}"
        for name, trace in traces.items()
    ]
    return {
        "curves": data.drawing(
            lambda: plots.learning_sheet(
                traces,
                f"Loss and spread of {plural(len(traces), 'replayed run')} over their updates",
            ),
            "trajectories",
            "Learning curves of replayed runs",
            f"Curves of loss and of spread over updates: {'; '.join(texts)}",
            "Each run has the colour of the outcome that it ended with.",
        )
    }


TRAJECTORIES = Section(
    "trajectories", "Trajectories of replayed runs", _curves, "{{ figure(curves) }}"
)
