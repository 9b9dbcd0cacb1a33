"""The section with the learning curves of runs that `fastbp replay` trained again."""

from contextlib import suppress

import pandas as pd

from fastbp.reporting import plots
from fastbp.reporting.report_data import Content, ReportData, Section
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import plural

MAX_TRAJECTORIES = 6
"""Largest number of replayed runs on a page."""


def _traces(data: ReportData) -> dict[str, pd.DataFrame]:
    """The evaluations of each replayed run, by its name."""
    traces: dict[str, pd.DataFrame] = {}
    for path in sorted((data.store / "replays").glob("*.parquet")):
        setup, _, seed = path.stem.partition("-")
        if setup not in data.names or len(traces) == MAX_TRAJECTORIES:
            continue
        with suppress(Exception):  # a damaged file, or one of another program, is not shown
            trace = pd.read_parquet(path, columns=["updates", "loss", "spread", "outcome"])
            if len(trace) and set(trace["outcome"]) <= set(OUTCOMES):
                traces[f"{data.names[setup]}, seed {seed}".removeprefix(", ")] = trace
    return traces


def _content(data: ReportData) -> Content | None:
    traces = _traces(data)
    if not traces:
        return None
    title = f"Loss and spread of {plural(len(traces), 'replayed run')} over their updates"
    ends = {name: trace.iloc[-1] for name, trace in traces.items()}
    texts = [
        f"{name} ended {end['outcome']} with loss {end['loss']:.3g}" for name, end in ends.items()
    ]
    curves = data.drawing(
        plots.learning_sheet(traces, title),
        "trajectories",
        "Learning curves of replayed runs",
        f"Curves of loss and of spread over updates: {'; '.join(texts)}",
        "Each run has the colour of the outcome that it ended with.",
    )
    return {"curves": curves}


SECTION = Section("trajectories", "Trajectories of replayed runs", _content, "{{ figure(curves) }}")
