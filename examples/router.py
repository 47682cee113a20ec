"""A router: one desk is active at a time, and each one says who is next, until there is an answer.

python examples/router.py
ripresa run examples/router.py:helpdesk --input '{"text": "a refund, please"}'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

from ripresa import App, Flow, Handoff, RunFailed, case, choose, router, step


@dataclass
class Ticket:
    text: str
    notes: tuple[str, ...] = ()


@dataclass
class Answer:
    text: str


# --- by name: a desk returns the answer, or a Handoff that names the next desk


@step
def triage(ticket: Ticket) -> Handoff[Ticket]:
    if "refund" in ticket.text:
        return Handoff("billing", replace(ticket, notes=("seen by triage",)), reason="it is about money")
    return Handoff("support", ticket)


@step
def billing(ticket: Ticket) -> Handoff[Ticket] | Answer:
    return Answer(f"refunded ({', '.join(ticket.notes)})")


@step
def support(ticket: Ticket) -> Handoff[Ticket] | Answer:
    return Handoff("triage", ticket, reason="no idea")


# The table says which desk may follow which. What comes back to triage again and again ends after six desks.
helpdesk = router(
    until=Answer,
    at_most=6,
    legal={"triage": ["billing", "support"], "support": ["triage"]},
    name="helpdesk",
)(triage, billing, support)


# --- by type: a state machine; the type of a result picks the next state


@dataclass
class Draft:
    text: str


@dataclass
class Rejected:
    why: str
    draft: str


@step
def review(draft: Draft) -> Rejected | Answer:
    return Answer(draft.text) if draft.text.endswith(".") else Rejected("no full stop", draft.text)


@step
def mend(rejected: Rejected) -> Draft:
    return Draft(rejected.draft + ".")


writing: Flow[Draft | Rejected, Answer] = router(until=Answer, at_most=5, name="writing")(
    case(Draft, review).case(Rejected, mend)
)


# --- several ways at once, picked by one function


def channels(answer: Answer) -> list[str]:
    return ["mail", "chat"] if "refund" in answer.text else ["chat"]


@step
def mail(answer: Answer) -> str:
    return f"mail: {answer.text}"


@step
def chat(answer: Answer) -> str:
    return f"chat: {answer.text}"


@step
def letter(answer: Answer) -> str:
    return f"letter: {answer.text}"


tell = choose(channels, chat, mail, letter, name="tell")


async def main() -> None:
    async with App() as app:
        answer = await app.run(helpdesk(Ticket("a refund, please")))
        print(await app.run(tell(answer)))
        print((await app.run(writing(Draft("The tide turns")))).text)
        try:
            await app.run(helpdesk(Ticket("hello?")))
        except RunFailed as error:
            print(error.failure.code)


if __name__ == "__main__":
    asyncio.run(main())
