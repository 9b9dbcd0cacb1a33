"""check_gradients: right functions of every style are right, and each mistake is named, or said to
be unnameable."""

import argparse
import math
import sys
import warnings
from itertools import cycle, pairwise, product
from typing import Any

import numpy as np
import numpy_networks
import oracle
import pytest
from commands import raising
from founding_question import answerer, answerer_step, asker, asker_step
from hypothesis import assume, example, given, settings, strategies as st
from student_code import RETURNS, STEPS, Student, backprop, prime, sigma
from sweep_texts import mistakes_of

import fastbp
from fastbp.choices.families import FAMILIES
from fastbp.gradcheck import check as check_module
from fastbp.gradcheck.reference import Terms, gradient, kernel_gradient, random_example

pytestmark = pytest.mark.jit  # the kernels' own gradient, in every lane

check = fastbp.check_gradients
LIES = ("flat", "column", "row")
EVERY = [Student(*each) for each in product((True, False), LIES, (*RETURNS, *STEPS))]


def refused(function: Any, sizes: Any = (3, 4, 1), **keys: Any) -> check_module.GradientCheck:
    """The report of a function that is not right: one line."""
    found = check(function, sizes, **keys)
    assert not found.ok
    assert "\n" not in str(found)
    return found


def returning(value: Any) -> Any:
    """A function that returns this, or what this makes of right gradients."""
    return lambda W, b, x, t: value(*backprop(W, b, [x], [t])) if callable(value) else value


# The founding question


@pytest.mark.parametrize("given", [False, True], ids=["rate found", "rate given"])
@pytest.mark.parametrize(
    ("step", "rate", "convention"),
    [
        (asker_step, 0.2, "W[in, out], vectors as rows"),
        (answerer_step, 0.1, "W[out, in], vectors as columns"),
    ],
)
def test_the_steps_of_both_programs_are_right(
    step: Any, rate: float, convention: str, given: bool
) -> None:
    found = check(step, (3, 4, 1), lr=rate if given else None)
    assert found.ok, found
    assert found.rate == pytest.approx(rate)
    assert convention in found.convention
    assert ("the rate is inferred" in found.convention) == (not given)


def test_both_programs_run() -> None:
    """Their steps are those of programs that train, not made for the check alone."""
    assert np.isfinite(asker()).all()
    assert np.isfinite(answerer(epochs=20)).all()


# What is right


@pytest.mark.parametrize(
    "student", EVERY, ids=lambda s: f"{'out,in' if s.out_in else 'in,out'}-{s.lie}-{s.returns}"
)
def test_right_functions_are_right_in_every_style(student: Student) -> None:
    for rows, sizes in ((1, (3, 4, 1)), (3, (2, 3, 3, 2))):
        for lr in (None, student.lr) if student.steps else (None,):
            found = check(student, sizes, rows=rows, lr=lr)
            assert found.ok, found
            assert (found.first_wrong, found.mistake) == ("", "")
            assert max(found.errors.values()) < 1e-9
            assert f"W[{'out, in' if student.out_in else 'in, out'}]" in found.convention
            assert found.rate == (pytest.approx(student.lr) if student.steps else None)
            assert str(found).startswith("Your gradients are right.")


styles = st.sampled_from(EVERY)
shapes = st.lists(st.integers(1, 6), min_size=3, max_size=5)


@given(
    styles,
    shapes,
    st.integers(1, 4),
    st.sampled_from(["squared", "cross-entropy"]),
    st.booleans(),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=60)
@example(Student(returns="db, dW"), [1, 1, 1], 1, "squared", True, False, 0)
@example(Student(returns="W0 W1 b0 b1"), [1, 1, 1, 1], 2, "squared", True, True, 0)
def test_right_functions_are_right_for_all_sizes(
    student: Student, sizes: list[int], rows: int, loss: Any, bias: bool, single: bool, seed: int
) -> None:
    student = student.but(loss=loss, bias=bias, dtype=np.float32 if single else np.float64)
    for lr in (None, student.lr) if student.steps else (None,):
        found = check(student, sizes, loss=loss, rows=rows, bias=bias, lr=lr, seed=seed)
        assert found.ok, found


@pytest.mark.usefixtures("textbook")
@pytest.mark.parametrize("sizes", [(64, 64, 8), (2,) * 10])
def test_float32_is_precise_enough_for_wide_and_for_deep_networks(sizes: tuple[int, ...]) -> None:
    assert check(Student(dtype=np.float32), sizes).ok
    assert check(Student(dtype=np.float32, returns="new weights", lr=0.05), sizes[-3:], lr=0.05).ok


def batch_in_out(W, b, X, T):
    """As a library would: a table of samples, biases flat."""
    A = [X]
    for w, v in zip(W, b, strict=True):
        A.append(sigma(A[-1] @ w + v))
    grads, d = [], (A[-1] - T) * prime(A[-1])
    for i in reversed(range(len(W))):
        grads.insert(0, (A[i].T @ d, d.sum(axis=0)))
        d = d @ W[i].T * prime(A[i])
    return grads


def batch_columns(W, b, X, T):
    """Samples in columns, biases flat."""
    A = [X]
    for w, v in zip(W, b, strict=True):
        A.append(sigma(w @ A[-1] + v[:, None]))
    grads, d = {}, (A[-1] - T) * prime(A[-1])
    for i in reversed(range(len(W))):
        grads[f"dW{i + 1}"], grads[f"db{i + 1}"] = d @ A[i].T, d.sum(axis=1)
        d = W[i].T @ d * prime(A[i])
    return grads


def scalars(W, b, x, t):
    """In loops over scalars, stepping W[layer][to][from] as it goes, all deltas first."""
    a = [list(x)]
    for w, v in zip(W, b, strict=True):
        a.append(
            [
                1 / (1 + math.exp(-sum(w[j][i] * a[-1][i] for i in range(len(a[-1]))) - v[j]))
                for j in range(len(v))
            ]
        )
    deltas = [[(o - y) * o * (1 - o) for o, y in zip(a[-1], t, strict=True)]]
    for k in range(len(W) - 1, 0, -1):
        d = deltas[0]
        deltas.insert(
            0,
            [
                sum(W[k][j][i] * d[j] for j in range(len(d))) * a[k][i] * (1 - a[k][i])
                for i in range(len(a[k]))
            ],
        )
    for k, d in enumerate(deltas):
        for j in range(len(d)):
            b[k][j] -= 0.3 * d[j]
            for i in range(len(a[k])):
                W[k][j][i] -= 0.3 * d[j] * a[k][i]


