"""Two companies: one offers a workflow to agents of elsewhere, the other asks it as a step of its own, by Agent2Agent.

    python examples/agents_elsewhere.py

The offer is a workflow that asks before it books; the question comes back to who asked, and is answered there. It needs
the extra `a2a`. By the command line the offer would be: ripresa a2a examples/agents_elsewhere.py:book
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ripresa import App, Call, Context, step, workflow
from ripresa.server.a2a_app import a2a_app
from ripresa.server.running import served
from ripresa.server.serving import Address, listening
from ripresa.steps import A2aStep, AgentReply, AgentRequest, a2a_agent


@dataclass
class Trip:
    to: str
    nights: int


# --- the company that offers


@step
async def price(trip: Trip) -> int:
    return 80 * trip.nights


@workflow
async def book(ctx: Context, trip: Trip) -> str:
    """Books a stay by the sea."""
    total = await price(trip)
    decision = await ctx.approval(f"{trip.nights} nights in {trip.to} for {total}: shall it be booked?")
    return f"booked: {trip.to}" if decision.granted else "nothing was booked"


# --- the company that asks


def travel_with(agency: A2aStep[AgentReply], most: int) -> Callable[[int], Call[str]]:
    @step
    async def decide(question: str) -> str:
        words = question.split(" for ")[1]
        return "yes" if int(words.split(":")[0]) <= most else "no"

    @workflow
    async def travel(ctx: Context, nights: int) -> str:
        reply = await agency(AgentRequest(data={"to": "Oban", "nights": nights}))
        while reply.wants:
            print("asked:", reply.wants)
            answer = await decide(reply.wants)
            reply = await agency(AgentRequest(answer, task=reply.task, context=reply.context))
        return reply.text

    return travel


async def main() -> None:
    socket, address = listening(Address("127.0.0.1", 0))
    async with App("memory:") as theirs, served(a2a_app(theirs, book, url=address.url), socket):
        place = f"127.0.0.1:{address.port}"
        agency = a2a_agent(address.url, name="agency", asks="return", allow=[place], retry=3)
        async with App("memory:") as ours:
            for nights in (2, 9):
                print("then:", await ours.run(travel_with(agency, most=500)(nights)))
        runs = (await theirs.runs()).runs
        print("runs over there:", len(runs), sorted({run.workflow for run in runs}))


if __name__ == "__main__":
    asyncio.run(main())
