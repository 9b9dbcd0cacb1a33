"""A store of truth tables as an atlas: its tables, its picture and what they say."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sample_frames as frames
from svg_texts import texts

from fastbp.analysis.atlas import equality, functions, is_atlas
from fastbp.analysis.counts import count_runs
from fastbp.analysis.statistics.paired import cochran
from fastbp.analysis.statistics.proportions import wilson
from fastbp.analysis.summary import summary
from fastbp.analysis.symmetry import classes
from fastbp.reporting import build
from fastbp.reporting.plots import MAX_TILES, atlas, encoded
from fastbp.reporting.sections.atlas_section import sentences, terminal_table

EVERY = [f"{number:04b}" for number in range(16)]


def runs(
    tables: list[str] = EVERY,
    n: int = 300,
    seed: int = 1,
    scaled: tuple[str, ...] = ("none", "standard"),
) -> pd.DataFrame:
    """Tables learnt as symmetry says, the harder the more changes there are between neighbouring
    rows; seeds are alike or not."""
    rng, parts = np.random.default_rng(seed), []
    for scale in scaled:
        for bits, small, large in zip(
            tables, classes(tables, "pn"), classes(tables, "npn"), strict=True
        ):
            ease = np.random.default_rng(
                int((large if scale == "standard" else small) + "1", 2)
            ).uniform(0.1, 0.9)
            p = 1.0 if len(set(bits)) == 1 else ease
            outcomes = rng.choice(
                ["converged", "partial", "collapsed"], n, p=[p, (1 - p) / 2, (1 - p) / 2]
            )
            keys = {
                "problem": f"table:{bits}",
                "scale_inputs": scale,
                "order": "shuffled",
                "loss_function": "squared",
            }
            parts.append(frames.table(keys, outcomes.tolist()))
    return frames.frame(*parts)


def test_tables_are_an_atlas_where_there_are_enough_of_one_size() -> None:
    assert is_atlas(summary(runs(n=1)))
    assert not is_atlas(summary(runs(EVERY[:15], n=1)))
    assert not is_atlas(summary(runs(EVERY[:1], n=1)))
    for other in ("xor", "table:01101001"):
        problems = [*(f"table:{bits}" for bits in EVERY), other]
        assert not is_atlas(
            summary(
                frames.frame(
                    *(frames.table({"problem": problem}, ["partial"]) for problem in problems)
                )
            )
        )


def test_functions_have_their_classes_and_all_of_the_summary() -> None:
    whole = summary(runs())
    table = functions(whole)
    assert len(table) == 32
    assert list(table.columns[:5]) == ["bits", "pn_class", "npn_class", "function", "scale_inputs"]
    assert list(table.columns[5:]) == list(whole.columns[2:])
    assert table["npn_class"].is_monotonic_increasing
    by_setup = whole.set_index("setup")
    for row in table.to_dict("records"):
        assert by_setup.loc[row["setup"], "problem"] == f"table:{row['bits']}"
        assert by_setup.loc[row["setup"], "converged"] == row["converged"]
        assert [row["pn_class"]] == classes([row["bits"]], "pn")


def test_equality_is_counted_from_the_runs() -> None:
    frame = runs()
    table = equality(frame)
    assert len(table) == 2 * (6 + 4)
    assert list(table.columns[:4]) == ["scale_inputs", "symmetry", "class", "function"]
    for row in table.to_dict("records"):
        own = frame[(frame["scale_inputs"] == row["scale_inputs"])]
        names = classes([problem[6:] for problem in own["problem"]], row["symmetry"])
        own = own[np.array(names) == row["class"]]
        ended = (
            own.pivot(index="seed", columns="problem", values="outcome").to_numpy() == "converged"
        )
        assert (row["members"], row["runs"]) == (ended.shape[1], ended.size)
        assert row["converged"] == ended.sum()
        assert (row["min_share"], row["max_share"]) == (
            ended.mean(axis=0).min(),
            ended.mean(axis=0).max(),
        )
        low, high = wilson(row["converged_share"] * row["trials"], row["trials"])
        assert (row["converged_low"], row["converged_high"]) == pytest.approx(
            (float(low), float(high))
        )
        assert len(ended) <= row["trials"] <= ended.size
        assert row["p"] == pytest.approx(
            cochran(ended.T.astype(int) @ ended, len(ended)), nan_ok=True
        )
        one = len(set(classes([problem[6:] for problem in own["problem"]], "pn"))) == 1
        assert row["holds"] == (one or row["scale_inputs"] == "standard")
        assert np.isnan(row["p"]) == np.isnan(row["p_holm"])
    assert table[table["holds"]]["p_holm"].min() > 0.05
    assert table[~table["holds"]]["p_holm"].min() < 1e-6
    assert set(table[table["function"] == "constant"]["p"].isna()) == {True}
    assert table[(table["function"] == "x ⊕ y") & (table["scale_inputs"] == "none")][
        "holds"
    ].all()  # one class by either
    told = terminal_table(table, 200)
    assert len(told) == 1 + 2 * 4
    assert told[0].split()[:7] == [
        "scale_inputs",
        "class",
        "function",
        "members",
        "runs",
        "converged",
        "[95%]",
    ]
    assert [line.split()[-1] for line in told[1:]] == ["yes", "no", "yes", "yes", *["yes"] * 4]


def test_seeds_that_members_do_not_share_are_counted_but_not_compared() -> None:
    frame = runs()
    one = frame["problem"] == "table:0001"
    table = equality(frame[~(one & (frame["seed"] < 100))])
    row = table[
        (table["class"] == "0001")
        & (table["symmetry"] == "npn")
        & (table["scale_inputs"] == "standard")
    ].iloc[0]
    assert row["runs"] == 8 * 300 - 100
    apart = frame[one & (frame["seed"] < 100)], frame[~one & (frame["seed"] >= 100)]
    table = equality(pd.concat(apart))
    row = table[
        (table["class"] == "0001")
        & (table["symmetry"] == "npn")
        & (table["scale_inputs"] == "standard")
    ].iloc[0]
    assert np.isnan(row["p"])
    assert row["trials"] == row["runs"] == 7 * 200 + 100


def test_sentences_say_what_the_tables_do() -> None:
    frame = runs()
    table, equal = functions(summary(frame)), equality(frame)
    first, second, third = sentences(table, equal)
    assert first.startswith(
        "All 16 functions of 2 inputs are learnt from some seed in at least one of 2 settings, 2 "
        "of them from"
    )
    assert f"The hardest is {table.groupby('bits')['converged_share'].max().idxmin()} (" in first
    assert second.startswith("Runs give the same answer to every input most often for ")
    assert "no class is shown to differ" in third
    assert "they do not: those of " in third
    wrong = equal.assign(
        p=np.where(equal["holds"], 1e-9, equal["p"]),
        p_holm=np.where(equal["holds"], 1e-7, equal["p_holm"]),
    )
    assert f"but {equal['holds'].sum()} classes are shown to differ" in sentences(table, wrong)[2]
    assert "negated inputs" not in sentences(table, equality(runs(scaled=("standard",))))[2]


def test_the_picture_names_every_class_and_has_a_dot_for_every_one() -> None:
    table = functions(summary(runs()))
    ax = atlas(table)
    words = "\n".join(text.get_text() for text in ax.texts).split("\n")
    for name, rows in table.groupby("npn_class"):
        assert rows["function"].iloc[0] in words
        assert f"{name} · {rows['bits'].nunique()} functions" in words
    dots = [len(patch.get_path()) // 2 for patch in ax.patches if patch.get_capstyle() == "round"]
    assert dots[0] == sum(bits.count("1") for bits in EVERY)
    assert "Bars from left to right: scale_inputs none, standard." in words
    ax.figure.draw_without_rendering()
    for text in [*ax.texts, *ax.get_legend().get_texts()]:
        box = text.get_window_extent()
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= ax.figure.bbox.x1, text.get_text()


def test_the_whole_atlas_of_three_bits_is_not_too_large_for_a_page(tmp_path: Path) -> None:
    frame = functions(summary(runs([f"{number:08b}" for number in range(256)], n=3)))
    svg = tmp_path / "atlas.svg"
    svg.write_bytes(encoded(atlas(frame, title="$x$ <b>").figure, "svg"))
    assert "$x$ <b>" in texts(svg)
    assert svg.stat().st_size < 400_000
    assert encoded(atlas(frame, title="$x$ <b>").figure, "svg") == svg.read_bytes()
    more = pd.concat([frame, frame.assign(bits=frame["bits"] + "0")])
    with pytest.raises(ValueError, match=f"at most {MAX_TILES} tiles, given 512 functions"):
        atlas(more)


@pytest.mark.usefixtures("no_png")
def test_a_page_of_tables_has_the_atlas_and_its_files(tmp_path: Path) -> None:
    store = written(tmp_path / "store")
    made = build.make(store)
    assert {"atlas.csv", "classes.csv", "atlas.svg"} <= {path.name for path in made.written}
    page = (store / "report.html").read_text()
    assert "Every function" in page
    assert "Cochran" in page
    assert 'href="classes.csv"' in page
    assert page.index('<div id="atlas">') < page.index('<div id="ended">'), (
        "the functions come before bars of some of them"
    )
    assert 'class="num">median updates</th>' in page
    assert 'class="num">collapsed</th>' in page
    assert made.verdict[0].startswith("All 16 functions")
    assert len(pd.read_csv(store / "atlas.csv", dtype={"bits": str})) == len(count_runs(store))


def written(store: Path) -> Path:
    """A store of all functions of two bits."""
    rng = np.random.default_rng(3)
    for bits in EVERY:
        outcomes = rng.choice(["converged", "collapsed", "one-class"], 40).tolist()
        frames.write(
            store, frames.table({"problem": f"table:{bits}", "order": "shuffled"}, outcomes)
        )
    return store


def test_a_setup_whose_targets_are_constant_has_an_empty_panel_beside_others() -> None:
    """Where no output varies there is no spread: nothing is drawn, and nothing fails."""
    from fastbp.reporting.plots import spread_loss_panels

    density = pd.DataFrame(
        {"setup": ["a"], "outcome": ["partial"], "spread": [0.5], "loss": [0.1], "runs": [3]}
    )
    assert len(spread_loss_panels(density, {"a": "one", "b": "other"}, {}, {}, "two").axes) == 2
