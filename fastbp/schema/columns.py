"""The columns of a run, those of `runs/*.parquet`: type, meaning, and since when they exist."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import pyarrow as pa

ColumnType = Literal["word", "integer", "real", "flag", "reals"]


SCHEMA = 1
"""Number of this set of columns; the footer of a file of runs states it (`fastbp.schema`).

To add a column, raise the number by one and give the column this number as `since`. Files with a
smaller number lack it: where they are read, its `default` stands in for it.
"""


class Column(NamedTuple):
    """One column of the table of runs.

    Attributes
    ----------
    name : str
        Its name in files, tables and data frames.
    kind : ColumnType
        Its type.
    meaning : str
        What it says, in a few words.
    nullable : str
        Where it is null, in words; empty where it never is.
    since : int
        The first `SCHEMA` with this column.
    default : str, int, float, bool or None
        Its value in all rows of files that are older. None, null, needs `nullable`.
    """

    name: str
    kind: ColumnType
    meaning: str
    nullable: str = ""
    since: int = 1
    default: str | int | float | bool | None = None


SETUP_COLUMNS: tuple[Column, ...] = (
    Column("problem", "word", "what is learnt"),
    Column(
        "targets",
        "word",
        "target columns of a file problem, comma-separated",
        "where the problem is not a file",
    ),
    Column("scale_inputs", "word", "how each input column is scaled"),
    Column("target_margin", "real", "m maps targets 0…1 to m…1−m"),
    Column("hidden", "word", 'hidden layer sizes, as "8-8"'),
    Column("init", "word", "distribution of the initial weights"),
    Column("init_scale", "real", "scale of the initial weights"),
    Column("bias", "flag", "whether units have a bias"),
    Column(
        "loss_function",
        "word",
        "what is minimised: the key `loss`, whose name the measured loss has",
    ),
    Column("prime_offset", "real", "added to σ′ in backpropagation"),
    Column("order", "word", "how samples are presented"),
    Column("batch", "integer", "rows per update"),
    Column("reduction", "word", "sum or mean of the gradient over a batch"),
    Column("lr", "real", "learning rate before the schedule"),
    Column("schedule", "word", "how the learning rate moves"),
    Column("momentum", "real", "α in v ← αv − lr·g"),
    Column("weight_decay", "real", "λ in g ← g + λw, weights only"),
    Column(
        "epochs",
        "integer",
        "the budget in epochs, as written",
        "where the budget was written in updates",
    ),
    Column("updates", "integer", "the budget in updates"),
    Column("tolerance", "real", "share of the target range within which an output counts as right"),
    Column("collapse", "real", "share of the target range below which outputs count as constant"),
    Column("eval_every", "integer", "epochs between evaluations"),
    Column("stop", "word", "when a run ends"),
    Column("dtype", "word", "the arithmetic"),
)

_FINITE = "where a weight is not finite"

RESULT_COLUMNS: tuple[Column, ...] = (
    Column("setup", "word", "12 hex digits that identify the setup"),
    Column("seed", "integer", "one initial network and its own sample order"),
    Column("outcome", "word", "the state at the end of the run"),
    Column("updates_done", "integer", "updates made"),
    Column(
        "converged_at",
        "integer",
        "updates at the first evaluation at which it had converged",
        "where it never had",
    ),
    Column(
        "loss",
        "real",
        "mean over rows of the sum over outputs, ½ included",
        _FINITE + " or a unit's input overflows",
    ),
    Column("loss_start", "real", "the same before the first update"),
    Column(
        "spread",
        "real",
        "largest (max − min over rows) ÷ target range over outputs",
        _FINITE + " or no target varies",
    ),
    Column("spread_start", "real", "the same before the first update", "where no target varies"),
    Column("max_error", "real", "largest |o − t| ÷ target range", _FINITE),
    Column("wrong", "integer", "rows with an output on the wrong side of the middle", _FINITE),
    Column(
        "one_sided",
        "flag",
        "whether in every output unit all rows fall on one side of the middle",
        _FINITE,
    ),
    Column("saturation", "real", "share of rows × hidden units outside 0.05…0.95", _FINITE),
    Column(
        "grad_norm",
        "real",
        "Euclidean norm of the gradient of the loss",
        _FINITE + " or a unit's input overflows",
    ),
    Column("weight_max", "real", "largest |weight or bias|", _FINITE),
    Column(
        "outputs", "reals", "outputs of every row, row-major", _FINITE + " or rows × outputs > 64"
    ),
)

COLUMNS: tuple[Column, ...] = SETUP_COLUMNS + RESULT_COLUMNS

MAX_OUTPUTS = 64
"""Rows × outputs up to which a run's outputs are stored."""


@cache
def schema() -> pa.Schema:
    """The Arrow schema of `runs/*.parquet`."""
    import pyarrow as pa

    types = {
        "word": pa.dictionary(pa.int32(), pa.string()),
        "integer": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "reals": pa.list_(pa.float32()),
    }
    return pa.schema([pa.field(c.name, types[c.kind], nullable=bool(c.nullable)) for c in COLUMNS])
