"""The columns of `runs/*.parquet`: their types and meanings, and since when they exist."""

import math
from functools import cache
from typing import NamedTuple

import pyarrow as pa

from fastbp.schema.keys import KEYS, MAX_REAL, ColumnType

SCHEMA = 4
"""The version of this set of columns; the footer of a file of runs has it as `fastbp.schema`.

To add a column, raise the number by one and give the column this number as `since`. Files with a
smaller number lack the column; when they are read, its `default` fills it.
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
        Its meaning, in a few words.
    nullable : str
        When it is null, in words; empty if it never is.
    since : int
        The first `SCHEMA` with this column.
    default : str, int, float, bool or None
        Its value in all rows of older files. None means null, which needs `nullable`.
    least, most : float
        The range of its numbers.
    """

    name: str
    kind: ColumnType
    meaning: str
    nullable: str = ""
    since: int = 1
    default: str | int | float | bool | None = None
    least: float = 0
    most: float = math.inf


SETUP_COLUMNS: tuple[Column, ...] = tuple(
    Column(k.column, k.kind, k.description, k.nullable, k.since, k.column_default, most=most)
    for k in KEYS.values()
    for most in [MAX_REAL if k.kind == "real" else math.inf]
)
"""One column for each key of a setup, in the order of `KEYS`."""

_MOST_UPDATES = 2**53  # so that they are exact as real numbers; no run gets there

_FINITE = "where a weight is not finite or an output is not a number"
_NO_LABEL = "where no target is a label, or the file is older"
_NO_QUANTITY = "where no target is a quantity that varies, or the file is older"
_NO_TEST = "where no row is held out, and where the same of the training rows is null"

RESULT_COLUMNS: tuple[Column, ...] = (
    Column("setup", "word", "12 hex digits that identify the setup"),
    Column("seed", "integer", "one initial network and its own sample order"),
    Column("outcome", "word", "the state at the end of the run"),
    Column("updates_done", "integer", "updates made", most=_MOST_UPDATES),
    Column(
        "converged_at",
        "integer",
        "updates at the first evaluation at which it had converged",
        "where it never had",
        most=_MOST_UPDATES,
    ),
    Column(
        "loss",
        "real",
        "mean over rows of the sum over outputs, ½ included",
        _FINITE + " or a unit's input overflows",
        least=-math.inf,
    ),
    Column(
        "loss_start",
        "real",
        "the same before the first update, infinite where it overflows",
        least=-math.inf,
    ),
    Column(
        "spread",
        "real",
        "largest (max − min over rows) ÷ target range over outputs",
        _FINITE + " or no target varies",
    ),
    Column("spread_start", "real", "the same before the first update", "where no target varies"),
    Column("max_error", "real", "largest |o − t| ÷ target range", _FINITE),
    Column(
        "wrong",
        "integer",
        "rows with a wrong label, or a quantity on the wrong side of the middle",
        _FINITE,
    ),
    Column(
        "one_sided",
        "flag",
        "whether all rows get the same labels, and no target is a quantity",
        _FINITE,
    ),
    Column(
        "accuracy",
        "real",
        "share of rows with the right class in every label target",
        f"{_FINITE}, no target is a label, or the file is older",
        since=2,
        most=1,
    ),
    Column(
        "accuracy_start", "real", "the same before the first update", _NO_LABEL, since=2, most=1
    ),
    Column(
        "r2",
        "real",
        "R², the mean over the targets that are quantities and vary",
        f"{_FINITE}, no target is such a quantity, or the file is older",
        since=2,
        least=-math.inf,
        most=1,
    ),
    Column(
        "r2_start",
        "real",
        "the same before the first update",
        _NO_QUANTITY,
        since=2,
        least=-math.inf,
        most=1,
    ),
    Column("test_accuracy", "real", "accuracy on the held-out rows", _NO_TEST, since=2, most=1),
    Column(
        "test_r2", "real", "R² on the held-out rows", _NO_TEST, since=2, least=-math.inf, most=1
    ),
    Column(
        "test_loss",
        "real",
        "loss on the held-out rows",
        _NO_TEST,
        since=2,
        least=-math.inf,
    ),
    Column(
        "saturation",
        "real",
        "share of rows × sigmoid and tanh hidden units with |2σ − 1| or |tanh| above 0.9",
        f"{_FINITE}, or no hidden unit is sigmoid or tanh",
        most=1,
    ),
    Column(
        "dead_units",
        "real",
        "share of hidden units with the same activation, within 10⁻⁶, for every row",
        f"{_FINITE}, or the file is older",
        since=3,
        most=1,
    ),
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
"""All columns of the table of runs, in the order of files."""

SCORES = ("accuracy", "r2", "test_accuracy", "test_r2")
"""Columns that grade a network, from 1 at best down to 0, or without bound for R²."""

MAX_OUTPUTS = 64
"""A run's outputs are stored if rows × outputs is at most this."""


@cache
def schema() -> pa.Schema:
    """The Arrow schema of `runs/*.parquet`."""
    types = {
        "word": pa.dictionary(pa.int32(), pa.string()),
        "integer": pa.int64(),
        "real": pa.float64(),
        "flag": pa.bool_(),
        "reals": pa.list_(pa.float32()),
    }
    return pa.schema([pa.field(c.name, types[c.kind], nullable=bool(c.nullable)) for c in COLUMNS])
