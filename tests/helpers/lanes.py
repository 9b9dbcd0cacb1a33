"""Networks in the lanes of a group, written as the oracle writes them, and setups that kernels and
oracle both understand."""

import numpy as np
import oracle
from numba import config
from oracle import Recipe

from fastbp.config.setup import Setup
from fastbp.engine.lane_group import LaneGroup
from fastbp.engine.tasks import optimizer_of, task
from fastbp.kernels.goals import Goal, targets_of
from fastbp.kernels.layout import table

JIT = not config.DISABLE_JIT

LANES = 48 if JIT else 8
"""Lanes of most tests: one number, so that few kernels are compiled. In batches it is one strip of
float32 or two of float64, as most sweeps have them; with the JIT off, every lane takes its time."""

SHIPPED_LANES = {"float64": 168, "float32": 336}
"""Those that most sweeps take."""

OTHER_LANES = [*SHIPPED_LANES.items(), ("float64", 8)] if JIT else [("float64", 16)]
"""Lanes that give the same bits: those that most sweeps take, and another number."""

FOUNDING = {
    "problem": "table:11101011",
    "hidden": (4,),
    "lr": 0.2,
    "order": "random",
    "updates": 999,
}


def pair(**keys):
    """The same setup for the engine and for the oracle."""
    return Setup(**keys), Recipe(**keys)


def group(setup, seeds=None, lanes=LANES, data=None):
    """A group at the start of its runs. `seeds`: 0, 1, … by default; `data`: (X, T), of the
    problem's shape, in its place."""
    work = task(setup, lanes)
    if data is not None:
        X, T = (np.ascontiguousarray(part, np.float64) for part in data)
        targets = targets_of(T, setup.dtype, Goal("rows", setup.tolerance), setup.groups)
        work = work._replace(table=table(X, T, setup.dtype), targets=targets)
    return LaneGroup(work, np.array(range(lanes) if seeds is None else seeds, np.uint64))


def kept(runs, lane):
    """What the optimiser keeps with each parameter of a lane: none, one or two networks."""
    net = runs.task.network
    made = optimizer_of(runs.task.key.optimizer)
    return [
        runs.layers(lane, net.states + i * net.parameters)
        for i in range(made.states if made else 0)
    ]


CHECKED = (0, LANES - 1)
"""Lanes whose networks the oracle follows."""


def assert_near(got, wanted, relative=1e-12):
    """Within `relative` of max(1, |wanted|), parameter by parameter."""
    got, wanted = oracle.flat(got), oracle.flat(wanted)
    assert np.isfinite(wanted).all()
    error = np.abs(got - wanted) / np.maximum(1, np.abs(wanted))
    assert error.max() <= relative, (error.max(), got, wanted)


def assert_in_step(keys, epochs=4, seeds=range(40, 40 + LANES), relative=1e-12, data=None):
    """Kernel and oracle start each epoch from the kernel's weights and what is kept with them, and
    end it alike."""
    setup, recipe = pair(**keys)
    if data is not None:
        recipe = oracle.Recipe(**keys, data=data)
    runs = group(setup, seeds, data=data)
    for lane in CHECKED:
        assert_near(runs.layers(lane), oracle.initial(recipe, seeds[lane]), relative)
    for epoch in range(min(epochs if JIT else 2, recipe.budget_in_epochs)):
        before = [(runs.layers(lane), kept(runs, lane)) for lane in CHECKED]
        runs.advance(1)
        for lane, (network, own) in zip(CHECKED, before, strict=True):
            wanted, *wanted_states = oracle.train_epoch(
                recipe, network, [*own, *oracle.still(network)][:2], seeds[lane], epoch
            )
            assert_near(runs.layers(lane), wanted, relative)
            for got, wanted in zip(kept(runs, lane), wanted_states[0], strict=False):
                assert_near(got, wanted, relative)
        assert set(runs.state.updates) == {
            min((epoch + 1) * recipe.updates_per_epoch, recipe.budget)
        }
    return runs
