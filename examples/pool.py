"""A pool: parallel branches draw agents from a bounded number of them; one that is not well is replaced.

python examples/pool.py
ripresa run examples/pool.py:proofread --input '["ebb", "flow"]'
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ripresa import App, Pool, chain, map_each, step


@dataclass
class Agent:
    name: str
    pages: list[str] = field(default_factory=list)

    def tired(self) -> bool:
        return len(self.pages) == 2


agents = Pool(
    "agents",
    [Agent("ann"), Agent("bob")],
    health=lambda agent: not agent.tired(),
    replace=lambda agent: Agent(agent.name + "'s colleague"),
)


@step(pool=agents)
async def read(page: str) -> str:
    """Whoever is free reads the page; no agent reads two at a time."""
    agent = agents.mine()
    agent.pages.append(page)
    await asyncio.sleep(0)
    return f"{page}: {agent.name}"


proofread = chain(map_each(read), name="proofread")


async def main() -> None:
    async with App() as app:
        for line in await app.run(proofread(["ebb", "flow", "neap", "spring", "slack"])):
            print(line)
        print(app.pools())


if __name__ == "__main__":
    asyncio.run(main())
