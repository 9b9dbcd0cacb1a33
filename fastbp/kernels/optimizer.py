"""The step of a tile of parameters by its gradient."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from fastbp.kernels.jit import inlined
from fastbp.kernels.tiles import elementwise, fill, fma, load, store
from fastbp.kernels.vector_ir import fma as scalar_fma, like


class Optimizer(NamedTuple):
    """How a step changes a parameter."""

    step: Callable[..., tuple[Any, ...]]
    """A function of `fastbp.choices.optimizers`: (w, g, rate, momentum, s, t, c, d) to the new w, s
    and t."""
    states: int = 0
    """How many of s and t are kept with each parameter. Without any, a step takes sums of gradients
    over a batch and no means."""
    decays: tuple[float, ...] = ()
    """Each β of a running mean of which a step needs 1 − βᵏ: none or two."""
    scales: Callable[..., tuple[Any, ...]] = lambda rate, c, d: (c, d)
    """From the learning rate and both 1 − βᵏ to c and d of the step: what divides, and is the same
    for all parameters, stands here."""
    weight_decay: bool = False
    """Whether weights can decay."""
    has_rate: bool = True
    """Whether it has a learning rate."""


class Step(NamedTuple):
    """What a batch does to the parameters."""

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
    continues: Any
    """Whether sums go on from the gradient of the samples before."""
    ends: Any
    """Whether these are the last samples of the batch; otherwise their gradient is kept."""
    size: Any
    """Number of parameters. In P, first states and then second ones follow them."""
    gradient: Any
    """Row of the gradient in P, relative to the parameters."""
    counts: Any
    """Row of 1 − βᵏ in P, one for each decay, and of c and d behind them."""
    bias: Any
    """Whether there are biases."""
    mean: Any
    """Whether to divide the gradient by the rows of the batch."""


@cache
def changer(
    lanes: int, rows: int, columns: int, optimizer: Optimizer | None, is_bias: bool = False
) -> Any:
    """Make the change of a tile of parameters by its gradient g, which an optimiser describes.

    The tile begins at `place` in P; `down` and `across` are the distances of its rows and columns.
    At `lane` begins the vector of lanes. Without an optimiser the gradient is kept, and that is
    all.
    """

    @inlined
    def keep(P: Any, step: Any, place: Any, down: Any, across: Any, g: Any, lane: Any) -> None:
        store(P, place + step.gradient * lanes, down, across, g)

    if optimizer is None:
        return keep
    one_step = elementwise(optimizer.step, results=3)
    states, counts = optimizer.states, len(optimizer.decays)
    decays = optimizer.weight_decay and not is_bias

    @inlined
    def change(P: Any, step: Any, place: Any, down: Any, across: Any, g: Any, lane: Any) -> None:
        if not step.ends:
            keep(P, step, place, down, across, g, lane)
            return
        w = load(P, place, rows, down, columns, across)
        if states > 0 and step.mean:
            g = g / fill(P, step.rows, 1, 1)
        if decays:
            g = fma(fill(P, step.weight_decay, 1, 1), w, g)
        # Where nothing is kept, s and t are loaded from w: a load that no one needs is left out.
        first = place + step.size * lanes * (states > 0)
        second = place + 2 * step.size * lanes * (states > 1)
        s = load(P, first, rows, down, columns, across)
        t = load(P, second, rows, down, columns, across)
        c = load(P, (step.counts + 2) * lanes * (counts > 0) + lane, 1, 0, 1, 0)
        d = load(P, (step.counts + 3) * lanes * (counts > 0) + lane, 1, 0, 1, 0)
        rate, momentum = load(step.rate, lane, 1, 0, 1, 0), fill(P, step.momentum, 1, 1)
        w, s, t = one_step(w, g, rate, momentum, s, t, c, d)
        if states > 0:
            store(P, first, down, across, s)
        if states > 1:
            store(P, second, down, across, t)
        store(P, place, down, across, w)

    return change


@cache
def counter(lanes: int, vector: int, optimizer: Optimizer) -> Any:
    """Make what goes from 1 − βᵏ to 1 − βᵏ⁺¹ = β(1 − βᵏ) + (1 − β), for each β of the optimiser.

    It also computes c and d of the step from these.
    """

    def count_of(beta: float) -> Any:
        @elementwise
        def grow(c: Any) -> Any:
            return scalar_fma(like(c, beta), c, like(c, 1.0 - beta))

        return grow

    if not optimizer.decays:
        return inlined(lambda P, step: None)
    first, second = map(count_of, optimizer.decays)
    scales = elementwise(optimizer.scales, results=2)

    @inlined
    def count(P: Any, step: Any) -> None:
        for lane in range(0, lanes, vector):
            place = step.counts * lanes + lane
            c = first(load(P, place, 1, 0, 1, 0))
            d = second(load(P, place + lanes, 1, 0, 1, 0))
            store(P, place, 0, 0, c)
            store(P, place + lanes, 0, 0, d)
            c, d = scales(load(step.rate, lane, 1, 0, 1, 0), c, d)
            store(P, place + 2 * lanes, 0, 0, c)
            store(P, place + 3 * lanes, 0, 0, d)

    return count
