"""Texts that are found by their meaning: learned once, given to a prompt, and looked up by an agent.

python examples/knowledge.py          # with real models: OPENAI_API_KEY=... (Anthropic has no embedding models)
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from ripresa import Agent, App, Knowledge, Passage, SQLiteVectors
from ripresa.testing.answers import use
from ripresa.testing.loopback import VECTORS, real_or_scripted

PASSAGES = [
    Passage("1", "The moon pulls at the sea, which makes the tides.", {"page": 12}),
    Passage("2", "Bread is baked from flour and water.", {"page": 40}),
    Passage("3", "A harbour keeps a table of its tides.", {"page": 13}),
]
SCRIPT = (use("library_look_up", text="What makes the tides?"), "The moon pulls at the sea, page 12 says.")


async def main(folder: Path) -> None:
    async with real_or_scripted(*SCRIPT) as models:
        size = 1536 if isinstance(models.get(VECTORS), str) else 64  # how many numbers the model gives
        vectors = SQLiteVectors(folder / "library.db", size)
        library = Knowledge("library", vectors, VECTORS, limit=1)
        librarian = Agent(
            "librarian",
            input=str,
            output=str,
            instructions="Cite the page.",
            tools=[library.look_up],
        )
        async with App("memory:", models=models) as app:
            print("learned", await app.run(library.learn(PASSAGES)), "passages")
            handle = await app.start(librarian("Why are there tides?"))
            print(await handle.result())
            print((await handle.status()).tokens, "tokens")
        await vectors.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(main(Path(place)))
