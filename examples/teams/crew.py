"""A sequential crew: each does a part and passes it on. That is a chain; `tells` records to whom.

python examples/teams/crew.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

from __future__ import annotations

import asyncio

from ripresa import Agent, App, chain, tells
from ripresa.testing.loopback import real_or_scripted

researcher = Agent("researcher", input=str, output=list[str], role="a researcher", instructions="Give three facts.")
writer = Agent(
    "writer", input=list[str], output=str, role="a writer", instructions="Write one sentence with the facts."
)
editor = Agent("editor", input=str, output=str, role="an editor", instructions="Make it shorter.")

crew = (
    chain(tells(researcher, "writer", "handoff"), name="crew")
    .then(tells(writer, "editor", "handoff"))
    .then(tells(editor, "crew"))
)

SCRIPT = (
    '{"value": ["the moon", "the sea", "twice a day"]}',
    "Twice a day the moon pulls at the sea.",
    "Moon pulls sea.",
)


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        handle = await app.start(crew("tides"))
        print(await handle.result())
        for said in await handle.interactions():
            if said.kind in ("handoff", "reply"):
                print(said)


if __name__ == "__main__":
    asyncio.run(main())
