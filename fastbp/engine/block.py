"""One block of runs, setup + seeds → rows: the one caller of the kernels."""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastbp.choices.families import FAMILIES, compiled_choices, own_values
from fastbp.columns import COLUMNS, MOST_OUTPUTS, schema
from fastbp.engine.cores import available_cores
from fastbp.engine.spec import MOST_EPOCHS, Setup
from fastbp.kernels import measures as m
from fastbp.kernels.compiling import cache_folder, inlined, is_on_disk, one_of
from fastbp.kernels.measures import Targets, make_measure, targets_of, value_pass
from fastbp.kernels.memory import empty_block
from fastbp.kernels.network import Network, Table, network, table
from fastbp.kernels.products import work_size
from fastbp.kernels.real import to_bits
from fastbp.kernels.training import Lanes, Rule, Runs, lanes_of, make_advance, make_initialise, make_rates, output_pass, runs_of
from fastbp.outcomes import OUTCOMES, classify

if TYPE_CHECKING:
    import pyarrow as pa

SLICE_SECONDS = 0.1
"""About how long one call into compiled code may take: between calls the driver's wish to stop is heard."""

MANY_BYTES = 400_000
"""Work block of a group of runs up to which many go side by side: larger ones leave the second level of the cache."""

SAMPLES = 16
"""Samples of a batch that are taken at once: so many share the loading of a weight and the storing of its gradient."""

compilers: list[subprocess.Popen[bytes]] = []
"""Processes that compile for this one, to be ended with it."""


class InterruptedBlockError(Exception):
    """The driver wishes to stop; the block is given up."""


class Kernels(NamedTuple):
    """The compiled functions for one number of lanes, but for the trainer."""

    initialise: Any
    rates: Any
    measure: Any


@cache
def kernels(lanes: int) -> Kernels:
    """Put the kernels together from the choices; each is compiled when it is first called with a dtype."""
    return Kernels(
        make_initialise(compiled_choices("init")),
        make_rates(compiled_choices("schedule")),
        make_measure(one_of([value_pass(loss) for loss in _losses()]), lanes),
    )


@cache
def trainer(lanes: int, online: bool) -> Any:
    """The trainer for so many lanes, for online learning or for batches, put together and compiled likewise."""
    return make_advance(compiled_choices("order"), one_of([output_pass(loss) for loss in _losses()]), lanes, online)


@cache
def _losses() -> list[Callable[..., Any]]:
    return [inlined(choice.function) for choice in FAMILIES["loss"].choices.values()]


class Task(NamedTuple):
    """Everything that kernels need of a setup, made once for all its blocks."""

    lanes: int
    online: bool
    network: Network
    double_network: Network
    table: Table
    targets: Targets
    rule: Rule
    init: int
    init_own: Any
    init_scale: float
    epochs: int
    updates_per_epoch: int
    budget: int


@lru_cache(maxsize=8)
def task(setup: Setup, lanes: int | None = None) -> Task:
    """Prepare a setup for the kernels. `lanes`: how many runs go side by side, by default what its memory suggests."""
    dtype = np.dtype(setup.dtype)
    X, T = setup.data()
    calls = setup.calls
    net, suggested = layout(setup)
    lanes = lanes or suggested
    order = calls["order"]
    rule = Rule(
        batch=setup.batch_rows,
        mean=setup.reduction == "mean",
        all_alike=setup.resolved_order == "cyclic",
        bias=setup.bias,
        biases=to_bits(dtype.type(0)) - setup.bias,
        rates=rates(setup).astype(dtype),
        momentum=dtype.type(setup.momentum),
        weight_decay=dtype.type(setup.weight_decay),
        prime_offset=dtype.type(setup.prime_offset),
        loss=calls["loss"].choice.code,
        order=order.choice.code,
        order_own=own_values(order.choice, order.values),
        check_every=setup.looks_every,
        tolerance=setup.tolerance,
        refill=setup.stop == "converged",
    )
    return Task(
        lanes=lanes,
        online=is_online(setup),
        network=net,
        double_network=measured_network(setup),
        table=table(X, T, dtype),
        targets=targets_of(T),
        rule=rule,
        init=calls["init"].choice.code,
        init_own=own_values(calls["init"].choice, calls["init"].values),
        init_scale=float(setup.init_scale),
        epochs=setup.epochs_budget,
        updates_per_epoch=setup.updates_per_epoch,
        budget=setup.budget,
    )


def is_online(setup: Setup) -> bool:
    """Whether each sample changes the weights by itself, so that no gradient and no velocity need to be kept."""
    return setup.batch_rows == 1 and setup.momentum == 0 and setup.weight_decay == 0


