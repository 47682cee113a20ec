"""Programs as steps: no shell, nothing left running, and what they print read by a type.

python examples/programs.py
ripresa run examples/programs.py:report --input '"tides.txt"'
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from ripresa import App, RunFailed, chain, step
from ripresa.steps import Command, Completed, python, shell

COUNT = """
import json, sys
words = sys.stdin.read().split()
print(json.dumps({"words": len(words), "longest": max(words, key=len, default="")}))
"""


@dataclass
class Count:
    words: int
    longest: str


@step
async def text_of(name: str) -> str:
    return f"what there is to say about {name}"


@step
async def tell(count: Count) -> str:
    return f"{count.words} words, the longest is {count.longest!r}"


count = python(COUNT, returns=Count, effect="pure", timeout=30, name="count")
report = chain(text_of, name="report").then(count).then(tell)

echo = shell(sys.executable, "-c", "import sys; print(sys.argv[1:])", "--", name="echo")
broken = python("import sys; sys.exit('no tide today')", retry=2, name="broken")


async def main() -> None:
    async with App("memory:") as app:
        print(await app.run(report("the tides")))
        done: Completed = await app.run(echo(Command(("$(rm -rf /)", "; ls"))))
        print("arguments are arguments:", done.stdout.strip())
        try:
            await app.run(broken())
        except RunFailed as error:
            print(f"{error.failure.code} after {error.failure.attempt} attempts: {error.failure.message}")


if __name__ == "__main__":
    asyncio.run(main())
