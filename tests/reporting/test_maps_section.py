"""Maps over two numeric keys: their axes, their lines, and what is said of them."""

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from matplotlib.contour import ContourSet
from scipy import stats

from fastbp.analysis import counts, summary as summary_module
from fastbp.analysis.axes import critical, map_axes, the_map, with_width_and_depth
from fastbp.analysis.statistics.proportions import crossings, wilson
from fastbp.analysis.summary import probably_above_half, summary
from fastbp.reporting.plots import heatmap, heatmap_panels
from fastbp.reporting.sections.maps_section import edges_table, map_paragraphs
from fastbp.reporting.verdict import verdict
from fastbp.schema.text import percent

RATES, SCALES = [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0, 10000.0], [0.03, 0.1, 0.3, 1.0, 3.0, 10.0]


def outcomes(converged: int, constant: int, of: int = 100) -> list[str]:
    return (
        ["converged"] * converged
        + ["collapsed"] * constant
        + ["partial"] * (of - converged - constant)
    )


def a_map() -> pd.DataFrame:
    """Converged from rate 1 to 10, but nowhere at scale 10; collapsed at rates below 0.1."""
    return summary(
        frames.frame(
            *(
                frames.table(
                    {"lr": lr, "init_scale": s},
                    outcomes(90 if 1 <= lr <= 10 and s < 10 else 0, 95 if lr < 0.1 else 5),
                )
                for lr in RATES
                for s in SCALES
            )
        )
    )


def test_crossings_are_between_sure_sides() -> None:
    share = np.array([0.0, 0.4, 0.52, 0.49, 0.9, 0.55, 0.1])
    low, high = wilson(100 * share, 100)
    rising, falling = crossings(share, low, high)
    assert (rising.low, rising.high, rising.rising) == (1, 4, True)
    assert rising.low <= rising.at <= rising.high
    assert (falling.high, falling.rising, falling.at) == (6, False, pytest.approx(5 + 0.05 / 0.45))
    mirrored = crossings(share[::-1], low[::-1], high[::-1])
    assert [6 - each.at for each in reversed(mirrored)][1] == pytest.approx(falling.at)
    assert crossings([0.4, 0.6], [0.3, 0.5], [0.5, 0.7]) == []
    with pytest.raises(ValueError, match="same length"):
        crossings([0.5], [0.1, 0.2], [0.9])


def test_an_exact_half_is_crossed_once() -> None:
    (one,) = crossings([0.0, 0.5, 0.5, 1.0], [0.0, 0.4, 0.4, 0.9], [0.1, 0.6, 0.6, 1.0])
    assert (one.at, one.low, one.high, one.rising) == (1, 0, 3, True)


def test_a_critical_line_has_a_row_for_each_crossing() -> None:
    table = critical(a_map(), "lr", "init_scale")
    assert table["init_scale"].tolist() == [s for s in SCALES[:5] for _ in range(2)]
    assert table["rising"].tolist() == [True, False] * 5
    np.testing.assert_allclose(table["lr"][:2], [10 ** (-1 + 5 / 9), 10 ** (2 - 5 / 9)])
    np.testing.assert_allclose(table[["lr_low", "lr_high"]][:2], [[0.1, 1], [10, 100]])


def test_a_map_is_described_by_its_region() -> None:
    whole = a_map()
    constant_at_start = pd.Series(np.where(whole["init_scale"] < 1, 1.0, 0.25))
    first, second = map_paragraphs(whole, constant_at_start)
    assert first == (
        "At least half of the runs converge in 10 of the 10 setups with lr 1 to 10 and init_scale "
        "up to 3, and in none of 32 elsewhere (at 95% confidence). The highest share is 90.0% "
        "(76.2% to 96.2%) with lr 1, init_scale 0.03."
    )
    assert second.startswith(
        "At least half of the runs converge in 10 of 42 setups. Half had converged soonest with "
    )
    assert "At least half give the same answer to every input in 6 of 42 setups." in second
    assert "At least half have collapsed to a constant in 6 of 42 setups." in second
    low, high = (percent(float(end)) for end in wilson(25, 100))
    assert second.endswith(f" to 100%) and 25.0% with init_scale 10 ({low} to {high}).")
    assert map_paragraphs(whole)[0] == first
    told = verdict(whole, pd.DataFrame(), pd.DataFrame(), None, constant_at_start)
    assert [told[0], *told[2:]] == [first, second]
    assert told[1].startswith("Runs converge most often with ")


