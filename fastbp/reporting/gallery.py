"""The gallery: a Markdown file with the question, answer and best figure of many stores."""

import html
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import StringIO
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from fastbp.analysis.summary import keys_of
from fastbp.reporting.phrases import plain
from fastbp.schema.text import and_, plural
from fastbp.store import safe_files
from fastbp.store.provenance import read_made

FILE = "README.md"

MARK = "<!-- Made by fastbp sweep --all: edit the sweep files, not this. -->"
"""The first line, which tells a generated gallery from a file that somebody wrote."""

MANY = 4
"""A map is shown if both its keys have at least this many values; bars are preferred to survival
curves for at least this many setups."""


Page = tuple[str, str, dict[str, str]]
"""(title, answer, labels) of a page; `labels`: the label of each figure by the stem of its file."""


def is_generated(results: Path) -> bool:
    """Whether the gallery's file in a folder may be written: it is missing or was generated."""
    try:
        return safe_files.read(results / FILE).startswith(MARK.encode())
    except OSError:
        return not (results / FILE).exists()


def text(results: Path, commands: Mapping[str, str], command: str) -> str:
    """Write the text of the gallery from the pages, `summary.csv` and `made.json` of its stores.

    Parameters
    ----------
    results : Path
        The folder of the gallery.
    commands : mapping
        For each store of the gallery, by the name of its folder, the command that made it. Stores
        without a page are named at the end.
    command : str
        The command that makes the whole gallery.

    Raises
    ------
    OSError
        If a store cannot be read.
    """
    pages = {name: page_of(results / name) for name in commands}
    there = {name: page for name, page in pages.items() if page is not None}
    summaries = [
        pd.read_csv(
            StringIO(safe_files.text_of(results / name / "summary.csv", results / name)),
            dtype=str,
            keep_default_na=False,
        )
        for name in there
    ]
    runs = [int(summary["runs"].astype(int).sum()) for summary in summaries]
    lines = [
        MARK,
        "",
        "# Results",
        "",
        _opening([results / name for name in there], sum(runs), command),
    ]
    for (name, page), summary, count in zip(there.items(), summaries, runs, strict=True):
        lines += ["", *_section(results, name, commands[name], page, summary, count)]
    if missing := [f"`{name}`" for name, page in pages.items() if page is None]:
        lines += ["", f"Not there yet: {and_(missing)}."]
    return "\n".join(lines) + "\n"


def _opening(stores: Sequence[Path], runs: int, command: str) -> str:
    total = efforts_of(*stores)
    # An interrupted command left runs without a time.
    least = "at least " * bool(total["runs"].sum() < runs)
    where = f" on {and_([_escaped(cpu) for cpu in total['cpu'].unique()])}" * (not total.empty)
    return (
        f"The question of {'each of ' * (len(stores) != 1)}{plural(len(stores), 'sweep')}, its "
        f"answer in a sentence, and a figure that leads to the page: {plural(runs, 'run')} and "
        f"{least}{_updates(int(total['updates'].sum()))}, which took {least}"
        f"{_seconds(total['seconds'].sum())}{where}. "
        "Every sentence, number and figure is computed from the runs. This command makes the "
        "gallery, and continues where it was stopped:\n\n"
        f"```sh\n{command}\n```\n\n"
        "The times are those of all commands that trained the runs, from their start to the "
        "tables. They do not include compiling, which is done once on each machine, and drawing "
        "the page."
    )


