"""Training of a group of runs: choose rows, propagate, update the weights, evaluate.

The state of a lane is its parameters, its velocity, its seed and the number of epochs done: a call
may stop after any epoch, and the next one continues with the same bits.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import Chosen, inlined, kernel, shared
from fastbp.kernels.layout import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    Network,
)
from fastbp.kernels.measures import evaluate
from fastbp.kernels.memory import (
    SPARE_ROWS,
    empty_block,
    load_activation,
    load_lane,
    load_table,
    store_delta,
    store_lane,
    wide,
)
from fastbp.kernels.minibatch import batch_epoch
from fastbp.kernels.online import clear_pending, flush_pending, online_epoch
from fastbp.kernels.random import WEIGHTS as WEIGHT_STREAM
from fastbp.kernels.random import uniform
from fastbp.kernels.real import slope
from fastbp.kernels.tiles import work_size


class Lanes(NamedTuple):
    """The state of a group of runs, one in each lane, and their scratch memory."""

    block: NDArray[Any]
    """The work block, flat [row, lane], laid out by `network`."""
    work: NDArray[Any]
    """Several samples of a batch, flat [row, lane of a vector], laid out by `network.samples`."""
    seeds: NDArray[np.uint64]
    epochs: NDArray[np.int64]
    """Epochs begun. At the end of the budget the last one may be incomplete."""
    updates: NDArray[np.int64]
    """Updates done."""
    converged_at: NDArray[np.int64]
    """Updates at the first evaluation at which the run had converged; −1 before."""
    rate: NDArray[Any]
    """Learning rate of the present epoch of the lane."""
    last_rate: NDArray[Any]
    """Learning rate of the epoch before."""
    rows: NDArray[np.int32]
    """Rows of the present epoch, flat [position, lane], with spare room behind them."""
    running: NDArray[np.bool_]
    """Whether the lane has a run; the results of a lane without one are not used."""
    within: NDArray[np.int64]
    """Scratch memory of an evaluation: whether all errors so far are within the tolerance."""
    row_order: NDArray[np.int64]
    """Rows in the order in which the next evaluation tries them."""


def lanes_of(network: Network, lanes: int, row_order: NDArray[np.int64], dtype: DTypeLike) -> Lanes:
    """Allocate the state of a group of so many runs on a problem with these rows."""
    return Lanes(
        empty_block(network.rows * lanes, dtype),
        empty_block(work_size(network.samples.rows, lanes, np.dtype(dtype).itemsize), dtype),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.full(lanes, -1, np.int64),
        empty_block(lanes, dtype),
        empty_block(lanes, dtype),
        empty_block(room_for(len(row_order)) * lanes, np.int32),
        np.zeros(lanes, np.bool_),
        np.zeros(lanes, np.int64),
        row_order.copy(),
    )


def room_for(rows: int) -> int:
    """Positions for an order of so many rows: a multiple of four (words of a draw), and spares."""
    return (rows + 3) // 4 * 4 + SPARE_ROWS


class Runs(NamedTuple):
    """Runs that are not in a lane, one in each column.

    They wait with their initial weights, or they have ended.
    """

    block: NDArray[Any]
    """Laid out like a work block."""
    seeds: NDArray[np.uint64]
    updates: NDArray[np.int64]
    converged_at: NDArray[np.int64]
    filled: NDArray[np.int64]
    """(next, end): columns next … end − 1 hold runs."""


def runs_of(network: Network, lanes: int, dtype: DTypeLike) -> Runs:
    """Allocate as many columns as there are lanes."""
    return Runs(
        empty_block(network.rows * lanes, dtype),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(2, np.int64),
    )


class TrainingConfig(NamedTuple):
    """How to learn and when to evaluate; numbers in the dtype of the work block."""

    batch: int
    mean: bool
    """Divide the gradient of a batch by its rows."""
    cyclic: bool
    """All lanes visit the rows in the order of the problem."""
    bias: bool
    bias_mask: Any
    """−1 with biases, else 0: an integer as wide as the dtype of the work block."""
    rates: NDArray[Any]
    """Learning rate by epoch; the last one holds for all later epochs."""
    momentum: Any
    weight_decay: Any
    prime_offset: Any
    loss: int
    order: int
    order_arguments: Any
    eval_every: int
    """Epochs between evaluations."""
    tolerance: float
    refill: bool
    """A run ends at the evaluation at which it has converged; its lane takes the next run."""


def make_advance(orders: Chosen, losses: Chosen, lanes: int, online: bool) -> Any:
    """Make the kernel that trains all lanes, for these orders and losses (`output_pass` of each).

    `online`: one row per update, no momentum and no decay, so that parameters change at once and no
    gradient is kept; else batches.
    """
    epoch = online_epoch(losses, lanes) if online else batch_epoch(losses, lanes)

    @kernel
    def advance(
        state: Any,
        network: Any,
        table: Any,
        targets: Any,
        config: Any,
        epochs: Any,
        budget: Any,
        waiting: Any,
        ended: Any,
    ) -> None:
        """Train every lane for so many epochs, at most to `budget` updates, and evaluate when due.

        With `config.refill`, lanes hand runs that have ended, or have less than an epoch left, to
        `ended` and take others from `waiting`; the call also returns when `ended` is full or
        `waiting` is empty. Arithmetic is in the dtype of the work block, except in evaluations.
        """
        wide()
        block, n = state.block, table.rows
        per_epoch = (n + config.batch - 1) // config.batch
        last = 0
        if online:
            clear_pending(block, lanes, network, last)
        for done in range(epochs):
            if config.refill and not exchange(
                state, lanes, network, config.eval_every, budget - per_epoch, waiting, ended
            ):
                return
            _set_rates(state, lanes, config)
            if not config.cyclic:
                arguments = (state.rows, n, lanes, state.seeds, state.epochs)
                orders(config.order, (config.order_arguments, arguments))
            updates = per_epoch if config.refill else min(per_epoch, budget - state.updates[0])
            last = epoch(state, network, table, config, updates, last)
            for lane in range(lanes):
                store_lane(state.epochs, lane, load_lane(state.epochs, lane) + 1)
                store_lane(state.updates, lane, load_lane(state.updates, lane) + updates)
            due = state.epochs[0] % config.eval_every == 0
            furthest = max_of(state.updates, lanes)
            evaluated = due or furthest >= budget
            if online and (
                evaluated or done + 1 == epochs or (config.refill and furthest > budget - per_epoch)
            ):
                flush_pending(block, lanes, network, last, state.rate, config.bias_mask)
            if evaluated:
                evaluate(
                    block, lanes, network, table, targets, config.tolerance, state, due, budget
                )

    return advance


@inlined
def _set_rates(state: Any, lanes: Any, config: Any) -> None:
    last = len(config.rates) - 1
    for lane in range(lanes):
        store_lane(state.last_rate, lane, load_lane(state.rate, lane))
    if last == 0 or not config.refill:
        # One rate for all lanes: looking it up for each of them takes 1% of the time.
        current = load_table(config.rates, min(state.epochs[0], last))
        for lane in range(lanes):
            store_lane(state.rate, lane, current)
    else:
        for lane in range(lanes):
            epoch = min(load_lane(state.epochs, lane), last)
            store_lane(state.rate, lane, load_table(config.rates, epoch))


@inlined
def max_of(values: Any, lanes: Any) -> Any:
    """The largest value of all lanes."""
    largest = values[0]
    for lane in range(lanes):
        largest = max(largest, values[lane])
    return largest


@shared
def exchange(
    state: Any, lanes: Any, network: Any, eval_every: Any, last: Any, waiting: Any, ended: Any
) -> Any:
    """Take ended runs out of their lanes and put waiting ones in, between two epochs.

    A run has ended when it has converged or done more than `last` updates, so that it has no
    complete epoch left. Lanes take a run only where an evaluation is due, so that all lanes are
    evaluated at the same epochs. Returns whether to go on.
    """
    kept = network.layers[0, ACTIVATIONS]  # parameters, gradient and velocity
    for lane in range(lanes):
        if state.running[lane] and (state.converged_at[lane] >= 0 or state.updates[lane] > last):
            column = ended.filled[1]
            if column == lanes:
                return False
            for row in range(kept):
                ended.block[row * lanes + column] = state.block[row * lanes + lane]
            ended.seeds[column] = state.seeds[lane]
            ended.updates[column] = state.updates[lane]
            ended.converged_at[column] = state.converged_at[lane]
            ended.filled[1] = column + 1
            state.running[lane] = False
            state.converged_at[lane] = 0
    running = False
    for lane in range(lanes):
        running = running or state.running[lane]
    if not running:
        state.epochs[0] = 0  # no run is left whose evaluations others must keep in step with
    due = state.epochs[0] % eval_every == 0
    for lane in range(lanes):
        if due and not state.running[lane] and waiting.filled[0] < waiting.filled[1]:
            column = waiting.filled[0]
            for row in range(kept):
                state.block[row * lanes + lane] = waiting.block[row * lanes + column]
            state.seeds[lane] = waiting.seeds[column]
            state.updates[lane] = 0
            state.epochs[lane] = 0
            state.converged_at[lane] = -1
            state.running[lane] = True
            waiting.filled[0] = column + 1
        running = running or state.running[lane]
    return running and not (
        due and waiting.filled[0] == waiting.filled[1] and waiting.filled[1] == lanes
    )


def output_pass(loss: Any) -> Any:
    """Make the pass that computes δ of the output layer for one loss; z is not used."""

    @inlined
    def deltas(
        block: Any, lanes: Any, width: Any, network: Any, other: Any, prime_offset: Any
    ) -> None:
        last = network.layers[-1]
        a, t = (last[ACTIVATIONS] + other) * lanes, (network.targets + other) * lanes
        d = last[DELTAS] * lanes
        for i in range(last[UNITS] * width):
            o = load_activation(block, a + i)
            _, delta = loss(o, o, load_activation(block, t + i), slope(o) + prime_offset)
            store_delta(block, d + i, delta)

    return deltas


def make_initialise(inits: Chosen) -> Any:
    """Make the kernel that draws initial weights, for these inits."""

    @kernel
    def initialise(
        block: Any, seeds: Any, network: Any, init: Any, arguments: Any, scale: Any, bias: Any
    ) -> None:
        """Draw the parameters of every lane.

        They are drawn in float64, in the order layer, unit, input, then the biases of the layer.
        Without `bias` the biases are +0, and their draws are skipped. float32 blocks get the
        float64 values rounded once.
        """
        lanes, layers, kind = len(seeds), network.layers, block.dtype.type
        for layer in range(1, len(layers)):
            fan_in, fan_out = layers[layer - 1, UNITS], layers[layer, UNITS]
            biases = layers[layer, BIASES]
            for row in range(layers[layer, WEIGHTS], biases + fan_out):
                for lane in range(lanes):
                    u = uniform(seeds[lane], WEIGHT_STREAM, np.uint64(0), row)
                    place = (u, scale, fan_in, fan_out, row >= biases, seeds[lane], row)
                    value = inits(init, (arguments, place))
                    block[row * lanes + lane] = kind(value) if bias or row < biases else kind(0.0)

    return initialise


def make_rates(schedules: Chosen) -> Any:
    """Make the kernel that computes learning rates, for these schedules."""

    @kernel
    def rates(lr: Any, schedule: Any, arguments: Any, warmup: Any, epochs: Any, out: Any) -> None:
        """Fill `out`, float64 [epoch], with the learning rates of a run of `epochs` epochs.

        They rise in the first `warmup` epochs.
        """
        factor = 1.0
        for epoch in range(len(out)):
            if epoch < warmup:
                out[epoch] = lr * (epoch + 1) / (warmup + 1)
            else:
                factor = schedules(schedule, (arguments, (factor, epoch - warmup, epochs - warmup)))
                out[epoch] = lr * factor

    return rates
