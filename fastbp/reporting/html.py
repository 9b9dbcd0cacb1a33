"""From tables and figures to one HTML file: no script, nothing loaded, every text in it escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources
from typing import TYPE_CHECKING, Any, NamedTuple

from fastbp import __version__

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True)
class HtmlFigure:
    """A figure of a page: its SVG element, title and caption, and the files it also lies in."""

    svg: str
    title: str
    caption: str
    files: Sequence[str]


class TableColumn(NamedTuple):
    """A column: its title, the text of its cell in a row, and whether it is aligned left."""

    title: str
    cell: Callable[[Any], str]
    is_text: bool = False


@dataclass(frozen=True)
class HtmlTable:
    """A table of a page.

    `rows`: the cells of each row, and whether it is marked, as the baseline is; `file`: holds all
    of the table, where the page shows a part.
    """

    title: str
    caption: str
    columns: Sequence[TableColumn]
    rows: Sequence[tuple[Sequence[str], bool]]
    file: str = ""


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
    # The only texts that are markup: SVG elements, whose parts are escaped, sections that were
    # rendered with escapes, and our own style.
    environment.filters["markup"] = Markup
    return environment


def _template(name: str) -> str:
    return (resources("fastbp.reporting") / "templates" / name).read_text("utf-8")


def render_part(template: str, content: Mapping[str, Any]) -> str:
    """Render the text of a template that may use the macros of `parts.html`."""
    macros = '{% from "parts.html" import figure, table %}\n'
    return _environment().from_string(macros + template).render(content)


def render(template: str, title: str, content: Mapping[str, Any], key: str = "") -> bytes:
    """Render a page.

    Parameters
    ----------
    template : str
        The name of a file in `templates/`.
    title : str
        The page's title and first heading.
    content : mapping
        The variables of the template.
    key : str
        What the page was made of. It stands in the page's head, so that a page that is still
        current need not be made again.
    """
    style = _template("page.css")
    style_hash = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    text = _environment().get_template(template).render(
        content,
        title=title,
        version=__version__,
        key=key,
        style=style,
        style_hash=style_hash,
    )  # fmt: skip
    return text.encode("utf-8", "replace")
