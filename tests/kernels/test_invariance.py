"""What symmetry says of training, held against the kernels: a network that is renamed, or has signs
changed, learns as it did.

Exact, to the bit, where every operation of the image is that of the network with other signs or in
the same order; to rounding where sums are taken in another order or σ(−z) stands for 1 − σ(z); in
shares of many seeds where the image is another seed's.
"""

from itertools import permutations

import numpy as np
import pytest
from lanes import JIT, LANES, group

from fastbp import Sweep, run
from fastbp.analysis.atlas import equality
from fastbp.analysis.symmetry import classes
from fastbp.config.setup import Setup

EPOCHS = 40 if JIT else 3
SIGNS = [(-1, 1, 1), (1, -1, -1), (-1, -1, -1)][: 3 if JIT else 1]
OTHERS = [order for order in permutations(range(3)) if order != (0, 1, 2)]


def setup(**changes):
    keys = {
        "problem": "table:11101011",
        "hidden": (4,),
        "lr": 0.5,
        "order": "random",
        "epochs": EPOCHS,
        **changes,
    }
    return Setup(**keys)


def both(one, image, data=None, **changes):
    """The same seeds of a setup and of its image, all lanes trained: the networks of each before,
    and after.

    `image`: what becomes of a network; `data`: what becomes of X and T.
    """
    first = setup(**one, **changes)
    X, T = first.data()
    runs, images = group(first), group(first, data=(X, T) if data is None else data(X, T))
    for lane in range(LANES):
        images.set_layers(lane=lane, layers=image(runs.layers(lane)))
    for each in (runs, images):
        each.advance(EPOCHS)
    return (
        [runs.layers(lane) for lane in range(LANES)],
        [images.layers(lane) for lane in range(LANES)],
        runs,
        images,
    )


def with_columns(network, change):
    """A network whose first weights have other columns."""
    (W, b), *rest = network
    return [(change(W), b), *rest]


def assert_same(one, other):
    for (W, b), (V, c) in zip(one, other, strict=True):
        assert np.array_equal(W, V)
        assert np.array_equal(b, c)


ONLINE = {}
KINDS = [
    ONLINE,
    {"batch": 3, "momentum": 0.9, "weight_decay": 0.01},
    {"dtype": "float32"},
    {"loss": "cross-entropy", "hidden": (3, 2)},
]


@pytest.mark.parametrize("kind", KINDS, ids=["online", "batches", "float32", "deep"])
@pytest.mark.parametrize("order", ["random", "shuffled", "cyclic"])
@pytest.mark.parametrize("signs", SIGNS)
def test_negated_inputs_are_negated_weights_to_the_bit(signs, order, kind):
    """Inputs −1 and 1: a product of two changed signs is the same, in every order of rows."""
    signs = np.array(signs, float)
    networks, images, runs, others = both(
        {"scale_inputs": "standard", "order": order},
        lambda network: with_columns(network, lambda W: W * signs),
        lambda X, T: (X * signs, T),
        **kind,
    )
    for network, image in zip(networks, images, strict=True):
        assert_same(with_columns(network, lambda W: W * signs), image)
    np.testing.assert_array_equal(*[each.measure()[0][:, :LANES] for each in (runs, others)])


@pytest.mark.parametrize("kind", KINDS[:3], ids=["online", "batches", "float32"])
@pytest.mark.parametrize("new", OTHERS)
def test_permuted_inputs_are_permuted_weights_to_the_bit_where_a_row_has_one_input(new, kind):
    """Of an encoder's rows one input is not 0, so that no sum depends on its order: what is left is
    the renaming."""
    rows = np.array([[1.0], [0.0], [1.0]])
    first = setup(**{"problem": "encoder:3", **kind})
    X = first.data().X
    T = np.hstack([rows, 1 - rows, rows])
    runs, images = group(first, data=(X, T)), group(first, data=(X[:, new], T))
    for lane in range(LANES):
        images.set_layers(lane=lane, layers=with_columns(runs.layers(lane), lambda W: W[:, new]))
    for each in (runs, images):
        each.advance(EPOCHS)
    for lane in range(LANES):
        assert_same(with_columns(runs.layers(lane), lambda W: W[:, new]), images.layers(lane))


