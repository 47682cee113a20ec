"""Hooks: a guard rail that is asked before and after a model's step, and analytics that are told of everything.

python examples/hooks.py
ripresa run examples/hooks.py:answer --input '"When is high tide?"'
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass, field

from ripresa import (
    AfterStep,
    App,
    BeforeStep,
    Observed,
    Replace,
    RunFailed,
    Skip,
    Veto,
    after,
    before,
    chain,
    observe,
    step,
)


@step(effect="read")
async def look_up(question: str) -> str:
    return f"{question} The tide tables say: 06:12 and 18:40. Ask anna@harbour.example for more."


@step(effect="read")
async def write(notes: str) -> str:
    return f"Dear reader, {notes}"


# --- guard rails: interceptors of this workflow, whose answers are journaled


# Fails closed: if the guard itself breaks, or takes longer than a second, the step fails instead of running unguarded.
@before("look_up", critical=True, timeout="1s", priority=10)
async def no_secrets(asked: BeforeStep) -> Veto | None:
    return Veto("that is not for us to know") if "password" in asked.input else None


@before("look_up")
def known(asked: BeforeStep) -> Skip | None:
    return Skip("It is at noon, as always.") if asked.input == "When is noon?" else None


@after("write")
def no_addresses(asked: AfterStep) -> Replace | None:
    text, found = re.subn(r"\S+@\S+", "[somebody]", asked.output)
    return Replace(text) if found else None


answer = chain(look_up, name="answer").then(write).with_hooks(no_secrets, known, no_addresses)


# --- analytics: an observer of everything that an app runs


@dataclass
class Analytics:
    """Counts what happens; it sees only what is durable, and nobody waits for it."""

    events: Counter[str] = field(default_factory=Counter[str])
    answers: Counter[str] = field(default_factory=Counter[str])

    async def __call__(self, seen: Observed) -> None:
        self.events[type(seen.event).__name__] += 1
        if seen.point == "hook":
            self.answers[f"{seen.path}: {getattr(seen.event, 'answer', 'failed')}"] += 1


async def main() -> None:
    analytics = Analytics()
    async with App("memory:", hooks=[observe("event")(analytics)]) as app:
        print(await app.run(answer("When is high tide?")))
        print(await app.run(answer("When is noon?")))
        try:
            await app.run(answer("What is the password?"))
        except RunFailed as error:
            print(error.failure.code, "-", error.failure.message)
    print(analytics.events["StepCompleted"], "steps completed;", dict(analytics.answers))


if __name__ == "__main__":
    asyncio.run(main())
