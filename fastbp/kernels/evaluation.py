"""Evaluations: which runs have converged or diverged."""

from functools import cache
from typing import Any

import numpy as np
from numba import float64, from_dtype, int64, types

from fastbp.kernels.jit import by_address, call, inlined, shared
from fastbp.kernels.layout import lanes_of, layer_of
from fastbp.kernels.memory import load_lane, load_number, load_table, store_lane
from fastbp.kernels.minibatch import weighted_sums
from fastbp.kernels.tiles import COLUMN, any_lane, elementwise, fill, load, store
from fastbp.kernels.units import Units, larger
from fastbp.kernels.vector_ir import choose, like

UNDECIDED, DIVERGED = -1, -2
"""What `converged_at` is of runs that have not converged."""


@elementwise
def _if_within(pending: Any, o: Any, below: Any, above: Any) -> Any:
    """`pending` where o lies between the bounds, else 0; NaN does not."""
    nothing = like(o, 0.0)
    return choose(o > below, choose(o < above, pending, nothing), nothing)


@elementwise
def _if_equal(pending: Any, a: Any, b: Any) -> Any:
    """`pending` where two numbers are equal, else 0."""
    return choose(a == b, pending, like(a, 0.0))


@elementwise
def _if_at_most(pending: Any, low: Any, high: Any) -> Any:
    """`pending` where one number is at most the other, else 0."""
    return choose(low <= high, pending, like(low, 0.0))


@elementwise
def _best_unit(best: Any, o: Any, k: Any, chosen: Any) -> Any:
    """Unit k where its output is larger than the best one so far, else the chosen unit."""
    return choose(o > best, k, chosen)


@cache
def evaluator(lanes: int, vector: int, units: Units, success: str) -> Any:
    """Make the evaluation of a strip.

    It sets `converged_at` of lanes that have just converged: all weights are finite, and the goal
    is reached. It takes vectors of lanes one by one. Whether a run has diverged is looked up at
    the first evaluation at or after epoch 1, 2, 4, 8, …: this costs nothing, and such a run goes
    on for no more than twice as long as it had to.

    Parameters
    ----------
    lanes, vector : int
        Lanes of a strip and of a vector.
    units : Units
        Those of the networks.
    success : {"rows", "accuracy", "r2", "loss"}
        The criterion of the goal.
    """
    forward = row_forward(lanes, units, with_nets=success == "loss")
    if success == "rows":
        judge_vector = all_rows_right(lanes, forward)
    else:
        judge_vector = good_enough(lanes, vector, success, forward)

    @shared
    def evaluate(strip: Any, setting: Any, due: Any, budget: Any, forwarded: Any) -> None:
        """Evaluate lanes at the end of their budget, or all of them where an evaluation is due.

        `forwarded`: the samples in A are all rows, with their activations.
        """
        yes, no = like(strip.block[0], 1.0), like(strip.block[0], 0.0)
        network = setting.network
        for lane in range(len(strip.pending)):
            ends = due or load_lane(strip.updates, lane) >= budget
            waits = ends and load_lane(strip.converged_at, lane) == UNDECIDED
            epoch = load_lane(strip.epochs, lane)
            before = epoch - setting.config.eval_every
            doubled = due and (epoch ^ before) > before  # a higher bit is set than before
            if waits and doubled and not has_finite_weights(strip.block, lanes, network, lane):
                strip.converged_at[lane] = DIVERGED
                waits = False
            store_lane(strip.pending, lane, yes if waits else no)
        for lane in range(0, lanes_of(strip.block, lanes), vector):
            if any_lane(load(strip.pending, lane, 1, 0, 1, 0)):
                judge_vector(strip, setting, lane, forwarded)
        for lane in range(len(strip.pending)):
            pending = strip.pending[lane] != 0
            if pending and has_finite_weights(strip.block, lanes, network, lane):
                strip.converged_at[lane] = strip.updates[lane]

    return evaluate


