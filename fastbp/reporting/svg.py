"""SVG files as parts of a page: without styles, scripts and ids of their own, in the page's
colours.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

_COLOURS = {"#000000": "currentColor", "#ffffff": "var(--page)", "#bbbbbb": "var(--line)"}
"""What follows the page: black, white and the grey of thin lines. All other colours are meant."""

_TAGS = (
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
_DRAWN = {f"{{{SVG}}}{tag}" for tag in _TAGS}

_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"#([\w.-]+)")

Box = tuple[float, float, float, float]
"""Left, top, width and height, in points."""


def inline(svg: bytes, name: str, alternative: str) -> str:
    """An SVG file of matplotlib's as an element of a page.

    A strict Content-Security-Policy forbids the `style` attributes that it is full of: each becomes
    the attributes of the same meaning. Ids that nothing refers to go, the others begin with `name`,
    which no other picture of the page has. `alternative` is what a reader shares_memory instead of it.
    """
    root = ET.fromstring(svg)
    _, _, width, height = map(float, root.get("viewBox", "0 0 1 1").split())
    return _element(root, (0, 0, width, height), name, alternative)


def panels(svg: bytes, boxes: Sequence[Box], name: str, alternatives: Sequence[str]) -> list[str]:
    """The axes of a figure, each as an element of a page by itself, which shows its box of the
    figure.
    """
    root = ET.fromstring(svg)
    by_id = {identity: element for element in root.iter() if (identity := element.get("id"))}
    found = []
    for i, (box, alternative) in enumerate(zip(boxes, alternatives, strict=True), 1):
        own = deepcopy(by_id[f"axes_{i}"])
        there = {element.get("id") for element in own.iter()}
        defined = ET.Element(f"{{{SVG}}}defs")
        defined.extend(
            deepcopy(by_id[each])
            for each in dict.fromkeys(_references(own))
            if each not in there and each in by_id
        )
        whole = ET.Element(f"{{{SVG}}}svg")
        whole.extend([defined, own])
        found.append(_element(whole, box, f"{name}-{i}", alternative))
    return found


def _references(root: ET.Element) -> Iterable[str]:
    return (
        each
        for element in root.iter()
        for value in element.attrib.values()
        for each in _REFERENCE.findall(value)
    )


def _element(root: ET.Element, box: Box, name: str, alternative: str) -> str:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag not in _DRAWN:
                parent.remove(child)
    used = set(_references(root))
    for element in root.iter():
        for key, value in _attributes(element.attrib.pop("style", "")):
            element.set(key, value)
        for key, value in list(element.attrib.items()):
            element.set(
                key,
                _NUMBER.sub(
                    lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value
                ),
            )
        identity = element.attrib.pop("id", "")
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key in ("clip-path", f"{{{XLINK}}}href"):
            if (value := element.get(key, "")) and not value.startswith("data:"):
                element.set(key, value.replace("#", f"#{name}-"))
    root.attrib.clear()
    root.set("viewBox", " ".join(f"{number:.6g}" for number in box))
    root.set("width", f"{box[2] * 4 / 3:.0f}")  # pixels, of which 96 are an inch
    root.set("height", f"{box[3] * 4 / 3:.0f}")
    root.attrib |= {"role": "img", "aria-label": alternative, "fill": "currentColor"}
    return ET.tostring(root, "unicode")


def _attributes(style: str) -> Iterator[tuple[str, str]]:
    """The attributes of a `style`. The page says the family of its letters."""
    for part in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (each.strip() for each in part.partition(":"))
        if key in ("fill", "stroke"):
            yield key, _COLOURS.get(value, value)
        elif key not in ("font-family", "image-rendering"):
            yield key, value