def book(W, b, x, t):
    """Makes columns of flat samples itself, and climbs on t − o."""
    a = [np.array(x, ndmin=2).T]
    for w, v in zip(W, b, strict=True):
        a.append(sigma(np.dot(w, a[-1]) + v))
    delta, steps = (np.array(t, ndmin=2).T - a[-1]) * a[-1] * (1.0 - a[-1]), []
    for k in reversed(range(len(W))):
        steps.append((k, np.dot(delta, a[k].T), delta))
        delta = np.dot(W[k].T, delta) * a[k] * (1.0 - a[k])
    for k, dW, db in steps:
        W[k] += 0.05 * dW
        b[k] += 0.05 * db


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (batch_in_out, 1),
        (batch_in_out, 5),
        (batch_columns, 1),
        (batch_columns, 5),
        (scalars, 1),
        (book, 1),
    ],
)
@pytest.mark.parametrize("sizes", [(3, 4, 1), (3, 3, 3), (2, 5, 4, 3)])
def test_functions_as_people_write_them_are_right(
    function: Any, rows: int, sizes: tuple[int, ...]
) -> None:
    found = check(function, sizes, rows=rows)
    assert found.ok, found
    assert found.rate == {scalars: pytest.approx(0.3), book: pytest.approx(0.05)}.get(function)


class Joined:
    """A right function of the textbooks that join the biases to W, as the weights of an input that
    is 1; out of a Student."""

    def __init__(
        self,
        out_in: bool,
        joined: str,
        lie: str,
        ones: bool = False,
        lr: float | None = None,
        **student: Any,
    ) -> None:
        self.out_in, self.place, self.ones, self.lr = (
            out_in,
            0 if joined == "first" else -1,
            ones,
            lr,
        )
        self.student = Student(lie=lie, **student)

    def __call__(self, W, x, t):
        square = [w if self.out_in else w.T for w in W]
        b = [w[:, self.place] for w in square]
        inner = [np.delete(w, self.place, axis=1) for w in square]
        if self.ones:
            axis = (
                0
                if self.student.lie in ("flat", "column")
                and (x.ndim == 1 or self.student.lie == "column")
                else 1
            )
            assert (np.take(x, self.place, axis) == 1).all()
            x = np.delete(x, self.place, axis)
        dW, db = self.student(inner, [self.student._lying(v) for v in b], x, t)
        joined = [
            np.insert(w, 0 if self.place == 0 else w.shape[1], np.ravel(v), axis=1)
            for w, v in zip(dW, db, strict=True)
        ]
        joined = [d if self.out_in else d.T for d in joined]
        if self.lr is None:
            return joined
        for w, d in zip(W, joined, strict=True):
            w[...] = w - self.lr * d
        return None


@pytest.mark.parametrize("lr", [None, 0.2], ids=["gradients", "steps"])
@pytest.mark.parametrize("ones", [False, True], ids=["x", "x and 1"])
@pytest.mark.parametrize("joined", ["first", "last"])
@pytest.mark.parametrize("out_in", [True, False], ids=["out,in", "in,out"])
def test_biases_may_be_a_column_or_row_of_the_weights(
    out_in: bool, joined: str, ones: bool, lr: float | None
) -> None:
    for lie, (sizes, rows) in zip(
        LIES, (((3, 4, 1), 1), ((3, 3, 3), 3), ((2, 3, 4, 2), 3)), strict=True
    ):
        right = Joined(out_in, joined, lie, ones, lr)
        for function in (right, lambda W, b, x, t, right=right: right(W, x, t)):
            found = check(function, sizes, rows=rows)
            assert found.ok, found
            order, line = ("out, in + 1", "column") if out_in else ("in + 1, out", "row")
            assert (
                f"called with W[{order}], the biases in the {joined} {line} of each W, samples "
                in found.convention
            )
            assert set(found.errors) == {
                f"{kind}{i}" for kind in "Wb" for i in range(len(sizes) - 1)
            }
            assert found.rate == (lr and pytest.approx(lr))
        slipped = Joined(out_in, joined, lie, ones, lr, wrong=frozenset({"no hidden slope"}))
        assert MISTAKES["no hidden slope"][0] in check(slipped, sizes, rows=rows, lr=lr).mistake


def test_a_function_of_other_biases_than_asked_for_is_told_so() -> None:
    assert refused(Joined(True, "last", "flat"), bias=False).mistake.endswith(
        "; it has biases in W: check it with bias=True, and then its gradients are right"
    )
    assert refused(Student(bias=False)).mistake.endswith(
        "; it has no biases: check it with bias=False, and then its gradients are right"
    )


def test_two_right_forms_are_no_mistakes() -> None:
    """σ′ belongs into the output's delta with squared error, and cancels with cross-entropy."""
    plain, crossed = Student(), Student(loss="cross-entropy")
    assert check(plain, (3, 4, 2)).ok
    assert check(crossed, (3, 4, 2), loss="cross-entropy").ok
    assert (
        "σ′ is missing at the output layer (which is right for cross-entropy"
        in check(crossed, (3, 4, 2)).mistake
    )
    assert (
        "one factor too many (with cross-entropy it cancels"
        in check(plain, (3, 4, 2), loss="cross-entropy").mistake
    )


# What is wrong

