"""Every picture in a grid of somebody's own, at the width of a phone, and as an image.

`python tests/reporting/test_pictures.py` writes the images anew, after a change that is wanted.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

import pages

from fastbp import comparison, plots
from fastbp.analysis import atlas
from fastbp.analysis.basins import Basin
from fastbp.analysis.counts import count_runs
from fastbp.analysis.cures import pooled
from fastbp.analysis.summary import collapsing, density, summary, survival
from fastbp.reporting.html import Drawing
from fastbp.reporting.phrases import labels
from fastbp.reporting.plots.panels import new_figures
from fastbp.reporting.plots.style import PHONE
from fastbp.reporting.sections import outcomes_section

IMAGES = Path(__file__).with_name("pictures.json")

LEAST = 8.25
"""11 pixels in points."""


def trace(outcomes: list[str], seed: int) -> pd.DataFrame:
    """Made-up evaluations of a run with four rows and an output."""
    rng, n = np.random.default_rng(seed), len(outcomes)
    names = ("spread", "max_error", "saturation", "test_loss")
    columns: dict[str, Any] = {name: rng.random(n) for name in names}
    columns |= {name: np.geomspace(0.3, 1e-4, n) for name in ("loss", "grad_norm")}
    outputs = [rng.random(4).astype(np.float32) for _ in range(n)]
    return pd.DataFrame(
        {"updates": 80 * np.arange(n), "outcome": outcomes, "outputs": outputs, **columns}
    )


def effects() -> pd.DataFrame:
    """Made-up effects of four changes."""
    names = ["lr 0.2 → 0.4", "updates 999 → 7,992", "another seed", "scale_inputs none → standard"]
    middle = np.array([0.1, 0.8, 0.0, -0.1])
    return pd.DataFrame(
        {
            "change": names,
            "cause": ["rate", "budget", "placebo", "inputs"],
            "difference": middle,
            "difference_low": middle - 0.05,
            "difference_high": middle + 0.05,
            "fixes": middle > 0.5,
            "pairs": 500,
        }
    )


def profile() -> pd.DataFrame:
    within = np.tile(np.linspace(0, 1, 20), 2)
    lr = np.repeat([0.1, 0.4], 20)
    share = within**2 * lr
    bounds = {"low": share - 0.02 * within, "high": share + 0.02 * within}
    return pd.DataFrame(
        {"lr": lr, "setup": lr.astype(str), "within": within, "share": share, **bounds}
    )


def map_of(values: int) -> pd.DataFrame:
    """A summary of two numeric keys with so many values each."""
    lr, scale = (each.ravel() for each in np.meshgrid(*[np.geomspace(0.01, 100, values)] * 2))
    share = np.exp(-(np.log10(lr) ** 2) - np.log10(scale) ** 2)
    runs = np.full(share.size, 200)
    columns = {f"{name}_share": share for name in ("converged", "constant", "collapsed")}
    bounds = {"converged_low": 0.9 * share, "converged_high": 0.9 * share + 0.1}
    return pd.DataFrame(
        {
            "lr": lr,
            "init_scale": scale,
            "setup": [f"{i:012x}" for i in range(share.size)],
            "runs": runs,
            **columns,
            **bounds,
        }
    )


def cases(folder: Path) -> tuple[dict[str, Callable[..., Axes]], dict[str, Callable[[], Figure]]]:
    """What draws each picture: on given axes or a new figure, and on a figure of its own."""
    counted = count_runs(pages.STORES["founding"](folder / "founding"), pictures=True)
    table = summary(counted)
    grid: dict[str, Any] = {
        "hidden": ("3", "6"),
        "activation": ("relu", "sigmoid", "tanh"),
        "order": ("cyclic", "shuffled"),
        "momentum": (0.0, 0.9),
    }
    many_counted = count_runs(
        pages.of_grid("", 40, lambda keys: "usual", None, **grid)(folder / "many"), pictures=True
    )
    of_many, named = summary(many_counted), dict(zip(table["setup"], labels(table), strict=True))
    seen = ["collapsed"] * 3 + ["one-class"] * 3 + ["partial"] * 4 + ["converged"] * 6
    one, T = trace(seen, 1), np.array([[0.0], [1.0], [1.0], [0.0]])
    traces = {"order random, lr 0.1, seed 1": one, "seed 2": trace(["partial"] * 9, 2)}
    functions = atlas.functions(summary(pages.atlas(folder / "atlas")))
    both = comparison(counted[:4], counted[2:6])
    up, across = np.mgrid[:60, :60] / 30 - 1
    ends = np.where(
        up**2 + across**2 < 0.5, "converged", np.where(up > across, "partial", "collapsed")
    )
    plane = Basin.of(
        pages.runs(
            {"init": "grid:side=60,x=0,y=12", "init_scale": 5.0}, ends.ravel().tolist()
        ).to_pandas()
    )
    few, many = map_of(4), map_of(21)
    maps = [(name, many, name) for name in ("converged", "constant", "collapsed")]
    kinds = pooled(table, ["order", "lr"])
    cells, threshold = density(counted), dict.fromkeys(named, 0.1)
    learning = partial(plots.learning_curves, traces)
    on_axes: dict[str, Callable[..., Axes]] = {
        "outcome_bars": partial(plots.outcome_bars, table, baseline=table["setup"][0]),
        "response_curves": partial(plots.response_curves, few, "lr"),
        "heatmap": partial(plots.heatmap, many, "lr", "init_scale"),
        "heatmap of few": partial(plots.heatmap, few, "lr", "init_scale"),
        "survival_curves": partial(plots.survival_curves, survival(counted)),
        "outcome_bars of many": partial(plots.outcome_bars, of_many, baseline=of_many["setup"][7]),
        "response_curves of many": partial(plots.response_curves, of_many, "momentum"),
        "survival_curves of many": partial(plots.survival_curves, survival(many_counted)),
        "collapse_curves": partial(plots.collapse_curves, collapsing(counted), collapse=0.1),
        "profile_curves": lambda ax=None: plots.profile_curves(profile(), ax=ax),
        "share_pairs": partial(
            plots.share_pairs, both, [f"setup {i}" for i in range(len(both))], ("one", "other")
        ),
        "effects": partial(plots.effects, effects()),
        "spread_loss": partial(plots.spread_loss, cells, constant_loss=0.09, collapse=0.1),
        "basin": partial(plots.basin, plane, most=60),
        "atlas": partial(plots.atlas, functions),
        "class_bars": partial(plots.class_bars, functions),
    }
    need_axes = {
        "learning_curves": learning,
        "answers": lambda ax: plots.answers(T.ravel(), T, ax, "converged"),
        "outcome_strip": lambda ax: plots.outcome_strip(one, ax, 800),
        "output_curves": lambda ax: plots.output_curves(one, T, ax),
        "measure_curves": lambda ax: plots.measure_curves(
            one, ["max_error", "spread"], ax, "share"
        ),
    }
    sheets: dict[str, Callable[[], Figure]] = {
        "heatmap_panels": partial(plots.heatmap_panels, "lr", "init_scale", maps, "Maps", "n = 9"),
        "spread_loss_panels": partial(
            plots.spread_loss_panels, cells, named, dict.fromkeys(named, 0.09), threshold, "Ends"
        ),
        "learning_sheet": partial(plots.learning_sheet, traces, "Learning"),
        "cures": partial(plots.cures, kinds, "order", "lr", "Kinds"),
    }
    return on_axes | need_axes, sheets | on_axes


NEED_AXES = ["learning_curves", "answers", "outcome_strip", "output_curves", "measure_curves"]
ON_AXES = [
    *["outcome_bars", "response_curves", "heatmap", "heatmap of few", "survival_curves"],
    *[f"{name} of many" for name in ("outcome_bars", "response_curves", "survival_curves")],
    *[
        "collapse_curves",
        "profile_curves",
        "share_pairs",
        "effects",
        "spread_loss",
        "basin",
        "atlas",
        "class_bars",
    ],
]
SHEETS = ["heatmap_panels", "spread_loss_panels", "learning_sheet", "cures"]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return cases(tmp_path_factory.mktemp("pictures"))


def texts_of(figure: Figure) -> list[Text]:
    """The texts that matplotlib draws, in their places after the layout."""
    found: list[Text] = []
    draw = Text.draw

    def noted(text: Text, renderer: Any) -> None:
        found.append(text)
        draw(text, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", noted)
        figure.draw_without_rendering()
    return [text for text in found if text.get_text().strip() and text.get_visible()]


def faults(figure: Figure) -> list[str]:
    """Texts outside the canvas or over each other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(figure)]
    canvas = figure.bbox.padded(0.5)
    outside = [
        f"{text!r} is outside"
        for text, box in boxes
        if not canvas.contains(*box.min) or not canvas.contains(*box.max)
    ]
    # A pixel of overlap is that of the empty room around letters.
    over = [
        f"{a!r} lies over {b!r}"
        for (a, x), (b, y) in combinations(boxes, 2)
        if (both := Bbox.intersection(x, y)) and min(both.size) > 1.5
    ]
    return outside + over


