"""How values and choices are written, and the messages about wrong ones."""

import re
from typing import Any

import pytest
from sweep_texts import HEAD, add, line_of, xor

from fastbp.config.choice_syntax import allowed
from fastbp.config.protocols import Published
from fastbp.config.sweep import Seeds
from fastbp.schema.errors import SweepError
from fastbp.schema.keys import KEYS


def test_every_key_is_described() -> None:
    assert all(key.description for key in KEYS.values())
    for model in (Seeds, Published):
        for key, field in model.model_fields.items():
            assert field.description, key


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("lr", "a number > 0 and ≤ 1,000,000"),
        ("hidden", "a list of 1 to 16 items, each an integer from 1 to 4,096"),
        ("batch", "an integer from 1 to 65,536 or full"),
        ("stop", "one of budget, converged"),
        ("order", "random, shuffled, cyclic, blocked:K.*"),
        ("schedule", ".*warmup=WARMUP.*"),
    ],
)
def test_what_is_allowed_is_said(key: str, values: str) -> None:
    assert re.fullmatch(values, allowed(key))


@pytest.mark.parametrize(
    ("key", "written", "stored"),
    [
        ("order", "blocked:3", "blocked:3"),
        ("order", "blocked:K=3", "blocked:3"),
        ("order", " blocked : 03 ", "blocked:3"),
        ("schedule", "constant:warmup=5", "constant:warmup=5"),
        ("schedule", "constant:warmup=0", "constant"),
        ("schedule", "step:warmup=5, factor=.5, every=10", "step:every=10,factor=0.5,warmup=5"),
        ("schedule", "inverse:tau=100", "inverse:tau=100"),
        ("schedule", "inverse:1e2", "inverse:tau=100"),
        ("schedule", "exponential:0.999", "exponential:factor=0.999"),
        ("problem", "table:0110", "table:0110"),
        ("problem", "table:bits=0110", "table:0110"),
        ("init", "glorot-normal", "glorot-normal"),
        ("init", "constant:c=0.5", "constant:0.5"),
        ("init", "constant:.5", "constant:0.5"),
    ],
)
def test_spellings_of_a_choice(key: str, written: str, stored: str) -> None:
    assert getattr(xor(**{key: written}), key) == stored
    assert getattr(xor(**{key: stored}), key) == stored


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            'order = "shufled"',
            "bad.toml: setup.order: given 'shufled', allowed: random, shuffled, cyclic, blocked:K",
        ),
        ('order = "shufled"', "; did you mean 'shuffled'?"),
        ('order = "Random"', "; did you mean 'random'?"),
        ("order = 3", "setup.order: given 3, allowed: random, "),
        ('order = ""', "setup.order: given '', allowed: random, "),
        ('order = "blocked"', "given 'blocked', allowed: blocked:K"),
        ('order = "blocked:0"', "given 'blocked:0', allowed: K an integer from 1 to 1,000,000,000"),
        ('order = "blocked:2,3"', "allowed: blocked:K, not '3'"),
        ('order = "cyclic:2"', "given 'cyclic:2', allowed: cyclic, not '2'"),
        ('init = "glorot_normal"', "did you mean 'glorot-normal'?"),
        ('loss = "crossentropy"', "did you mean 'cross-entropy'?"),
        ('schedule = "step:every=0,factor=0.5"', "allowed: every an integer from 1 to "),
        ('schedule = "step:every=0,factor=2"', ", factor a number > 0 and ≤ 1"),
        ('schedule = "step:every=5"', "allowed: step:every=EVERY,factor=FACTOR"),
        ('schedule = "step:evry=5,factor=0.5"', "not 'evry=5'; did you mean 'every'?"),
        ('schedule = "step:every=5,every=6,factor=0.5"', "allowed: every once"),
        (
            'schedule = "step:every=5,every=6,every=7,factor=0"',
            "allowed: every once, factor a number > 0 and ≤ 1",
        ),
        (
            'schedule = "step:' + "a,b,c,d,e,f,g,h,i,j" + '"',
            "FACTOR, not 'a', not 'b', not 'c', not 'd', ",
        ),
        ('schedule = "step:' + "a,b,c,d,e,f,g,h,i,j" + '"', "not 'h', 2 more"),
        ('schedule = "exponential:nan"', "factor a number > 0 and ≤ 1"),
        ('schedule = "inverse:tau=inf"', "tau a number > 0"),
        ('schedule = "inverse:tau=1e400"', "tau a number > 0"),
        ('schedule = "cosine:warmup=-1"', "warmup an integer from 0"),
        ('schedule = "cosine:warmup=true"', "warmup an integer from 0"),
    ],
)
def test_messages_about_wrong_choices(written: str, said: str) -> None:
    assert said in line_of(HEAD + "updates = 9\n" + written)


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        ("table:01x0", "given 'table:01x0', allowed: table:BITS; bits must be 0 or 1"),
        ("table:011", "the number of bits must be a power of two"),
        ("table:", "the number of bits must be a power of two"),
        ("table:1", "the number of bits must be a power of two"),
        ("table:" + "01" * 65_536, "the number of bits must be a power of two"),
        ("parity:60", "given 'parity:60', allowed: d an integer from 1 to 16"),
        ("parity", "given 'parity', allowed: parity"),
        ("encoder:1", "allowed: n an integer from 2 to 1,024"),
        ("encoder:" + "9" * 5000, "allowed: n an integer from 2 to 1,024"),
        ("tabel:0110", "; did you mean 'table'?"),
        ("fil:iris.csv", "; did you mean 'file'?"),
    ],
)
def test_messages_about_wrong_problems(problem: str, said: str) -> None:
    line = line_of(f'seeds = 1\n[setup]\nproblem = "{problem}"\nupdates = 9')
    assert said in line
    assert len(line) < 400


def test_a_choice_that_is_added_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def back_and_forth(
        rows: Any, n: Any, lanes: Any, seeds: Any, epochs: Any, turn: int = 2, shift: float = 0.5
    ) -> None: ...

    with pytest.raises(SweepError):
        xor(order="back-and-forth")
    add(monkeypatch, "order", back_and_forth, takes=5)
    assert "back-and-forth:turn=TURN,shift=SHIFT" in allowed("order")
    assert xor(order="back-and-forth").calls["order"].values == (2, 0.5)
    assert xor(order="back-and-forth:shift=1,turn=2").order == "back-and-forth:shift=1"
    with pytest.raises(SweepError, match="did you mean 'back-and-forth'"):
        xor(order="back_and_fort")
