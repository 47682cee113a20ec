"""Time travel: a run is taken back to an earlier place, forked with another result, and compared with its fork.

python examples/time_travel.py
ripresa run examples/time_travel.py:letter --input '"tides"' --id one
ripresa checkpoints one
ripresa fork one --set research='["neap", "spring"]' --id two
ripresa diff one two
"""

from __future__ import annotations

import asyncio

from ripresa import App, chain, step


@step(effect="read")
async def research(topic: str) -> list[str]:
    print(f"  looking up {topic}")
    return [f"high {topic}", f"low {topic}"]


@step
async def write(facts: list[str]) -> str:
    print(f"  writing about {' and '.join(facts)}")
    return f"Dear reader, there are {' and '.join(facts)}."


@step(effect="irreversible")
async def post(text: str) -> str:
    print("  posting")
    return f"posted: {text}"


letter = chain(research, name="letter").then(write).then(post)


async def main() -> None:
    async with App("memory:", workflows=[letter]) as app:
        print("first:")
        handle = await app.start(letter("tides"), id="one")
        print(await handle.result())

        print("the places:", [place.name for place in await handle.checkpoints()])

        print("back to `write`, and posted once more because we say so:")
        await handle.rollback("write", again=True)
        print(await handle.result())

        print("a fork in which the research found something else:")
        fork = await handle.fork(set={"research": ["neap", "spring"]}, effects="again", id="two")
        print(await fork.result())

        print("what differs:", [change.what for change in (await app.diff("one", "two")).changes])


if __name__ == "__main__":
    asyncio.run(main())
