"""Write `docs/sweep-file.md`: `python docs/make_sweep_file.py`.

The tables come from the code (`fastbp/schema/keys.py`, the choices and the models). A test compares
the page with what this makes.
"""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import get_type_hints

from fastbp.choices.families import FAMILIES
from fastbp.choices.family import Family
from fastbp.choices.problems import MAX_ROWS
from fastbp.config import choice_syntax, toml_text
from fastbp.config.choice_syntax import SWEEP_KEYS, allowed
from fastbp.config.grid import MAX_DATA, MIN_COLUMNS
from fastbp.config.protocols import Published
from fastbp.config.short_forms import MAX_SETUPS
from fastbp.problems import read_table, table_columns, targets
from fastbp.schema.keys import KEYS
from fastbp.schema.paper_figures import FIGURES, MEANINGS
from fastbp.store import npz

PAGE = Path(__file__).with_name("sweep-file.md")

TOP = {
    "title": ("a string", "the question that the sweep answers"),
    "seeds": (
        "an integer from 1, or `{start = S, count = N}` with S ≥ 0 and S + N ≤ 2⁶³",
        "the number of seeds, and the first one",
    ),
    "setup": ("a table, `[setup]`", "what all setups have: any keys of a setup"),
    "grid": (
        "a table, `[grid]`, or several, `[[grid]]`",
        "lists of values, crossed; several grids are joined",
    ),
    "published": (
        "tables, `[[published]]`",
        "figures that others published of such runs, to compare with ours",
    ),
}