@pytest.mark.parametrize(
    ("name", "size", "side"),
    [
        *((name, size, 2) for name in ON_AXES + NEED_AXES for size in ((13, 10), (10, 8))),
        *((name, (4, 3), 1) for name in ON_AXES if name.endswith(" of many")),
        ("basin", (7, 5), 2),
    ],
)
def test_fits_into_a_grid_of_somebodys_own(name: str, size: Any, side: int, drawn: Any) -> None:
    """Nothing leaves the canvas or lies over other axes, and the figure gets nothing."""
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(side, side, squeeze=False).ravel()
    for ax in grid:
        assert drawn[0][name](ax=ax) is ax
        assert not any(ax.get_title(loc=side) for side in ("left", "center", "right"))
        names = [text.get_text() for text in getattr(ax.get_legend(), "texts", [])]
        assert len({*names}) == len(names)
    shown = " ".join(text.get_text() for text in texts_of(figure))
    assert bool(re.search(r"\d of (24 setups|12 settings)", shown)) == name.endswith(" of many")
    assert (faults(figure), figure.axes) == ([], [*grid])
    assert (figure.texts, figure.legends) == ([], [])
    tight = [ax.get_tightbbox() for ax in grid]
    assert not any(a.overlaps(b) for a, b in combinations(tight, 2))
    canvas = figure.bbox.padded(1)
    assert all(canvas.contains(*box.min) and canvas.contains(*box.max) for box in tight)