MISTAKES: dict[
    str, tuple[str, str]
] = {  # what the report says, and the first wrong array of a network of two layers
    "turned": ("the gradients of W0 and W1 are transposed", "W1"),
    "one turned": ("the gradient of W0 is transposed", "W0"),
    "no error": ("the factor o − t is missing", "W1"),
    "no output slope": ("σ′ is missing at the output layer", "W1"),
    "no hidden slope": ("σ′ is missing at the hidden layer", "W0"),
    "no inputs": ("the factor a, the layer's inputs, is missing", "W1"),
    "no weights": ("the factor W is missing", "W0"),
    "slope above": (
        "σ′ of the wrong layer: at the hidden layer the slope of the layer above",
        "W0",
    ),
    "slope below": (
        "σ′ of the wrong layer: at the hidden layer the slope of the layer below",
        "W0",
    ),
    "output squashed": ("σ′ at the output layer is taken of an already squashed value", "W1"),
    "hidden squashed": ("σ′ at the hidden layer is taken of an already squashed value", "W0"),
    "output sums": ("σ′ at the output layer is taken as z·(1 − z)", "W1"),
    "hidden sums": ("σ′ at the hidden layer is taken as z·(1 − z)", "W0"),
    "changed": ("outgoing weights are changed before the hidden deltas are computed", "W0"),
    "error carried": ("is the error o − t, not the output's delta", "W0"),
    "not transposed": ("through weights not transposed", "W0"),
    "sums as inputs": ("with the sums z, not with σ(z)", "W1"),
    "no biases": ("the biases are missing in the forward pass", "W1"),
    "no output bias": ("the bias of the output layer is missing in the forward pass", "W1"),
    "no db": ("the biases are not updated|the gradients of the biases are missing", "b1"),
    "no last db": ("b1 is not updated|the gradient of b1 is missing", "b1"),
    "sign": ("the sign is wrong", "W1"),
    "hidden sign": ("the sign of W0 and b0 is wrong", "W0"),
    "twice": ("the ½ of ½Σ(o − t)² is missing", "W1"),
    "three": ("3 times what they should be", "W1"),
    "mean": ("means over rows, not sums", "W1"),
    "mean twice": ("means over rows, not sums, and the ½ of ½Σ(o − t)² is missing", "W1"),
    "mean of outputs": ("means over outputs, not sums", "W1"),
    "mean of all": ("means over rows and outputs, not sums", "W1"),
    "error squared": ("has the loss ½(o − t)² in it, not its derivative o − t", "W1"),
    "error size": ("the sign of o − t is lost", "W1"),
    "error summed": ("o − t is summed over all outputs", "W1"),
    "no target": ("the target is missing in the output's delta", "W1"),
    "output tanh slope": ("σ′ at the output layer is taken as 1 − a², the slope of tanh", "W1"),
    "hidden tanh slope": ("σ′ at the hidden layer is taken as 1 − a², the slope of tanh", "W0"),
    "hidden ReLU slope": (
        "σ′ at the hidden layer is taken as 1 where z > 0, the slope of ReLU",
        "W0",
    ),
    "slope squared": ("σ′ at the hidden layer is squared", "W0"),
    "slope is a": ("σ′ at the hidden layer is taken as a, which is σ itself", "W0"),
    "slope mean": ("σ′ at the hidden layer is taken as one mean for all units", "W0"),
    "slope below mean": (
        "σ′ of the wrong layer: at the hidden layer the slope of the layer below is taken, "
        "as one mean",
        "W0",
    ),
    "slope above mean": (
        "σ′ of the wrong layer: at the hidden layer the slope of the layer above is taken, "
        "as one mean",
        "W0",
    ),
    "output slope below mean": (
        "σ′ of the wrong layer: at the output layer the slope of the layer below is taken",
        "W1",
    ),
    "reshaped": ("the gradients of W0 and W1 are reshaped, not transposed", "W1"),
    "ones as db": ("the factor δ is missing in the gradients of b0 and b1", "b1"),
    "inputs as db": ("the gradients of b0 and b1 are taken as the sum of the layer's inputs", "b1"),
    "inputs in db": ("the gradients of b0 and b1 are multiplied by the layer's inputs", "b1"),
    "biases in db": ("the gradients of b0 and b1 are multiplied by the biases", "b1"),
    "last row": ("only the last row is used", "W1"),
    "mean of db": ("for b0 and b1, they are means over rows, not sums", "b1"),
    "outputs carried": (
        "what is carried back to the hidden layer is the outputs of the layer above",
        "W0",
    ),
    "slope of b": ("are taken with σ′ of the biases, not of the sums", "b1"),
    "own outputs": (
        "the gradients of W0 and W1 are taken with the outputs of its own layer",
        "W1",
    ),
}
SQUARE = {"slope below", "not transposed", "own outputs"}
OF_A_FACTOR = {"twice", "three", "mean", "mean twice", "mean of outputs", "mean of all"}
NEEDS_BIAS = {word for word in MISTAKES if "bias" in word or word.endswith("db")}
OF_SQUARED = {
    "no output slope",
    "output squashed",
    "output sums",
    "twice",
    "output tanh slope",
    "output slope below mean",
    "error squared",
    "slope of b",
}


def is_named(wrong: str, found: check_module.GradientCheck, layers: int = 2) -> bool:
    """Whether a report of a network of so many layers says this mistake."""
    text = MISTAKES[wrong][0]
    for two, three in (
        ("b0 and b1", "b0, b1 and b2"),
        ("W0 and W1", "W0, W1 and W2"),
        ("b1 is", "b2 is"),
        ("hidden layer ", "hidden layers "),
    ):
        text = text.replace(two, three) if layers > 2 else text
    return any(each in found.mistake for each in text.split("|"))


def planted(wrong: str, steps: bool = False) -> list[tuple[Student, tuple[int, ...], int]]:
    """The mistake in functions of several styles, in networks and batches that take turns."""
    sizes: Any = cycle(
        [(4, 4, 4)]
        if wrong in SQUARE
        else [(3, 4, 1), (3, 3, 3)]
        if wrong == "slope above"
        else [(3, 4, 2), (4, 5, 4)]
    )
    rows = cycle([3] if "mean" in wrong or wrong == "last row" else [1, 3])
    steps = steps or wrong == "changed"
    kinds = [style for style in EVERY if style.steps or not steps]
    if "turned" in wrong:  # in one row no array has a shape
        kinds = [style for style in kinds if style.returns != "one row"]
    # Other styles for every mistake, so that all are there; that right functions are right in
    # every style has its own test.
    every = 4 if steps else len(RETURNS) + len(STEPS) + 1
    chosen = kinds[list(MISTAKES).index(wrong) % every :: every]
    return [(style.but(wrong), next(sizes), next(rows)) for style in chosen]


@pytest.mark.parametrize("wrong", MISTAKES)
def test_each_mistake_is_named(wrong: str) -> None:
    first = MISTAKES[wrong][1]
    for student, sizes, rows in planted(wrong):
        if student.steps and wrong in {"turned", "one turned"}:
            continue  # such a step cannot be made, but in squares
        found = check(student, sizes, rows=rows, lr=student.lr if student.steps else None)
        assert not found.ok
        assert is_named(wrong, found), (student, found.mistake)
        assert found.first_wrong == first, (student, found)
        assert ("turned" in wrong) == (math.inf in found.errors.values())
        assert "; or " not in found.mistake
        assert f"first in {first}. Likely: " in str(found)


@pytest.mark.parametrize("wrong", MISTAKES)
def test_each_mistake_is_named_when_the_rate_is_not_given(wrong: str) -> None:
    first = MISTAKES[wrong][1]
    for student, sizes, rows in planted(wrong, steps=True):
        if "turned" in wrong:
            continue  # such a step cannot be made, but in squares
        found = check(student, sizes, rows=rows)
        assert "the rate is inferred: a factor on all gradients would look the same" in str(found)
        if wrong in OF_A_FACTOR:  # the same steps as those of another rate
            factor = {
                "twice": 2,
                "three": 3,
                "mean": 1 / rows,
                "mean twice": 2 / rows,
                "mean of outputs": 1 / sizes[-1],
            }
            assert found.ok
            assert found.rate == pytest.approx(
                student.lr * factor.get(wrong, 1 / (rows * sizes[-1]))
            )
        else:
            assert is_named(wrong, found), (student, found.mistake)
            assert (found.first_wrong, found.rate) == (first, pytest.approx(student.lr))


@pytest.mark.parametrize("wrong", sorted(set(MISTAKES) - {"turned"} - OF_A_FACTOR))
def test_each_mistake_is_named_with_several_hidden_layers(wrong: str) -> None:
    first = MISTAKES[wrong][1]
    sizes = (4, 4, 4, 4) if wrong in SQUARE | {"slope above"} else (3, 4, 5, 2)
    found = check(
        Student(returns="in place" if wrong == "changed" else "pairs").but(wrong), sizes, rows=3
    )
    assert is_named(wrong, found, layers=3), found
    assert found.first_wrong in {first, first.replace("1", "2") if first != "W0" else "W1"}


