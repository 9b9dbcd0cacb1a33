"""Find out why networks of a setup fail, and which change fixes it."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.config.setup import Setup
from fastbp.config.sweep import Sweep
from fastbp.diagnosis import own_weights, sentences
from fastbp.diagnosis.candidates import Change, changed, changes, larger
from fastbp.diagnosis.recommend import (
    OrderComparison,
    Recommendation,
    compared_orders,
    recommended,
    together,
)
from fastbp.diagnosis.symptoms import MAX_INSPECTED, Symptom, inspect, of_problem, of_runs
from fastbp.diagnosis.trials import (
    CONTROL,
    OTHER_ORDERS,
    ChangeEffect,
    Experiment,
    MeasuredRuns,
    Trial,
    effects,
    train_rounds,
    train_some,
)
from fastbp.engine.compile_ahead import warm_up
from fastbp.engine.plan import seconds_per_run
from fastbp.engine.tasks import kernel_key
from fastbp.reporting.phrases import plain
from fastbp.reporting.sections import diagnosis_section
from fastbp.schema.errors import SweepError
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import plural, refusal
from fastbp.store.store import write

USUAL_EPOCHS, FEWEST_EPOCHS, RUN_SECONDS = 1000, 10, 0.0015
"""The default budget of a run: `USUAL_EPOCHS` epochs, or as many as take `RUN_SECONDS` if that is
fewer, but at least `FEWEST_EPOCHS`."""

LEFT = 10.0
"""Seconds of the time limit that are kept for training, even if compiling takes long."""

ENOUGH = 0.9
"""Larger changes are tried if no change reaches this convergence rate."""

LOADING = 3.0
"""Loading compiled code takes less than this many seconds; compiling takes more."""

SWEEP_SEEDS = 2000
"""Number of seeds in the sweep file that a diagnosis writes."""

REDRAWN = "same setup, other orders of samples"
"""Name of the control: the same setup and initial weights, with other random orders of samples."""


class Diagnosis(NamedTuple):
    """A diagnosis of a setup; printed, it is the report.

    Attributes
    ----------
    setup : Setup
        The setup that was diagnosed.
    base, outcomes : MeasuredRuns, dict
        The runs of the setup, and the number of them with each outcome.
    symptoms : list of Symptom
        What failing networks do.
    table, pairs : DataFrame
        The effects of single changes, and of several changes at once, one row each, best first; the
        columns are those of `fastbp.diagnosis.trials.effects`.
    recommended : Recommendation or None
        None if nothing fixes the setup.
    orders : OrderComparison or None
        Two orders of samples, compared.
    advised : bool
        Whether the orders are compared because somebody advised another order.
    example : int or None
        A seed whose run does not converge; None if all converge.
    left_out : list of str
        Names of the changes for which there was no time.
    complete, short : bool
        Whether there was time for everything; whether there was too little for all seeds.
    beyond : float
        Seconds by which compiling exceeded the time allowed for it.
    notes : tuple of str
        Notes about defaults that were chosen, such as the number of epochs.
    """

    setup: Setup
    base: MeasuredRuns
    outcomes: dict[str, int]
    symptoms: list[Symptom]
    table: pd.DataFrame
    pairs: pd.DataFrame
    recommended: Recommendation | None
    orders: OrderComparison | None
    advised: bool
    example: int | None
    left_out: list[str]
    complete: bool
    short: bool
    beyond: float
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """The report: notes, the verdict, the table of changes, and what to do next."""
        commands = sentences.commands(self, name="why.setup")
        notes = [f"note: {note}" for note in self.notes]
        return "\n".join(notes + sentences.screen(self, None, commands))

    @property
    def verdict(self) -> list[str]:
        """What is wrong, what fixes it, and what does not, in sentences."""
        return sentences.verdict(self)

    @property
    def runs(self) -> int:
        """The number of seeds that the setup and each single change were tried on."""
        return self.base.runs

    @property
    def converged(self) -> float:
        """The share of the setup's runs that converge; NaN if there are no runs."""
        return self.outcomes["converged"] / self.runs if self.runs else np.nan


def diagnose(
    setup: Setup,
    seeds: int = 2000,
    seconds: float = 60.0,
    tick: Callable[[str], None] = lambda phase: None,
    start: int = 0,
    advice: Sequence[Change] = (),
    began: float | None = None,
) -> Diagnosis:
    """Diagnose a setup: try changes on the same seeds, and check the best on fresh ones.

    Parameters
    ----------
    setup : Setup
    seeds : int
        The most seeds of each change. Fewer are trained if all confidence intervals are narrow
        before.
    seconds : float
        The time limit; compiling may exceed it.
    tick : callable
        Called with the name of the current step.
    start : int
        The first seed.
    advice : (Change, Change), optional
        A change and another order of samples that somebody advised together: the orders are
        compared.
    began : float, optional
        When the seconds began, on the clock of ``time.perf_counter``; by default now.

    Raises
    ------
    SweepError
        If there is not enough time for even a few runs.
    """
    began = time.perf_counter() if began is None else began
    symptoms = of_problem(setup)
    tried = changes(setup)
    if any(symptom.final for symptom in symptoms):
        seconds, tried = min(seconds, 10.0), []
    tried, uncompiled, beyond = _compiled(setup, tried, seconds, began)
    now = time.perf_counter()
    left = seconds + beyond - (now - began)
    experiment = Experiment(setup, start, seeds, tick, now, left, {c.name: (c,) for c in tried})
    try:
        diagnosis = _tried(experiment, symptoms, uncompiled, advice)
    except SweepError as error:
        notes = [f"note: {symptom.text}" for symptom in symptoms]
        raise SweepError([*error.lines, *notes]) from None
    return diagnosis._replace(beyond=beyond)