def samples_at_once(setup: Setup) -> int:
    """How many samples of a batch the kernel takes at once, 0 for online learning."""
    return 0 if is_online(setup) else _equal_parts(setup.batch_rows)


def measured_network(setup: Setup) -> Network:
    """The work block in which a setup is measured."""
    return network(setup.sizes, _equal_parts(setup.rows), presented=False)


def _equal_parts(rows: int) -> int:
    """How many of so many rows are taken at once: equal parts, as far as can be."""
    return -(-rows // -(-rows // SAMPLES))


def layout(setup: Setup) -> tuple[Network, int]:
    """The work block of a setup, and how many runs go side by side."""
    at_once = samples_at_once(setup)
    plain = not setup.momentum and not setup.weight_decay and setup.reduction == "sum"
    net = network(setup.sizes, at_once, not plain or setup.batch_rows > at_once, setup.resolved_order != "cyclic")
    return net, suggested_lanes(net, np.dtype(setup.dtype))


class Kind(NamedTuple):
    """What of a setup its kernels are compiled for: all else they are told."""

    dtype: str
    lanes: int
    online: bool


def kind_of(setup: Setup) -> Kind:
    """The kernels that a setup needs."""
    return Kind(setup.dtype, layout(setup)[1], is_online(setup))


def kept_outputs(setup: Setup) -> int:
    """Outputs that are stored with each run."""
    rows, _, units = setup.shape
    return rows * units if rows * units <= MOST_OUTPUTS else 0


def suggested_lanes(net: Network, dtype: np.dtype[Any]) -> int:
    """How many runs go side by side: many, but for networks of several hundred weights.

    Two numbers only, since each is compiled for itself; the smallest block is a multiple of both. Rows of an odd number of cache
    lines, so that they do not all fall into the same few sets of the cache.
    """
    many, few = (168, 56) if dtype.itemsize == 8 else (336, 112)
    return many if net.rows * many * dtype.itemsize <= MANY_BYTES else few


def rates(setup: Setup) -> NDArray[np.float64]:
    """Learning rates, float64 [epoch]; the last one holds for all later epochs."""
    schedule = setup.calls["schedule"]
    constant = schedule.choice.name == "constant"
    if constant and not setup.warmup:
        return np.array([float(setup.lr)])  # nothing to compile for
    length = setup.warmup + 1 if constant else setup.epochs_budget
    out = np.empty(length)
    own = own_values(schedule.choice, schedule.values)
    kernels(0).rates(float(setup.lr), schedule.choice.code, own, setup.warmup, setup.epochs_budget, out)
    return out


class Group:
    """A group of runs side by side: what the kernels change, and what they are called with."""

    def __init__(self, work: Task, seeds: NDArray[np.uint64] | None = None) -> None:
        self.task = work
        self.kernels = kernels(work.lanes)
        self.trainer = trainer(work.lanes, work.online)
        self.state: Lanes = lanes_of(work.network, work.lanes, work.targets.look_at, work.table.values.dtype)
        self.none = runs_of(work.network, 0, work.table.values.dtype)
        dtype, samples = work.table.values.dtype, work.double_network.samples
        size = work_size(samples.rows, work.lanes, dtype.itemsize)
        self.work, self.double_work = empty_block(size, dtype), empty_block(size, np.float64)
        self.double = empty_block(work.double_network.rows * work.lanes, np.float64)
        if seeds is not None:
            self.start(seeds)

    def start(self, seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds, uint64 [≤ lanes]; lanes left over repeat the last."""
        state = self.state
        state.block[:] = 0
        state.epochs[:] = state.updates[:] = 0
        state.converged_at[:] = -1
        self.draw(state.block, state.seeds, seeds)

    def draw(self, block: NDArray[Any], place: NDArray[np.uint64], seeds: NDArray[np.uint64]) -> None:
        """Draw the initial weights of these seeds into a block, and note the seeds in `place`."""
        work = self.task
        place[: len(seeds)] = seeds
        place[len(seeds) :] = seeds[-1]
        self.kernels.initialise(block, place, work.network, work.init, work.init_own, work.init_scale, work.rule.bias)

    def advance(self, epochs: int) -> None:
        """Train for so many epochs, or to the end of the budget."""
        work = self.task
        epochs = min(epochs, work.epochs - self.epochs)
        rule, none = work.rule._replace(refill=False), self.none
        self.trainer(self.state, work.network, work.table, work.targets, rule, epochs, work.budget, none, none)

    def refill(self, epochs: int, waiting: Runs, ended: Runs) -> None:
        """Train for at most so many epochs, taking runs from `waiting` and handing them to `ended`."""
        work = self.task
        self.trainer(
            self.state, work.network, work.table, work.targets, work.rule, epochs, work.budget, waiting, ended
        )  # fmt: skip

    def resume(self, runs: Runs, epochs: int, updates: int) -> None:
        """Take up as many runs as there are lanes where they stand."""
        kept = len(runs.block) // len(runs.seeds) * self.task.lanes
        self.state.block[:kept] = runs.block[:kept]
        self.state.seeds[:], self.state.converged_at[:] = runs.seeds, runs.converged_at
        self.state.epochs[:], self.state.updates[:] = epochs, updates

    @property
    def epochs(self) -> int:
        """Epochs done, where no lane is refilled."""
        return int(self.state.epochs[0])

    @property
    def done(self) -> bool:
        """Whether the budget is used up."""
        return self.epochs >= self.task.epochs

    def finished(self, work: Task) -> Group:
        """A copy of this group, one epoch before the end of a shorter task, brought to that end."""
        copy = Group(work)
        for name, values in self.state._asdict().items():
            getattr(copy.state, name)[:] = values
        copy.advance(1)
        return copy

    def measure(
        self, with_gradient: bool = True, block: NDArray[Any] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The measures, float64 [measure, lane], and the outputs, float64 [row, output, lane], of this group or another block."""
        work = self.task
        measures = np.zeros((m.MEASURES, work.lanes))
        outputs = np.empty((*work.targets.values.shape, work.lanes))
        self.kernels.measure(
            self.state.block if block is None else block, self.work, work.network, work.table, work.targets, work.rule.loss,
            work.rule.bias, self.double, self.double_work, work.double_network, with_gradient,
            measures.ravel(), outputs.ravel(),
        )  # fmt: skip
        m.judge(outputs, work.targets, measures)
        for values in (measures, outputs):
            if (missing := np.isnan(values)).any():
                values[missing] = np.nan  # whose bits are those of one NaN, however it came about
        return measures, outputs


class Rows(NamedTuple):
    """What is measured of the runs of a block, [run] each, in the order of their seeds."""

    updates_done: NDArray[np.int64]
    converged_at: NDArray[np.int64]
    start: NDArray[np.float64]
    """Measures before the first update, [measure, run]."""
    end: NDArray[np.float64]
    outputs: NDArray[np.float64]
    """[run, row × output]; empty where there are too many to keep."""


def train(
    setup: Setup,
    start: int,
    count: int,
    *,
    lanes: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    slice_seconds: float = SLICE_SECONDS,
) -> Rows:
    """Train the seeds start … start + count − 1 of a setup.

    Raises InterruptedBlockError soon after `stopped()` becomes true, and ArithmeticError where this thread flushes denormals to
    zero.
    """
    (rows,) = train_at_once([setup], start, count, lanes=lanes, stopped=stopped, slice_seconds=slice_seconds)
    return rows


def train_at_once(
    setups: Sequence[Setup],
    start: int,
    count: int,
    *,
    lanes: int | None = None,
    stopped: Callable[[], bool] = lambda: False,
    slice_seconds: float = SLICE_SECONDS,
) -> list[Rows]:
    """Train the seeds start … start + count − 1 of setups that differ in their budget alone, the longest first: the rows of each.

    The others are beginnings of the first, so only that one is trained whole (`plan` says which setups these are). Of each other
    one the last epoch is done on a copy, by its own task: it may be cut short, and a run looks at its end. Raises as `train`.
    """
    check_denormals()
    *shorter, work = (task(setup, lanes) for _, setup in sorted({setup.budget: setup for setup in setups}.items()))
    rows = {part.budget: _rows_of(count, kept_outputs(setups[0])) for part in (work, *shorter)}
    pace = _Pace(stopped, slice_seconds)
    group = Group(work)
    if work.rule.refill and work.budget >= work.updates_per_epoch:  # with less than an epoch there is but one look
        _train_refilled(group, start, rows[work.budget], pace)
        return [rows[work.budget]]
    for first in range(0, count, work.lanes):
        used = min(work.lanes, count - first)
        group.start(np.arange(start + first, start + first + used, dtype=np.uint64))
        here, columns = np.arange(first, first + used), np.arange(used)
        begun = group.measure(with_gradient=False)[0][:, :used]
        for part in shorter:
            while group.epochs < part.epochs - 1:
                pace(group.advance, part.epochs - 1 - group.epochs)
            _record(rows[part.budget], here, group.finished(part), columns)
        while not group.done:
            pace(group.advance)
        _record(rows[work.budget], here, group, columns)
        for each in rows.values():
            each.start[:, here] = begun
    return [rows[setup.budget] for setup in setups]


def _rows_of(count: int, outputs: int) -> Rows:
    """Room for so many runs."""
    return Rows(
        np.empty(count, np.int64),
        np.empty(count, np.int64),
        np.empty((m.MEASURES, count)),
        np.empty((m.MEASURES, count)),
        np.empty((count, outputs)),
    )


class _Pace:
    """How many epochs a call into compiled code gets, so that it takes about as long as a slice."""

    def __init__(self, stopped: Callable[[], bool], seconds: float) -> None:
        self._stopped = stopped
        self._seconds = seconds
        self._epochs = 1

    def __call__(self, advance: Callable[[int], None], most: int = MOST_EPOCHS) -> None:
        """Call `advance` with a number of epochs. Raises InterruptedBlockError where the driver wishes to stop."""
        if self._stopped():
            raise InterruptedBlockError
        epochs = min(self._epochs, most)
        began = time.perf_counter()
        advance(epochs)
        took = time.perf_counter() - began
        # Doubling at most: the first call may have been a cold one.
        self._epochs = max(1, min(MOST_EPOCHS, int(epochs * min(2.0, self._seconds / max(took, 1e-9)))))


def _record(rows: Rows, here: NDArray[np.intp], group: Group, columns: NDArray[np.intp], runs: Runs | None = None) -> None:
    """Measure runs that have ended, the columns of a group or of `runs`, into the rows `here`."""
    measures, outputs = group.measure(block=runs.block if runs else None)
    state = runs or group.state
    rows.end[:, here] = measures[:, columns]
    rows.updates_done[here] = state.updates[columns]
    rows.converged_at[here] = state.converged_at[columns]
    if rows.outputs.shape[1]:
        rows.outputs[here] = outputs[..., columns].reshape(rows.outputs.shape[1], -1).T


def _train_refilled(group: Group, start: int, rows: Rows, pace: _Pace) -> None:
    """Train until each run has converged or used up its budget; a lane whose run has ended takes the next seed at a look."""
    work, state = group.task, group.state
    dtype = work.table.values.dtype
    waiting, ended, cut_short = (runs_of(work.network, work.lanes, dtype) for _ in range(3))
    count, drawn = len(rows.updates_done), 0

    def draw() -> None:
        nonlocal drawn
        used = min(work.lanes, count - drawn)
        waiting.filled[:] = 0, used
        if used:
            seeds = np.arange(start + drawn, start + drawn + used, dtype=np.uint64)
            group.draw(waiting.block, waiting.seeds, seeds)
            rows.start[:, drawn : drawn + used] = group.measure(with_gradient=False, block=waiting.block)[0][:, :used]
            drawn += used

    def collect() -> None:
        columns = np.arange(ended.filled[1])
        whole = (ended.converged_at[columns] >= 0) | (ended.updates[columns] == work.budget)
        here = (ended.seeds[columns] - np.uint64(start)).astype(np.intp)
        _record(rows, here[whole], group, columns[whole], ended)
        for column in columns[~whole]:  # their last epoch is not a whole one
            to = cut_short.filled[1]
            cut_short.block.reshape(-1, work.lanes)[:, to] = ended.block.reshape(-1, work.lanes)[:, column]
            cut_short.seeds[to] = ended.seeds[column]
            cut_short.filled[1] += 1
            if cut_short.filled[1] == work.lanes:
                finish()
        ended.filled[:] = 0

    def finish() -> None:
        used = int(cut_short.filled[1])
        if used:
            last = Group(work)
            cut_short.seeds[used:] = cut_short.seeds[0]
            cut_short.converged_at[:] = -1
            last.resume(cut_short, work.epochs - 1, (work.epochs - 1) * work.updates_per_epoch)
            last.advance(1)
            columns = np.arange(used)
            _record(rows, (cut_short.seeds[columns] - np.uint64(start)).astype(np.intp), last, columns)
            cut_short.filled[:] = 0

    while True:
        if waiting.filled[0] == waiting.filled[1]:
            draw()
        pace(lambda epochs: group.refill(epochs, waiting, ended))
        over = drawn == count and waiting.filled[0] == waiting.filled[1] and not state.running.any()
        if over or ended.filled[1] == work.lanes:
            collect()
        if over:
            finish()
            return


def warm_up(kind: Kind) -> None:
    """Compile the kernels of a kind, or load them from disk, so that no block has to.

    Where they are not on disk and there is a second core, a second process compiles the measures meanwhile.
    """
    group = Group(task(_smallest(kind), kind.lanes))
    other = None
    if cache_folder() and not is_on_disk(group.kernels.measure, kind.dtype) and available_cores() > 1:
        code = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from fastbp.engine.block import Kind, warm_up_measures; warm_up_measures({kind!r})"
        )
        quiet = subprocess.DEVNULL
        other = subprocess.Popen([sys.executable, "-c", code], stdin=quiet, stdout=quiet, stderr=quiet)
        compilers.append(other)
    try:
        with _no_collections():
            group.advance(0)
        if other:
            other.wait()
    finally:
        if other:
            other.kill()
    warm_up_measures(kind)


def warm_up_measures(kind: Kind) -> None:
    """Compile, or load, what is called once a run: initial weights and measures."""
    with _no_collections():
        Group(task(_smallest(kind), kind.lanes), np.zeros(1, np.uint64)).measure()


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hold off the garbage collector: compiling makes millions of objects that live, and looking through them costs a tenth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _smallest(kind: Kind) -> Setup:
    return Setup(problem="xor", updates=1, dtype=kind.dtype, batch=1 if kind.online else 2)


def check_denormals() -> None:
    """Raise ArithmeticError where a library has switched off denormals on this thread: results would differ in last bits."""
    smallest_normal = np.array([np.finfo(np.float64).tiny])
    if smallest_normal[0] * 0.5 == 0.0:
        raise ArithmeticError(
            "denormal numbers are flushed to zero on this thread (some library switched them off, usually with -ffast-math): "
            "results would not be the same bits as elsewhere"
        )


def to_arrow(setup: Setup, start: int, rows: Rows) -> pa.Table:
    """The rows as they are stored: one Arrow table with the columns of `fastbp.columns`."""
    import pyarrow as pa

    count = len(rows.updates_done)
    finite = rows.end[m.FINITE] == 1.0
    end = np.where(finite, rows.end, np.nan)
    codes = classify(end[m.MAX_ERROR], end[m.SPREAD], end[m.ONE_SIDED] == 1.0, setup.tolerance, setup.collapse)

    def word(value: str | None) -> pa.Array:
        indices = pa.array(np.zeros(count, np.int32), mask=np.full(count, value is None))
        return pa.DictionaryArray.from_arrays(indices, pa.array([value or ""], pa.string()))

    def real(values: NDArray[np.float64]) -> pa.Array:
        return pa.array(values, pa.float64(), mask=np.isnan(values))

    columns: dict[str, pa.Array] = {}
    types = {field.name: field.type for field in schema()}
    for name, value in setup.columns().items():
        if pa.types.is_dictionary(types[name]):
            columns[name] = word(value)
        else:
            columns[name] = pa.repeat(pa.scalar(value, types[name]), count)
    columns |= {
        "setup": word(setup.identity()),
        "seed": pa.array(np.arange(start, start + count, dtype=np.int64)),
        "outcome": pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array([str(o) for o in OUTCOMES])),
        "updates_done": pa.array(rows.updates_done),
        "converged_at": pa.array(rows.converged_at, mask=rows.converged_at < 0),
        "loss": real(end[m.LOSS]),
        "loss_start": real(rows.start[m.LOSS]),
        "spread": real(end[m.SPREAD]),
        "spread_start": real(rows.start[m.SPREAD]),
        "max_error": real(end[m.MAX_ERROR]),
        "wrong": pa.array(np.where(finite, rows.end[m.WRONG], 0).astype(np.int64), mask=~finite),
        "one_sided": pa.array(end[m.ONE_SIDED] == 1.0, mask=~finite),
        "saturation": real(end[m.SATURATION]),
        "grad_norm": real(end[m.GRAD_NORM]),
        "weight_max": real(end[m.WEIGHT_MAX]),
        "outputs": lists(rows.outputs.astype(np.float32), finite),
    }
    return pa.table([columns[column.name] for column in COLUMNS], schema=schema())


def lists(values: NDArray[np.float32], valid: NDArray[np.bool_]) -> pa.Array:
    """Rows of `values`, [run, output], as list<float32>; null where not valid or where there are none."""
    import pyarrow as pa

    width = values.shape[1]
    valid = valid & (width > 0)
    offsets = np.concatenate([[0], np.cumsum(np.where(valid, width, 0))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values[valid].ravel()), mask=pa.array(~valid))
