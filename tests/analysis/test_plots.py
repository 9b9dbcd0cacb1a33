import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import tidy
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fastbp.analysis.plots import COLOURS, outcome_bars, save
from fastbp.analysis.tables import summary
from fastbp.analysis.wording import labels, plain
from fastbp.outcomes import OUTCOMES


def texts(path: Path) -> list[str]:
    """Every text of an SVG file."""
    return ["".join(element.itertext()).strip() for element in ET.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def boxes_overlap(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of the first axes that lie over each other."""
    figure.draw_without_rendering()
    (ax,) = figure.axes
    drawn = [t for t in [*ax.texts, *ax.get_yticklabels(), ax.title, *ax.get_legend().get_texts()] if t.get_text()]
    boxes = [(t.get_text(), t.get_window_extent()) for t in drawn]
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[i + 1 :] if x.overlaps(y)]


def test_names_every_setup_and_every_count(tmp_path: Path) -> None:
    table = summary(tidy.frame(*tidy.founding(2000)))
    svg, png = save(outcome_bars(table).figure, tmp_path / "outcomes")
    assert (svg.name, png.name) == ("outcomes.svg", "outcomes.png")
    found = texts(svg)
    assert "share of runs (%)" in found
    assert "How 16,000 runs in 8 setups ended" in found
    for (_, row), label in zip(table.iterrows(), labels(table), strict=True):
        assert f"{label}  (n = 2,000)" in found or f"{label} (n = 2,000)" in found
        for outcome in OUTCOMES:
            count = row[outcome.replace("-", "_")]
            if count:
                assert any(text == plain(count) or f"{plain(count)} {outcome}" in text.split(" · ") for text in found)
    assert {"converged", "partial", "one-class", "collapsed"} <= set(found)
    assert "diverged" not in found


def test_same_bytes_twice_and_nothing_left_behind(tmp_path: Path) -> None:
    table = summary(tidy.frame(*tidy.founding(100)))
    written = [save(outcome_bars(table).figure, tmp_path / name) for name in ("one", "other.v2")]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.png", "one.svg", "other.v2.png", "other.v2.svg"]


def test_a_failed_save_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        save(Figure(), tmp_path / "missing" / "figure")
    assert list(tmp_path.iterdir()) == []


def test_png_shows_every_colour(tmp_path: Path) -> None:
    table = summary(tidy.frame(tidy.table({}, [outcome.value for outcome in OUTCOMES] * 20)))
    _, png = save(outcome_bars(table).figure, tmp_path / "all")
    pixels = matplotlib.image.imread(png)[..., :3].reshape(-1, 3)
    for colour in COLOURS.values():
        share = np.isclose(pixels, to_rgb(colour), atol=0.01).all(axis=1).mean()
        assert 0.02 < share < 0.2
    assert np.isclose(pixels[0], 1).all()


def test_a_colour_for_each_outcome() -> None:
    assert set(COLOURS) == set(OUTCOMES)
    for colour in COLOURS.values():  # black on it: WCAG contrast of at least 4.5
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
        assert (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05) / 0.05 > 5


@pytest.mark.parametrize("setups", [1, 8, 40])
def test_no_text_over_another(setups: int) -> None:
    rng = np.random.default_rng(setups)
    shares = [[0.01, *(0.99 * rng.dirichlet([1, 1, 1, 0.1]))] for _ in range(setups)]
    runs = [tidy.table({"lr": 0.1 * i, "problem": f"file:{i}.csv"}, tidy.mixed(300, rng, *s)) for i, s in enumerate(shares)]
    ax = outcome_bars(summary(tidy.frame(*runs)), title="A question that is too long for a single line of a title " * 4)
    assert boxes_overlap(ax.figure) == []
    inside = [t.get_window_extent() for t in [*ax.texts, *ax.get_yticklabels(), ax.title, ax.xaxis.label] if t.get_text()]
    assert all(ax.figure.bbox.contains(*corner) for box in inside for corner in (box.min, box.max))


def test_names_are_taken_literally(tmp_path: Path) -> None:
    keys = [{"problem": "file:$x^2$ & <b>.csv"}, {"problem": "file:b.csv"}]
    table = summary(tidy.frame(*(tidy.table(k, ["partial"]) for k in keys)))
    svg, _ = save(outcome_bars(table, title="What does $5 buy & <what> not$?").figure, tmp_path / "names")
    assert "What does $5 buy & <what> not$?" in texts(svg)
    assert any("file:$x^2$ & <b>.csv" in text for text in texts(svg))


def test_draws_on_given_axes_and_returns_them() -> None:
    figure = Figure(figsize=(12, 4))
    axes = figure.subplots(1, 2)
    table = summary(tidy.frame(*tidy.founding(50)))
    assert outcome_bars(table, ax=axes[1], title="mine") is axes[1]
    assert axes[1].get_title(loc="left") == "mine"
    assert len(axes[0].patches) == 0


def test_no_runs(tmp_path: Path) -> None:
    nothing = summary(tidy.frame(tidy.table({}, ["partial"])).iloc[:0])
    svg, _ = save(outcome_bars(nothing).figure, tmp_path / "nothing")
    assert "How 0 runs in 0 setups ended" in texts(svg)
