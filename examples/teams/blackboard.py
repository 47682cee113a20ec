"""A blackboard: specialists look at what all have written, side by side, and add what they know, until it is enough.

python examples/teams/blackboard.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...

The board is the typed state of the flow: what is written side by side is put together by the field's reducer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated

from ripresa import Agent, App, chain, current, map_each, repeat, step
from ripresa.reducers import append
from ripresa.testing.answers import Answer, Received
from ripresa.testing.loopback import real_or_scripted

expert = Agent("expert", input=str, output=str, instructions="Add one short fact of your field that is not there yet.")


@dataclass
class Board:
    notes: Annotated[list[str], append] = field(default_factory=list[str])


@dataclass
class Case:
    question: str
    fields: list[str]
    notes: int = 0


@step
async def look(subject: str) -> str:
    """One specialist looks at the board and writes on it."""
    board = "\n".join(current().state(Board).notes)
    note = await current().call(expert, f"You know about {subject}. On the board:\n{board}")
    append(current().to(Board).notes, f"{subject}: {note}")
    current().interaction(subject, "board", "broadcast", note)
    return subject


@step
async def fields_of(case: Case) -> list[str]:
    return case.fields


all_look = chain(fields_of).then(map_each(look, concurrency=4))


@step
async def ask_all(subjects: list[str]) -> Case:
    notes = current().state(Board).notes
    return Case("Why are there tides?", subjects, len(notes))


board = repeat(
    chain(all_look).then(ask_all), until=lambda case: case.notes >= 4, at_most=5, name="blackboard"
).with_state(Board)


def pretend(request: Received) -> Answer:
    """What the model says where there is none."""
    known = "the moon pulls" if "physics" in request.prompt.partition("\n")[0] else "harbours keep tables"
    return Answer(f"{known}, note {request.prompt.count(':')}")


async def main() -> None:
    async with real_or_scripted(*[pretend] * 20) as models, App("memory:", models=models) as app:
        handle = await app.start(board(Case("Why are there tides?", ["physics", "history"])))
        print((await handle.result()).notes, "notes:")
        for note in (await handle.state(Board)).notes:
            print(note)


if __name__ == "__main__":
    asyncio.run(main())
