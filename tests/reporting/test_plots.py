import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from svg_texts import texts

from fastbp.analysis.summary import summary
from fastbp.reporting.phrases import labels
from fastbp.reporting.plots import (
    cures,
    encoded,
    measure_curves,
    outcome_bars,
    outcome_strip,
    output_curves,
    response_curves,
    trajectory,
)
from fastbp.reporting.plots.style import clipped, inches, wrapped
from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome
from fastbp.schema.text import percent


def written(drawn: Axes, folder: Path, kind: str = "svg") -> Path:
    """The file of a picture."""
    file = folder / f"picture.{kind}"
    file.write_bytes(encoded(drawn.get_figure(root=True), kind))
    return file


def boxes_overlap(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of the first axes that lie over each other."""
    figure.draw_without_rendering()
    (ax,) = figure.axes
    drawn = [
        t
        for t in [*ax.texts, *ax.get_yticklabels(), ax.title, *ax.get_legend().get_texts()]
        if t.get_text()
    ]
    boxes = [(t.get_text(), t.get_window_extent()) for t in drawn]
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[i + 1 :] if x.overlaps(y)]


def test_names_every_setup_and_its_shares(tmp_path: Path) -> None:
    table = summary(frames.frame(*frames.founding(2000)))
    found = texts(written(outcome_bars(table), tmp_path))
    assert "share of runs (%), n = 2,000 each" in found
    assert "How 16,000 runs in 8 setups ended" in found
    for (_, row), label in zip(table.iterrows(), labels(table), strict=True):
        best = " · highest" if row["converged"] == table["converged"].max() else ""
        assert label + best in found
        for outcome in OUTCOMES:
            share = percent(row[f"{outcome.column}_share"])
            if row[f"{outcome.column}_share"] >= 0.01:
                assert any(
                    text == share or f"{share} {outcome}" in text.split(" · ") for text in found
                )
    assert {"converged", "partial", "one-class", "collapsed"} <= set(found)
    assert "diverged" not in found


def test_a_response_is_a_dot_for_each_setup_and_a_line_for_each_setting(tmp_path: Path) -> None:
    rates = [0.01, 0.03, 0.1, 0.2, 0.5, 1.0]
    tables = [
        frames.table(
            {"lr": lr, "order": order},
            ["converged" if seed < 100 * lr else "partial" for seed in range(100)],
        )
        for lr in rates
        for order in ("random", "shuffled")
    ]
    ax = response_curves(summary(frames.frame(*tables)), "lr")
    half, *lines = ax.get_lines()
    assert half.get_ydata() == [50, 50]
    assert [line.get_label() for line in lines] == ["order random", "order shuffled"]
    for line in lines:
        np.testing.assert_allclose(line.get_xdata(), rates)
        np.testing.assert_allclose(line.get_ydata(), [100 * lr for lr in rates])
    assert ax.get_xscale() == "log"
    found = texts(written(ax, tmp_path))
    assert {"learning rate", "converged (%)", "order random", "order shuffled"} <= set(found)
    heading = f"Share converged over lr: 1,200 runs in {2 * len(rates)} setups, 95% bands"
    assert heading in found, [text for text in found if "Share" in text]
    from_zero = response_curves(
        summary(
            frames.frame(*(frames.table({"momentum": m}, ["partial"]) for m in (0.0, 0.5, 0.9)))
        ),
        "momentum",
    )
    assert from_zero.get_xscale() == "linear"
    assert from_zero.get_legend() is None


def test_png_shows_every_colour(tmp_path: Path) -> None:
    table = summary(frames.frame(frames.table({}, [outcome.value for outcome in OUTCOMES] * 20)))
    pixels = matplotlib.image.imread(written(outcome_bars(table), tmp_path, "png"))[
        ..., :3
    ].reshape(-1, 3)
    for outcome in OUTCOMES:
        assert 0.02 < np.isclose(pixels, to_rgb(outcome.colour), atol=0.01).all(axis=1).mean() < 0.2
    assert np.isclose(pixels[0], 1).all()


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_colour_for_each_outcome(outcome: Outcome) -> None:
    assert set(STACKED) == set(OUTCOMES)
    linear = [
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(outcome.colour)
    ]
    assert (np.dot([0.2126, 0.7152, 0.0722], linear) + 0.05) / 0.05 > 5


@pytest.mark.parametrize("setups", [1, 8, 40])
def test_no_text_over_another(setups: int) -> None:
    rng = np.random.default_rng(setups)
    shares = [[0.01, *(0.99 * rng.dirichlet([1, 1, 1, 0.1]))] for _ in range(setups)]
    runs = [
        frames.table({"lr": 0.1 * i, "problem": f"file:{i}.csv"}, frames.mixed(300, rng, *s))
        for i, s in enumerate(shares)
    ]
    ax = outcome_bars(
        summary(frames.frame(*runs)),
        title="A question that is too long for a single line of a title " * 4,
    )
    assert boxes_overlap(ax.figure) == []
    inside = [
        t.get_window_extent()
        for t in [*ax.texts, *ax.get_yticklabels(), ax.title, ax.xaxis.label]
        if t.get_text()
    ]
    assert all(ax.figure.bbox.contains(*corner) for box in inside for corner in (box.min, box.max))


def test_names_are_taken_literally(tmp_path: Path) -> None:
    keys = [{"problem": "file:$x^2$ & <b>.csv"}, {"problem": "file:b.csv"}]
    table = summary(frames.frame(*(frames.table(k, ["partial"]) for k in keys)))
    svg = written(outcome_bars(table, title="What does $5 buy & <what> not$?"), tmp_path)
    assert "What does $5 buy & <what> not$?" in texts(svg)
    assert any("file:$x^2$ & <b>.csv" in text for text in texts(svg))


def test_draws_on_given_axes_and_returns_them() -> None:
    axes = Figure(figsize=(12, 4)).subplots(1, 2)
    assert (
        outcome_bars(summary(frames.frame(*frames.founding(50))), ax=axes[1], title="mine")
        is axes[1]
    )
    assert (axes[1].get_title(loc="left"), len(axes[0].patches)) == ("mine", 0)


def test_no_runs(tmp_path: Path) -> None:
    nothing = summary(frames.frame(frames.table({}, ["partial"])).iloc[:0])
    assert "How 0 runs in 0 setups ended" in texts(written(outcome_bars(nothing), tmp_path))


# The trajectory of one run


def a_life(outcomes: list[str], rows: int, outputs: int = 1) -> tuple[pd.DataFrame, np.ndarray]:
    """Made-up looks, null where diverged, and targets."""
    rng = np.random.default_rng(len(outcomes))
    n, fine = len(outcomes), np.array([outcome != "diverged" for outcome in outcomes])
    measures = {
        name: np.where(fine, values, np.nan)
        for name, values in {
            "loss": np.geomspace(0.3, 0.0001, n),
            "test_loss": np.geomspace(0.3, 0.01, n),
            "spread": rng.random(n),
            "max_error": rng.random(n),
            "saturation": np.zeros(n),
            "grad_norm": rng.random(n) * 1e-3,
        }.items()
    }
    answers = [rng.random(rows * outputs).astype(np.float32) if good else None for good in fine]
    looks = pd.DataFrame(
        {"updates": 80 * np.arange(n), "outcome": outcomes, **measures, "outputs": answers}
    )
    return looks, rng.integers(0, 2, (rows, outputs)).astype(float)


LIVES = {
    "usual": (["collapsed"] * 10 + ["one-class"] * 5 + ["partial"] * 30 + ["converged"] * 60, 8, 1),
    "two looks": (["partial", "one-class"], 2, 1),
    "diverged at once": (["collapsed", "diverged", "diverged"], 4, 3),
    "long": ((["partial"] * 20 + ["converged"] * 20) * 30, 110, 2),
}


def overlapping(figure: Figure) -> list[tuple[str, str]]:
    """Pairs of texts of a figure that lie over each other."""
    figure.draw_without_rendering()
    texts = list(figure.texts)
    for ax in figure.axes:
        legend = ax.get_legend()
        texts += [ax.xaxis.label, ax.yaxis.label, *(legend.get_texts() if legend else [])]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            seen = [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [label for label in seen if label.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    return [(a, b) for i, (a, x) in enumerate(boxes) for b, y in boxes[i + 1 :] if x.overlaps(y)]


@pytest.mark.parametrize("case", LIVES)
def test_a_life_says_what_is_seen(case: str) -> None:
    outcomes, rows, outputs = LIVES[case]
    looks, T = a_life(outcomes, rows, outputs)
    at = 80 * outcomes.index("converged") if "converged" in outcomes else None
    title, note = (
        "setup 0123456789ab, seed 7: it is $what$ it <is>",
        "problem xor, " + "momentum 0.9, " * 20 + "lr 1",
    )
    figure = trajectory(looks, T, title, note, at)
    svg = encoded(figure, "svg")
    found = [
        "".join(element.itertext()).strip()
        for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]
    labels = {
        "loss",
        "held-out loss",
        "share of range",
        "max_error",
        "spread",
        "saturation",
        "gradient norm",
        "updates",
        title,
    }
    assert labels <= set(found)
    assert set(outcomes) == set(found) & {outcome.value for outcome in OUTCOMES}
    assert (f"first converged at {at or 0:,}" in found) == (at is not None)
    some = f"200 of {T.size}" if T.size > 200 else f"{T.size}"
    assert f"{some} outputs over {rows} rows" in found
    assert {f"target {value:g}" for value in np.unique(T)} <= set(found)
    assert not [text for text in found if "mathdefault" in text]
    assert overlapping(figure) == []
    assert len(svg) < 2_500_000


@pytest.mark.parametrize("value", [-2e9, 2e9, 1e17, -1e79, -5e-324])
def test_outputs_that_are_all_the_same_number_have_room(value: float) -> None:
    """In a table's units they are rounded to it, or beyond float32."""
    looks, T = a_life(["partial"] * 4, 4)
    same = looks.assign(outputs=[np.full(T.size, max(value, -3e38), np.float32)] * len(looks))
    low, high = output_curves(same, np.full_like(T, value), Figure().subplots()).get_ylim()
    assert low < value < high


def test_panels_are_drawn_on_given_axes() -> None:
    looks, T = a_life(["partial"] * 4 + ["converged"] * 4, 4)
    axes = Figure().subplots(1, 4)
    assert outcome_strip(looks, axes[0]) is axes[0]
    assert output_curves(looks, T, axes[1]) is axes[1]
    assert measure_curves(looks, ["loss"], axes[2], "loss", log=True) is axes[2]
    assert measure_curves(looks, ["max_error", "spread"], axes[3], "share") is axes[3]
    assert [to_rgb(patch.get_facecolor()) for patch in axes[0].patches] == [
        to_rgb(Outcome(o).colour) for o in ("partial", "converged")
    ]
    # halfway between the looks that differ
    assert [patch.get_x() for patch in axes[0].patches] == [0, 280]
    for line, row in zip(axes[1].get_lines(), np.argsort(T.ravel(), kind="stable"), strict=False):
        assert line.get_ydata().tolist() == [outputs[row] for outputs in looks["outputs"]]
    assert (axes[2].get_yscale(), axes[3].get_yscale()) == ("log", "linear")


def test_what_spans_less_than_a_factor_of_ten_is_on_a_plain_axis() -> None:
    looks, _ = a_life(["partial"] * 3, 4)
    ax = measure_curves(
        looks.assign(loss=[0.2, 0.1, 0.05]), ["loss"], Figure().subplots(), "loss", log=True
    )
    assert ax.get_yscale() == "linear"


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF")])
def test_a_figure_is_the_same_bytes_twice(kind: str, start: bytes) -> None:
    looks, T = a_life(["partial"] * 3, 4)
    one, other = (encoded(trajectory(looks, T, "twice"), kind) for _ in range(2))
    assert one == other
    assert one.startswith(start)


# Names


@pytest.mark.parametrize(
    "name",
    [
        "m" * 300,
        "ش" * 300,
        "網" * 300,
        "i" * 300,
        "a few words " * 40,
        "",
        "word",
        "\N{GRINNING FACE}" * 300,
    ],
    ids=ascii,
)
def test_a_name_is_cut_where_there_is_no_room(name: str) -> None:
    short = clipped(name, 2.0, 9)
    assert inches(short, 9) <= 2.0
    assert short == name or (name.startswith(short.removesuffix(" …")) and inches(short, 9) > 1.7)
    lines = wrapped(name, 2.0, 9, 2).split("\n")
    assert len(lines) <= 2
    assert all(inches(line, 9) <= 2.0 for line in lines)
    joined = "".join(lines).replace(" ", "")
    assert name.replace(" ", "").startswith(joined.removesuffix("…"))
    assert joined.endswith("…") == (inches(name, 9) > 4)


def test_a_name_may_be_in_any_script() -> None:
    """Also in one that the letters of a PNG file have not: nobody is warned, and it stands in the
    SVG file."""
    figure = outcome_bars(
        summary(frames.frame(frames.table({"problem": "file:網.csv"}, ["partial"]))), title="網 😀"
    ).figure
    assert "網 😀" in encoded(figure, "svg").decode()
    assert encoded(figure, "png").startswith(b"\x89PNG")


@pytest.mark.parametrize(("count", "said"), [(3, ""), (300, "75 of 300 networks")])
def test_networks_that_there_are_not_have_no_bar(count: int, said: str) -> None:
    """Of very many with one value each only the first are drawn, so that a picture has an end."""
    rows = pd.DataFrame({"init": [f"i{i}" for i in range(count)]}).assign(
        activation=[f"a{i}" for i in range(count)], runs=7, **{o.column: 1 for o in OUTCOMES}
    )
    figure = cures(rows, "init", "activation", "Networks")
    assert len(figure.axes[0].get_yticks()) == min(2 * count, 150)
    written = " ".join(text.get_text() for text in figure.findobj(Text))
    assert (said in written, "of" in written.split()) == (True, count > 3)
