"""Turn SVG files of matplotlib into elements of an HTML page, in the colours of the page."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from markupsafe import escape
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from fastbp.reporting.plots.style import HEADING

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

_COLOURS = {"#000000": "currentColor", "#ffffff": "var(--page)", "#bbbbbb": "var(--line)"}
"""Colours that change with the colours of the page: black, white and the grey of thin lines."""

_DRAWN = {
    f"{{{SVG}}}{tag}"
    for tag in (
        "g",
        "path",
        "text",
        "tspan",
        "use",
        "defs",
        "clipPath",
        "rect",
        "image",
        "polygon",
        "circle",
    )
}

_NUMBER = re.compile(r"-?\d+\.\d{2,}")
_REFERENCE = re.compile(r"#([\w.-]+)")


def inline(svg: bytes, name: str, alternative: str) -> str:
    """Make an SVG element of a page from an SVG file of matplotlib.

    Parameters
    ----------
    svg : bytes
        The file. Its heading is left out, since pages have headings themselves. The page's
        Content-Security-Policy forbids `style` attributes, so each becomes attributes with the same
        meaning. Ids that nothing refers to are removed.
    name : str
        Prefix of the remaining ids; it must differ between the figures of a page.
    alternative : str
        The text that screen readers read instead of the figure.

    Returns
    -------
    str
        The element `<svg>…</svg>`.
    """
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox", "0 0 1 1").split())
    top = 0.0
    for parent in list(root.iter()):
        for child in list(parent):
            if (identity := child.get("id", "")).startswith(HEADING):
                top += float(identity.partition("-")[2] or 0)
                parent.remove(child)
            elif child.tag not in _DRAWN:
                parent.remove(child)
    return _element(root, (0, top, width, height - top), name, alternative)


def _references(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        yield from _REFERENCE.findall(" ".join(element.attrib.values()))


def _element(root: ET.Element, box: Sequence[float], name: str, alternative: str) -> str:
    used = set(_references(root))
    for element in root.iter():
        style, identity = (element.attrib.pop(key, "") for key in ("style", "id"))
        for key, value in [*element.attrib.items(), *_attributes(style)]:
            digits = 1 if key == "d" else 2  # of points; a path has most of the numbers
            element.set(key, _NUMBER.sub(partial(_rounded, digits), value))
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key in ("clip-path", f"{{{XLINK}}}href"):
            if (value := element.get(key, "")) and not value.startswith("data:"):
                element.set(key, value.replace("#", f"#{name}-"))
    root.attrib = {
        "viewBox": " ".join(f"{number:.6g}" for number in box),
        "width": f"{box[2] * 4 / 3:.0f}",  # in pixels, 96 to an inch
        "height": f"{box[3] * 4 / 3:.0f}",
        "role": "img",
        "aria-label": alternative,
        "fill": "currentColor",
    }
    return ET.tostring(root, "unicode")


def _rounded(digits: int, number: re.Match[str]) -> str:
    return f"{float(number[0]):.{digits}f}".rstrip("0").rstrip(".")


def _attributes(style: str) -> Iterator[tuple[str, str]]:
    """Yield the SVG attributes (key, value) that replace a `style`; the page sets the font."""
    for part in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (each.strip() for each in part.partition(":"))
        if key in ("fill", "stroke"):
            yield key, _COLOURS.get(value, value)
        elif key not in ("font-family", "image-rendering"):
            yield key, value


def dots(
    values: NDArray[np.float64],
    targets: NDArray[np.float64] | None,
    ends: tuple[float, float],
    colour: str,
    alternative: str,
) -> str:
    """Make a small SVG element of a page: a dot for each output of a network, a line at its target.

    A figure of matplotlib takes a hundred times as long, and a page has many of these.

    Parameters
    ----------
    values : float64 array, [row × output]
        The outputs.
    targets : float64 array, [row, output], optional
        Their targets, if they are known.
    ends : (float, float)
        The smallest and the largest output that there can be; the axis names them.
    colour : str
        The colour of the dots.
    alternative : str
        The text that screen readers read instead of the figure.
    """
    low, high = ends
    step, aims = 103 / values.size, values if targets is None else targets.ravel()
    x = 47 + step * (np.arange(values.size) + 0.5)
    y, t = (
        np.clip(np.nan_to_num(80 - 70 * (each - low) / (high - low or 1.0)), -20, 120)
        for each in (values, aims)
    )
    half, radius = min(6.0, 0.42 * step), 3.2 if values.size <= 16 else 1.8
    stems = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, t, y, strict=True))
    lines = "".join(f"M{a - half:.1f} {b:.1f}h{2 * half:.1f}" for a, b in zip(x, t, strict=True))
    circles = "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}"/>' for a, b in zip(x, y, strict=True)
    )
    short = EngFormatter(sep="")  # three digits, and perhaps a letter, such as 1.25k or 30M
    texts = "".join(
        f'<text x="42" y="{at}" text-anchor="end">{short(float(f"{end:.3g}"))}</text>'
        for end, at in ((high, 14), (low, 84))
    )
    return (
        '<svg viewBox="0 0 156 92" width="156" height="92" role="img" fill="currentColor" '
        f'font-size="11" aria-label="{escape(alternative)}"><path d="{stems}" stroke="#999999"/>'
        f'<path d="M46 4V88H152{lines * (targets is not None)}" stroke="currentColor" fill="none"/>'
        f'<g fill="{colour}" stroke="currentColor" stroke-width="0.4">{circles}</g>{texts}</svg>'
    )
