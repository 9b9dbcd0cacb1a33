"""Write `docs/sweep-file.md` from the model: `python docs/make_sweep_file.py`. A test holds the page equal to what this makes."""

import inspect
from collections.abc import Iterable
from pathlib import Path

from fastbp.choices.families import FAMILIES
from fastbp.choices.family import Family
from fastbp.choices.problems import MOST_ROWS
from fastbp.engine import decoding, problem_files, reading
from fastbp.engine.spec import MOST_SETUPS, Setup, Sweep, allowed

PAGE = Path(__file__).with_name("sweep-file.md")

TOP = {
    "title": "a string",
    "seeds": "an integer from 1, or `{start = S, count = N}` with S ≥ 0 and S + N ≤ 2⁶³",
    "setup": "a table, `[setup]`",
    "grid": "a table, `[grid]`, or several, `[[grid]]`",
}
DEFAULTS = {
    "problem": "required",
    "targets": "–",
    "epochs": "one of the two",
    "updates": "one of the two",
    "check_every": '10, or 1 with `batch = "full"`',
}


def page() -> str:
    """The page as Markdown."""
    return TEXT.format(
        top=_table(("key", "allowed", "meaning"), map(_top, Sweep.model_fields)),
        keys=_table(("key", "default", "allowed", "meaning"), map(_key, Setup.model_fields)),
        choices="\n\n".join(map(_family, FAMILIES.values())),
        setups=f"{MOST_SETUPS:,}",
        rows=f"{MOST_ROWS:,}",
        classes=f"{problem_files.MOST_CLASSES:,}",
        columns=f"{decoding.MOST_COLUMNS:,}",
        values=f"{decoding.MOST_VALUES:,}",
        bytes=f"{decoding.MOST_BYTES:,}",
        missing=", ".join(f"`{word}`" for word in decoding.MISSING if word),
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _top(key: str) -> tuple[str, ...]:
    return f"`{key}`", TOP[key], Sweep.model_fields[key].description or ""


def _key(key: str) -> tuple[str, ...]:
    field = Setup.model_fields[key]
    default = DEFAULTS.get(key) or f"`{reading.toml(field.default)}`"
    values = ", ".join(f"`{choice.usage}`" for choice in FAMILIES[key].choices.values()) if key in FAMILIES else allowed(key)
    return f"`{key}`", default, values, field.description or ""


def _family(family: Family) -> str:
    rows = []
    for choice in family.choices.values():
        meaning = _first_line(choice.function)
        limits = "; ".join(f"`{p.name}` {reading.words(p.annotation)}" for p in choice.parameters if p.annotation is not str)
        rows.append((f"`{choice.usage}`", meaning, limits))
    about = _first_line(inspect.getmodule(family.functions[0]))
    text = f"### `{family.key}`\n\n{about}\n\n" + _table(("choice", "meaning", "parameters"), rows)
    for p in family.shared:
        text += f"\n\nEach may also take `{p.name}={p.name.upper()}`, {reading.words(p.annotation)} (default {p.default})."
    return text


def _first_line(documented: object) -> str:
    return (inspect.getdoc(documented) or "").partition("\n")[0]


TEXT = """\
<!-- Made from the model by docs/make_sweep_file.py: edit that, not this. -->

# The sweep file

A sweep trains many setups, each from the same seeds. Its file is TOML: `[setup]` is the baseline, `[grid]` gives lists of
values for any of its keys, and every combination is trained.

```toml
title = "Order, updates or rate: what mends a constant network?"
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

## Grids

- Each key of `[grid]` takes a list; all combinations are trained, the last key changing fastest.
- Of several grids, `[[grid]]`, the union is taken, and setups that repeat are trained once.
- A grid takes the place of its keys in `[setup]`, so `[setup]` need not be complete without it. `updates` in a grid takes the
  place of `epochs` in `[setup]`, and the other way round.
- `hidden = [8, 8]` in `[setup]` is one network of two hidden layers. In a grid an integer is one layer and a list is layers:
  `hidden = [4, 8, [8, 8]]` are three networks. So it is with `targets`: `targets = ["a", "b"]` in `[setup]` is one problem with
  two target columns; in a grid they are two problems, and `targets = [["a", "b"]]` is one.
- `lr = {{from = 0.01, to = 100, count = 25, spaced = "log"}}` stands for so many numbers evenly apart, on a log scale; without
  `spaced`, on a plain one. Those between the ends have three digits (on a plain scale, of a step), and whole numbers are rounded.
- `hidden = {{width = [2, 4, 8], depth = [1, 2]}}` is every width at every depth, all layers of a network alike: 2, 4, 8, 2-2, 4-4
  and 8-8. Both may be such a series too.
- `collapse` stands in no grid: no run changes with it.
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
  unpacked. Every row has a value in every column: empty fields and {missing} in a .csv
  count as missing. Rows are counted from 1, below the names.
- A setup is identified by the file's name, without folders, and a digest of X and T as trained: of the same data the digest is
  the same in all three formats. A file that changes makes new setups beside the old. The sweep file that a store keeps leads to
  the data by a path relative to the store, and `problems/` in the store holds X and T themselves.

## Over the file: `--set` and `--seeds`

- `--set KEY=VALUE` reads VALUE as TOML, and a bare word as a string: `--set lr=0.5 --set order=cyclic`. It may be given many
  times; the last one of a key counts.
- A value takes the key's place in `[setup]` and takes it out of every grid. A list is a grid: `--set lr=[0.1,0.2]` (a list of
  one is its value). So a list of layers or of several targets stands in another list: `--set 'hidden=[[8,8]]'` is one network,
  `--set 'targets=[["a","b"]]'` one problem.
- `--seeds N` takes the place of the file's number of seeds; its start stays.

## Mistakes

Every mistake is reported at once, in a line each that names the file, the key, what was given and what is allowed; nothing is
trained or written then, and the exit code is 2. From Python the same lines are in `fastbp.SweepError.lines`.
"""

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
