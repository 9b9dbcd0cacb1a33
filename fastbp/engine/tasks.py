"""Prepare setups for the kernels, which are compiled functions, and find the kernels needed."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices import optimizers
from fastbp.choices.families import FAMILIES, compiled_choice, parameter_arrays
from fastbp.config.choice_syntax import read_call
from fastbp.config.setup import Setup
from fastbp.kernels.evaluation import make_losses
from fastbp.kernels.goals import Targets, targets_of
from fastbp.kernels.layout import Network, Table, network, table
from fastbp.kernels.measures import make_measure
from fastbp.kernels.minibatch import make_output_deltas
from fastbp.kernels.optimizer import Optimizer
from fastbp.kernels.tiles import TILE, lanes_in_vector, tile_for
from fastbp.kernels.training import (
    TrainingConfig,
    make_advance,
    make_initialise,
    make_rates,
)
from fastbp.kernels.units import Pair
from fastbp.problems.problem import Kept

MANY_BYTES = 400_000
"""The largest block of a group with many lanes, in bytes (weights and biases, with velocities and
gradients if they are kept): a larger one does not fit into the second-level cache."""

GROUP_BYTES = 300_000_000
"""The most memory, in bytes, of the networks of a group, and of their outputs for all rows."""

STRIP_BYTES = 300_000
"""With batches, the most memory, in bytes, of a strip (the lanes that one call of a kernel trains)
that is three cache lines wide. A strip that would need more is one cache line wide."""

ONE_ROW_BYTES = 40_000
"""With batches of one row, the most memory, in bytes, of a strip that is seven cache lines wide:
about a first-level cache. Updates of so few numbers are quick beside their calls, which more lanes
share."""

SAMPLES = 16
"""The most samples of a batch that are processed at once. Together they load a weight and store its
gradient once."""


class KernelKey(NamedTuple):
    """The properties of a setup that its kernels are compiled for. All others are arguments."""

    dtype: str
    strip: int
    """Number of lanes, each with a run, that one call of a kernel trains side by side."""
    activations: tuple[str, ...]
    """The activations of all layers, each once, that of the outputs included."""
    output: str
    optimizer: str
    """A choice with its parameters; "momentum" or "nesterov" for these forms of `sgd`, or "online"
    for one that changes the weights with each row."""
    tile: tuple[int, int]
    """Rows and columns of the tiles into which matrix products are cut, in batches."""
    init: str
    order: str
    loss: str
    success: str
    """The criterion of success, by the name of a choice."""


_measure, _advance = cache(make_measure), cache(make_advance)


@cache
def of_choice(make: Callable[..., Any], family: str, name: str, *first: Any) -> Any:
    """Make the compiled code of a choice, by its family and its name; `first`: as `make` takes."""
    return make(*first, compiled_choice(family, name), name)


@cache
def activation(spelling: str) -> Pair:
    """The activation of this name with its parameters, and its slope."""
    call = read_call(FAMILIES["activation"], spelling)
    f, slope, values = call.choice.function, call.choice.mark("slope"), call.values
    return (lambda z: f(z, *values)), (lambda a: slope(a, *values))


@cache
def optimizer_of(name: str) -> Optimizer | None:
    """The optimiser of a `KernelKey`; None for "online"."""
    if name == "online":
        return None
    if name in optimizers.OF_SGD:
        return optimizers.OF_SGD[name]()
    call = read_call(FAMILIES["optimizer"], name)
    made: Optimizer = call.choice.function(*call.values)
    return made


@cache
def losses(dtype: str, loss: str, output: str) -> Any:
    """Return the compiled function that computes the losses of output units."""
    choice, is_softmax = FAMILIES["loss"].choices[loss], output == "softmax"
    return make_losses(
        dtype,
        choice.mark("of_softmax") if is_softmax else choice.function,
        f"{loss},{is_softmax}",
    )


@cache
def output_deltas(dtype: str, loss: str, output: str, weighted: bool = False) -> Any:
    """Return the compiled function that computes δ, the error signals, of output units."""
    return make_output_deltas(
        dtype,
        FAMILIES["loss"].choices[loss].mark("delta"),
        FAMILIES["output"].choices[output].mark("slope"),
        f"{loss},{output}",
        weighted,
    )


class Kernels(NamedTuple):
    """The large kernels of a setup, compiled when they are first called.

    `initialise` draws initial weights, `measure` measures networks, and `advance` trains them. The
    smaller functions that they call are compiled when they are made.
    """

    initialise: Any
    measure: Any
    advance: Any


def kernels(key: KernelKey) -> Kernels:
    """Return the kernels for a key."""
    name = ",".join((*key.activations, key.output))
    pairs, is_softmax = tuple(map(activation, key.activations)), key.output == "softmax"
    common = key.strip, key.dtype, pairs, is_softmax
    return Kernels(
        of_choice(make_initialise, "init", key.init),
        _measure(*common, name),
        _advance(
            *common,
            optimizer_of(key.optimizer),
            key.tile,
            key.success,
            f"{name},{key.optimizer}",
        ),
    )


class Task(NamedTuple):
    """What kernels need to know about a setup, prepared once for all its runs."""

    setup: Setup
    key: KernelKey
    lanes: int
    """Number of runs in a group, one in each lane."""
    network: Network
    """The layout of the memory in which runs are trained."""
    measured: Network
    """The layout of the memory in which networks are measured."""
    table: Table
    """Inputs and targets in the dtype of the setup."""
    targets: Targets
    config: TrainingConfig
    limits: NDArray[np.float64]
    """The activations of each hidden layer between which a unit is not saturated, [layer, 2]."""
    held_out: tuple[Table, Targets] | None
    """Table and targets of the rows that are held out."""

    @property
    def nbytes(self) -> int:
        """The bytes that its data take."""
        return int(
            self.setup.source.nbytes
            + self.table.values.nbytes
            + (self.held_out[0].values.nbytes if self.held_out else 0)
        )

    @property
    def judged(self) -> tuple[Table, Targets]:
        """Table and targets of the rows on which success is judged."""
        return (
            self.held_out
            if self.setup.success_on == "test" and self.held_out
            else (self.table, self.targets)
        )


TASKS: Kept[Task] = Kept(lambda made: made.nbytes)


def task(setup: Setup, lanes: int | None = None, most: int | None = None) -> Task:
    """Prepare a setup for the kernels, or take what was prepared before.

    By default the memory that a run needs decides the number of lanes; a given number is rounded up
    to whole vectors. `most`: the most updates that a run will have, if that is known.
    """
    return TASKS.get((setup, lanes, most), lambda: _task(setup, lanes, most))


def _task(setup: Setup, lanes: int | None, most: int | None) -> Task:
    dtype = np.dtype(setup.dtype)
    data, order, goal = setup.training(), setup.calls["order"], setup.calls["success"]
    held_out = setup.held_out()
    net, suggested = layout(setup)
    vector = lanes_in_vector(dtype)
    lanes = -(-lanes // vector) * vector if lanes else suggested
    aim = goal.choice.function(setup.tolerance, *goal.values)
    tested = held_out and (
        table(*held_out, dtype),
        targets_of(held_out.T, dtype, aim, setup.groups, data.T),
    )
    return Task(
        setup,
        kernel_key(setup, lanes),
        lanes,
        network=net,
        measured=measured_network(setup),
        table=table(*data, dtype, setup.row_weights()),
        targets=targets_of(data.T, dtype, aim, setup.groups),
        config=TrainingConfig(
            batch=setup.batch_rows,
            mean=setup.reduction == "mean",
            bias=setup.bias,
            cyclic=is_cyclic(setup),
            rates=rates(setup, most).astype(dtype, copy=False),
            momentum=dtype.type(setup.momentum),
            weight_decay=dtype.type(setup.weight_decay),
            prime_offset=dtype.type(setup.prime_offset),
            order_arguments=parameter_arrays(order.choice, order.values),
            eval_every=setup.eval_interval,
            forwards=setup.success_on == "train" and goal.choice.name != "loss",
            refill=setup.stop == "converged",
        ),
        limits=_limits(setup),
        held_out=tested,
    )


def _limits(setup: Setup) -> NDArray[np.float64]:
    """The activations between which hidden units are not saturated, −∞ and ∞ where they cannot."""
    choices = [FAMILIES["activation"].choices[name.partition(":")[0]] for name in setup.activations]
    return np.array([each.mark("saturates", (-np.inf, np.inf)) for each in choices])


def is_cyclic(setup: Setup) -> bool:
    """Whether all runs of a setup visit the rows in the order of the problem in every epoch."""
    order = setup.calls["order"]
    return setup.resolved_order == "cyclic" or (
        order.choice.name == "blocked" and order.values[0] == 1
    )


def optimizer(setup: Setup) -> str:
    """The optimiser of a setup, as in `KernelKey`."""
    if setup.optimizer != "sgd":
        return setup.optimizer
    if setup.nesterov:
        return "nesterov"
    if setup.momentum or setup.weight_decay or (setup.batch_rows > 1 and setup.reduction == "mean"):
        return "momentum"
    return "online" if setup.batch_rows == 1 else "sgd"


def units(setup: Setup) -> tuple[tuple[str, ...], list[int]]:
    """The activations of a setup, each once, and for each layer the position of its own."""
    layers = (*setup.activations, "linear" if setup.output == "softmax" else setup.output)
    each = tuple(dict.fromkeys(layers))
    return each, [each.index(name) for name in layers]


def measured_network(setup: Setup) -> Network:
    """The layout of the memory in which the networks of a setup are measured."""
    return network(
        setup.sizes,
        _equal_parts(setup.rows),
        activations=units(setup)[1],
        gradient=True,
        weighted=setup.class_weight != "none",
    )


def _equal_parts(rows: int) -> int:
    """The number of rows in a part, if rows are cut into equal parts of at most `SAMPLES`."""
    return -(-rows // -(-rows // SAMPLES))


def layout(setup: Setup) -> tuple[Network, int]:
    """The layout of the memory in which a setup is trained, and its suggested number of lanes."""
    samples, chosen = _equal_parts(setup.batch_rows), optimizer_of(optimizer(setup))
    net = network(
        setup.sizes,
        samples,
        activations=units(setup)[1],
        states=chosen.states if chosen else 0,
        counts=2 * len(chosen.decays) if chosen else 0,
        gradient=setup.batch_rows > samples,
        alternates=chosen is None,
        weighted=setup.class_weight != "none",
    )
    dtype = np.dtype(setup.dtype)
    lanes = suggested_lanes(net, dtype)
    outputs = max(setup.rows, setup.test_rows) * setup.sizes[-1] * 8  # of a network, in bytes
    if setup.test_split == "seed" or max(outputs, net.rows * dtype.itemsize) * lanes > GROUP_BYTES:
        return net, lanes_in_vector(dtype)  # one run at a time, or as few as there can be
    return net, lanes


def task_of_run(setup: Setup, seed: int, most: int | None = None) -> Task:
    """Prepare a setup as `task` does, with the rows that the run of a seed is trained on."""
    return task(setup.for_seed(seed), layout(setup)[1], most)


def suggested_lanes(net: Network, dtype: np.dtype[Any]) -> int:
    """Suggest a number of lanes: many, but few for networks of several hundred weights.

    The smallest block of runs is a multiple of both numbers. The lanes fill an odd number of cache
    lines, so that the rows of a block do not compete for the same few sets of the cache.
    """
    many, few = (168, 56) if dtype.itemsize == 8 else (336, 112)
    return many if net.rows * many * dtype.itemsize <= MANY_BYTES else few


def kernel_key(setup: Setup, lanes: int | None = None) -> KernelKey:
    """The key of the kernels that a setup needs, for this number of lanes or the suggested one."""
    net, suggested = layout(setup)
    lanes, chosen = lanes or suggested, optimizer(setup)
    strip = lanes if chosen == "online" else _strip(net, lanes, np.dtype(setup.dtype))
    names = (setup.calls[key].choice.name for key in ("init", "order", "loss", "success"))
    init, order, loss, success = names
    order = "cyclic" if is_cyclic(setup) else order
    tile = TILE if chosen == "online" else tile_for(setup.sizes[1:], net.samples)
    return KernelKey(
        setup.dtype, strip, units(setup)[0], setup.output, chosen, tile, init, order, loss, success
    )


def _strip(net: Network, lanes: int, dtype: np.dtype[Any]) -> int:
    """Choose the lanes of a strip, for batches: a divisor of `lanes` so that it fits the cache."""
    line, memory = 64 // dtype.itemsize, 64 * (net.rows + net.work_rows)
    sizes = (
        (7 * line, net.samples == 1 and 7 * memory <= ONE_ROW_BYTES),
        (3 * line, 3 * memory <= STRIP_BYTES),
        (line, True),
        (lanes_in_vector(dtype), True),
    )
    return next(size for size, fits in sizes if fits and lanes % size == 0)


def rate_count(setup: Setup, most: int | None = None) -> int:
    """The number of epochs that have learning rates of their own; `most` is as in `task`."""
    epochs = (
        setup.warmup + 1
        if setup.calls["schedule"].choice.name == "constant"
        else setup.epochs_budget
    )
    return epochs if most is None else min(epochs, most // setup.updates_per_epoch + 1)


def rates(setup: Setup, most: int | None = None) -> NDArray[np.float64]:
    """The learning rates of a setup, float64 [epoch]; epochs after the last entry have its rate.

    `most` is as in `task`: epochs that no run will reach have no entry.
    """
    rate = 1.0 if setup.lr is None else float(setup.lr)  # an optimiser without one ignores it
    schedule = setup.calls["schedule"]
    if schedule.choice.name == "constant" and not setup.warmup:
        return np.array([rate])  # needs no compiling
    out = np.empty(rate_count(setup, most))
    arguments = parameter_arrays(schedule.choice, schedule.values)
    of_choice(make_rates, "schedule", schedule.choice.name)(
        rate, arguments, setup.warmup, setup.epochs_budget, out
    )
    return out
