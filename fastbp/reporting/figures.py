"""Pictures of a page as they are drawn: each becomes two files under `figures/` and an element of
the page.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.reporting import html, plots

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Write = Callable[[Path, bytes], object]
"""Writes a file, whole or not at all."""


def figure_of(drawn: Figure | Axes) -> Figure:
    """The figure that axes belong to."""
    from matplotlib.axes import Axes

    figure = drawn.get_figure(root=True) if isinstance(drawn, Axes) else drawn
    assert figure is not None
    return figure


class Drawing:
    """Draws for a folder. What was drawn is kept until all of it is written at once: a page goes
    with its own pictures.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drawn: dict[Path, bytes] = {}

    def files(
        self,
        drawn: Figure | Axes,
        name: str,
        tight: bool = False,
        whole: Figure | Axes | None = None,
    ) -> bytes:
        """Draw a picture as SVG, which is returned, and as PNG.

        Parameters: `tight`, whether to cut to what is drawn, as `plots.encoded` says; `whole`, what
        the PNG file shows instead, where a page cannot hold all of it.
        """
        for kind, figure in (("svg", drawn), ("png", whole or drawn)):
            self.drawn[self.folder / "figures" / f"{name}.{kind}"] = plots.encoded(
                figure_of(figure), kind, tight
            )
        return self.drawn[self.folder / "figures" / f"{name}.svg"]

    def write(self, write: Write) -> list[Path]:
        """Write all pictures, and return them."""
        for path, content in self.drawn.items():
            write(path, content)
        return list(self.drawn)

    def __call__(
        self,
        drawn: Figure | Axes,
        name: str,
        title: str,
        alternative: str,
        caption: str,
        tight: bool = False,
        whole: Figure | Axes | None = None,
    ) -> html.Picture:
        """A picture with its title, what a reader shares_memory instead of it, and what stands below it;
        the rest as `files`.
        """
        svg = self.files(drawn, name, tight, whole)
        return html.picture(
            svg,
            name,
            title,
            alternative,
            caption,
            [f"figures/{name}.{kind}" for kind in ("svg", "png")],
        )
