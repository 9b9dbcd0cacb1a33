"""Pictures of a page as they are drawn: each becomes two files under `figures/` and an element of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fastbp.analysis import page, plots

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
    """Draws into a folder."""

    def __init__(self, folder: Path, write: Write) -> None:
        self.folder, self.write = folder, write
        self.written: list[Path] = []

    def __call__(self, drawn: Figure | Axes, name: str, title: str, alternative: str, caption: str) -> page.Picture:
        """A picture with its title, what a reader hears instead of it, and what stands below it."""
        found = []
        svg = b""
        for kind in ("svg", "png"):
            content = plots.encoded(figure_of(drawn), kind)
            svg = content if kind == "svg" else svg
            path = self.folder / "figures" / f"{name}.{kind}"
            self.write(path, content)
            self.written.append(path)
            found.append(f"figures/{name}.{kind}")
        return page.picture(svg, name, title, alternative, caption, found)
