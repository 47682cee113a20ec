"""A session that several runs share: values, an artifact with versions, and a budget that bounds them together.

python examples/session.py
"""

from __future__ import annotations

import asyncio

from ripresa import App, Limits, RunFailed, chain, current, step


@step
async def answer(question: str) -> str:
    here = current()
    await here.reserve(tokens=100)  # held until the step has ended
    number = here.session.get("questions", int, 0) + 1
    here.session.add("questions", 1)
    here.session.append("asked", question)
    here.usage(tokens=80, cost=0.01)
    return f"{number}. {question} - that depends"


@step
def note(text: str) -> str:
    here = current()
    here.save_artifact("notes", "\n".join(here.session.get("asked", list[str], [])))
    return text


conversation = chain(answer).then(note)


async def main() -> None:
    async with App("memory:") as app:
        await app.sessions.create("visit", owner="ada", limits=Limits(tokens=300))
        for question in ("Will it rain?", "And tomorrow?", "Is it worth it?"):
            print(await app.run(conversation(question), session="visit"))
        print("versions of the notes:", len(await app.artifacts.versions("notes", session="visit")))
        print("tokens used:", (await app.sessions.used("visit"))["tokens"])
        try:
            await app.run(conversation("One more?"), session="visit")
        except RunFailed as error:
            print("no more:", error.failure.message)
        for failure in await app.sessions.errors("visit"):
            print("failed:", failure.step, "of", failure.workflow)


if __name__ == "__main__":
    asyncio.run(main())
