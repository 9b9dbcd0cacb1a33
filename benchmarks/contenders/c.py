"""Hand-written C with vector instructions: the limit. Not written yet, so it is skipped in words."""

from benchmarks.contenders.job import Contender, Job


def skipped(job: Job) -> str | None:
    """Why there is nothing to time."""
    return "not written yet"


def difference(job: Job) -> float:
    """How far its weights are from fastbp's."""
    raise NotImplementedError


def prepare(job: Job) -> Contender:
    """Nothing yet."""
    raise NotImplementedError
