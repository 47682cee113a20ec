"""Dry runs: what a workflow would do is listed, and nothing is done."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import pytest

from ripresa import At, BeforeStep, Context, Graph, Replace, before, chain, delay, step, stream, workflow
from ripresa.runtime.rehearsing import PlannedStep, placeholder
from ripresa.stores.memory import Memory

from .stage import in_memory

DONE: list[str] = []


@step(effect="read")
async def look(text: str) -> str:
    DONE.append("look")
    return f"seen {text}"


@step(effect="irreversible")
async def send(text: str) -> str:
    DONE.append("send")
    return text


@step(effect="read")
async def check(text: str) -> str:
    if not text:
        raise ValueError("nothing was sent")
    return text


@step
async def strange(text: str) -> object:
    DONE.append("strange")
    return text


@workflow
async def function(ctx: Context, text: str) -> str:
    return await send(await look(text))


@pytest.fixture(autouse=True)
def clean() -> None:
    DONE.clear()


@pytest.mark.parametrize("call", [chain(look).then(send), function])
async def test_only_harmless_steps_run_and_nothing_is_stored(call: Any) -> None:
    memory = Memory()
    async with in_memory(memory) as app:
        found = await app.rehearse(call("a"))
        assert not (await app.runs()).runs
    assert DONE == ["look"]
    assert found.status == "completed"
    assert found.steps == (
        PlannedStep("look", "read", {"text": "a"}, True),
        PlannedStep("send", "irreversible", {"text": "seen a"}, False),
    )


async def test_a_rehearsal_stops_where_no_value_can_be_made_up() -> None:
    async with in_memory() as app:
        odd: Any = strange
        found = await app.rehearse(chain(look).then(odd).then(send)("a"))
    assert (found.status, found.stopped_at) == ("stopped", "strange")
    assert DONE == ["look"]


async def test_a_rehearsal_may_fail_of_what_was_made_up() -> None:
    async with in_memory() as app:
        found = await app.rehearse(chain(send).then(check)("a"))
    assert (found.status, found.error) == ("failed", "check: nothing was sent")


def numbers(count: int, position: int | None) -> Iterator[At[int, int]]:
    yield from (At(number, number + 1) for number in range(position or 0, count))


async def test_a_stream_whose_source_takes_a_position_is_rehearsed_and_hooked_by_its_one_argument() -> None:
    async def keep(number: int) -> None:
        DONE.append(f"keep {number}")

    @before
    def fewer(asked: BeforeStep) -> Replace:
        assert asked.arguments == {"count": 9}
        return Replace(2)

    flow = chain(stream(numbers, name="s").into(keep))
    async with in_memory() as app:
        found = await app.rehearse(flow(9))
    assert (found.status, found.steps) == ("completed", (PlannedStep("s", "idempotent", {"count": 9}, False),))
    assert DONE == []
    async with in_memory(hooks=[fewer]) as app:
        assert (await app.run(flow(9))).taken == 2
    assert DONE == ["keep 0", "keep 1"]


async def test_a_rehearsal_does_not_wait() -> None:
    async with in_memory() as app:
        found = await app.rehearse(chain(look).then(delay("3 days")).then(send)("a"))
    assert found.status == "waiting"
    assert [planned.path for planned in found.steps] == ["look"]


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    name: str
    more: tuple[int, ...] = (1,)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Any, None),
        (None, None),
        (str | None, None),
        (int, 0),
        (int | str, 0),
        (Literal["a", "b"], "a"),
        (tuple[int, str], (0, "")),
        (tuple[int, ...], ()),
        (list[int], []),
        (dict[str, int], {}),
        (set[int], set()),
        (Colour, Colour.RED),
        (Point, Point(0, "")),
    ],
)
def test_the_emptiest_value_of_a_type(kind: Any, value: Any) -> None:
    assert placeholder(kind) == value


def test_not_everything_can_be_made_up() -> None:
    for kind in (object, Callable[[], int]):
        with pytest.raises(TypeError):
            placeholder(kind)


@step(effect="read")
async def listen(text: str = "nothing") -> str:
    return text


async def test_what_a_step_was_not_given_is_its_default() -> None:
    graph = Graph("ears", input=str)
    heard = graph.add(listen())
    async with in_memory() as app:
        found = await app.rehearse(graph.returns(heard.out)("a"))
    assert found.steps == (PlannedStep("listen", "read", {"text": "nothing"}, True),)
