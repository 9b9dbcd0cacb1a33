"""Online learning: each sample changes the weights.

Notation and arguments as in `fastbp.kernels.minibatch`, for one sample at a time.

The step of a sample waits for the next one: the forward pass over a layer's weights first takes the
pending step of the last sample. So each weight is loaded and stored once per sample; stores limit
the speed of small layers, memory that of large ones. The last sample has activations of its own, B.
"""

from functools import cache
from typing import Any

from fastbp.kernels.jit import inlined, shared
from fastbp.kernels.layout import lanes_of, layer_of, present_to_all, presenter
from fastbp.kernels.memory import load_number, store_number
from fastbp.kernels.minibatch import hidden_deltas, output_deltas
from fastbp.kernels.optimizer import Batch
from fastbp.kernels.tiles import COLUMN, fma, lanes_in_vector, load, store
from fastbp.kernels.units import Units
from fastbp.kernels.vector_ir import like


@cache
def fused_step(lanes: int, vector: int, units: Units | None = None) -> Any:
    """Make the step of the last sample and the forward pass of the next, for one layer.

    w_ki ← w_ki − (rate·δ_k)·y_i (equation 11) with y and δ of the last sample, then
    a_k = f(b_k + Σ_i w_ki x_i), i ascending, with these weights. Without `units` only the step.
    A, B: activations [unit, lane] of the next and of the last sample; D: δ [unit, lane] of the
    last.
    """
    activates = units is not None
    f: Any = units and units.f

    def make(rows: int) -> Any:
        @shared
        def tiles(
            P: Any,
            A: Any,
            B: Any,
            D: Any,
            rate: Any,
            layer: Any,
            bias: Any,
            first: Any,
            end: Any,
        ) -> None:
            for k in range(first, end, rows):
                for lane in range(0, lanes_of(P, lanes), vector):
                    b, w = (layer.biases + k) * lanes, (layer.weights + k * layer.inputs) * lanes
                    x, d = layer.below * lanes + lane, (layer.deltas + k) * lanes + lane
                    move = -(load(rate, lane, 1, 0, 1, 0) * load(D, d, rows, lanes, 1, 0))
                    z = load(P, b + lane, rows, lanes, 1, 0)
                    if bias:
                        z = z + move
                        store(P, b + lane, lanes, 0, z)
                    for i in range(layer.inputs):
                        place = w + i * lanes + lane
                        w_i = load(P, place, rows, layer.inputs * lanes, 1, 0)
                        w_i = fma(move, load(B, x + i * lanes, 1, 0, 1, 0), w_i)
                        store(P, place, layer.inputs * lanes, 0, w_i)
                        if activates:
                            z = fma(w_i, load(A, x + i * lanes, 1, 0, 1, 0), z)
                    if activates:
                        a = (layer.activations + k) * lanes + lane
                        store(A, a, lanes, 0, f(layer.activation, z))

        return tiles

    rows = COLUMN[0]
    whole, single = make(rows), make(1)

    @inlined
    def layer_step(P: Any, A: Any, B: Any, D: Any, rate: Any, layer: Any, bias: Any) -> None:
        end = layer.units // rows * rows
        if end > 0:
            whole(P, A, B, D, rate, layer, bias, 0, end)
        if end < layer.units:
            single(P, A, B, D, rate, layer, bias, end, layer.units)

    return layer_step


def online_epoch(lanes: int, dtype: str, units: Units) -> tuple[Any, Any, Any]:
    """Make an epoch of online learning.

    Parameters
    ----------
    lanes : int
        Lanes of a strip.
    dtype : str
        Of the networks.
    units : Units
        Those of the networks.

    Returns
    -------
    epoch, forward, flush
        As in `minibatch.batch_epoch`; `forward` does nothing, as A has no room for all rows.
    """
    vector, present = lanes_in_vector(dtype), presenter(lanes, dtype)
    fused, step_only = fused_step(lanes, vector, units), fused_step(lanes, vector)
    hidden, finish = hidden_deltas(lanes, vector, units, tile=COLUMN), units.finish

    @inlined
    def update(
        P: Any, A: Any, B: Any, D: Any, batch: Any, rate: Any, network: Any, deltas: Any
    ) -> None:
        """Take the step of the sample in B; compute activations and δ of the sample in A."""
        last = len(network.layers) - 1
        for at in range(last + 1):
            fused(P, A, B, D, rate, layer_of(network, at), batch.bias)
        for lane in range(0, lanes, vector):
            finish(A, layer_of(network, last), 1, 0, lane)
        output_deltas(deltas, A, D, batch.offset, network, 1, lanes)
        for at in range(last, 0, -1):
            layer = layer_of(network, at)
            hidden(P, A, D, batch, layer, 1, layer.inputs, 1)

    @inlined
    def epoch(strip: Any, setting: Any, updates: Any, full: Any, forwarded: Any) -> None:
        network, table, config = setting.network, setting.table, setting.config
        # The pending step belongs to the epoch before, so the first update takes its rate.
        rate, A, B = strip.last_rate, strip.A, strip.B
        # Only the offset and the biases of the batch are used here.
        unused = (rate, config.momentum, config.weight_decay, 1, 1, False, True, 0, 0, 0)
        batch = Batch(config.prime_offset, *unused, config.bias, False)
        for position in range(updates):
            if config.cyclic:
                present_to_all(A, lanes, 1, 0, table, position)
            else:
                present(A, 1, 0, table, strip.rows, position, strip.words)
            update(strip.block, A, B, strip.D, batch, rate, network, setting.deltas)
            rate = strip.rate
            A, B = B, A
        if updates % 2 == 1:
            # The pending sample lies in strip.A: move it to where the next epoch looks for it.
            for i in range(len(A)):
                store_number(strip.B, i, load_number(strip.A, i))

    @shared
    def flush(strip: Any, network: Any, bias: Any, pending: Any) -> None:
        if pending:
            for at in range(len(network.layers)):
                layer = layer_of(network, at)
                step_only(strip.block, strip.B, strip.B, strip.D, strip.rate, layer, bias)
        # Activations too: a δ of 0 times an old NaN would add NaN to a weight.
        strip.B[:] = like(strip.block[0], 0.0)
        strip.D[:] = like(strip.block[0], 0.0)

    return epoch, inlined(lambda P, A, network, taken: None), flush
