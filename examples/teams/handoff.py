"""A swarm: whoever has the matter answers, or hands it on to somebody who knows better.

python examples/teams/handoff.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio

from ripresa import Agent, App, handoff, tool
from ripresa.testing.answers import Answer, use, value
from ripresa.testing.loopback import real_or_scripted


@tool(effect="read")
async def order(number: int) -> str:
    """What is known of an order."""
    return f"order {number}: one lamp, 45.00, arrived broken"


triage = Agent("triage", input=str, output=str, role="the first to look at a letter: you never answer yourself")
support = Agent("support", input=str, output=str, role="somebody who knows what was ordered", tools=[order])
billing = Agent("billing", input=str, output=str, role="the only one who may refund")

helpdesk = handoff(triage, support, billing, at_most=6, name="helpdesk")


def hands(to: str, task: str) -> Answer:
    return value({"value": {"to": to, "task": task, "reason": "it is theirs"}})


SCRIPT = (
    hands("support", "Something about order 7."),
    use("order", number=7),
    hands("billing", "Order 7, 45.00, arrived broken."),
    value({"value": "45.00 are on their way back to you."}),
)


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        handle = await app.start(helpdesk("The lamp of order 7 came broken, I want my money back!"))
        print(await handle.result())
        for said in await handle.interactions():
            if said.kind not in ("request", "answer"):
                print(said)


if __name__ == "__main__":
    asyncio.run(main())
