"""Scatter and gather: a panel answers side by side, and the votes are counted.

python examples/teams/scatter_gather.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Literal

from pydantic import BaseModel

from ripresa import Agent, App, parallel, step, tells
from ripresa.testing.answers import Answer, Received, value
from ripresa.testing.loopback import real_or_scripted


class Vote(BaseModel):
    choice: Literal["yes", "no"]


def member(character: str) -> Agent[str, Vote]:
    return Agent(character, input=str, output=Vote, role=f"a {character} person")


@step
async def count(a: Vote, b: Vote, c: Vote) -> str:
    (winner, votes), *_ = Counter(vote.choice for vote in (a, b, c)).most_common()
    return f"{winner}, with {votes} of 3 votes"


panel = parallel(
    tells(member("careful"), "panel", "vote"),
    tells(member("curious"), "panel", "vote"),
    tells(member("tired"), "panel", "vote"),
    on_error="fail_slow",
).into(count)


def pretend(request: Received) -> Answer:
    """What the model says where there is none."""
    return value({"choice": "yes" if "curious" in request.system or "careful" in request.system else "no"})


async def main() -> None:
    async with real_or_scripted(*[pretend] * 3) as models, App("memory:", models=models) as app:
        handle = await app.start(panel("Shall we walk to the sea?"))
        print(await handle.result())
        votes = [said for said in await handle.interactions() if said.kind == "vote"]
        print(*sorted(map(str, votes)), sep="\n")


if __name__ == "__main__":
    asyncio.run(main())
