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


SELU = 1.0507009873554805, 1.6732632423543772


def activation(name, z):
    """An activation of z, and its slope."""
    name, own = arguments(name)
    e = np.exp(np.minimum(z, 0))
    leak, (scale, alpha) = own.get("slope", 0.01), SELU
    return {
        "sigmoid": lambda: (sigmoid(z), sigmoid(z) * sigmoid(-z)),
        "linear": lambda: (z, np.ones_like(z)),
        "tanh": lambda: (np.tanh(z), 1 / np.cosh(z) ** 2),
        "relu": lambda: (np.maximum(z, 0), np.where(z > 0, 1.0, 0.0)),
        "leaky-relu": lambda: (np.where(z > 0, z, leak * z), np.where(z > 0, 1.0, leak)),
        "elu": lambda: (np.where(z > 0, z, e - 1), np.where(z > 0, 1.0, e)),
        "selu": lambda: (
            scale * np.where(z > 0, z, alpha * (e - 1)),
            scale * np.where(z > 0, 1.0, alpha * e),
        ),
        "softplus": lambda: (np.logaddexp(0, z), sigmoid(z)),
        "exponential": lambda: (np.exp(z), np.exp(z)),
        "softmax": lambda: (np.exp(z - z.max()) / np.exp(z - z.max()).sum(), np.ones_like(z)),
    }[name]()


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
    bias_init: str | float = "init"
    activation: str = "sigmoid"
    output: str = "sigmoid"
    loss: str = "squared"
    prime_offset: float = 0.0
    order: str = "shuffled"
    batch: int | str = 1
    reduction: str = "sum"
    lr: float = 0.1
    schedule: str = "constant"
    optimizer: str = "sgd"
    momentum: float = 0.0
    nesterov: bool = False
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
        T = (1 - T) * m + T * (1 - m)
        return 2 * T - 1 if self.output == "tanh" and not self.data else T

    @property
    def activations(self):
        """Of every layer past the inputs."""
        each = self.activation if isinstance(self.activation, (list, tuple)) else [self.activation]
        return [*(each * len(self.hidden) if len(each) == 1 else each), self.output]

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
    sizes, network = recipe.sizes, []
    name, own = arguments(recipe.init)
    count = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    drawn = uniforms(int(own.get("origin", 0)) if name == "grid" else seed, count)
    if name == "grid":
        side, x, y = (int(own[key]) for key in ("side", "x", "y"))
        drawn[x], drawn[y] = ((place + 0.5) / side for place in (seed % side, seed // side % side))
    us = iter(drawn)
    for fan_in, fan_out in pairwise(sizes):
        w, b = (
            np.array([next(us) for _ in range(fan_in * fan_out)]),
            np.array([next(us) for _ in range(fan_out)]),
        )
        if recipe.init.endswith("normal"):
            w, b = ndtri(w), ndtri(b)
        else:
            w, b = 2 * w - 1, 2 * b - 1
        variance = {
            "glorot-normal": 2 / (fan_in + fan_out),
            "glorot-uniform": 6 / (fan_in + fan_out),
            "he-normal": 2 / fan_in,
            "he-uniform": 6 / fan_in,
            "lecun-normal": 1 / fan_in,
            "lecun-uniform": 3 / fan_in,
            "torch": 1 / fan_in,
            "zeros": 0,
        }.get(name, 1)
        if name == "constant":
            w, b = np.full_like(w, own["c"]), np.full_like(b, own["c"])
        scale = recipe.init_scale * math.sqrt(variance)
        b = scale * b * (name.partition("-")[0] not in ("glorot", "he", "lecun"))
        if recipe.bias_init != "init":
            b = np.full_like(b, 0 if recipe.bias_init == "zeros" else recipe.bias_init)
        network.append((scale * w.reshape(fan_out, fan_in), b * recipe.bias))
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
        return (recipe.lr or 0.0) * (epoch + 1) / (warmup + 1)
    s, span = epoch - warmup, recipe.budget_in_epochs - warmup
    return (recipe.lr or 0.0) * {
        "constant": lambda: 1.0,
        "step": lambda: own["factor"] ** (s // own["every"]),
        "exponential": lambda: own["factor"] ** s,
        "cosine": lambda: (1 + math.cos(math.pi * s / span)) / 2,
        "linear": lambda: 1 - s / span,
        "inverse": lambda: 1 / (1 + s / own["tau"]),
    }[name]()


# Training


def forward(recipe, network, x):
    """Activations of every layer, the inputs first; the slope of each past them; z of the last."""
    activations, slopes = [x], []
    for (W, b), name in zip(network, recipe.activations, strict=True):
        z = W @ activations[-1] + b
        a, slope = activation(name, z)
        activations.append(a)
        slopes.append(slope)
    return activations, slopes, z


def gradient(recipe, network, x, t, prime_offset=0.0):
    """∂E/∂W and ∂E/∂b of one sample by backpropagation, with the weights as they are."""
    activations, slopes, _ = forward(recipe, network, x)
    delta = activations[-1] - t
    if recipe.loss == "squared":
        delta = delta * (slopes[-1] + prime_offset)
    parts = []
    for layer in range(len(network) - 1, -1, -1):
        parts.insert(0, (np.outer(delta, activations[layer]), delta * recipe.bias))
        if layer:
            delta = (network[layer][0].T @ delta) * (slopes[layer - 1] + prime_offset)
    return parts


def batch_gradient(recipe, network, rows, prime_offset=0.0):
    """The sum of the gradients of some rows."""
    total = [(np.zeros_like(W), np.zeros_like(b)) for W, b in network]
    for row in rows:
        one = gradient(recipe, network, recipe.inputs[row], recipe.targets[row], prime_offset)
        total = [(W + dW, b + db) for (W, b), (dW, db) in zip(total, one, strict=True)]
    return total


def stepped(recipe, w, g, lr, s, t, k):
    """A parameter after step k = 1, 2, … by its gradient, and what is kept with it."""
    name, own = arguments(recipe.optimizer)
    if name == "sgd":
        v = recipe.momentum * s - lr * g
        return w + (recipe.momentum * v - lr * g if recipe.nesterov else v), v, t
    if name == "adam":
        beta1, beta2 = own.get("beta1", 0.9), own.get("beta2", 0.999)
        m, v = beta1 * s + (1 - beta1) * g, beta2 * t + (1 - beta2) * g**2
        root = np.sqrt(v / (1 - beta2**k)) + own.get("eps", 1e-8)
        return w - lr * (m / (1 - beta1**k)) / root, m, v
    if name in ("rmsprop", "adagrad"):
        alpha = own.get("alpha", 0.99)
        v = alpha * s + (1 - alpha) * g**2 if name == "rmsprop" else s + g**2
        return w - lr * g / (np.sqrt(v) + own.get("eps", {"r": 1e-8, "a": 1e-10}[name[0]])), v, t
    return np.vectorize(
        lambda *state: {"rprop": _rprop, "quickprop": _quickprop}[name](own, lr, *state),
        otypes="ddd",
    )(w, g, s, t)


def _rprop(own, lr, w, g, size, before):
    size = size or own.get("step", 0.1)
    if g * before > 0:
        size = min(size * own.get("plus", 1.2), own.get("max", 50.0))
    elif g * before < 0:
        size, g = max(size * own.get("minus", 0.5), own.get("min", 1e-6)), 0.0
    return w - np.sign(g) * size, size, g


def _quickprop(own, lr, w, g, move, before):
    mu = own.get("mu", 1.75)
    if move == 0:
        new = -lr * g
    elif move < 0:
        new = (-lr * g if g > 0 else 0.0) + (
            mu * move if g >= mu / (1 + mu) * before else move * g / (before - g)
        )
    else:
        new = (-lr * g if g < 0 else 0.0) + (
            mu * move if g <= mu / (1 + mu) * before else move * g / (before - g)
        )
    return w + new, new, g


def train_epoch(recipe, network, kept, seed, epoch):
    """The network after one epoch, or as much of it as the budget allows; and what the optimiser
    keeps with each parameter, two numbers."""
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
        k = epoch * recipe.updates_per_epoch + update + 1
        parts = [[part for layer in each for part in layer] for each in (network, g, *kept)]
        each = [stepped(recipe, w, dw, lr, s, t, k) for w, dw, s, t in zip(*parts, strict=True)]
        network, *kept = (
            list(zip(part[::2], part[1::2], strict=True)) for part in zip(*each, strict=True)
        )
    return network, kept


def still(network):
    """What an optimiser keeps at the start."""
    return [[(np.zeros_like(W), np.zeros_like(b)) for W, b in network]] * 2


def run(recipe, seed, network=None):
    """(updates done, network) after each epoch, from the initial weights of the seed or from a
    network."""
    network = initial(recipe, seed) if network is None else network
    kept = still(network)
    for epoch in range(recipe.budget_in_epochs):
        network, kept = train_epoch(recipe, network, kept, seed, epoch)
        yield min((epoch + 1) * recipe.updates_per_epoch, recipe.budget), network


# Measures


def flat(network):
    """All parameters of a network, in the order in which they are drawn."""
    return np.concatenate([part.ravel() for layer in network for part in layer])


def outputs(recipe, network):
    """[row, output]."""
    return np.array([forward(recipe, network, x)[0][-1] for x in recipe.inputs])


def loss(recipe, z, o, t):
    if recipe.loss == "squared":
        return float(sum((o - t) ** 2)) / 2
    if recipe.output == "softmax":
        return float(-sum(t * np.log(o)))
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
    passes = [forward(recipe, network, x) for x in recipe.inputs]
    hidden = np.array([np.concatenate(activations[1:-1]) for activations, _, _ in passes])
    limits = [
        {"sigmoid": (0.05, 0.95), "tanh": (-0.9, 0.9)}.get(name, (np.nan, np.nan))
        for name, units in zip(recipe.activations[:-1], recipe.hidden, strict=True)
        for _ in range(units)
    ]
    low, high = np.transpose(limits)
    saturated = ((hidden < low) | (hidden > high)) / len(hidden)
    can = np.isfinite(low)
    whole = flat(batch_gradient(recipe, network, range(len(T)))) / len(T)
    sides = middles <= Y
    return {
        "loss": sum(loss(recipe, z, a[-1], t) for (a, _, z), t in zip(passes, T, strict=True))
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
        "saturation": saturated.sum() / can.sum() if can.any() else math.nan,
        "dead_units": float(np.mean(np.ptp(hidden, axis=0) <= 1e-6)),
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
