"""A router by classification: a model says what a letter is about, and that picks who answers.

python examples/teams/classify.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio
from typing import Literal

from pydantic import BaseModel

from ripresa import Agent, App, chain, choose, step, tells
from ripresa.testing.answers import value
from ripresa.testing.loopback import real_or_scripted


class Letter(BaseModel):
    kind: Literal["money", "lamps"]
    summary: str


classify = Agent("classify", input=str, output=Letter, instructions="Say what the letter is about, and sum it up.")
money = Agent("money", input=Letter, output=str, role="who keeps the books")


@step
async def lamps(letter: Letter) -> str:
    """Whoever sells lamps needs no model."""
    return f"We have lamps. ({letter.summary})"


def by_kind(letter: Letter) -> str:
    return letter.kind


desk = chain(tells(classify, "desk"), name="desk").then(choose(by_kind, tells(money, "desk"), tells(lamps, "desk")))

SCRIPT = (
    value({"kind": "money", "summary": "wants 45.00 back"}),
    "You will have it tomorrow.",
    value({"kind": "lamps", "summary": "wants light"}),
)


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        for letter in ("I want my money back!", "Do you sell lamps?"):
            print(*await app.run(desk(letter)))


if __name__ == "__main__":
    asyncio.run(main())