@pytest.mark.parametrize(
    ("wrong", "sizes", "first", "mistake"),
    [
        (["no first slope"], (3, 4, 5, 2), "W0", "σ′ is missing at hidden layer 1"),
        (
            ["hidden squashed", "output squashed"],
            (3, 4, 2),
            "W1",
            "σ′ at the output layer and the hidden layer is taken of an already squashed value: "
            "of a = σ(z) it is a·(1 − a)",
        ),
        *(
            (
                [f"slope of {name}"],
                (4, 4, 4, 4),
                "W1",
                f"σ′ of the wrong layer: at the hidden layers the slope of the {name} is taken",
            )
            for name in ("output", "inputs")
        ),
    ],
)
def test_a_mistake_is_placed_and_told_once_for_many_layers(
    wrong: list[str], sizes: tuple[int, ...], first: str, mistake: str
) -> None:
    found = check(Student().but(*wrong), sizes)
    assert (found.first_wrong, found.mistake) == (first, mistake)


@pytest.mark.parametrize(
    ("part", "missing", "first"),
    [
        (lambda dW, db: dW[0], "b0, W1 and b1", "W1"),
        (lambda dW, db: [dW[1]], "W0, b0 and b1", "b1"),
        (lambda dW, db: db, "W0 and W1", "W1"),
        (lambda dW, db: (dW[0], db[0]), "W1 and b1", "W1"),
        (lambda dW, db: (dW[1], db[1]), "W0 and b0", "W0"),
        (lambda dW, db: dW, "the biases", "b1"),
    ],
)
@pytest.mark.parametrize("sizes", [(3, 4, 2), (3, 4, 1), (4, 4, 4)])
def test_gradients_of_some_arrays_alone_lack_the_others(
    part: Any, missing: str, first: str, sizes: tuple[int, ...]
) -> None:
    found = check(returning(part), sizes)
    assert (found.mistake, found.first_wrong) == (f"the gradients of {missing} are missing", first)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (
            "slope below",
            "σ′ of the wrong layer: at the hidden layer the slope of the layer below is taken",
        ),
        (
            "slope above",
            "σ′ of the wrong layer: at the hidden layer the slope of the layer above is taken",
        ),
        (
            "not transposed",
            "deltas are carried back to the hidden layer through weights not transposed",
        ),
    ],
)
def test_where_shapes_do_not_fit_a_network_of_equal_layers_tells_the_mistake(
    wrong: str, text: str
) -> None:
    found = refused(Student().but(wrong), (3, 4, 2))
    assert found.mistake.startswith("it raises ValueError: ")
    assert (
        "(called as function(W, b, x, t) with W0 (4, 3), " in found.mistake
    )  # the style in which it went furthest
    assert (
        "; with sizes (4, 4, 4) it runs, and then its gradients are wrong, first in W0, "
        f"likely: {text}" in found.mistake
    )


def test_what_is_right_for_one_row_alone_is_said() -> None:
    def one_by_one(W, b, X, T):
        for x, t in zip(np.atleast_2d(X), np.atleast_2d(T), strict=True):
            Student(returns="in place")(W, b, x, t)

    assert check(one_by_one, (3, 4, 2)).ok
    found = check(one_by_one, (3, 4, 2), rows=3)
    assert (found.ok, found.mistake) == (
        False,
        "for one row it is right, for several it does not return their sum",
    )


def test_functions_that_answer_otherwise_when_called_again_are_told() -> None:
    rng, kept = np.random.default_rng(0), [0.0, 0.0]

    def draws(W, b, x, t):
        return backprop([rng.normal(size=w.shape) for w in W], b, [x], [t])

    def adds_up(W, b, x, t):
        dW, db = backprop(W, b, [x], [t])
        for i, d in enumerate(dW):
            kept[i] = kept[i] + d
        return list(kept), db

    for function in (draws, adds_up):
        assert check(function, (3, 4, 2)).mistake.startswith(
            "called again with the same arguments it returns something else: "
        )


@pytest.mark.parametrize(("factor", "sign"), [(0.1, ""), (-0.1, ", and the sign is wrong")])
def test_a_rate_in_the_gradients_is_told(factor: float, sign: str) -> None:
    changes = returning(lambda dW, db: ([factor * d for d in dW], [factor * d for d in db]))
    rate = "they are 0.1 times what they should be "
    rate += "(gradients have no rate in them: it belongs to the step)"
    assert check(changes, (3, 4, 1)).mistake.startswith(rate + sign)


@pytest.mark.parametrize("wrong", sorted(set(MISTAKES) - NEEDS_BIAS - OF_SQUARED))
def test_each_mistake_is_named_with_cross_entropy_and_without_biases(wrong: str) -> None:
    sizes = (4, 4, 4) if wrong in SQUARE | {"slope above"} else (3, 4, 2)
    student = Student(
        loss="cross-entropy", bias=False, returns="in place" if wrong == "changed" else "dW, db"
    ).but(wrong)
    found = check(
        student,
        sizes,
        rows=5 if wrong == "mean twice" else 3,
        loss="cross-entropy",
        bias=False,
        lr=0.1 if student.steps else None,
    )
    if wrong == "error carried":
        assert found.ok  # with cross-entropy it is the delta
    elif wrong == "mean twice":
        assert found.mistake.startswith(
            "they are 0.4 times what they should be"
        )  # no ½ there that could be missing
    else:
        assert any(
            each.replace("W0 and b0", "W0") in found.mistake
            for each in MISTAKES[wrong][0].split("|")
        ), found
        assert found.first_wrong == MISTAKES[wrong][1]
    assert set(found.errors) == {"W0", "W1"}


@pytest.mark.parametrize(
    "pair",
    [
        ("no hidden slope", "no db"),
        ("no output slope", "sign"),
        ("changed", "no db"),
        ("twice", "sign"),
        ("changed", "twice"),
        ("hidden squashed", "mean"),
        ("slope above", "twice"),
        ("no hidden slope", "one turned"),
        ("sums as inputs", "no output slope"),
        ("no output bias", "no last db"),
        ("no biases", "no db"),
        ("sign", "one turned"),
    ],
    ids=" + ".join,
)
def test_two_mistakes_at_once_are_both_named(pair: tuple[str, str]) -> None:
    steps = "changed" in pair
    found = check(
        Student(returns="in place" if steps else "pairs").but(*pair),
        (3, 3, 3) if "slope above" in pair else (3, 4, 2),
        rows=3,
        lr=0.1 if steps else None,
    )
    for wrong in pair:
        assert is_named(wrong, found), found.mistake
    assert ", and " in found.mistake


