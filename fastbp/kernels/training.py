"""A block of runs, from its first epoch to its last: choose rows, propagate, correct, look.

The state of a lane is its parameters, its velocity, its seed and the number of epochs it has done:
a call may stop after any epoch, and the next goes on with the same bits.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.jit import inlined, kernel, shared
from fastbp.kernels.measures import look
from fastbp.kernels.memory import (
    SPARE_ROWS,
    empty_block,
    load_activation,
    load_lane,
    load_parameter,
    load_table,
    store_delta,
    store_lane,
    store_parameter,
    wide,
)
from fastbp.kernels.network import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    Network,
    clear_pending,
    columns_of,
    flush_pending,
    fused_step,
    hidden_deltas,
    in_samples,
    present,
    present_to_all,
)
from fastbp.kernels.random import WEIGHTS as WEIGHT_STREAM
from fastbp.kernels.random import uniform
from fastbp.kernels.real import fma, slope
from fastbp.kernels.tiles import BIAS, LEARN, ONTO, Matrix, part, products, work_size

Chosen = Callable[[Any, Any], Any]


class Lanes(NamedTuple):
    """The state of a group of runs, one a lane, and their scratch."""

    block: NDArray[Any]
    """Parameters and scratch, flat [row, lane], as `network` lays them out."""
    work: NDArray[Any]
    """For several samples of a batch, flat [row, lane of a vector], as its `samples` lays them
    out."""
    seeds: NDArray[np.uint64]
    epochs: NDArray[np.int64]
    """Epochs begun; all of them done but, at the end of the budget, the last."""
    updates: NDArray[np.int64]
    """Updates done."""
    converged_at: NDArray[np.int64]
    """Updates at the first look that found the run converged; −1 before."""
    rate: NDArray[Any]
    """Learning rate of the epoch that the lane is in."""
    last_rate: NDArray[Any]
    """That of the epoch before."""
    rows: NDArray[np.int32]
    """Rows of the epoch that the lane is in, flat [position, lane], and the room behind them."""
    running: NDArray[np.bool_]
    """Whether the lane's run goes on; a lane without one computes what nobody reads."""
    within: NDArray[np.int64]
    """For looks to work with."""
    look_at: NDArray[np.int64]
    """Rows in the order in which the next look takes them."""


def lanes_of(network: Network, lanes: int, look_at: NDArray[np.int64], dtype: DTypeLike) -> Lanes:
    """Room for a group of so many runs on a problem with these rows."""
    return Lanes(
        empty_block(network.rows * lanes, dtype),
        empty_block(work_size(network.samples.rows, lanes, np.dtype(dtype).itemsize), dtype),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.full(lanes, -1, np.int64),
        empty_block(lanes, dtype),
        empty_block(lanes, dtype),
        empty_block(room_for(len(look_at)) * lanes, np.int32),
        np.zeros(lanes, np.bool_),
        np.zeros(lanes, np.int64),
        look_at.copy(),
    )


def room_for(rows: int) -> int:
    """Positions that orders have room for: so many, rounded up to a multiple of four (the words of
    a draw), and spare ones.
    """
    return (rows + 3) // 4 * 4 + SPARE_ROWS


class Runs(NamedTuple):
    """Runs that are not in a lane: those to come, with their initial weights, or those that have
    ended, one a column.
    """

    block: NDArray[Any]
    """As a work block."""
    seeds: NDArray[np.uint64]
    updates: NDArray[np.int64]
    converged_at: NDArray[np.int64]
    filled: NDArray[np.int64]
    """[next, end]: columns next … end − 1 hold runs."""


def runs_of(network: Network, lanes: int, dtype: DTypeLike) -> Runs:
    """Room for as many runs as there are lanes."""
    return Runs(
        empty_block(network.rows * lanes, dtype),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.zeros(2, np.int64),
    )


