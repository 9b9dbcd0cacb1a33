"""The sections of a page: all of them are there, each under a name of its own."""

from importlib import import_module
from pathlib import Path

from fastbp.reporting import build, sections


def test_every_section_is_on_the_page_once() -> None:
    names = [path.stem for path in Path(sections.__path__[0]).glob("*_section.py")]
    modules = [import_module(f"fastbp.reporting.sections.{name}") for name in names]
    defined = [module.SECTION for module in modules if hasattr(module, "SECTION")]
    assert sorted(defined, key=id) == sorted(build.SECTIONS, key=id)
    assert len({section.anchor for section in defined}) == len(defined) > 10
