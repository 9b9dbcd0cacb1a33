"""Figures of a page: each becomes two files under `figures/` and an element of the page."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastbp.reporting import plots
from fastbp.reporting.html import HtmlFigure
from fastbp.reporting.svg import inline

Write = Callable[[Path, bytes], object]
"""Writes a file completely or not at all."""


class Drawing:
    """Draws the figures of a page.

    Files are held until all are written at once, so that a page never lies beside the figures of
    another.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: dict[Path, bytes] = {}

    def encode(
        self,
        drawn: Figure | Axes,
        name: str,
        tight: bool = False,
        larger: Figure | Axes | None = None,
    ) -> bytes:
        """Encode a figure as SVG, which is returned, and as PNG.

        Parameters
        ----------
        drawn : Figure or Axes
            The figure.
        name : str
            The stem of its files; no other figure of the page has it.
        tight : bool
            Whether to cut it to what is drawn, as `plots.encoded` does.
        larger : Figure or Axes, optional
            What the PNG file shows instead, where a page cannot hold all of it.
        """
        for kind, figure in (("svg", drawn), ("png", larger or drawn)):
            path = self.folder / "figures" / f"{name}.{kind}"
            self.drawn[path] = plots.encoded(
                cast("Figure", figure.get_figure(root=True)), kind, tight
            )
        return self.drawn[self.folder / "figures" / f"{name}.svg"]

    def __call__(
        self,
        drawn: Figure | Axes,
        name: str,
        title: str,
        alternative: str,
        caption: str,
        tight: bool = False,
        larger: Figure | Axes | None = None,
    ) -> HtmlFigure:
        """Make a figure of the page.

        Parameters
        ----------
        title : str
            The name of the figure for screen readers.
        alternative : str
            What screen readers read instead of the figure.
        caption : str
            The text below it; the names of its files follow.
        drawn, name, tight, larger
            As in `encode`.
        """
        svg = inline(self.encode(drawn, name, tight, larger), name, alternative)
        files = [f"figures/{name}.{kind}" for kind in ("svg", "png")]
        return HtmlFigure(svg, title, f"{caption} Also as", files)
