"""Training in batches: several samples go through the network before the weights change.

Sums of products over lanes, c_mn = Σ_k a_mk b_kn with a network in each lane, take most of the time
of a batch; `fastbp.kernels.tiles` generates their code. A strip is a part of the lanes of a group.
"""

from functools import cache
from typing import Any

import numpy as np
from numba import types

from fastbp.kernels.jit import Chosen, inlined, shared
from fastbp.kernels.layout import (
    ACTIVATIONS,
    BIASES,
    DELTAS,
    UNITS,
    WEIGHTS,
    columns_of,
    present,
    present_to_all,
)
from fastbp.kernels.memory import (
    load_activation,
    load_lane,
    load_parameter,
    store_parameter,
    store_result,
)
from fastbp.kernels.real import sigmoid, slope
from fastbp.kernels.tiles import (
    BIAS,
    LEARN,
    ONTO,
    Matrix,
    Tile,
    at,
    in_tiles,
    part,
    transposed,
)
from fastbp.kernels.vector_ir import Vector, fma, instruction, like


def in_samples(lanes: int) -> tuple[Any, Any]:
    """Make the forward and the backward pass of several samples for groups of so many lanes.

    Both process `taken` samples for the strip of lanes that begins at `lane`; `inputs` is a matrix
    with a row for each input of the network and a column for each sample.
    """
    feedforward, backpropagate, add_gradient = products(lanes)

    @inlined
    def forward(
        block: Any,
        work: Any,
        network: Any,
        samples: Any,
        strip: Any,
        lane: Any,
        taken: Any,
        inputs: Any,
        raw: Any,
    ) -> None:
        """Compute all activations; with `raw`, also store the output layer's sums in its δ."""
        layers, step, x = network.layers, samples.capacity * strip, inputs
        for layer in range(1, len(layers)):
            fan_in, units = layers[layer - 1, UNITS], layers[layer, UNITS]
            a = Matrix(work, samples.layers[layer, ACTIVATIONS] * strip, step, strip)
            w = Matrix(block, layers[layer, WEIGHTS] * lanes + lane, fan_in * lanes, lanes)
            b = Matrix(block, layers[layer, BIASES] * lanes + lane, lanes, 0)
            feedforward(units, taken, fan_in, strip, a, w, x, b, 0, 0)
            if raw and layer == len(layers) - 1:
                z = Matrix(work, samples.layers[layer, DELTAS] * strip, step, strip)
                feedforward(units, taken, fan_in, strip, z, w, x, b, 0, RAW)
            x = a

    @inlined
    def back(
        block: Any,
        work: Any,
        network: Any,
        samples: Any,
        strip: Any,
        lane: Any,
        taken: Any,
        inputs: Any,
        offset: Any,
        rate: Any,
        then: Any,
    ) -> None:
        """Compute hidden δ from those of the outputs, then the gradient or a step (`then`)."""
        layers, step = network.layers, samples.capacity * strip
        rates = Matrix(rate, lane, 0, 0)
        for layer in range(len(layers) - 1, 0, -1):
            fan_in, units = layers[layer - 1, UNITS], layers[layer, UNITS]
            d, x = Matrix(work, samples.layers[layer, DELTAS] * strip, step, strip), inputs
            if layer > 1:
                x = Matrix(work, samples.layers[layer - 1, ACTIVATIONS] * strip, step, strip)
                below = Matrix(work, samples.layers[layer - 1, DELTAS] * strip, step, strip)
                w = Matrix(block, layers[layer, WEIGHTS] * lanes + lane, lanes, fan_in * lanes)
                backpropagate(fan_in, taken, units, strip, below, w, d, x, offset, 0)
            weights = (network.gradient + layers[layer, WEIGHTS]) * lanes + lane
            g = Matrix(block, weights, fan_in * lanes, lanes)
            b = Matrix(block, (network.gradient + layers[layer, BIASES]) * lanes + lane, lanes, 0)
            add_gradient(units, fan_in, taken, strip, g, d, transposed(x), b, rates, then)

    return forward, back


RAW = 1
"""Store the sum that a unit receives instead of its activation."""


@shared
def copy(rows: Any, columns: Any, strip: Any, target: Any, source: Any) -> None:
    """Copy a matrix."""
    for m in range(rows):
        for n in range(columns):
            i, j = at(target, m, n), at(source, m, n)
            for lane in range(strip):
                store_result(target.memory, i + lane, load_activation(source.memory, j + lane))


@cache
def products(lanes: int) -> tuple[Any, ...]:
    """Make the sums of products for a strip of lanes that begins where the matrices begin.

    Arguments of each: rows, columns and terms of the sum, lanes in the strip (whole vectors), the
    matrices, and what the tile needs besides. Rates and biases are matrices of one column, with a
    distance of 0 to the next.

    Returns
    -------
    feedforward
        a_ks = σ(b_k + Σ_i w_ki x_is), i ascending, or the RAW sum: units, samples, inputs, strip,
        a, w, x, b, 0, then.
    backpropagate
        d_js = (σ′_js + offset)·Σ_k w_jk d_ks, k ascending, σ′ from a = σ(z): units, samples, units
        above, strip, d, w, d above, a, offset, 0.
    add_gradient
        g_ki = Σ_s d_ks a_si, s ascending, with the bits of `then`: units, inputs, samples, strip,
        g, d, a, bias, rate, then. `g`, `bias`: the gradient, or with LEARN the parameters, which
        change by −rate·gradient.
    """
    return tuple(in_tiles(_tile(lanes, kind)) for kind in (_Sum, _Delta, _Gradient))