@pytest.mark.parametrize("name", SHEETS + ON_AXES)
def test_is_legible_on_a_phone_and_on_a_screen(name: str, drawn: Any) -> None:
    assert faults(drawn[1][name]().get_figure(root=True)) == []
    with new_figures(PHONE):
        figure = drawn[1][name]().get_figure(root=True)
    assert faults(figure) == []
    assert figure.get_figwidth() <= PHONE + 1e-9
    assert min(text.get_fontsize() for text in texts_of(figure)) >= LEAST
    if name in ("outcome_bars", "response_curves", "heatmap", "basin"):
        assert figure.get_figheight() * 96 <= 520
        page = Drawing(Path("report.html"))(drawn[1][name], "one", "name", "alternative", "caption")
        assert int(page.svg.partition('height="')[2].partition('"')[0]) <= 430


def test_every_public_picture_is_here() -> None:
    names = {name for name in plots.__all__ if name.islower()} - {"encoded", "has_line"}
    # `trajectory` is drawn by the tests of its own module.
    assert names - {"trajectory"} == {
        *(name for name in [*ON_AXES, *NEED_AXES, *SHEETS] if " of " not in name)
    }


def test_headings_are_left_out_of_pages(drawn: Any) -> None:
    """A finding is the title of a file, and the title that it would have stands below."""
    drawing, draw = Drawing(Path("store")), partial(drawn[1]["outcome_bars"], title="A measure")
    with new_figures(finding=lambda: "A finding"):
        page = drawing(draw, "bars", "name", "alternative", "caption")
    written = drawing.drawn[Path("store/figures/bars.svg")].decode()
    for text in ("A finding", "A measure"):
        assert text in written
        assert text not in page.svg + page.narrow


