"""Supervisor, in two levels: the boss gives tasks to a desk and to a clerk, and the desk has a lead of its own.

python examples/teams/supervisor.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio

from ripresa import Agent, App, sequence_diagram, step, supervisor
from ripresa.testing.answers import Answer, Received, value
from ripresa.testing.loopback import real_or_scripted

boss = Agent(
    "boss", input=str, output=str, role="the boss of an office: you let others work, and answer when they have"
)
editor = Agent("editor", input=str, output=str, role="an editor, who leads researchers and writers")
researcher = Agent("researcher", input=str, output=str, role="a researcher, who finds facts")
writer = Agent("writer", input=str, output=str, role="a writer, who makes one sentence of facts")


@step
async def clerk(text: str) -> str:
    """A clerk, who files a text and gives it a number."""
    return f"filed as number {len(text)}"


desk = supervisor(editor, researcher, writer, at_most=6, name="desk")
office = supervisor(boss, desk, clerk, at_most=6, name="office")


def gives(to: str, task: str) -> Answer:
    return value({"value": {"to": to, "task": task}})


def pretend(request: Received) -> Answer:
    """What the models say where there is none: it depends on who is asked, and on what they have heard."""
    heard = len(request.messages) // 2
    if "the boss" in request.system:
        done = value({"value": "The sentence about tides is filed."})
        return (gives("desk", "One sentence about tides."), gives("clerk", "The moon pulls at the sea."), done)[
            heard - 1
        ]
    if "an editor" in request.system:
        done = value({"value": "The moon pulls at the sea."})
        return (gives("researcher", "What makes tides?"), gives("writer", "the moon, the sea"), done)[heard - 1]
    return Answer("the moon, the sea" if "a researcher" in request.system else "The moon pulls at the sea.")


async def main() -> None:
    async with real_or_scripted(*[pretend] * 20) as models, App("memory:", models=models) as app:
        handle = await app.start(office("Have a sentence about tides filed."))
        print(await handle.result())
        print(sequence_diagram(await handle.interactions()), end="")


if __name__ == "__main__":
    asyncio.run(main())
