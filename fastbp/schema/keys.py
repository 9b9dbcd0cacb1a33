"""The keys of a setup, in one table.

A row of `KEYS` says everything about a key. The checks of sweep files (`config/choice_syntax.py`),
`Setup` and its ids (`config/setup.py`), the columns of the table of runs (`schema/columns.py`), the
options of `fastbp diagnose` and `docs/sweep-file.md` are made from it. A new key needs a row here,
a typed attribute of `Setup` (a test compares the two), and code that acts on it.
"""

from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen

NUMERICS_VERSION = 2
"""The version of all results: it is raised when any bit of a result changes (docs/numerics.md).

All runs of a store have one version.
"""

MAX_PARAMETERS = 1_000_000  # 8 MB a lane: beyond any network that is trained from many seeds
LAST_SEED = 2**63  # the seed after the last one: seeds are int64 columns
MAX_UPDATES = 10**12  # an hour and a half a run, at about 5 ns each
MAX_EPOCHS = 2**32 - 1  # the epoch is one 32-bit word of the random counter
MAX_REAL = 10.0**6  # far past where anything trains; finite in float32
MAX_LAYERS = 16
MAX_SIDE = 4_000  # points along the side of a plane of initial weights: a gigabyte to draw
MAX_WORD = 1_000_000  # bytes in a file of runs, such as the names of thousands of targets

ColumnType = Literal["word", "integer", "real", "flag", "reals"]
"""How a column of the table of runs is stored (`schema/columns.py`)."""


class Key(NamedTuple):
    """One key of a setup.

    Parameters
    ----------
    name
        How sweep files, `Setup` and `--set` spell it.
    annotation
        What a value may be: a type with limits. It is `str` for keys whose values are choices,
        such as `blocked:3`; `fastbp.choices.families.FAMILIES` says what these may be.
    default
        The value if none is given; None if there is no default.
    kind
        The type of its column in the table of runs.
    description
        What it is, for docs, pages and `--help`.
    details
        More about it, for docs/sweep-file.md alone.
    default_text
        The default in words, where `default` cannot say it.
    renamed
        The name of its column, where that is not the key's.
    stored_default
        The default in the table of runs, where that is not `default`. A value that equals the
        default is left out of the setup's id.
    nullable
        Where its column is null, in words; empty where it never is.
    since
        The first `fastbp.schema.columns.SCHEMA` with its column. Rows of files with a smaller
        number count as having `column_default`.
    label
        How people say its name, where that is not the name with spaces; pictures have it.
    in_id
        Whether the id of a setup depends on it. It does if the key changes runs, and only then a
        grid may list values of it.
    """

    name: str
    annotation: Any
    default: Any
    kind: ColumnType
    description: str
    details: str = ""
    default_text: str = ""
    renamed: str = ""
    stored_default: Any = None
    nullable: str = ""
    since: int = 1
    in_id: bool = True
    label: str = ""

    @property
    def spoken(self) -> str:
        """How people say its name, on the axes of pictures."""
        return self.label or self.name.replace("_", " ")

    @property
    def column(self) -> str:
        """The name of its column in the table of runs."""
        return self.renamed or self.name

    @property
    def column_default(self) -> Any:
        """The default of its column in the table of runs."""
        return self.default if self.stored_default is None else self.stored_default


_NO_RATE = "where the optimiser has no learning rate"

