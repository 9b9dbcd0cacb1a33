"""Render tables and figures as one HTML file without scripts that loads no other files."""

import base64
import hashlib
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, NamedTuple, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastbp import __version__
from fastbp.reporting import plots
from fastbp.reporting.plots.panels import new_figures
from fastbp.reporting.plots.style import PHONE
from fastbp.reporting.svg import inline, parsed


class HtmlFigure(NamedTuple):
    """A figure of a page.

    Attributes
    ----------
    svg : str
        The SVG element.
    narrow : str
        The SVG element for narrow screens.
    title : str
        Name of the figure for screen readers.
    caption : str
        The text below the figure.
    files : sequence of str
        Files with the same figure, relative to the page.
    """

    svg: str
    narrow: str
    title: str
    caption: str
    files: Sequence[str]


class TableColumn(NamedTuple):
    """A column of a table.

    Attributes
    ----------
    title : str
        The heading of the column.
    cell : callable
        Takes a row and returns the text of its cell.
    is_text : bool
        Whether the cells are aligned left, as texts are; numbers are aligned right.
    """

    title: str
    cell: Callable[[Any], str]
    is_text: bool = False


class HtmlTable(NamedTuple):
    """A table of a page.

    Attributes
    ----------
    title : str
        Name of the table for screen readers.
    caption : str
        The text above the table.
    columns : sequence of TableColumn
        The columns.
    rows : sequence of (sequence of str, bool)
        The cells of each row, and whether the row is highlighted, as the baseline's is.
    file : str
        The CSV file with the whole table, or empty.
    """

    title: str
    caption: str
    columns: Sequence[TableColumn]
    rows: Sequence[tuple[Sequence[str], bool]]
    file: str = ""


class Drawing:
    """Draws the figures of a page.

    The files are kept in memory and written together with the page, so that a command that is
    interrupted while it draws changes nothing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: dict[Path, bytes] = {}

    def __call__(
        self,
        draw: Callable[[], Figure | Axes],
        name: str,
        title: str,
        alternative: str,
        caption: str,
        png: Callable[[], Figure | Axes] | bool = False,
    ) -> HtmlFigure:
        """Draw a figure for a wide and for a narrow screen, and make it a figure of the page.

        Parameters
        ----------
        draw : callable
            Draws the figure; it is called once for each width.
        name : str
            The stem of its files, different from those of all other figures of the page.
        title : str
            The name of the figure for screen readers.
        alternative : str
            The text that screen readers read instead of the figure.
        caption : str
            The text below the figure; links to its files follow.
        png : bool or callable
            Whether there is a PNG file too, for slides; or what draws the figure for it.
        """
        drawn = draw()
        picture = parsed(_encoded(drawn, "svg"))
        files = {f"figures/{name}.svg": ET.tostring(picture, "utf-8", xml_declaration=True)}
        if png:
            files[f"figures/{name}.png"] = _encoded(png() if callable(png) else drawn, "png")
        self.drawn |= {self.folder / file: content for file, content in files.items()}
        wide = inline(picture, name, alternative)
        with new_figures(PHONE):
            narrow = inline(parsed(_encoded(draw(), "svg")), f"{name}-narrow", alternative)
        return HtmlFigure(wide, narrow, title, f"{caption} Also as", [*files])


def _encoded(drawn: Figure | Axes, kind: str) -> bytes:
    return plots.encoded(cast("Figure", drawn.get_figure(root=True)), kind)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fastbp.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        auto_reload=False,
    )
    # Only these texts are markup: SVG elements with escaped parts, rendered sections, and our own
    # style.
    environment.filters["markup"] = Markup
    return environment


def render_part(template: str, content: Mapping[str, Any]) -> str:
    """Render the text of a template, which may use the macros `figure` and `table`."""
    return (
        _environment()
        .from_string('{% from "parts.html" import figure, table %}\n' + template)
        .render(content)
    )


def render(template: str, title: str, content: Mapping[str, Any], key: str = "") -> bytes:
    """Render a page as HTML, encoded in UTF-8.

    Parameters
    ----------
    template : str
        The name of a file in `templates/`.
    title : str
        The page's title and first heading.
    content : mapping
        The variables of the template.
    key : str
        A digest of what the page is made from. It is written into the head of the page, so that a
        page that is still current need not be made again.
    """
    style = (resources("fastbp.reporting") / "templates" / "page.css").read_text("utf-8")
    return (
        _environment()
        .get_template(template)
        .render(
            content,
            title=title,
            version=__version__,
            key=key,
            style=style,
            style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        )
        .encode("utf-8", "replace")
    )
