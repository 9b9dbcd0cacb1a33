"""Evaluations: which runs have converged."""

from typing import Any

import numpy as np

from fastbp.kernels.jit import inlined, shared
from fastbp.kernels.layout import lanes_of, layer_of
from fastbp.kernels.memory import load_lane, load_number, load_table, store_lane
from fastbp.kernels.minibatch import weighted_sums
from fastbp.kernels.tiles import COLUMN, any_lane, elementwise, fill, load, store
from fastbp.kernels.units import Units
from fastbp.kernels.vector_ir import choose, like


@elementwise
def _if_within(pending: Any, o: Any, below: Any, above: Any) -> Any:
    """`pending` where o lies between the bounds, else 0; NaN does not."""
    nothing = like(o, 0.0)
    return choose(o > below, choose(o < above, pending, nothing), nothing)


@elementwise
def _if_above(pending: Any, o: Any, other: Any) -> Any:
    """`pending` where o is larger than another output, else 0."""
    return choose(o > other, pending, like(o, 0.0))


@elementwise
def _if_at_most(pending: Any, low: Any, high: Any) -> Any:
    """`pending` where one number is at most the other, else 0."""
    return choose(low <= high, pending, like(low, 0.0))


def evaluator(lanes: int, vector: int, units: Units, success: str, value: Any = None) -> Any:
    """Make the evaluation of a strip.

    It sets `converged_at` of lanes that have just converged: all weights are finite, and the goal
    is reached. It takes vectors of lanes one by one.

    Parameters
    ----------
    lanes, vector : int
        Lanes of a strip and of a vector.
    units : Units
        Those of the networks.
    success : {"rows", "accuracy", "r2", "loss"}
        The criterion of the goal.
    value : callable
        With "loss", the loss of one output unit.
    """
    forward = row_forward(lanes, units, with_nets=success == "loss")
    drop_constant = constant_dropper(lanes, vector, forward)
    if success == "rows":
        judge_vector = all_rows_right(lanes, forward)
    elif success == "accuracy":
        judge_vector = few_rows_wrong(lanes, forward)
    else:
        judge_vector = small_sum(lanes, vector, forward, value)

    @shared
    def evaluate(strip: Any, setting: Any, due: Any, budget: Any, forwarded: Any) -> None:
        """Evaluate lanes at the end of their budget, or all of them where an evaluation is due.

        `forwarded`: the samples in A are all rows, with their activations.
        """
        yes, no = like(strip.block[0], 1.0), like(strip.block[0], 0.0)
        for lane in range(len(strip.pending)):
            ends = due or load_lane(strip.updates, lane) >= budget
            waits = ends and load_lane(strip.converged_at, lane) < 0
            store_lane(strip.pending, lane, yes if waits else no)
        for lane in range(0, lanes_of(strip.block, lanes), vector):
            if any_lane(load(strip.pending, lane, 1, 0, 1, 0)):
                judge_vector(strip, setting, lane, forwarded)
                if success != "rows":
                    drop_constant(strip, setting, lane, forwarded)
        for lane in range(len(strip.pending)):
            pending = strip.pending[lane] != 0
            if pending and has_finite_weights(strip.block, lanes, setting.network, lane):
                strip.converged_at[lane] = strip.updates[lane]

    return evaluate


def row_forward(lanes: int, units: Units, with_nets: bool) -> Any:
    """Make the forward pass of a row in one vector of lanes, as the first sample.

    It returns the number of the sample: with `forwarded` the row has its activations already, in
    the sample of its number. `with_nets`: also store net_k of the output units, in `strip.nets`.
    """
    rows, f, finish = COLUMN[0], units.f, units.finish

    def layer_pass(height: int) -> Any:
        net = weighted_sums(lanes, height, 1)

        @inlined
        def activate(strip: Any, samples: Any, layer: Any, k: Any, lane: Any, is_last: Any) -> None:
            z = net(strip.block, strip.A, layer, samples, k, 0, lane)
            a = (layer.activations + k) * samples * lanes + lane
            store(strip.A, a, samples * lanes, 0, f(layer.activation, z))
            if with_nets and is_last:
                store(strip.nets, k * lanes + lane, lanes, 0, z)

        return activate

    several, single = layer_pass(rows), layer_pass(1)

    @inlined
    def forward(strip: Any, setting: Any, row: Any, lane: Any, forwarded: Any) -> Any:
        if forwarded:
            return row
        network, table = setting.network, setting.judged_table
        samples, last = network.samples, len(network.layers) - 1
        for i in range(network.targets):
            value = load_table(table.values, i * table.rows + row)
            store(strip.A, i * samples * lanes + lane, 0, 0, fill(strip.A, value))
        for at in range(last + 1):
            layer = layer_of(network, at)
            end = layer.units // rows * rows
            for k in range(0, end, rows):
                several(strip, samples, layer, k, lane, at == last)
            for k in range(end, layer.units):
                single(strip, samples, layer, k, lane, at == last)
        finish(strip.A, layer_of(network, last), samples, 0, lane)
        return 0

    return forward


