"""Planes of initial weights: which run is where, and that pictures show each of them."""

import io
import re
from math import nan
from pathlib import Path

import matplotlib.image
import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from fastbp.analysis.basins import (
    Basin,
    Plane,
    boundary_dimensions,
    parameter,
    plane_of,
    unlike_neighbours,
)
from fastbp.analysis.counts import count_runs
from fastbp.reporting import build
from fastbp.reporting.plots import basin, encoded
from fastbp.schema.outcomes import OUTCOMES, Outcome
from fastbp.store.npz import data_digest

SIDE = 12
KEYS: dict[str, object] = {"init": f"grid:side={SIDE},x=0,y=2,origin=9", "init_scale": 3.0}
ENDS = [str(Outcome.CONVERGED), *(str(outcome) for outcome in OUTCOMES)]


def plane_runs(seeds: range = range(SIDE**2)) -> tuple[list[str], pd.DataFrame]:
    """How each seed ends, and their runs, of which those that converge do so after 80 updates and
    one for each column."""
    outcomes = [ENDS[(seed * 7 + seed // SIDE) % len(ENDS)] for seed in seeds]
    frame = frames.frame(frames.table(KEYS, outcomes, list(seeds)))
    when = frame["converged_at"].notna()
    frame.loc[when, "converged_at"] += frame.loc[when, "seed"] % SIDE
    return outcomes, frame


def test_a_plane_is_told_by_its_init() -> None:
    assert plane_of(KEYS) == Plane(SIDE, 0, 2, 3.0)
    assert plane_of({"init": "grid:side=7,x=3,y=1", "init_scale": 1}) == Plane(7, 3, 1, 1.0)
    for init in ("normal", "grid", "grid:side=7,x=3", "grid:side=7,x=3,y=1a", None):
        assert plane_of({"init": init, "init_scale": 1.0}) is None
    for init in ("side=1,x=0,y=2", "side=4001,x=0,y=2", "side=7,x=2,y=2", "side=7,x=0,y=\u0662"):
        assert plane_of({"init": f"grid:{init}", "init_scale": 1.0}) is None
    assert plane_of(KEYS | {"init_scale": 0.0}) is None


def test_parameters_have_the_names_of_exported_weights() -> None:
    assert [parameter((2, 2, 1), number) for number in range(9)] == [
        "W0[0, 0]",
        "W0[0, 1]",
        "W0[1, 0]",
        "W0[1, 1]",
        "b0[0]",
        "b0[1]",
        "W1[0, 0]",
        "W1[0, 1]",
        "b1[0]",
    ]
    with pytest.raises(ValueError, match="no parameter has that number in 2-2-1"):
        parameter((2, 2, 1), 9)


@pytest.mark.parametrize("parts", [1, 5])
def test_each_run_has_its_cell(tmp_path: Path, parts: int) -> None:
    outcomes, frame = plane_runs()
    store = frames.write(tmp_path, frames.table(KEYS, outcomes), parts)
    (one,) = count_runs(store)
    for found in (Basin.of(frame.sample(frac=1, random_state=1)), Basin.read(store, one)):
        assert (found.plane, [OUTCOMES[code] for code in found.codes.ravel()]) == (
            Plane(SIDE, 0, 2, 3.0),
            outcomes,
        )
        assert (np.isfinite(found.times) == found.converged).all()
        assert found.present.all()
        assert found.shares == {outcome: outcomes.count(outcome) / SIDE**2 for outcome in OUTCOMES}
    assert Basin.of(frame).times[4].tolist() == pytest.approx(
        [
            80 + column if outcomes[4 * SIDE + column] == "converged" else np.nan
            for column in range(SIDE)
        ],
        nan_ok=True,
    )


def test_seeds_past_the_plane_start_again_and_the_first_count() -> None:
    outcomes, frame = plane_runs(range(5, 2 * SIDE**2))
    found = Basin.of(frame)
    wanted = [
        outcomes[cell - 5] if cell >= 5 else outcomes[cell + SIDE**2 - 5] for cell in range(SIDE**2)
    ]
    assert [OUTCOMES[code] for code in found.codes.ravel()] == wanted


def test_a_plane_may_have_holes() -> None:
    _, frame = plane_runs(range(3, 40))
    found = Basin.of(frame)
    assert np.flatnonzero(found.present).tolist() == list(range(3, 40))
    assert sum(found.shares.values()) == pytest.approx(1)
    assert shown(basin(found).figure, found)[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("init", ["normal", "two"])
def test_other_runs_are_refused(init: str) -> None:
    _, frame = plane_runs()
    if init == "two":
        frame["setup"] = frame["setup"].astype(str).where(frame["seed"] != 3, "0" * 12)
    else:
        frame["init"] = init
    with pytest.raises(
        ValueError, match="these are not the runs of one setup whose init is a grid"
    ):
        Basin.of(frame)


def shown(figure: Figure, found: Basin) -> np.ndarray:
    """The pixels of the axes of a PNG file, rows upwards, uint8 [row, column, 3]."""
    path = Path("shown.png")
    path.write_bytes(encoded(figure, "png"))
    image = np.round(255 * matplotlib.image.imread(path)).astype(np.uint8)[::-1, :, :3]
    left, bottom, wide, high = figure.axes[0].get_position().bounds
    x, y, w, h = (
        round(part * size)
        for part, size in zip((left, bottom, wide, high), image.shape[1::-1] * 2, strict=True)
    )
    return image[y : y + h, x : x + w]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("side", [7, 70, 401, 1000])
def test_every_run_is_a_square_of_whole_pixels_in_its_colour(side: int) -> None:
    rng = np.random.default_rng(side)
    codes = rng.integers(0, len(OUTCOMES), (side, side)).astype(np.int8)
    times = np.where(
        codes == OUTCOMES.index(Outcome.CONVERGED), rng.integers(1, 400, (side, side)), np.nan
    ).astype(np.float32)
    found = Basin(Plane(side, 0, 1, 2.5), codes, times)
    pixels = shown(basin(found).figure, found)
    each = len(pixels) // side
    assert pixels.shape == (side * each, side * each, 3)
    assert side * each >= 800
    cells = pixels.reshape(side, each, side, each, 3)
    assert (cells == cells[:, :1, :, :1]).all()
    cells = cells[:, 0, :, 0].astype(int)
    for outcome in set(OUTCOMES) - {Outcome.CONVERGED}:
        assert (
            abs(
                cells[codes == OUTCOMES.index(outcome)]
                - (0.36 * 255 * np.array(to_rgb(outcome.colour)))
            ).max()
            <= 1
        )
    light = cells[found.converged] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light[np.argsort(times[found.converged], kind="stable")]) >= -1).all()


def test_a_smaller_picture_has_the_mean_colours() -> None:
    side, most = (
        100,
        30,
    )  # so that each pixel stands for four runs a side, and those of the last column lack some
    codes = np.full((side, side), OUTCOMES.index(Outcome.COLLAPSED), np.int8)
    codes[: side // 2] = OUTCOMES.index(Outcome.PARTIAL)
    found = Basin(Plane(side, 0, 1, 1.0), codes, np.full((side, side), np.nan, np.float32))
    (image,) = basin(found, most=most).get_images()
    array = np.asarray(image.get_array())
    assert array.shape == (800, 800, 4), "each many pixels wide, which nothing blurs"
    array = array[::32, ::32]
    assert (array.repeat(32, axis=0).repeat(32, axis=1) == np.asarray(image.get_array())).all()
    one, two = (
        np.round(0.36 * 255 * np.array(to_rgb(o.colour)))
        for o in (Outcome.PARTIAL, Outcome.COLLAPSED)
    )
    assert abs(array[:12, :, :3] - one).max() <= 1
    assert abs(array[13:, :, :3] - two).max() <= 1
    assert abs(array[12, :, :3] - (one + two) / 2).max() <= 1
    (odd,) = basin(found, most=33).get_images()
    (odder,) = basin(
        Basin(Plane(98, 0, 1, 1.0), codes[:98, :98], found.times[:98, :98]), most=25
    ).get_images()
    for reduced, cells in ((odd, 100), (odder, 100)):
        assert (reduced.get_array().shape[0], reduced.get_extent()[0]) == (
            800 // (cells // 4) * (cells // 4),
            -1,
        )


def test_planes_that_share_limits_have_the_same_colour_for_the_same_updates() -> None:
    early, late = (
        Basin(
            Plane(2, 0, 1, 1.0),
            np.full((2, 2), OUTCOMES.index(Outcome.CONVERGED), np.int8),
            np.array(t, np.float32),
        )
        for t in ([[1, 5], [9, 20]], [[20, 80], [90, 400]])
    )
    assert (early.limits, late.limits) == ((1, 20), (20, 400))
    shared = [
        np.asarray(basin(each, limits=(1, 400)).get_images()[0].get_array())
        for each in (early, late)
    ]
    assert (shared[0][1, 1] == shared[1][0, 0]).all()
    alone = [np.asarray(basin(each).get_images()[0].get_array()) for each in (early, late)]
    assert not (alone[0][1, 1] == alone[1][0, 0]).all()


def test_a_picture_says_what_it_shows() -> None:
    _, frame = plane_runs()
    ax = basin(frame, names=("W0[0, 0]", "b0[1]"))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("W0[0, 0]", "b0[1]")
    assert ax.figure.texts[0].get_text() == "How 144 runs end, by where they start"
    assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 3), (-3, 3))
    legend = ax.get_legend()
    assert legend is not None
    assert {text.get_text().split()[0] for text in legend.get_texts()} == set(OUTCOMES) - {
        "converged"
    }
    assert any(text.get_text().startswith("converged ") for text in ax.texts)
    given = Figure().add_subplot()
    assert basin(frame, given) is given
    assert given.get_xlabel() == "initial value of parameter 0"


@pytest.mark.parametrize("outcome", ["converged", "partial"])
def test_a_plane_of_one_kind_is_drawn(outcome: str) -> None:
    ax = basin(frames.frame(frames.table(KEYS, [outcome] * SIDE**2)))
    assert (ax.get_legend() is None) == (outcome == "converged")
    assert len(ax.texts) == (outcome == "converged")


def test_runs_that_say_that_they_converged_but_not_when_are_drawn() -> None:
    codes = np.full((2, 2), OUTCOMES.index(Outcome.CONVERGED), np.int8)
    for times in ([[nan, 5], [9, 20]], [[0, 5], [9, 20]], [[nan, 0], [0, 0]]):
        basin(Basin(Plane(2, 0, 1, 1.0), codes, np.array(times, np.float32))).figure.savefig(
            io.BytesIO()
        )


# On a page


def page_of(folder: Path, setups: int, side: int = 60) -> str:
    """The page of so many setups whose runs converge in a corner of their plane; of all the last
    ones do in more of it."""
    X, T = np.zeros((8, 3)), np.eye(8)[:, :1]
    problem = data_digest(X, T)
    for place in range(setups):
        keys = KEYS | {"init": f"grid:side={side},x=0,y=16", "lr": 0.1 * (place + 1), "hidden": "4"}
        ends = [
            "converged" if seed % side + seed // side < 30 + 10 * place else "partial"
            for seed in range(side**2)
        ]
        frames.write(folder, frames.table(keys, ends), 2, {"fastbp.problem": problem})
    (folder / "problems").mkdir()
    np.savez(folder / "problems" / f"{problem}.npz", X=X, T=T)
    build.make(folder)
    return (folder / "report.html").read_text("utf-8")


def test_a_page_shows_the_plane_and_says_how_alike_neighbours_end(tmp_path: Path) -> None:
    page = page_of(tmp_path, 1)
    # Of 2·60·59 pairs the 2·30 across the edge of the corner; it is a line.
    assert "Of starts next to each other in the plane of two weights, 0.1 apart, 0.8% end " in page
    assert re.search(r"has a dimension of (1\.0\d|0\.9\d); a smooth line has 1", page)
    assert "initial values of its W0[0, 0] and W1[0, 0]" in page
    assert "not random draws: intervals and p-values" in page
    for kind in ("svg", "png"):
        assert f'href="figures/basin.{kind}"' in page
        assert (tmp_path / "figures" / f"basin.{kind}").is_file()
    height, width, _ = matplotlib.image.imread(tmp_path / "figures" / "basin.png").shape
    assert min(height, width) > 60 * 14


@pytest.mark.usefixtures("no_png")
def test_a_page_shows_four_planes_and_compares_them(tmp_path: Path) -> None:
    page = page_of(tmp_path, 6)
    assert page.count("A plane of initial weights: lr") == 4
    assert len(list((tmp_path / "figures").glob("basin-*.png"))) == 4
    assert re.search(
        r"two weights, 0\.1 apart, 0\.8% \(lr 0\.1\) to \d\.\d% \(lr 0\.\d\) end differently", page
    )


@pytest.mark.usefixtures("no_png")
def test_the_answer_is_the_same_whether_or_not_a_page_is_drawn(tmp_path: Path) -> None:
    page_of(tmp_path, 2)
    answer = build.make(tmp_path).verdict
    assert build.Report(tmp_path, count_runs(tmp_path), None).verdict == answer
    assert answer[0].startswith("Of starts next to each other")


@pytest.mark.usefixtures("no_png")
def test_a_page_without_a_plane_says_nothing_of_it(tmp_path: Path) -> None:
    frames.write(tmp_path, frames.table({}, ["converged", "partial"] * 20))
    build.make(tmp_path)
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "Where runs start" not in page
    assert "not draws" not in page


@pytest.mark.usefixtures("no_png")
def test_a_plane_with_hardly_a_run_is_not_drawn(tmp_path: Path) -> None:
    """It would take gigabytes."""
    frames.write(
        tmp_path,
        frames.table(
            KEYS | {"init": "grid:side=4000,x=0,y=2,origin=9"}, ["converged", "partial"] * 20
        ),
    )
    build.make(tmp_path)
    assert "Where runs start" not in (tmp_path / "report.html").read_text("utf-8")


# Boundaries


def test_unlike_neighbours_are_counted_one_by_one() -> None:
    rng = np.random.default_rng(2)
    flags, there = rng.random((9, 9)) < 0.4, rng.random((9, 9)) < 0.8
    for distance, share in zip(
        (1, 2, 5, 8), unlike_neighbours(flags, there, (1, 2, 5, 8)), strict=True
    ):
        pairs = [
            flags[i, j] != flags[i + di, j + dj]
            for i in range(9)
            for j in range(9)
            for di, dj in ((distance, 0), (0, distance))
            if i + di < 9 and j + dj < 9 and there[i, j] and there[i + di, j + dj]
        ]
        assert share == pytest.approx(np.mean(pairs))
    assert np.isnan(unlike_neighbours(flags, np.zeros_like(there), (1,))).all()


def test_dimensions_that_are_known() -> None:
    steps, side = (1, 2, 4, 8, 16), 1000
    rows, columns = np.mgrid[:side, :side]
    everywhere = np.ones((side, side), bool)

    def dimensions(flags: np.ndarray) -> np.ndarray:
        return boundary_dimensions(steps, unlike_neighbours(flags, everywhere, steps))

    assert dimensions(columns < 431) == pytest.approx(1, abs=2e-2)
    assert dimensions((rows - 480) ** 2 + (columns - 500) ** 2 < 300**2) == pytest.approx(
        1, abs=2e-2
    )
    assert dimensions(np.random.default_rng(1).random((side, side)) < 0.3) == pytest.approx(
        2, abs=1e-2
    )
    assert dimensions(everywhere).size == 0


@pytest.mark.parametrize("dimension", [1, 1.5, 1 + np.log(2) / np.log(3), 2])
def test_a_power_law_has_the_dimension_of_its_exponent(dimension: float) -> None:
    steps = np.array([1, 2, 4, 8, 16])
    assert boundary_dimensions(steps, 0.03 * steps ** (2 - dimension)) == pytest.approx(dimension)
    assert boundary_dimensions(steps[:1], [0.03]).size == 0
