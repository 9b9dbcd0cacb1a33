"""The sections of a page: all of them are there, each under a name of its own."""

from importlib import import_module
from pathlib import Path

from fastbp.reporting import build, sections
from fastbp.reporting.report_data import Section


def test_every_section_is_on_the_page_once() -> None:
    names = [path.stem for path in Path(sections.__path__[0]).glob("*_section.py")]
    modules = [import_module(f"fastbp.reporting.sections.{name}") for name in names]
    defined = [
        value for module in modules for value in vars(module).values() if isinstance(value, Section)
    ]
    assert sorted(defined, key=id) == sorted(build.SECTIONS, key=id)
    assert len({section.anchor for section in defined}) == len(defined) > 10
