"""A chain: a typed pipeline. Each link is given what the one before returned.

python examples/chain.py
ripresa run examples/chain.py:digest --input '["The tide rises, the tide falls.", "Oh!"]'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, branch, chain, fold, map_each, parallel, step


@dataclass
class Summary:
    words: int
    longest: str


@step
async def words_of(text: str) -> list[str]:
    return [word.strip(".,!?") for word in text.split()]


@step
def count(words: list[str]) -> int:
    return len(words)


@step
def longest(words: list[str]) -> str:
    return max(words, key=len)


@step
def summary(words: int, longest: str) -> Summary:
    return Summary(words, longest)


@step
def add(so_far: Summary, new: Summary) -> Summary:
    """One turn of the loop over the summaries."""
    return Summary(so_far.words + new.words, max(so_far.longest, new.longest, key=len))


def is_short(found: Summary) -> bool:
    return found.words < 5


@step
def brief(found: Summary) -> str:
    return f"hardly anything: {found.longest}"


@step
def told(found: Summary) -> str:
    return f"{found.words} words, the longest is {found.longest!r}"


# For one text: split it, look at the words in two ways at the same time, put the answers together.
summarise = chain(words_of, name="summarise").then(parallel(count, longest).into(summary))

# For many: eight texts at a time, then a loop that adds up, then a choice.
digest = (
    chain(map_each(summarise, concurrency=8), name="digest")
    .then(fold(add, Summary(0, "")))
    .then(branch(is_short, brief, told))
)


async def main() -> None:
    async with App() as app:
        print(await app.run(digest(["The tide rises, the tide falls.", "The twilight darkens."])))
    print(await summarise.invoke("In memory, without an app: for tests and notebooks."))


if __name__ == "__main__":
    asyncio.run(main())
