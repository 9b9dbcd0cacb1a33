"""Estimate the time, disk and memory of a sweep: `--dry-run`."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from fastbp.analysis.contrasts import contrasts
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.power import seeds_to_show
from fastbp.analysis.statistics.proportions import bonferroni
from fastbp.analysis.summary import LEVEL
from fastbp.cli.terminal import duration, print_data
from fastbp.config.sweep import Sweep
from fastbp.engine import forecast, machine
from fastbp.engine.executor_map import Pool
from fastbp.engine.plan import Plan
from fastbp.schema.text import escaped, percent, plural
from fastbp.store.store import Store


class Detection(NamedTuple):
    """The seeds that show a difference of the convergence rate in 80% of cases.

    `points`: the difference. `changes`: the number of changes of the baseline, for which p values
    are adjusted.
    `reversed`: the largest share of seeds that a change of the stored runs moves against its
    effect; None without runs. `seeds`: the seeds that each setup needs if that share stays;
    `unpaired`: if runs of one seed were independent, at a rate of one half.
    """

    points: float
    changes: int
    reversed: float | None
    seeds: int | None
    unpaired: int

    def text(self) -> str:
        """The seeds as lines for a terminal."""
        paired = ""
        if self.seeds and self.reversed is not None:
            paired = (
                f"{plural(self.seeds, 'seed')} a setup if at most {percent(self.reversed)} of them "
                "change against the effect, as so far;\n         "
            )
        return (
            f"detect   {self.points:g} points, in 80% of cases, by "
            f"{plural(self.changes, 'change')} of the baseline:\n         "
            f"{paired}{plural(self.unpaired, 'seed')} a setup if runs of one seed were independent"
        )


def detection(sweep: Sweep, store: Store, points: float) -> Detection:
    """Compute how many seeds a sweep needs to show a difference of this many points."""
    start = sweep.baseline or sweep.setups[0]
    own = start.settings()
    differ = [
        {key for key in own.keys() | each.keys() if own.get(key) != each.get(key)}
        for each in (setup.settings() for setup in sweep.setups)
    ]
    changes = max(1, sum(len(keys) == 1 for keys in differ))
    difference, level = points / 100, bonferroni(LEVEL, changes)
    runs = (
        count_runs(store.path, {setup.identity() for setup in sweep.setups})
        if (store.path / "runs").is_dir()
        else []
    )
    rows = contrasts(runs, start.identity())
    against = (
        float((rows[["fixed", "broken"]].min(axis=1) / rows["pairs"]).max()) if len(rows) else None
    )
    seeds = None if against is None else seeds_to_show(difference, difference + 2 * against, level)
    return Detection(points, changes, against, seeds, seeds_to_show(difference, 0.5, level))


class DryRun(NamedTuple):
    """The estimates for the missing runs of a sweep in a store.

    `jobs`: the number of workers. `storage`, `time`: disk and time that the runs need. `memory`:
    bytes that training needs. `detect`: what `--detect` asks; None without it.
    """

    plan: Plan
    store: Store
    jobs: int
    storage: forecast.StorageNeed
    time: forecast.TimeEstimate
    memory: float
    detect: Detection | None

    def as_json(self) -> dict[str, object]:
        """The estimates as a dictionary, as `--json` prints them."""
        disk = machine.disk(self.store.path)
        return {
            "store": str(self.store.path),
            "setups": len(self.plan.sweep.setups),
            "runs": self.plan.requested_runs,
            "missing": self.plan.runs,
            "updates": self.plan.updates,
            "seconds": {
                "compile": round(self.time.compiling),
                "rest": float(f"{self.time.all_but_compiling:.2g}"),
            },
            "jobs": self.jobs,
            "disk": {
                "bytes": self.storage.bytes,
                "files": self.storage.files,
                "free": disk and disk.bytes,
            },
            "memory": {"bytes": round(self.memory), "free": machine.memory()},
        } | ({"detect": self.detect._asdict()} if self.detect else {})

    def text(self) -> str:
        """The estimates as lines for a terminal."""
        disk, free, first = machine.disk(self.store.path), machine.memory(), self.time.compiling
        sweep = self.plan.sweep
        early = any(setup.stop == "converged" for setup in sweep.setups)
        missing = f", {self.plan.runs:,} of them missing in {escaped(str(self.store.path))}"
        return "\n".join(
            [
                f"setups   {len(sweep.setups):,}",
                f"runs     {self.plan.requested_runs:,}{missing if self.plan.present else ''}",
                f"updates  {'at most ' * early}{self.plan.updates:,}",
                f"time     {'at most' if early else 'about'} "
                f"{duration(self.time.all_but_compiling)} on {plural(self.jobs, 'core')}",
                *[f"         and {duration(first)} first to compile, once for this machine"]
                * bool(first),
                f"disk     {forecast.in_bytes(self.storage.bytes)} in "
                + plural(self.storage.files, "file")
                + (f", {forecast.in_bytes(disk.bytes)} are free" if disk else ""),
                f"memory   {forecast.in_bytes(self.memory)}"
                + (f", {forecast.in_bytes(free)} are free" if free else ""),
                *([self.detect.text()] if self.detect else []),
            ]
        )


def dry_run(plan: Plan, store: Store, pool: Pool, points: float | None = None) -> DryRun:
    """Estimate the time, disk and memory that the missing runs of a plan need.

    The store is only read and need not be locked. `points`: the difference of `--detect`.
    """
    return DryRun(
        plan,
        store,
        pool.workers,
        forecast.storage(plan),
        forecast.duration(plan, pool.workers),
        sum(term.bytes for term in forecast.memory(plan, pool, stored=True, frame=False)),
        detection(plan.sweep, store, points) if points else None,
    )


def print_dry_runs(estimates: Mapping[str, DryRun], as_json: bool) -> None:
    """Print the estimates for several sweeps, by name, and the sums of time and disk."""
    if as_json:
        print_data(json.dumps({"sweeps": [each.as_json() for each in estimates.values()]}))
        return
    for name, each in estimates.items():
        print_data(f"{escaped(name)}\n{each.text()}\n")
    seconds = duration(sum(each.time.all_but_compiling for each in estimates.values()))
    size = forecast.in_bytes(sum(each.storage.bytes for each in estimates.values()))
    print_data(f"all {len(estimates):,}: about {seconds}, {size}")