KEYS: dict[str, Key] = {
    key.name: key
    for key in (
        Key("problem", str, None, "word", "what the network learns", default_text="required"),
        Key(
            "targets",
            Annotated[tuple[str, ...], MinLen(1), MaxLen(1024)] | None,
            None,
            "word",
            "target columns of a `file:` problem",
            default_text="–",
            nullable="where the problem is not a file",
        ),
        Key(
            "target_kind",
            Literal["auto", "classes", "quantity"],
            "auto",
            "word",
            "whether the targets of a `file:` problem are classes or quantities",
            details="with `auto`, text, true and false, the numbers 0 and 1, and two different "
            "integers are classes, and so are integers with at most 20 different values that each "
            "occur twice or more; all other numbers are quantities",
            since=2,
        ),
        Key(
            "test",
            Annotated[float, Ge(0), Le(0.9)],
            0.0,
            "real",
            "share of the rows that is held out: networks are not trained on these rows",
            label="held-out share",
            details="they are drawn once for a problem, with an equal share of each class",
            since=2,
        ),
        Key(
            "test_split",
            Literal["fixed", "seed", "last"],
            "fixed",
            "word",
            "which rows are held out: the same for all seeds, others for each, or the last ones",
            since=4,
        ),
        Key(
            "scale_inputs",
            Literal["none", "standard", "minmax"],
            "none",
            "word",
            "how each input column is scaled",
            details="`standard` to mean 0 and σ 1, `minmax` to 0…1",
        ),
        Key(
            "scale_targets",
            Literal["none", "minmax"],
            "none",
            "word",
            "how each target column that is a quantity is scaled",
            details="`minmax` to 0…1 over the training rows; outputs are shown in the units of the "
            "table",
            since=2,
        ),
        Key(
            "target_margin",
            Annotated[float, Ge(0), Lt(0.5)],
            0.0,
            "real",
            "m maps targets 0…1 to m…1−m",
        ),
        Key(
            "hidden",
            Annotated[tuple[Annotated[int, Ge(1), Le(4096)], ...], MinLen(1), MaxLen(MAX_LAYERS)],
            (4,),
            "word",
            "hidden layer sizes",
            label="hidden units",
            details="the problem gives the numbers of inputs and outputs",
            stored_default="4",
        ),
        Key("init", str, "normal", "word", "distribution of the initial weights"),
        Key(
            "init_scale",
            Annotated[float, Gt(0), Le(MAX_REAL)],
            1.0,
            "real",
            "scale of the initial weights",
            label="scale of the initial weights",
        ),
        Key("bias", bool, True, "flag", "whether units have a bias"),
        Key(
            "bias_init",
            Literal["init", "zeros"] | Annotated[float, Ge(-MAX_REAL), Le(MAX_REAL)],
            "init",
            "word",
            "initial biases",
            details="`init` as `init` has them, or the same number for all",
            since=3,
        ),
        Key(
            "activation",
            str,
            "sigmoid",
            "word",
            "activation of the hidden units",
            details="a list has one for each hidden layer; in a grid it is a list in the list",
            since=3,
        ),
        Key("output", str, "sigmoid", "word", "activation of the output units", since=3),
        Key(
            "loss",
            str,
            "squared",
            "word",
            "the loss that training minimises",
            renamed="loss_function",  # the column `loss` is the measured loss
        ),
        Key(
            "class_weight",
            Literal["none", "balanced"],
            "none",
            "word",
            "how much each row counts in training",
            details="`balanced`: rows ÷ (classes × rows of its class), so that all classes count "
            "the same",
            since=2,
        ),
        Key(
            "prime_offset",
            Annotated[float, Ge(0), Le(MAX_REAL)],
            0.0,
            "real",
            "added to f′ in backpropagation",
        ),
        Key("order", str, "shuffled", "word", "how samples are presented"),
        Key(
            "batch",
            Annotated[int, Ge(1), Le(65_536)] | Literal["full"],
            1,
            "integer",
            "rows per update",
            label="batch size",
        ),
        Key(
            "reduction",
            Literal["sum", "mean"],
            "sum",
            "word",
            "whether an update takes the sum or the mean of the gradients of its batch",
        ),
        Key(
            "lr",
            Annotated[float, Gt(0), Le(MAX_REAL)],
            0.1,
            "real",
            "learning rate before the schedule",
            label="learning rate",
            nullable=_NO_RATE,
        ),
        Key(
            "schedule",
            str,
            "constant",
            "word",
            "how the learning rate changes from epoch to epoch",
            nullable=_NO_RATE,
        ),
        Key(
            "optimizer",
            str,
            "sgd",
            "word",
            "how gradients change the weights",
            details="`momentum`, `nesterov` and `weight_decay` belong to `sgd`; `rprop` has no "
            "learning rate: in a grid with others it is one setup for all `lr` and `schedule`",
            since=3,
        ),
        Key("momentum", Annotated[float, Ge(0), Lt(1)], 0.0, "real", "α in v ← αv − lr·g"),
        Key(
            "nesterov",
            bool,
            False,
            "flag",
            "whether momentum looks ahead: w ← w + αv − lr·g",
            since=3,
        ),
        Key(
            "weight_decay",
            Annotated[float, Ge(0), Le(MAX_REAL)],
            0.0,
            "real",
            "λ in g ← g + λw, for weights and not for biases",
        ),
        Key(
            "epochs",
            Annotated[int, Ge(1), Le(MAX_EPOCHS)] | None,
            None,
            "integer",
            "the budget in epochs",
            details="an epoch is ceil(rows ÷ batch) updates; or give `updates`",
            default_text="one of the two",
            nullable="where the budget was given in updates",
        ),
        Key(
            "updates",
            Annotated[int, Ge(1), Le(MAX_UPDATES)] | None,
            None,
            "integer",
            "the budget in updates",
            details="or give `epochs`",
            default_text="one of the two",
        ),
        Key(
            "tolerance",
            Annotated[float, Gt(0), Le(0.5)],
            0.4,
            "real",
            "a run has converged when every output is this close to its target, as a share of the "
            "target range",
            details='with `success = "rows"`',
        ),
        Key(
            "success",
            str | None,
            None,
            "word",
            "what a network must reach to count as converged",
            details="`rows`: every output of every row is within `tolerance`; the others look at "
            "the share of rows with the right answer, at R², or at the loss",
            default_text="`rows`; for tables `r2:0.9` where targets are quantities, and where they "
            "are classes `accuracy:0.95` or, if more, halfway between the share of the commonest "
            "class and 1",
            stored_default="rows",
            since=2,
        ),
        Key(
            "success_on",
            Literal["train", "test"],
            "train",
            "word",
            "the rows on which success is judged",
            details="`test` are the rows held out",
            since=2,
        ),
        Key(
            "collapse",
            Annotated[float, Gt(0), Lt(1)],
            0.1,
            "real",
            "outputs that spread by less than this share of the target range count as constant",
            details="it changes no run, so it is not part of a setup's id and cannot be in a grid",
            in_id=False,
        ),
        Key(
            "eval_every",
            Annotated[int, Ge(1), Le(MAX_EPOCHS)] | None,
            None,
            "integer",
            "epochs between evaluations",
            default_text='10, or 1 with `batch = "full"` and `success = "rows"`',
            stored_default=10,
        ),
        Key(
            "stop",
            Literal["budget", "converged"],
            "budget",
            "word",
            "when a run ends",
            details="`budget` goes on after it has reached `success`; `converged` ends it there, "
            "even if its outputs span less than `collapse`, and also ends what diverged",
        ),
        Key("dtype", Literal["float64", "float32"], "float64", "word", "the arithmetic"),
    )
}
"""All keys by name, in the order of the table of runs. Row digests depend on this order."""

ALTERNATIVE = {"updates": "epochs", "epochs": "updates"}
"""For each key of the budget the other one: a setup has only one of the two."""

COLUMN_DEFAULTS: dict[str, Any] = {key.column: key.column_default for key in KEYS.values()}
"""The default of each column of a setup, by the column's name; None if there is none."""