def test_the_edges_of_a_map_stand_in_a_table() -> None:
    table = edges_table(a_map())
    assert table is not None
    assert [column.title for column in table.columns] == [
        "init_scale", "half converge", "half are constant",
    ]  # fmt: skip
    cells = {row[0]: row[1:] for row, _ in table.rows}
    assert [float(name) for name in cells] == sorted(SCALES)
    assert cells["0.03"][0] == "from 0.359 [0.1, 1] up to 27.8 [10, 100]"
    assert cells["10"][0] == "at no lr (0%)"
    assert "up to " in cells["10"][1]
    line = frames.frame(*(frames.table({"lr": lr}, outcomes(1, 1)) for lr in RATES))
    assert edges_table(summary(line)) is None


def test_a_map_counts_more_setups_if_some_may_be_wrong() -> None:
    """Of 42 setups 6 are at 90%, 12 at 66%: too few for an interval that holds for all at once."""
    tables = [
        frames.table(
            {"lr": lr, "init_scale": s}, outcomes(90 if lr > 1e3 else 66 if lr > 10 else 20, 0)
        )
        for lr in RATES
        for s in SCALES
    ]
    whole = summary(frames.frame(*tables))
    below = np.flatnonzero(
        np.sort(stats.binom.sf(whole["converged"] - 1, 100, 0.5)) <= 0.05 * np.arange(1, 43) / 42
    )
    assert probably_above_half(whole, "converged") == below[-1] + 1 == 18
    assert (
        "in 6 of 42 setups (at 95% confidence; 18 if 5% of these may be wrong), and perhaps in 12 "
        "more" in map_paragraphs(whole)[1]
    )
    assert (
        "in 6 of the 18 setups with lr from 100 and any init_scale, perhaps in 12 more, and in none"
        in map_paragraphs(whole)[0]
    )


def test_of_setups_counted_above_half_few_are_not() -> None:
    """Of 400 setups 40 are above one half. Errors are few on average, though many tables have
    one."""
    rng, wrong = np.random.default_rng(1), []
    share = np.repeat([0.5, 0.1, 0.65], [160, 200, 40])
    for _ in range(200):
        counts = rng.binomial(100, share)
        found = probably_above_half(pd.DataFrame({"converged": counts, "runs": 100}), "converged")
        wrong.append(
            (np.sort(counts[:160])[::-1] >= np.sort(counts)[::-1][found - 1]).sum() / found
        )
    assert np.mean(wrong) <= 0.05
    assert np.mean(np.array(wrong) > 0) > 0.1


def test_few_runs_show_no_region() -> None:
    rows = [
        frames.table({"lr": lr, "init_scale": s}, outcomes(3, 1, of=5))
        for lr in RATES
        for s in SCALES
    ]
    first, second = map_paragraphs(summary(frames.frame(*rows)), pd.Series(np.full(42, 0.2)))
    said = "perhaps 42 of 42 setups, but this is shown for none."
    assert first.startswith(f"At least half of the runs converge in {said} The highest")
    assert second.startswith(f"At least half of the runs converge in {said} Half had converged")
    assert f"At least half give the same answer to every input in {said}" in second
    low, high = (percent(float(end)) for end in wilson(1, 5))
    assert second.endswith(f"as a collapsed one (95% intervals): 20.0% ({low} to {high}).")
    none = [
        frames.table({"lr": lr, "init_scale": s}, outcomes(0, 0)) for lr in RATES for s in SCALES
    ]
    assert "converge in none of 42 setups." in map_paragraphs(summary(frames.frame(*none)))[0]


def test_what_is_no_map_has_no_description() -> None:
    assert map_paragraphs(summary(frames.frame(*frames.founding(50)))) == []
    assert (
        the_map(summary(frames.frame(*(frames.table({"lr": lr}, outcomes(1, 1)) for lr in RATES))))
        is None
    )


def networks(*hidden: str) -> pd.DataFrame:
    return summary(
        frames.frame(*(frames.table({"hidden": each}, outcomes(50, 10)) for each in hidden))
    )


