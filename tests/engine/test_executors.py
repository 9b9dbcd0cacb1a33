import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fastbp.engine.cores import available_cores
from fastbp.engine.executors import Pool, completed


def nothing() -> None:
    pass


class Recorder(Executor):
    """An executor that finishes nothing by itself: `finish` completes one task, the latest first."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[..., Any], Any]] = []
        self.most = 0

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, function, arguments))
        self.most = max(self.most, len(self.waiting))
        return future

    def finish(self) -> None:
        if self.waiting:
            future, function, arguments = self.waiting.pop()
            future.set_result(function(*arguments))


def test_every_task_comes_back_once_with_its_result():
    with ThreadPoolExecutor(3) as pool:
        found = {
            task: future.result() for task, future in completed(Pool(lambda: pool, 1, 4), lambda n: n * n, range(200), nothing)
        }
    assert found == {n: n * n for n in range(200)}


def test_no_tasks_is_no_work():
    with ThreadPoolExecutor(1) as pool:
        assert list(completed(Pool(lambda: pool, 1, 2), str, [], nothing)) == []


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_tasks_are_drawn_as_there_is_room(at_once):
    """A plan of any length costs no memory: what is drawn and not yet given back is never more than what is in flight."""
    drawn = back = 0
    pool = Recorder()

    def tasks() -> Iterator[int]:
        nonlocal drawn
        for n in range(30):
            drawn += 1
            assert drawn - back <= at_once
            yield n

    for _ in completed(Pool(lambda: pool, 1, at_once), str, tasks(), pool.finish, seconds=0.001):
        back += 1
    assert (drawn, back, pool.most) == (30, 30, at_once)


def test_an_endless_plan_can_be_left():
    with ThreadPoolExecutor(2) as pool:
        results = completed(Pool(lambda: pool, 1, 3), lambda n: n, iter(int, 1), nothing)
        assert [next(results)[0] for _ in range(10)] == [0] * 10
        results.close()


def test_results_come_as_they_are_ready():
    last_is_done = threading.Event()

    def work(task: str) -> str:
        if task == "first":
            assert last_is_done.wait(30)
        return task

    order = []
    with ThreadPoolExecutor(2) as pool:
        for task, _ in completed(Pool(lambda: pool, 1, 2), work, ["first", "second", "third", "last"], nothing):
            order.append(task)
            if task == "last":
                last_is_done.set()
    assert order == ["second", "third", "last", "first"]


def test_ticks_go_on_while_nothing_is_ready():
    ticks = 0
    enough = threading.Event()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 5:
            enough.set()

    with ThreadPoolExecutor(1) as pool:
        assert len(list(completed(Pool(lambda: pool, 1, 1), lambda _: enough.wait(30), [1], tick, seconds=0.001))) == 1
    assert ticks >= 5


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_tick_raises_ends_the_map_and_draws_no_more(error):
    pool = Recorder()
    tasks = iter(range(100))

    def tick() -> None:
        raise error

    with pytest.raises(error):
        list(completed(Pool(lambda: pool, 1, 2), str, tasks, tick, seconds=0.001))
    assert next(tasks) == 2, "two were in flight"


def test_an_error_stays_with_its_task():
    def work(n: int) -> int:
        if n % 3 == 0:
            raise ArithmeticError(n)
        return n

    with ThreadPoolExecutor(2) as pool:
        errors = {task: future.exception() for task, future in completed(Pool(lambda: pool, 1, 2), work, range(9), nothing)}
    assert {task for task, error in errors.items() if error} == {0, 3, 6}
    assert all(isinstance(errors[n], ArithmeticError) and errors[n].args == (n,) for n in (0, 3, 6))


def test_an_executor_that_takes_nothing_says_so():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        list(completed(Pool(lambda: pool, 1, 1), str, [1], nothing))


# Cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V2 = "proc/self/cgroup"


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="no control groups"),
        pytest.param({V2: "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2 in a container"),
        pytest.param({V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 2, id="v2 rounds up"),
        pytest.param({V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "1000 100000\n"}, 1, id="v2 never less than one"),
        pytest.param({V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"}, 8, id="v2 without a quota"),
        pytest.param({V2: "0::/a\n", "sys/fs/cgroup/a/cpu.max": "1600000 100000\n"}, 8, id="v2 with more than there is"),
        pytest.param(
            {V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n", "sys/fs/cgroup/a/cpu.max": "300000 100000\n"},
            3,
            id="v2 quota of the group above",
        ),
        pytest.param(
            {V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n", "sys/fs/cgroup/a/cpu.max": "500000 100000\n"},
            2,
            id="v2 tightest of all",
        ),
        pytest.param({V2: "0::/a\n", "sys/fs/cgroup/b/cpu.max": "100000 100000\n"}, 8, id="v2 quota of somebody else"),
        pytest.param(
            {
                V2: "5:memory:/x\n4:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            4,
            id="v1",
        ),
        pytest.param(
            {
                V2: "4:cpu,cpuacct:/docker/1f2e\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "250000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
            id="v1 in a container",
        ),
        pytest.param(
            {
                V2: "4:cpu,cpuacct:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="v1 without a quota",
        ),
        pytest.param(
            {
                V2: "4:cpuset:/x\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "100000\n",
                "sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000\n",
            },
            8,
            id="v1 of another controller",
        ),
        pytest.param({V2: "0::/a\n", "sys/fs/cgroup/a/cpu.max": "many\n"}, 8, id="a file that says nothing"),
        pytest.param({V2: "what is this\n"}, 8, id="groups that say nothing"),
    ],
)
def test_cores_are_bounded_by_control_groups(tmp_path, files, cores):
    assert available_cores(tree(tmp_path, files)) == cores


def test_cores_are_bounded_by_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    assert available_cores(tmp_path) == 2
    assert available_cores(tree(tmp_path, {V2: "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"})) == 1


def test_cores_where_there_is_no_affinity(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1


def test_there_is_a_core_here():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
