"""The synchronous face does what the asynchronous one does, from threads that do not await."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import assert_type

import pytest

from ripresa import Context, RipresaError, RunCancelled, RunFailed, RunView, StoreError, blocking, chain, step, workflow
from ripresa.approvals import OpenApproval
from ripresa.core.events import Recorded


@step
def double(n: int) -> int:
    return 2 * n


@step
def fails(n: int) -> int:
    raise ValueError(f"no {n}")


flow = chain(double)
failing = chain(fails)


@workflow
async def waits(ctx: Context) -> None:
    await ctx.sleep("1 hour")


@step
async def hangs() -> None:
    await asyncio.Event().wait()


@workflow
async def works(ctx: Context) -> None:
    await hangs()


def test_a_run_is_run_from_plain_code_with_its_types() -> None:
    with blocking.App("memory:") as app:
        assert assert_type(app.run(flow(2)), int) == 4
        handle = app.start(flow(3), id="a", tags=["blue"])
        assert_type(handle, blocking.Handle[int])
        assert assert_type(handle.result(), int) == 6
        assert assert_type(handle.status(), RunView).status == "completed"
        assert handle.outcome().value == 6
        events = list(assert_type(handle.events(), Iterator[Recorded]))
        assert [event.seq for event in events] == [1, 2, 3, 4]
        assert [view.percent for view in handle.progress()][-1] == 100.0
        assert repr(handle) == "<run a>"
        assert app.handle("a").id == "a"
        assert [head.id for head in app.runs(tag="blue").runs] == ["a"]
        assert assert_type(app.approvals(), list[OpenApproval]) == []


def test_what_a_run_fails_of_is_raised_where_it_is_waited_for() -> None:
    with blocking.App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            app.run(failing(1))
        assert repr(caught.value.__cause__) == "ValueError('no 1')"
        assert app.start(failing(1)).outcome().status == "failed"


def test_a_run_is_paused_cancelled_and_terminated() -> None:
    with blocking.App("memory:") as app:
        handle = app.start(waits())
        handle.pause("later")
        assert handle.status().status == "paused"
        handle.resume()
        handle.cancel("enough")
        with pytest.raises(RunCancelled, match="enough"):
            handle.result()
        other = app.start(waits())
        other.terminate()
        assert other.outcome().status == "terminated"


def test_watching_may_stop_before_the_run_does() -> None:
    with blocking.App("memory:") as app:
        handle = app.start(waits())
        for item in handle.watch():
            assert isinstance(item, Recorded)
            break
        assert handle.status().status == "running"


def test_runs_are_taken_up_by_the_next_app(tmp_path: Path) -> None:
    store = str(tmp_path / "runs.db")
    with blocking.App(store) as app:
        app.start(works(), id="a")
    with blocking.App(store, workflows=[works]) as app:
        assert [handle.id for handle in app.resume_all()] == ["a"]
        app.handle("a").terminate()
    with blocking.App(store) as app, pytest.raises(RipresaError) as caught:
        app.resume("a", works)
    assert caught.value.code == "illegal_transition"


def test_many_threads_share_one_app() -> None:
    with blocking.App("memory:") as app, ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda n: app.run(flow(n)), range(20))) == [2 * n for n in range(20)]


async def test_it_works_beside_a_running_loop_as_in_a_notebook() -> None:
    with blocking.App("memory:") as app:
        assert app.run(flow(1)) == 2
        assert await asyncio.to_thread(app.run, flow(2)) == 4


def test_a_step_on_the_loop_itself_is_told_that_it_cannot_wait() -> None:
    @step
    async def nested() -> int:
        return app.run(flow(1))

    with blocking.App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            app.run(nested())
        assert caught.value.failure.code == "usage"


def test_leaving_the_app_ends_its_thread() -> None:
    with blocking.App("memory:"):
        assert "ripresa-blocking" in [thread.name for thread in threading.enumerate()]
    assert "ripresa-blocking" not in [thread.name for thread in threading.enumerate()]


def test_a_store_that_cannot_be_opened_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        blocking.App(str(tmp_path / "x.db")).open()
    assert "ripresa-blocking" not in [thread.name for thread in threading.enumerate()]


def test_runs_travel_in_time_from_plain_code() -> None:
    with blocking.App("memory:", workflows=[flow]) as app:
        handle = app.start(flow(3), id="a")
        assert handle.result() == 6
        assert [place.name for place in handle.checkpoints()] == ["double"]
        twin = handle.fork(set={"input": 4}, id="b")
        assert assert_type(twin.result(), int) == 8
        assert [change.what for change in app.diff("a", "b").changes] == ["input", "output", "double"]
        handle.rollback(1)
        assert handle.result() == 6
        assert app.plan(flow) == []
