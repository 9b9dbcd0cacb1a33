"""Groups of runs, one in each lane of SIMD vectors: train, measure, read and write them."""

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.families import parameter_arrays
from fastbp.engine.tasks import Task, kernels, losses, of_choice, output_deltas
from fastbp.kernels import measures as m
from fastbp.kernels.evaluation import UNDECIDED
from fastbp.kernels.goals import Targets
from fastbp.kernels.layout import Layer
from fastbp.kernels.measures import scratch_of
from fastbp.kernels.training import (
    Lanes,
    Runs,
    Setting,
    lanes_of,
    make_draw,
    runs_of,
)

JUDGED = 1 << 22
"""About as many outputs are judged at once: judging takes several times their memory."""

Layers = list[tuple[NDArray[np.float64], NDArray[np.float64]]]
"""Weights W [out, in] and biases b [out] of each layer."""


def by_name(layers: Layers, bias: bool) -> dict[str, NDArray[np.float64]]:
    """Name the arrays of a network W0, b0, W1, b1, …, with or without its biases."""
    return {
        f"{kind}{layer}": values
        for layer, pair in enumerate(layers)
        for kind, values in zip("Wb"[: 1 + bias], pair, strict=False)
    }


class LaneGroup:
    """A group of runs that are trained side by side, one in each lane of SIMD vectors.

    Parameters
    ----------
    work : Task
        The setup, prepared for the kernels.
    seeds : uint64 array [at most lanes], optional
        Start the runs of these seeds now; otherwise call `start`.
    orders : int
        A distance between seeds: a run with the initial weights of seed s gets the order of samples
        of seed s + orders.
    layers : Layers, optional
        Initial weights for all runs, in place of those that seeds draw.
    """

    def __init__(
        self,
        work: Task,
        seeds: NDArray[np.uint64] | None = None,
        orders: int = 0,
        layers: Layers | None = None,
    ) -> None:
        self.task, self._layers = work, layers
        self.orders = np.uint64(orders)
        key, dtype = work.key, work.table.values.dtype
        self._kernels = kernels(key)
        self._setting = Setting(
            work.network,
            work.table,
            *work.judged,
            work.config,
            of_choice(make_draw, "order", key.order, key.strip),
            output_deltas(key.dtype, key.loss, key.output, work.network.row_weights > 0),
            losses(key.dtype, key.loss, key.output),
        )
        self._deltas = output_deltas("float64", key.loss, key.output)
        rows = work.table.rows, work.judged[1].row_order[0]
        self.state, *self._strips = lanes_of(work.network, work.lanes, key.strip, rows, dtype)
        self._none = runs_of(work.network, 0, dtype)
        self._scratch = scratch_of(work.measured, key.strip, dtype)
        if seeds is not None:
            self.start(seeds)

    def start(self, seeds: NDArray[np.uint64]) -> None:
        """Start new runs from the initial weights of these seeds; spare lanes repeat the last."""
        state = self.state
        state.block[:] = 0
        state.epochs[:] = state.updates[:] = 0
        state.converged_at[:] = UNDECIDED
        self.draw(state, seeds)

    def draw(self, runs: Lanes | Runs, seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds into `runs`; set the seeds of sample orders."""
        work, init = self.task, self.task.setup.calls["init"]
        runs.seeds[: len(seeds)] = seeds
        runs.seeds[len(seeds) :] = seeds[-1:]
        arguments = parameter_arrays(init.choice, init.values)
        scale, fixed = float(work.setup.init_scale), work.setup.fixed_bias
        for block, strip in zip(*map(self._split, (runs.block, runs.seeds)), strict=True):
            self._kernels.initialise(block, strip, work.network, arguments, scale, fixed)
        if self._layers:
            self.set_layers(self._layers, block=runs.block)
        runs.seeds[:] += self.orders

    def advance(self, epochs: int, waiting: Runs | None = None, ended: Runs | None = None) -> None:
        """Train for a number of epochs, but not beyond the budget.

        With `waiting` and `ended`, a lane whose run has ended puts it into `ended` and takes the
        next from `waiting`. Then the call also returns when `ended` is full, or when `waiting` was
        full and is now empty.
        """
        work, refill = self.task, waiting is not None
        setting = self._setting._replace(config=work.config._replace(refill=refill))
        left = epochs if refill else min(epochs, work.setup.epochs_budget - self.epochs)
        runs = waiting or self._none, ended or self._none
        for strip in self._strips:
            self._kernels.advance(strip, setting, left, work.setup.budget, *runs)

    @property
    def epochs(self) -> int:
        """The number of epochs done, if no lane took a second run."""
        return int(self.state.epochs[0])

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self.epochs >= self.task.setup.epochs_budget

    def layers(self, lane: int = 0, offset: int = 0) -> Layers:
        """Read the weights and biases of a lane, float64.

        Parameters
        ----------
        lane : int
            The lane.
        offset : int
            The row of the block to read from: 0 for the weights and biases; `network.states` or
            `network.gradient` for the first state or the gradient of each.
        """
        strip, end = self.task.key.strip, offset + self.task.network.parameters
        rows = self._in_strips(self.state.block)[lane // strip, offset:end, lane % strip]
        rows = rows.astype(np.float64)
        return [
            (
                rows[layer.weights : layer.biases].reshape(layer.units, layer.inputs),
                rows[layer.biases : layer.biases + layer.units],
            )
            for layer in itertools.starmap(Layer, self.task.network.layers)
        ]

    def set_layers(
        self, layers: Layers, lane: int | None = None, block: NDArray[Any] | None = None
    ) -> None:
        """Write weights and biases into a lane, or into all lanes if it is None.

        `block`: the memory to write into, by default that of this group.
        """
        values = np.concatenate([part.ravel() for layer in layers for part in layer])
        strip = self.task.key.strip
        strips = self._in_strips(self.state.block if block is None else block)[:, : len(values)]
        if lane is None:
            strips[...] = values[:, None]
        else:
            strips[lane // strip, :, lane % strip] = values

    def by_lane(self, values: NDArray[Any]) -> NDArray[Any]:
        """Copy a flat array [strip, row, lane], of `Lanes` or `Runs`, as an array [row, lane]."""
        rows: NDArray[Any] = np.concatenate(list(self._in_strips(values)), axis=1)
        return rows

    def _in_strips(self, values: NDArray[Any]) -> NDArray[Any]:
        """View a flat array as [strip, row, lane of the strip], without a copy."""
        strip = self.task.key.strip
        return values.reshape(self.task.lanes // strip, -1, strip)

    def _split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        """Split a flat array into the parts that belong to each strip."""
        return np.split(values, self.task.lanes // self.task.key.strip)

    def measure(
        self,
        with_gradient: bool = True,
        block: NDArray[Any] | None = None,
        held_out: bool = False,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Measure the networks of this group, or of another block.

        `held_out`: over the held-out rows instead of the training rows.

        Returns
        -------
        measures : float64 array [measure, lane]
            Rows as `fastbp.kernels.measures` names them; the gradient norm only with
            `with_gradient`.
        outputs : float64 array [row, output, lane]
            Outputs of the networks.
        """
        work = self.task
        block = self.state.block if block is None else block
        table, targets = (held_out and work.held_out) or (work.table, work.targets)
        strips = self._split(block)
        measures = [np.zeros((m.MEASURES, work.key.strip)) for _ in strips]
        outputs = [np.empty((targets.values.size, work.key.strip)) for _ in strips]
        for strip, *results in zip(strips, measures, outputs, strict=True):
            self._kernels.measure(
                strip,
                self._scratch,
                work.measured,
                table,
                targets,
                self._setting.losses,
                self._deltas,
                work.limits,
                work.setup.bias,
                with_gradient,
                *results,
            )
        return self._judged(_united(measures), _united(outputs), block, targets)

    def _judged(
        self,
        measures: NDArray[np.float64],
        outputs: NDArray[np.float64],
        block: NDArray[Any],
        targets: Targets,
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Finish what `measure` returns, for a few lanes at a time if outputs are very many."""
        work, hidden = self.task, self.task.setup.hidden
        outputs = outputs.reshape(*targets.values.shape, -1)
        weights = self.by_lane(block)[: work.network.parameters].astype(np.float64)
        units = sum(hidden), int(np.isfinite(work.limits[:, 0]) @ hidden)
        few = max(1, JUDGED // targets.values.size)
        for first in range(0, work.lanes, few):
            lanes = slice(first, first + few)
            m.judge(outputs[..., lanes], weights[:, lanes], targets, units, measures[:, lanes])
        for values in (measures, outputs):
            values[np.isnan(values)] = np.nan  # NaN has many bit patterns: store one of them
        return measures, outputs


def _united(strips: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Put the columns of all strips beside each other, and forget the strips."""
    result = strips[0] if len(strips) == 1 else np.concatenate(strips, axis=1)
    strips.clear()
    return result


def after_last_epoch(work: Task, runs: Lanes | Runs) -> LaneGroup:
    """Train the last epoch of runs that have finished all others, in a new group."""
    group, done = LaneGroup(work), work.setup.epochs_budget - 1
    for name in ("block", "seeds", "converged_at"):
        getattr(group.state, name)[:] = getattr(runs, name)
    group.state.epochs[:], group.state.updates[:] = done, done * work.setup.updates_per_epoch
    group.advance(1)
    return group