class TrainingConfig(NamedTuple):
    """How to learn and when to look. Numbers are in the dtype of the work block."""

    batch: int
    mean: bool
    """Divide the gradient of a batch by its rows."""
    all_alike: bool
    """Every lane sees the rows as listed."""
    bias: bool
    biases: Any
    """The same as a mask: −1 or 0, an integer as wide as the dtype of the work block."""
    rates: NDArray[Any]
    """Learning rate by epoch; the last one holds for all later epochs."""
    momentum: Any
    weight_decay: Any
    prime_offset: Any
    loss: int
    order: int
    order_own: Any
    """Parameters of the order that are its own."""
    eval_every: int
    """Epochs between looks."""
    tolerance: float
    refill: bool
    """A run ends when a look finds it converged, and its lane takes the next one."""


def make_advance(orders: Chosen, losses: Chosen, lanes: int, online: bool) -> Any:
    """Compile the trainer for these orders and output passes (`output_pass` of each loss), all of
    them in one kernel.

    `online`: one row an update, no momentum, no decay, so that parameters change at once and no
    gradient is kept; else batches.
    """
    epoch = _online(losses, lanes) if online else _in_batches(losses, lanes)

    @kernel
    def advance(
        state: Any,
        network: Any,
        table: Any,
        targets: Any,
        rule: Any,
        epochs: Any,
        budget: Any,
        waiting: Any,
        ended: Any,
    ) -> None:
        """Train every lane for so many epochs, no further than `budget` updates, and look where a
        look is due.

        Where the rule refills, lanes whose runs have ended, or have less than an epoch left, hand
        them to `ended` and take others from `waiting`, and the call also returns when there is no
        room in the one or nothing in the other. All arithmetic is in the dtype of the work block,
        save that of the looks.
        """
        wide()
        block, n = state.block, table.rows
        whole = (n + rule.batch - 1) // rule.batch
        last = 0
        if online:
            clear_pending(block, lanes, network, last)
        for done in range(epochs):
            if rule.refill and not exchange(
                state, lanes, network, rule.eval_every, budget - whole, waiting, ended
            ):
                return
            _set_rates(state, lanes, rule)
            if not rule.all_alike:
                orders(
                    rule.order, (rule.order_own, (state.rows, n, lanes, state.seeds, state.epochs))
                )
            updates = whole if rule.refill else min(whole, budget - state.updates[0])
            last = epoch(state, network, table, rule, updates, last)
            for lane in range(lanes):
                store_lane(state.epochs, lane, load_lane(state.epochs, lane) + 1)
                store_lane(state.updates, lane, load_lane(state.updates, lane) + updates)
            due = state.epochs[0] % rule.eval_every == 0
            furthest = max_of(state.updates, lanes)
            looks = due or furthest >= budget
            if online and (
                looks or done + 1 == epochs or (rule.refill and furthest > budget - whole)
            ):
                flush_pending(block, lanes, network, last, state.rate, rule.biases)
            if looks:
                look(
                    block,
                    lanes,
                    network,
                    table,
                    targets,
                    rule.tolerance,
                    state.updates,
                    state.converged_at,
                    due,
                    budget,
                    state.within,
                    state.look_at,
                )

    return advance


@inlined
def _set_rates(state: Any, lanes: Any, rule: Any) -> None:
    last = len(rule.rates) - 1
    for lane in range(lanes):
        store_lane(state.last_rate, lane, load_lane(state.rate, lane))
    if (
        last == 0 or not rule.refill
    ):  # one rate for all lanes: a gather for each costs a hundredth of the time
        current = load_table(rule.rates, min(state.epochs[0], last))
        for lane in range(lanes):
            store_lane(state.rate, lane, current)
    else:
        for lane in range(lanes):
            store_lane(
                state.rate, lane, load_table(rule.rates, min(load_lane(state.epochs, lane), last))
            )


