import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest
from commands import raising
from stores import tree

from fastbp.engine.executor_map import Pool, completed
from fastbp.engine.machine import available_cores
from fastbp.schema.errors import LostError


def nothing() -> None:
    pass


def done(
    threads: int,
    work: Callable[[Any], Any],
    tasks: Any,
    tick: Callable[[], Any] = nothing,
    at_once: int = 2,
) -> dict[Any, Any]:
    """The result of each task, or its error, in the order in which they come back."""
    with ThreadPoolExecutor(threads) as pool:
        pairs = completed(Pool(lambda: pool, 1, at_once), work, tasks, tick, seconds=0.001)
        return {task: future.exception() or future.result() for task, future in pairs}


class Recorder(Executor):
    """An executor that finishes nothing by itself: `finish` completes one task, the latest
    first."""

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
    assert done(3, lambda n: n * n, range(200), at_once=4) == {n: n * n for n in range(200)}


def test_no_tasks_is_no_work():
    assert done(1, str, []) == {}


@pytest.mark.parametrize("at_once", [1, 2, 5])
def test_tasks_are_drawn_as_there_is_room(at_once):
    """A plan of any length costs no memory: what is drawn and not yet given back is never more than
    what is in flight."""
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
    work = {"first": lambda: last_is_done.wait(30), "last": last_is_done.set}
    found = done(2, lambda task: work.get(task, nothing)(), ["first", "second", "third", "last"])
    assert (list(found)[:2], found["first"]) == (["second", "third"], True)


def test_ticks_go_on_while_nothing_is_ready():
    ticks = 0
    enough = threading.Event()

    def tick() -> None:
        nonlocal ticks
        ticks += 1
        if ticks == 5:
            enough.set()

    assert done(1, lambda _: enough.wait(30), [1], tick, at_once=1) == {1: True}
    assert ticks >= 5


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_a_tick_raises_ends_the_map_and_draws_no_more(error):
    pool = Recorder()
    tasks = iter(range(100))

    with pytest.raises(error):
        list(completed(Pool(lambda: pool, 1, 2), str, tasks, raising(error()), seconds=0.001))
    assert next(tasks) == 2, "two were in flight"


def test_an_error_stays_with_its_task():
    def work(n: int) -> int:
        if n % 3 == 0:
            raise ArithmeticError(n)
        return n

    found = done(2, work, range(9))
    errors = {n: found.pop(n) for n in (0, 3, 6)}
    assert found == {n: n for n in (1, 2, 4, 5, 7, 8)}
    assert all(type(each) is ArithmeticError and each.args == (n,) for n, each in errors.items())


def test_an_executor_that_takes_nothing_says_so():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        list(completed(Pool(lambda: pool, 1, 1), str, [1], nothing))


# Workers that are lost


class DeadError(Exception):
    pass


class Mortal(Executor):
    """Does at once what it is told, until something kills it; then it is of no use, as a pool of
    processes that lost one."""

    def __init__(self, deadly: Callable[[Any], bool], made: list["Mortal"]) -> None:
        self.deadly, self.broken, self.pending = deadly, False, []
        made.append(self)

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        if self.broken:
            raise BrokenExecutor("a worker died")
        future: Future[Any] = Future()
        self.pending.append((future, function, arguments))
        return future

    def work(self) -> None:
        """Do what is pending; a deadly task takes with it all that is."""
        if any(self.deadly(arguments[0]) for _, _, arguments in self.pending):
            self.broken = True
        for future, function, arguments in self.pending:
            if self.broken:
                future.set_exception(BrokenExecutor("a worker died"))
            else:
                try:
                    future.set_result(function(*arguments))
                except Exception as error:
                    future.set_exception(error)
        self.pending = []


def working(made: list[Any]) -> Callable[[], None]:
    """A tick at which the newest executor works."""

    def tick() -> None:
        made[-1].work()

    return tick


