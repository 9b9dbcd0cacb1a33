"""The gallery: a contact sheet of stores, with the first picture and the finding of each."""

import csv
import html
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from io import BytesIO, TextIOWrapper
from itertools import chain
from pathlib import Path
from urllib.parse import quote

import pandas as pd

from fastbp.reporting.html_tables import markdown
from fastbp.reporting.phrases import plain
from fastbp.schema.errors import UnsafeFileError
from fastbp.schema.text import and_, finding, grouped, plural, printable
from fastbp.store import safe_files
from fastbp.store.provenance import read_made

FILE = "README.md"

MARK = "<!-- Made by fastbp sweep --all: edit the sweep files, not this. -->"
"""The first line, which tells a generated gallery from a file that somebody wrote."""

ACROSS, MANY = 3, 9
"""Stores in a row of the sheet, and of a subfolder that are not folded."""

_quoted = partial(quote, errors="surrogateescape")
"""The name of a folder in a link; it need not be UTF-8."""

Page = tuple[str, str, dict[str, str]]
"""(title, answer, labels) of a page; `labels`: the label of each figure by the stem of its file."""


def is_generated(results: Path) -> bool:
    """Whether the gallery's file in a folder may be written: it is missing or was generated."""
    try:
        return safe_files.read(results / FILE).startswith(MARK.encode())
    except OSError as error:
        return isinstance(error, FileNotFoundError)


def text(results: Path, commands: Mapping[str, str], command: str) -> str:
    """Write the text of the gallery from the pages, `summary.csv` and `made.json` of its stores.

    It is a contact sheet: three stores a row, each with the first picture of its page, its finding
    and its question; below stand the commands. Stores directly in the folder come first, then those
    of each subfolder, in the order of `commands`; more than `MANY` of a subfolder are folded.

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
    pages = {name: page for name in commands if (page := page_of(results / name))}
    counts = {name: count for name in pages if (count := _runs_of(results / name))}
    there = {name: pages[name] for name in counts}
    lines = [
        MARK,
        "",
        "# Results",
        "",
        _opening([results / name for name in there], sum(map(sum, counts.values())), command),
    ]
    # by the first folder of a store's path; a store directly in the results has none
    firsts = (name.partition("/")[0] if "/" in name else "" for name in there)
    for folder, names in grouped(there, firsts).items():
        sheet = _sheet(results, {name: there[name] for name in names})
        part = [*sheet, "", *(_made(results, name, commands[name], counts[name]) for name in names)]
        if len(names) > MANY and folder:
            part = [
                "<details>",
                f"<summary>{plural(len(names), 'sweep')}</summary>",
                "",
                *part,
                "",
                "</details>",
            ]
        lines += ["", *[f"## {markdown(folder)}", ""] * bool(folder), *part]
    if missing := [_code(name) for name in commands if name not in there]:
        lines += ["", f"Not there yet: {and_(missing)}."]
    return "\n".join(lines) + "\n"


def _opening(stores: Sequence[Path], runs: int, command: str) -> str:
    total = efforts_of(*stores)
    # An interrupted command left runs without a time.
    least = "at least " * bool(total["runs"].sum() < runs)
    where = f" on {and_([markdown(cpu) for cpu in total['cpu'].unique()])}" * (not total.empty)
    return (
        f"What {plural(len(stores), 'sweep')} found, and a picture that leads to the page of each: "
        f"{plural(runs, 'run')} and "
        f"{least}{_updates(int(total['updates'].sum()))}, which took {least}"
        f"{_seconds(total['seconds'].sum())}{where}. "
        "Every sentence, number and figure is computed from the runs. This command makes the "
        "gallery, and continues where it was stopped:\n\n"
        f"```sh\n{printable(command)}\n```\n\n"
        "The times are those of all commands that trained the runs, from their start to the "
        "tables. They do not include compiling, which is done once on each machine, and drawing "
        "the page."
    )


def _sheet(results: Path, pages: Mapping[str, Page]) -> list[str]:
    """Make an HTML table of pictures: Markdown's has a row of titles, and no width of columns."""
    cells = [_cell(results, name, page) for name, page in pages.items()]
    return [
        "<table>",
        *chain(*(["<tr>", *cells[i : i + ACROSS], "</tr>"] for i in range(0, len(cells), ACROSS))),
        "</table>",
    ]


def _cell(results: Path, name: str, page: Page) -> str:
    """A store on the sheet: its picture, its finding and its question."""
    link, picture = f'<a href="{_quoted(name)}/report.html">', picture_of(results / name, page)
    image = ""
    if picture:
        label = html.escape(plain(" ".join(page[2][first_figure(page)].split())))
        image = (
            f'{link}<img src="{_quoted(name)}/{quote(picture)}" alt="{label}" width="100%"></a><br>'
        )
    found, title = (
        html.escape(plain(" ".join(each.split()))) for each in (finding(page[1]), page[0])
    )
    return f'<td width="33%" valign="top">{image}<b>{found}</b><br>{link}{title}</a></td>'


