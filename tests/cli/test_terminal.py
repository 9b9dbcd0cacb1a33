"""What a stream can show, and paragraphs that fit it."""

import fcntl
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from fastbp.cli.terminal import open_nothing, paragraphs, print_data, print_errors, screen
from fastbp.schema.text import Screen


class Terminal(io.TextIOWrapper):
    """A stream that says that it is a terminal."""

    def __init__(self, encoding: str, is_terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.is_terminal = is_terminal

    def isatty(self) -> bool:
        return self.is_terminal


@pytest.mark.parametrize(
    ("encoding", "is_terminal", "variables", "expected"),
    [
        ("utf-8", True, {"TERM": "xterm-256color"}, Screen(120, "256")),
        ("utf-8", True, {"TERM": "xterm", "COLORTERM": "truecolor"}, Screen(120, "24-bit")),
        ("utf-8", True, {"TERM": "xterm"}, Screen(120, "shades")),
        ("utf-8", True, {"TERM": "dumb", "COLORTERM": "truecolor"}, Screen(120, "shades")),
        ("utf-8", True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, Screen(120, "shades")),
        ("utf-8", True, {"TERM": "xterm-256color", "NO_COLOR": ""}, Screen(120, "256")),
        ("utf-8", True, {"TERM": "xterm", "COLUMNS": "20"}, Screen(40, "shades")),
        ("ascii", True, {"TERM": "xterm-256color"}, Screen(120, "digits")),
        ("utf-8", False, {"TERM": "xterm-256color"}, Screen(80, "shades")),
        ("latin-1", False, {"TERM": "xterm-256color"}, Screen(80, "digits")),
    ],
)
def test_what_a_stream_can_show(monkeypatch, encoding, is_terminal, variables, expected):
    for name in ("COLORTERM", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, text in ({"COLUMNS": "120"} | variables).items():
        monkeypatch.setenv(name, text)
    monkeypatch.setattr(sys, "stdout", Terminal(encoding, is_terminal))
    assert screen() == expected


def test_a_closed_stream_shows_what_a_file_does(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert screen() == Screen()


def test_paragraphs_end_between_words_and_are_never_wider_than_80():
    path = "results/" + "x" * 100
    text = f"{'word ' * 30}{path}"
    for width in (40, 80, 120):
        lines = paragraphs([text, text], Screen(width))
        assert max(len(line) for line in lines if line != path) <= min(width, 80)
        assert (lines.count(path), " ".join(lines).split()) == (2, f"{text} {text}".split())


def test_signs_that_a_stream_lacks_are_written_in_ascii(monkeypatch):
    stream = Terminal("ascii", is_terminal=False)
    monkeypatch.setattr(sys, "stdout", stream)
    print_data("a → b … ≠ 0–1")
    stream.seek(0)
    assert stream.buffer.read().decode() == f"a -> b ... != 0-1{os.linesep}"


def test_of_very_many_errors_the_first_are_printed(capsys):
    print_errors(f"error {number}" for number in range(100_000))
    assert capsys.readouterr().err.splitlines()[::100] == [
        "fastbp: error 0",
        "fastbp: error 100",
        "fastbp: 99,800 more errors",
    ]


def test_an_error_about_a_name_with_a_line_break_is_one_line_on_a_terminal(monkeypatch):
    terminal = Terminal("utf-8")
    monkeypatch.setattr(sys, "stderr", terminal)
    print_errors(["two\nlines.toml: no such file"])
    assert terminal.buffer.getvalue() == b"fastbp: two\\nlines.toml: no such file\n"


def test_a_pipe_that_is_full_is_waited_for(monkeypatch):
    """Whoever starts a command may have made it one that does not wait."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 200_000
    with open(writing, "w") as stream, open(reading) as other:
        monkeypatch.setattr("sys.stdout", stream)
        reader = ThreadPoolExecutor(1).submit(other.read, len(text))
        print_data(text)
        assert reader.result(60) == text


def interrupted(kept_in: str, stderr: int) -> int:
    """The exit code of a process that gets a signal, with finished work in a folder."""
    command = (
        "from fastbp.cli.process import interruption; "
        f"interruption.kept_in = {kept_in!r}; interruption(15, None)"
    )
    return subprocess.run(
        [sys.executable, "-c", command], stderr=stderr, timeout=60, check=False
    ).returncode


def test_a_signal_ends_a_command_whose_notes_nobody_reads():
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"x")
    os.set_blocking(writing, True)
    assert interrupted("", writing) == 143
    assert os.get_blocking(writing)
    os.close(writing)
    os.close(reading)


@pytest.mark.skipif(not hasattr(fcntl, "F_SETPIPE_SZ"), reason="pipes have one size")
def test_a_signal_ends_a_command_whose_last_words_are_longer_than_a_pipe():
    """They are those of a folder that may have any name."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    assert interrupted("\x1b\n" + "a" * 9000, writing) == 143
    said = os.read(reading, 9000)
    assert said.startswith(rb"interrupted; finished work stays in \x1b\naaa")
    assert len(said) == 4096
    os.close(writing)
    os.close(reading)


def test_where_there_is_no_file_that_takes_everything_another_is_opened(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "devnull", str(tmp_path / "none"))
    number = open_nothing()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.write(number, b"x")
    os.close(number)
