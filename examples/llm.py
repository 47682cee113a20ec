"""Pages are summed up by a model, side by side, and the best one gets a headline.

python examples/llm.py          # with a real model: OPENAI_API_KEY=... or ANTHROPIC_API_KEY=...
"""

import asyncio
from dataclasses import dataclass

from ripresa import App, chain, llm, map_each, prompt, step
from ripresa.testing.answers import Answer, Received, value
from ripresa.testing.loopback import real_or_scripted


@dataclass
class Page:
    title: str
    text: str


@dataclass
class Summary:
    text: str
    score: float


summarise = llm(
    "Sum up {title} in one sentence, and say from 0 to 1 how interesting it is: {text}",
    input=Page,
    output=Summary,
    system="You are brief.",
    name="summarise",
)


@step
def best(summaries: list[Summary]) -> Summary:
    return max(summaries, key=lambda each: each.score)


@prompt(output=str)
def headline(summary: Summary) -> str:
    return f"Write a headline of at most five words: {summary.text}"


digest = chain(map_each(summarise, concurrency=4)).then(best).then(headline)

PAGES = [Page("Ebb", "The sea goes out."), Page("Flood", "The sea comes in."), Page("Moon", "It pulls at the sea.")]


def pretend(request: Received) -> Answer:
    """What the model says where there is none."""
    if "headline" in request.prompt:
        return Answer("Moon pulls sea")
    return value({"text": request.prompt.rpartition(": ")[2], "score": 0.9 if "Moon" in request.prompt else 0.3})


async def main() -> None:
    async with real_or_scripted(*[pretend] * 4) as models, App("memory:", models=models) as app:
        handle = await app.start(digest(PAGES))
        print(await handle.result())
        view = await handle.status()
        print(f"{len(view.steps)} steps, {'some' if view.tokens else 'no'} tokens")


if __name__ == "__main__":
    asyncio.run(main())
