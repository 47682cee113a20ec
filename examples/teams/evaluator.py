"""An evaluator and an optimiser: one writes, the other says what is wrong, until it is good. That is a loop.

python examples/teams/evaluator.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel

from ripresa import Agent, App, Context, tells, workflow
from ripresa.testing.answers import value
from ripresa.testing.loopback import real_or_scripted


@dataclass
class Order:
    about: str
    draft: str = ""
    wrong: str = ""


class Verdict(BaseModel):
    good: bool
    wrong: str = ""


write = Agent(
    "writer", input=Order, output=str, instructions="Write one line. Mend what is wrong with the draft, if any."
)
judge = Agent("critic", input=str, output=Verdict, instructions="It is good if it is short and rhymes.")

writer, critic = tells(write, "critic", "delegate"), tells(judge, "writer", "reply")


@workflow
async def polish(ctx: Context, about: str) -> str:
    order = Order(about)
    for _ in range(4):  # the last one is taken as it is
        draft = await writer(order)
        verdict = await critic(draft)
        if verdict.good:
            return draft
        order = Order(about, draft, verdict.wrong)
    return order.draft


SCRIPT = (
    "The tide is high and low.",
    value({"good": False, "wrong": "it does not rhyme"}),
    "The tide will go, high and low.",
    value({"good": True}),
)


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        handle = await app.start(polish("tides"))
        print(await handle.result())
        for said in await handle.interactions():
            if said.kind in ("delegate", "reply"):
                print(said)


if __name__ == "__main__":
    asyncio.run(main())
