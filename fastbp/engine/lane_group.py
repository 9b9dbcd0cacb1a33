"""A group of runs side by side in SIMD lanes, and the kernels that train and measure it."""

from collections.abc import Callable
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.families import FAMILIES, compiled_choices, parameter_arrays
from fastbp.config.setup import Setup
from fastbp.kernels import measures as m
from fastbp.kernels.jit import inlined, one_of
from fastbp.kernels.layout import (
    BIASES,
    UNITS,
    WEIGHTS,
    Network,
    Table,
    Targets,
    network,
    table,
    targets_of,
)
from fastbp.kernels.memory import empty_block
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
from fastbp.kernels.vector_ir import to_bits

Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Weights W [out, in] and biases b [out] of each layer."""

MANY_BYTES = 400_000
"""Largest work block of a group with many lanes: a larger one does not fit into the second-level
cache."""

SAMPLES = 16
"""The most samples of a batch that are processed at once. Together they load a weight and store its
gradient once."""


def by_name(layers: Layers, bias: bool) -> dict[str, NDArray[np.float64]]:
    """Name the arrays of a network W0, b0, W1, b1, …, with or without its biases."""
    return {
        f"{kind}{layer}": values
        for layer, pair in enumerate(layers)
        for kind, values in zip("Wb"[: 1 + bias], pair, strict=False)
    }


# Kernels: each is made of all choices, and compiled when it is first called with a dtype.


@cache
def initialiser() -> Any:
    """Return the kernel that draws initial weights."""
    return make_initialise(compiled_choices("init"))


@cache
def rate_maker() -> Any:
    """Return the kernel that computes learning rates."""
    return make_rates(compiled_choices("schedule"))


@cache
def measurer(lanes: int) -> Any:
    """Return the kernel that measures this number of lanes."""
    return m.make_measure(one_of([m.value_pass(loss) for loss in _losses()]), lanes)


@cache
def trainer(lanes: int, online: bool) -> Any:
    """Return the kernel that trains this number of lanes, online or in batches."""
    return make_advance(
        compiled_choices("order"), one_of([output_pass(loss) for loss in _losses()]), lanes, online
    )


@cache
def _losses() -> list[Callable[..., Any]]:
    return [inlined(choice.function) for choice in FAMILIES["loss"].choices.values()]


class Task(NamedTuple):
    """All that kernels need to know about a setup, prepared once for all its blocks."""

    setup: Setup
    lanes: int
    network: Network
    double_network: Network
    """The work block in which it is measured."""
    table: Table
    targets: Targets
    config: TrainingConfig


@lru_cache(maxsize=8)
def task(setup: Setup, lanes: int | None = None) -> Task:
    """Prepare a setup for the kernels. By default its memory decides the number of lanes."""
    dtype = np.dtype(setup.dtype)
    X, T = setup.data()
    order = setup.calls["order"]
    net, suggested = layout(setup)
    config = TrainingConfig(
        batch=setup.batch_rows,
        mean=setup.reduction == "mean",
        cyclic=setup.resolved_order == "cyclic",
        bias=setup.bias,
        bias_mask=to_bits(dtype.type(0)) - setup.bias,
        rates=rates(setup).astype(dtype),
        momentum=dtype.type(setup.momentum),
        weight_decay=dtype.type(setup.weight_decay),
        prime_offset=dtype.type(setup.prime_offset),
        loss=setup.calls["loss"].choice.code,
        order=order.choice.code,
        order_arguments=parameter_arrays(order.choice, order.values),
        eval_every=setup.eval_interval,
        tolerance=setup.tolerance,
        refill=setup.stop == "converged",
    )
    return Task(
        setup,
        lanes=lanes or suggested,
        network=net,
        double_network=measured_network(setup),
        table=table(X, T, dtype),
        targets=targets_of(T),
        config=config,
    )


def is_online(setup: Setup) -> bool:
    """Whether each sample changes the weights at once, so that no gradient is kept."""
    return setup.batch_rows == 1 and setup.momentum == 0 and setup.weight_decay == 0


def samples_at_once(setup: Setup) -> int:
    """The number of samples that the kernel processes at once; 0 for online learning."""
    return 0 if is_online(setup) else _equal_parts(setup.batch_rows)


def measured_network(setup: Setup) -> Network:
    """The work block in which a setup is measured."""
    return network(setup.sizes, _equal_parts(setup.rows), presented=False)


def _equal_parts(rows: int) -> int:
    """The number of rows in a part, if rows are cut into equal parts of at most `SAMPLES`."""
    return -(-rows // -(-rows // SAMPLES))


def layout(setup: Setup) -> tuple[Network, int]:
    """The work block of a setup, and its number of lanes."""
    at_once = samples_at_once(setup)
    plain = not setup.momentum and not setup.weight_decay and setup.reduction == "sum"
    gradient = not plain or setup.batch_rows > at_once
    net = network(setup.sizes, at_once, gradient, setup.resolved_order != "cyclic")
    return net, suggested_lanes(net, np.dtype(setup.dtype))


class KernelKey(NamedTuple):
    """What the kernels of a setup are compiled for. Everything else is an argument."""

    dtype: str
    lanes: int
    online: bool


def kernel_key(setup: Setup) -> KernelKey:
    """The key of the kernels that a setup needs."""
    return KernelKey(setup.dtype, layout(setup)[1], is_online(setup))


def suggested_lanes(net: Network, dtype: np.dtype[Any]) -> int:
    """The number of lanes: many, but few for networks of several hundred weights.

    There are only two numbers, since kernels are compiled for each; the smallest block is a
    multiple of both. A row has an odd number of cache lines, so that rows do not compete for the
    same few sets of the cache.
    """
    many, few = (168, 56) if dtype.itemsize == 8 else (336, 112)
    return many if net.rows * many * dtype.itemsize <= MANY_BYTES else few


def rates(setup: Setup) -> NDArray[np.float64]:
    """Learning rates, float64 [epoch]; later epochs have the last one."""
    schedule = setup.calls["schedule"]
    constant = schedule.choice.name == "constant"
    if constant and not setup.warmup:
        return np.array([float(setup.lr)])  # needs no compiling
    out = np.empty(setup.warmup + 1 if constant else setup.epochs_budget)
    arguments = parameter_arrays(schedule.choice, schedule.values)
    rate_maker()(
        float(setup.lr), schedule.choice.code, arguments, setup.warmup, setup.epochs_budget, out
    )
    return out


class LaneGroup:
    """A group of runs side by side, one in each lane.

    Parameters
    ----------
    work : Task
        The setup, prepared for the kernels.
    seeds : uint64 array [at most lanes], optional
        Draw the initial weights of these seeds now; otherwise call `start`.
    orders : int
        A distance between seeds: a run with the initial weights of seed s gets the order of samples
        of seed s + orders.
    layers : Layers, optional
        Initial weights for all runs, in place of those that seeds draw.
    """

    def __init__(
        self,
        work: Task,
        seeds: NDArray[np.uint64] | None = None,
        orders: int = 0,
        layers: Layers | None = None,
    ) -> None:
        self.task, self._layers = work, layers
        self.orders = np.uint64(orders)
        self._train = trainer(work.lanes, is_online(work.setup))
        self._measure = measurer(work.lanes)
        dtype, samples = work.table.values.dtype, work.double_network.samples
        self.state: Lanes = lanes_of(work.network, work.lanes, work.targets.row_order, dtype)
        self._none = runs_of(work.network, 0, dtype)
        size = work_size(samples.rows, work.lanes, dtype.itemsize)
        self._work, self._double_work = empty_block(size, dtype), empty_block(size, np.float64)
        self.double = empty_block(work.double_network.rows * work.lanes, np.float64)
        if seeds is not None:
            self.start(seeds)

    def start(self, seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds; lanes left over repeat the last seed."""
        state = self.state
        state.block[:] = 0
        state.epochs[:] = state.updates[:] = 0
        state.converged_at[:] = -1
        self.draw(state, seeds)

    def draw(self, runs: Lanes | Runs, seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds into the block of `runs`, with their orders."""
        work, init = self.task, self.task.setup.calls["init"]
        runs.seeds[: len(seeds)] = seeds
        runs.seeds[len(seeds) :] = seeds[-1]
        initialiser()(
            runs.block,
            runs.seeds,
            work.network,
            init.choice.code,
            parameter_arrays(init.choice, init.values),
            float(work.setup.init_scale),
            work.setup.bias,
        )
        if self._layers:
            self.set_layers(self._layers, block=runs.block)
        runs.seeds[:] += self.orders

    def advance(self, epochs: int, waiting: Runs | None = None, ended: Runs | None = None) -> None:
        """Train for a number of epochs, but not beyond the budget.

        With `waiting` and `ended`, a lane whose run has ended puts it into `ended` and takes one
        from `waiting`. Then the call also returns when `waiting` is empty or `ended` is full.
        """
        work, refill = self.task, waiting is not None
        self._train(
            self.state,
            work.network,
            work.table,
            work.targets,
            work.config._replace(refill=refill),
            epochs if refill else min(epochs, work.setup.epochs_budget - self.epochs),
            work.setup.budget,
            waiting or self._none,
            ended or self._none,
        )

    @property
    def epochs(self) -> int:
        """Epochs done, where no lane is refilled."""
        return int(self.state.epochs[0])

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self.epochs >= self.task.setup.epochs_budget

    def layers(self, lane: int = 0, offset: int = 0) -> Layers:
        """Read the weights and biases of a lane, float64.

        Parameters
        ----------
        lane : int
            The lane.
        offset : int
            Where to read: 0 for the parameters, `network.velocity` or `network.gradient` for those.
        """
        rows = self.state.block.reshape(-1, self.task.lanes)[offset:, lane].astype(np.float64)
        result = []
        for below, layer in pairwise(self.task.network.layers):
            weights, biases = rows[layer[WEIGHTS] : layer[BIASES]], rows[layer[BIASES] :]
            W = weights.reshape(layer[UNITS], below[UNITS])
            result.append((W.copy(), biases[: layer[UNITS]].copy()))
        return result

    def set_layers(
        self, layers: Layers, lane: int | slice = slice(None), block: NDArray[Any] | None = None
    ) -> None:
        """Write weights and biases into a lane or all lanes, of this group or of another block."""
        values = np.concatenate([part.ravel() for layer in layers for part in layer])
        rows = (self.state.block if block is None else block).reshape(-1, self.task.lanes)
        rows[: len(values), lane].T[...] = values

    def measure(
        self, with_gradient: bool = True, block: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measure the networks of this group, or of another block.

        Returns
        -------
        measures : float64 array [measure, lane]
            Rows as `fastbp.kernels.measures` names them; without `with_gradient`, no gradient norm.
        outputs : float64 array [row, output, lane]
            Outputs of the networks.
        """
        work = self.task
        measures = np.zeros((m.MEASURES, work.lanes))
        outputs = np.empty((*work.targets.values.shape, work.lanes))
        self._measure(
            self.state.block if block is None else block,
            self._work,
            work.network,
            work.table,
            work.targets,
            work.config.loss,
            work.config.bias,
            self.double,
            self._double_work,
            work.double_network,
            with_gradient,
            measures.ravel(),
            outputs.ravel(),
        )
        m.judge(outputs, work.targets, measures)
        for values in (measures, outputs):
            values[np.isnan(values)] = np.nan  # NaN has many bit patterns: store one of them
        return measures, outputs


def after_last_epoch(work: Task, runs: Lanes | Runs) -> LaneGroup:
    """Train the last epoch of runs that have finished all others, in a new group."""
    group, done = LaneGroup(work), work.setup.epochs_budget - 1
    for name in ("block", "seeds", "converged_at"):
        getattr(group.state, name)[:] = getattr(runs, name)
    group.state.epochs[:], group.state.updates[:] = done, done * work.setup.updates_per_epoch
    group.advance(1)
    return group
