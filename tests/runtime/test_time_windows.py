"""Windows of the time that items carry: which items are in which, what is late, and that they go on in the middle."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ripresa import At, DeadLetter, InvalidConfig, InvalidValue, RunFailed, TimeWindow, chain, stream
from ripresa.runtime.time_windows import TimeWindows, microseconds_of
from tests.runtime.stage import in_memory

DAY = datetime(2026, 11, 21, tzinfo=UTC)


def second(value: float) -> float:
    return float(value)


def given_as(*values: float) -> Any:
    def source(_: int, position: int | None) -> Iterator[At[float, int]]:
        return (At(values[number], number + 1) for number in range(position or 0, len(values)))

    return source


async def of(made: Any) -> list[tuple[float, float, list[float]]]:
    """Start, end and items of each window."""
    return [(each.start.timestamp(), each.end.timestamp(), each.items) async for each in made.items(0)]


async def test_items_come_into_the_windows_of_their_own_time() -> None:
    made = stream(given_as(1, 3, 12, 4, 24, 11, 47)).time_window(10, at=second, lateness=5)
    assert await of(made) == [(0, 10, [1, 3, 4]), (10, 20, [11, 12]), (20, 30, [24]), (40, 50, [47])]


async def test_windows_may_overlap() -> None:
    made = stream(given_as(1, 6, 12)).time_window(10, at=second, every="5 s")
    assert await of(made) == [(-5, 5, [1]), (0, 10, [1, 6]), (5, 15, [6, 12]), (10, 20, [12])]


async def test_a_window_is_given_as_soon_as_nothing_more_is_waited_for() -> None:
    taken: list[float] = []

    def source(_: int) -> Iterator[float]:
        for value in (1.0, 9.0, 12.0, 14.9, 15.0, 16.0):
            taken.append(value)
            yield value

    async for window in stream(source, buffer=1).time_window(10, at=second, lateness=5).items(0):
        assert window.end.timestamp() == 10
        assert taken[-1] < 17
        break
    assert 15.0 in taken


async def test_an_item_that_is_late_is_a_dead_letter() -> None:
    letters: list[DeadLetter] = []

    async def keep(letter: DeadLetter) -> None:
        letters.append(letter)

    found: list[list[float]] = []

    async def sink(window: TimeWindow[float]) -> None:
        found.append(window.items)

    made = stream(given_as(1, 12, 3, 22, 9)).time_window(10, at=second).into(sink, dead_letters=keep)
    result = await made(0)
    assert (result.dead, [letter.item for letter in letters]) == (2, [3, 9])
    assert {letter.failure.code for letter in letters} == {"late_item"}
    assert "1970-01-01T00:00:03+00:00" in letters[0].failure.message
    assert found == [[1], [12], [22]]


async def test_an_item_that_is_late_may_fail_the_stream() -> None:
    made = stream(given_as(1, 12, 3)).time_window(10, at=second, late="fail")
    with pytest.raises(RunFailed, match="after its window had been given"):
        await made.into(lambda_sink)(0)


async def lambda_sink(window: TimeWindow[float]) -> None:
    """Takes it."""


def wrong(value: float) -> Any:
    return {1: "noon", 2: True, 3: float("nan"), 4: datetime(2026, 1, 1)}[int(value)]


@pytest.mark.parametrize(("value", "said"), [(1, "'noon'"), (2, "True"), (3, "no moment"), (4, "has no time zone")])
async def test_what_is_no_time_fails_the_stream(value: int, said: str) -> None:
    made = stream(given_as(value)).time_window(10, at=wrong).into(lambda_sink)
    with pytest.raises(RunFailed, match=said):
        await made(0)


def test_times_are_datetimes_or_seconds_since_1970() -> None:
    there = timezone(timedelta(hours=2))
    assert microseconds_of(datetime(1970, 1, 1, 2, 0, 0, 1, tzinfo=there)) == 1
    assert microseconds_of(-1.5) == -1_500_000
    with pytest.raises(InvalidValue):
        microseconds_of(float("inf"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"length": 0}, "length is 0"),
        ({"length": 5, "every": 6}, "every is 6"),
        ({"length": 5, "every": 0}, "every is 0"),
        ({"length": 5, "late": "drop"}, "late is 'drop'"),
        ({"length": 5, "buffer": 0}, "buffer is 0"),
        ({"length": 5, "lateness": -1}, "lateness is -1"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], said: str) -> None:
    length = options.pop("length")
    with pytest.raises(InvalidConfig, match=said):
        stream(given_as()).time_window(length, at=second, **options)


def test_the_time_of_an_item_is_asked_of_a_plain_function() -> None:
    async def at(value: float) -> float:
        return value

    with pytest.raises(InvalidConfig, match="must be a plain function"):
        stream(given_as()).time_window(5, at=at)  # type: ignore[arg-type]


def test_the_function_must_take_the_items() -> None:
    def of_text(value: str) -> float:
        return float(value)

    with pytest.raises(Exception, match="str"):
        chain(stream(given_as()).time_window(5, at=of_text).into(lambda_sink)).definition  # noqa: B018


async def test_windows_go_on_in_the_middle_with_what_is_open() -> None:
    found: list[tuple[datetime, list[float]]] = []
    calls = 0

    async def sink(window: TimeWindow[float]) -> None:
        nonlocal calls
        calls += 1
        if calls in (1, 3, 4, 7):
            raise ValueError("not yet")
        found.append((window.start, window.items))

    made = stream(given_as(1, 6, 2, 12, 33, 34)).time_window(10, at=second, every=5, lateness=2).into(sink)
    async with in_memory() as app:
        handle = await app.start(made(0), id="r")
        for _ in range(4):
            with pytest.raises(RunFailed):
                await handle.result()
            await handle.resume()
        await handle.result()
    starts = [start.timestamp() for start, _ in found]
    assert starts == [-5, 0, 5, 10, 25, 30]
    assert [items for _, items in found] == [[1, 2], [1, 2, 6], [6, 12], [12], [33, 34], [33, 34]]


def reference(length: int, every: int, lateness: int, times: list[int]) -> tuple[list[Any], list[int]]:
    """What is given and what is late, by the words of the documentation."""
    given_: list[Any] = []
    late: list[int] = []
    windows: dict[int, list[tuple[int, int]]] = {}
    over: int | None = None
    for number, at in enumerate(times):
        first = -((length - at - 1) // every) * every
        starts = [start for start in range(first - every, at + 1, every) if start <= at < start + length]
        alive = [start for start in starts if over is None or start + length > over]
        if not alive:
            late.append(number)
        for start in alive:
            windows.setdefault(start, []).append((at, number))
        if alive:
            over = max(at - lateness, over) if over is not None else at - lateness
        for start in sorted(start for start in windows if over is not None and start + length <= over):
            given_.append((start, sorted(windows.pop(start), key=lambda each: each[0])))
    given_ += [(start, sorted(windows[start], key=lambda each: each[0])) for start in sorted(windows)]
    return [(start, [number for _, number in inside]) for start, inside in given_], late


@given(
    st.integers(1, 12).flatmap(lambda length: st.tuples(st.just(length), st.integers(1, length), st.integers(0, 9))),
    st.lists(st.integers(0, 60), max_size=30),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_what_is_given_is_what_the_words_say_wherever_it_goes_on(
    shape: tuple[int, int, int], times: list[int], stops: list[int]
) -> None:
    """After some windows the stream begins anew with what was open, as a run that is resumed does."""
    expected, expected_late = reference(*shape, times)
    windows, found, late = TimeWindows(*shape), list[Any](), list[int]()

    def take(due: Iterator[TimeWindow[int]]) -> bool:
        nonlocal windows
        for window in due:
            start = round(window.start.timestamp() * 1_000_000)
            found.append((start, window.items))
            if len(found) in stops:
                content, closed = windows.content, windows.closed
                assert closed is not None
                windows = TimeWindows(*shape)
                windows.go_on([(times[number], number) for number in content], closed)
                return True
        return False

    for number, at in enumerate(times):
        if windows.add(at, number):
            while take(windows.due()):
                pass
        else:
            late.append(number)
    while take(windows.due(all=True)):
        pass
    assert found == expected
    assert late == expected_late


def test_reading_windows_needs_no_app() -> None:
    async def read() -> list[int]:
        made = stream(given_as(1, 2, 11)).time_window("10 s", at=lambda value: DAY + timedelta(seconds=value))
        return [len(window.items) async for window in made.items(0)]

    assert asyncio.run(read()) == [2, 1]