def _online(losses: Chosen, lanes: int) -> Any:
    """An epoch in which each row changes the weights by itself."""

    @inlined
    def epoch(state: Any, network: Any, table: Any, rule: Any, updates: Any, last: Any) -> Any:
        """Returns where the last sample lies, which has something left to add. `last`: where that
        of the epoch before does.
        """
        block, layers, columns = state.block, network.layers, columns_of(network)
        rate = state.last_rate
        for position in range(updates):
            now = network.other - last
            first = (layers[0, ACTIVATIONS] + now) * lanes
            if rule.all_alike:
                present_to_all(block, lanes, lanes, first, columns, table, position)
            else:
                present(block, lanes, lanes, first, columns, table, state.rows, position)
            fused_step(block, lanes, network, last, now, rate, rule.biases)
            losses(rule.loss, (block, lanes, lanes, network, now, rule.prime_offset))
            for layer in range(len(layers) - 2, 0, -1):
                hidden_deltas(block, lanes, layers, layer, now, rule.prime_offset)
            rate, last = state.rate, now
        return last

    return epoch


def _in_batches(losses: Chosen, lanes: int) -> Any:
    """An epoch in which the weights change after each batch, by its gradient."""
    forward, back = in_samples(lanes)
    copy = products(lanes).copy

    @inlined
    def epoch(state: Any, network: Any, table: Any, rule: Any, updates: Any, there: Any) -> Any:
        """Returns whether all rows lie where samples are taken from, which is what `there` says of
        the epoch before.
        """
        block, work, n, columns = state.block, state.work, table.rows, columns_of(network)
        samples, inputs, outputs = (
            network.samples,
            network.layers[0, UNITS],
            network.layers[-1, UNITS],
        )
        strip, most = len(work) // samples.rows, samples.most
        step = most * strip  # from unit to unit
        for start in range(0, min(updates * rule.batch, n), rule.batch):
            end = min(start + rule.batch, n)
            for position in range(start, end, most):
                taken = min(most, end - position)
                if not rule.all_alike:
                    for sample in range(taken):
                        first = (network.presented + sample) * lanes
                        present(
                            block,
                            lanes,
                            most * lanes,
                            first,
                            columns,
                            table,
                            state.rows,
                            position + sample,
                        )
                elif there == 0:
                    for sample in range(taken):
                        present_to_all(
                            work, strip, step, sample * strip, columns, table, position + sample
                        )
                then = (LEARN if network.gradient == 0 else ONTO if position > start else 0) | (
                    BIAS if rule.bias else 0
                )
                for lane in range(0, lanes, strip):
                    x = Matrix(work, 0, step, strip)
                    if not rule.all_alike:
                        x = Matrix(block, network.presented * lanes + lane, most * lanes, lanes)
                        targets = Matrix(work, samples.targets * strip, step, strip)
                        copy(outputs, taken, strip, targets, part(x, inputs, 0))
                    forward(block, work, network, samples, strip, lane, taken, x, False)
                    losses(rule.loss, (work, strip, step, samples, 0, rule.prime_offset))
                    back(
                        block,
                        work,
                        network,
                        samples,
                        strip,
                        lane,
                        taken,
                        x,
                        rule.prime_offset,
                        state.rate,
                        then,
                    )
            if network.gradient > 0:
                _apply_gradient(block, lanes, network, rule, state.rate, end - start)
        return 1 if rule.all_alike and n <= most else 0

    return epoch


@inlined
def max_of(values: Any, lanes: Any) -> Any:
    """The largest of one value a lane."""
    largest = values[0]
    for lane in range(lanes):
        largest = max(largest, values[lane])
    return largest


