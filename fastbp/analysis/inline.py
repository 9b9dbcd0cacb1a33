"""SVG files as parts of a page: without styles, scripts and ids of their own, in the page's colours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"

ET.register_namespace("", SVG)
ET.register_namespace("xlink", XLINK)

_COLOURS = {"#000000": "currentColor", "black": "currentColor", "#ffffff": "var(--page)", "white": "var(--page)"}
"""What follows the page: black and white. All other colours are meant."""

_TAGS = ("g", "path", "text", "tspan", "use", "defs", "clipPath", "rect", "image", "polygon", "circle")
_DRAWN = {f"{{{SVG}}}{tag}" for tag in _TAGS}

_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"#([\w.-]+)")


def inline(svg: bytes, name: str, alternative: str) -> str:
    """An SVG file of matplotlib's as an element of a page.

    A strict Content-Security-Policy forbids the `style` attributes that it is full of: each becomes the attributes of the same
    meaning. Ids that nothing refers to go, the others begin with `name`, which no other picture of the page has. `alternative` is
    what a reader hears instead of it.
    """
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag not in _DRAWN:
                parent.remove(child)
    used = {found for element in root.iter() for value in element.attrib.values() for found in _REFERENCE.findall(value)}
    for element in root.iter():
        for key, value in _attributes(element.attrib.pop("style", "")):
            element.set(key, value)
        for key, value in list(element.attrib.items()):
            element.set(key, _NUMBER.sub(lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), value))
        identity = element.attrib.pop("id", "")
        if identity in used:
            element.set("id", f"{name}-{identity}")
        for key in ("clip-path", f"{{{XLINK}}}href"):
            if (value := element.get(key, "")) and not value.startswith("data:"):
                element.set(key, value.replace("#", f"#{name}-"))
    _, _, width, height = root.get("viewBox", "0 0 1 1").split()
    root.attrib.clear()
    root.attrib.update(
        {"viewBox": f"0 0 {width} {height}", "width": f"{float(width) * 4 / 3:.0f}", "height": f"{float(height) * 4 / 3:.0f}"}
        | {"role": "img", "aria-label": alternative, "fill": "currentColor"}
    )
    return ET.tostring(root, "unicode")


def _attributes(style: str) -> list[tuple[str, str]]:
    """The attributes of a `style`. The page says the family of its letters."""
    found = []
    for part in filter(None, (part.strip() for part in style.split(";"))):
        key, _, value = (each.strip() for each in part.partition(":"))
        if key in ("fill", "stroke"):
            found.append((key, _COLOURS.get(value, value)))
        elif key not in ("font-family", "image-rendering", "-inkscape-stroke"):
            found.append((key, value))
    return found