def test_networks_of_equal_layers_have_a_width_and_a_depth() -> None:
    found = with_width_and_depth(networks("2", "4", "2-2", "4-4", "4-4-4"))
    assert sorted(zip(found["width"], found["depth"], strict=True)) == [
        (2, 1),
        (2, 2),
        (4, 1),
        (4, 2),
        (4, 3),
    ]
    assert map_axes(found) == [("depth", "width")]
    assert list(with_width_and_depth(networks("3", "3-3")).columns[:2]) == ["depth", "setup"]
    for other in (networks("2", "4"), networks("2", "2-4"), networks("2-4", "4-2")):
        pd.testing.assert_frame_equal(with_width_and_depth(other), other)


def test_a_width_at_which_half_converge_is_a_whole_number() -> None:
    rows = [
        frames.table({"hidden": "-".join([str(w)] * d)}, outcomes(100 if w >= 3 else 0, 0))
        for w in range(1, 6)
        for d in range(1, 6)
    ]
    table = critical(with_width_and_depth(summary(frames.frame(*rows))), "width", "depth")
    assert table["width"].tolist() == [3] * 5
    assert table[["width_low", "width_high"]].to_numpy().tolist() == [[2, 3]] * 5


def test_born_is_the_share_that_starts_constant() -> None:
    frame = frames.frame(frames.table({}, outcomes(50, 50)))
    frame["spread_start"] = np.where(np.arange(100) < 30, 0.01, 0.5)
    (share,) = summary_module.constant_at_start(counts.count_runs(frame, pictures=True))
    assert share == 0.3
    assert summary_module.constant_at_start(counts.count_runs(frame)) is None


def test_a_map_of_one_setting_has_a_panel_for_each_share() -> None:
    whole = a_map()
    whole = whole.assign(constant_at_start_share=0.5)
    names = ("converged", "constant", "collapsed", "constant_at_start")
    figure = heatmap_panels(
        "lr", "init_scale", [(name.upper(), whole, name) for name in names], "what"
    )
    assert [ax.get_title(loc="left") for ax in figure.axes] == [name.upper() for name in names]
    for ax, name in zip(figure.axes, names, strict=True):
        shares = ax.images[0].get_array()
        expected = whole.pivot(index="init_scale", columns="lr", values=f"{name}_share")
        np.testing.assert_allclose(shares, expected)


def test_a_tick_of_many_has_a_round_name() -> None:
    lr = [float(f"{each:.3g}") for each in np.geomspace(0.01, 100, 25)]
    scale = [float(f"{each:.3g}") for each in np.geomspace(0.01, 10, 16)]
    rows = pd.DataFrame(
        [(x, y, 0.5, 100) for x in lr for y in scale],
        columns=["lr", "init_scale", "converged_share", "runs"],
    )
    rows = rows.assign(setup="s", constant_share=0.2, collapsed_share=0.1)
    figure = heatmap_panels("lr", "init_scale", [("", rows, "converged")], "what")
    names = [
        [tick.get_text() for tick in axis.get_ticklabels()]
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis)
    ]
    assert names == [["0.01", "0.1", "1", "10", "100"], ["0.01", "0.1", "1", "10"]]


@pytest.mark.parametrize(("high", "told"), [(1.0, True), (0.4, False)])
def test_a_map_says_what_its_line_is_which_strikes_no_number_out(high: float, told: bool) -> None:
    rows = pd.DataFrame(
        [
            {"lr": x, "init_scale": y, "runs": 10, "converged_share": high * x / 4}
            for x in range(5)
            for y in range(4)
        ]
    )
    rows["lr"] = rows["lr"].astype("Int64").replace(0, pd.NA)  # as of a key that others lack
    ax = heatmap(rows, "lr", "init_scale")
    assert [each.get_text() for each in ax.get_xticklabels()] == ["–", "1", "2", "3", "4"]
    lines = [each for each in ax.collections if isinstance(each, ContourSet)]
    assert bool(lines) is told
    assert len(ax.texts) == 20
    for text in ax.texts:
        assert text.get_bbox_patch().get_facecolor()[3] == 1
        assert all(text.get_zorder() > line.get_zorder() for line in lines)
