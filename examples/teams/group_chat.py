"""A group chat: all hear everything, and speak in turn until they agree.

python examples/teams/group_chat.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio

from ripresa import Agent, App, Meeting, group_chat
from ripresa.testing.loopback import real_or_scripted

RULES = "Speak in one sentence. When you agree with a plan that was made, say AGREED and nothing else."
cook = Agent("cook", input=str, output=str, role="a cook", instructions=RULES)
waiter = Agent("waiter", input=str, output=str, role="a waiter", instructions=RULES)
owner = Agent("owner", input=str, output=str, role="the owner, who pays", instructions=RULES)


def agreed(meeting: Meeting[str]) -> bool:
    return sum("AGREED" in said.text for said in meeting.said) >= 2


chat = group_chat(cook, waiter, owner, until=agreed, at_most=9, name="kitchen")

SCRIPT = ("Soup, it is cold outside.", "Soup and bread, they will ask for it.", "AGREED", "AGREED")


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        meeting = await app.run(chat("What is there for lunch?"))
        for said in meeting.said:
            print(f"{said.by}: {said.text}")


if __name__ == "__main__":
    asyncio.run(main())