def outcomes(
    deadly: Callable[[Any], bool],
    tasks: Any,
    at_once: int = 3,
    function: Callable[[Any], Any] = str,
):
    """What comes back of tasks, and how many executors it took."""
    made: list[Mortal] = []
    pool = Pool(lambda: Mortal(deadly, made), 1, at_once, end=lambda executor: None)
    found = [
        (task, future.exception() or future.result())
        for task, future in completed(pool, function, tasks, working(made), seconds=0.001)
    ]
    return found, len(made)


def test_what_kills_its_worker_is_tried_four_times_and_the_rest_completes():
    tried: list[int] = []

    def deadly(task: int) -> bool:
        tried.append(task)
        return task == 4

    found, made = outcomes(deadly, range(30))
    assert sorted(task for task, _ in found) == list(range(30)), "each once"
    (poison,) = [(task, error) for task, error in found if isinstance(error, LostError)]
    assert poison[0] == 4
    assert "lost 4 times, the last time without other tasks: BrokenExecutor: a worker died" in str(
        poison[1]
    )
    assert (dict(found)[5], tried.count(4)) == ("5", 4)
    assert [task for task, _ in found[-3:]] == [3, 4, 5], (
        "each by itself, at the end: nobody knows whose doing it was"
    )
    assert made == 5


def test_a_worker_that_dies_once_is_no_matter():
    deaths = iter([False] * 7 + [True] + [False] * 1000)
    found, made = outcomes(lambda task: next(deaths), range(30))
    assert (sorted(found), made) == ([(n, str(n)) for n in range(30)], 2)


def test_workers_that_always_die_end_the_map():
    with pytest.raises(
        LostError, match="workers were lost 11 times in a row: BrokenExecutor: a worker died"
    ):
        outcomes(lambda task: True, iter(int, 1))


def test_workers_that_cannot_be_started_end_the_map():
    start = raising(OSError("no such host\nat all"))
    with pytest.raises(LostError, match=r"^no workers can be started: OSError: no such host$"):
        list(completed(Pool(start, 1, 2), str, [1], nothing))


def test_what_finds_no_memory_is_tried_again_with_nothing_beside_it():
    tried: list[int] = []

    def work(task: int) -> int:
        tried.append(task)
        if task == 2 or (task == 1 and tried.count(1) == 1):
            raise MemoryError
        return task

    found, made = outcomes(lambda task: False, range(6), function=work)
    assert (made, {task for task, _ in found[-2:]}, dict(found)[1]) == (1, {1, 2}, 1)
    assert isinstance(dict(found)[2], MemoryError)
    assert tried.count(2) == 2


def test_a_lost_task_of_a_pool_that_lives_is_tried_again_in_it():
    made: list[Mortal] = []
    pool = Pool(
        lambda: Mortal(lambda task: False, made), 1, 3, end=lambda executor: None, lost=(DeadError,)
    )
    seen: list[int] = []

    def work(task: int) -> int:
        seen.append(task)
        if task == 3 and seen.count(3) < 3:
            raise DeadError
        return task

    results = completed(pool, work, range(10), working(made), seconds=0.001)
    assert sorted(future.result() for _, future in results) == list(range(10))
    assert (len(made), seen.count(3)) == (1, 3)