@inlined
def load_output(A: Any, network: Any, k: Any, sample: Any, lanes: Any, lane: Any) -> Any:
    """Load output unit k of a sample, in one vector."""
    layer = layer_of(network, len(network.layers) - 1)
    return load(A, ((layer.activations + k) * network.samples + sample) * lanes + lane, 1, 0, 1, 0)


@inlined
def if_within(left: Any, A: Any, o: Any, targets: Any, i: Any) -> Any:
    """Keep `left` where output o is within its bounds, which have index i, else 0."""
    below, above = load_table(targets.below, i), load_table(targets.above, i)
    return _if_within(left, o, fill(A, below), fill(A, above))


def all_rows_right(lanes: int, forward: Any) -> Any:
    """Make the judge of "rows": every output of every row is within its bounds.

    It takes first the row that ruled this vector out last time, then the others in the order of
    `targets.row_order`, until no lane of the vector can have converged.
    """

    @inlined
    def judge_vector(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        targets, units = setting.judged_targets, len(setting.judged_targets.ranges)
        left = load(strip.pending, lane, 1, 0, 1, 0)
        tried, row = 0, strip.telling[lane]
        while any_lane(left):
            sample = forward(strip, setting, row, lane, forwarded)
            for k in range(units):
                o = load_output(strip.A, setting.network, k, sample, lanes, lane)
                left = if_within(left, strip.A, o, targets, row * units + k)
            strip.telling[lane] = row
            if tried == len(targets.row_order):
                break
            row = targets.row_order[tried]
            tried += 1
        store(strip.pending, lane, 0, 0, left)

    return judge_vector


def few_rows_wrong(lanes: int, forward: Any) -> Any:
    """Make the judge of "accuracy": few enough rows have a wrong label.

    It stops once every lane of the vector has too many of them.
    """

    @inlined
    def if_right(left: Any, strip: Any, setting: Any, row: Any, sample: Any, lane: Any) -> Any:
        A, network, targets = strip.A, setting.network, setting.judged_targets
        for label in range(len(targets.groups)):
            first, units = targets.groups[label, 0], targets.groups[label, 1]
            best = first + targets.classes[row * len(targets.groups) + label]
            o = load_output(A, network, best, sample, lanes, lane)
            if units == 1:
                left = if_within(left, A, o, targets, row * len(targets.ranges) + first)
            for k in range(first, best):
                left = _if_above(left, o, load_output(A, network, k, sample, lanes, lane))
            for k in range(best + 1, first + units):
                left = _if_at_most(left, load_output(A, network, k, sample, lanes, lane), o)
        return left

    @inlined
    def judge_vector(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        left = load(strip.pending, lane, 1, 0, 1, 0)
        one, wrong = fill(strip.A, like(strip.A[0], 1.0)), fill(strip.A, like(strip.A[0], 0.0))
        row, rows = 0, len(setting.judged_targets.row_order)
        most = fill(strip.A, setting.judged_targets.most_wrong)
        while row < rows and any_lane(left):
            sample = forward(strip, setting, row, lane, forwarded)
            wrong = wrong + (one - if_right(one, strip, setting, row, sample, lane))
            left = _if_at_most(left, wrong, most)
            row += 1
        store(strip.pending, lane, 0, 0, left)

    return judge_vector


def small_sum(lanes: int, vector: int, forward: Any, value: Any) -> Any:
    """Make the judge of "r2" and "loss": the sum of a cost over the rows is small enough.

    The sums are in float64 and have the same bits as those of the measures. `value`: the loss of
    one output unit; None for "r2".
    """
    value = value and inlined(value)

    @inlined
    def add_loss(strip: Any, setting: Any, row: Any, a: Any, lane: Any) -> None:
        targets, step = setting.judged_targets, setting.network.samples * lanes
        for i in range(lane, lane + vector):
            total = 0.0
            for k in range(len(targets.ranges)):
                z = np.float64(load_number(strip.nets, k * lanes + i))
                o = np.float64(load_number(strip.A, a + k * step + i))
                total += value(z, o, targets.values[row, k])
            store_lane(strip.costs, i, load_lane(strip.costs, i) + total)

    @inlined
    def add_square(strip: Any, setting: Any, row: Any, a: Any, lane: Any) -> None:
        step, end = setting.network.samples * lanes, lane + vector
        add_squares(strip.costs, lane, end, strip.A, a, step, setting.judged_targets, row)

    add = add_loss if value else add_square
    reaches = _loss_reaches if value else _r2_reaches

    @inlined
    def judge_vector(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        network, targets = setting.network, setting.judged_targets
        layer, rows = layer_of(network, len(network.layers) - 1), len(targets.row_order)
        for i in range(lane, lane + vector):
            store_lane(strip.costs, i, 0.0)
        for row in range(rows):
            sample = forward(strip, setting, row, lane, forwarded)
            add(strip, setting, row, (layer.activations * network.samples + sample) * lanes, lane)
        for i in range(lane, lane + vector):
            if not reaches(load_lane(strip.costs, i), rows, targets.level[0]):
                store_lane(strip.pending, i, like(strip.block[0], 0.0))

    return judge_vector


def constant_dropper(lanes: int, vector: int, forward: Any) -> Any:
    """Make what takes back the success of networks that give every row the same labels.

    Of a vector it looks at rows in the order of `targets.row_order`, so that two rows usually do.
    Where a quantity varies there is more to a network than its labels.
    """

    @inlined
    def differs(strip: Any, setting: Any, sample: Any, lane: Any, is_first: Any) -> Any:
        """Whether a lane gives a row another label than the first row, whose labels it keeps."""
        network, targets = setting.network, setting.judged_targets
        layer = layer_of(network, len(network.layers) - 1)
        step, answer = network.samples * lanes, False
        for label in range(len(targets.groups)):
            first, units = targets.groups[label, 0], targets.groups[label, 1]
            place = (layer.activations + first) * step + sample * lanes + lane
            chosen = 0
            if units == 1 and np.float64(load_number(strip.A, place)) >= targets.middles[first]:
                chosen = 1
            for k in range(1, units):
                best = load_number(strip.A, place + chosen * step)
                chosen = k if load_number(strip.A, place + k * step) > best else chosen
            if is_first:
                strip.labels[label * lanes + lane] = chosen
            answer = answer or strip.labels[label * lanes + lane] != chosen
        return answer

    @shared
    def drop(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        targets, end = setting.judged_targets, lane + vector
        undecided, tried = len(targets.groups) > 0, 0
        for k in range(len(targets.scales)):
            undecided = undecided and targets.scales[k] == 0.0
        for i in range(lane, end):
            strip.costs[i] = 0.0 if undecided and strip.pending[i] != 0 else 1.0
        while undecided and tried < len(targets.row_order):
            undecided = False
            sample = forward(strip, setting, targets.row_order[tried], lane, forwarded)
            for i in range(lane, end):
                if strip.costs[i] == 0.0 and differs(strip, setting, sample, i, tried == 0):
                    strip.costs[i] = 1.0
                undecided = undecided or strip.costs[i] == 0.0
            tried += 1
        for i in range(lane, end):
            if strip.costs[i] == 0.0:
                strip.pending[i] = 0

    return drop


@inlined
def _loss_reaches(total: Any, rows: Any, level: Any) -> Any:
    return total / rows <= level


@inlined
def _r2_reaches(total: Any, rows: Any, level: Any) -> Any:
    return 1.0 - total >= level


@inlined
def add_squares(
    sums: Any, first: Any, end: Any, A: Any, a: Any, step: Any, targets: Any, row: Any
) -> None:
    """Add what a row adds to 1 − R² to the sums of lanes first … end − 1, float64.

    Output k of lane i lies in A at a + k·step + i.
    """
    for k in range(len(targets.scales)):
        target, scale = targets.values[row, k], targets.scales[k]
        for i in range(first, end):
            error = np.float64(load_number(A, a + k * step + i)) - target
            store_lane(sums, i, load_lane(sums, i) + scale * error * error)


@inlined
def has_finite_weights(P: Any, lanes: Any, network: Any, lane: Any) -> Any:
    """Whether all parameters of a lane are finite."""
    finite = True
    for row in range(network.parameters):
        w = P[row * lanes + lane]
        finite = finite and w > like(w, -np.inf) and w < like(w, np.inf)
    return finite
