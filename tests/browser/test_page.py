"""Pages in a real browser: quiet, whole, legible and open to everybody, on paper, on a phone and at
night."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pages
import pytest
from PIL import Image

from fastbp.reporting import svg

PAPER = 718
"""Pixels across A4 between the margins that browsers leave."""

MODES = [("light", 360), ("light", 1440), ("dark", 1440), ("print", PAPER)]
OTHERS = [("dark", 360), ("print", 360), ("print", 1440)]
"""Dark pages differ from light ones in colours alone, and paper is as wide as it is."""

ALIKE = ("all diverged", "no baseline", "encoder", "three axes", *pages.LARGE)
"""Pages without a section of their own: other pages have each of theirs."""

VARIED = ("founding", "map", "one key", "planes", "atlas", "published", "two stores")
"""Pages that together have every section."""


def of_pages(soaked: Callable[[str], bool]) -> pytest.MarkDecorator:
    """A test of every page, of some of them only in the long round."""
    params = [
        pytest.param(name, marks=[pytest.mark.soak] * soaked(name))
        for name in (*pages.PAGES, *pages.LARGE)
    ]
    return pytest.mark.parametrize("opened", params, indirect=True)


names = of_pages(lambda name: name in ALIKE)
modes = pytest.mark.parametrize(
    ("look", "width"),
    [*MODES, *(pytest.param(*mode, marks=pytest.mark.soak) for mode in OTHERS)],
)

# What the browser says of every picture, in pixels of the page: its box, what can be seen of it,
# and each text in it.
PICTURES = """() => [...document.querySelectorAll('svg:not(.swatch)')]
  .filter(svg => svg.getClientRects().length).map(svg => {
  const flat = r => [r.left + scrollX, r.top + scrollY, r.right + scrollX, r.bottom + scrollY];
  const around = svg.closest('.scroll')?.getBoundingClientRect() ?? svg.getBoundingClientRect();
  return {
    box: flat(svg.getBoundingClientRect()), seen: flat(around),
    view: svg.getAttribute('viewBox').split(' ').map(Number),
    texts: [...svg.querySelectorAll('text')].filter(text => text.textContent.trim())
      .map(text => [text.textContent.trim(), flat(text.getBoundingClientRect())]),
  };
})"""

# What sticks out of the window and lies in nothing that scrolls, and how wide the page is.
OVERFLOW = """() => [document.documentElement.scrollWidth, [...document.body.querySelectorAll('*')]
  .filter(one => (one.getBoundingClientRect().right > innerWidth + 0.5
      || one.getBoundingClientRect().left < -0.5)
    && !(matchMedia('screen').matches && one.parentElement.closest('.scroll'))
    && !one.parentElement.closest('svg'))
  .map(one => one.outerHTML.slice(0, 100))]"""


@dataclass
class Opened:
    """A page in the browser, and what happened while it was there."""

    page: Any
    file: Path
    name: str = ""
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.file.as_uri()

    def at(self, look: str, width: int) -> Any:
        """The page, in light, in the dark or in print, unfolded, once it is painted."""
        self.page.emulate_media(
            media="print" if look == "print" else "screen",
            color_scheme="dark" if look == "dark" else "light",
        )
        self.page.set_viewport_size({"width": width, "height": 800})
        self.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        self.page.evaluate(
            "new Promise(end => requestAnimationFrame(() => requestAnimationFrame(end)))"
        )
        return self.page

    def pixels(self, top: float, bottom: float) -> np.ndarray:
        """Of the page from here to there, [y, x, colour]. Much faster than playwright's own, whose
        files are smaller."""
        session = self.page.context.new_cdp_session(self.page)
        clip = {
            "x": 0,
            "y": top,
            "width": self.page.viewport_size["width"],
            "height": bottom - top,
            "scale": 1,
        }
        how = {"captureBeyondViewport": True, "optimizeForSpeed": True, "clip": clip}
        content = base64.b64decode(session.send("Page.captureScreenshot", how)["data"])
        session.detach()
        return np.asarray(Image.open(io.BytesIO(content)))[..., :3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, browser: Any, folder: Path) -> Iterator[Opened]:
    with pytest.MonkeyPatch.context() as patched:
        pages.without_png(patched)
        file = pages.page(request.param, folder / request.param)
    with browser.new_page() as page:
        found = Opened(page, file, request.param)
        page.on("console", lambda message: found.console.append(message.text))
        page.on("pageerror", lambda error: found.console.append(str(error)))
        page.on("request", lambda asked: found.requests.append(asked.url))
        page.goto(found.address)
        yield found


def faults(picture: dict[str, Any], pixels: np.ndarray, above: int, paper: np.ndarray) -> list[str]:
    """What is wrong with a picture that the browser drew on a page: cut off, one text over another,
    blank or out of shape.

    `pixels`: of the page, but for so many rows `above`; `paper`: their colour where nothing is
    drawn.
    """
    found = []
    left, top, right, bottom = picture["box"]
    _, _, wide, high = picture["view"]
    if not 0.98 < (right - left) / (bottom - top) * high / wide < 1.02:
        found.append("out of shape")
    texts = [text for text, _ in picture["texts"]]
    boxes = np.array([box for _, box in picture["texts"]]).reshape(-1, 4)
    inside = (boxes[:, :2] >= [left - 0.5, top - 0.5]) & (
        boxes[:, 2:] <= [right + 0.5, bottom + 0.5]
    )
    found += [f"{texts[i]!r} is cut off" for i in np.flatnonzero(~inside.all(axis=1))]
    over = np.minimum(boxes[:, None, 2:], boxes[:, 2:]) - np.maximum(
        boxes[:, None, :2], boxes[:, :2]
    )
    found += [
        f"{texts[i]!r} lies over {texts[j]!r}"
        for i, j in np.argwhere(np.triu((over > 2).all(axis=2), 1))
    ]
    # What is left is that of the picture which is not scrolled out of sight.
    x, y = int(np.ceil(max(left, picture["seen"][0]))), int(np.ceil(top)) - above
    x1, y1 = int(min(right, picture["seen"][2])), int(bottom) - above
    shown = pixels[y:y1, x:x1]
    drawn = (np.maximum(shown, paper) - np.minimum(shown, paper) > 24).any(axis=2)
    if drawn.mean() < 0.01:
        found.append("blank")
    edges = [drawn[0], drawn[-1], drawn[:, 0], *([drawn[:, -1]] if x1 == int(right) else [])]
    if any(edge.any() for edge in edges):
        found.append("cut off at an edge")
    return found


def all_faults(opened: Opened, look: str, width: int) -> list[list[str]]:
    """Of each picture of a page."""
    pictures = opened.at(look, width).evaluate(PICTURES)
    paper = np.array({"dark": (0x16, 0x17, 0x1A)}.get(look, (255, 255, 255)), np.uint8)
    above = int(pictures[0]["box"][1]) - 4
    pixels = opened.pixels(above, max(picture["box"][3] for picture in pictures) + 4)
    assert (pixels[:4, :4] == paper).all()
    return [faults(picture, pixels, above, paper) for picture in pictures]


@names
@modes
def test_nothing_overflows_and_pictures_are_whole(opened: Opened, look: str, width: int) -> None:
    wide, outside = opened.at(look, width).evaluate(OVERFLOW)
    assert outside == []
    assert wide <= width
    found = all_faults(opened, look, width)
    assert found
    assert [each for each in found if each] == []


# Places on paths, evenly spaced.
PLACES = """paths => paths.map(d => {
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  path.setAttribute('d', d);
  const length = path.getTotalLength();
  return [...Array(200).keys()].map(i => path.getPointAtLength(length * i / 199))
    .map(point => [point.x, point.y]);
})"""

# Of every picture that is shown: its class, by how much it is wider than the window, the height of
# its letters in pixels, and whether it is read out.
SHOWN = """() => [...document.querySelectorAll('figure svg')]
  .filter(svg => svg.getClientRects().length).map(svg => {
  const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
  return [svg.parentElement.className, svg.getBoundingClientRect().right - innerWidth,
    [...svg.querySelectorAll('text')].filter(text => text.textContent.trim())
      .map(text => scale * parseFloat(getComputedStyle(text).fontSize))];
})"""


@names
@pytest.mark.parametrize(
    ("look", "width", "other"),
    [("light", 390, "wide"), ("print", 390, "narrow"), ("light", 1280, "narrow")],
)
def test_pictures_are_drawn_for_the_screen(
    opened: Opened, look: str, width: int, other: str
) -> None:
    pictures = opened.at(look, width).evaluate(SHOWN)
    assert pictures
    assert other not in {name for name, *_ in pictures}
    assert max(beyond for _, beyond, _ in pictures) <= 0
    if look != "print":
        assert min(size for *_, sizes in pictures for size in sizes) >= 11


@names
def test_says_nothing_and_asks_for_nothing(opened: Opened) -> None:
    for look, width in MODES:
        opened.at(look, width)
    opened.page.mouse.wheel(0, 100_000)
    assert (opened.console, opened.requests) == ([], [opened.address])
    assert opened.page.evaluate("performance.getEntriesByType('resource').length") == 0


@of_pages(lambda name: name not in VARIED)
def test_is_open_to_everybody(opened: Opened, assert_open_to_everybody: Any) -> None:
    assert_open_to_everybody(opened.file)


@names
def test_reads_from_the_answer_to_how_it_was_run(opened: Opened) -> None:
    heads = opened.page.evaluate(
        "[...document.querySelectorAll('h1, h2[id], .verdict, details > div')]"
        ".map(e => e.id || e.className || e.tagName)"
    )
    first = {"planes": "planes", "map": "maps", "large map": "maps", "one key": "curves"}
    leads = "atlas" if "atlas" in opened.name else first.get(opened.name, "ended")
    known = [
        "H1",
        "verdict",
        "more",
        leads,
        "shares",
        "atlas",
        "ended",
        "published",
        "planes",
        "problems",
        "changes",
        "spread",
        "survival",
        "threshold",
        "curves",
        "maps",
        "runs",
        "trajectories",
        "words",
    ]
    assert heads == [head for head in dict.fromkeys([*known, "how"]) if head in heads]
    links = opened.page.evaluate(
        "[...document.querySelectorAll('nav a')].map(link => link.getAttribute('href').slice(1))"
    )
    assert links == opened.page.evaluate(
        "[...document.querySelectorAll('details > div')].map(part => part.id)"
    )
    assert {"H1", "verdict", "how"} <= set(heads)


def only(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("opened", [name], indirect=True)


LEADING = pytest.mark.parametrize(
    "opened", ["founding", "map", "one key", "planes", "24 setups", "atlas"], indirect=True
)


@LEADING
@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_answer_and_its_picture_are_seen_first(opened: Opened, width: int, height: int) -> None:
    page = opened.at("light", width)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    page.set_viewport_size({"width": width, "height": height})
    page.evaluate("scrollTo(0, 0)")
    seen = page.evaluate(
        """() => ['h1', '.verdict p', 'header figure svg'].map(where => {
        const one = [...document.querySelectorAll(where)].find(each => each.checkVisibility());
        const box = one.getBoundingClientRect();
        return [box.left, box.top, box.right, box.bottom];
      })"""
    )
    tops = [box[1] for box in seen]
    assert tops == sorted(tops)
    for left, top, right, bottom in seen:
        assert left >= 0
        assert top >= 0
        assert right <= width
        assert bottom <= height
    assert page.evaluate(OVERFLOW) == [width, []]


@only("founding")
def test_links_unfold_what_they_lead_to_and_paper_shows_all(opened: Opened) -> None:
    page = opened.at("light", 1280)
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = false)")
    part = page.locator("details > div#changes")
    assert not part.is_visible()
    page.click("nav a[href='#changes']")
    assert part.is_visible()
    assert not page.locator("details > div#survival").is_visible()
    page.emulate_media(media="print")
    heights = page.evaluate(
        "[...document.querySelectorAll('details > div')].map(part => part.offsetHeight)"
    )
    assert min(heights) > 20


@names
def test_is_small(opened: Opened) -> None:
    assert opened.file.stat().st_size < (2_000_000 if opened.name in pages.LARGE else 1_000_000)


@only("founding")
def test_the_founding_page_says_what_mended_the_network(opened: Opened) -> None:
    page = opened.at("light", 1440)
    assert "More updates fix it: going from 999 to 7,992" in page.inner_text("header")
    marked = page.locator("tr.baseline")
    assert all("random" in row for row in marked.all_inner_texts())
    assert marked.first.evaluate("row => getComputedStyle(row.cells[0]).fontWeight") == "600"
    bold = (
        "all => all.filter(text => text.getClientRects().length && "
        "getComputedStyle(text).fontWeight === '700').map(text => text.textContent.trim())"
    )
    assert page.locator("svg text").evaluate_all(bold) == [
        "order random, lr 0.2, updates 999 · baseline"
    ]


@only("hostile")
def test_hostile_texts_are_texts(opened: Opened) -> None:
    page = opened.at("light", 1440)
    assert page.locator("script, img, iframe, object, [onerror], [style]").count() == 0
    title = f"{pages.MARKUP} {pages.ENTITIES} {pages.FORMULA} two lines, a tab and"
    assert page.title().startswith(title)
    assert page.locator("h1").inner_text().startswith(title)
    text, drawn = page.inner_text("body"), " ".join(page.locator("svg text").all_text_contents())
    for name in (pages.ENTITIES, pages.FORMULA, pages.ARABIC):
        assert f"file:{name}" in text
        assert f"file:{name[:20]}" in drawn
    assert not {"\x1b", "\u202e"} & set(text + drawn)
    assert "x" * 100 not in text.split("How the runs ended")[1]


@only("all converged")
def test_a_title_has_its_own_direction(opened: Opened) -> None:
    assert (
        opened.page.locator("h1 bdi").evaluate("title => getComputedStyle(title).direction")
        == "rtl"
    )
    assert opened.page.evaluate("getComputedStyle(document.body).direction") == "ltr"


@pytest.mark.parametrize("seed", range(4))
def test_a_page_has_the_paths_of_matplotlib(browser: Any, seed: int) -> None:
    """In steps of tenths of a point from one place to the next, which the browser follows."""
    rng, count = np.random.default_rng(seed), {"M": 2, "L": 2, "C": 6, "Q": 4, "z": 0}
    # Of so few numbers, some steps are none, or across or up alone.
    given = "M 1.03 2.03 \n" + "".join(
        f"{letter} {' '.join(map(str, rng.choice([5.03, 7.13, 40.33, -9.87], count[letter])))} \n"
        for letter in rng.choice(list("MLLLLCQz"), 60)
    )
    with browser.new_page() as page:
        ends = page.evaluate(PLACES, [given, svg._path(given)])
    np.testing.assert_allclose(*ends, atol=0.05)


# That these tests can fail


@only("one run")
def test_the_policy_keeps_out_what_is_brought_in(
    opened: Opened, browser: Any, tmp_path: Path
) -> None:
    bad = """
