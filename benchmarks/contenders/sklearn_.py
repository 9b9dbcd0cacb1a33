"""scikit-learn's `MLPClassifier`: stochastic gradient descent without momentum and decay, one
network at a time.

Its loss is the cross-entropy, averaged over the batch, with outputs of independent sigmoids: one,
or one for each of several labels. Initial weights can be set. The order of its rows cannot, so it
is checked twice: with rows as listed by its weights, and with shuffled ones, for one of the
workloads, by whether its final losses over many seeds could be fastbp's.
"""

import warnings

import numpy as np
from scipy.stats import ks_2samp
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from benchmarks.contenders.job import Contender, Job, Weights, largest_difference, repeated
from benchmarks.workloads import KS_EPOCHS, KS_MIN_P, LOG_LOSS_RATE

warnings.simplefilter(
    "ignore", ConvergenceWarning
)  # max_iter ends it before it has converged, on purpose


class Classifiers:
    """`MLPClassifier`s on the rows of a job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.T = job.T.astype(int)
        if self.T.shape[1] == 1:
            self.T = self.T[:, 0]

    def start(self, shuffle: bool, seed: int, weights) -> MLPClassifier:
        """One with these weights."""
        job = self.job
        network = MLPClassifier(
            (job.hidden,),
            activation="logistic",
            solver="sgd",
            alpha=0.0,
            batch_size=job.batch,
            momentum=0.0,
            nesterovs_momentum=False,
            learning_rate_init=1e-30,
            max_iter=1,
            tol=0.0,
            n_iter_no_change=2**31,
            shuffle=shuffle,
            random_state=seed,
            warm_start=True,
        )
        network.fit(job.X, self.T)  # makes all the attributes, and moves nothing at such a rate
        w1, b1, w2, b2 = weights
        network.coefs_, network.intercepts_ = [w1.T.copy(), w2.T.copy()], [b1.copy(), b2.copy()]
        return network.set_params(learning_rate_init=LOG_LOSS_RATE)

    def train(self, network: MLPClassifier, epochs: int) -> MLPClassifier:
        """Train it."""
        return network.set_params(max_iter=epochs).fit(self.job.X, self.T)

    def loss(self, network: MLPClassifier) -> float:
        """Cross-entropy of a network with one output, a row."""
        p = network.predict_proba(self.job.X)[:, 1]
        return -float(np.mean(np.where(self.T == 1, np.log(p), np.log1p(-p))))


def difference(job: Job) -> float:
    """How far its weights are from fastbp's, or infinite where its final losses are not alike."""
    classifiers, ends = Classifiers(job), []
    epochs = max(1, job.rows.shape[1] * job.batch // len(job.X))
    for weights in zip(*job.start, strict=True):
        network = classifiers.train(classifiers.start(False, 0, weights), epochs)
        (w1, w2), (b1, b2) = network.coefs_, network.intercepts_
        ends.append((w1.T, b1, w2.T, b2))
    far = largest_difference(Weights(*map(np.array, zip(*ends, strict=True))), job.log_loss_end)
    return far if alike(job, classifiers) else np.inf


def alike(job: Job, classifiers: Classifiers) -> bool:
    """Whether losses after shuffled epochs could come from where fastbp's come from; from these
    seeds, other orders."""
    starts = enumerate(zip(*job.losses_start, strict=True))
    losses = [
        classifiers.loss(classifiers.train(classifiers.start(True, seed, weights), KS_EPOCHS))
        for seed, weights in starts
    ]
    return not losses or float(ks_2samp(losses, job.losses).pvalue) > KS_MIN_P


def prepare(job: Job) -> Contender:
    """One network, some epochs; making the object is not in the time."""
    per_epoch = len(job.X) // job.batch
    epochs = max(1, min(job.updates, 1_000) // per_epoch)
    classifiers = Classifiers(job)
    (weights,) = zip(*job.draw_weights(1), strict=True)
    network = classifiers.start(job.order != "cyclic", 0, weights)
    return repeated(1, epochs * per_epoch, lambda: classifiers.train(network, epochs))
