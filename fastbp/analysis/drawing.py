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

    def files(self, drawn: Figure | Axes, name: str, tight: bool = False) -> bytes:
        """Write a picture as SVG, which is returned, and as PNG. `tight`: cut to what is drawn, as `plots.encoded` says."""
        contents = {kind: plots.encoded(figure_of(drawn), kind, tight) for kind in ("svg", "png")}
        for kind, content in contents.items():
            path = self.folder / "figures" / f"{name}.{kind}"
            self.write(path, content)
            self.written.append(path)
        return contents["svg"]

    def __call__(
        self, drawn: Figure | Axes, name: str, title: str, alternative: str, caption: str, tight: bool = False
    ) -> page.Picture:
        """A picture with its title, what a reader hears instead of it, and what stands below it."""
        svg = self.files(drawn, name, tight)
        return page.picture(svg, name, title, alternative, caption, [f"figures/{name}.{kind}" for kind in ("svg", "png")])
