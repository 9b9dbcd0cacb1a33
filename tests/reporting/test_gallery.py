"""What a gallery says of stores that nobody trained."""

import html
import json
import re
import shutil
from pathlib import Path

import pytest
import sample_frames as frames
from pages import without_png

from fastbp.reporting import build, gallery
from fastbp.schema.text import MAX_FINDING, finding, first_sentence

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
        json.dumps([*made, {"seconds": 3}, "damaged", made[0] | {"updates": 10**400}])
    )
    with pytest.MonkeyPatch.context() as patch:
        without_png(patch)
        for name in COMMANDS:
            answers[name] = build.make(folder / name).verdict[0]
    return folder


@pytest.fixture(scope="module")
def text(results):
    return gallery.text(results, COMMANDS | {"nowhere": "make nothing"}, "make all")


CELL = re.compile(
    r'<td[^>]*><a href="([^"]*)"><img src="([^"]*)" alt="([^"]*)"[^>]*></a><br>'
    r'<b>(.*?)</b><br><a href="([^"]*)">(.*?)</a></td>'
)


def test_each_store_has_its_picture_its_finding_and_its_question(text, results, answers):
    cells = CELL.findall(text)
    assert len(cells) == len(COMMANDS)
    for name, (link, picture, label, found, again, title) in zip(COMMANDS, cells, strict=True):
        page = gallery.page_of(results / name)
        assert (html.unescape(title), html.unescape(found)) == (page[0], finding(page[1]))
        assert page[1] == first_sentence(answers[name])[0], "it leads the page"
        assert {link, again} == {f"{name}/report.html"}
        stem, labels = Path(picture).stem, page[2]
        assert (stem, html.unescape(label)) == next(iter(labels.items())), "the page's first"
        drawn = (results / picture).read_text("utf-8")
        assert found in " ".join(re.findall("<text[^>]*>(.*?)</text>", drawn)), "it is the title"
    assert re.findall(r"(?m)^- `(.*?)`: ", text) == [*COMMANDS.values()]


def test_stores_of_a_folder_stand_together_three_in_a_row(results):
    """Those of one folder with many are folded."""
    names = [*COMMANDS, *(f"questions/{i}" for i in range(10))]
    for name in names[2:]:
        shutil.copytree(results / "founding", results / name)
    text = gallery.text(results, dict.fromkeys(names, "make"), "make all")
    for name in names[2:]:
        shutil.rmtree(results / name)
    assert re.findall("(?m)^## (.*)$", text) == ["deeper", "questions"]
    assert [row.count("<td") for row in re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)] == [
        1,
        1,
        3,
        3,
        3,
        1,
    ]
    before, folded = text.split("<details>")
    assert folded.startswith("\n<summary>10 sweeps</summary>\n\n<table>")
    assert folded.rstrip().endswith("</details>")
    assert "questions/" not in before


def test_what_an_interrupted_command_took_is_not_told(results, tmp_path):
    whole = results / "deeper" / "maps" / "made.json"
    kept = whole.read_text()
    whole.write_text(json.dumps(json.loads(kept)[:1]))
    text = gallery.text(results, COMMANDS, "make all")
    whole.write_text(kept)
    assert "160 runs in 16 setups; 80 of them took 2.5 s on 2 cores. " in text


def test_every_link_leads_to_a_file(text, results):
    links = re.findall(r"\]\(([^)]*)\)", text)
    assert len(links) == 2 * len(COMMANDS)
    links += re.findall(r'(?:href|src)="([^"]*)"', text)
    assert len(links) == 5 * len(COMMANDS)
    assert all((results / link).is_file() for link in links)


def test_nothing_in_a_title_is_markup(text):
    assert ">Is *it* the &lt;rate&gt;? [a|b] &amp; init_scale</a></td>" in text, (
        "no Markdown in HTML"
    )


def test_times_are_of_all_commands_that_trained_and_without_compiling(text):
    assert "160 runs in 16 setups, 8 billion updates, 63.8 s on 2 cores. " in text
    assert "80 runs in 2 setups. " in text, "of which nobody says how long they took"
    assert "240 runs and at least 8 billion updates, which took at least 63.8 s on EPYC" in text


def test_what_is_not_there_yet_is_named(text):
    assert text.endswith("\n\nNot there yet: `nowhere`.\n")


@pytest.mark.parametrize(
    "table", ["", "runs\nfour\n", "setup\na\n", "runs\n1e400\n", "runs,a\n,1\n", '"']
)
def test_a_store_whose_table_is_damaged_is_left_out(results, tmp_path, table):
    (shutil.copytree(results / "founding", tmp_path / "founding") / "summary.csv").write_text(table)
    told = gallery.text(tmp_path, {"founding": "make founding"}, "make all")
    assert told.endswith("\n\nNot there yet: `founding`.\n")


def test_the_same_stores_give_the_same_gallery(text, results):
    assert gallery.text(results, COMMANDS | {"nowhere": "make nothing"}, "make all") == text


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("Short.", "Short"),
        ("Half (95% interval 0.4 to 0.6. At 1.5). More follows.", "Half"),
        (
            "It is 0.5 at rate 1.5. lr 0.1 is less. More follows.",
            "It is 0.5 at rate 1.5. lr 0.1 is less",
        ),
        ("Does it (1)? It does.", "Does it?"),
        (f"{'a' * 60}: {'b' * 60}; {'c' * 60}.", f"{'a' * 60}: {'b' * 60}"),
        (f"{'a' * 60}, {'b' * 90}.", f"{'a' * 60}"),
        ("a" * 200, "a" * (MAX_FINDING - 2) + " …"),
        ("", ""),
    ],
)
def test_a_finding_is_a_short_first_sentence(answer, found):
    assert finding(answer) == found
    assert len(found) <= MAX_FINDING
    assert " ".join(first_sentence(answer)).strip() == answer


@pytest.mark.parametrize(
    "content",
    ["", "{}", "[1, null]", '[{"seconds": {"total": "x"}}]', "[" * 5000, '[{"seconds": []}]'],
)
def test_a_damaged_account_of_commands_says_nothing(tmp_path, content):
    (tmp_path / "made.json").write_text(content)
    assert gallery.efforts_of(tmp_path).empty


OF_DIGITS = f'<h1><bdi>&#{"9" * 5000};</bdi></h1><section class="verdict"><p>answer</p>'


@pytest.mark.parametrize("content", ["", "<h1><bdi>a</bdi></h1>", "\x00", OF_DIGITS])
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
