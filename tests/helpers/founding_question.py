"""The two programs of the founding question, as people write them on a question-and-answer site.

In both, the step of the loop is a function of its own: what `fastbp.check_gradients` is given.
"""

# Written as people write it, NumPy's global generator included.
# ruff: noqa: NPY002, B905

import random

import numpy as np

# The asker's: row vectors, W[in, out], one variable per layer unpacked and packed again.


def sigmoid(x):
    return 1.0 / (1.0 + np.exp(-x))


def sigmoid_derivative(y):
    return y * (1.0 - y)


def asker_step(weights, biases, x, y, learning_rate=0.2):
    w1, w2 = weights
    b1, b2 = biases

    hidden = sigmoid(np.dot(x, w1) + b1)
    output = sigmoid(np.dot(hidden, w2) + b2)

    output_delta = (output - y) * sigmoid_derivative(output)
    hidden_delta = np.dot(output_delta, w2.T) * sigmoid_derivative(hidden)

    w2 = w2 - learning_rate * np.dot(hidden.T, output_delta)
    b2 = b2 - learning_rate * output_delta
    w1 = w1 - learning_rate * np.dot(x.T, hidden_delta)
    b1 = b1 - learning_rate * hidden_delta
    return [w1, w2], [b1, b2]


def asker(updates=999):
    X = np.array(
        [[0, 0, 0], [0, 0, 1], [0, 1, 0], [0, 1, 1], [1, 0, 0], [1, 0, 1], [1, 1, 0], [1, 1, 1]]
    )
    Y = np.array([[1], [1], [1], [0], [1], [0], [1], [1]])
    weights = [np.random.randn(3, 4), np.random.randn(4, 1)]
    biases = [np.random.randn(1, 4), np.random.randn(1, 1)]
    for _ in range(updates):
        i = np.random.randint(len(X))
        weights, biases = asker_step(weights, biases, X[i : i + 1], Y[i : i + 1])
    return sigmoid(np.dot(sigmoid(np.dot(X, weights[0]) + biases[0]), weights[1]) + biases[1])


# The answerer's: lists of arrays, W[out, in], columns, everything changed in place.


def answerer_step(W, B, x, t, lr=0.1):
    # forward
    A = [x]
    for w, b in zip(W, B):
        A.append(1 / (1 + np.exp(-(w @ A[-1] + b))))
    # all deltas first, with the old weights
    D = [(A[-1] - t) * A[-1] * (1 - A[-1])]
    for i in range(len(W) - 1, 0, -1):
        D.insert(0, W[i].T @ D[0] * A[i] * (1 - A[i]))
    # then the update
    for i in range(len(W)):
        W[i] -= lr * D[i] @ A[i].T
        B[i] -= lr * D[i]


def answerer(epochs=999):
    rows = [[int(c) for c in f"{i:03b}"] for i in range(8)]
    targets = [1, 1, 1, 0, 1, 0, 1, 1]
    data = [
        (np.array(r, float).reshape(3, 1), np.array([[t]], float)) for r, t in zip(rows, targets)
    ]
    W = [np.random.normal(size=(4, 3)), np.random.normal(size=(1, 4))]
    B = [np.random.normal(size=(4, 1)), np.random.normal(size=(1, 1))]
    for _ in range(epochs):
        random.shuffle(data)
        for x, t in data:
            answerer_step(W, B, x, t)
    outputs = []
    for r in rows:
        a = np.array(r, float).reshape(3, 1)
        for w, b in zip(W, B):
            a = 1 / (1 + np.exp(-(w @ a + b)))
        outputs.append(a.item())
    return outputs