def _tried(
    experiment: Experiment, symptoms: list[Symptom], uncompiled: list[str], advice: Sequence[Change]
) -> Diagnosis:
    """Try all changes of an experiment and make the diagnosis. Raises SweepError."""
    setup, start, tick = experiment.setup, experiment.start, experiment.tick
    base, rows, left_out, short = _single(experiment)
    experiment = experiment._replace(runs=base.runs)
    rates = [base.converged().mean(), *(row.runs.converged().mean() for row in rows[1:])]
    if experiment.groups and max(rates) < ENOUGH:
        tick("larger changes")
        tried = [change for (change,) in experiment.groups.values()]
        more = sorted(larger(setup, tried), key=lambda c: seconds_per_run(changed(setup, c)))
        more_rows = train_some(experiment, more)
        rows += more_rows
        experiment.groups.update((each.name, (each,)) for each in more[: len(more_rows)])
        left_out += [change.name for change in more[len(more_rows) :]]
    table = effects(setup, base, rows)
    failing = start + np.flatnonzero(~base.converged())
    tick("inspecting failing runs")
    inspected = inspect(setup, failing[:MAX_INSPECTED].astype(np.uint64), experiment.by(0.65))
    slower = {row.name: row.runs for row in rows if row.name in ("rate ÷ 3", "rate ÷ 10")}
    two = advice or _two_orders(table, experiment)
    pairs, complete = together(experiment, table)
    best = recommended(experiment, table, pairs)
    left_out += uncompiled + ["several changes at once"] * (not complete)
    return Diagnosis(
        setup=setup,
        base=base,
        outcomes={str(name): int((base.codes == i).sum()) for i, name in enumerate(OUTCOMES)},
        symptoms=symptoms + of_runs(setup, base, inspected, slower),
        table=table,
        pairs=pairs,
        recommended=best,
        orders=compared_orders(experiment, two[0], two[1]) if two else None,
        advised=bool(advice),
        example=int(failing[0]) if failing.size else None,
        left_out=left_out,
        complete=not short and not left_out,
        short=short,
        beyond=0.0,
    )


def usual_epochs(setup: Setup) -> int:
    """The default budget of a setup in epochs: 1,000, or fewer if a run would take long."""
    epoch = seconds_per_run(setup) / setup.epochs_budget
    return max(FEWEST_EPOCHS, min(USUAL_EPOCHS, int(RUN_SECONDS / epoch)))


def _single(
    experiment: Experiment,
) -> tuple[MeasuredRuns, list[ChangeEffect], list[str], bool]:
    """Train the setup, its control and the single changes.

    Returns the setup's runs; the effects, the control's first; the names of changes for which there
    was no time; and whether there was too little time for all seeds.
    """
    setup = experiment.setup
    tried = [change for (change,) in experiment.groups.values()]
    trials = {"": Trial(setup), REDRAWN: Trial(setup, OTHER_ORDERS)}
    trials |= {change.name: Trial(changed(setup, change)) for change in tried}
    runs, left_out, complete = train_rounds(experiment, trials)
    rows = [
        ChangeEffect(each.name, each.cause, trials[each.name].setup, runs[each.name])
        for each in (Change(REDRAWN, CONTROL, {}), *tried)
        if each.name in runs
    ]
    return runs[""], rows, left_out, not complete


def _two_orders(table: pd.DataFrame, experiment: Experiment) -> tuple[Change, ...]:
    """The best change that fixes the setup, and another order of samples; () if there are none."""
    best = [experiment.groups[name][0] for name in table.loc[table["fixes"], "change"][:1]]
    singles = (group[0] for group in experiment.groups.values())
    others = [change for change in singles if change.keys.keys() == {"order"}]
    return (best[0], others[0]) if best and others else ()