class Hanging(Executor):
    """Answers a task when it is told to, or never."""

    def __init__(self, clock: list[float], seconds: Callable[[Any], float]) -> None:
        self.clock, self.seconds, self.pending = clock, seconds, []

    def submit(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.pending.append((self.clock[0] + self.seconds(arguments[0]), future, arguments[0]))
        return future

    def work(self) -> None:
        self.clock[0] += 1.0
        for item in list(self.pending):
            if item[0] <= self.clock[0]:
                self.pending.remove(item)
                item[1].set_result(item[2])


def answers(seconds: Callable[[Any], float], tasks: Any, size: Callable[[Any], float], **keys: Any):
    clock = [0.0]
    made: list[Hanging] = []

    def start() -> Executor:
        made.append(Hanging(clock, seconds))
        return made[-1]

    pool = Pool(start, 2, 2, end=lambda executor: None, **keys)
    results = completed(
        pool, str, tasks, working(made), size=size, seconds=0.0, clock=lambda: clock[0]
    )
    return (
        [(task, future.exception() or future.result()) for task, future in results],
        len(made),
        clock[0],
    )


def test_a_task_that_hangs_is_given_up_by_the_speed_of_others():
    """They take 5 s for size 1, so this one, of size 10, has 20 × 50 s, four times."""
    found, made, seconds = answers(
        lambda task: 1e9 if task == 3 else 5.0, range(20), lambda task: 10.0 if task == 3 else 1.0
    )
    assert len(found) == 20
    (lost,) = [(task, error) for task, error in found if isinstance(error, LostError)]
    assert lost[0] == 3
    assert "far longer than others" in str(lost[1])
    assert made == 4
    assert 4000 < seconds < 5000


def test_a_slow_task_is_no_hanging_one():
    found, made, _ = answers(lambda task: 5.0 * task, range(1, 30), float)
    assert (sorted(found), made) == ([(n, n) for n in range(1, 30)], 1)


def test_where_nothing_is_known_of_the_speed_patience_is_long_and_in_a_queue_without_end():
    found, _, seconds = answers(lambda task: 1e5, [0], lambda task: 1.0, in_queue=True)
    assert (found, seconds) == ([(0, 0)], 1e5 + 1)
    (lost,), _, seconds = answers(lambda task: 1e9, [0], lambda task: 1.0)
    assert isinstance(lost[1], LostError)
    assert 3600 < seconds < 3700


# Cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)


V2 = "proc/self/cgroup"


@pytest.mark.usefixtures("eight_cores")
@pytest.mark.parametrize(
    ("files", "cores"),
    [
        pytest.param({}, 8, id="no control groups"),
        pytest.param(
            {V2: "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2 in a container"
        ),
        pytest.param(
            {V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "150000 100000\n"}, 2, id="v2 rounds up"
        ),
        pytest.param(
            {V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "1000 100000\n"},
            1,
            id="v2 never less than one",
        ),
        pytest.param(
            {V2: "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "max 100000\n"},
            8,
            id="v2 without a quota",
        ),
        pytest.param(
            {V2: "0::/a\n", "sys/fs/cgroup/a/cpu.max": "1600000 100000\n"},
            8,
            id="v2 with more than there is",
        ),
        pytest.param(
            {
                V2: "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "max 100000\n",
                "sys/fs/cgroup/a/cpu.max": "300000 100000\n",
            },
            3,
            id="v2 quota of the group above",
        ),
        pytest.param(
            {
                V2: "0::/a/b\n",
                "sys/fs/cgroup/a/b/cpu.max": "200000 100000\n",
                "sys/fs/cgroup/a/cpu.max": "500000 100000\n",
            },
            2,
            id="v2 tightest of all",
        ),
        pytest.param(
            {V2: "0::/a\n", "sys/fs/cgroup/b/cpu.max": "100000 100000\n"},
            8,
            id="v2 quota of somebody else",
        ),
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
        pytest.param(
            {V2: "0::/a\n", "sys/fs/cgroup/a/cpu.max": "many\n"}, 8, id="a file that says nothing"
        ),
        pytest.param({V2: "what is this\n"}, 8, id="groups that say nothing"),
    ],
)
def test_cores_are_bounded_by_control_groups(tmp_path, files, cores):
    assert available_cores(tree(tmp_path, files)) == cores


def test_cores_are_bounded_by_affinity(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 5}, raising=False)
    assert available_cores(tmp_path) == 2
    assert (
        available_cores(tree(tmp_path, {V2: "0::/\n", "sys/fs/cgroup/cpu.max": "100000 100000\n"}))
        == 1
    )


def test_cores_where_there_is_no_affinity(monkeypatch, tmp_path):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert available_cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert available_cores(tmp_path) == 1


def test_there_is_a_core_here():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
