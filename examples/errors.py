"""What may go wrong: retry, timeout, fallback, clean-up, and a run that is resumed after its code was mended.

python examples/errors.py
ripresa run examples/errors.py:weather --input '"Oslo"'
"""

from __future__ import annotations

import asyncio

from ripresa import App, Retry, RunFailed, chain, current, fallback, step


class ServiceDown(Exception):
    """A failure that may pass."""


# Three tries in all, 10 ms and then 20 ms between them; only for this failure. Each try has half a second.
@step(effect="read", retry=Retry(attempts=3, wait=0.01, on=ServiceDown), timeout=0.5)
async def ask_service(city: str) -> str:
    if current().attempt < 3:
        raise ServiceDown(f"no answer about {city}")
    return f"rain in {city}"


# Interrupted after 50 ms: an async step really stops there.
@step(effect="read", timeout=0.05)
async def ask_oracle(city: str) -> str:
    await asyncio.sleep(60)
    return "sun, always"


@step(effect="read")
async def look_out_of_the_window(city: str) -> str:
    return f"cannot see {city} from here, but it looks grey"


# The oracle times out, so the window is asked. The failure that led there is recorded.
weather = chain(ask_service, name="weather").then(fallback(ask_oracle, look_out_of_the_window))


@step
async def reserve(seats: int) -> int:
    return seats


@step
async def charge(seats: int) -> str:
    raise PermissionError("the card was refused")


@step
async def release(seats: int) -> None:
    print(f"released {seats} seats")


# If it fails or is cancelled, the handlers run, last first, each with the input of the flow.
booking = chain(reserve, name="booking").then(charge).cleanup(release)


async def main() -> None:
    async with App() as app:
        print(await app.run(weather("Oslo")))
        try:
            await app.run(booking(2))
        except RunFailed as error:
            print(f"{error.code} at {error.where}: {error.failure.message}")
            print(f"the step's own exception: {error.__cause__!r}")


if __name__ == "__main__":
    asyncio.run(main())