@cache
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
            store(strip.A, i * samples * lanes + lane, 0, 0, fill(strip.A, value, 1, 1))
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
def label_of(A: Any, network: Any, targets: Any, label: Any, sample: Any, place: Any) -> Any:
    """The class that outputs decide for, one vector: the first of the largest in a group.

    With a single unit it is 1 where the output is not below the middle, else 0. `place`: (lanes,
    lane).
    """
    lanes, lane = place
    first, units = targets.groups[label, 0], targets.groups[label, 1]
    best, chosen = load_output(A, network, first, sample, lanes, lane), fill(A, 0.0, 1, 1)
    if units == 1:
        return _if_at_most(fill(A, 1.0, 1, 1), fill(A, targets.thresholds[first], 1, 1), best)
    for k in range(1, units):
        o = load_output(A, network, first + k, sample, lanes, lane)
        chosen = _best_unit(best, o, fill(A, k, 1, 1), chosen)
        best = larger(best, o)
    return chosen


@cache
def all_rows_right(lanes: int, forward: Any) -> Any:
    """Make the judge of "rows": every output of every row is within its bounds.

    It takes first the row that ruled this vector out last time, then the others in the order of
    `targets.row_order`, until no lane of the vector can have converged.
    """

    @inlined
    def judge_vector(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        targets, units = setting.judged_targets, len(setting.judged_targets.ranges)
        left = load(strip.pending, lane, 1, 0, 1, 0)
        tried, row = 0, strip.last_failing_row[lane]
        while any_lane(left):
            sample = forward(strip, setting, row, lane, forwarded)
            for k in range(units):
                o = load_output(strip.A, setting.network, k, sample, lanes, lane)
                below, above = targets.below[row * units + k], targets.above[row * units + k]
                left = _if_within(left, o, fill(strip.A, below, 1, 1), fill(strip.A, above, 1, 1))
            strip.last_failing_row[lane] = row
            if tried == len(targets.row_order):
                break
            row = targets.row_order[tried]
            tried += 1
        store(strip.pending, lane, 0, 0, left)

    return judge_vector


@cache
def good_enough(lanes: int, vector: int, success: str, forward: Any) -> Any:
    """Make the judge of the other criteria, by numbers that it adds up over the rows.

    For "accuracy" it counts rows with a wrong label, and stops once every lane of the vector has
    too many of them. For "r2" and "loss" it adds up costs in float64, with the bits of the
    measures. A network that gives every row the same labels has not converged; where a quantity
    varies there is more to a network than its labels.
    """
    counts = success == "accuracy"
    is_r2 = success == "r2"
    add = add_squares if is_r2 else add_losses

    @inlined
    def if_right(
        right: Any,
        chosen: Any,
        strip: Any,
        setting: Any,
        label: Any,
        row: Any,
        sample: Any,
        lane: Any,
    ) -> Any:
        """Keep `right` where a label is right and no output of it is NaN, else 0."""
        targets = setting.judged_targets
        first, units = targets.groups[label, 0], targets.groups[label, 1]
        right = _if_equal(right, chosen, fill(strip.A, targets.classes[label, row], 1, 1))
        for k in range(first, first + units):
            o = load_output(strip.A, setting.network, k, sample, lanes, lane)
            right = _if_at_most(right, o, o)
        return right

    @inlined
    def judge_vector(strip: Any, setting: Any, lane: Any, forwarded: Any) -> None:
        A, network, targets = strip.A, setting.network, setting.judged_targets
        row, rows, left = 0, len(targets.row_order), load(strip.pending, lane, 1, 0, 1, 0)
        one, most = fill(A, 1.0, 1, 1), fill(A, targets.most_wrong, 1, 1)
        same, wrong = one, fill(A, 0.0, 1, 1)
        strip.costs[lane : lane + vector] = 0.0
        while row < rows and any_lane(left):
            sample = forward(strip, setting, row, lane, forwarded)
            right = one
            for label in range(len(targets.groups)):
                chosen = label_of(A, network, targets, label, sample, (lanes, lane))
                if row == 0:
                    store(strip.labels, label * lanes + lane, 0, 0, chosen)
                same = _if_equal(same, chosen, load(strip.labels, label * lanes + lane, 1, 0, 1, 0))
                if counts:
                    right = if_right(right, chosen, strip, setting, label, row, sample, lane)
            if counts:
                wrong = wrong + (one - right)
                left = _if_at_most(left, wrong, most)
            else:
                add(strip, setting, row, sample, lane, vector, lanes)
            row += 1
        if targets.labels_only:
            left = _if_at_most(left, same, fill(A, 0.0, 1, 1))
        store(strip.pending, lane, 0, 0, left)
        for i in range(lane, lane + vector):
            total, level = load_lane(strip.costs, i), targets.level[0]
            reaches = 1.0 - total >= level if is_r2 else total / rows <= level
            if not (counts or reaches):
                store_lane(strip.pending, i, like(strip.block[0], 0.0))

    return judge_vector


@inlined
def add_squares(
    strip: Any, setting: Any, row: Any, sample: Any, lane: Any, vector: Any, lanes: Any
) -> None:
    """Add what a row adds to 1 − R² to `strip.costs` of a vector of lanes."""
    network, targets = setting.network, setting.judged_targets
    a = layer_of(network, len(network.layers) - 1).activations * network.samples + sample
    for k in range(len(targets.scales)):
        target, scale = targets.values[row, k], targets.scales[k]
        for i in range(lane, lane + vector):
            o = load_number(strip.A, (a + k * network.samples) * lanes + i)
            error = np.float64(o) - target
            store_lane(strip.costs, i, load_lane(strip.costs, i) + scale * error * error)


@inlined
def add_losses(
    strip: Any, setting: Any, row: Any, sample: Any, lane: Any, vector: Any, lanes: Any
) -> None:
    """Add the loss of a row to `strip.costs` of a vector of lanes."""
    network, t = setting.network, setting.judged_targets.values[row]
    step = network.samples * lanes
    a = layer_of(network, len(network.layers) - 1).activations * step + sample * lanes + lane
    sums = strip.totals[lane:], strip.costs[lane:]
    call(setting.losses, (strip.nets[lane:], lanes, strip.A[a:], step, t, len(t), *sums, vector))


def make_losses(dtype: str, value: Any, name: str) -> Any:
    """Make the loss of a row of networks, which kernels `call`.

    `value`: of one output unit from its z, its output and its target, for a loss of this name.
    """
    value = inlined(value)

    def losses(
        Z: Any,
        z_step: Any,
        A: Any,
        a_step: Any,
        t: Any,
        units: Any,
        totals: Any,
        sums: Any,
        count: Any,
    ) -> None:
        """Add the loss of a row, whose targets are t, to the sums of lanes 0 … count − 1.

        Unit k of a lane has its z in Z at k·z_step + lane and its output in A at k·a_step + lane.
        `totals`: scratch memory, [lane].
        """
        for lane in range(count):
            store_lane(totals, lane, 0.0)
        for k in range(units):
            target = load_table(t, k)
            for lane in range(count):
                z = np.float64(load_number(Z, k * z_step + lane))
                o = np.float64(load_number(A, k * a_step + lane))
                store_lane(totals, lane, load_lane(totals, lane) + value(z, o, target))
        for lane in range(count):
            store_lane(sums, lane, load_lane(sums, lane) + load_lane(totals, lane))

    numbers, doubles = (types.CPointer(each) for each in (from_dtype(np.dtype(dtype)), float64))
    arguments = numbers, int64, numbers, int64, doubles, int64, doubles, doubles, int64
    return by_address(losses, arguments, "losses", dtype, name)


@inlined
def has_finite_weights(P: Any, lanes: Any, network: Any, lane: Any) -> Any:
    """Whether all parameters of a lane are finite."""
    finite = True
    for row in range(network.parameters):
        w = P[row * lanes + lane]
        finite = finite and w > like(w, -np.inf) and w < like(w, np.inf)
    return finite
