"""Training of a group of runs: choose rows, propagate, update the weights, evaluate.

A group consists of strips, which are trained one after another. The state of a lane is its
parameters, its velocity, its seed and the number of epochs done: a call may stop after any epoch,
and the next one continues with the same bits.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import float64, int32, int64, types, uint64
from numpy.typing import DTypeLike, NDArray

from fastbp.kernels.evaluation import UNDECIDED, evaluator
from fastbp.kernels.goals import Targets
from fastbp.kernels.jit import by_address, call, inlined, kernel, shared
from fastbp.kernels.layout import Network, Table, layer_of, present_to_all
from fastbp.kernels.memory import (
    SPARE_ROWS,
    empty_block,
    load_lane,
    load_table,
    store_lane,
)
from fastbp.kernels.minibatch import batch_epoch
from fastbp.kernels.online import online_epoch
from fastbp.kernels.optimizer import Optimizer
from fastbp.kernels.random import WEIGHTS as WEIGHT_STREAM, uniform
from fastbp.kernels.tiles import Size, lanes_in_vector
from fastbp.kernels.units import Pair, units_of


class Lanes(NamedTuple):
    """The state of runs, one in each lane, and scratch memory: of a group, or of a strip of it."""

    block: NDArray[Any]
    """Flat [strip, row, lane of the strip], rows laid out by `network`."""
    A: NDArray[Any]
    """Work memory, which all strips of a group share: activations, flat [row, sample, lane]."""
    B: NDArray[Any]
    """Activations of the last sample, in online learning."""
    D: NDArray[Any]
    """δ, flat [row, sample, lane]."""
    seeds: NDArray[np.uint64]
    epochs: NDArray[np.int64]
    """Epochs begun. At the end of the budget the last one may be incomplete."""
    updates: NDArray[np.int64]
    """Updates done."""
    converged_at: NDArray[np.int64]
    """Updates at the first evaluation at which the run had converged; before, `UNDECIDED`, or
    `DIVERGED` once it is known that a weight is not finite."""
    rate: NDArray[Any]
    """Learning rate of the present epoch of the lane."""
    last_rate: NDArray[Any]
    """Learning rate of the epoch before."""
    rows: NDArray[np.int32]
    """Rows of the present epoch, flat [strip, position, lane], with spare room behind each."""
    running: NDArray[np.bool_]
    """Whether the lane has a run; the results of a lane without one are not used."""
    words: NDArray[Any]
    """Scratch memory: the bits of the row that each lane visits."""
    pending: NDArray[Any]
    """Scratch memory of an evaluation: 0 in lanes that cannot have converged."""
    last_failing_row: NDArray[np.int64]
    """At the first lane of each vector: the row that last ruled out all of its lanes."""
    costs: NDArray[np.float64]
    """Scratch memory of an evaluation: sums over rows."""
    totals: NDArray[np.float64]
    """Scratch memory of an evaluation: sums over output units."""
    nets: NDArray[Any]
    """Scratch memory of an evaluation: net_k of the output units, [unit, lane]."""
    labels: NDArray[Any]
    """Scratch memory of an evaluation: the label of the first row by each output, [unit, lane]."""


def lanes_of(
    network: Network, lanes: int, strip: int, rows: tuple[int, int], dtype: DTypeLike
) -> list[Lanes]:
    """Allocate the state of a group of lanes.

    `rows`: the number of training rows, and the row that evaluations look at first.

    Returns
    -------
    list of Lanes
        The state of the whole group, then its parts: that of every strip of so many lanes.
    """
    size, b = strip * network.samples, strip * network.alternates
    # In one block, so that places in the cache do not depend on luck.
    work = empty_block(network.work_rows * strip, dtype)
    memory = np.split(work, np.cumsum((network.activations * size, network.activations * b)))
    parts = [
        empty_block(network.rows * lanes, dtype),
        np.zeros(lanes, np.uint64),
        np.zeros(lanes, np.int64),
        np.zeros(lanes, np.int64),
        np.full(lanes, UNDECIDED, np.int64),
        empty_block(lanes, dtype),
        empty_block(lanes, dtype),
        empty_block(room_for(rows[0]) * lanes, np.int32),
        np.zeros(lanes, np.bool_),
        empty_block(lanes, f"u{np.dtype(dtype).itemsize}"),
        empty_block(lanes, dtype),
        np.full(lanes, rows[1]),
        np.zeros(lanes),
        np.zeros(lanes),
        empty_block(int(network.layers[-1, 0]) * lanes, dtype),
        empty_block(int(network.layers[-1, 0]) * lanes, dtype),
    ]
    strips = zip(*(np.split(part, lanes // strip) for part in parts), strict=True)
    return [Lanes(block, *memory, *others) for block, *others in (parts, *strips)]


def room_for(rows: int) -> int:
    """Positions for an order of so many rows: a multiple of four (words of a draw), and spares."""
    return (rows + 3) // 4 * 4 + SPARE_ROWS


class Runs(NamedTuple):
    """Runs that are not in a lane, one in each column.

    They wait with their initial weights, or they have ended.
    """

    block: NDArray[Any]
    """As in `Lanes`."""
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
    """How to learn and when to evaluate; numbers in the dtype of the lanes."""

    batch: int
    mean: bool
    """Divide the gradient of a batch by its rows."""
    bias: bool
    cyclic: bool
    """All lanes visit the rows in the order of the problem."""
    rates: NDArray[Any]
    """Learning rate by epoch; the last one holds for all later epochs."""
    momentum: Any
    weight_decay: Any
    prime_offset: Any
    order_arguments: Any
    eval_every: int
    """Epochs between evaluations."""
    forwards: bool
    """Success is judged by the outputs of the training rows alone."""
    refill: bool
    """A run ends at the evaluation at which it has converged, or is found to have diverged; its
    lane takes the next run."""


class Setting(NamedTuple):
    """Everything about a setup that training needs."""

    network: Network
    table: Table
    judged_table: Table
    """The rows on which success is judged: those of `table`, or the held-out rows."""
    judged_targets: Targets
    config: TrainingConfig
    draw: Any
    """From `make_draw`."""
    deltas: Any
    """From `make_output_deltas`."""
    losses: Any
    """From `make_losses`."""


def make_advance(
    lanes: int,
    dtype: str,
    pairs: tuple[Pair, ...],
    softmax: bool,
    optimizer: Optimizer | None,
    tile: Size,
    success: str,
    name: str,
) -> Any:
    """Make the kernel that trains.

    Parameters
    ----------
    lanes : int
        Lanes of a strip.
    dtype : str
        Of the networks.
    pairs, softmax
        The units of the networks, as in `units_of`.
    optimizer : Optimizer, optional
        For batches. By default each row changes the weights at once, by plain gradient descent.
    tile : (int, int)
        Rows and columns of a tile, in batches.
    success : {"rows", "accuracy", "r2", "loss"}
        The criterion of success.
    name : str
        Tells kernels of other units and optimisers apart.
    """
    units = units_of(pairs, softmax, lanes)
    evaluate = evaluator(lanes, lanes_in_vector(dtype), units, success)
    in_batches = optimizer is not None
    if optimizer is None:
        epoch, forward, flush = online_epoch(lanes, dtype, units)
    else:
        epoch, forward, flush = batch_epoch(lanes, dtype, units, optimizer, tile)

    @kernel("advance", lanes, dtype, *tile, success, name)
    def advance(
        strip: Any, setting: Any, epochs: Any, budget: Any, waiting: Any, ended: Any
    ) -> None:
        """Train every lane for so many epochs, at most to `budget` updates, and evaluate when due.

        With `config.refill`, lanes hand runs that have ended, or have less than an epoch left, to
        `ended` and take others from `waiting`; the call also returns when `ended` is full, or when
        `waiting` was full and is now empty. Arithmetic is in the dtype of the lanes.
        """
        network, table, config = setting.network, setting.table, setting.config
        n = table.rows
        per_epoch = (n + config.batch - 1) // config.batch
        # Where the samples of a batch are all rows, evaluations take the outputs of the forward
        # pass that the next update needs anyway.
        full = in_batches and config.cyclic and config.batch >= n and network.samples >= n
        full = full and config.forwards
        forwarded = False
        if full:
            for row in range(n):
                present_to_all(strip.A, lanes, network.samples, row, table, row)
        # No step is pending yet: clear what the first one adds.
        flush(strip, network, config.bias, False)
        for done in range(epochs):
            if config.refill:
                moved = ended.filled[1] + waiting.filled[0]
                last = budget - per_epoch
                if not exchange(strip, network, config.eval_every, last, waiting, ended):
                    return
                forwarded = forwarded and ended.filled[1] + waiting.filled[0] == moved
            set_rates(strip, config)
            if not config.cyclic:
                arguments = (strip.rows, n, strip.seeds, strip.epochs)
                call(setting.draw, (*arguments, *config.order_arguments))
            updates = per_epoch if config.refill else min(per_epoch, budget - strip.updates[0])
            epoch(strip, setting, updates, full, forwarded)
            furthest = 0
            for lane in range(len(strip.epochs)):
                strip.epochs[lane] += 1
                strip.updates[lane] += updates
                if strip.running[lane] or not config.refill:
                    furthest = max(furthest, strip.updates[lane])
            due = strip.epochs[0] % config.eval_every == 0
            evaluates = due or furthest >= budget
            if evaluates or done + 1 == epochs or (config.refill and furthest > budget - per_epoch):
                flush(strip, network, config.bias, True)
            forwarded = evaluates and full
            if forwarded:
                forward(strip.block, strip.A, network, n)
            if evaluates:
                evaluate(strip, setting, due, budget, forwarded)

    return advance


@inlined
def set_rates(strip: Any, config: Any) -> None:
    """Look up the learning rate of the present epoch of every lane."""
    lanes, last = len(strip.rate), len(config.rates) - 1
    for lane in range(lanes):
        store_lane(strip.last_rate, lane, load_lane(strip.rate, lane))
    if last == 0 or not config.refill:
        # One rate for all lanes: looking it up for each of them takes 1% of the time.
        current = load_table(config.rates, min(strip.epochs[0], last))
        for lane in range(lanes):
            store_lane(strip.rate, lane, current)
    else:
        for lane in range(lanes):
            epoch = min(load_lane(strip.epochs, lane), last)
            store_lane(strip.rate, lane, load_table(config.rates, epoch))


@shared
def exchange(strip: Any, network: Any, eval_every: Any, last: Any, waiting: Any, ended: Any) -> Any:
    """Take ended runs out of their lanes and put waiting ones in, between two epochs.

    A run has ended when it has converged or diverged, or done more than `last` updates, so that it
    has no complete epoch left. Lanes take a run only where an evaluation is due, so that all lanes
    are evaluated at the same epochs. Returns whether to go on.
    """
    lanes, columns = len(strip.seeds), len(ended.seeds)
    size = network.rows * lanes
    for lane in range(lanes):
        over = strip.converged_at[lane] != UNDECIDED or strip.updates[lane] > last
        if strip.running[lane] and over:
            column = ended.filled[1]
            if column == columns:
                return False
            place = column // lanes * size + column % lanes
            for row in range(0, size, lanes):
                ended.block[place + row] = strip.block[row + lane]
            ended.seeds[column] = strip.seeds[lane]
            ended.updates[column] = strip.updates[lane]
            ended.converged_at[column] = strip.converged_at[lane]
            ended.filled[1] = column + 1
            strip.running[lane] = False
            strip.converged_at[lane] = 0  # so that no evaluation takes this lane
    if not strip.running.any():
        strip.epochs[0] = 0  # no run is left whose evaluations others must keep in step with
    due = strip.epochs[0] % eval_every == 0
    for lane in range(lanes):
        if due and not strip.running[lane] and waiting.filled[0] < waiting.filled[1]:
            column = waiting.filled[0]
            place = column // lanes * size + column % lanes
            for row in range(0, size, lanes):
                strip.block[row + lane] = waiting.block[place + row]
            strip.seeds[lane] = waiting.seeds[column]
            strip.updates[lane] = 0
            strip.epochs[lane] = 0
            strip.converged_at[lane] = UNDECIDED
            strip.running[lane] = True
            waiting.filled[0] = column + 1
    more = waiting.filled[1] == columns and waiting.filled[0] == columns
    return strip.running.any() and not (due and more)


def make_draw(lanes: int, order: Callable[..., Any], name: str) -> Any:
    """Make what `advance` calls to draw the rows of an epoch, for an order of this name."""
    order = inlined(order)

    def draw(rows: Any, n: Any, seeds: Any, epochs: Any, integers: Any, reals: Any) -> None:
        order((integers, reals), (rows, n, lanes, seeds, epochs))

    rows, seeds, numbers, reals = map(types.CPointer, (int32, uint64, int64, float64))
    return by_address(draw, (rows, int64, seeds, numbers, numbers, reals), "draw", lanes, name)


def make_initialise(init: Callable[..., Any], name: str) -> Any:
    """Make the kernel that draws initial weights by an init; `name` tells it from others."""
    draw = inlined(init)

    @kernel("initialise", name)
    def initialise(
        block: Any, seeds: Any, network: Any, arguments: Any, scale: Any, fixed: Any
    ) -> None:
        """Draw the parameters of every lane of a strip.

        They are drawn in float64, in the order layer, unit, input, then the biases of the layer.
        Unless `fixed` is NaN all biases are `fixed`, and their draws are skipped. float32 blocks
        get the float64 values rounded once.
        """
        lanes, kind = len(seeds), block.dtype.type
        for at in range(len(network.layers)):
            layer = layer_of(network, at)
            for row in range(layer.weights, layer.biases + layer.units):
                for lane in range(lanes):
                    u = uniform(seeds[lane], WEIGHT_STREAM, np.uint64(0), row)
                    is_bias = row >= layer.biases
                    place = (u, scale, layer.inputs, layer.units, is_bias, seeds[lane], row)
                    drawn = not is_bias or math.isnan(fixed)
                    value = draw(arguments, place) if drawn else fixed
                    block[row * lanes + lane] = kind(value)

    return initialise


def make_rates(schedule: Callable[..., Any], name: str) -> Any:
    """Make the kernel that computes learning rates by a schedule; `name` tells it from others."""
    factor_of = inlined(schedule)

    @kernel("rates", name)
    def rates(lr: Any, arguments: Any, warmup: Any, epochs: Any, out: Any) -> None:
        """Fill `out`, float64 [epoch], with the learning rates of a run of `epochs` epochs.

        They rise in the first `warmup` epochs.
        """
        factor = 1.0
        for epoch in range(len(out)):
            if epoch < warmup:
                out[epoch] = lr * (epoch + 1) / (warmup + 1)
            else:
                factor = factor_of(arguments, (factor, epoch - warmup, epochs - warmup))
                out[epoch] = lr * factor

    return rates