def _code(text: str) -> str:
    """Text as code in Markdown, which it cannot end."""
    return f"`{printable(text).replace('`', '?')}`"


def _made(results: Path, name: str, command: str, counts: list[int]) -> str:
    """The line below the sheet that says how the runs of a store were made."""
    efforts, runs, folder = efforts_of(results / name), sum(counts), _quoted(name)
    total, took = efforts.sum(), ""
    if total["seconds"]:
        seconds = f"{_seconds(total['seconds'])} on {plural(int(efforts['jobs'].max()), 'core')}"
        took = f", {_updates(int(total['updates']))}, {seconds}"
        if total["runs"] < runs:  # an interrupted command left runs without a time
            took = f"; {plain(int(total['runs']))} of them took {seconds}"
    return (
        f"- {_code(command)}: {plural(runs, 'run')} in {plural(len(counts), 'setup')}{took}. "
        f"[The page]({folder}/report.html), [the table]({folder}/summary.csv)."
    )


# What a store says about itself


def _runs_of(store: Path) -> list[int]:
    """The runs of each setup in the `summary.csv` of a store; none if it is missing or damaged."""
    with suppress(OSError, ValueError, UnsafeFileError, IndexError, csv.Error):
        # pandas would take minutes where very many columns have the same name
        content = BytesIO(safe_files.read(store / "summary.csv", store, MAX_TABLE))
        text = TextIOWrapper(content, "utf-8", newline="")  # which is not all decoded at once
        rows = csv.reader(iter(partial(text.readline, MAX_LINE), ""))
        column = next(rows, []).index("runs")
        counts = [int(row[column]) for row in rows if row]
        return counts if all(0 <= count <= MAX_COUNT for count in counts) else []
    return []


MAX_COUNT = 10**18
"""The most runs of a setup, and the most that is counted or timed in an entry of `made.json`."""

MAX_TABLE, MAX_LINE = 1 << 26, 1 << 20
"""The most bytes of the table of a store, where 100,000 setups take 40 MB, and of a line in it."""

MAX_ANSWER = 10_000
"""The most characters of a title, an answer, a label of a page or a name that are read."""

_COUNTS = ("updates", "jobs", "runs")
"""The counts in an entry of `made.json`."""

_FIGURE = re.compile(r'aria-label="([^"]*)"(.*)', re.DOTALL)
_STEM = re.compile(r'href="figures/([\w.-]+)\.(?:svg|png)"')
"""Of a figure of a page that has files: its label, and behind that the stem of the files."""


def page_of(store: Path) -> Page | None:
    """Read the page of a store; None where there is none."""
    with suppress(OSError, ValueError, UnsafeFileError):  # such as an entity of very many digits
        text = safe_files.text_of(store / "report.html", store)
        # not with one pattern, which would take very long over a page that somebody made for that
        title, has_title, _ = text.partition("<h1><bdi>")[2].partition("</bdi></h1>")
        verdict = text.partition('<section class="verdict"')[2].partition("<p>")[2]
        answer, has_answer, _ = verdict.partition("</p>")
        if has_title and has_answer:
            figures = {}
            for part in text.split("<figure>")[1:]:
                if (label := _FIGURE.search(part)) and (stem := _STEM.search(label[2])):
                    figures[stem[1]] = html.unescape(label[1][:MAX_ANSWER])
            return html.unescape(title[:MAX_ANSWER]), html.unescape(answer[:MAX_ANSWER]), figures
    return None


def efforts_of(*stores: Path) -> pd.DataFrame:
    """The commands in `made.json` of some stores, a row each; malformed entries are left out.

    `seconds`: how long a command took, without compiling. `updates`, `runs`: what it trained: fewer
    runs than the store has if it was interrupted. `jobs`: how many jobs were parallel. `cpu`: the
    name of the processor.
    """
    rows = []
    for store in stores:
        with suppress(OSError, UnsafeFileError):
            for entry in read_made(store):
                with suppress(TypeError, KeyError, ValueError, OverflowError):
                    spent, cpu = entry["seconds"], printable(str(entry["cpu"])[:MAX_ANSWER])
                    numbers = [
                        float(spent["total"]) - float(spent.get("compile", 0)),
                        *(float(int(entry[name])) for name in _COUNTS),
                    ]
                    if all(0 <= number <= MAX_COUNT for number in numbers):
                        rows.append([*numbers, cpu])
    return pd.DataFrame(rows, columns=["seconds", *_COUNTS, "cpu"])


def first_figure(page: Page) -> str:
    """The stem of the files of the first figure of a page, which shows its answer; or empty."""
    return next(iter(page[2]), "")


def picture_of(store: Path, page: Page) -> str:
    """The file with the first figure of a page, relative to the store; or empty."""
    name = f"{first_figure(page)}.svg"
    with suppress(OSError, UnsafeFileError):
        return f"figures/{name}" if safe_files.listed(store, "figures").get(name) else ""
    return ""


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def _updates(updates: int) -> str:
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if updates >= size:
            return f"{updates / size:,.3g} {name} updates"
    return plural(updates, "update")
