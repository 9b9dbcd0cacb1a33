"""A browser for all pages, and what it has against each."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def assert_open_to_everybody(browser: Any) -> Callable[[Path], None]:
    """axe-core finds nothing in a page: of all its rules in the light, of contrast in the dark too.

    It does not judge the contrast of texts in pictures, so they need not be there in the dark.
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core")

    def check(file: Path) -> None:
        with browser.new_page(bypass_csp=True) as page:  # the policy rightly keeps axe-core out
            page.goto(file.as_uri())
            everything = axe.Axe().run(page, options={"resultTypes": ["violations"]}).response
            page.emulate_media(color_scheme="dark")
            page.evaluate("document.querySelectorAll('svg *').forEach(one => one.remove())")
            rules = {"resultTypes": ["violations"], "runOnly": ["color-contrast"]}
            dark = axe.Axe().run(page, options=rules).response
        assert len(everything["passes"]) > 20
        assert [one["id"] for one in dark["passes"]] == ["color-contrast"]
        assert [
            (one["id"], one["help"], [node["html"][:200] for node in one["nodes"][:3]])
            for one in [*everything["violations"], *dark["violations"]]
        ] == []

    return check
