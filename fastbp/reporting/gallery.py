"""The gallery: of each of many stores its question, its answer and its most telling picture, in one
Markdown file.
"""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from fastbp.reporting.phrases import and_, plain, plural
from fastbp.store.provenance import read_made

FILE = "README.md"

MARK = "<!-- Made by fastbp sweep --all: edit the sweep files, not this. -->"
"""The first line, by which a gallery is told from somebody's own file."""

MANY = 4
"""Values of two keys from which on a map of them is a picture, and setups from which on bars say
more than curves."""


class Entry(NamedTuple):
    """A store of the gallery: its folder, as seen from the gallery, and the command that makes
    it.
    """

    name: str
    command: str


def is_generated(results: Path) -> bool:
    """Whether a gallery may be written into a folder: there is none, or one of ours."""
    try:
        with open(results / FILE, encoding="utf-8", errors="replace") as file:
            return file.read(len(MARK)) == MARK
    except FileNotFoundError:
        return True
    except OSError:
        return not (results / FILE).exists()


def text(results: Path, entries: Sequence[Entry], command: str) -> str:
    """The gallery of the stores in a folder, made of their pages, `summary.csv` and `made.json`.

    Parameters: `command`, which makes all of it. A store without a page is named at the end. Raises
    OSError.
    """
    sections, missing = [], []
    made, runs = Made(), 0
    for entry in entries:
        page = page_of(results / entry.name)
        if page is None:
            missing.append(f"`{entry.name}`")
            continue
        count, own = counted(results / entry.name), made_of(results / entry.name)
        made, runs = made.with_(own), runs + count.runs
        sections.append(_section(results, entry, page, count, own))
    lines = [MARK, "", "# Results", "", _opening(len(sections), runs, made, command)]
    for section in sections:
        lines += ["", *section]
    if missing:
        lines += ["", f"Not there yet: {and_(missing)}."]
    return "\n".join(lines) + "\n"


def _opening(sweeps: int, runs: int, made: Made, command: str) -> str:
    least = (
        "at least " if made.runs < runs else ""
    )  # a command that was interrupted left runs, and no time
    where = f" on {and_([_escaped(cpu) for cpu in made.cpus])}" if made.cpus else ""
    return (
        f"The question of {'each of ' * (sweeps != 1)}{plural(sweeps, 'sweep')}, its answer in a sentence, and a picture that "
        f"leads to the page: {plural(runs, 'run')} and {least}{_updates(made.updates)}, which took {least}"
        f"{_seconds(made.seconds)}{where}. Every sentence, number and picture is made of the runs. "
        f"All of it is made by\n\n```sh\n{command}\n```\n\n"
        "which goes on where it was stopped. A time is that of all commands that trained the runs, from their start to the "
        "tables, without compiling, which is done once for a machine, and without drawing the page."
    )


def _section(results: Path, entry: Entry, page: Page, count: Counted, made: Made) -> list[str]:
    folder = quote(entry.name)
    lines = [f"## {_escaped(page.title)}", "", _escaped(page.answer), ""]
    picture = telling([*page.pictures], count)
    if picture:
        file = _smaller(results / entry.name, picture)
        seen = re.sub(
            r"[][\\`<>]", "", plain(" ".join(page.pictures[picture].split()))
        )  # read aloud, where an escape is heard
        lines += [f"[![{seen}]({folder}/{quote(file)})]({folder}/report.html)", ""]
    on = f" on {plural(made.jobs, 'core')}" if made.jobs else ""
    took = f"{_updates(made.updates)}, {_seconds(made.seconds)}{on}" if made.seconds else ""
    if (
        made.seconds and made.runs < count.runs
    ):  # a command that was interrupted left runs, and no time
        took = f"of which {plain(made.runs)} took {_seconds(made.seconds)}{on}"
    took = f", {took}" if took else ""
    what = f"{plural(count.runs, 'run')} in {plural(count.setups, 'setup')}{took}"
    return [
        *lines,
        f"`{entry.command}`: {what}. [The page]({folder}/report.html), [the table]({folder}/summary.csv).",
    ]


# What a store says of itself


class Page(NamedTuple):
    """What a page says: its title, the sentence that answers it, and the title of each picture by
    the name of its file.
    """

    title: str
    answer: str
    pictures: dict[str, str]


