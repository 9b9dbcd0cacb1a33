"""`python -m benchmarks.pictures CSV FOLDER` draws what was measured: contenders.svg and .png, and
scaling.svg and .png."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullFormatter

from benchmarks.contenders import ENTRIES
from benchmarks.figures import CONTENDERS, PRESENTATION, Row, number, read_csv
from benchmarks.parts import CORES, FIRST, LANES, LATER, SEEDS, WIDTHS
from benchmarks.workloads import DTYPES

STYLE: Any = {
    "text.parse_math": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "fastbp",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
OURS, OTHERS, BAND = "#D55E00", "#0072B2", "#FBEFE6"
"""From the palette of Okabe and Ito, which people with any kind of colour vision tell apart."""
STACK = ("#BBBBBB", "#0072B2", "#E69F00", "#56B4E9", "#F0E442", "#009E73", "#CC79A7")
"""Black text can be read on each."""


def plain(label: str) -> str:
    """Without Markdown."""
    return label.replace("`", "")


def machine_text(machine: Mapping[str, str]) -> str:
    """The machine and the date, in two lines."""
    cores = machine.get("cores", "?")
    first = (
        f"{cores} core{'s' if cores != '1' else ''} of {machine.get('CPU', '?')}",
        machine.get("system", "?"),
        machine.get("date", "?"),
    )
    names = ("Python", "fastbp", "numba", "numpy", "jax", "torch", "scikit-learn")
    second = ", ".join(f"{name} {machine[name]}" for name in names if name in machine)
    return f"{', '.join(first)}\n{second}"


def contenders(rows: Sequence[Row], machine: Mapping[str, str]) -> Figure:
    """A panel a workload, a line a contender, a dot a dtype."""
    times = {
        (r.measurement, r.case): r
        for r in rows
        if r.part == CONTENDERS and r.unit == PRESENTATION and not r.note
    }
    work = list(dict.fromkeys(measurement.rpartition(", ")[0] for measurement, _ in times))
    labels = [
        entry.label for entry in ENTRIES.values() if any(case == entry.label for _, case in times)
    ]
    across = min(len(work), 3)
    down = -(-len(work) // across)
    figure = Figure(figsize=(11, (0.3 * len(labels) + 0.7) * down + 1.1), layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False)
    for panel, title in zip(panels.flat, work, strict=False):
        _panel(panel, title, labels, times)
    for panel in panels.flat[len(work) :]:
        panel.set_axis_off()
    panels[0, 0].set_yticks(range(len(labels)), map(plain, labels))
    panels[0, 0].set_ylim(len(labels) - 0.4, -0.6)
    for panel in panels[:, 0]:
        panel.get_yticklabels()[0].set_fontweight("bold")
    handles = [
        Line2D(
            [], [], linestyle="", marker=marker, color="black", markerfacecolor=face, label=dtype
        )
        for dtype, (marker, face) in zip(DTYPES, (("o", "black"), ("D", "white")), strict=True)
    ]
    figure.suptitle(_title(times, work), x=0.01, ha="left", fontsize=12)
    figure.legend(handles=handles, loc="outside upper right", ncols=2, frameon=False)
    figure.supxlabel(
        "ns a presentation, log scale, less is better; beside the dots: how many times that of "
        "fastbp, float64 · float32\n" + machine_text(machine),
        fontsize=8,
    )
    return figure


def _title(times: Mapping[tuple[str, str], Row], work: Sequence[str]) -> str:
    """What is seen: how far the quickest of the others is, over all workloads; C is the limit and
    no competitor."""
    nearest = []
    for title in work:
        for dtype in DTYPES:
            here = {
                case: r.best
                for (measurement, case), r in times.items()
                if measurement == f"{title}, {dtype}"
            }
            ours = here.get(ENTRIES["engine"].label)
            rivals = [here[e.label] for e in ENTRIES.values() if e.rival and e.label in here]
            if ours and rivals:
                nearest.append(min(rivals) / ours)
    if not nearest:
        return "Time of one presentation of one network"
    low, high = number(min(nearest)), number(max(nearest))
    return (
        f"Time of one presentation: the quickest rival takes {low} to {high} times as long as "
        "fastbp; C is the limit"
    )


def _panel(
    ax: Axes, title: str, labels: Sequence[str], times: Mapping[tuple[str, str], Row]
) -> None:
    ax.set_title(title, fontsize=9.5)
    ax.axhspan(-0.5, 0.5, color=BAND, zorder=0)
    ours = {dtype: times.get((f"{title}, {dtype}", labels[0])) for dtype in DTYPES}
    for at, label in enumerate(labels):
        here = {
            dtype: times[f"{title}, {dtype}", label]
            for dtype in DTYPES
            if (f"{title}, {dtype}", label) in times
        }
        colour = OURS if label.startswith("fastbp") else OTHERS
        if len(here) == len(DTYPES):
            ax.plot([r.best for r in here.values()], [at, at], color=colour, linewidth=1, zorder=1)
        for dtype, r in here.items():
            first = dtype == DTYPES[0]
            ax.plot(
                r.best,
                at,
                marker="o" if first else "D",
                color=colour,
                markerfacecolor=colour if first else "white",
                markersize=6 if first else 5,
                zorder=2,
            )
        times_ours = [
            number(r.best / ours[dtype].best) if at else number(r.best)
            for dtype, r in here.items()
            if ours[dtype]
        ]
        if times_ours:
            text = " · ".join(times_ours) + (" ×" if at else " ns")
            ax.annotate(
                text,
                (max(r.best for r in here.values()), at),
                (7, 0),
                textcoords="offset points",
                va="center",
                fontsize=7.5,
            )
    ax.set_xscale("log")
    every = [
        r.best for (measurement, _), r in times.items() if measurement.rpartition(", ")[0] == title
    ]
    low, high = min(every), max(every)
    ax.set_xlim(low / 2, high * (high / low) ** 0.6)  # room for the small print
    decades = [10**n for n in range(9) if low / 2 <= 10**n <= 2 * high]
    decades = decades[:: 2 if len(decades) > 4 else 1]
    ax.set_xticks(decades, [f"{value:,}" for value in decades])
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    ax.set_axisbelow(True)


def scaling(rows: Sequence[Row], machine: Mapping[str, str]) -> Figure:
    """Where the time of the whole command goes, and what more cores, seeds, lanes and units
    cost."""
    lines = {
        SEEDS: ("seeds, 3-4-1 online", "ns an update"),
        LANES: ("lanes, 3-4-1 online", "ns an update"),
        WIDTHS: ("hidden units H, 8-H-1 batch 16", "ns/presentation/weight"),
    }
    shown = [
        measurement for measurement in lines if any(r.measurement == measurement for r in rows)
    ]
    cores = any(r.measurement == CORES for r in rows)
    figure = Figure(figsize=(9, 5.7), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    _stacked(above.subplots(), rows)
    panels = below.subplots(1, len(shown) + cores, squeeze=False)[0]
    if cores:
        _bars(panels[0], [r for r in rows if r.measurement == CORES and r.unit != "times"])
    for panel, measurement in zip(panels[cores:], shown, strict=True):
        _line(panel, [r for r in rows if r.measurement == measurement], *lines[measurement])
    figure.supxlabel(machine_text(machine), fontsize=8)
    return figure


def _stacked(ax: Axes, rows: Sequence[Row]) -> None:
    """A bar for the first time and one for later times, cut into phases."""
    parts = [r for r in rows if r.part == "command" and r.case.startswith("of it")]
    phases = list(dict.fromkeys(r.case for r in parts))
    named: set[str] = set()
    longest = max((r.median for r in rows if r.part == "command"), default=0.0)
    for at, when in enumerate((FIRST, LATER)):
        left = 0.0
        for r in (r for r in parts if r.measurement.endswith(when)):
            label = None if r.case in named else r.case.removeprefix("of it ")
            ax.barh(
                at,
                r.median,
                0.6,
                left,
                color=STACK[phases.index(r.case) % len(STACK)],
                edgecolor="white",
                label=label,
            )
            if r.median > 0.05 * longest:
                ax.text(
                    left + r.median / 2, at, number(r.median), ha="center", va="center", fontsize=8
                )
            named.add(r.case)
            left += r.median
        ax.text(left, at, f" {number(left)} s", va="center")
    ax.set_yticks((0, 1), (FIRST, LATER))
    ax.set_ylim(1.5, -0.5)
    ax.set_xlabel("seconds")
    measured = parts[0].measurement.removesuffix(f", {FIRST}") if parts else ""
    ax.set_title(
        f"Where the time of the whole command goes: {measured}", loc="left", fontsize=10, pad=36
    )
    ax.legend(loc="lower left", bbox_to_anchor=(-0.01, 0.99), ncols=4, frameon=False, fontsize=8)
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _bars(ax: Axes, rows: Sequence[Row]) -> None:
    """One core and all, in both dtypes."""
    names = [r.case.replace(", ", "\n") for r in rows]
    ax.bar(range(len(rows)), [r.best for r in rows], 0.6, color=OURS)
    for at, r in enumerate(rows):
        ax.text(at, r.best, number(r.best), ha="center", va="bottom", fontsize=8)
    ax.set_xticks(range(len(rows)), names, fontsize=7)
    ax.set_title("cores, 3-4-1 online", fontsize=9.5, loc="left")
    ax.set_ylabel("ns an update")


def _line(ax: Axes, rows: Sequence[Row], what: str, unit: str) -> None:
    """Cost against a number, from zero: flat is good."""
    x = [_number_in(r.case) for r in rows]
    ax.plot(x, [r.best for r in rows], marker="o", color=OURS)
    ax.set_xscale("log", base=10 if what.startswith("seeds") else 2)
    if what.startswith("seeds"):
        ax.set_xticks(x, [f"{value:,}" for value in x], fontsize=7.5)
    else:
        ax.set_xticks(x, [str(value) for value in x])
    ax.minorticks_off()
    ax.set_ylim(0, 1.25 * max(r.best for r in rows))
    ax.set_title(what, fontsize=9.5, loc="left")
    ax.set_ylabel(unit)
    ax.grid(axis="y", color="#DDDDDD", linewidth=0.6)


def _number_in(case: str) -> int:
    """The seeds of "1,000 seeds", the lanes of "8 lanes", the hidden units of "8-32-1"."""
    return int(case.split("-")[1] if "-" in case else case.split(maxsplit=1)[0].replace(",", ""))


def save(figure: Figure, stem: Path) -> None:
    """As SVG and as PNG, the same bytes for the same figures."""
    for kind, metadata in (("svg", {"Date": None}), ("png", {"Software": None})):
        figure.savefig(stem.with_suffix(f".{kind}"), dpi=150, metadata=metadata, facecolor="white")


def main(source: str, folder: str) -> None:
    """Draw what there are figures for."""
    rows, machine = read_csv(Path(source))
    with mpl.rc_context(STYLE):
        if any(r.part == CONTENDERS and r.unit == PRESENTATION for r in rows):
            save(contenders(rows, machine), Path(folder, "contenders"))
        if any(r.part == "command" for r in rows) and any(r.part == "scaling" for r in rows):
            save(scaling(rows, machine), Path(folder, "scaling"))


if __name__ == "__main__":
    main(*sys.argv[1:])