@pytest.mark.parametrize(
    ("x", "y", "wrong", "hint"),
    [
        ("lr", "init_scal", "init_scal", "; did you mean 'init_scale'?"),
        ("lr", "hiden", "hiden", "; did you mean 'hidden'?"),
        ("lr", "hidden", "hidden", "; it does not vary"),
        (1, "lr", 1, ""),
    ],
)
def test_a_key_that_does_not_vary_is_named(x: Any, y: Any, wrong: Any, hint: str) -> None:
    table = map_of(3)
    with pytest.raises(ValueError, match="given") as caught:
        plots.heatmap(table, x, y)
    assert (
        str(caught.value) == f"given {wrong!r}, allowed: the keys that vary: lr, init_scale{hint}"
    )
    with pytest.raises(ValueError, match="did you mean 'lr'"):
        plots.response_curves(table, "lr_")


# As images


def image(figure: Figure) -> str:
    """The mean colours of 8 × 6 parts of a picture, in hexadecimal digits.

    Another version of FreeType moves edges of letters by less than a pixel, which changes these
    means by a few of 255.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=40, facecolor="white")
    buffer.seek(0)
    pixels = matplotlib.image.imread(buffer)[..., :3]
    rows, columns = (
        np.linspace(0, size, parts + 1).astype(int)
        for size, parts in zip(pixels.shape, (6, 8), strict=False)
    )
    sums = np.add.reduceat(np.add.reduceat(pixels, rows[:-1], axis=0), columns[:-1], axis=1)
    means = sums / np.multiply.outer(np.diff(rows), np.diff(columns))[..., None]
    return bytes(np.round(255 * means).astype(np.uint8).ravel().tolist()).hex()


def differs(one: str, other: str) -> bool:
    """Whether two images differ by more than their letters may."""
    a, b = (np.frombuffer(bytes.fromhex(each), np.uint8).astype(int) for each in (one, other))
    return a.shape != b.shape or bool(np.abs(a - b).max() > 10)


@pytest.mark.parametrize("name", SHEETS + ON_AXES)
def test_looks_as_it_did(name: str, drawn: Any) -> None:
    expected = json.loads(IMAGES.read_text("utf-8"))
    assert not differs(image(drawn[1][name]().get_figure(root=True)), expected[name])


def test_images_see_changes(drawn: Any) -> None:
    ax = drawn[1]["outcome_bars"]()
    before = image(ax.figure)
    assert not differs(before, image(drawn[1]["outcome_bars"]().figure))
    max(ax.patches, key=lambda patch: patch.get_width()).set_facecolor("#0000ff")
    assert differs(before, image(ax.figure))
    assert differs(before, image(drawn[1]["effects"]().figure))


def test_half_the_least_threshold_is_zero(monkeypatch):
    """NumPy warns of the logarithm of zero."""
    rows = pd.DataFrame({"setup": "s", "threshold": [0.1, 1.0], "collapsed_share": [0.2, 0.3]})
    monkeypatch.setattr(outcomes_section, "_the_threshold", lambda data: 5e-324)
    said = outcomes_section._threshold_finding(SimpleNamespace(collapsing=rows))
    assert said.endswith("would leave the share of collapsed runs as it is")


@pytest.mark.parametrize("count", [1, 1_000])
@pytest.mark.parametrize("spread", [0.5, 1e20, 1.7e308])
def test_losses_and_spreads_up_to_the_largest_number_are_drawn(count, spread):
    losses = [5e-324, 1e-3, 1e304, 1.7e308] * count
    outcomes = ["converged", "partial", "diverged", "diverged"] * count
    runs = pd.DataFrame(
        {"spread": [0.5, 0.5, spread, spread] * count, "loss": losses, "outcome": outcomes}
    ).assign(seed=0, runs=-(2**63))  # which a newer release may have
    image(plots.spread_loss(runs).figure)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        IMAGES.write_text(
            json.dumps(
                {
                    name: image(draw().get_figure(root=True))
                    for name, draw in cases(Path(folder))[1].items()
                },
                indent=1,
            )
            + "\n"
        )
