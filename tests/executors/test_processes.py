"""Jobs in real child processes: one at a time in each, stopped by killing, and nobody is left behind."""

import asyncio
import errno
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ripresa.authoring.failures import failure_of
from ripresa.core.events import Failure
from ripresa.core.retry import type_key
from ripresa.errors import RipresaError, StepError
from ripresa.executors import processes as processes_module
from ripresa.executors import spawn
from ripresa.executors.processes import Job, Processes, ProcessFailure, target_of
from tests.executors import jobs
from tests.executors.polling import gone, is_known, said, until

CONTEXT = {"run": "r1", "workflow": "flow", "path": "a/b", "attempt": 3, "key": "r1/a/b", "deadline": None}


def job(fn: Any, *args: Any, **kwargs: Any) -> Job:
    from ripresa.authoring.parameters import Parameters
    from ripresa.authoring.step import Step

    parameters = fn.parameters if isinstance(fn, Step) else Parameters(fn)
    return Job(target_of(fn), parameters.encode(args, kwargs), CONTEXT)


async def done(processes: Processes, fn: Any, *args: Any, **kwargs: Any) -> Any:
    return json.loads(await processes.run(job(fn, *args, **kwargs)))


@pytest.fixture(scope="module")
async def single() -> AsyncIterator[Processes]:
    """One child for all tests, unless they kill it; then the next one starts another."""
    pool = Processes(1)
    yield pool
    await pool.close()


@pytest.fixture
async def fresh() -> AsyncIterator[Processes]:
    """For tests that need a child that has not begun yet, or leave one that others cannot use."""
    pool = Processes(2)
    yield pool
    await pool.close()


# --- jobs


async def test_a_step_runs_in_another_process(single: Processes) -> None:
    assert await done(single, jobs.mirrored, jobs.Point(1, 2), times=3) == {"x": 6, "y": 3}
    assert await done(single, jobs.mirrored_later, jobs.Point(1, 2)) == {"x": 2, "y": 1}
    assert await done(single, jobs.pid) != os.getpid()


async def test_a_child_is_used_again(single: Processes) -> None:
    assert len({await done(single, jobs.pid) for _ in range(10)}) == 1


async def test_many_jobs_at_once_share_the_children(fresh: Processes) -> None:
    assert await asyncio.gather(*(done(fresh, jobs.plain, n) for n in range(100))) == list(range(1, 101))
    assert len(fresh._children) <= 2


async def test_large_values_go_both_ways(single: Processes) -> None:
    text = "Moldau " * 1_500_000
    texts = await asyncio.gather(*(done(single, jobs.echo, text) for _ in range(2)))
    assert texts == [text, text]


async def test_a_step_knows_its_attempt_in_the_child(single: Processes) -> None:
    told = await done(single, jobs.told)
    assert (told["run"], told["workflow"], told["path"], told["attempt"]) == ("r1", "flow", "a/b", 3)
    assert (told["key"], told["deadline"]) == ("r1/a/b", None)


async def test_what_a_step_raises_comes_back_as_a_failure(single: Processes) -> None:
    with pytest.raises(ProcessFailure, match="the pump is broken") as caught:
        await done(single, jobs.fail, "the pump")
    failure = failure_of(caught.value)
    assert failure is caught.value.failure
    assert failure.types[0] == type_key(jobs.Broken)
    assert (failure.path, failure.attempt, failure.retryable) == ("a/b", 3, True)
    assert "in fail" in failure.traceback


async def test_a_failure_of_an_unknown_code_keeps_it() -> None:
    assert ProcessFailure(Failure("from_the_future", "what?")).code == "from_the_future"


@pytest.mark.parametrize(("fn", "code"), [(jobs.progress, "not_available"), (jobs.wrong, "invalid_output")])
async def test_coded_errors_keep_their_code(single: Processes, fn: Any, code: str) -> None:
    with pytest.raises(ProcessFailure) as caught:
        await done(single, fn)
    assert caught.value.code == code


async def test_a_target_that_is_not_there_is_a_failure(single: Processes) -> None:
    with pytest.raises(ProcessFailure) as caught:
        await single.run(Job("no.such:thing", b"{}", CONTEXT))
    assert caught.value.code == "unknown_target"


async def test_an_exit_in_a_step_is_a_failure_and_the_child_goes_on(single: Processes) -> None:
    with pytest.raises(ProcessFailure) as caught:
        await done(single, jobs.leave)
    assert caught.value.failure.types[0] == "SystemExit"
    assert not caught.value.failure.retryable
    assert await done(single, jobs.plain, 1) == 2


