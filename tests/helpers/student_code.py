"""Backpropagation as students write it: in every style, right or with mistakes planted. It shares
no code with fastbp.

A `Student` is a function (W, b, x, t) that takes only shapes of its own style, as NumPy would, and
works sample by sample.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


def sigma(z):
    return 1 / (1 + np.exp(-z))


def prime(a):
    return a * (1 - a)


def _chosen(wrong, forms, right):
    """The form of the first mistake in `forms` that this student makes, or the right form."""
    return next((forms[word] for word in forms if word in wrong), right)


AFTERWARDS: dict[str, Callable[[list[Any], list[Any], int], Any]] = {
    "no db": lambda dW, db, rows: (dW, [0 * d for d in db]),
    "no last db": lambda dW, db, rows: (dW, [*db[:-1], 0 * db[-1]]),
    "hidden sign": lambda dW, db, rows: ([-dW[0], *dW[1:]], [-db[0], *db[1:]]),
    "mean of db": lambda dW, db, rows: (dW, [d / rows for d in db]),
    "reshaped": lambda dW, db, rows: ([d.T.reshape(d.shape) for d in dW], db),
    "turned": lambda dW, db, rows: ([d.T.copy() for d in dW], db),
    "one turned": lambda dW, db, rows: ([dW[0].T.copy(), *dW[1:]], db),
}
"""Mistakes that are made with the gradients of all layers, summed over rows."""


def backprop(W, b, X, T, wrong=frozenset(), loss="squared", lr=0.1, dtype=np.float64):
    """[dW of each layer], [db of each layer], summed over samples; W[out, in], X and T lists of
    vectors."""
    W, b = [w.astype(dtype) for w in W], [v.astype(dtype) for v in b]
    if "last row" in wrong:
        X, T = X[-1:], T[-1:]
    L, samples = len(W), []
    for x, t in zip(X, T, strict=True):
        z, a = [], [x.astype(dtype)]
        for k in range(L):
            forgotten = "no biases" in wrong or ("no output bias" in wrong and k == L - 1)
            z.append(W[k] @ a[-1] + (0 if forgotten else b[k]))
            a.append(sigma(z[-1]))
        samples.append((z, a, t.astype(dtype)))
    deltas = []
    for z, a, t in samples:
        o = a[-1]
        errors = {
            "no error": np.ones_like(o),
            "error squared": (o - t) ** 2 / 2,
            "error size": np.abs(o - t),
            "error summed": np.full_like(o, (o - t).sum()),
            "no target": o,
        }
        slopes = {
            "output squashed": prime(sigma(o)),
            "output sums": prime(z[-1]),
            "no output slope": 1.0,
            "output tanh slope": 1 - o**2,
            "output slope below mean": prime(a[-2]).mean(),
        }
        slope = _chosen(wrong, slopes, prime(o) if loss == "squared" else 1.0)
        deltas.append(_chosen(wrong, errors, o - t) * slope)
    for word, factor in {
        "twice": 2,
        "half": 0.5,
        "three": 3,
        "sign": -1,
        "mean": 1 / len(X),
        "mean twice": 2 / len(X),
        "mean of outputs": 1 / T[0].size,
        "mean of all": 1 / (len(X) * T[0].size),
    }.items():
        if word in wrong:
            deltas = [factor * delta for delta in deltas]
    dW, db = [None] * L, [None] * L
    for k in range(L - 1, -1, -1):
        inputs = [
            _chosen(
                wrong,
                {
                    "no inputs": np.ones_like(a[k]),
                    "sums as inputs": z[k - 1] if k else a[k],
                    "own outputs": a[k + 1],
                },
                a[k],
            )
            for z, a, _ in samples
        ]
        dW[k] = sum(np.outer(d, values) for d, values in zip(deltas, inputs, strict=True))
        sums = {
            "ones as db": np.full(len(b[k]), len(X), dtype),
            "inputs as db": np.full(len(b[k]), sum(values.sum() for values in inputs), dtype),
            "inputs in db": dW[k].sum(axis=1),
            "biases in db": sum(deltas) * b[k],
            "slope of b": sum(
                delta / prime(a[k + 1]) * prime(sigma(b[k]))
                for delta, (_, a, _) in zip(deltas, samples, strict=True)
            ),
        }
        db[k] = _chosen(wrong, sums, sum(deltas))
        if k == 0:
            break
        through = W[k] - lr * dW[k] if "changed" in wrong else W[k]
        through = through.T if "not transposed" in wrong else through
        new = []
        for delta, (z, a, t) in zip(deltas, samples, strict=True):
            carried = _chosen(
                wrong,
                {
                    "error carried": a[-1] - t if k == L - 1 else delta,
                    "outputs carried": a[k + 1],
                },
                delta,
            )
            back = (
                carried.sum() * np.ones_like(a[k]) if "no weights" in wrong else through.T @ carried
            )
            slopes = {
                "hidden tanh slope": 1 - a[k] ** 2,
                "hidden ReLU slope": 1.0 * (z[k - 1] > 0),
                "slope squared": prime(a[k]) ** 2,
                "slope is a": a[k],
                "slope below mean": prime(a[k - 1]).mean(),
                "slope mean": prime(a[k]).mean(),
                "slope above mean": prime(a[k + 1]).mean(),
                "slope of inputs": prime(a[0]),
                "slope of output": prime(a[-1]),
                "no hidden slope": 1.0,
                "no first slope": 1.0 if k == 1 else prime(a[k]),
                "hidden squashed": prime(sigma(a[k])),
                "hidden sums": prime(z[k - 1]),
                "slope above": prime(a[k + 1]),
                "slope below": prime(a[k - 1]),
            }
            new.append(back * _chosen(wrong, slopes, prime(a[k])))
        deltas = new
    for word, change in AFTERWARDS.items():
        if word in wrong:
            dW, db = change(dW, db, len(X))
    return dW, db


def _interleaved(dW, db):
    return [value for pair in zip(dW, db, strict=True) for value in pair]


RETURNS: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "dW, db": lambda dW, db: (dW, db),
    "db, dW": lambda dW, db: [db, dW],
    "W0 b0 W1 b1": _interleaved,
    "W0 W1 b0 b1": lambda dW, db: (*dW, *db),
    "pairs": lambda dW, db: list(zip(dW, db, strict=True)),
    "lists": lambda dW, db: ([d.tolist() for d in dW], [d.tolist() for d in db]),
    "tuples": lambda dW, db: tuple(
        (tuple(map(tuple, w.tolist())), tuple(v.tolist())) for w, v in zip(dW, db, strict=True)
    ),
    "from 0": lambda dW, db: {
        f"{k}{i}": v for k, values in (("W", dW), ("b", db)) for i, v in enumerate(values)
    },
    "from 1": lambda dW, db: {
        f"d{k}{i + 1}": v for k, values in (("W", dW), ("b", db)) for i, v in enumerate(values)
    },
    "named": lambda dW, db: {"weights": dW, "biases": db},
    "W1 b1 W0 b0": lambda dW, db: _interleaved(dW[::-1], db[::-1]),
    "one row": lambda dW, db: np.concatenate([np.ravel(values) for values in _interleaved(dW, db)]),
    "dictionaries": lambda dW, db: {
        f"layer {i}": {"dW": w, "db": v} for i, (w, v) in enumerate(zip(dW, db, strict=True))
    },
    "zip": lambda dW, db: zip(dW, db, strict=True),
}
STEPS = ("in place", "in place, slices", "new weights")


@dataclass(frozen=True)
class Student:
    out_in: bool = True
    lie: str = "flat"
    """How vectors lie: flat, column, row."""
    returns: str = "dW, db"
    """A key of RETURNS, or one of STEPS."""
    wrong: frozenset[str] = frozenset()
    loss: str = "squared"
    lr: float = 0.1
    bias: bool = True
    dtype: Any = np.float64

    def but(self, *wrong: str, **changes: Any) -> "Student":
        return replace(self, wrong=frozenset(wrong), **changes)

    def __call__(self, W, *rest):
        b, x, t = rest if self.bias else ([], *rest)
        square = [w if self.out_in else w.T for w in W]
        for v in b:
            self._vector(v, v.size)
        vectors = [v.ravel() for v in b] or [np.zeros(len(w)) for w in square]
        X, T = self._samples(x, square[0].shape[1]), self._samples(t, len(square[-1]))
        for w, before in zip(square[1:], square, strict=False):
            if w.shape[1] != len(before):
                raise ValueError("matmul: shapes do not fit")
        dW, db = backprop(square, vectors, X, T, self.wrong, self.loss, self.lr, self.dtype)
        dW = [d if self.out_in else d.T for d in dW]
        db = [self._lying(d) for d in db] if self.bias else []
        if self.returns == "in place":
            for values, change in zip([*W, *b], [*dW, *db], strict=True):
                values[...] = values - self.lr * change
            return None
        if self.returns == "in place, slices":
            W[:] = [w - self.lr * d for w, d in zip(W, dW, strict=True)]
            b[:] = [v - self.lr * d for v, d in zip(b, db, strict=True)]
            return W, b or None
        if self.returns == "new weights":
            dW, db = self._stepped(W, dW), self._stepped(b, db)
        if not self.bias:
            return dW
        return RETURNS.get(self.returns, RETURNS["dW, db"])(dW, db)

    @property
    def steps(self) -> bool:
        return self.returns in STEPS

    def _lying(self, v):
        return {"flat": v, "column": v.reshape(-1, 1), "row": v.reshape(1, -1)}[self.lie]

    def _stepped(self, values, changes):
        lr = np.array(self.lr, self.dtype)
        return [v.astype(self.dtype) - lr * d for v, d in zip(values, changes, strict=True)]

    def _vector(self, v, n):
        if v.shape != {"flat": (n,), "column": (n, 1), "row": (1, n)}[self.lie]:
            raise ValueError(f"operands could not be broadcast together: {v.shape}")

    def _samples(self, values, n) -> Iterable[np.ndarray]:
        if values.ndim == 1:
            self._vector(values, n)
            return [values]
        rows = values.T if self.lie == "column" else values
        if rows.ndim != 2 or rows.shape[1] != n or (self.lie == "flat" and len(rows) == 1):
            raise ValueError(f"matmul: {values.shape}")
        return list(rows)
