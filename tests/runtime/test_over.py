"""The end of driving a run, and who waits for it."""

import asyncio

import pytest

from ripresa.runtime.over import Over


async def test_everybody_who_waits_hears_of_the_end() -> None:
    over = Over()
    waiting = [asyncio.create_task(over.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert not over.done()
    over.set(None)
    await asyncio.gather(*waiting)
    assert over.done()
    over.result()
    await over.wait()  # who comes later does not wait


async def test_who_is_cancelled_leaves_the_others_waiting() -> None:
    over = Over()
    one, other = asyncio.create_task(over.wait()), asyncio.create_task(over.wait())
    await asyncio.sleep(0)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    assert not other.done()
    over.set(None)
    await other


async def test_one_that_is_cancelled_in_the_moment_of_the_end_changes_nothing() -> None:
    over = Over()
    waiting = asyncio.create_task(over.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    over.set(None)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert over.done()


async def test_what_kept_a_run_from_going_on_is_raised_for_whoever_asks() -> None:
    over, called = Over(), list[str]()
    over.then.append(lambda: called.append("over"))
    over.set(OSError("lost"))
    assert called == ["over"]
    for _ in range(2):
        with pytest.raises(OSError, match="lost"):
            over.result()
