"""Turn SVG files of matplotlib into smaller ones, and into elements of a page in its colours."""

import re
import xml.etree.ElementTree as ET

import numpy as np
from markupsafe import escape
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from fastbp.reporting.plots.style import HEADING

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

_HREF = f"{{{XLINK}}}href"

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

_FONT = {
    "font-family": "'DejaVu Sans', Verdana, 'Bitstream Vera Sans', Geneva, sans-serif",
    "stroke-linejoin": "round",
}
"""Attributes of a file that matplotlib writes into each of its elements."""

_COMMAND = re.compile(r"([A-Za-z])([^A-Za-z]*)")
_NUMBER = re.compile(r"(-?\d+\.\d\d)\d+")
_REFERENCE = re.compile(r"#([\w.-]+)")


def parsed(svg: bytes) -> ET.Element:
    """Parse an SVG file of matplotlib, so that it says what it draws in fewer bytes.

    Paths go by steps of tenths of a point, and styles are attributes, as a page's
    Content-Security-Policy wants it. What draws nothing is left out, such as ids that nothing
    refers to.
    """
    root = ET.fromstring(svg)
    elements = list(root.iter())
    used = set(_REFERENCE.findall(" ".join(v for each in elements for v in each.attrib.values())))
    for each in elements:
        each[:] = [child for child in each if child.tag in _DRAWN]
        each.text, each.tail = (each.text or "").strip() or None, None
        parts = (part.partition(":") for part in each.attrib.pop("style", "").split(";"))
        style = {key.strip(): value.strip() for key, sign, value in parts if sign}
        each.attrib = {
            key: _path(value) if key == "d" else _NUMBER.sub(r"\1", value)
            for key, value in (each.attrib | style).items()
            if not (key == "font-family" or value.startswith("rotate(-0 "))
            and (key != "id" or value in used or value.startswith(HEADING))
        }
    root.attrib |= _FONT
    return root


def _path(path: str) -> str:
    """Write a path of absolute places as steps of tenths of a point."""
    text, at, start = "", (0, 0), (0, 0)
    for letter, numbers in _COMMAND.findall(path):
        tenths = [round(10 * float(number)) for number in numbers.split()]
        places = list(zip(tenths[::2], tenths[1::2], strict=True))
        steps = [f"{(x - y) / 10:g}" for place in places for x, y in zip(place, at, strict=True)]
        text += letter.lower() + " ".join(steps)
        at = places[-1] if places else start
        start = at if letter == "M" else start
    return re.sub(
        r"l0 (?=\S+([a-z]|$))", "v", re.sub(r"l(\S+) 0(?=[a-z]|$)", r"h\1", text)
    ).replace(" -", "-")


def inline(root: ET.Element, name: str, alternative: str) -> str:
    """Make a `parsed` picture an SVG element of a page.

    Parameters
    ----------
    root : Element
        The picture, which is changed. Its heading is left out: pages have headings themselves.
    name : str
        Prefix of its ids; it must differ between the figures of a page.
    alternative : str
        The text that screen readers read instead of the figure.

    Returns
    -------
    str
        The element `<svg>…</svg>`.
    """
    _, _, width, height = map(float, root.get("viewBox", "0 0 1 1").split())
    top = 0.0
    for each in root.iter():
        headings = [child for child in each if child.get("id", "").startswith(HEADING)]
        top += sum(float(child.get("id", "").partition("-")[2] or 0) for child in headings)
        each[:] = [child for child in each if child not in headings]
        for key, value in [*each.attrib.items()]:
            if key in ("fill", "stroke"):
                each.set(key, _COLOURS.get(value, value))
            elif key == "id":
                each.set(key, f"{name}-{value}")
            elif key in ("clip-path", _HREF) and not value.startswith("data:"):
                each.set(key, value.replace("#", f"#{name}-"))
    root.attrib = {
        "viewBox": f"0 {top:.6g} {width:.6g} {height - top:.6g}",
        "width": f"{width * 4 / 3:.0f}",  # in pixels, 96 to an inch
        "height": f"{(height - top) * 4 / 3:.0f}",
        "role": "img",
        "aria-label": alternative,
        "fill": "currentColor",
    }
    return ET.tostring(root, "unicode")


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
    with np.errstate(over="ignore"):  # an output may be as large as any number
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