@shared
def exchange(
    state: Any, lanes: Any, network: Any, eval_every: Any, last: Any, waiting: Any, ended: Any
) -> Any:
    """Between two epochs: take ended runs out of their lanes and put waiting ones in.

    A run has ended when it has converged or done more than `last` updates, so that it has no whole
    epoch left. Lanes take a run only where a look is due, so that looks fall on the same epochs for
    all. Returns whether to go on.
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
        state.epochs[0] = 0  # nobody's looks to keep in step with
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
    """δ of the output layer by one loss. Its value is not asked for, so z may be anything."""

    @inlined
    def deltas(
        block: Any, lanes: Any, width: Any, network: Any, other: Any, prime_offset: Any
    ) -> None:
        last = network.layers[-1]
        d, a, t = (
            last[DELTAS] * lanes,
            (last[ACTIVATIONS] + other) * lanes,
            (network.targets + other) * lanes,
        )
        for i in range(last[UNITS] * width):
            o = load_activation(block, a + i)
            _, delta = loss(o, o, load_activation(block, t + i), slope(o) + prime_offset)
            store_delta(block, d + i, delta)

    return deltas


@inlined
def _apply_gradient(block: Any, lanes: Any, network: Any, rule: Any, rate: Any, count: Any) -> None:
    """Update the weights: v ← αv − lr·(g + λw), w ← w + v, biases without λ (Rumelhart, Hinton &
    Williams 1986, equation 9).
    """
    layers = network.layers
    rows = block.dtype.type(count)
    for layer in range(1, len(layers)):
        bias = layers[layer, BIASES]
        end = bias + layers[layer, UNITS] if rule.bias else bias
        for row in range(layers[layer, WEIGHTS], end):
            w, g, v = (
                row * lanes,
                (network.gradient + row) * lanes,
                (network.velocity + row) * lanes,
            )
            for lane in range(lanes):
                weight, gradient = load_parameter(block, w + lane), load_parameter(block, g + lane)
                if rule.mean:
                    gradient = gradient / rows
                if row < bias:
                    gradient = fma(rule.weight_decay, weight, gradient)
                velocity = fma(
                    rule.momentum,
                    load_parameter(block, v + lane),
                    -(load_lane(rate, lane) * gradient),
                )
                store_parameter(block, v + lane, velocity)
                store_parameter(block, w + lane, weight + velocity)


def make_initialise(inits: Chosen) -> Any:
    """Compile the maker of initial weights for these inits, all of them in one kernel."""

    @kernel
    def initialise(
        block: Any, seeds: Any, network: Any, init: Any, own: Any, scale: Any, bias: Any
    ) -> None:
        """Fill the parameters of every lane: drawn in float64, in the order layer, unit, input,
        then that layer's biases.

        Without `bias` the biases are +0, and their draws are passed over. float32 blocks get the
        float64 values rounded once.
        """
        lanes, layers, kind = len(seeds), network.layers, block.dtype.type
        for layer in range(1, len(layers)):
            fan_in, fan_out = layers[layer - 1, UNITS], layers[layer, UNITS]
            biases = layers[layer, BIASES]
            for row in range(layers[layer, WEIGHTS], biases + fan_out):
                for lane in range(lanes):
                    u = uniform(seeds[lane], WEIGHT_STREAM, np.uint64(0), row)
                    value = inits(
                        init, (own, (u, scale, fan_in, fan_out, row >= biases, seeds[lane], row))
                    )
                    block[row * lanes + lane] = kind(value) if bias or row < biases else kind(0.0)

    return initialise


def make_rates(schedules: Chosen) -> Any:
    """Compile the maker of learning rates for these schedules, all of them in one kernel."""

    @kernel
    def rates(lr: Any, schedule: Any, own: Any, warmup: Any, epochs: Any, out: Any) -> None:
        """Fill `out`, float64 [epoch], with the learning rates of a run of `epochs` epochs; in the
        first `warmup` they rise.
        """
        factor = 1.0
        for epoch in range(len(out)):
            if epoch < warmup:
                out[epoch] = lr * (epoch + 1) / (warmup + 1)
            else:
                factor = schedules(schedule, (own, (factor, epoch - warmup, epochs - warmup)))
                out[epoch] = lr * factor

    return rates
