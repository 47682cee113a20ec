"""Workflows that a server serves from the command line."""

from ripresa import chain, step


@step
async def double(number: int) -> int:
    """Twice as much."""
    print("printed by a step")
    return 2 * number


doubled = chain(double).named("doubled")