def page_of(store: Path) -> Page | None:
    """What the page of a store says; None where there is none."""
    try:
        text = (store / "report.html").read_text("utf-8")
    except (OSError, ValueError):
        return None
    title = re.search(r"<h1><bdi>(.*?)</bdi></h1>", text, re.DOTALL)
    answer = re.search(r'<section class="verdict"[^>]*>\s*<p>(.*?)</p>', text, re.DOTALL)
    if not title or not answer:
        return None
    pictures = {}
    for figure in text.split("<figure>")[1:]:
        label, file = (
            re.search(r'aria-label="([^"]*)"', figure),
            re.search(r'href="figures/([\w.-]+)\.svg"', figure),
        )
        if label and file:
            pictures[file[1]] = html.unescape(label[1])
    return Page(html.unescape(title[1]), html.unescape(answer[1]), pictures)


class Counted(NamedTuple):
    """How many runs and setups a store has, and how many values of each key that varies."""

    runs: int
    setups: int
    values: dict[str, int]


def counted(store: Path) -> Counted:
    """What the summary of a store counts. Raises OSError."""
    with open(store / "summary.csv", encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    keys, runs = head[: head.index("setup")], head.index("runs")
    return Counted(
        sum(int(row[runs]) for row in rows),
        len(rows),
        {key: len({row[i] for row in rows}) for i, key in enumerate(keys)},
    )


class Made(NamedTuple):
    """What the commands that trained a store took, together: seconds, without those of compiling,
    which is done once for a machine; updates; the most that ran at once; processors; runs, which
    are fewer than there are where a command was killed.
    """

    seconds: float = 0.0
    updates: int = 0
    jobs: int = 0
    cpus: tuple[str, ...] = ()
    runs: int = 0

    def with_(self, other: Made) -> Made:
        """Both together."""
        cpus = tuple(dict.fromkeys((*self.cpus, *other.cpus)))
        runs = self.runs + other.runs
        return Made(
            self.seconds + other.seconds,
            self.updates + other.updates,
            max(self.jobs, other.jobs),
            cpus,
            runs,
        )


def made_of(store: Path) -> Made:
    """What `made.json` says of the commands; of one that is not as we write it, nothing."""
    made = Made()
    for entry in read_made(store):
        with suppress(TypeError, KeyError, ValueError, OverflowError):
            spent, updates, jobs = entry["seconds"], int(entry["updates"]), int(entry["jobs"])
            seconds = float(spent["total"]) - float(spent.get("compile", 0))
            made = made.with_(
                Made(seconds, updates, jobs, (str(entry["cpu"]),), int(entry["runs"]))
            )
    return made


def telling(pictures: Sequence[str], count: Counted) -> str | None:
    """The name of the picture that says most: an atlas, a basin, a map over many values, a curve
    over one key, and of few setups when their runs converge, of more how they end.
    """
    many = {key for key, values in count.values.items() if values >= MANY}
    many |= {"width", "depth"} if "hidden" in many else set()
    maps = {f"map-{x}-{y}" for x in many for y in many}
    if found := [name for name in pictures if name.startswith(("atlas", "basin")) or name in maps]:
        return (
            found[-1]
            if found[0].startswith("basin") and len(found) > 1 and found[-1].startswith("basin")
            else found[0]
        )
    last = ["survival", "outcomes"] if count.setups < MANY else ["outcomes", "survival"]
    for wanted in ([name for name in pictures if name.startswith("response-")], last):
        if found := [name for name in wanted if name in pictures]:
            return found[0]
    return next(iter(pictures), None)


def _smaller(store: Path, picture: str) -> str:
    """The picture as it is drawn best, SVG, or as PNG where that is the smaller file: so it is with
    millions of points.
    """
    files = [store / "figures" / f"{picture}.{kind}" for kind in ("svg", "png")]
    there = [file for file in files if file.is_file()] or files[:1]
    return (
        min(there, key=lambda file: file.stat().st_size if file.exists() else 0)
        .relative_to(store)
        .as_posix()
    )


# Markdown


def _escaped(text: str) -> str:
    """A text in which nothing is markup."""
    return re.sub(r"([\\`*_\[\]<>&#|~])", r"\\\1", plain(" ".join(text.split())))


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def _updates(updates: int) -> str:
    for size, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if updates >= size:
            return f"{updates / size:,.3g} {name} updates"
    return plural(updates, "update")
