"""What documents of the tests name: steps, functions and types at the top level of a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel

from ripresa import (
    Context,
    Handoff,
    Pool,
    Replace,
    Rule,
    Signal,
    Standing,
    before,
    chain,
    current,
    reducers,
    step,
    wait_for,
    workflow,
)
from ripresa.authoring.document.flow import DocumentFlow
from ripresa.authoring.document.library import Library
from ripresa.runtime.documents import load_document

HERE = __name__


@dataclass
class Plan:
    title: str
    parts: list[str]


class Page(BaseModel):
    url: str
    words: int = 0


class Scores(BaseModel):
    best: int = 0
    all: Annotated[list[int], reducers.append] = []


@step
async def plan(topic: str) -> Plan:
    return Plan(topic.title(), [f"{topic} {number}" for number in (1, 2)])


@step
async def write(title: str, part: str = "nothing") -> str:
    return f"{title}: {part}"


@step
async def shout(text: str) -> str:
    return text.upper()


@step
async def join(parts: list[str], glue: str = "+") -> str:
    return glue.join(parts)


@step
async def anything(value: Any = None, **more: Any) -> Any:
    return {"value": value, **more}


@step
async def nothing_given() -> str:
    return "made of nothing"


@step
async def fails(value: Any) -> Any:
    raise ValueError(f"no {value}")


@step
async def page_of(text: str) -> Page:
    return Page(url=text, words=len(text))


@step
async def plan_of(page: Page) -> Plan:
    return Plan(page.url, [])


@step
async def title_of(plan: Plan) -> str:
    return plan.title


@step
async def down(value: int) -> int | Handoff[int]:
    return value if value <= 0 else Handoff("back", value)


@step
async def back(value: int) -> int | Handoff[int]:
    return Handoff("down", value - 1)


undone: list[Any] = []


@step
async def unwrite(text: str) -> None:
    undone.append(text)


@step
async def remember(value: Any) -> None:
    undone.append(value)


@step
async def attempts_of(value: Any) -> int:
    if current().attempt < 3:
        raise ConnectionError("not yet")
    return current().attempt


@step
async def best_of(value: Any) -> int:
    return current().state(Scores).best


@workflow
async def greet(ctx: Context, name: str, times: int = 1) -> str:
    return "; ".join([await shout(name) for _ in range(times)])


class Sayer:
    """A step type that is made of its config."""

    def __init__(self, word: str, times: int = 1) -> None:
        if times < 1:
            raise ValueError("times must be from 1")
        self.word, self.times = word, times

    async def __call__(self, value: str) -> str:
        return f"{value} {self.word * self.times}"


shouting = chain(shout, name="shouting")
pausing = chain(wait_for(Signal("go", str)), name="pausing")
members = Pool("members", ["a", "b"])
short = Rule.custom("short", lambda text: len(text) < 10)


@before("shout")
def whisper(asked: Any) -> Any:
    return Replace(asked.input.lower() + "?")


def is_long(text: str) -> bool:
    return len(text) > 5


def length(text: str) -> float:
    return len(text)


def names(text: str) -> list[str]:
    return ["shout"] if text == "one" else ["shout", "write"]


NUMBER = 7


def load(*steps: Any, library: Library | None = None, **more: Any) -> DocumentFlow:
    """A document of these steps."""
    whole = {"id": "doc", **({"steps": list(steps)} if steps else {}), **more}
    return load_document(whole, library=library)


def at(name: str) -> str:
    """The target of something here."""
    return f"{HERE}:{name}"


def call(name: str, **more: Any) -> dict[str, Any]:
    """A step that calls something here."""
    arguments = {"arguments": more.pop("arguments")} if "arguments" in more else {}
    return {"type": "call", "config": {"step": at(name), **arguments}, **more}


@step
async def text_of(found: Any) -> str:
    return str(found["value"])


@step
async def varied(*values: Any) -> int:
    return len(values)


@step
async def named(value: str) -> str:
    current().session.set("name", "x")
    return value


def whisper_to(control: Any, item: Any) -> None:
    return None


def steps_seen(run: Standing) -> int:
    return len(run.view.steps)
