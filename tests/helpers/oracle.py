"""The textbook network in plain NumPy, written from the numeric contract and not from the kernels.

float64, one network, one sample at a time, `W[out, in]`, NumPy's own exp and matrix products. It
shares no code with fastbp, so the two agree only where both do what the contract says. A network is
a list of (W, b), one pair a layer; so are gradient and velocity.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.special import ndtri


def sigmoid(x):
    with np.errstate(over="ignore"):
        return 1.0 / (1.0 + np.exp(-x))


# Random numbers


def philox(counter, key):
    """Philox4x32-10 in Python integers (Salmon, Moraes, Dror & Shaw 2011): four words from four and
    a key of two."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def draws(seed, stream, epoch, count):
    """The first `count` words of a stream: draw j is word j mod 4 of group j div 4."""
    key = (seed % 2**32, seed // 2**32)
    words = [
        word for group in range(-(-count // 4)) for word in philox((group, epoch, 0, stream), key)
    ]
    return words[:count]


def uniforms(seed, count):
    """Uniform deviates of the weights: (k + ½)·2⁻⁵², k the top 52 bits of two words."""
    words = draws(seed, 0, 0, 2 * count)
    return [
        (2 * ((high << 32 | low) >> 12) + 1) / 2**53
        for high, low in zip(words[::2], words[1::2], strict=True)
    ]


# Problems


def problem(text):
    """X [row, input] and T [row, output] of a problem by name."""
    name, _, argument = text.partition(":")
    if name == "xor":
        name, argument = "table", "0110"
    if name == "encoder":
        n = int(argument)
        rows = [[float(i == j) for j in range(n)] for i in range(n)]
        return np.array(rows), np.array(rows)
    bits = (
        argument
        if name == "table"
        else "".join(str(f"{row:b}".count("1") % 2) for row in range(2 ** int(argument)))
    )
    d = round(math.log2(len(bits)))
    X = [[float(digit) for digit in f"{row:0{d}b}"] for row in range(2**d)]
    return np.array(X), np.array([[float(bit)] for bit in bits])


def scaled(column, how):
    if how == "none" or len(set(column)) == 1:
        return column if how == "none" else np.zeros(len(column))
    if how == "minmax":
        return (column - min(column)) / (max(column) - min(column))
    mean = math.fsum(column) / len(column)
    return (column - mean) / math.sqrt(math.fsum((column - mean) ** 2) / len(column))


# A setup


@dataclass(frozen=True)
class Recipe:
    """One full choice of hyperparameters, under the names and with the defaults of the sweep file.

    `data`: (inputs, targets), in place of the problem's.
    """

    problem: str
    scale_inputs: str = "none"
    target_margin: float = 0.0
    hidden: tuple = (4,)
    init: str = "normal"
    init_scale: float = 1.0
    bias: bool = True
    loss: str = "squared"
    prime_offset: float = 0.0
    order: str = "shuffled"
    batch: int | str = 1
    reduction: str = "sum"
    lr: float = 0.1
    schedule: str = "constant"
    momentum: float = 0.0
    weight_decay: float = 0.0
    epochs: int | None = None
    updates: int | None = None
    tolerance: float = 0.4
    collapse: float = 0.1
    eval_every: int | None = None
    dtype: str = "float64"
    data: tuple | None = None

    @cached_property
    def inputs(self):
        X = (self.data or problem(self.problem))[0]
        return np.column_stack([scaled(column, self.scale_inputs) for column in X.T])

    @cached_property
    def targets(self):
        T, m = (self.data or problem(self.problem))[1], self.target_margin
        return (1 - T) * m + T * (1 - m)

    @property
    def sizes(self):
        return (self.inputs.shape[1], *self.hidden, self.targets.shape[1])

    @property
    def rows_per_update(self):
        return len(self.inputs) if self.batch == "full" else self.batch

    @property
    def updates_per_epoch(self):
        return math.ceil(len(self.inputs) / self.rows_per_update)

    @property
    def budget(self):
        return self.updates or self.epochs * self.updates_per_epoch

    @property
    def budget_in_epochs(self):
        return math.ceil(self.budget / self.updates_per_epoch)

    @property
    def eval_interval(self):
        return self.eval_every or (1 if self.batch == "full" else 10)


def arguments(text):
    """`step:every=3,factor=0.5` → ("step", {"every": 3.0, "factor": 0.5})."""
    name, _, rest = text.partition(":")
    return name, {
        key: float(value) for key, value in (part.split("=") for part in rest.split(",") if part)
    }


def initial(recipe, seed):
    """Weights and biases of a seed: layer by layer, unit by unit its inputs, then the layer's
    biases."""
    sizes = recipe.sizes
    us = iter(uniforms(seed, sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))))
    network = []
    name, own = arguments(recipe.init)
    if name == "grid":
        side, x, y = (int(own[key]) for key in ("side", "x", "y"))
        us = list(
            uniforms(
                int(own.get("origin", 0)),
                sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes)),
            )
        )
        us[x], us[y] = ((place + 0.5) / side for place in (seed % side, seed // side % side))
        us = iter(us)
    for fan_in, fan_out in pairwise(sizes):
        w, b = (
            np.array([next(us) for _ in range(fan_in * fan_out)]),
            np.array([next(us) for _ in range(fan_out)]),
        )
        if recipe.init.endswith("normal"):
            w, b = ndtri(w), ndtri(b)
        else:
            w, b = 2 * w - 1, 2 * b - 1
        scale = recipe.init_scale
        if recipe.init == "glorot-normal":
            scale *= math.sqrt(2 / (fan_in + fan_out))
        if recipe.init == "glorot-uniform":
            scale *= math.sqrt(6 / (fan_in + fan_out))
        keeps_biases = recipe.bias and not recipe.init.startswith("glorot")
        network.append(
            (scale * w.reshape(fan_out, fan_in), scale * b if keeps_biases else np.zeros(fan_out))
        )
    return network


def order(recipe, seed, epoch):
    """The rows of an epoch, in the order of their presentation."""
    n = len(recipe.inputs)
    if recipe.batch == "full" or recipe.order == "cyclic":
        return list(range(n))
    if recipe.order == "random":
        return [word * n >> 32 for word in draws(seed, 1, epoch, n)]
    if recipe.order == "shuffled":
        rows = list(range(n))
        for i, word in zip(range(n - 1, 0, -1), draws(seed, 1, epoch, n - 1), strict=True):
            j = word * (i + 1) >> 32
            rows[i], rows[j] = rows[j], rows[i]
        return rows
    K = int(recipe.order.removeprefix("blocked:"))
    return [(epoch * n + j) // K % n for j in range(n)]


def rate(recipe, epoch):
    """The learning rate of an epoch, by the closed form of its schedule."""
    name, own = arguments(recipe.schedule)
    warmup = own.get("warmup", 0)
    if epoch < warmup:
        return recipe.lr * (epoch + 1) / (warmup + 1)
    s, span = epoch - warmup, recipe.budget_in_epochs - warmup
    return (
        recipe.lr
        * {
            "constant": lambda: 1.0,
            "step": lambda: own["factor"] ** (s // own["every"]),
            "exponential": lambda: own["factor"] ** s,
            "cosine": lambda: (1 + math.cos(math.pi * s / span)) / 2,
            "linear": lambda: 1 - s / span,
            "inverse": lambda: 1 / (1 + s / own["tau"]),
        }[name]()
    )


# Training


def forward(network, x):
    """Activations of every layer, the inputs first, and z of the last."""
    activations = [x]
    for W, b in network:
        z = W @ activations[-1] + b
        activations.append(sigmoid(z))
    return activations, z


def gradient(recipe, network, x, t, prime_offset=0.0):
    """∂E/∂W and ∂E/∂b of one sample by backpropagation, with the weights as they are."""
    activations, _ = forward(network, x)
    slopes = [a * (1 - a) + prime_offset for a in activations]
    delta = activations[-1] - t
    if recipe.loss == "squared":
        delta = delta * slopes[-1]
    parts = []
    for layer in range(len(network) - 1, -1, -1):
        parts.insert(0, (np.outer(delta, activations[layer]), delta * recipe.bias))
        if layer:
            delta = (network[layer][0].T @ delta) * slopes[layer]
    return parts


def batch_gradient(recipe, network, rows, prime_offset=0.0):
    """The sum of the gradients of some rows."""
    total = [(np.zeros_like(W), np.zeros_like(b)) for W, b in network]
    for row in rows:
        one = gradient(recipe, network, recipe.inputs[row], recipe.targets[row], prime_offset)
        total = [(W + dW, b + db) for (W, b), (dW, db) in zip(total, one, strict=True)]
    return total


def train_epoch(recipe, network, velocity, seed, epoch):
    """The networks and velocity after one epoch, or as much of it as the budget allows."""
    rows = order(recipe, seed, epoch)
    lr, size = rate(recipe, epoch), recipe.rows_per_update
    updates = min(recipe.updates_per_epoch, recipe.budget - epoch * recipe.updates_per_epoch)
    for update in range(updates):
        batch = rows[update * size : (update + 1) * size]
        divisor = len(batch) if recipe.reduction == "mean" else 1
        g = batch_gradient(recipe, network, batch, recipe.prime_offset)
        g = [
            (dW / divisor + recipe.weight_decay * W, db / divisor)
            for (dW, db), (W, _) in zip(g, network, strict=True)
        ]
        velocity = [
            (recipe.momentum * vW - lr * dW, recipe.momentum * vb - lr * db)
            for (vW, vb), (dW, db) in zip(velocity, g, strict=True)
        ]
        network = [(W + vW, b + vb) for (W, b), (vW, vb) in zip(network, velocity, strict=True)]
    return network, velocity


def still(network):
    """The velocity at the start."""
    return [(np.zeros_like(W), np.zeros_like(b)) for W, b in network]


def run(recipe, seed, network=None):
    """(updates done, network) after each epoch, from the initial weights of the seed or from a
    network."""
    network = initial(recipe, seed) if network is None else network
    velocity = still(network)
    for epoch in range(recipe.budget_in_epochs):
        network, velocity = train_epoch(recipe, network, velocity, seed, epoch)
        yield min((epoch + 1) * recipe.updates_per_epoch, recipe.budget), network


# Measures


def flat(network):
    """All parameters of a network, in the order in which they are drawn."""
    return np.concatenate([part.ravel() for layer in network for part in layer])


def outputs(recipe, network):
    """[row, output]."""
    return np.array([forward(network, x)[0][-1] for x in recipe.inputs])


def loss(recipe, z, o, t):
    if recipe.loss == "squared":
        return float(sum((o - t) ** 2)) / 2
    return float(sum(np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))))


def measures(recipe, network):
    """Everything that is said of a network, by the names of the columns; None where a weight is not
    finite."""
    if not np.isfinite(flat(network)).all():
        return None
    Y, T = outputs(recipe, network), recipe.targets
    constant = T.max(axis=0) == T.min(axis=0)
    ranges = np.where(constant, 1.0, T.max(axis=0) - T.min(axis=0))
    middles = (T.max(axis=0) + T.min(axis=0)) / 2
    varying = [k for k in range(T.shape[1]) if not constant[k]]
    passes = [forward(network, x) for x in recipe.inputs]
    hidden = np.concatenate([a for activations, _ in passes for a in activations[1:-1]])
    whole = flat(batch_gradient(recipe, network, range(len(T)))) / len(T)
    sides = middles <= Y
    return {
        "loss": sum(loss(recipe, z, a[-1], t) for (a, z), t in zip(passes, T, strict=True))
        / len(T),
        "spread": max(
            ((Y[:, k].max() - Y[:, k].min()) / ranges[k] for k in varying), default=math.nan
        ),
        "max_error": max(abs(Y - T)[:, k].max() / ranges[k] for k in range(T.shape[1])),
        "wrong": sum(
            any(sides[row, k] != (T[row, k] >= middles[k]) for k in varying)
            for row in range(len(T))
        ),
        "one_sided": bool(varying) and all(len(set(sides[:, k])) == 1 for k in varying),
        "saturation": float(np.mean((hidden < 0.05) | (hidden > 0.95))),
        "grad_norm": math.sqrt(sum(whole**2)),
        "weight_max": max(abs(flat(network))),
    }


def outcome(recipe, found):
    """The word for a state, in the order in which the cases are decided."""
    if found is None:
        return "diverged"
    if found["max_error"] <= recipe.tolerance:
        return "converged"
    if found["spread"] < recipe.collapse:
        return "collapsed"
    return "one-class" if found["one_sided"] else "partial"


# Many seeds


def outcomes_of_many(recipe, seeds):
    """Outcomes of networks with one hidden layer trained online on ½‖o − t‖² at a constant rate:
    all seeds at once, by einsum."""
    nets = [initial(recipe, seed) for seed in seeds]
    W, b, V, c = (
        np.array([net[layer][part] for net in nets]) for layer in (0, 1) for part in (0, 1)
    )
    for epoch in range(recipe.budget_in_epochs):
        rows = np.array([order(recipe, seed, epoch) for seed in seeds])
        for j in range(min(len(recipe.inputs), recipe.budget - epoch * len(recipe.inputs))):
            x, t = recipe.inputs[rows[:, j]], recipe.targets[rows[:, j]]
            h = sigmoid(np.einsum("shi,si->sh", W, x) + b)
            o = sigmoid(np.einsum("soh,sh->so", V, h) + c)
            d = (o - t) * o * (1 - o)
            e = np.einsum("soh,so->sh", V, d) * h * (1 - h)
            V, c = V - recipe.lr * np.einsum("so,sh->soh", d, h), c - recipe.lr * d
            W, b = W - recipe.lr * np.einsum("sh,si->shi", e, x), b - recipe.lr * e
    return [
        outcome(recipe, measures(recipe, [(W[s], b[s]), (V[s], c[s])])) for s in range(len(seeds))
    ]
