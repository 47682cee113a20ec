"""What a durable function asks of its context and cannot be done is told where it is asked, with a code."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import Context, RipresaError, workflow
from tests.runtime.stage import in_memory

BAD: Any = 3


async def double(number: int) -> int:
    return 2 * number


@workflow
async def asks(ctx: Context, what: str) -> list[str]:
    try:
        match what:
            case "link":
                await ctx.map(BAD, [1])
            case "items":
                await ctx.map(double, BAD)
            case "concurrency":
                await ctx.map(double, [1], concurrency=0)
            case _:
                await ctx.race()
    except RipresaError as error:
        return [error.code, error.message, error.where]
    return []


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("link", "usage", "3 cannot be called"),
        ("items", "usage", "a map takes a list of items, and 3 is none"),
        ("concurrency", "invalid_config", "concurrency is 0"),
        ("race", "usage", "a race of nothing has no winner"),
    ],
)
async def test_a_request_that_cannot_be_says_what_and_where(what: str, code: str, said: str) -> None:
    async with in_memory() as app:
        found = await app.run(asks(what))
    assert found[0] == code
    assert said in found[1]
    assert found[2].startswith(__file__) or found[2] == "asks"