class _Sum(Tile):
    """c ← σ(bias + sum), or bias + sum if `then` is RAW, with the biases as `other`."""

    def start(self, m: int, n: int) -> list[list[Vector]]:
        return [[self.load(self.at(self.other, i, 0))] * n for i in range(m)]

    def finish(self, sums: list[list[Vector]]) -> None:
        with self.builder.if_else(self.is_set(RAW)) as (raw, activation):
            with raw:
                self._store(sums)
            with activation:
                self._store([[sigmoid(z) for z in row] for row in sums])

    def _store(self, values: list[list[Vector]]) -> None:
        for i, row in enumerate(values):
            for j, value in enumerate(row):
                self.store(value, self.at(self.c, i, j))

    @staticmethod
    def plain(terms: Any, matrices: Any, extra: Any, then: Any, place: Any) -> None:
        (c, a, b, other), (i, j, lane) = matrices, place
        start = other.memory[at(other, i, 0) + lane]
        z = _plain_sum(start, terms, a, b, place)
        c.memory[at(c, i, j) + lane] = z if then & RAW else sigmoid(z)


class _Delta(Tile):
    """c ← (o(1 − o) + offset)·sum, with the activations o as `other` and the offset as `extra`."""

    def start(self, m: int, n: int) -> list[list[Vector]]:
        return [[self.nothing()] * n for _ in range(m)]

    def finish(self, sums: list[list[Vector]]) -> None:
        offset = self.all_lanes(self.extra[0])
        for i, row in enumerate(sums):
            for j, value in enumerate(row):
                o = self.load(self.at(self.other, i, j))
                self.store(value * (slope(o) + offset), self.at(self.c, i, j))

    @staticmethod
    def plain(terms: Any, matrices: Any, extra: Any, then: Any, place: Any) -> None:
        (c, a, b, other), (i, j, lane) = matrices, place
        value = _plain_sum(like(c.memory[0], 0.0), terms, a, b, place)
        c.memory[at(c, i, j) + lane] = value * (slope(other.memory[at(other, i, j) + lane]) + extra)


class _Gradient(Tile):
    """c ← sum, or by `then` c + sum or c − rate·sum, and the same for the biases.

    The biases are `other`, of one column, with sums of the rows of a. The rates are `extra`, a
    matrix of one element.
    """

    def start(self, m: int, n: int) -> list[list[Vector]]:
        builder = self.builder
        before, onto, ready = (
            builder.block,
            builder.append_basic_block("onto"),
            builder.append_basic_block("ready"),
        )
        builder.cbranch(self.is_set(ONTO), onto, ready)
        builder.position_at_end(onto)
        there = [[self.load(place) for place in row] for row in self.places(m, n)]
        builder.branch(ready)
        builder.position_at_end(ready)
        starts = [[Vector(builder, builder.phi(self.vector)) for _ in row] for row in there]
        for starting, values in zip(starts, there, strict=True):
            for start, value in zip(starting, values, strict=True):
                start.value.add_incoming(self.nothing().value, before)
                start.value.add_incoming(value.value, onto)
        return starts

    def places(self, m: int, n: int) -> list[list[Any]]:
        """Addresses of the elements of each row, with its bias as the last one."""
        return [
            [*(self.at(self.c, i, j) for j in range(n)), self.at(self.other, i, 0)]
            for i in range(m)
        ]

    def finish(self, sums: list[list[Vector]]) -> None:
        places = self.places(len(sums), len(sums[0]) - 1)
        elements = [
            list(zip(values, where, strict=True))
            for values, where in zip(sums, places, strict=True)
        ]
        self._put([element for row in elements for element in row[:-1]])
        with self.builder.if_then(self.is_set(BIAS)):
            self._put([row[-1] for row in elements])

    def _put(self, elements: list[tuple[Vector, Any]]) -> None:
        builder = self.builder
        with builder.if_else(self.is_set(LEARN)) as (step, keep):
            with step:
                rate = self.load(builder.gep(self.extra[0], [self.lane]))
                for value, place in elements:
                    self.store(self.load(place) + -(rate * value), place)
            with keep:
                for value, place in elements:
                    self.store(value, place)

    @staticmethod
    def plain(terms: Any, matrices: Any, extra: Any, then: Any, place: Any) -> None:
        (c, a, b, other), (i, j, lane) = matrices, place
        rate = extra.memory[extra.first + lane]
        e, nothing = at(c, i, j) + lane, like(c.memory[0], 0.0)
        value = _plain_sum(c.memory[e] if then & ONTO else nothing, terms, a, b, place)
        c.memory[e] = c.memory[e] + -(rate * value) if then & LEARN else value
        if j == 0 and then & BIAS:
            e = at(other, i, 0) + lane
            value = other.memory[e] if then & ONTO else nothing
            for k in range(terms):
                value = value + a.memory[at(a, i, k) + lane]
            other.memory[e] = other.memory[e] + -(rate * value) if then & LEARN else value