def page() -> str:
    """The page as Markdown."""
    return TEXT.format(
        top=_table(("key", "allowed", "meaning"), ((f"`{key}`", *TOP[key]) for key in SWEEP_KEYS)),
        keys=_table(("key", "default", "allowed", "meaning"), map(_key, KEYS)),
        published=_table(("key", "allowed", "meaning"), map(_published, Published.model_fields)),
        figures=_table(
            ("figure", "meaning"), ((f"`{figure}`", MEANINGS[figure]) for figure in FIGURES)
        ),
        choices="\n\n".join(map(_family, FAMILIES.values())),
        setups=f"{MAX_SETUPS:,}",
        rows=f"{MAX_ROWS:,}",
        classes=f"{targets.MAX_CLASSES:,}",
        few=targets.FEW_CLASSES,
        columns=f"{table_columns.MAX_COLUMNS:,}",
        values=f"{table_columns.MAX_VALUES:,}",
        data=f"{MAX_DATA['file'][0]:,}",
        file_rows=f"{MAX_DATA['file'][1]:,}",
        targets_rows=MAX_DATA["targets"][1],
        min_columns=MIN_COLUMNS,
        text=f"{read_table.MAX_TEXT:,}",
        bytes=f"{npz.MAX_BYTES:,}",
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _published(key: str) -> tuple[str, ...]:
    field = Published.model_fields[key]
    hint = get_type_hints(Published, include_extras=True)[key]
    needed = ", required" if field.is_required() else ""
    values = (
        "a table, or `{KEY = VALUE, …}`: keys of a setup"
        if key == "where"
        else choice_syntax.words(hint)
    )
    return f"`{key}`", values + needed, field.description or ""


def _key(name: str) -> tuple[str, ...]:
    key = KEYS[name]
    values = allowed(name)
    if name in FAMILIES:
        values = ", ".join(f"`{choice.usage}`" for choice in FAMILIES[name].choices.values())
    default = key.default_text or f"`{toml_text.toml(key.default)}`"
    meaning = f"{key.description}; {key.details}" if key.details else key.description
    return f"`{name}`", default, values, meaning


def _family(family: Family) -> str:
    rows = []
    for choice in family.choices.values():
        meaning = _description(choice.function)
        limits = "; ".join(
            f"`{p.name}` {choice_syntax.words(p.annotation)}"
            for p in choice.parameters
            if p.annotation is not str
        )
        rows.append((f"`{choice.usage}`", meaning, limits))
    about = _first_line(inspect.getmodule(next(iter(family.choices.values())).function))
    text = f"### `{family.key}`\n\n{about}\n\n" + _table(("choice", "meaning", "parameters"), rows)
    for p in family.shared:
        limits = choice_syntax.words(p.annotation)
        text += f"\n\nEach may also have `{p.name}={p.name.upper()}`, {limits} "
        text += f"(default {p.default})."
    return text


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


def _description(documented: object) -> str:
    """A docstring without its numpydoc sections, on one line."""
    text = re.split(r"\n\w+\n---", inspect.getdoc(documented) or "")[0]
    return " ".join(text.split())


TEXT = """\
<!-- docs/make_sweep_file.py writes this page: edit that file. -->

# The sweep file

A sweep trains many setups from the same seeds. Its file is TOML: `[setup]` is what all setups
have, `[grid]` lists values for any of its keys, and every combination is trained. The setup of
`[setup]` alone is the baseline that others are compared with, if a grid has it and `[setup]` writes
a value for each key of that grid: a default that nobody wrote is none.

```toml
title = "Order, updates or rate: what fixes a constant network?"
seeds = 10_000

[setup]
problem = "table:11101011"
hidden = [4]
lr = 0.2
order = "random"
updates = 999

[grid]
order = ["random", "shuffled"]
updates = [999, 7_992]
lr = [0.1, 0.2]
```

`python -m fastbp.sweep mine.toml` trains `mine.toml` into `results/mine/`; with `--dry-run` it
only prints the time and space that takes, and with `--detect 3.5` also how many seeds show a
difference of 3.5 points (Connor 1987). In Python, write `fastbp.Sweep.from_toml("mine.toml")` or
`fastbp.Sweep(seeds=…, setup={{…}}, grid={{…}})`, and `fastbp.Setup(problem="xor", …)` for one
setup.

{top}

## Keys of a setup

{keys}

The target range of an output is max − min of its targets over the rows (1 if they are constant).
An epoch is ceil(rows ÷ batch) updates, whatever the order. If the budget is given in updates, the
last epoch may be cut short.

## Choices

Some keys choose a function, with its parameters after a colon: `blocked:3`,
`step:every=10,factor=0.5`. A single parameter needs no name, and the order of several is free.

{choices}

## A plane of initial weights

```toml
seeds = 1_000_000

[setup]
problem = "xor"
hidden = [2]
init = "grid:side=1000,x=0,y=1,origin=9"
init_scale = 3
batch = "full"
epochs = 400
stop = "converged"
```

With `init = "grid:…"` the seeds are the cells of a plane of initial weights. Two parameters, one
across and one up, are at the centres of cells: `init_scale` · (2c + 1 − `side`) / `side` for c
from 0 to `side` − 1 (with side 100 and scale 3 from −2.97 to 2.97). In every run, all other
parameters are those that `init = "uniform"` draws from the seed `origin`. `x` and `y` are the
numbers of the two parameters. They count from 0, layer by layer: first the weights, unit by unit
in the order of the inputs, then the biases of the layer. In the 2-2-1 network above, 0 and 1 are
the weights of the first hidden unit, 2 and 3 those of the second, 4 and 5 their biases, 6 and 7
the weights of the output and 8 its bias. Seed s is the cell in column s mod `side` and row ⌊s ÷
`side`⌋. `side`² seeds cover the plane; further seeds start again, with other orders of samples.
With `batch = "full"` or `order = "cyclic"` the initial weights alone decide how a run ends. The
report draws such a setup as a [map](report.md#planes-of-initial-weights).

## Grids

- Each key of `[grid]` takes a list; all combinations are trained, the last key changing fastest.
- Several grids, `[[grid]]`, are joined, and setups that repeat are trained once.
- A grid takes the place of its keys in `[setup]`, so `[setup]` may be incomplete without it.
  `updates` in a grid takes the place of `epochs` in `[setup]`, and the other way round.
- In a grid, a `?` among the bits of a table stands for 0 and 1: `problem = ["table:????????"]` is
  all 256 functions of three bits, `["table:1???"]` the eight of two bits that are 1 in the first
  row. A table has at most 16 of them, and the tables that a sweep gets so have at most 16,777,216
  bits together. The report shows a store of 16 or more tables of one size as an atlas
  ([report.md](report.md#the-atlas)).
- `hidden = [8, 8]` in `[setup]` is one network of two hidden layers. In a grid an integer is one
  layer and a list is layers: `hidden = [4, 8, [8, 8]]` is three networks. The same goes for
  `targets`: `targets = ["a", "b"]` in `[setup]` is one problem with two target columns; in a grid
  it is two problems, and `targets = [["a", "b"]]` is one.
- `lr = {{from = 0.01, to = 100, count = 25, spaced = "log"}}` is 25 numbers at equal distances on
  a log scale; without `spaced`, on a linear one. The ends are exact. Numbers between them have
  three digits (on a linear scale, three digits of the step), and keys that take integers are
  rounded.
- `hidden = {{width = [2, 4, 8], depth = [1, 2]}}` is every width at every depth, with equal
  layers: 2, 4, 8, 2-2, 4-4 and 8-8. Both may be written as such a series too.
- `collapse` cannot be in a grid: it changes no run.
- A grid may have its own `seeds = N`, an integer from 1, in place of the sweep's number. They
  start where the sweep's do. A setup in several grids has the largest of their numbers. Two
  setups are compared over the seeds that both have.
- At most {setups} setups.

## Problems in files

```toml
seeds = 1_000

[setup]
problem = "file:iris.csv"
targets = ["species"]
scale_inputs = "standard"
hidden = [8]
epochs = 200

[grid]
lr = [0.05, 0.5]
```

- PATH ends in .csv, .parquet or .npz. It is relative to the folder of the sweep file; from Python
  and in `--set`, to the current folder.
- The network learns the columns that `targets` names; all others are inputs. Remove numbers that
  mean nothing, such as an index. The index that pandas adds to a .parquet file is not a column.
- A target column is classes or a quantity. With `target_kind = "auto"`, text, `true`/`false`, and
  the numbers 0 and 1 are classes; two different integers are, and so are integers with at most
  {few} different values that each occur twice or more; all other numbers are quantities.
  `"classes"` takes integers as classes, however many or few there are and also if they are written
  with a decimal point; `"quantity"` takes integers and `true`/`false` as numbers.
- Classes are sorted: numbers by size, text by code point. Two make one output, 0 for the first and
  1 for the second; more than two make one output each (one-hot). 0, 1, `true` and `false` stay
  what they are. Several target columns of two classes that are one-hot already, with exactly one 1
  in every row, are one target.
- Quantities lie from 0 to 1, as a sigmoid answers, or `scale_targets = "minmax"` makes them. Then
  `fastbp.retrain` and `fastbp replay` show targets and outputs in the units of the table.
- `test = 0.25` holds a quarter of the rows out: rows × test, rounded half up, but at least one and
  not all. The draw is stratified: each class, or combination of classes of several targets, has
  its share of the held-out rows, by the method of largest remainders, but a row of each stays to
  train on where there are enough. It is the same for all
  seeds, and for all setups with the same table, `targets`, `target_kind` and `test`: each row draws
  a word of Philox-4×64, with the first half of the digest of the data before scaling as its key,
  and the smallest words are held out. Epochs, batches and scales go by the other rows.
- With `test_split = "last"` the last rows of the table are held out, whatever their classes: for
  tables that are split already, and for rows in the order of time.
- With `test_split = "seed"` each seed has a draw of its own, whose counter starts at
  (seed + 1) · 2¹²⁸, and its own scales. Runs are then trained one at a time, which took 27 times as
  long as side by side (Iris, 100 epochs; 20 times with 1,000). Pages show their outputs without
  targets and not in the units of the table; `fastbp diagnose` refuses it.
- Inputs are numbers, `true` or `false`. They are not scaled unless `scale_inputs` says so:
  `standard` is (x − mean)/σ with σ over n, `minmax` is (x − min)/(max − min), over the rows to
  train on; a column that is constant there becomes 0.
- A .csv is UTF-8 text with commas, and its first line names the columns. Its numbers are read to
  the nearest double, as in Python.
- A .parquet has numbers, flags and text of at most {text} bytes, by the types of Parquet, where a
  duration is an integer.
- A .npz holds `X` [row, input] and `T` [row, output] (or one T a row), by the same rules and
  without `targets`. It may name their columns in `inputs` and `outputs`. Pickled arrays are not
  read.
- A file has at most {rows} rows, {columns} columns, {values} values in all, {classes} labels in a
  column, and {bytes} bytes, packed or unpacked. All files of a sweep have at most {data} inputs
  and targets together, counted for each `targets`. Small ones count as larger, since many take
  long: a file as of {file_rows} rows and {min_columns} columns or more, each `targets` of
  {targets_rows} rows and {min_columns} columns or more. Every row has a value in every column:
  empty cells are missing values, and nothing else is (a class may be called NA or None). A sweep
  refuses a file with missing values and names the rows; `fastbp diagnose` leaves these rows out and
  says so. Rows are counted from 1, below the names.
- The id of a setup depends on the file's name, without folders, and on a digest of X and T as
  trained. The digest of the same data is the same in all three formats. If a file changes, its
  setups are new ones beside the old. The sweep file in a store has a path relative to the store,
  and `problems/` in the store holds X and T with what the outputs mean.

## What others published

```toml
seeds = 100_000

[setup]
problem = "xor"
hidden = [2]
init = "uniform"
init_scale = 1.4
batch = "full"
lr = 7.0
momentum = 0.65
epochs = 2_000
stop = "converged"

[[published]]
source = "Hamey 1992, NIPS 4:1167-1174"
figure = "mean"
value = 50
runs = 10_000
```

A sweep may compare its runs with what a paper printed about such runs: `published.csv`, the
terminal and the page then show both with their 95% intervals, and say whether these overlap
([published.md](published.md) walks through an example). This changes no setup and no run.

{published}

Each figure says how certain it is: `runs`, `plus_minus`, or `low` and `high`. A printed
uncertainty counts before one from `runs`.

{figures}

A run converges at the first evaluation where its outputs are within the tolerance. With `batch =
"full"` every epoch ends with an evaluation; otherwise add `eval_every = 1`, or epochs are counted
in tens.

## Over the file: `--set` and `--seeds`

- `--set KEY=VALUE` reads VALUE as TOML, and a bare word as a string: `--set lr=0.5 --set
  order=cyclic`. It may be repeated; the last one of a key counts.
- A value replaces the key in `[setup]` and removes it from every grid. A list is a grid: `--set
  lr=[0.1,0.2]` (a list of one is its value). So a list of layers or of several targets needs
  another list around it: `--set 'hidden=[[8,8]]'` is one network, `--set 'targets=[["a","b"]]'`
  one problem.
- A table with `?` is a grid too: `--set problem=table:????` is 16 problems.
- `--seeds N` replaces the file's number of seeds, and those of its grids; its start stays. With
  `--until-width` and `--bisect`, too, all setups have the same seeds.

## Mistakes

All mistakes are reported at once, one line each, with the file, the key, what was given and what
is allowed. Then nothing is trained or written, and the exit code is 2. In Python the same lines
are in `fastbp.SweepError.lines`.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
