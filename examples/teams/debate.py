"""A debate: two sides speak in rounds, each having heard the rounds before, and a judge decides.

python examples/teams/debate.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio

from pydantic import BaseModel

from ripresa import Agent, App, debate, sequence_diagram
from ripresa.testing.answers import Answer, Received, value
from ripresa.testing.loopback import real_or_scripted


class Verdict(BaseModel):
    build: bool
    because: str


for_it = Agent("for", input=str, output=str, role="for it", instructions="One sentence.")
against = Agent("against", input=str, output=str, role="against it", instructions="One sentence.")
judge = Agent("judge", input=str, output=Verdict, role="a judge who has no opinion")

council = debate(for_it, against, judge=judge, rounds=2, name="council")


def pretend(request: Received) -> Answer:
    """What the models say where there is none."""
    if "a judge" in request.system:
        return value({"build": True, "because": f"of {len(request.prompt.split())} words those for it weigh more"})
    side = "Ships bring trade" if "for it" in request.system else "Ships bring noise"
    return Answer(f"{side}." if len(request.messages) == 2 else f"{side}, I said.")


async def main() -> None:
    async with real_or_scripted(*[pretend] * 5) as models, App("memory:", models=models) as app:
        handle = await app.start(council("Shall we build a harbour?"))
        print(await handle.result())
        print(sequence_diagram(await handle.interactions()), end="")


if __name__ == "__main__":
    asyncio.run(main())
