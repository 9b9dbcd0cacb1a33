"""A group of runs side by side in SIMD lanes, and the kernels that it calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.families import FAMILIES, compiled_choices, own_values
from fastbp.config.setup import Setup
from fastbp.kernels import measures as m
from fastbp.kernels.jit import inlined, one_of
from fastbp.kernels.measures import Targets, make_measure, targets_of, value_pass
from fastbp.kernels.memory import empty_block
from fastbp.kernels.network import Network, Table, network, table
from fastbp.kernels.real import to_bits
from fastbp.kernels.tiles import work_size
from fastbp.kernels.training import (
    Lanes,
    Runs,
    TrainingConfig,
    lanes_of,
    make_advance,
    make_initialise,
    make_rates,
    output_pass,
    runs_of,
)

if TYPE_CHECKING:
    pass


MANY_BYTES = 400_000
"""Work block of a group of runs up to which many go side by side: larger ones leave the second
level of the cache."""

SAMPLES = 16
"""Samples of a batch that are taken at once: so many share the loading of a weight and the storing
of its gradient."""


class Kernels(NamedTuple):
    """The compiled functions for one number of lanes, but for the trainer."""

    initialise: Any
    rates: Any
    measure: Any


@cache
def kernels(lanes: int) -> Kernels:
    """Put the kernels together from the choices; each is compiled when it is first called with a
    dtype.
    """
    return Kernels(
        make_initialise(compiled_choices("init")),
        make_rates(compiled_choices("schedule")),
        make_measure(one_of([value_pass(loss) for loss in _losses()]), lanes),
    )


@cache
def trainer(lanes: int, online: bool) -> Any:
    """The trainer for so many lanes, for online learning or for batches, put together and compiled
    likewise.
    """
    return make_advance(
        compiled_choices("order"), one_of([output_pass(loss) for loss in _losses()]), lanes, online
    )


@cache
def _losses() -> list[Callable[..., Any]]:
    return [inlined(choice.function) for choice in FAMILIES["loss"].choices.values()]


class Task(NamedTuple):
    """Everything that kernels need of a setup, made once for all its blocks."""

    lanes: int
    online: bool
    network: Network
    double_network: Network
    table: Table
    targets: Targets
    rule: TrainingConfig
    init: int
    init_own: Any
    init_scale: float
    epochs: int
    updates_per_epoch: int
    budget: int


@lru_cache(maxsize=8)
def task(setup: Setup, lanes: int | None = None) -> Task:
    """Prepare a setup for the kernels. `lanes`: how many runs go side by side, by default what its
    memory suggests.
    """
    dtype = np.dtype(setup.dtype)
    X, T = setup.data()
    calls = setup.calls
    net, suggested = layout(setup)
    lanes = lanes or suggested
    order = calls["order"]
    rule = TrainingConfig(
        batch=setup.batch_rows,
        mean=setup.reduction == "mean",
        all_alike=setup.resolved_order == "cyclic",
        bias=setup.bias,
        biases=to_bits(dtype.type(0)) - setup.bias,
        rates=rates(setup).astype(dtype),
        momentum=dtype.type(setup.momentum),
        weight_decay=dtype.type(setup.weight_decay),
        prime_offset=dtype.type(setup.prime_offset),
        loss=calls["loss"].choice.code,
        order=order.choice.code,
        order_own=own_values(order.choice, order.values),
        eval_every=setup.eval_interval,
        tolerance=setup.tolerance,
        refill=setup.stop == "converged",
    )
    return Task(
        lanes=lanes,
        online=is_online(setup),
        network=net,
        double_network=measured_network(setup),
        table=table(X, T, dtype),
        targets=targets_of(T),
        rule=rule,
        init=calls["init"].choice.code,
        init_own=own_values(calls["init"].choice, calls["init"].values),
        init_scale=float(setup.init_scale),
        epochs=setup.epochs_budget,
        updates_per_epoch=setup.updates_per_epoch,
        budget=setup.budget,
    )


def is_online(setup: Setup) -> bool:
    """Whether each sample changes the weights by itself, so that no gradient and no velocity need
    to be kept.
    """
    return setup.batch_rows == 1 and setup.momentum == 0 and setup.weight_decay == 0


def samples_at_once(setup: Setup) -> int:
    """How many samples of a batch the kernel takes at once, 0 for online learning."""
    return 0 if is_online(setup) else _equal_parts(setup.batch_rows)


def measured_network(setup: Setup) -> Network:
    """The work block in which a setup is measured."""
    return network(setup.sizes, _equal_parts(setup.rows), presented=False)


def _equal_parts(rows: int) -> int:
    """How many of so many rows are taken at once: equal parts, as far as can be."""
    return -(-rows // -(-rows // SAMPLES))


def layout(setup: Setup) -> tuple[Network, int]:
    """The work block of a setup, and how many runs go side by side."""
    at_once = samples_at_once(setup)
    plain = not setup.momentum and not setup.weight_decay and setup.reduction == "sum"
    net = network(
        setup.sizes,
        at_once,
        not plain or setup.batch_rows > at_once,
        setup.resolved_order != "cyclic",
    )
    return net, suggested_lanes(net, np.dtype(setup.dtype))


class KernelKey(NamedTuple):
    """What of a setup its kernels are compiled for: all else they are told."""

    dtype: str
    lanes: int
    online: bool


def kernel_key(setup: Setup) -> KernelKey:
    """The kernels that a setup needs."""
    return KernelKey(setup.dtype, layout(setup)[1], is_online(setup))


def suggested_lanes(net: Network, dtype: np.dtype[Any]) -> int:
    """How many runs go side by side: many, but for networks of several hundred weights.

    Two numbers only, since each is compiled for itself; the smallest block is a multiple of both.
    Rows of an odd number of cache lines, so that they do not all fall into the same few sets of the
    cache.
    """
    many, few = (168, 56) if dtype.itemsize == 8 else (336, 112)
    return many if net.rows * many * dtype.itemsize <= MANY_BYTES else few


def rates(setup: Setup) -> NDArray[np.float64]:
    """Learning rates, float64 [epoch]; the last one holds for all later epochs."""
    schedule = setup.calls["schedule"]
    constant = schedule.choice.name == "constant"
    if constant and not setup.warmup:
        return np.array([float(setup.lr)])  # nothing to compile for
    length = setup.warmup + 1 if constant else setup.epochs_budget
    out = np.empty(length)
    own = own_values(schedule.choice, schedule.values)
    kernels(0).rates(
        float(setup.lr), schedule.choice.code, own, setup.warmup, setup.epochs_budget, out
    )
    return out


class LaneGroup:
    """A group of runs side by side: what the kernels change, and what they are called with."""

    def __init__(
        self, work: Task, seeds: NDArray[np.uint64] | None = None, orders: int = 0
    ) -> None:
        self.task = work
        self.orders = np.uint64(orders)
        self.kernels = kernels(work.lanes)
        self.trainer = trainer(work.lanes, work.online)
        self.state: Lanes = lanes_of(
            work.network, work.lanes, work.targets.look_at, work.table.values.dtype
        )
        self.none = runs_of(work.network, 0, work.table.values.dtype)
        dtype, samples = work.table.values.dtype, work.double_network.samples
        size = work_size(samples.rows, work.lanes, dtype.itemsize)
        self.work, self.double_work = empty_block(size, dtype), empty_block(size, np.float64)
        self.double = empty_block(work.double_network.rows * work.lanes, np.float64)
        if seeds is not None:
            self.start(seeds)

    def start(self, seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds, uint64 [≤ lanes]; lanes left over repeat the
        last.
        """
        state = self.state
        state.block[:] = 0
        state.epochs[:] = state.updates[:] = 0
        state.converged_at[:] = -1
        self.draw(state.block, state.seeds, seeds)

    def draw(
        self, block: NDArray[Any], place: NDArray[np.uint64], seeds: NDArray[np.uint64]
    ) -> None:
        """Draw the initial weights of these seeds into a block, and note in `place` the seeds of
        their orders of samples.
        """
        work = self.task
        place[: len(seeds)] = seeds
        place[len(seeds) :] = seeds[-1]
        self.kernels.initialise(
            block, place, work.network, work.init, work.init_own, work.init_scale, work.rule.bias
        )
        place += self.orders

    def advance(self, epochs: int) -> None:
        """Train for so many epochs, or to the end of the budget."""
        work = self.task
        epochs = min(epochs, work.epochs - self.epochs)
        rule, none = work.rule._replace(refill=False), self.none
        self.trainer(
            self.state,
            work.network,
            work.table,
            work.targets,
            rule,
            epochs,
            work.budget,
            none,
            none,
        )

    def refill(self, epochs: int, waiting: Runs, ended: Runs) -> None:
        """Train for at most so many epochs, taking runs from `waiting` and handing them to
        `ended`.
        """
        work = self.task
        self.trainer(
            self.state, work.network, work.table, work.targets, work.rule, epochs, work.budget, waiting, ended
        )  # fmt: skip

    def resume(self, runs: Runs, epochs: int, updates: int) -> None:
        """Take up as many runs as there are lanes where they stand."""
        kept = len(runs.block) // len(runs.seeds) * self.task.lanes
        self.state.block[:kept] = runs.block[:kept]
        self.state.seeds[:], self.state.converged_at[:] = runs.seeds, runs.converged_at
        self.state.epochs[:], self.state.updates[:] = epochs, updates

    @property
    def epochs(self) -> int:
        """Epochs done, where no lane is refilled."""
        return int(self.state.epochs[0])

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self.epochs >= self.task.epochs

    def finished(self, work: Task) -> LaneGroup:
        """A copy of this group, one epoch before the end of a shorter task, brought to that end."""
        copy = LaneGroup(work)
        for name, values in self.state._asdict().items():
            getattr(copy.state, name)[:] = values
        copy.advance(1)
        return copy

    def measure(
        self, with_gradient: bool = True, block: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The measures, float64 [measure, lane], and the outputs, float64 [row, output, lane], of
        this group or another block.
        """
        work = self.task
        measures = np.zeros((m.MEASURES, work.lanes))
        outputs = np.empty((*work.targets.values.shape, work.lanes))
        self.kernels.measure(
            self.state.block if block is None else block, self.work, work.network, work.table, work.targets, work.rule.loss,
            work.rule.bias, self.double, self.double_work, work.double_network, with_gradient,
            measures.ravel(), outputs.ravel(),
        )  # fmt: skip
        m.judge(outputs, work.targets, measures)
        for values in (measures, outputs):
            if (missing := np.isnan(values)).any():
                values[missing] = np.nan  # whose bits are those of one NaN, however it came about
        return measures, outputs
