"""The texts of a picture."""

import xml.etree.ElementTree as ET
from pathlib import Path


def texts(path: Path) -> list[str]:
    """Every text of an SVG file."""
    return [
        "".join(element.itertext()).strip()
        for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")
    ]
