"""Threads: one hop there and back, whatever is raised comes back, and nobody waits for a thread that hangs."""

import asyncio
import gc
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from ripresa.errors import RipresaError
from ripresa.executors.threads import Threads
from tests.executors.polling import until


@pytest.fixture
def threads() -> Iterator[Threads]:
    pool = Threads(2)
    yield pool
    pool.close()


class Hanging:
    """A function that hangs until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self) -> str:
        self.thread = threading.current_thread()
        self.begun.set()
        assert self.go.wait(10)
        return "let go"

    async def has_begun(self) -> None:
        await until(self.begun.is_set)


def fail(error: BaseException) -> None:
    raise error


def running() -> int:
    return sum(thread.name.startswith("ripresa-step-") for thread in threading.enumerate())


async def no_more_than(count: int) -> None:
    await until(lambda: running() <= count)


async def test_a_function_runs_in_a_named_daemon_thread(threads: Threads) -> None:
    thread = await threads.run(threading.current_thread)
    assert thread.name.startswith("ripresa-step-")
    assert thread.daemon


async def test_threads_are_used_again(threads: Threads) -> None:
    first = await threads.run(threading.get_ident)
    assert {await threads.run(threading.get_ident) for _ in range(20)} <= {first}


async def test_no_more_threads_run_than_allowed_and_all_functions_do(threads: Threads) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(number: int) -> int:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.0005)
        with lock:
            now -= 1
        return number

    assert await asyncio.gather(*(threads.run(partial(work, n)) for n in range(50))) == list(range(50))
    assert most == 2


class Odd(BaseException):
    pass


@pytest.mark.parametrize("error", [ValueError("no"), Odd("odd"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
async def test_any_exception_comes_back_as_it_is(threads: Threads, error: BaseException) -> None:
    with pytest.raises(type(error)) as caught:
        await threads.run(partial(fail, error))
    assert caught.value is error


async def test_a_stop_iteration_comes_back_in_a_runtime_error(threads: Threads) -> None:
    with pytest.raises(RuntimeError) as caught:
        await threads.run(partial(fail, StopIteration(1)))
    assert isinstance(caught.value.__cause__, StopIteration)


async def test_a_function_that_raises_cancelled_is_not_abandoned(threads: Threads) -> None:
    with pytest.raises(asyncio.CancelledError):
        await threads.run(partial(fail, asyncio.CancelledError()))
    assert await threads.run(lambda: 1) == 1


class Thing(Exception):
    pass


def fail_anew() -> None:
    raise Thing


async def test_nothing_is_kept_of_what_has_ended_not_even_in_a_cycle(threads: Threads) -> None:
    async def use() -> list[weakref.ref[Thing]]:
        made = await threads.run(Thing)
        try:
            await threads.run(fail_anew)
        except Thing as raised:
            return [weakref.ref(made), weakref.ref(raised)]
        raise AssertionError

    gc.disable()
    try:
        left = await use()
        await threads.run(lambda: None)
        await until(lambda: all(thing() is None for thing in left))  # the thread lets go a moment later
    finally:
        gc.enable()


async def test_a_hung_thread_is_abandoned_and_another_takes_its_place(threads: Threads) -> None:
    hung = [Hanging(), Hanging(), Hanging(), Hanging()]
    for pair in (hung[:2], hung[2:]):
        tasks = [asyncio.create_task(threads.run(function)) for function in pair]
        await asyncio.gather(*(function.has_begun() for function in pair))
        waiting = asyncio.create_task(threads.run(lambda: "next"))
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        assert await waiting == "next"
        assert all(task.cancelled() for task in tasks)
    for function in hung:
        function.go.set()
    for function in hung:
        assert function.thread is not None
        function.thread.join(10)
    assert await asyncio.gather(*(threads.run(lambda: 1) for _ in range(10))) == [1] * 10
    assert running() <= 2


async def test_a_function_that_is_given_up_before_its_turn_never_runs() -> None:
    threads = Threads(1)
    hanging, ran = Hanging(), []
    first = asyncio.create_task(threads.run(hanging))
    await hanging.has_begun()
    second = asyncio.create_task(threads.run(lambda: ran.append(2)))
    third = asyncio.create_task(threads.run(lambda: ran.append(3)))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.wait([second])
    hanging.go.set()
    assert await first == "let go"
    await third
    assert ran == [3]
    threads.close()


async def test_an_outcome_that_comes_together_with_the_cancellation_is_dropped(threads: Threads) -> None:
    hanging = Hanging()
    task = asyncio.create_task(threads.run(hanging))
    await hanging.has_begun()
    hanging.go.set()
    assert hanging.thread is not None
    time.sleep(0.02)  # noqa: ASYNC251 - the loop must not see the outcome yet
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await threads.run(lambda: 1) == 1


async def test_a_closed_pool_takes_nothing_and_its_threads_end() -> None:
    before = running()
    threads = Threads()
    await threads.run(lambda: 1)
    threads.close()
    with pytest.raises(RipresaError) as caught:
        await threads.run(lambda: 2)
    assert caught.value.code == "closed"
    await no_more_than(before)


async def test_what_waits_when_the_pool_is_closed_still_runs_even_behind_a_thread_that_hangs() -> None:
    before = running()
    threads = Threads(1)
    hanging = Hanging()
    first = asyncio.create_task(threads.run(hanging))
    await hanging.has_begun()
    second = asyncio.create_task(threads.run(lambda: 2))
    await asyncio.sleep(0)
    threads.close()
    first.cancel()
    assert await second == 2
    hanging.go.set()
    await no_more_than(before)


def test_a_loop_that_is_closed_is_no_concern_of_the_thread(threads: Threads) -> None:
    hanging = Hanging()

    async def leave() -> None:
        task = asyncio.ensure_future(threads.run(hanging))
        await hanging.has_begun()
        task.add_done_callback(lambda _: None)
        kept.append(task)

    kept: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.run_until_complete(leave())
    task = kept[0]
    task._log_destroy_pending = False
    loop.close()
    hanging.go.set()
    assert asyncio.run(threads.run(lambda: "another loop")) == "another loop"


async def test_a_thread_that_cannot_be_started_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = Threads(2)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda self: fail(RuntimeError("can't start new thread")))
        with pytest.raises(RipresaError, match="can't start new thread") as caught:
            await threads.run(lambda: 1)
        assert caught.value.code == "not_available"
    hanging = Hanging()
    first = asyncio.create_task(threads.run(hanging))
    await hanging.has_begun()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", lambda self: fail(RuntimeError("can't start new thread")))
        second = asyncio.create_task(threads.run(lambda: 2))
        await asyncio.sleep(0)
        hanging.go.set()
        assert await second == 2  # the one thread that there is has done it
    assert await first == "let go"
    threads.close()


def test_the_end_of_the_program_waits_for_no_thread() -> None:
    program = (
        "import asyncio, time\n"
        "from ripresa.executors.threads import Threads\n"
        "async def main():\n"
        "    try:\n"
        "        async with asyncio.timeout(0.05):\n"
        "            await Threads().run(lambda: time.sleep(100))\n"
        "    except TimeoutError:\n"
        "        print('timeout')\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True)
    assert (done.stdout, done.stderr) == ("timeout\n", "")
