"""Write `docs/sweep-file.md` from the model: `python docs/make_sweep_file.py`. A test holds the
page equal to what this makes."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import get_type_hints

from fastbp.choices.families import FAMILIES
from fastbp.choices.family import Family
from fastbp.choices.problems import MAX_ROWS
from fastbp.config import choice_syntax, toml_text
from fastbp.config.grid import MAX_SETUPS
from fastbp.config.protocols import Published
from fastbp.config.setup import Setup, allowed
from fastbp.config.sweep import Sweep
from fastbp.problems import read_table, targets
from fastbp.schema.paper_figures import FIGURES, MEANINGS

PAGE = Path(__file__).with_name("sweep-file.md")

TOP = {
    "title": "a string",
    "seeds": "an integer from 1, or `{start = S, count = N}` with S ≥ 0 and S + N ≤ 2⁶³",
    "setup": "a table, `[setup]`",
    "grid": "a table, `[grid]`, or several, `[[grid]]`",
    "published": "tables, `[[published]]`",
}
DEFAULTS = {
    "problem": "required",
    "targets": "–",
    "epochs": "one of the two",
    "updates": "one of the two",
    "eval_every": '10, or 1 with `batch = "full"`',
}


def page() -> str:
    """The page as Markdown."""
    return TEXT.format(
        top=_table(("key", "allowed", "meaning"), map(_top, Sweep.model_fields)),
        keys=_table(("key", "default", "allowed", "meaning"), map(_key, Setup.model_fields)),
        published=_table(("key", "allowed", "meaning"), map(_published, Published.model_fields)),
        figures=_table(
            ("figure", "meaning"), ((f"`{figure}`", MEANINGS[figure]) for figure in FIGURES)
        ),
        choices="\n\n".join(map(_family, FAMILIES.values())),
        setups=f"{MAX_SETUPS:,}",
        rows=f"{MAX_ROWS:,}",
        classes=f"{targets.MAX_CLASSES:,}",
        columns=f"{read_table.MAX_COLUMNS:,}",
        values=f"{read_table.MAX_VALUES:,}",
        bytes=f"{read_table.MAX_BYTES:,}",
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def _top(key: str) -> tuple[str, ...]:
    return f"`{key}`", TOP[key], Sweep.model_fields[key].description or ""


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


def _key(key: str) -> tuple[str, ...]:
    field = Setup.model_fields[key]
    default = DEFAULTS.get(key) or f"`{toml_text.toml(field.default)}`"
    values = (
        ", ".join(f"`{choice.usage}`" for choice in FAMILIES[key].choices.values())
        if key in FAMILIES
        else allowed(key)
    )
    return f"`{key}`", default, values, field.description or ""


def _family(family: Family) -> str:
    rows = []
    for choice in family.choices.values():
        meaning = _first_line(choice.function)
        limits = "; ".join(
            f"`{p.name}` {choice_syntax.words(p.annotation)}"
            for p in choice.parameters
            if p.annotation is not str
        )
        rows.append((f"`{choice.usage}`", meaning, limits))
    about = _first_line(inspect.getmodule(family.functions[0]))
    text = f"### `{family.key}`\n\n{about}\n\n" + _table(("choice", "meaning", "parameters"), rows)
    for p in family.shared:
        text += f"\n\nEach may also take `{p.name}={p.name.upper()}`, {choice_syntax.words(p.annotation)} (default {p.default})."
    return text


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


TEXT = """\
<!-- Made from the model by docs/make_sweep_file.py: edit that, not this. -->

# The sweep file

A sweep trains many setups, each from the same seeds. Its file is TOML: `[setup]` is the baseline, `[grid]` gives lists of
values for any of its keys, and every combination is trained.

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

`python -m fastbp.sweep mine.toml` trains `mine.toml` into `results/mine/`, and with `--dry-run` it only says what that would
take. From Python the same is
`fastbp.Sweep.from_toml("mine.toml")`, or `fastbp.Sweep(seeds=…, setup={{…}}, grid={{…}})`, and one setup is
`fastbp.Setup(problem="xor", …)`.

{top}

## Keys of a setup

{keys}

The target range of an output is max − min of its targets over the rows (1 where they are constant). An epoch is ceil(rows ÷
batch) updates, whatever the order; where the budget is given in updates, the last epoch may be cut short.

## Choices

Some keys choose a function, and its parameters stand behind a colon: `blocked:3`, `step:every=10,factor=0.5`. A single
parameter needs no name, and their order is free.

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