@given(
    st.sampled_from(
        sorted(set(MISTAKES) - SQUARE - {"slope above", "changed", "turned", "one turned"})
    ),
    styles,
    st.lists(st.integers(2, 4), min_size=3, max_size=4),
    st.integers(0, 999),
)
@example("biases in db", Student(out_in=True, lie="flat", returns="dW, db"), [4, 2, 2, 2], 293)
@settings(max_examples=25)
def test_a_wrong_function_is_never_right_and_its_mistake_is_named(
    wrong: str, student: Student, sizes: list[int], seed: int
) -> None:
    """In networks of all sizes, of equal layers, too: that mistake, at all its layers, and no
    other."""
    assume(
        wrong != "reshaped" or all(a != b for a, b in pairwise(sizes))
    )  # a square is transposed by it
    found = check(
        student.but(wrong), sizes, rows=3, lr=student.lr if student.steps else None, seed=seed
    )
    assert not found.ok
    assert is_named(wrong, found, layers=len(sizes) - 1), found
    assert found.mistake.count(", and ") <= ("mean" in wrong) + ("twice" in wrong)


@pytest.mark.parametrize("out_in", [True, False])
@pytest.mark.parametrize(
    "wrong", ["turned", "not transposed", "slope below", "no hidden slope", "one turned"]
)
def test_square_layers_do_not_confuse(wrong: str, out_in: bool) -> None:
    """W[out, in] and W[in, out] both fit, and which one is meant is told by what comes of it."""
    found = check(Student(out_in=out_in).but(wrong), (4, 4, 4))
    assert MISTAKES[wrong][0] in found.mistake
    assert "; or " not in found.mistake
    assert f"W[{'out, in' if out_in else 'in, out'}]" in found.convention


@pytest.mark.parametrize(
    ("student", "sizes", "keys", "mistake"),
    [
        pytest.param(
            Student().but("half"),
            (3, 4, 2),
            {},
            "they are half of what they should be or they are means over outputs, not sums",
            id="half or mean of outputs",
        ),
        pytest.param(
            Student(returns="in place", lr=0.2),
            (3, 4, 1),
            {"lr": 0.1},
            "the ½ of ½Σ(o − t)² is missing (they are twice too large) or the rate is 0.2, not 0.1",
            id="half or another rate",
        ),
        pytest.param(
            Student().but("mean"),
            (3, 4, 2),
            {"rows": 3},
            "they are means over rows, not sums or they are means over rows and outputs, not "
            "sums, and the ½ of ½Σ(o − t)² is missing",
            id="mean over rows or outputs, too",
        ),
        pytest.param(
            lambda W, b, x, t: ([0 * w for w in W], [0 * v for v in b]),
            (3, 4, 1),
            {},
            "all gradients are 0",
            id="gradients that are all 0",
        ),
        pytest.param(
            lambda W, b, x, t: (W, b),
            (3, 4, 1),
            {"lr": 0.1},
            "W and b are returned unchanged",
            id="weights that stay",
        ),
        pytest.param(
            returning(lambda dW, db: ([dW[0], dW[1].T], db)),
            (3, 4, 1),
            {},
            "the gradient of W1 is transposed",
            id="one row, of which W − dW would make a table",
        ),
    ],
)
def test_what_is_told_of_all_gradients(
    student: Any, sizes: tuple[int, ...], keys: dict[str, Any], mistake: str
) -> None:
    found = check(student, sizes, **keys)
    assert (found.mistake, found.first_wrong) == (mistake, "W1")


@pytest.mark.parametrize("rate", [1e-2, 1e-3, 1e-5])
def test_weights_changed_too_early_are_told_at_small_rates_too(rate: float) -> None:
    """The difference is proportional to the rate, and at 0.00001 less than what float32 makes."""
    for lr in (None, rate):
        for wrong in (), ("no hidden slope",):
            student = Student(returns="in place", lr=rate)
            assert check(student.but(*wrong), (3, 4, 2), rows=2, lr=lr).ok == (not wrong)
        found = check(student.but("changed"), (3, 4, 2), rows=2, lr=lr)
        assert MISTAKES["changed"][0] in found.mistake
        assert (found.ok, found.first_wrong, str(found).count("← wrong")) == (False, "W0", 2)
    assert check(Student(returns="in place", lr=rate, dtype=np.float32), (3, 4, 2)).ok


def test_a_step_that_climbs_and_tells_no_rate_is_wrong() -> None:
    found = check(Student(returns="in place").but("sign"), (3, 4, 1))
    assert (found.mistake, found.rate) == ("the sign is wrong: it climbs", pytest.approx(0.1))


def test_a_mistake_that_nobody_knows_is_not_named() -> None:
    found = check(returning(lambda dW, db: ([dW[0] + 0.01, dW[1]], db)), (3, 4, 1))
    assert (found.ok, found.first_wrong, found.mistake) == (False, "W0", "")
    assert "No usual mistake gives these values." in str(found)
    assert [name for name, error in found.errors.items() if error > 1e-4] == ["W0"]


@pytest.mark.parametrize(
    "pack",
    [
        lambda dW, db: (0.3, dW, db),
        lambda dW, db: (dW, db, np.float64(0.3)),
        lambda dW, db: (np.array(0.3), [*dW, *db]),
        lambda dW, db: (0.3, {"W1": dW[0], "b1": db[0], "W2": dW[1], "b2": db[1]}),
        lambda dW, db: [0.3, (dW, db)],
    ],
)
def test_a_loss_that_comes_with_the_gradients_does_no_harm(pack: Any) -> None:
    assert check(returning(pack), (3, 4, 1)).ok
    found = check(lambda W, b, x, t: pack(*backprop(W, b, [x], [t], {"twice"})), (3, 4, 1))
    assert MISTAKES["twice"][0] in found.mistake


class Hostile:
    """Raises whatever is asked of it."""

    __array__ = __str__ = raising(RuntimeError())


@pytest.mark.parametrize("value", [Hostile(), [Hostile()] * 4, {Hostile(): 1}], ids=range(3))
def test_objects_that_raise_when_they_are_read_get_one_line(value: object) -> None:
    refused(returning(value))


# Against others' gradients


@given(shapes, st.integers(1, 3), st.sampled_from(["squared", "cross-entropy"]), st.integers(0, 99))
@settings(max_examples=25)
def test_our_gradient_is_the_textbooks(sizes: list[int], rows: int, loss: Any, seed: int) -> None:
    terms = Terms(
        tuple(sizes), rows, True, loss, None, False, seed, ("sigmoid",) * (len(sizes) - 1)
    )
    case = random_example(terms, np.random.default_rng(seed))
    recipe = oracle.Recipe(
        "", hidden=tuple(sizes[1:-1]), loss=loss, updates=1, data=(case.X, case.T)
    )
    theirs = oracle.batch_gradient(recipe, case.layers, range(rows))
    ours = kernel_gradient(case, terms)
    for (dW, db), (theirs_W, theirs_b) in zip(
        zip(*[iter(ours.values())] * 2, strict=True), theirs, strict=True
    ):
        np.testing.assert_allclose(dW, theirs_W, rtol=1e-9, atol=1e-13 * np.abs(theirs_W).max())
        np.testing.assert_allclose(db, theirs_b, rtol=1e-9, atol=1e-13 * np.abs(theirs_b).max())


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
@pytest.mark.parametrize("sizes", [(3, 4, 1), (2, 5, 4, 3), (1, 1, 1), (2,) * 7])
def test_our_gradient_is_that_of_finite_differences(sizes: tuple[int, ...], loss: Any) -> None:
    found = check(Student(loss=loss), sizes, rows=2, loss=loss)
    assert found.finite_differences < 1e-6
    assert "\nfastbp's gradient differs from finite differences by " in str(found)


