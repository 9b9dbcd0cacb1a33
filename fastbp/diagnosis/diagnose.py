"""Find out why networks of a setup fail, and which change fixes it."""

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fastbp.config.model_reader import keys_of_model
from fastbp.config.setup import Setup
from fastbp.diagnosis import printout, sentences
from fastbp.diagnosis.candidates import Change, changed, changes, cures, larger
from fastbp.diagnosis.effects import effects, headline, score_of
from fastbp.diagnosis.recommend import (
    OrderComparison,
    Recommendation,
    compared_orders,
    recommended,
    together,
)
from fastbp.diagnosis.symptoms import (
    MAX_INSPECTED,
    Symptom,
    impossible,
    inspect,
    of_runs,
    out_of_reach,
)
from fastbp.diagnosis.trials import (
    CONTROL,
    OTHER_ORDERS,
    ChangeEffect,
    Experiment,
    MeasuredRuns,
    Trial,
    costs,
    train_rounds,
    train_some,
)
from fastbp.engine.compile_ahead import is_ready, warm_up
from fastbp.engine.plan import seconds_per_run
from fastbp.engine.tasks import kernel_key
from fastbp.problems.data_notes import DataNote
from fastbp.problems.samples import fixed_arrays
from fastbp.schema.errors import SweepError, is_integer, refuse_wrong
from fastbp.schema.outcomes import OUTCOMES
from fastbp.schema.text import plural, refusal

USUAL_EPOCHS, FEWEST_EPOCHS, RUN_SECONDS = 1000, 10, 0.0015
"""The default budget of a run: `USUAL_EPOCHS` epochs, or as many as take `RUN_SECONDS` if that is
fewer, but at least `FEWEST_EPOCHS`."""

COMPILING = 0.5
"""The share of the time limit in which compiling may begin, even if it takes long."""

ENOUGH = 0.9
"""Larger changes are tried if no change reaches this convergence rate."""

LOADING = 3.0
"""Loading compiled code takes less than this many seconds; compiling takes more."""

REDRAWN = "other orders of samples"
"""Name of the control: the same setup and initial weights, with other random orders of samples."""


class Diagnosis(NamedTuple):
    """A diagnosis of a setup; printed, it is the report.

    Attributes
    ----------
    setup : Setup
        The setup that was diagnosed.
    base, outcomes : MeasuredRuns, dict
        The runs of the setup, and the number of them with each outcome.
    data : list of DataNote
        What is unusual in the data.
    majority : float
        The accuracy of always giving the commonest answer; 0, the R² of always giving the mean.
    symptoms : list of Symptom
        What failing networks do.
    table, pairs : DataFrame
        The effects of single changes, and of several changes at once, one row each, best first; the
        columns are those of `fastbp.diagnosis.effects.effects`.
    changes : dict
        The changes of each row of the tables, by its name.
    measure : str
        By which changes are judged: "success", "constant" or a score, as `score_of` gives it.
    recommended : Recommendation or None
        None if nothing fixes the setup.
    withdrawn : Recommendation or None
        What seemed to fix the setup, but did not do so on fresh seeds.
    orders : OrderComparison or None
        Two orders of samples, compared.
    advised : bool
        Whether the orders are compared because somebody advised another order.
    example : int or None
        A seed that fails; None if none fails.
    left_out : list of str
        Names of the changes for which there was no time.
    complete, short : bool
        Whether there was time for everything; whether there was too little for all seeds.
    beyond : float
        Seconds by which compiling exceeded the time allowed for it.
    notes : tuple of DataNote
        What was done to the data before, such as leaving rows out, and to the budget.
    impossible : str
        Why no setup can learn the data; empty if nothing shows that.
    own_fault : str
        What is wrong with the user's own initial weights, as a relative clause; empty if nothing.
    """

    setup: Setup
    base: MeasuredRuns
    outcomes: dict[str, int]
    data: list[DataNote]
    majority: float
    symptoms: list[Symptom]
    table: pd.DataFrame
    pairs: pd.DataFrame
    changes: dict[str, tuple[Change, ...]]
    measure: str
    recommended: Recommendation | None
    withdrawn: Recommendation | None
    orders: OrderComparison | None
    advised: bool
    example: int | None
    left_out: list[str]
    complete: bool
    short: bool
    beyond: float
    notes: tuple[DataNote, ...] = ()
    impossible: str = ""
    own_fault: str = ""

    def __repr__(self) -> str:
        """The report: notes, the verdict, the table of changes, and what to do next."""
        lines = printout.screen(self, (), printout.commands(self, name="why.setup"))
        return "\n".join([*(f"note: {note.text}" for note in self.notes), *lines])

    @property
    def verdict(self) -> list[str]:
        """What is wrong, what fixes it, and what does not, in sentences."""
        return [f"{label}: {text}" for label, text in sentences.labelled(self, len(self.data))]

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
    seeds: int = 1000,
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
    why = impossible(setup)
    seconds = min(seconds, 10.0) if why else seconds
    tried, uncompiled, beyond = _compiled(setup, [] if why else changes(setup), seconds, began)
    now = time.perf_counter()
    left = seconds + beyond - (now - began)
    experiment = Experiment(setup, start, seeds, tick, now, left, {c.name: (c,) for c in tried})
    try:
        return _tried(experiment, uncompiled, advice)._replace(beyond=beyond, impossible=why)
    except SweepError as error:
        raise SweepError(
            [*error.lines, *(f"note: {note.text}" for note in setup.data_notes())]
        ) from None


