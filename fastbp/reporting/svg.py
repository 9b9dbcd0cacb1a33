"""Turn SVG files of matplotlib into elements of an HTML page, in the colours of the page."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from copy import deepcopy

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

_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"#([\w.-]+)")

Box = tuple[float, float, float, float]
"""(left, top, width, height) in points, from the upper left corner of the figure."""


def inline(svg: bytes, name: str, alternative: str) -> str:
    """Make an SVG element of a page from an SVG file of matplotlib.

    Parameters
    ----------
    svg : bytes
        The file. The page's Content-Security-Policy forbids `style` attributes, so each becomes
        attributes with the same meaning. Ids that nothing refers to are removed.
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
    return _element(root, (0, 0, width, height), name, alternative)


def panels(svg: bytes, boxes: Sequence[Box], name: str, alternatives: Sequence[str]) -> list[str]:
    """Make one SVG element of a page from each axes (panel) of a figure.

    Parameters
    ----------
    svg : bytes
        The figure's file.
    boxes : sequence of Box
        The part of the figure that each element shows.
    name : str
        Prefix of ids; it must differ between the figures of a page.
    alternatives : sequence of str
        For each element, the text that screen readers read instead of it.
    """
    by_id = {
        identity: element
        for element in ET.fromstring(svg).iter()
        if (identity := element.get("id"))
    }
    elements = []
    for i, (box, alternative) in enumerate(zip(boxes, alternatives, strict=True), 1):
        axes = deepcopy(by_id[f"axes_{i}"])
        inside = {element.get("id") for element in axes.iter()}
        definitions = ET.Element(f"{{{SVG}}}defs")
        definitions.extend(
            deepcopy(by_id[each])
            for each in dict.fromkeys(_references(axes))
            if each in by_id and each not in inside
        )
        panel = ET.Element(f"{{{SVG}}}svg")
        panel.extend([definitions, axes])
        elements.append(_element(panel, box, f"{name}-{i}", alternative))
    return elements


def _references(root: ET.Element) -> Iterator[str]:
    for element in root.iter():
        yield from _REFERENCE.findall(" ".join(element.attrib.values()))


def _element(root: ET.Element, box: Box, name: str, alternative: str) -> str:
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag not in _DRAWN]:
            parent.remove(child)
    used = set(_references(root))
    for element in root.iter():
        style, identity = (element.attrib.pop(key, "") for key in ("style", "id"))
        for key, value in [*element.attrib.items(), *_attributes(style)]:
            element.set(
                key,
                _NUMBER.sub(
                    lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value
                ),
            )
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


def _attributes(style: str) -> Iterator[tuple[str, str]]:
    """Yield the SVG attributes (key, value) that replace a `style`; the page sets the font."""
    for part in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (each.strip() for each in part.partition(":"))
        if key in ("fill", "stroke"):
            yield key, _COLOURS.get(value, value)
        elif key not in ("font-family", "image-rendering"):
            yield key, value