def _compiled(
    setup: Setup, tried: Sequence[Change], seconds: float, began: float
) -> tuple[list[Change], list[str], float]:
    """Load or compile the code that a setup and its changes need.

    Compiling happens once on each machine. It takes some of the time allowed, but LEFT seconds are
    kept for training. Returns the changes that can be trained, the names of the others, and the
    seconds by which compiling exceeded its limit.
    """
    longest, allowed = 0.0, max(0.0, seconds - LEFT)
    known, ready, late = set(), [], []
    for change in (Change("", "", {}), *tried):
        key, now = kernel_key(changed(setup, change)), time.perf_counter()
        if key not in known:
            # Half of the code is the same for all.
            if longest > LOADING and now - began + longest / 2 > allowed:
                late.append(change.name)
                continue
            warm_up(key)
            known.add(key)
            longest = max(longest, time.perf_counter() - now)
        ready.append(change)
    past = time.perf_counter() - began - allowed
    return ready[1:], late, past if longest > LOADING and past > 0 else 0.0


# From Python


def explain(X: Any, T: Any, *, seeds: int = 2000, seconds: float = 60.0, **setup: Any) -> Diagnosis:
    """Explain why a network fails on this data, and what fixes it.

    Parameters
    ----------
    X : array_like [row, input]
        Inputs.
    T : array_like [row, output] or [row]
        Targets. Integers and flags may be classes, as in a column of a table; other numbers are
        quantities.
    seeds : int
        The most seeds of each change.
    seconds : float
        The time limit; compiling, once per machine, may exceed it.
    **setup
        Keys as in a sweep file, such as hidden=[4], lr=0.2, order="random", updates=999. Without
        updates and epochs a run has 1,000 epochs, or fewer if that would take long.

    Returns
    -------
    Diagnosis
        Print it for the report.

    Raises
    ------
    SweepError
        If arguments are wrong; it lists every mistake. Or if there is not enough time for a few
        runs.
    """
    lines = []
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1:
        lines.append(f"seeds: {refusal(seeds, 'an integer from 1')}")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        lines.append(f"seconds: {refusal(seconds, 'a number above 0')}")
    if lines:
        raise SweepError(lines)
    notes: tuple[str, ...] = ()
    if setup.get("updates") is None and setup.get("epochs") is None:
        one = Setup.from_arrays(X, T, any_range=True, **setup | {"epochs": 1})
        setup["epochs"] = usual_epochs(one)
        notes = (f"no budget was given, so each run has {plural(setup['epochs'], 'epoch')}",)
    diagnosed = diagnose(Setup.from_arrays(X, T, any_range=True, **setup), seeds, seconds)
    return diagnosed._replace(notes=notes)


# Files


def write_files(
    diagnosis: Diagnosis, placement: own_weights.Placement | None, sweep: Sweep, folder: Path
) -> tuple[list[Path], list[str]]:
    """Write a diagnosis into a folder: a page, a table, a picture and a sweep file.

    Parameters
    ----------
    diagnosis : Diagnosis
    placement : Placement or None
        How the user's own weights compare with fresh seeds.
    sweep : Sweep
        The setup as a sweep; the written one also has the recommended setup.
    folder : Path

    Returns
    -------
    written : list of Path
    commands : list of str
        What to do next.

    Raises
    ------
    StoreFullError
        If a file cannot be written.
    """
    file = folder / ("fixed.toml" if diagnosis.recommended else "setup.toml")
    commands = sentences.commands(diagnosis, str(file), str(file.with_suffix("")))
    keys = {k: value for k, value in diagnosis.setup.columns().items() if value is not None}
    texts = {
        "verdict": sentences.verdict(diagnosis),
        "placed": own_weights.sentences(placement) if placement else [],
        "commands": commands,
        "setup": ", ".join(f"{key} {value}" for key, value in keys.items()),
    }
    cells = [
        [(sentences.cells(row), bool(row["fixes"])) for row in table.to_dict("records")]
        for table in (diagnosis.table, diagnosis.pairs)
    ]
    title = f"Why it fails: {diagnosis.setup.problem_name}"
    files = {
        folder / "changes.csv": diagnosis.table.to_csv(index=False).encode(),
        file: _sweep(diagnosis, sweep).to_toml(folder).encode(),
        **diagnosis_section.files(folder, title, texts, diagnosis.table, sentences.TITLES, cells),
    }
    for path, content in files.items():
        write(path, content)
    return list(files), commands


def _sweep(diagnosis: Diagnosis, sweep: Sweep) -> Sweep:
    """Make the sweep file's sweep, of the setup and, if there is one, the recommended setup."""
    setup, best = diagnosis.setup, diagnosis.recommended
    title, keys = plain(setup.problem_name)[:200], dict(sweep.setup)
    if best is None:
        return Sweep(title=f"How often does {title} fail?", seeds=SWEEP_SEEDS, setup=keys)
    budget: dict[str, Any] = {key: keys.pop(key) for key in ("updates", "epochs") if key in keys}
    new = sentences.settings(best.changes)
    if not new.keys() & {"updates", "epochs"}:
        new |= budget
    columns = setup.columns() | {"loss": setup.loss, "hidden": list(setup.hidden)}
    old = {key: columns[key] for key in new if key not in ("updates", "epochs")} | budget
    grid = [{key: [value] for key, value in each.items()} for each in (old, new)]
    return Sweep(title=f"Does it fix {title}?", seeds=SWEEP_SEEDS, setup=keys, grid=grid)
