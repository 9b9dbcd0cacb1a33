"""The section on planes of initial weights: where each run starts, and how it ends."""

import numpy as np

from fastbp.analysis.basins import boundary_dimensions, parameter
from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure
from fastbp.reporting.report_data import STEPS, Content, ReportData, Section, StartPlane
from fastbp.schema.outcomes import Outcome
from fastbp.schema.text import and_, finding, percent, plural

PIXELS = 400, 160
"""Largest number of pixels along a side of a plane on the page: for a single plane, and for each of
several. PNG files show every run."""


ONE_DIMENSION = 0.1
"""A boundary has one dimension if all pairs of distances give it within this much."""


def sentences(data: ReportData) -> list[str]:
    """Say how often neighbouring starting points end differently; the list is empty if none do."""
    known = [
        (each, values)
        for each in data.planes
        if len(values := boundary_dimensions(STEPS, each.unlike))
    ]
    if not known:
        return []
    near = _range([(each.unlike[0], percent(each.unlike[0]), each.name) for each, _ in known])
    steps = [f"{2 * p.basin.plane.reach / p.basin.plane.side:.3g}" for p, _ in known]
    law = all(np.ptp(values) <= ONE_DIMENSION for _, values in known)
    centres = [(float(values.mean()), f"{values.mean():.2f}", each.name) for each, values in known]
    ends = [end for _, values in known for end in (values.min(), values.max())]
    dimension = (
        f"a dimension of {_range(centres)}; a smooth line has 1"
        if law
        else "no single dimension: from one distance to the next it "
        f"goes from {min(ends):.2f} to {max(ends):.2f} (a smooth line has 1, a filled plane 2)"
    )
    lines = [
        f"Of starts next to each other in the plane of two weights, "
        f"{and_([*dict.fromkeys(steps)])} apart, {near} end "
        f"differently: one converges and the other does not. At distances of 1 to {STEPS[-1]} "
        f"such steps, the boundary between the two has {dimension}."
    ]
    if len(data.plane_counts) == len(data.summary):
        rates = [
            f"{percent(row['converged_share'])} of the starts converge"
            + f" with {data.names[row['setup']]}" * (len(data.summary) > 1)
            for row in data.summary.to_dict("records")
        ]
        lines.append(f"{and_(rates)}.")
    return lines


def _range(values: list[tuple[float, str, str]]) -> str:
    """Write the range of some numbers, given as (number, its text, name of its setup)."""
    (_, least, lowest), (_, most, highest) = min(values), max(values)
    return most if len(values) == 1 else f"{least} ({lowest}) to {most} ({highest})"


def _weights(data: ReportData, plane: StartPlane) -> list[str]:
    """Name the two weights of a plane, or number them if the shape of the network is not known."""
    problem, numbers = data.problem_of(plane.one.setup), (plane.basin.plane.x, plane.basin.plane.y)
    if problem is None:
        return [f"parameter {number}" for number in numbers]
    sizes = [
        problem.X.shape[1],
        *map(int, str(plane.one.keys["hidden"]).split("-")),
        problem.T.shape[1],
    ]
    return [parameter(sizes, number) for number in numbers]


def _figure(
    data: ReportData,
    plane: StartPlane,
    limits: tuple[float, float] | None,
    single: bool,
) -> HtmlFigure:
    weights, basin, name = _weights(data, plane), plane.basin, f": {plane.name}" * bool(plane.name)
    runs, reach, near, far = plane.one.runs, basin.plane.reach, plane.unlike[0], plane.unlike[-1]
    title = f"How {plural(runs, 'run')} end, by where they start{name}"
    return data.drawing(
        lambda: plots.basin(
            basin, names=weights, title=title, most=PIXELS[not single], limits=limits
        ),
        "basin" if single else f"basin-{plane.one.setup}",
        f"A plane of initial weights{name}",
        f"Map of {plural(runs, 'run')} over the initial values of {and_(weights)}, from "
        f"{-reach:g} to {reach:g}: {percent(basin.shares.get(Outcome.CONVERGED, 0.0))} converged.",
        f"Each run stands at the initial values of its {and_(weights)}; all other parameters start "
        f"alike. {percent(near)} of starts next to each other ({2 * reach / basin.plane.side:.3g} "
        f"apart) end differently, and {percent(far)} of those {STEPS[-1]} cells apart. "
        "The PNG file has every run as a pixel or more.",
        png=lambda: plots.basin(basin, names=weights, title=title, limits=limits),
    )


def _content(data: ReportData) -> Content | None:
    ends = [end for plane in data.planes for end in plane.basin.limits or ()]
    limits = (min(ends), max(ends)) if ends else None
    figures = [_figure(data, plane, limits, len(data.planes) == 1) for plane in data.planes]
    return {"planes": figures} if figures else None


def _finding(data: ReportData) -> str:
    lines = sentences(data)
    return finding(lines[0]) if lines else "Starts next to each other end alike"


SECTION = Section(
    "planes",
    "Where runs start and how they end",
    _content,
    """\
<p>Two initial weights vary on a grid; all others are the same in every run. Runs that converged are
black, violet, red or yellow, the brighter the later. Runs that did not converge have the dull
colours of the legend, such as petrol and brown.</p>
{% for each in planes %}{{ figure(each) }}{% endfor %}""",
    _finding,
    "planes",
    lambda data: bool(data.planes) and len(data.plane_counts) == len(data.summary),
)
