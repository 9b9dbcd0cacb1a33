"""The step of a tile of parameters by its gradient."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from fastbp.kernels.jit import inlined
from fastbp.kernels.tiles import elementwise, fill, fma, load, store
from fastbp.kernels.vector_ir import fma as scalar_fma, like


class Optimizer(NamedTuple):
    """How a step changes a parameter by its gradient."""

    step: Callable[..., tuple[Any, ...]]
    """A function of `fastbp.choices.optimizers`: (w, g, rate, momentum, s, t, c, d) to the new w, s
    and t."""
    states: int = 0
    """How many of s and t are kept with each parameter. An optimiser with none takes sums of
    gradients over a batch: it cannot divide them for a mean."""
    decays: tuple[float, ...] = ()
    """Each β of a running mean of which a step needs 1 − βᵏ: none or two."""
    scales: Callable[..., tuple[Any, ...]] = lambda rate, c, d: (c, d)
    """From the learning rate and both 1 − βᵏ to c and d of the step: what divides, and is the same
    for all parameters, stands here."""
    weight_decay: bool = False
    """Whether weights can decay."""
    has_rate: bool = True
    """Whether it has a learning rate."""


class Batch(NamedTuple):
    """What the passes need to know of a batch, or of the part of it that A and D have room for."""

    offset: Any
    """Added to every slope f′."""
    rate: Any
    """Learning rate, [lane]."""
    momentum: Any
    weight_decay: Any
    rows: Any
    """Rows of the batch."""
    samples: Any
    """Samples that are filled in A and D."""
    adds_to_kept: Any
    """Whether sums go on from the gradient of the samples before."""
    is_last: Any
    """Whether these are the last samples of the batch; otherwise their gradient is kept."""
    parameters: Any
    """Their number. In P, first states and then second ones follow them."""
    gradient: Any
    """Row of the gradient in P, relative to the parameters."""
    counts: Any
    """Row of 1 − βᵏ in P, one for each decay, and of c and d behind them."""
    bias: Any
    """Whether there are biases."""
    mean: Any
    """Whether to divide the gradient by the rows of the batch."""


@cache
def parameter_step(
    lanes: int, rows: int, columns: int, optimizer: Optimizer | None, is_bias: bool = False
) -> Any:
    """Make the step of a tile of parameters by its gradient g, which an optimiser describes.

    The tile begins at `place` in P; `down` and `across` are the distances of its rows and columns.
    At `lane` begins the vector of lanes. Without an optimiser the gradient is kept, and that is
    all.
    """

    @inlined
    def keep(P: Any, batch: Any, place: Any, down: Any, across: Any, g: Any, lane: Any) -> None:
        store(P, place + batch.gradient * lanes, down, across, g)

    if optimizer is None:
        return keep
    one_step = elementwise(optimizer.step, results=3)
    states, counts = optimizer.states, len(optimizer.decays)
    decays = optimizer.weight_decay and not is_bias

    @inlined
    def change(P: Any, batch: Any, place: Any, down: Any, across: Any, g: Any, lane: Any) -> None:
        if not batch.is_last:
            keep(P, batch, place, down, across, g, lane)
            return
        w = load(P, place, rows, down, columns, across)
        if states > 0 and batch.mean:  # a mean is never asked of an optimiser without states
            g = g / fill(P, batch.rows, 1, 1)
        if decays:
            g = fma(fill(P, batch.weight_decay, 1, 1), w, g)
        # Without states, s and t are loaded from w: nothing uses them, so LLVM drops these loads.
        first = place + batch.parameters * lanes * (states > 0)
        second = place + 2 * batch.parameters * lanes * (states > 1)
        s = load(P, first, rows, down, columns, across)
        t = load(P, second, rows, down, columns, across)
        c = load(P, (batch.counts + 2) * lanes * (counts > 0) + lane, 1, 0, 1, 0)
        d = load(P, (batch.counts + 3) * lanes * (counts > 0) + lane, 1, 0, 1, 0)
        rate, momentum = load(batch.rate, lane, 1, 0, 1, 0), fill(P, batch.momentum, 1, 1)
        w, s, t = one_step(w, g, rate, momentum, s, t, c, d)
        if states > 0:
            store(P, first, down, across, s)
        if states > 1:
            store(P, second, down, across, t)
        store(P, place, down, across, w)

    return change


@cache
def bias_correction(lanes: int, vector: int, optimizer: Optimizer | None) -> Any:
    """Make what goes from 1 − βᵏ to 1 − βᵏ⁺¹ = β(1 − βᵏ) + (1 − β), for each β of the optimiser.

    It also computes c and d of the step from these. Without such β it does nothing.
    """

    def count_of(beta: float) -> Any:
        @elementwise
        def grow(c: Any) -> Any:
            return scalar_fma(like(c, beta), c, like(c, 1.0 - beta))

        return grow

    if optimizer is None or not optimizer.decays:
        return inlined(lambda P, batch: None)
    first, second = map(count_of, optimizer.decays)
    scales = elementwise(optimizer.scales, results=2)

    @inlined
    def count(P: Any, batch: Any) -> None:
        for lane in range(0, lanes, vector):
            place = batch.counts * lanes + lane
            c = first(load(P, place, 1, 0, 1, 0))
            d = second(load(P, place + lanes, 1, 0, 1, 0))
            store(P, place, 0, 0, c)
            store(P, place + lanes, 0, 0, d)
            c, d = scales(load(batch.rate, lane, 1, 0, 1, 0), c, d)
            store(P, place + 2 * lanes, 0, 0, c)
            store(P, place + 3 * lanes, 0, 0, d)

    return count