def test_finite_differences_would_tell_a_wrong_gradient_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kernels = check_module.kernel_gradient
    monkeypatch.setattr(
        check_module,
        "kernel_gradient",
        lambda *given: kernels(*given) | {"W0": 1.01 * kernels(*given)["W0"]},
    )
    assert check(Student(), (3, 4, 1)).finite_differences > 0.005


# Functions that cannot be checked, and functions with habits


@pytest.mark.parametrize(
    ("value", "text", "name"),
    [
        (
            None,
            "it returns None and changes neither W nor b in place; needed: the gradients of W0, "
            "b0, W1, b1, or",
            "",
        ),
        (0.5, "it returns 0.5; needed: the gradients of W0, b0, W1, b1", ""),
        (np.array(0.5), "it returns 0.5; needed", ""),
        ("gradient", "it returns 'gradient'; needed", ""),
        ([], "it returns a list of 0; needed", ""),
        (iter([]), "it returns list_iterator; needed", ""),
        (np.zeros(20), "it returns an array of 20; needed", ""),
        ({"W0": 1.0, "b0": 2.0}, "it returns a dictionary of W0, b0, without W1, b1; needed", "b1"),
        (
            lambda dW, db: ([[[1, 2], [3]], dW[1]], db),
            "the gradient of W0 is not an array of real numbers but [[1, 2]",
            "W0",
        ),
        (
            lambda dW, db: ([dW[0], dW[1].astype(str)], db),
            "the gradient of W1 is not an array of real numbers but [['",
            "W1",
        ),
        (
            lambda dW, db: ([dW[0], 1j * dW[1]], db),
            "the gradient of W1 is not an array of real numbers",
            "W1",
        ),
        (
            lambda dW, db: (dW, [db[0], None]),
            "the gradient of b1 is not an array of real numbers but None",
            "b1",
        ),
        (
            lambda dW, db: ([dW[0][:, :2], dW[1]], db),
            "the gradient of W0 has shape (4, 2), where W0 has (4, 3)",
            "W0",
        ),
        (
            lambda dW, db: (dW, [db[0][:2], db[1]]),
            "the gradient of b0 has shape (2,), where b0 has (4,)",
            "b0",
        ),
        (
            lambda dW, db: (dW, [np.outer(db[0], db[0]), db[1]]),
            "the gradient of b0 has shape (4, 4), where b0 has (4,)",
            "b0",
        ),
        (
            lambda dW, db: ([dW[0] * np.nan, dW[1]], db),
            "the gradient of W0 has 12 NaN of 12 values; needed: finite",
            "W0",
        ),
        (
            lambda dW, db: (dW, [db[0], db[1] * np.inf]),
            "the gradient of b1 has 1 infinite of 1 values; needed: finite",
            "b1",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_gradient_gets_one_line(value: Any, text: str, name: str) -> None:
    found = refused(returning(value))
    assert (found.first_wrong, found.errors) == (name, {})
    assert found.mistake.startswith(text)
    assert "called as function(W, b, x, t) with W0 (" in found.mistake
    assert str(found) == f"Your function cannot be checked: {found.mistake}."


def test_weights_that_explode_are_compared_without_a_warning() -> None:
    """Though they are beyond float32."""

    def step(W, b, x, t):
        W[0] *= 1e300

    assert not check(step, (3, 4, 1)).ok


class MuteError(Exception):
    __str__ = raising(RuntimeError())


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            ValueError("no \x1b[31mgood\nsecond line"),
            "it raises ValueError: no \\x1b[31mgood (called as",
        ),
        (RuntimeError(), "it raises RuntimeError (called as"),
        (MuteError(), "it raises MuteError (called as"),
        (KeyError("w" * 10_000), "it raises KeyError: 'www"),
        (ZeroDivisionError("by 0"), "it raises ZeroDivisionError: by"),
        (SystemExit("no data"), "it raises SystemExit: no data (called as"),
        (SystemExit(), "it raises SystemExit (called as"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_function_that_raises_gets_one_line(error: BaseException, text: str) -> None:
    found = refused(raising(error))
    assert found.mistake.startswith(text)
    assert len(str(found)) < 500


def test_a_function_that_ends_the_program_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def parses(W, b, x, t):
        parser = argparse.ArgumentParser(prog="mine")
        parser.add_argument("data")
        parser.parse_args([])

    told = "it raises SystemExit: 2 (called as function(W, b, x, t) with "
    assert refused(parses).mistake.startswith(told)
    assert capsys.readouterr().err.count("usage: mine") == 1


def test_who_ends_only_when_shapes_do_not_fit_is_right_where_they_do() -> None:
    def guarded(W, b, x, t):
        if x.shape != (3, 1):
            sys.exit("x must be a column")
        return Student(lie="column")(W, b, x, t)

    assert check(guarded, (3, 4, 1)).ok


def test_ctrl_c_ends_the_check() -> None:
    with pytest.raises(KeyboardInterrupt):
        check(raising(KeyboardInterrupt()), (3, 4, 1))


def test_its_own_error_is_told_and_not_that_of_a_style_that_does_not_fit() -> None:
    def divides(W, b, x, t):
        if x.shape != (1, 3):
            raise ValueError("matmul: mismatch")
        return 1 // 0

    assert "ZeroDivisionError" in check(divides, (3, 4, 1)).mistake
    assert (
        "takes 2 positional arguments but 4 were given (called as function(W, b"
        in check(lambda W, x: 0, (3, 4, 1)).mistake
    )


class Sometimes:
    """Right, but for one call."""

    def __init__(self, bad: int, how: str) -> None:
        self.calls, self.bad, self.how = 0, bad, how

    def __call__(self, W, b, x, t):
        self.calls += 1
        dW, db = backprop(W, b, [x], [t])
        if self.calls == self.bad:
            if self.how == "raises":
                raise ValueError("only now")
            dW[1][0, 2] = np.nan
        return dW, db


@pytest.mark.parametrize("call", [2, 3])
def test_a_function_that_fails_only_sometimes_is_not_right(call: int) -> None:
    assert (
        f"in call {call} of 3 it raises ValueError: only now"
        in check(Sometimes(call, "raises"), (3, 4, 1)).mistake
    )
    found = check(Sometimes(call, "NaN"), (3, 4, 1))
    assert f"in call {call} of 3 the gradient of W1 has 1 NaN of 4 values" in found.mistake
    assert found.first_wrong == "W1"


def test_arguments_that_are_changed_to_something_else_get_one_line() -> None:
    def word(W, b, x, t):
        W[0] = "W0"

    def grown(W, b, x, t):
        W[1] = W[1] - backprop(W, b, [x], [t])[0][1].T

    assert check(word, (3, 4, 1)).mistake.startswith("W0 is not an array of real numbers but 'W0'")
    assert check(grown, (3, 4, 1)).mistake.startswith(
        "W1 has shape (4, 4) after the call, where it had (1, 4)"
    )
    assert check(lambda W, b, x, t: W.append(0), (3, 4, 1)).mistake.startswith(
        "the lists that it was given have 3 weights and 2"
    )


def test_habits_do_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    kept: list[np.ndarray] = []

    def habits(W, b, x, t):
        """Prints, warns, spoils its samples and its lists, and returns the same arrays every
        time."""
        print("loss", 0.1)
        warnings.warn("look out", stacklevel=1)
        np.log(np.zeros(1))
        dW, db = backprop(W, b, [x.copy()], [t.copy()])
        x *= 0
        t -= 5
        W.clear()
        if not kept:
            kept.extend(np.empty_like(d) for d in (*dW, *db))
        for mine, d in zip(kept, (*dW, *db), strict=True):
            mine[...] = d
        return kept[:2], kept[2:]

    assert check(habits, (3, 4, 1)).ok
    assert "loss 0.1" in capsys.readouterr().out


def test_weights_that_are_changed_and_put_back_are_no_step() -> None:
    def puts_back(W, b, x, t):
        """As finite differences do, which leave weights a rounding away from where they were."""
        found = backprop(W, b, [x], [t])
        for values in (*W, *b):
            for change in (1e-5, -2e-5, 1e-5):
                np.add(values, change, out=values)
        return found

    found = check(puts_back, (3, 4, 1))
    assert found.ok, found
    assert found.rate is None


def test_gradients_returned_in_the_arguments_own_memory_are_read() -> None:
    def views(W, b, x, t):
        for values, d in zip(
            (*W, *b), (d for each in backprop(W, b, [x], [t]) for d in each), strict=True
        ):
            values[...] = d
        return W, b

    found = check(views, (3, 4, 1))
    assert found.ok, found
    assert "returns gradients, and changes its arguments" in found.convention


def test_a_step_counts_before_the_gradients_that_come_with_it() -> None:
    def both(W, b, x, t):
        dW, db = backprop(W, b, [x], [t])
        for values, d in zip((*W, *b), (*dW, *db), strict=True):
            np.add(values, 0.1 * d, out=values)
        return dW, db

    assert check(both, (3, 4, 1)).mistake == "the sign is wrong: it climbs"


@pytest.mark.parametrize("lr", [None, 1e-8])
def test_steps_that_rounding_swallows_are_not_judged(lr: float | None) -> None:
    assert check(
        Student(dtype=np.float32, returns="new weights", lr=1e-8), (3, 4, 1), lr=lr
    ).mistake.startswith("its steps are so small that rounding its weights loses them; needed: ")


# Arguments that are none


@pytest.mark.parametrize(
    "sizes",
    [
        (3, 1),
        (3, 0, 1),
        (3, 4.0, 1),
        (3, True, 1),
        "341",
        {3, 4, 1},
        None,
        5,
        (3, -4, 1),
        (3, 65, 1),
        (2,) * 11,
        [],
        iter((3, 4, 1)),
        np.array([[3, 4, 1]]),
        np.array(3),
    ],
    ids=repr,
)
def test_sizes_that_are_none_get_one_line(sizes: Any) -> None:
    (line,) = mistakes_of(check, Student(), sizes)
    assert line.startswith("sizes: given ")
    assert (
        "allowed: units of inputs, of 1 to 8 hidden layers and of outputs, such as (3, 4, 1), "
        "each from 1 to 64" in line
    )


def test_all_that_is_refused_is_told_at_once() -> None:
    wrong = {"loss": ["squared"], "rows": 0, "lr": float("nan"), "bias": 2, "seed": -1}
    assert [line.partition(":")[0] for line in mistakes_of(check, 3, (1,), **wrong)] == [
        "function",
        "sizes",
        "loss",
        "rows",
        "lr",
        "bias",
        "seed",
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lr", True),
        ("lr", -1),
        ("lr", "fast"),
        pytest.param("lr", 10**400, id="lr-huge"),
        ("rows", 2.0),
        ("rows", 257),
        ("seed", "a"),
    ],
    ids=str,
)
def test_values_that_are_none_are_refused(name: str, value: Any) -> None:
    with pytest.raises(fastbp.SweepError, match=f"^{name}: given "):
        check(Student(), (3, 4, 1), **{name: value})


def test_numpys_numbers_are_numbers() -> None:
    assert check(
        Student(returns="in place"),
        np.array([3, 4, 1]),
        rows=np.int64(2),
        lr=np.float32(0.1),
        seed=np.int64(3),
    ).ok
    assert check(Student(), range(2, 5)).ok


def test_the_same_seed_asks_the_same() -> None:
    assert check(Student().but("sign"), (3, 4, 1)) == check(Student().but("sign"), (3, 4, 1))
    assert check(Student(), (3, 4, 1)).errors != check(Student(), (3, 4, 1), seed=1).errors


@pytest.fixture
def textbook(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the kernels, which take seconds to compile for each kind of units."""
    monkeypatch.setattr(
        check_module,
        "kernel_gradient",
        lambda example, terms: gradient(example, terms, [W for W, _ in example.layers]),
    )


@pytest.mark.soak  # the largest kernel of all; tests/kernels has the units one by one
def test_the_kernels_have_the_textbooks_gradient_for_all_units() -> None:
    kinds = (*FAMILIES["activation"].choices, "softmax")
    terms = Terms((3,) * (len(kinds) + 1), 4, True, "squared", None, False, 0, kinds)
    case = random_example(terms, np.random.default_rng(3))
    theirs = gradient(case, terms, [W for W, _ in case.layers])
    for name, ours in kernel_gradient(case, terms).items():
        np.testing.assert_allclose(ours, theirs[name], rtol=1e-9, atol=1e-13)


def network(hidden: str, output: str, reduction: str = "sum", carried: float = 1.0):
    """A right function of two layers with other units, if it is not `carried` another delta."""
    f, g = numpy_networks.ACTIVATIONS[hidden], numpy_networks.ACTIVATIONS.get(output)
    g = g or (lambda y: np.exp(y) / np.exp(y).sum(axis=1, keepdims=True), np.ones_like)

    def student(W, b, x, t):
        z = x @ W[0].T + b[0]
        y = f[0](z) @ W[1].T + b[1]
        delta = (g[0](y) - t) * g[1](y) / (len(x) if reduction == "mean" else 1)
        below = carried * (delta @ W[1]) * f[1](z)
        return [below.T @ x, delta.T @ f[0](z)], [below.sum(0), delta.sum(0)]

    return student


@pytest.mark.usefixtures("textbook")
@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("softmax", "right, for softmax output units with the cross-entropy."),
        ("linear", "wrong, first in W1. Likely: the output units are linear, not sigmoid"),
    ],
)
def test_output_units_are_named_with_the_cross_entropy_too(output: str, text: str) -> None:
    found = check(network("sigmoid", output), (3, 4, 3), rows=2, loss="cross-entropy")
    assert str(found).startswith(f"Your gradients are {text}")


@pytest.mark.usefixtures("textbook")
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize(
    ("hidden", "output"),
    [
        *((hidden, "sigmoid") for hidden in FAMILIES["activation"].choices),
        *(("sigmoid", output) for output in FAMILIES["output"].choices if output != "sigmoid"),
        ("relu", "softmax"),
        ("elu", "linear"),
    ],
)
def test_gradients_of_other_units_are_right(hidden: str, output: str, reduction: str) -> None:
    student = network(hidden, output, reduction)
    named = [f"{hidden} hidden units"] * (hidden != "sigmoid")
    named += [f"{output} output units"] * (output != "sigmoid")
    of_softmax = " with the cross-entropy" * (output == "softmax")
    found = check(student, (3, 4, 2), rows=5, reduction=reduction)
    text = f", for {' and '.join(named)}{of_softmax}" * bool(named)
    assert str(found).startswith(f"Your gradients are right{text}.")
    if reduction == "mean":
        assert not check(student, (3, 4, 2), rows=5).ok
    else:
        assert (
            check(student, (3, 4, 2), rows=5, reduction="mean").mistake
            == "they are sums over rows, not means"
        )
        wrong = check(network(hidden, output, carried=-1.0), (3, 4, 2), rows=5)
        assert (wrong.units, wrong.mistake) == (text, "the sign of W0 and b0 is wrong")


# Biases in W


def folded(last: bool, slip: str):
    """A function of matrices that hold the biases, as the last or the first column, and a slip."""
    own, other = (slice(None, -1), slice(1, None))[:: 1 if last else -1]
    end, place = (-1, lambda v, at: np.append(v, 1) if at else np.insert(v, 0, 1))

    def student(W, x, t):
        a = [x]
        for w in W:
            a.append(sigma(w @ place(a[-1], last)))
        delta, grads = (a[-1] - t) * prime(a[-1]), []
        for k in reversed(range(len(W))):
            grads.insert(0, np.outer(delta, place(a[k], last ^ (slip == "misplaced"))))
            bias = grads[0][:, end if last else 0]
            bias *= {"by first": a[k][0], "by last": a[k][-1], "no bias": 0}.get(slip, 1)
            if k == 0:
                return grads
            back = W[k].T @ delta
            delta = {
                "carried": back[other] * prime(a[k]),
                "delta": (back * prime(place(a[k], last)))[other],
                "kept": back * prime(place(a[k], last)),
            }.get(slip, back[own] * prime(a[k]))

    return student


@pytest.mark.parametrize("sizes", [(3, 4, 1), (4, 4, 4), (3, 4, 5, 2)])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize(
    ("slip", "text"),
    [
        ("", ""),
        ("carried", "is dropped at the wrong end: the biases are the {own} weights of each W"),
        ("delta", "is dropped at the wrong end: the biases are the {own} weights of each W"),
        ("misplaced", "the 1 of the biases is the {other} input, not the {own}"),
        ("by first", "are multiplied by the first input of the layer, not by the 1"),
        ("by last", "are multiplied by the last input of the layer, not by the 1"),
        ("no bias", "the gradients of the biases are missing"),
        ("kept", "of what is carried back the biases' part is not dropped"),
    ],
)
def test_slips_with_biases_in_the_weights_are_named(
    slip: str, text: str, last: bool, sizes: tuple[int, ...]
) -> None:
    if slip == "kept" and len(sizes) > 3:
        return  # NumPy refuses the next product
    found = check(folded(last, slip), sizes)
    own, other = ("last", "first")[:: 1 if last else -1]
    assert found.ok == (not slip)
    assert text.format(own=own, other=other) in found.mistake
    assert "; or " not in found.mistake


# Modules of torch


class Tensor(np.ndarray):
    """As much of a tensor as is used."""

    grad, data = None, property(lambda self: self)
    detach = cpu = lambda self: self

    @staticmethod
    def new_tensor(values: Any) -> "Tensor":
        return np.array(values, float).view(Tensor)

    def copy_(self, values: "Tensor") -> None:
        self[...] = values


class TanhModule:
    """A stand-in for a torch module with its autograd: tanh, then linear outputs."""

    named_parameters = None

    def __init__(self, *shapes: tuple[int, ...], carried: float = 1.0) -> None:
        self.carried, self.kept = carried, [Tensor.new_tensor(np.zeros(shape)) for shape in shapes]

    def parameters(self) -> list[Tensor]:
        return self.kept

    def eval(self) -> "TanhModule":
        return self

    def __call__(self, x: Tensor) -> Tensor:
        a = np.tanh(x @ self.kept[0].T + self.kept[1])
        outputs = a @ self.kept[2].T + self.kept[3]

        def backward(delta: Tensor) -> None:
            below = self.carried * (delta @ self.kept[2]) * (1 - a**2)
            for parameter, values in zip(
                self.kept, (below.T @ x, below.sum(0), delta.T @ a, delta.sum(0)), strict=True
            ):
                parameter.grad = values

        outputs.backward = backward
        return outputs


@pytest.mark.usefixtures("textbook")
def test_a_torch_module_is_checked_by_its_autograd() -> None:
    shapes = ((4, 3), (4,), (2, 4), (2,))
    model = TanhModule(*shapes)
    found = check(model, rows=3)
    assert str(found).startswith("Your gradients are right, for tanh hidden units and linear outp")
    assert found.convention == "its gradients are those of backward() in a copy of the module"
    assert not any(each.any() or each.grad for each in model.kept)
    assert check(model, loss="cross-entropy").units.endswith(
        "softmax output units with the cross-entropy"
    )
    wrong = check(TanhModule(*shapes, carried=-1.0))
    assert (wrong.first_wrong, wrong.mistake) == ("W0", "the sign of W0 and b0 is wrong")
    for others in ((4, 3), (2, 5)), ((4, 3), (2, 4), ()):
        with pytest.raises(
            fastbp.SweepError, match=r"given a module with parameters \[\(4, 3\), \(2, "
        ):
            check(TanhModule(*others))
    with pytest.raises(fastbp.SweepError, match="sizes: given None"):
        check(Student())


@pytest.mark.usefixtures("textbook")
@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_real_torch(loss: Any) -> None:
    nn = pytest.importorskip("torch.nn")
    ends = {"squared": [], "cross-entropy": [nn.Sigmoid(), nn.Softmax(-1), nn.LogSoftmax(-1)]}
    for end in [nn.Identity(), *ends[loss]]:
        layers = (nn.Linear(3, 4), nn.ELU(), nn.Linear(4, 5), nn.LeakyReLU(0.2), nn.Linear(5, 2))
        found = check(nn.Sequential(*layers, end), rows=3, loss=loss)
        assert found.ok, found
        assert "elu and leaky-relu:slope=0.2 hidden units" in found.units
