"""Steps and types that the tests of authoring share."""

from __future__ import annotations

from dataclasses import dataclass

from ripresa import Context, step, workflow


@dataclass
class Item:
    text: str


@dataclass
class Ready:
    text: str


@dataclass
class Rework:
    why: str


@step
async def fetch(topic: str) -> list[Item]:
    return [Item(topic), Item(topic * 2)]


@step
def upper(item: Item) -> Item:
    return Item(item.text.upper())


@step
def length(text: str) -> int:
    return len(text)


@step
def double(number: int) -> int:
    return number * 2


@step
def add(total: int, number: int) -> int:
    return total + number


@step
def add_at(total: int, number: int, index: int) -> int:
    return total + number * index


@step
def shout(text: str, mark: str = "!") -> str:
    return text + mark


@step
def judge(text: str) -> Ready | Rework:
    return Ready(text) if len(text) > 3 else Rework(text)


@step
def ready(work: Ready) -> str:
    return f"ready {work.text}"


@step
def rework(work: Rework) -> int:
    return len(work.why)


@step
def fail(text: str) -> str:
    raise ValueError(text)


@workflow
async def greet(ctx: Context, name: str) -> str:
    return await shout(f"hello {name}")


@workflow(version="2", timeout=60)
async def compare(ctx: Context, left: str, right: int = 0) -> str:
    return f"{left}/{right}"