With `init = "grid:…"` seeds are no draws but the cells of a plane: two parameters, one across and one up, stand at the centres of
cells, `init_scale` · (2c + 1 − `side`) / `side` for c from 0 to `side` − 1 (with side 100 and scale 3 from −2.97 to 2.97), and
all others are, in every run, those of the seed `origin` with `init = "uniform"`. `x` and `y` are numbers of parameters, counted
from 0 layer by layer; in a layer unit by unit, the weights of a unit in the order of its inputs; then the biases of that layer.
In the 2-2-1 network above, 0 and 1 are the weights of the first hidden unit, 2 and 3 those of the second, 4 and 5 their biases, 6
and 7 the weights of the output and 8 its bias. Seed s stands in column s mod `side` and row ⌊s ÷ `side`⌋: `side`² seeds are the
whole plane, and further ones start again, with other orders of samples. With `batch = "full"` or `order = "cyclic"` the start
alone decides how a run ends. The report draws such a setup as a [map](report.md#planes-of-initial-weights).

## Grids

- Each key of `[grid]` takes a list; all combinations are trained, the last key changing fastest.
- Of several grids, `[[grid]]`, the union is taken, and setups that repeat are trained once.
- A grid takes the place of its keys in `[setup]`, so `[setup]` need not be complete without it. `updates` in a grid takes the
  place of `epochs` in `[setup]`, and the other way round.
- In a grid, a `?` among the bits of a table is each of the two: `problem = ["table:????????"]` are all 256 functions of three
  bits, `["table:1???"]` the eight of two bits that are 1 in the first row. At most 16 of them stand in a table. A store of tables
  of one size, from 16 on, is reported as an atlas ([report.md](report.md#the-atlas)).
- `hidden = [8, 8]` in `[setup]` is one network of two hidden layers. In a grid an integer is one layer and a list is layers:
  `hidden = [4, 8, [8, 8]]` are three networks. So it is with `targets`: `targets = ["a", "b"]` in `[setup]` is one problem with
  two target columns; in a grid they are two problems, and `targets = [["a", "b"]]` is one.
- `lr = {{from = 0.01, to = 100, count = 25, spaced = "log"}}` stands for so many numbers evenly apart, on a log scale; without
  `spaced`, on a plain one. Those between the ends have three digits (on a plain scale, of a step), and whole numbers are rounded.
- `hidden = {{width = [2, 4, 8], depth = [1, 2]}}` is every width at every depth, all layers of a network alike: 2, 4, 8, 2-2, 4-4
  and 8-8. Both may be such a series too.
- `collapse` stands in no grid: no run changes with it.
- A grid may have `seeds = N` of its own, an integer from 1, in place of the sweep's number; they start where the sweep's do. A
  setup in several grids has as many as the one that says most. Changes between two setups are told over the seeds that both have.
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

- PATH ends in .csv, .parquet or .npz. It is seen from the folder of the sweep file; from Python and in `--set`, from the
  current folder.
- The columns that `targets` names are learnt; all others are inputs. Leave out numbers that say nothing, such as an index. Of a
  .parquet file the index that pandas adds is no column.
- Text, `true`/`false` and integers in a target column are labels, sorted: numbers by size, text by code point. Two make one
  output, 0 for the first and 1 for the second; more than two make one output each (one-hot). 0, 1, `true` and `false` stay what
  they are. Quantities are written with a decimal point and lie from 0 to 1.
- Inputs are numbers, `true` or `false`, and are trained as they are unless `scale_inputs` says otherwise: `standard` is (x −
  mean)/σ with σ over n, `minmax` is (x − min)/(max − min); a constant column is 0.
- A .csv is UTF-8 text with commas, and its first line names the columns. Its numbers are read to the nearest double, as Python
  reads them.
- A .npz holds `X` [row, input] and `T` [row, output] (or one T a row), by the same rules and without `targets`; it may name
  their columns in `inputs` and `outputs`. Nothing pickled is read.
- At most {rows} rows, {columns} columns, {values} values in all, {classes} labels in a column, and {bytes} bytes, packed or
  unpacked. Every row has a value in every column: in a .csv an empty
  field is a missing value, and `NA` or `None` is text, such as a class. Rows are counted from 1, below the names.
- A setup is identified by the file's name, without folders, and a digest of X and T as trained: of the same data the digest is
  the same in all three formats. A file that changes makes new setups beside the old. The sweep file that a store keeps leads to
  the data by a path relative to the store, and `problems/` in the store holds X and T themselves.

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

A sweep may hold its runs against what a paper printed of such runs: `published.csv`, the terminal and the page then have both
with their 95% intervals, and say whether these overlap ([published.md](published.md) walks through an example). Nothing of it
changes a setup or a run.

{published}

Each says how certain it is: `runs`, `plus_minus`, or `low` and `high`; what was printed goes before what `runs` would give.

{figures}

A run converges at the first look that finds it so. With `batch = "full"` there is a look after each epoch; otherwise say
`eval_every = 1`, or epochs are counted in tens.

## Over the file: `--set` and `--seeds`

- `--set KEY=VALUE` reads VALUE as TOML, and a bare word as a string: `--set lr=0.5 --set order=cyclic`. It may be given many
  times; the last one of a key counts.
- A value takes the key's place in `[setup]` and takes it out of every grid. A list is a grid: `--set lr=[0.1,0.2]` (a list of
  one is its value). So a list of layers or of several targets stands in another list: `--set 'hidden=[[8,8]]'` is one network,
  `--set 'targets=[["a","b"]]'` one problem.
- So is a table with `?`: `--set problem=table:????` is a grid of 16 problems.
- `--seeds N` takes the place of the file's number of seeds, and of those of its grids; its start stays. With `--until-width` and
  `--bisect` too, all setups have the same seeds.

## Mistakes

Every mistake is reported at once, in a line each that names the file, the key, what was given and what is allowed; nothing is
trained or written then, and the exit code is 2. From Python the same lines are in `fastbp.SweepError.lines`.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
