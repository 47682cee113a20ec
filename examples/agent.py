"""An agent looks things up and writes a report; it may send it only when a person agrees.

python examples/agent.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

import asyncio

from pydantic import BaseModel

from ripresa import Agent, App, supervised, tool
from ripresa.testing.answers import use, value
from ripresa.testing.loopback import real_or_scripted

BOOKS = {"tides": "The moon pulls at the sea.", "moon": "It goes round the earth in 27 days."}


class Report(BaseModel):
    title: str
    text: str


@tool(effect="read")
async def look_up(word: str) -> str:
    """Look a word up in the library."""
    return BOOKS.get(word, "nothing is known about it")


@tool(effect="irreversible", approval="Send this report?")
async def send(to: str, text: str) -> str:
    """Send a report to somebody."""
    return f"sent to {to}"


writer = Agent(
    "writer",
    input=str,
    output=Report,
    role="a librarian",
    instructions="Look words up before you write. Send your report to whoever asks for it.",
    tools=[look_up, send],
)
careful = supervised(writer)

SCRIPT = (
    use("look_up", word="tides"),
    use("send", to="ann", text="The moon does it."),
    value({"title": "Tides", "text": "The moon pulls at the sea."}),
)


async def main() -> None:
    async with real_or_scripted(*SCRIPT) as models, App("memory:", models=models) as app:
        handle = await app.start(careful("Why are there tides? Send it to Ann."))
        async for recorded in handle.events():
            if type(recorded.event).__name__ == "ApprovalRequested":
                break
        asked = await handle.approvals()
        print(asked[0].question, asked[0].about["arguments"])
        await handle.approve(by="bob")
        report = await handle.result()
        print(f"{report.title}: {report.text}")
        for told in await handle.interactions():
            if told.kind == "call":
                print(told.sender, "called", told.receiver)


if __name__ == "__main__":
    asyncio.run(main())
