"""A journey that is undone when one part of it cannot be had: undo beside the step, a saga, a block in a function.

python examples/saga.py
ripresa run examples/saga.py:journey --input '"Rome"'
"""

from __future__ import annotations

import asyncio

from ripresa import App, Context, RunFailed, chain, fallback, saga, step, workflow


@step
async def book_flight(city: str) -> str:
    print(f"booked a flight to {city}")
    return f"flight to {city}"


@book_flight.undo
async def cancel_flight(flight: str) -> None:
    print(f"cancelled the {flight}")


@step
async def book_room(flight: str) -> str:
    if "Atlantis" in flight:
        raise LookupError("no room is above the water")
    return f"{flight} and a room"


@step
async def stay_at_home(city: str) -> str:
    return f"a book about {city}"


# If there is no room, the flight is cancelled before anything else is tried.
journey = chain(fallback(saga(chain(book_flight).then(book_room)), stay_at_home), name="journey")


# The same in a durable function: what the block did is undone before the exception goes on.
@workflow
async def tour(ctx: Context, cities: list[str]) -> list[str]:
    booked: list[str] = []
    for city in cities:
        try:
            async with ctx.saga():
                booked.append(await book_room(await book_flight(city)))
        except LookupError:
            booked.append(f"not {city}")
    return booked


async def main() -> None:
    async with App() as app:
        print(await app.run(journey("Atlantis")))
        print(await app.run(tour(["Rome", "Atlantis"])))
        handle = await app.start(chain(book_flight, name="strict").then(book_room)("Atlantis"))
        try:
            await handle.result()  # nobody catches this: the run fails, and all that it did is undone
        except RunFailed as error:
            print(f"failed: {error.failure.message}; undone: {(await handle.status()).undone}")


if __name__ == "__main__":
    asyncio.run(main())
