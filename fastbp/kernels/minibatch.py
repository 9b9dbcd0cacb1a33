"""Feedforward, backpropagation and the step of a batch, in tiles.

The equations are those of Rumelhart, Hinton & Williams, "Learning internal representations by error
propagation", Parallel Distributed Processing 1 (1986), chapter 8, with weights w_ki from unit i to
unit k, biases b_k and activations a. Here δ = ∂E/∂net; theirs has the opposite sign. Every sum is
taken in the order of its index, so no bit depends on tiles, lanes or processors.

Passes are made once in a process, so that kernels for the same units, or for the same optimiser,
share their parts: Numba spends most of its time on them, before LLVM optimises a kernel as a whole.

Arguments of every pass:

P
    The block of a strip, [row, lane]: parameters, and what is kept with them.
A
    Activations, [unit, sample, lane], with inputs and targets in front.
D
    δ of the units past the inputs, [unit, sample, lane].
batch
    A `Batch`: what a pass needs to know of it.
layer
    A `Layer`: where everything lies. k counts its units, i its inputs, j the units of the layer
    below, and s samples.
samples
    Samples that there is room for in A and D.
part
    What the pass computes, (r0, r1, c0, c1): from row r0 to r1 and from column c0 to c1 of the
    matrix that its first line names by two indices, such as a_ks (units × samples).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import from_dtype, int64, types

from fastbp.kernels.jit import by_address, call, inlined, shared
from fastbp.kernels.layout import lanes_of, layer_of, present_to_all, presenter
from fastbp.kernels.optimizer import Batch, Optimizer, bias_correction, parameter_step
from fastbp.kernels.tiles import (
    TILE,
    Size,
    elementwise,
    fill,
    fma,
    lanes_in_vector,
    load,
    store,
)
from fastbp.kernels.units import Units


def in_tiles(make: Callable[[int, int], Any], tile: Size) -> Any:
    """Make a pass over a matrix of `height` rows and `width` columns.

    It consists of tiles of one size, with smaller ones at the edges. `make` makes the pass over a
    part of the matrix for a size of its tiles.
    """
    rows, columns = tile
    several = columns > 1
    whole, right, below, corner = (shared(make(m, n)) for m in (rows, 1) for n in (columns, 1))

    @inlined
    def everywhere(
        P: Any, A: Any, D: Any, batch: Any, layer: Any, samples: Any, height: Any, width: Any
    ) -> None:
        r, c = height // rows * rows, width // columns * columns
        if r > 0 and c > 0:
            whole(P, A, D, batch, layer, samples, (0, r, 0, c))
        if r < height and c > 0:
            below(P, A, D, batch, layer, samples, (r, height, 0, c))
        if several:
            if r > 0 and c < width:
                right(P, A, D, batch, layer, samples, (0, r, c, width))
            if r < height and c < width:
                corner(P, A, D, batch, layer, samples, (r, height, c, width))

    return everywhere


@cache
def weighted_sums(lanes: int, rows: int, columns: int) -> Any:
    """Make net_ks = b_k + Σ_i w_ki a_is, i ascending (equation 7 with a bias), as one tile."""

    @inlined
    def net(P: Any, A: Any, layer: Any, samples: Any, k: Any, s: Any, lane: Any) -> Any:
        w = (layer.weights + k * layer.inputs) * lanes + lane
        x = (layer.below * samples + s) * lanes + lane
        z = load(P, (layer.biases + k) * lanes + lane, rows, lanes, columns, 0)
        for i in range(layer.inputs):
            w_i = load(P, w + i * lanes, rows, layer.inputs * lanes, 1, 0)
            x_i = load(A, x + i * samples * lanes, 1, 0, columns, lanes)
            z = fma(w_i, x_i, z)
        return z

    return net


@cache
def feedforward(lanes: int, vector: int, units: Units | None = None, tile: Size = TILE) -> Any:
    """Make a_ks = f(net_ks) for all units and samples (equation 8; 15 for sigmoids).

    Without `units`, net_ks takes the place of δ_ks instead. D and the batch are not used otherwise.
    """
    activates = units is not None
    f: Any = units and units.f

    def make(rows: int, columns: int) -> Any:
        net = weighted_sums(lanes, rows, columns)

        def tiles(P: Any, A: Any, D: Any, batch: Any, layer: Any, samples: Any, part: Any) -> None:
            r0, r1, c0, c1 = part
            for k in range(r0, r1, rows):
                for s in range(c0, c1, columns):
                    for lane in range(0, lanes_of(P, lanes), vector):
                        z = net(P, A, layer, samples, k, s, lane)
                        if activates:
                            a = ((layer.activations + k) * samples + s) * lanes + lane
                            store(A, a, samples * lanes, lanes, f(layer.activation, z))
                        else:
                            d = ((layer.deltas + k) * samples + s) * lanes + lane
                            store(D, d, samples * lanes, lanes, z)

        return tiles

    return in_tiles(make, tile)


@cache
def forward_pass(lanes: int, vector: int, units: Units, tile: Size) -> Any:
    """Make the forward pass: the activations of so many samples."""
    activate, finish = feedforward(lanes, vector, units, tile), units.finish

    @shared
    def forward(P: Any, A: Any, network: Any, taken: Any) -> None:
        for at in range(len(network.layers)):
            layer = layer_of(network, at)
            activate(P, A, A, 0, layer, network.samples, layer.units, taken)
        for sample in range(taken):
            for lane in range(0, lanes, vector):
                finish(A, layer_of(network, len(network.layers) - 1), network.samples, sample, lane)

    return forward


def make_output_deltas(dtype: str, delta: Any, prime: Any, name: str, weighted: bool) -> Any:
    """Make δ_ks = ∂E/∂net_ks of the output units (equation 13), which kernels `call`.

    `delta`: of one output from the output, its target and f′, which is `prime` of the output.
    `name`: of the loss and the output, for the cache. `weighted`: whether δ is multiplied by the
    weight of the row.
    """
    vector, delta, prime = lanes_in_vector(dtype), elementwise(delta), elementwise(prime)

    def deltas(
        A: Any,
        D: Any,
        offset: Any,
        a: Any,
        d: Any,
        t: Any,
        row_weights: Any,
        count: Any,
        units: Any,
    ) -> None:
        """Compute δ of `units` times `count` outputs: `count` is samples times lanes.

        In D they begin at d; in A outputs begin at a, targets at t, and weights of rows, the same
        for every unit, at `row_weights`.
        """
        for unit in range(0, units * count, count):
            for i in range(unit, unit + count, vector):
                o, target = load(A, a + i, 1, 0, 1, 0), load(A, t + i, 1, 0, 1, 0)
                value = delta(o, target, prime(o) + fill(A, offset, 1, 1))
                if weighted:
                    value = value * load(A, row_weights + i - unit, 1, 0, 1, 0)
                store(D, d + i, 0, 0, value)

    number = from_dtype(np.dtype(dtype))
    numbers = types.CPointer(number)
    arguments = (numbers, numbers, number, *[int64] * 6)
    return by_address(deltas, arguments, "deltas", dtype, name, weighted)


@inlined
def output_deltas(
    deltas: Any, A: Any, D: Any, offset: Any, network: Any, samples: Any, lanes: Any
) -> None:
    """Compute δ of the output units, by what `make_output_deltas` made.

    It does so for all samples that there is room for: those not filled are computed in vain, which
    costs less than to leave them out.
    """
    layer, size = layer_of(network, len(network.layers) - 1), samples * lanes
    a, d, t = layer.activations * size, layer.deltas * size, network.targets * size
    call(deltas, (A, D, offset, a, d, t, network.row_weights * size, size, layer.units))


@cache
def hidden_deltas(lanes: int, vector: int, units: Units, tile: Size = TILE) -> Any:
    """Make the δ of the layer below `layer`, k ascending (equation 14).

    δ_js = (f′_js + offset)·Σ_k w_kj δ_ks
    """
    f_prime = units.prime

    def make(rows: int, columns: int) -> Any:
        def tiles(P: Any, A: Any, D: Any, batch: Any, layer: Any, samples: Any, part: Any) -> None:
            r0, r1, c0, c1 = part
            for j in range(r0, r1, rows):
                for s in range(c0, c1, columns):
                    for lane in range(0, lanes_of(P, lanes), vector):
                        w = (layer.weights + j) * lanes + lane
                        d = (layer.deltas * samples + s) * lanes + lane
                        total = fill(P, 0.0, rows, columns)
                        for k in range(layer.units):
                            w_k = load(P, w + k * layer.inputs * lanes, rows, lanes, 1, 0)
                            d_k = load(D, d + k * samples * lanes, 1, 0, columns, lanes)
                            total = fma(w_k, d_k, total)
                        place = (j * samples + s) * lanes + lane
                        a = layer.below * samples * lanes + place
                        a_js = load(A, a, rows, samples * lanes, columns, lanes)
                        prime = f_prime(layer.activation_below, a_js)
                        below = layer.deltas_below * samples * lanes + place
                        value = total * (prime + fill(P, batch.offset, 1, 1))
                        store(D, below, samples * lanes, lanes, value)

        return tiles

    return in_tiles(make, tile)


@cache
def gradient_step(lanes: int, vector: int, optimizer: Optimizer | None, tile: Size = TILE) -> Any:
    """Make the gradient Σ_s δ_ks a_is of w_ki, s ascending, and the step by it.

    The gradient of b_k is Σ_s δ_ks. Plain descent is w_ki ← w_ki − rate·Σ_s δ_ks a_is (equation
    11); the step of every optimiser is in `fastbp.choices.optimizers`.

    Parameters
    ----------
    lanes, vector : int
        Lanes of a strip and of a vector.
    optimizer : Optimizer
        Makes the step. None keeps the gradient and changes nothing.
    """

    def make(rows: int, columns: int) -> Any:
        change = parameter_step(lanes, rows, columns, optimizer)
        change_bias = parameter_step(lanes, rows, 1, optimizer, is_bias=True)

        def tiles(P: Any, A: Any, D: Any, batch: Any, layer: Any, samples: Any, part: Any) -> None:
            r0, r1, c0, c1 = part
            for k in range(r0, r1, rows):
                d = (layer.deltas + k) * samples * lanes
                for i in range(c0, c1, columns):
                    for lane in range(0, lanes_of(P, lanes), vector):
                        x = (layer.below + i) * samples * lanes + lane
                        w = (layer.weights + k * layer.inputs + i) * lanes + lane
                        g = fill(P, 0.0, rows, columns)
                        if batch.adds_to_kept:
                            kept = w + batch.gradient * lanes
                            g = load(P, kept, rows, layer.inputs * lanes, columns, lanes)
                        for s in range(batch.samples):
                            d_s = load(D, d + lane + s * lanes, rows, samples * lanes, 1, 0)
                            x_s = load(A, x + s * lanes, 1, 0, columns, samples * lanes)
                            g = fma(d_s, x_s, g)
                        change(P, batch, w, layer.inputs * lanes, lanes, g, lane)
                if batch.bias and c0 == 0:
                    for lane in range(0, lanes_of(P, lanes), vector):
                        b = (layer.biases + k) * lanes + lane
                        g = fill(P, 0.0, rows, 1)
                        if batch.adds_to_kept:
                            g = load(P, b + batch.gradient * lanes, rows, lanes, 1, 0)
                        for s in range(batch.samples):
                            g = g + load(D, d + lane + s * lanes, rows, samples * lanes, 1, 0)
                        change_bias(P, batch, b, lanes, 0, g, lane)

        return tiles

    return in_tiles(make, tile)


def backward_pass(
    lanes: int, vector: int, units: Units, optimizer: Optimizer | None, tile: Size = TILE
) -> Any:
    """Make the backward pass: all δ, from those of the outputs down, and the step of each layer.

    The parameters are those of `gradient_step`. `deltas` comes from `make_output_deltas`.
    """
    hidden = hidden_deltas(lanes, vector, units, tile)
    learn = gradient_step(lanes, vector, optimizer, tile)
    count = bias_correction(lanes, vector, optimizer)

    @shared
    def backward(P: Any, A: Any, D: Any, batch: Any, network: Any, deltas: Any) -> None:
        samples = network.samples
        output_deltas(deltas, A, D, batch.offset, network, samples, lanes)
        if batch.is_last:
            count(P, batch)
        for at in range(len(network.layers) - 1, -1, -1):
            layer = layer_of(network, at)
            if at > 0:  # first: δ of the layer below needs the weights before their step
                hidden(P, A, D, batch, layer, samples, layer.inputs, batch.samples)
            learn(P, A, D, batch, layer, samples, layer.units, layer.inputs)

    return backward


def batch_epoch(
    lanes: int, dtype: str, units: Units, optimizer: Optimizer, tile: Size
) -> tuple[Any, Any, Any]:
    """Make an epoch in batches.

    Parameters
    ----------
    lanes : int
        Lanes of a strip.
    dtype : str
        Of the networks.
    units : Units
        Those of the networks.
    optimizer : Optimizer
        As in `gradient_step`.
    tile : (int, int)
        Rows and columns of a tile.

    Returns
    -------
    epoch : callable
        Trains a strip for so many updates. `full`: the samples in A are all rows; `forwarded`:
        their activations are there already.
    forward : callable
        That of `forward_pass`.
    flush : callable
        Takes a step that is pending, and leaves none pending; batches have none.
    """
    vector, present = lanes_in_vector(dtype), presenter(lanes, dtype)
    forward = forward_pass(lanes, vector, units, tile)
    backward = backward_pass(lanes, vector, units, optimizer, tile)

    @inlined
    def epoch(strip: Any, setting: Any, updates: Any, full: Any, forwarded: Any) -> None:
        network, table, config = setting.network, setting.table, setting.config
        n, samples = table.rows, network.samples
        for start in range(0, min(updates * config.batch, n), config.batch):
            end = min(start + config.batch, n)
            for position in range(start, end, samples):
                taken = min(samples, end - position)
                for sample in range(taken):
                    row = position + sample
                    if not config.cyclic:
                        present(strip.A, samples, sample, table, strip.rows, row, strip.words)
                    elif not full:
                        present_to_all(strip.A, lanes, samples, sample, table, row)
                if not forwarded:
                    forward(strip.block, strip.A, network, taken)
                batch = Batch(
                    config.prime_offset,
                    strip.rate,
                    config.momentum,
                    config.weight_decay,
                    end - start,
                    taken,
                    position > start,
                    position + taken == end,
                    network.parameters,
                    network.gradient,
                    network.counts,
                    config.bias,
                    config.mean,
                )
                backward(strip.block, strip.A, strip.D, batch, network, setting.deltas)

    return epoch, forward, inlined(lambda strip, network, bias, pending: None)
