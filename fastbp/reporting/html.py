"""From tables and pictures to one HTML file: no script, nothing loaded, and every text in it
escaped.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any

from fastbp import __version__
from fastbp.reporting.svg import inline

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class Picture:
    """A picture of a page: the SVG element, its title and caption, and the files it also lies
    in.
    """

    svg: str
    title: str
    caption: str
    files: Sequence[str]


@dataclass(frozen=True)
class Column:
    """A column of a table: its name, and whether it holds words, which stand on the left."""

    name: str
    words: bool = False


@dataclass(frozen=True)
class Row:
    """A row of a table: the text of its cells, and whether it is marked as the one to compare
    with.
    """

    cells: Sequence[str]
    marked: bool = False


@dataclass(frozen=True)
class Table:
    """A table of a page. `file`: where all of it is, if that is elsewhere."""

    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    file: str = ""


def picture(
    svg: bytes, name: str, title: str, alternative: str, caption: str, files: Sequence[str] = ()
) -> Picture:
    """A picture from an SVG file of matplotlib's. `name`: no other picture of the page has it."""
    return Picture(inline(svg, name, alternative), title, caption, files)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
    )
    # The only texts that are no texts: what `inline` made, whose parts are escaped, and our own
    # style.
    environment.filters["markup"] = Markup
    return environment


def _template(name: str) -> str:
    return (resources("fastbp.reporting") / "templates" / name).read_text("utf-8")


def render(template: str, title: str, content: Mapping[str, Any], key: str = "") -> bytes:
    """A page. `key`: what it was made of, as its head says, so that nobody need make it again."""
    style = _template("page.css")
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    head = {
        "title": title,
        "version": __version__,
        "key": key,
        "style": style,
        "style_hash": style_hash,
    }
    text = _environment().get_template(template).render(**content, **head)
    return text.encode("utf-8", "replace")
