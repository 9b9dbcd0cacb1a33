"""What contenders are checked against: fastbp's own networks before and after training, and the
rows that they saw.

`python -m benchmarks.reference FOLDER SEEDS NAME DTYPE NAME DTYPE…` writes a job for each of these
workloads and answers with the file and the batch of each. SEEDS: how many final losses go with the
first workload in float64.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.children import say
from benchmarks.contenders import job
from benchmarks.contenders.job import Job, Weights
from benchmarks.workloads import CHECKED_UPDATES, EVERY, KS_EPOCHS, LOG_LOSS_RATE, WORKLOADS
from fastbp import Setup
from fastbp.engine import lane_group, tasks

CHECKED_NETWORKS = 32


def weights_of(group: lane_group.LaneGroup, setup: Setup, networks: int) -> Weights:
    """The weights in the first lanes of a group: layer, unit, input; then that layer's biases."""
    lanes = group.by_lane(group.state.block)[: setup.parameters, :networks].T
    inputs, hidden, outputs = setup.sizes
    parts = np.split(lanes, np.cumsum([hidden * inputs, hidden, outputs * hidden]), axis=1)
    shapes = (hidden, inputs), (hidden,), (outputs, hidden), (outputs,)
    return Weights(
        *(part.reshape(-1, *shape).copy() for part, shape in zip(parts, shapes, strict=True))
    )


def trained(setup: Setup, networks: int, lanes: int | None) -> tuple[Weights, Any, Weights]:
    """Weights before, rows [network, update, position], weights after."""
    work = tasks.task(setup, lanes)
    group = lane_group.LaneGroup(work, np.arange(work.lanes, dtype=np.uint64))
    start, rows, n = weights_of(group, setup, networks), [], len(setup.data()[0])
    listed = np.broadcast_to(np.arange(n), (networks, n))
    while not group.done:
        group.advance(1)
        seen = (
            listed
            if setup.resolved_order == "cyclic"
            else group.by_lane(group.state.rows)[:n, :networks].T
        )
        rows.append(seen.astype(np.int32))
    shown = np.hstack(rows)[:, : setup.budget * setup.batch_rows]
    return (
        start,
        shown.reshape(networks, setup.budget, setup.batch_rows),
        weights_of(group, setup, networks),
    )


def job_of(
    name: str, dtype: str, lanes: int | None = None, updates: int = CHECKED_UPDATES, seeds: int = 0
) -> Job:
    """Train a few networks of a workload for some updates. `seeds`: how many final losses to
    add."""
    keys: dict[str, Any] = dict(EVERY[name].setup) | {"dtype": dtype}
    setup = Setup(**keys)
    networks = min(CHECKED_NETWORKS, lanes or CHECKED_NETWORKS)
    start, rows, end = trained(Setup(**keys | {"updates": updates}), networks, lanes)
    X, T = (part.astype(dtype) for part in setup.data())
    of_log_loss = (
        log_loss(setup, networks, lanes, updates, seeds)
        if name in WORKLOADS
        else (end, np.empty(0), start)  # scikit-learn runs no others
    )
    return Job(
        name,
        dtype,
        X,
        T,
        setup.hidden[0],
        setup.batch_rows,
        1.0 if setup.lr is None else setup.lr,
        setup.budget,
        setup.resolved_order,
        start,
        rows,
        end,
        *of_log_loss,
    )


def log_loss(
    setup: Setup, networks: int, lanes: int | None, updates: int, seeds: int
) -> tuple[Weights, Any, Weights]:
    """What scikit-learn is checked against: weights after about as many updates, rows as listed,
    and what `final_losses` returns."""
    each = setup.updates_per_epoch
    whole = max(1, updates // each) * each  # scikit-learn trains whole epochs
    keys = setup.settings() | {"loss": "cross-entropy", "reduction": "mean", "lr": LOG_LOSS_RATE}
    listed = keys | {"order": "cyclic", "updates": whole}
    shuffled = Setup(**keys | {"order": "shuffled", "updates": KS_EPOCHS * each})
    _, _, end = trained(Setup(**listed), networks, lanes)
    return end, *final_losses(shuffled, seeds, lanes)


def final_losses(setup: Setup, seeds: int, lanes: int | None) -> tuple[Any, Weights]:
    """Mean loss a row after training, [seed], and the initial weights."""
    work = tasks.task(setup, lanes)
    starts, losses = [weights_of(lane_group.LaneGroup(work), setup, 0)], [np.empty(0)]
    for first in range(0, seeds, work.lanes):
        used = min(work.lanes, seeds - first)
        group = lane_group.LaneGroup(work, np.arange(first, first + used, dtype=np.uint64))
        starts.append(weights_of(group, setup, used))
        group.advance(setup.epochs_budget)
        outputs, T = group.measure()[1][..., :used], setup.data()[1][..., None]
        losses.append(
            -np.sum(np.where(T == 1, np.log(outputs), np.log1p(-outputs)), axis=1).mean(axis=0)
        )
    return np.concatenate(losses), Weights(*map(np.concatenate, zip(*starts, strict=True)))


def main(folder: str, seeds: str, *work: str) -> None:
    """Write the jobs."""
    made = []
    for name, dtype in zip(work[::2], work[1::2], strict=True):
        path = Path(folder, f"{name}-{dtype}.npz".replace(" ", ""))
        one = job_of(name, dtype, seeds=int(seeds) if name == "W1" and dtype == "float64" else 0)
        job.write(path, one)
        made.append({"path": str(path), "batch": one.batch})
    say(made)


if __name__ == "__main__":
    main(*sys.argv[1:])