@pytest.mark.parametrize("order", ["random", "shuffled", "cyclic"])
def test_two_inputs_change_places_to_the_bit_where_no_bias_comes_first(order):
    """The first two terms of a sum may change places; they are its first two where there is no
    bias."""
    new = [1, 0, 2]
    networks, images, *_ = both(
        {"order": order, "bias": False},
        lambda network: with_columns(network, lambda W: W[:, new]),
        lambda X, T: (X[:, new], T),
    )
    for network, image in zip(networks, images, strict=True):
        assert_same(with_columns(network, lambda W: W[:, new]), image)


@pytest.mark.parametrize("scaled", ["none", "standard"])
@pytest.mark.parametrize("new", OTHERS)
def test_permuted_inputs_are_permuted_weights_but_for_the_order_of_sums(new, scaled):
    networks, images, *_ = both(
        {"scale_inputs": scaled},
        lambda network: with_columns(network, lambda W: W[:, new]),
        lambda X, T: (X[:, new], T),
    )
    for network, image in zip(networks, images, strict=True):
        for (W, b), (V, c) in zip(with_columns(network, lambda W: W[:, new]), image, strict=True):
            assert np.allclose(W, V, rtol=0, atol=1e-11)
            assert np.allclose(b, c, rtol=0, atol=1e-11)


@pytest.mark.parametrize("loss", ["squared", "cross-entropy"])
def test_a_negated_output_is_negated_last_weights_but_for_rounding(loss):
    def negated(network):
        *rest, (W, b) = network
        return [*rest, (-W, -b)]

    networks, images, runs, others = both({"loss": loss}, negated, lambda X, T: (X, 1 - T))
    for network, image in zip(networks, images, strict=True):
        for (W, b), (V, c) in zip(negated(network), image, strict=True):
            assert np.allclose(W, V, rtol=0, atol=1e-11)
            assert np.allclose(b, c, rtol=0, atol=1e-11)
    outputs, mirrored = (each.measure()[1] for each in (runs, others))
    assert np.allclose(outputs, 1 - mirrored, rtol=0, atol=1e-11)


# In shares of many seeds


def equal_shares(**changes):
    """What is told of the 16 functions of two bits, each learnt from 2,000 seeds."""
    keys = {"hidden": [2], "order": "shuffled", "lr": 1, "epochs": 100, **changes}
    return equality(
        run(
            Sweep(
                seeds=2_000,
                setup=keys,
                grid={"problem": ["table:????"], "scale_inputs": ["none", "standard"]},
            )
        )
    )


@pytest.mark.jit
@pytest.mark.parametrize(
    "changes",
    [{"order": "random"}, {"loss": "cross-entropy", "lr": 0.2}, {"batch": 3, "momentum": 0.5}],
    ids=str,
)
def test_functions_of_a_class_converge_equally_often_and_others_need_not(changes):
    """The kernels keep every symmetry that they should: no p of Holm's is small. Negated inputs
    differ where they are 0 and 1."""
    table = equal_shares(**changes)
    held = table[table["holds"] & table["p"].notna()]
    assert len(held) >= 6
    assert held["p_holm"].min() > 0.01
    free = table[~table["holds"]]
    assert (set(free["symmetry"]), set(free["scale_inputs"])) == ({"npn"}, {"none"})
    assert free["p_holm"].min() < 1e-6


@pytest.mark.jit
def test_an_order_that_goes_by_the_list_keeps_no_permutation():
    """Rows in the order of the list: which input is which matters, and the table does not say that
    shares are equal."""
    table = equal_shares(order="blocked:8")
    assert not table["holds"].any()
    assert table["p_holm"].min() < 1e-6


def test_classes_of_the_functions_of_two_bits():
    tables = [f"{number:04b}" for number in range(16)]
    assert (len(set(classes(tables, "pn"))), len(set(classes(tables, "npn")))) == (6, 4)