def _tried(experiment: Experiment, uncompiled: list[str], advice: Sequence[Change]) -> Diagnosis:
    """Try all changes of an experiment and make the diagnosis. Raises SweepError."""
    setup, start, tick = experiment.setup, experiment.start, experiment.tick
    base, rows, left_out, short = _single(experiment)
    experiment = experiment._replace(runs=base.runs)
    # No cure helps where equal inputs have different answers.
    for more in (larger, *[cures] * (not out_of_reach(setup))):
        rates = [base.converged().mean(), *(row.runs.converged().mean() for row in rows[1:])]
        if experiment.groups and max(rates) < ENOUGH:
            rows += _more_changes(experiment, more, left_out)
    measure = headline(setup, base, rows)
    table = effects(base, rows, measure)
    # Networks that no longer give one answer may still be poor.
    measures = (score_of(setup), measure) if measure == "constant" else (measure,)
    ranked = effects(base, rows, *measures) if measure == "constant" else table
    experiment = experiment._replace(measures=measures)
    failing = start + np.flatnonzero(~base.converged())
    tick("inspecting failing runs")
    inspected = inspect(setup, failing[:MAX_INSPECTED].astype(np.uint64), experiment.by(0.65))
    slower = {row.name: row.runs for row in rows if row.name in ("rate ÷ 3", "rate ÷ 10")}
    two = advice or _two_orders(table, experiment)
    pairs, complete = together(experiment, ranked)
    best = recommended(experiment, ranked, pairs)
    holds = best is None or best.holds(*measures)
    left_out += uncompiled + ["several changes at once"] * (not complete)
    return Diagnosis(
        setup=setup,
        base=base,
        outcomes={str(name): int((base.codes == i).sum()) for i, name in enumerate(OUTCOMES)},
        data=setup.data_notes(),
        majority=setup.prepared().majority,
        symptoms=of_runs(setup, base, inspected, slower),
        table=table,
        pairs=pairs,
        changes=experiment.groups,
        measure=measure,
        recommended=best if holds else None,
        withdrawn=None if holds else best,
        orders=compared_orders(experiment, two[0], two[1]) if two else None,
        advised=bool(advice),
        example=int(failing[0]) if failing.size else None,
        left_out=left_out,
        complete=not short and not left_out,
        short=short,
        beyond=0.0,
    )


