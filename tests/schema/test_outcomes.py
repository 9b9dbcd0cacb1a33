"""The table of outcomes: names and orders that stored files and pictures depend on."""

import pickle

from fastbp.schema.outcomes import OUTCOMES, STACKED, Outcome


def test_outcomes_are_in_the_order_that_digests_depend_on() -> None:
    names = ["diverged", "converged", "collapsed", "one-class", "partial"]
    assert [outcome.value for outcome in OUTCOMES] == names
    assert [str(outcome) for outcome in OUTCOMES] == names
    assert [Outcome(name) for name in names] == list(OUTCOMES)


def test_bars_stack_from_good_to_bad() -> None:
    assert STACKED == ("converged", "partial", "one-class", "collapsed", "diverged")


def test_an_outcome_is_a_row() -> None:
    for outcome in OUTCOMES:
        assert outcome.column == outcome.value.replace("-", "_")
        assert outcome.meaning
        assert outcome.verb
        assert pickle.loads(pickle.dumps(outcome)) is outcome
    assert len({outcome.colour for outcome in OUTCOMES}) == len(OUTCOMES)
