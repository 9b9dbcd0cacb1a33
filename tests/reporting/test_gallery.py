"""What a gallery says of stores that nobody trained."""

import json
import re
from pathlib import Path

import pytest
import sample_frames as frames
from pages import without_png

from fastbp.reporting import build, gallery
from fastbp.reporting.gallery import best_figure

COMMANDS = {"founding": "make founding", "deeper/maps": "make maps"}


@pytest.fixture(scope="module")
def answers():
    """What was found when each page was made."""
    return {}


@pytest.fixture(scope="module")
def results(tmp_path_factory, answers):
    """Two stores with pages, one of them two folders down and trained by two commands, and a third
    that is not there."""
    folder = tmp_path_factory.mktemp("results")
    for i, keys in enumerate([{"lr": lr} for lr in (0.1, 0.2)]):
        frames.write(
            folder / "founding",
            frames.table(keys, ["converged"] * (10 + 20 * i) + ["partial"] * (30 - 20 * i)),
        )
    for lr in range(1, 5):
        for momentum in range(4):
            share = ["converged"] * (lr + momentum) + ["collapsed"] * (10 - lr - momentum)
            frames.write(
                folder / "deeper" / "maps",
                frames.table({"lr": lr / 10, "momentum": momentum / 10}, share),
            )
    (folder / "founding" / "sweep.toml").write_text(
        'title = "Is *it* the <rate>? [a|b] & init_scale"\nseeds = 40\n'
    )
    spent = [{"compile": 18.0, "train": 1.0, "total": 20.5}, {"train": 60.0, "total": 61.25}]
    made = [
        {"seconds": each, "runs": 80, "updates": 4 * 10**9, "jobs": jobs, "cpu": "EPYC"}
        for each, jobs in zip(spent, (2, 1), strict=True)
    ]
    (folder / "deeper" / "maps" / "made.json").write_text(
        json.dumps([*made, {"seconds": 3}, "damaged"])
    )
    with pytest.MonkeyPatch.context() as patch:
        without_png(patch)
        for name in COMMANDS:
            answers[name] = build.make(folder / name).verdict[0]
    return folder


@pytest.fixture(scope="module")
def text(results):
    return gallery.text(results, COMMANDS | {"nowhere": "make nothing"}, "make all")


def sections(text: str) -> list[str]:
    return text.split("\n## ")[1:]


def test_each_store_has_its_question_its_answer_its_picture_and_its_command(text, results, answers):
    assert len(sections(text)) == len(COMMANDS)
    for (name, command), section in zip(COMMANDS.items(), sections(text), strict=True):
        page = gallery.page_of(results / name)
        title, answer, picture, last = filter(None, section.splitlines()[:8])
        assert re.sub(r"\\(.)", r"\1", title) == page[0]
        assert re.sub(r"\\(.)", r"\1", answer) == page[1] == answers[name]
        assert f"]({name}/figures/" in picture
        assert last.startswith(f"`{command}`: ")


def test_what_an_interrupted_command_took_is_not_told(results, tmp_path):
    whole = results / "deeper" / "maps" / "made.json"
    kept = whole.read_text()
    whole.write_text(json.dumps(json.loads(kept)[:1]))
    text = gallery.text(results, COMMANDS, "make all")
    whole.write_text(kept)
    assert "160 runs in 16 setups; 80 of them took 2.5 s on 2 cores. " in text


def test_every_link_leads_to_a_file(text, results):
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) == 4 * len(COMMANDS)
    assert all((results / link).is_file() for link in links)


def test_nothing_in_a_title_is_markup(text):
    assert sections(text)[0].startswith(r"Is \*it\* the \<rate\>? \[a\|b\] \& init\_scale" + "\n")


def test_times_are_of_all_commands_that_trained_and_without_compiling(text):
    assert "160 runs in 16 setups, 8 billion updates, 63.8 s on 2 cores. " in sections(text)[1]
    assert "80 runs in 2 setups. " in sections(text)[0], "of which nobody says how long they took"
    assert "240 runs and at least 8 billion updates, which took at least 63.8 s on EPYC" in text


def test_what_is_not_there_yet_is_named(text):
    assert text.endswith("\n\nNot there yet: `nowhere`.\n")


def test_the_same_stores_give_the_same_gallery(text, results):
    assert gallery.text(results, COMMANDS | {"nowhere": "make nothing"}, "make all") == text


MAPS = ["outcomes", "survival", "response-lr", "map-lr-updates"]


@pytest.mark.parametrize(
    ("figures", "setups", "values", "wanted"),
    [
        ([], 1, {}, None),
        (["outcomes"], 1, {}, "outcomes"),
        (["outcomes", "survival"], 3, {"lr": 3}, "survival"),
        (["outcomes", "survival"], 4, {"lr": 4}, "outcomes"),
        (["answers", "collapse"], 4, {"lr": 4}, "answers"),
        (MAPS, 40, {"lr": 20, "updates": 2}, "response-lr"),
        (MAPS, 80, {"lr": 20, "updates": 4}, "map-lr-updates"),
        (["outcomes", "basin-0123", "map-lr-updates"], 80, {"lr": 20, "updates": 4}, "basin-0123"),
        (["outcomes", "basin-0123", "basin-4567"], 2, {"momentum": 2}, "basin-4567"),
        (["outcomes", "atlas"], 256, {"problem": 256}, "atlas"),
    ],
    ids=str,
)
def test_the_figure_that_says_most(figures, setups, values, wanted):
    assert best_figure(figures, setups, values) == wanted


def test_a_map_is_found_whichever_key_is_its_first(results):
    assert "maps/figures/map-lr-momentum." in sections(gallery.text(results, COMMANDS, ""))[1]


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1, null]", '[{"seconds": {"total": "x"}}]', "[" * 5000, '[{"seconds": []}]'],
)
def test_a_damaged_account_of_commands_says_nothing(tmp_path, content):
    (tmp_path / "made.json").write_text(content)
    assert gallery.efforts_of(tmp_path).empty


@pytest.mark.parametrize("content", ["", "<h1><bdi>a</bdi></h1>", "\x00"])
def test_what_is_no_page_of_ours_is_no_page(tmp_path, content):
    (tmp_path / "report.html").write_text(content)
    assert gallery.page_of(tmp_path) is None
    assert gallery.page_of(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("content", "ours"), [(None, True), (gallery.MARK, True), ("", False), ("# Mine", False)]
)
def test_whose_file_it_is(tmp_path: Path, content, ours):
    if content is not None:
        (tmp_path / gallery.FILE).write_text(content)
    assert gallery.is_generated(tmp_path) is ours