<script>document.title = "script"</script>
<p id="bad" style="color: #ff0000" onclick="document.title = 'onclick'">bad</p>
<style>#bad { color: #ff0000 }</style>
<img src="https://example.org/bad.png"><iframe src="https://example.org/"></iframe>
<link rel="stylesheet" href="https://example.org/bad.css"></main>"""
    (tmp_path / "bad.html").write_text(
        opened.file.read_text("utf-8").replace("</main>", bad), "utf-8"
    )
    said: list[str] = []
    failed: dict[str, str] = {}
    with browser.new_page() as other:
        other.on("console", lambda message: said.append(message.text))
        other.on("requestfailed", lambda request: failed.update({request.url: request.failure}))
        other.goto((tmp_path / "bad.html").as_uri())
        other.click("#bad")
        assert other.title() == "One run"
        assert (
            other.locator("#bad").evaluate("bad => getComputedStyle(bad).color")
            == "rgb(27, 27, 31)"
        )
    for what in (
        "inline script",
        "inline style",
        "inline event handler",
        "the image",
        "the stylesheet",
        "Framing",
    ):
        assert any(what in text for text in said), (what, said)
    assert failed == {f"https://example.org/bad.{kind}": "csp" for kind in ("png", "css")}


@only("one run")
def test_faults_are_found(opened: Opened, browser: Any) -> None:
    with browser.new_page() as page:
        page.goto(opened.address)
        spoilt = Opened(page, opened.file)
        assert not any(all_faults(spoilt, "light", 1440))
        page.evaluate("""() => {
          const [first, second, third, fourth] = [...document.querySelectorAll('svg:not(.swatch)')]
            .filter(svg => svg.getClientRects().length);
          first.querySelector('text').setAttribute('x', '-10');
          const texts = second.querySelectorAll('text');
          for (const name of ['x', 'y', 'transform'])
            texts[1].setAttribute(name, texts[0].getAttribute(name) ?? '');
          third.replaceChildren();
          fourth.setAttribute('class', 'swatches');
          fourth.setAttribute('viewBox', '0 40 100 60');
        }""")
        first, second, third, fourth = all_faults(spoilt, "light", 1440)[:4]
        assert any("is cut off" in fault for fault in first)
        assert any("lies over" in fault for fault in second)
        assert third == ["blank"]
        assert "cut off at an edge" in fourth
        page.evaluate("document.querySelector('main p').textContent = 'x'.repeat(100)")
        assert page.evaluate(OVERFLOW) == [1440, []]
        page.evaluate("document.querySelector('main p').setAttribute('class', 'num')")
        assert spoilt.at("light", 360).evaluate(OVERFLOW)[0] > 360