def _section(
    results: Path, name: str, command: str, page: Page, summary: pd.DataFrame, runs: int
) -> list[str]:
    folder, efforts = quote(name), efforts_of(results / name)
    title, answer, figures = page
    lines = [f"## {_escaped(title)}", "", _escaped(answer), ""]
    if figure := best_figure(
        [*figures], len(summary), {key: summary[key].nunique() for key in keys_of(summary)}
    ):
        files = [f"figures/{figure}.{kind}" for kind in ("svg", "png")]
        sizes = {
            each: (results / name / each).stat().st_size
            for each in files
            if (results / name / each).is_file()
        }
        file = min(sizes, key=sizes.__getitem__, default=files[0])  # the smaller one
        # Screen readers read this text aloud, so characters are removed and not escaped.
        label = re.sub(r"[][\\`<>]", "", plain(" ".join(figures[figure].split())))
        lines += [f"[![{label}]({folder}/{quote(file)})]({folder}/report.html)", ""]
    total, took = efforts.sum(), ""
    if total["seconds"]:
        seconds = f"{_seconds(total['seconds'])} on {plural(int(efforts['jobs'].max()), 'core')}"
        took = f", {_updates(int(total['updates']))}, {seconds}"
        if total["runs"] < runs:  # an interrupted command left runs without a time
            took = f"; {plain(int(total['runs']))} of them took {seconds}"
    return [
        *lines,
        f"`{command}`: {plural(runs, 'run')} in {plural(len(summary), 'setup')}{took}. "
        f"[The page]({folder}/report.html), [the table]({folder}/summary.csv).",
    ]


# What a store says about itself

_COUNTS = ("updates", "jobs", "runs")
"""The counts in an entry of `made.json`."""

_FIGURE = re.compile(r'aria-label="([^"]*)"(.*)', re.DOTALL)
_STEM = re.compile(r'href="figures/([\w.-]+)\.svg"')
"""Of a figure of a page that has files: its label, and behind that the stem of the files."""


def page_of(store: Path) -> Page | None:
    """Read the page of a store; None where there is none."""
    try:
        text = safe_files.text_of(store / "report.html", store)
    except (OSError, ValueError):
        return None
    # not with one pattern, which would take very long over a page that somebody made for that
    title, has_title, _ = text.partition("<h1><bdi>")[2].partition("</bdi></h1>")
    verdict = text.partition('<section class="verdict"')[2].partition("<p>")[2]
    answer, has_answer, _ = verdict.partition("</p>")
    if not has_title or not has_answer:
        return None
    figures = {}
    for part in text.split("<figure>")[1:]:
        if (label := _FIGURE.search(part)) and (stem := _STEM.search(label[2])):
            figures[stem[1]] = html.unescape(label[1])
    return html.unescape(title), html.unescape(answer), figures


def efforts_of(*stores: Path) -> pd.DataFrame:
    """The commands in `made.json` of some stores, a row each; malformed entries are left out.

    `seconds`: how long a command took, without compiling. `updates`, `runs`: what it trained: fewer
    runs than the store has if it was interrupted. `jobs`: how many jobs were parallel. `cpu`: the
    name of the processor.
    """
    rows = []
    for entry in chain.from_iterable(map(read_made, stores)):
        with suppress(TypeError, KeyError, ValueError, OverflowError):
            spent, cpu = entry["seconds"], str(entry["cpu"])
            seconds = float(spent["total"]) - float(spent.get("compile", 0))
            rows.append([seconds, *(int(entry[name]) for name in _COUNTS), cpu])
    return pd.DataFrame(rows, columns=["seconds", *_COUNTS, "cpu"])


def best_figure(figures: Sequence[str], setups: int, values: Mapping[str, int]) -> str | None:
    """Choose the figure of a page that stands in the gallery, by the stem of its file.

    The first of these that the page has is chosen: an atlas, networks by what they are made of, a
    basin, a map over two keys with many values, a curve over one key; then survival curves for few
    setups, and bars for many.
    """
    many = {key for key, count in values.items() if count >= MANY}
    many |= {"width", "depth"} if "hidden" in many else set()
    maps = {f"map-{x}-{y}" for x in many for y in many}
    last = ["survival", "outcomes"] if setups < MANY else ["outcomes", "survival"]
    wanted = [
        "atlas",
        "cures",
        *(name for name in reversed(figures) if name.startswith("basin")),
        *(name for name in figures if name in maps),
        *(name for name in figures if name.startswith("response-")),
        *last,
        *figures,
    ]
    return next((name for name in wanted if name in figures), None)


# Markdown


def _escaped(text: str) -> str:
    """Escape a text so that Markdown shows it literally."""
    return re.sub(r"([\\`*_\[\]<>&#|~])", r"\\\1", plain(" ".join(text.split())))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def _updates(updates: int) -> str:
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if updates >= size:
            return f"{updates / size:,.3g} {name} updates"
    return plural(updates, "update")
