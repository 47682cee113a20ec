"""A child never outlives its parent, and a program is not run again in its children."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ripresa.executors import spawn
from tests.executors.polling import is_alive, numbers

PROGRAM = """
import asyncio, os, sys, time
from ripresa.executors.processes import Job, ProcessFailure, Processes, target_of
from ripresa.authoring.step import step
from tests.executors import jobs

print("the program runs", flush=True)

class Odd(Exception):
    class Very(Exception): ...

@step(executor="process")
def fail(what: str) -> None:
    try:
        raise Odd(what)
    except Odd as odd:
        raise Odd.Very(what) from odd

CONTEXT = dict(run="r", workflow="w", path="p", attempt=1, key="k", deadline=None)

async def main() -> None:
    processes = Processes(1)
    if sys.argv[1] == "fail":
        try:
            await processes.run(Job(target_of(fail), b'"no"', CONTEXT))
        except ProcessFailure as error:
            print(error.failure.types, error.failure.cause.types, error.failure.traceback.splitlines()[-1])
        await processes.close()
        return
    if sys.argv[1] == "idle":
        print(os.getpid(), (await processes.run(Job(target_of(jobs.pid), b"{}", CONTEXT))).decode(), flush=True)
    else:
        arguments = b'{"started":"begun","locked":%s}' % (b"true" if sys.argv[1] == "hang" else b"false")
        running = asyncio.create_task(processes.run(Job(target_of(jobs.hang), arguments, CONTEXT)))
    if sys.argv[1] == "fork":
        while not os.path.exists("begun"):
            await asyncio.sleep(0.002)
        if os.fork() == 0:  # holds all that the parent holds
            jobs.say("forked", str(os.getpid()))
            time.sleep(100)
            os._exit(0)
    await asyncio.sleep(100)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def start(program: Path, what: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(program), what],
        cwd=program.parent,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_until_gone(*pids: int) -> None:
    limit = time.monotonic() + 10
    while any(map(is_alive, pids)):
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_a_program_runs_once_and_its_classes_have_its_names(program: Path) -> None:
    with start(program, "fail") as parent:
        out, _ = parent.communicate(timeout=20)
    assert parent.returncode == 0
    assert out.splitlines() == [
        "the program runs",
        "the program runs",  # once more in the child, for its functions; but nothing that is for __main__
        "('program.Odd.Very', 'Exception') ('program.Odd', 'Exception') Odd.Very: no",
    ]


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_an_idle_child_dies_with_its_parent(program: Path, sent: signal.Signals) -> None:
    with start(program, "idle") as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "the program runs\n"
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert all(map(is_alive, pids))
        parent.send_signal(sent)
        parent.wait(10)
        wait_until_gone(*pids)


def written(file: Path) -> list[int]:
    while not file.exists():
        time.sleep(0.002)
    return numbers(file)


def test_a_child_that_hangs_dies_with_its_parent_and_so_does_what_it_started(program: Path) -> None:
    with start(program, "hang") as parent:
        pids = written(program.with_name("begun"))
        assert all(map(is_alive, pids))
        parent.kill()
        parent.wait(10)
        wait_until_gone(*pids)


def test_a_child_dies_with_its_parent_even_if_a_fork_of_the_parent_lives_on(program: Path) -> None:
    with start(program, "fork") as parent:
        pids = written(program.with_name("begun"))
        (forked,) = written(program.with_name("forked"))
        try:
            parent.kill()
            parent.wait(10)
            wait_until_gone(*pids)
            assert is_alive(forked)
        finally:
            os.kill(forked, signal.SIGKILL)


def test_a_child_whose_parent_is_another_one_ends_at_once() -> None:
    held, lifeline = os.pipe()
    setup = json.dumps({"path": sys.path, "argv": [], "parent": 1})
    done = subprocess.run(
        [sys.executable, "-P", "-c", spawn._PROGRAM, str(held), str(held), setup],
        pass_fds=[held],
        capture_output=True,
        text=True,
        timeout=20,
        start_new_session=True,
        check=False,
    )
    os.close(held)
    os.close(lifeline)
    assert (done.returncode, done.stderr) == (1, "the parent is gone\n")