async def test_what_a_step_prints_goes_where_the_program_prints(
    fresh: Processes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await done(fresh, jobs.talk) == ""
    out, err = capfd.readouterr()
    assert sorted(out.splitlines()) == ["said by print", "written to 1"]
    assert err == "complained\n"
    assert await done(fresh, jobs.lose_stdout) is None
    assert await done(fresh, jobs.plain, 1) == 2


async def test_a_child_has_the_surroundings_of_its_parent(
    fresh: Processes, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RIPRESA_TEST", "inherited")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')", encoding="utf-8")
    given = await done(fresh, jobs.surroundings)
    assert given == {"path": sys.path, "argv": sys.argv, "cwd": str(tmp_path), "variable": "inherited"}
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    assert (await done(fresh, jobs.surroundings))["path"] == sys.path


async def test_a_default_timeout_for_sockets_does_not_touch_ours(single: Processes) -> None:
    await done(single, jobs.default_timeout, 0.01)
    await asyncio.sleep(0.05)
    assert await done(single, jobs.plain, 1) == 2


# --- order and cancellation


async def test_jobs_wait_in_order_and_one_that_is_given_up_never_runs(single: Processes, tmp_path: Path) -> None:
    go = tmp_path / "go"
    first = asyncio.create_task(done(single, jobs.wait_for, str(go), str(tmp_path / "begun")))
    await said(tmp_path / "begun")
    order: list[int] = []

    async def next_one(number: int) -> None:
        order.append(await done(single, jobs.plain, number))

    tasks = [asyncio.create_task(next_one(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[2].cancel()
    await asyncio.wait([tasks[2]])
    go.touch()
    assert await first == "go"
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == [1, 2, 4, 5]


async def test_cancelling_kills_the_child_and_all_it_started_even_while_it_holds_the_lock(
    single: Processes, tmp_path: Path
) -> None:
    task = asyncio.create_task(done(single, jobs.hang, str(tmp_path / "begun")))
    child, grandchild = await said(tmp_path / "begun")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_known(child)  # gone, and waited for
    await gone(grandchild)
    assert await done(single, jobs.pid) != child


async def test_a_timeout_kills_the_child(single: Processes, tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await done(single, jobs.hang, str(tmp_path / "begun"))
    assert len(single._children) == 0


async def test_a_second_cancellation_does_not_leave_the_child_behind(single: Processes, tmp_path: Path) -> None:
    task = asyncio.create_task(done(single, jobs.hang, str(tmp_path / "begun")))
    child, grandchild = await said(tmp_path / "begun")
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    await gone(child, grandchild)
    await until(lambda: not single._children)
    assert not is_known(child)


async def test_a_child_that_is_given_up_while_it_starts_is_killed(fresh: Processes) -> None:
    for turns in (1, 2, 3, 10):
        task = asyncio.create_task(done(fresh, jobs.pid))
        for _ in range(turns):
            await asyncio.sleep(0)
        (child,) = fresh._children
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not is_known(child._process.pid)
        assert fresh._children == set()


# --- children that die


@pytest.mark.parametrize(
    ("fn", "args", "what"),
    [
        (jobs.die, (3,), "ended with exit status 3"),
        (jobs.die, (0,), "ended with exit status 0"),
        (jobs.crash, (), "was killed by SIGSEGV"),
        (jobs.shut_everything, (), "was killed by SIGKILL"),
    ],
)
async def test_a_child_that_dies_under_a_job_is_an_error_that_says_how(
    single: Processes, fn: Any, args: tuple[Any, ...], what: str
) -> None:
    with pytest.raises(RipresaError, match=what) as caught:
        await done(single, fn, *args)
    assert caught.value.code == "process_died"
    assert caught.value.where == "a/b"
    assert failure_of(caught.value).retryable
    assert single._children == set()
    assert await done(single, jobs.plain, 1) == 2


async def test_a_child_that_was_killed_while_idle_is_replaced_at_once(single: Processes) -> None:
    first = await done(single, jobs.pid)
    (child,) = single._children
    os.kill(first, 9)
    while child.is_there():  # the loop is not told yet
        pass
    second = await done(single, jobs.pid)
    assert second != first
    await gone(first)


async def test_an_idle_child_that_dies_is_waited_for(single: Processes) -> None:
    first = await done(single, jobs.pid)
    os.kill(first, 9)
    await until(lambda: not is_known(first) and not single._children)
    assert single._idle == []


async def test_a_connection_that_broke_is_no_idle_child(single: Processes) -> None:
    await done(single, jobs.pid)
    (child,) = single._children
    child._channel.close()
    assert not child.is_there()
    child.kill()


async def test_a_forked_process_does_not_keep_the_child_busy(single: Processes, tmp_path: Path) -> None:
    forked = await done(single, jobs.fork, str(tmp_path / "forked"))
    with pytest.raises(RipresaError, match="exit status 4"):
        await done(single, jobs.die, 4)
    await gone(forked)


async def test_an_answer_that_nobody_waits_for_is_dropped(single: Processes) -> None:
    await done(single, jobs.pid)
    (child,) = single._children
    child.data_received(b"\0" * 12)
    assert await done(single, jobs.plain, 1) == 2


async def test_a_child_that_cannot_be_waited_for_is_left_to_the_background(
    single: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    await done(single, jobs.pid)
    (child,) = single._children
    monkeypatch.setattr(processes_module, "PATIENCE", 0)
    monkeypatch.setattr(child._process, "poll", lambda: None)
    with pytest.raises(RipresaError, match="was killed and does not end") as caught:
        await done(single, jobs.die, 1)
    assert caught.value.code == "process_died"
    monkeypatch.undo()
    assert await child.ended == 1


def test_a_signal_without_a_name_has_a_number() -> None:
    assert processes_module._ending(-40) == "was killed by signal 40"


# --- starting and closing


@pytest.mark.parametrize(
    ("error", "retryable"),
    [(OSError(errno.EAGAIN, "no process left"), True), (FileNotFoundError(2, "no Python"), False)],
)
async def test_a_process_that_cannot_be_started_is_an_error_and_frees_its_slot(
    fresh: Processes, monkeypatch: pytest.MonkeyPatch, error: OSError, retryable: bool
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    open_files = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patched:
        patched.setattr(subprocess, "Popen", broken)
        for _ in range(2):
            with pytest.raises(StepError, match="no child process can be started") as caught:
                await done(fresh, jobs.pid)
    assert (caught.value.code, caught.value.retryable) == ("not_available", retryable)
    assert len(os.listdir("/proc/self/fd")) == open_files


async def test_a_child_that_ends_before_it_is_ready_has_not_run_the_job(
    fresh: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(spawn, "_PROGRAM", "raise SystemExit(5)")
        with pytest.raises(StepError, match="exit status 5 before it was ready") as caught:
            await done(fresh, jobs.pid)
    assert (caught.value.code, caught.value.retryable) == ("not_available", True)
    assert fresh._children == set()


async def test_closing_lets_idle_children_end_and_kills_the_others(tmp_path: Path) -> None:
    processes = Processes(3)
    busy = asyncio.create_task(done(processes, jobs.hang, str(tmp_path / "begun")))
    child, grandchild = await said(tmp_path / "begun")
    idle = await done(processes, jobs.pid)
    waiting = [asyncio.create_task(done(processes, jobs.wait_for, str(tmp_path / "never"))) for _ in range(3)]
    await asyncio.sleep(0)
    await processes.close()
    for task in (busy, *waiting):
        with pytest.raises(RipresaError) as caught:
            await task
        assert caught.value.code == "closed"
    assert not any(map(is_known, (child, idle)))
    await gone(grandchild)
    with pytest.raises(RipresaError, match="closed"):
        await done(processes, jobs.pid)
    await processes.close()


async def test_an_idle_child_that_does_not_end_by_itself_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    processes = Processes(1)
    monkeypatch.setattr(processes_module, "GRACE", 0.05)
    await done(processes, jobs.never_end)
    await processes.close()
    assert processes._children == set()


async def test_no_file_is_left_open() -> None:
    open_files = len(os.listdir("/proc/self/fd"))
    processes = Processes(2)
    await asyncio.gather(*(done(processes, jobs.plain, n) for n in range(4)))
    with pytest.raises(RipresaError):
        await done(processes, jobs.die, 1)
    await processes.close()
    await asyncio.sleep(0)
    assert len(os.listdir("/proc/self/fd")) == open_files


async def test_a_child_has_no_children_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(spawn.MARK, "1")
    pool = Processes(1)
    with pytest.raises(RipresaError, match="cannot have child processes") as caught:
        await pool.run(Job(target_of(jobs.pid), b"{}", {}))
    assert caught.value.code == "not_available"
    await pool.close()