def _more_changes(
    experiment: Experiment,
    changes_of: Callable[[Setup, Sequence[Change]], list[Change]],
    left_out: list[str],
) -> list[ChangeEffect]:
    """Try more changes, as far as there is time; the names of the others go to `left_out`."""
    setup, tried = experiment.setup, [change for (change,) in experiment.groups.values()]
    experiment.tick("larger changes")
    wanted = sorted(changes_of(setup, tried), key=lambda c: seconds_per_run(changed(setup, c)))
    more = [c for c in wanted if is_ready(kernel_key(changed(setup, c)), experiment.by(0.4))]
    rows = train_some(experiment, more)
    experiment.groups.update((each.name, (each,)) for each in more[: len(rows)])
    left_out += [change.name for change in wanted if change not in more[: len(rows)]]
    return rows


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
    every = [Change("", "", {}), Change(REDRAWN, CONTROL, {}), *tried]
    trials = [Trial(setup), Trial(setup, OTHER_ORDERS)]
    trials += [Trial(changed(setup, each)) for each in tried]
    runs, complete = train_rounds(experiment, trials)
    rows = [
        ChangeEffect(each.name, each.cause, runs[trial], costs(setup, trial.setup))
        for each, trial in zip(every, trials, strict=True)
        if trial in runs
    ]
    left_out = [each.name for each, trial in zip(every, trials, strict=True) if trial not in runs]
    return rows[0].runs, rows[1:], left_out, not complete


def _two_orders(table: pd.DataFrame, experiment: Experiment) -> tuple[Change, ...]:
    """The best change that fixes the setup, and another order of samples; () if there are none."""
    best = [experiment.groups[name][0] for name in table.loc[table["fixes"], "change"][:1]]
    others = [group[0] for group in experiment.groups.values() if [*group[0].keys] == ["order"]]
    return (best[0], others[0]) if best and others else ()


def _compiled(
    setup: Setup, tried: Sequence[Change], seconds: float, began: float
) -> tuple[list[Change], list[str], float]:
    """Load or compile the code that a setup and its changes need.

    Compiling happens once on each machine. It takes the share COMPILING of the time allowed, or
    longer if the setup itself needs more. Returns the changes that can be trained, the names of the
    others, and the seconds by which compiling exceeded its limit.
    """
    if setup.test_split == "seed":
        raise SweepError(
            [f"test_split: {refusal(setup.test_split, 'fixed or last (in a diagnosis)')}"]
        )
    longest, allowed = 0.0, COMPILING * seconds
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


def _refuse_wrong(data: tuple[Any, ...], seeds: Any, seconds: Any) -> None:
    """Raise SweepError with every wrong argument of `explain`."""
    is_time = isinstance(seconds, int | float) and seconds is not True and 0 < seconds <= 1e9
    refuse_wrong(
        [
            ("seeds", seeds, is_integer(seeds, 1, 10**9), "an integer from 1 to 1,000,000,000"),
            ("seconds", seconds, is_time, "a number above 0, up to 1e9"),
            ("explain", len(data), len(data) in (2, 3), "X and T, or a model, X and T"),
        ]
    )


def explain(*data: Any, seeds: int = 1000, seconds: float = 60.0, **setup: Any) -> Diagnosis:
    """Explain why a network fails on this data, and what fixes it: `explain(X, T, …)`.

    Or `explain(model, X, T, …)` for a model of PyTorch, scikit-learn or Keras.

    Parameters
    ----------
    model : object, optional
        A `torch.nn.Sequential` of `Linear` layers and activations; an `MLPClassifier` or
        `MLPRegressor` of scikit-learn, fitted or not; or a `Sequential` of Keras with `Dense`
        layers, or the text of its `to_json()`. It gives keys of the setup, which others given here
        replace. `loss` and `optimizer` may be objects of PyTorch or names of Keras. Notes say what
        was converted, and what cannot be said as a setup.
    X : array_like [row, input]
        Inputs. Rows with missing values (NaN) in X or T are left out, and of more than 2,048 rows
        1,024 are drawn at random; a note says so.
    T : array_like [row, output] or [row]
        Targets, classes or quantities as `target_kind` says.
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
    _refuse_wrong(data, seeds, seconds)
    X, T, notes = fixed_arrays(*data[-2:])
    if len(data) == 3:
        setup, told = keys_of_model(data[0], T, setup)
        notes += [DataNote("model", text) for text in told]
    if setup.get("updates") is None and setup.get("epochs") is None:
        setup["epochs"] = usual_epochs(
            Setup.from_arrays(X, T, any_range=True, **setup | {"epochs": 1})
        )
        text = f"no budget was given, so each run has {plural(setup['epochs'], 'epoch')}"
        notes.append(DataNote("default-budget", text))
    diagnosed = diagnose(Setup.from_arrays(X, T, any_range=True, **setup), seeds, seconds)
    return diagnosed._replace(notes=tuple(notes))