def _plain_sum(start: Any, terms: Any, a: Any, b: Any, place: Any) -> Any:
    i, j, lane = place
    value = start
    for k in range(terms):
        value = fma(a.memory[at(a, i, k) + lane], b.memory[at(b, k, j) + lane], value)
    return value


def _tile(lanes: int, kind: type[Tile]) -> Any:
    """Make the function that computes tiles of this kind: generated, or plain with the JIT off."""

    def tile(
        m: Any,
        n: Any,
        tiles: Any,
        terms: Any,
        strip: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
    ) -> None:
        for i, j in np.ndindex(m, n * tiles):
            for lane in range(strip):
                kind.plain(terms, (c, a, b, other), extra, then, (i, j, lane))

    @instruction(tile)
    def generated(
        typing: Any,
        m: Any,
        n: Any,
        tiles: Any,
        terms: Any,
        strip: Any,
        c: Any,
        a: Any,
        b: Any,
        other: Any,
        extra: Any,
        then: Any,
    ) -> Any:
        def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kind(context, builder, signature, arguments, lanes).code()
            return context.get_dummy_value()

        return types.void(m, n, tiles, terms, strip, c, a, b, other, extra, then), code

    return tile


def batch_epoch(losses: Chosen, lanes: int) -> Any:
    """Make an epoch in which the weights change after each batch, by its gradient."""
    forward, back = in_samples(lanes)

    @inlined
    def epoch(
        state: Any, network: Any, table: Any, config: Any, updates: Any, in_place: Any
    ) -> Any:
        """Train for one epoch; `in_place`: whether all rows are in the samples, returned again."""
        block, work, n, columns = state.block, state.work, table.rows, columns_of(network)
        samples, offset, rate = network.samples, config.prime_offset, state.rate
        inputs, outputs = network.layers[0, UNITS], network.layers[-1, UNITS]
        strip, capacity = len(work) // samples.rows, samples.capacity
        step = capacity * strip  # from unit to unit
        for start in range(0, min(updates * config.batch, n), config.batch):
            end = min(start + config.batch, n)
            for position in range(start, end, capacity):
                taken = min(capacity, end - position)
                if not config.cyclic:
                    for sample in range(taken):
                        first = (network.presented + sample) * lanes
                        row, width = position + sample, capacity * lanes
                        present(block, lanes, width, first, columns, table, state.rows, row)
                elif in_place == 0:
                    for sample in range(taken):
                        row = position + sample
                        present_to_all(work, strip, step, sample * strip, columns, table, row)
                then = (LEARN if network.gradient == 0 else ONTO if position > start else 0) | (
                    BIAS if config.bias else 0
                )
                for lane in range(0, lanes, strip):
                    x = Matrix(work, 0, step, strip)
                    if not config.cyclic:
                        x = Matrix(block, network.presented * lanes + lane, capacity * lanes, lanes)
                        targets = Matrix(work, samples.targets * strip, step, strip)
                        copy(outputs, taken, strip, targets, part(x, inputs, 0))
                    forward(block, work, network, samples, strip, lane, taken, x, False)
                    losses(config.loss, (work, strip, step, samples, 0, offset))
                    back(block, work, network, samples, strip, lane, taken, x, offset, rate, then)
            if network.gradient > 0:
                _apply_gradient(block, lanes, network, config, rate, end - start)
        return 1 if config.cyclic and n <= capacity else 0

    return epoch


@inlined
def _apply_gradient(
    block: Any, lanes: Any, network: Any, config: Any, rate: Any, count: Any
) -> None:
    """Update the weights: v ← αv − lr·(g + λw), w ← w + v, biases without λ.

    Rumelhart, Hinton & Williams 1986, equation 9.
    """
    layers = network.layers
    rows = block.dtype.type(count)
    for layer in range(1, len(layers)):
        bias = layers[layer, BIASES]
        end = bias + layers[layer, UNITS] if config.bias else bias
        for row in range(layers[layer, WEIGHTS], end):
            w, g = row * lanes, (network.gradient + row) * lanes
            v = (network.velocity + row) * lanes
            for lane in range(lanes):
                weight, gradient = load_parameter(block, w + lane), load_parameter(block, g + lane)
                if config.mean:
                    gradient = gradient / rows
                if row < bias:
                    gradient = fma(config.weight_decay, weight, gradient)
                step = -(load_lane(rate, lane) * gradient)
                velocity = fma(config.momentum, load_parameter(block, v + lane), step)
                store_parameter(block, v + lane, velocity)
                store_parameter(block, w + lane, weight + velocity)
