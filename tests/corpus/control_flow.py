"""The workflow control-flow patterns (van der Aalst, ter Hofstede, Russell et al., 43 patterns, revised 2006).

http://www.workflowpatterns.com/patterns/control/ numbers and describes them; docs/control-flow.md says which are not
here, and why.
"""

from __future__ import annotations

import asyncio
from typing import Any

from ripresa import (
    Context,
    Graph,
    Handle,
    Handoff,
    Signal,
    branch,
    chain,
    choose,
    first_of,
    map_each,
    n_of,
    parallel,
    repeat,
    router,
    step,
    workflow,
)
from tests.runtime.stage import turns

from .cases import Case, add, add_one, double, is_even, never, numbers, sends, square, total

red = Signal("red", int)
blue = Signal("blue", int)


def chosen(value: int) -> list[str]:
    return ["add_one", "square"] if value > 2 else ["double"]


@workflow
async def unsynchronized(ctx: Context, count: int) -> list[str]:
    """Instances are begun, as runs of their own, and nobody waits for them."""
    return [(await ctx.start(square(number), id=f"child {number}")).id for number in range(count)]


@workflow
async def multi_merge(ctx: Context, value: int) -> list[int]:
    """What follows the merge runs once for every branch, without waiting for the others."""

    async def followed(call: Any) -> int:
        return await double(await call)

    return list(await ctx.gather(followed(add_one(value)), followed(square(value))))


@workflow
async def discriminator(ctx: Context, value: int) -> list[int]:
    """What follows the join runs once, for the branch that ends first; the others end and are ignored."""
    ended: list[int] = []
    followed: list[int] = []

    async def one(call: Any) -> None:
        ended.append(await call)
        if len(ended) == 1:
            followed.append(await double(value))

    await ctx.gather(one(add_one(value)), one(square(value)), one(double(value)))
    return followed


@workflow
async def partial_join(ctx: Context, value: int) -> list[int]:
    """What follows the join runs once, when two of three have ended; the third ends and is ignored."""
    ended: list[int] = []
    followed: list[int] = []

    async def one(call: Any) -> None:
        ended.append(await call)
        if len(ended) == 2:
            followed.append(await double(value))

    await ctx.gather(one(add_one(value)), one(square(value)), one(double(value)))
    return followed


inside: list[int] = []


async def alone_in(round: int, *, among: int = 1) -> int:
    """Fails if too many are in here, or anybody of another round."""
    inside.append(round)
    try:
        assert len(inside) <= among, inside
        assert set(inside) == {round}, inside
        await asyncio.sleep(0)
        return round
    finally:
        inside.remove(round)


@step
async def one_of_three(round: int) -> int:
    return await alone_in(round, among=3)


async def joined(ctx: Context, needed: int) -> list[int]:
    """What follows the join, for three rounds that are asked for at once, when so many of three branches have ended."""
    followed: list[int] = []

    async def branch_of(round: int, ended: list[int]) -> None:
        ended.append(await one_of_three(round))
        if len(ended) == needed:
            followed.append(await double(round))

    for _ in range(3):
        round = await ctx.wait_for(red)
        ended: list[int] = []
        await ctx.gather(*(branch_of(round, ended) for _ in range(3)))
    return followed


@workflow
async def blocking_discriminator(ctx: Context) -> list[int]:
    """The join is not ready for the next round before all branches of this one have ended."""
    return await joined(ctx, 1)


@workflow
async def blocking_partial_join(ctx: Context) -> list[int]:
    return await joined(ctx, 2)


@step
async def count_down(value: int) -> int | Handoff[int]:
    return value if value <= 0 else Handoff("step_back", value)


@step
async def step_back(value: int) -> int | Handoff[int]:
    return Handoff("count_down", value - 1)


implicit = Graph("implicit_termination", input=int)
left = implicit.add(add_one(implicit.input))
right = implicit.add(square(implicit.input))
beside = implicit.add(double(left.out))
implicit_termination = implicit.returns(right.out)


@workflow
async def instances_known_in_the_design(ctx: Context, value: int) -> list[int]:
    return list(await ctx.gather(square(value), square(value + 1), square(value + 2)))


@workflow
async def instances_known_to_nobody_before(ctx: Context, value: int) -> int:
    """Every instance may lead to more of them."""

    async def work(number: int) -> int:
        found = await add_one(number)
        return found + sum(await ctx.gather(*(work(smaller) for smaller in range(number))))

    return await work(value)


@workflow
async def deferred_choice(ctx: Context) -> str:
    async def one(signal: Signal[int]) -> str:
        found: int = await ctx.wait_for(signal)
        return f"{signal.name} {found}"

    return await ctx.race(one(red), one(blue))


@workflow
async def milestone(ctx: Context, value: int) -> list[str]:
    """A question is answered only while the milestone is reached and not yet passed."""
    stage = ["before"]
    heard: list[str] = []

    async def process() -> None:
        await add_one(value)
        stage.append("open")
        await ctx.wait_for(blue)
        stage.append("passed")

    async def enquiry() -> None:
        await ctx.wait_for(red)
        heard.append(stage[-1])

    await ctx.gather(process(), enquiry())
    return heard


async def ask_at_the_milestone(handle: Handle[Any]) -> None:
    for _ in range(200):  # else the run is not driven any more
        if "process.add_one" in await completed(handle):
            await handle.send(red, 1, id="ask")
            await handle.send(blue, 1, id="pass")
            return
        await turns(1)


async def completed(handle: Handle[Any]) -> list[str]:
    """The paths of the steps that have ended well."""
    return [step.path for step in (await handle.status()).steps.values() if step.status == "completed"]


@workflow
async def cancel_task(ctx: Context, value: int) -> str:
    async def task() -> str:
        return f"done {await never(value)}"

    async def cancellation() -> str:
        found: int = await ctx.wait_for(red)
        return f"cancelled by {found}"

    return await ctx.race(task(), cancellation())


async def cancel_the_case(handle: Handle[Any]) -> None:
    if not (await handle.status()).ended:
        await handle.cancel("no longer wanted")


@workflow
async def factorial(ctx: Context, value: int) -> int:
    return value * await factorial(value - 1) if await add_one(value) > 2 else 1


@workflow
async def transient_trigger(ctx: Context, value: int) -> str:
    """What came before anybody waited is thrown away."""
    await add_one(value)
    last = await ctx.wait_for(blue)  # red came before it
    thrown: list[int] = []
    while (early := await red_within_a_moment(ctx)) is not None:
        thrown.append(early)
    await double(value)
    return f"{last}: threw {thrown} away, then {await red_within_a_moment(ctx)}"


async def red_within_a_moment(ctx: Context) -> int | None:
    try:
        return await ctx.wait_for(red, timeout=0.001)
    except TimeoutError:
        return None


@workflow
async def persistent_trigger(ctx: Context, value: int) -> int:
    await add_one(value)
    return await ctx.wait_for(red)


@workflow
async def cancel_region(ctx: Context, value: int) -> list[int]:
    """One signal stops several steps, and what follows them; what is outside goes on."""

    async def region() -> int:
        return sum(await ctx.gather(never(value), never(value + 1)))

    async def guarded() -> int:
        return await ctx.race(region(), ctx.wait_for(red))

    return list(await ctx.gather(guarded(), square(value)))


@workflow
async def cancel_instances(ctx: Context, count: int) -> str:
    async def instances() -> str:
        return str(await ctx.map(never, list(range(count))))

    async def cancellation() -> str:
        found: int = await ctx.wait_for(red)
        return f"cancelled by {found}"

    return await ctx.race(instances(), cancellation())


@workflow
async def complete_instances(ctx: Context, count: int) -> list[int]:
    """A signal ends what is still under way; what has ended counts."""
    ended: list[int] = []

    async def instance(number: int) -> None:
        ended.append(await (square(number) if number else never(number)))

    async def instances() -> int:
        await ctx.gather(*(instance(number) for number in range(count)))
        return 0

    async def enough() -> int:
        while len(ended) < count - 1:
            await ctx.sleep(0.001)
        return await ctx.wait_for(red)

    await ctx.race(instances(), enough())
    return sorted(ended)


@workflow
async def generalised_and_join(ctx: Context, count: int) -> list[int]:
    """Tokens of either branch are kept until there is one of the other to join with."""
    return [await ctx.wait_for(red) + await ctx.wait_for(blue) for _ in range(count)]


@workflow
async def static_partial_join(ctx: Context, count: int) -> int:
    """Two of `count` instances are enough to go on; the others end and are ignored."""
    ended: list[int] = []
    followed: list[int] = []

    async def instance(number: int) -> None:
        ended.append(await square(number))
        if len(ended) == 2:
            followed.append(await double(count))

    await ctx.gather(*(instance(number) for number in range(count)))
    return followed[0]


@workflow
async def cancelling_partial_join(ctx: Context, count: int) -> list[int]:
    """Two of `count` instances are enough; the others are stopped."""
    return await n_of(2, *[square, square, *[never] * (count - 2)])(3)


@workflow
async def dynamic_partial_join(ctx: Context, wanted: int) -> list[int]:
    """More instances are begun as long as what has ended is not enough."""
    found: list[int] = []
    while sum(found) < wanted:
        found += await ctx.map(square, [len(found) + 1, len(found) + 2])
    return found


local = Graph("acyclic_synchronizing_merge", input=int)
one = local.add(add_one(local.input), when=local.input > 2)
two = local.add(double(local.input), when=local.input > 100)
merged = local.first(two, one)
acyclic_synchronizing_merge = local.returns(local.add(square(merged.out)).out)


@step(concurrency=1)
async def critical(value: int) -> int:
    return await alone_in(value)


@step
async def lone(value: int) -> int:
    return await alone_in(value)


@workflow
async def explicit_termination(ctx: Context, value: int) -> int:
    """The case ends when this node is reached, whatever else is under way."""
    return await ctx.race(add_one(value), never(value), never(value))


PATTERNS = {
    1: Case("sequence", chain(add_one).then(double), (3,), 8),
    2: Case("parallel split", parallel(add_one, double), (3,), (4, 6)),
    3: Case("synchronization", parallel(add_one, double).into(add), (3,), 10),
    4: Case("exclusive choice", branch(is_even, add_one, square), (4,), 5),
    5: Case("simple merge", chain(branch(is_even, add_one, square)).then(double), (3,), 18),
    6: Case("multi-choice", choose(chosen, add_one, double, square), (3,), [4, 9]),
    7: Case("structured synchronizing merge", chain(choose(chosen, add_one, double, square)).then(total), (3,), 13),
    8: Case("multi-merge", multi_merge, (3,), [8, 18]),
    9: Case("structured discriminator", discriminator, (3,), [6]),
    10: Case("arbitrary cycles", router(until=int, at_most=20)(count_down, step_back), (3,), 0),
    11: Case("implicit termination", implicit_termination, (3,), 9),
    12: Case("multiple instances without synchronization", unsynchronized, (3,), ["child 0", "child 1", "child 2"]),
    13: Case("multiple instances known in the design", instances_known_in_the_design, (2,), [4, 9, 16]),
    14: Case("multiple instances known at run time", chain(numbers).then(map_each(square)), (4,), [0, 1, 4, 9]),
    15: Case("multiple instances known to nobody before", instances_known_to_nobody_before, (3,), 15),
    16: Case("deferred choice", deferred_choice, (), "blue 7", act=sends((blue, 7))),
    17: Case(
        "interleaved parallel routing",
        parallel(chain(lone).then(double).then(lone), chain(lone).then(add_one).then(lone)),
        (3,),
        (6, 4),
        options={"concurrency": 1},
    ),
    18: Case("milestone", milestone, (3,), ["open"], act=ask_at_the_milestone),
    19: Case("cancel task", cancel_task, (3,), "cancelled by 5", act=sends((red, 5))),
    20: Case("cancel case", chain(add_one).then(never), (3,), status="cancelled", act=cancel_the_case),
    21: Case("structured loop", repeat(double, until=lambda value: value > 50, at_most=10), (3,), 96),
    22: Case("recursion", factorial, (5,), 120),
    23: Case(
        "transient trigger", transient_trigger, (3,), "8: threw [7] away, then None", act=sends((red, 7), (blue, 8))
    ),
    24: Case("persistent trigger", persistent_trigger, (3,), 7, act=sends((red, 7))),
    25: Case("cancel region", cancel_region, (3,), [7, 9], act=sends((red, 7))),
    26: Case("cancel multiple instance activity", cancel_instances, (3,), "cancelled by 5", act=sends((red, 5))),
    27: Case("complete multiple instance activity", complete_instances, (4,), [1, 4, 9], act=sends((red, 5))),
    28: Case("blocking discriminator", blocking_discriminator, (), [2, 4, 6], act=sends((red, 1), (red, 2), (red, 3))),
    29: Case("cancelling discriminator", chain(first_of(never, add_one)).then(double), (3,), 8),
    30: Case("structured partial join", partial_join, (3,), [6]),
    31: Case("blocking partial join", blocking_partial_join, (), [2, 4, 6], act=sends((red, 1), (red, 2), (red, 3))),
    32: Case("cancelling partial join", n_of(2, add_one, never, double), (3,), [4, 6]),
    33: Case(
        "generalised AND-join",
        generalised_and_join,
        (2,),
        [11, 22],
        act=sends((red, 1), (red, 2), (blue, 10), (blue, 20)),
    ),
    34: Case("static partial join for multiple instances", static_partial_join, (4,), 8),
    35: Case("cancelling partial join for multiple instances", cancelling_partial_join, (4,), [9, 9]),
    36: Case("dynamic partial join for multiple instances", dynamic_partial_join, (10,), [1, 4, 9, 16]),
    37: Case("acyclic synchronizing merge", acyclic_synchronizing_merge, (3,), 16),
    39: Case("critical section", chain(numbers).then(map_each(critical)), (4,), [0, 1, 2, 3]),
    40: Case("interleaved routing", parallel(lone, lone, lone, concurrency=1), (3,), (3, 3, 3)),
    41: Case("thread merge", chain(map_each(square)).then(total), ([1, 2, 3],), 14),
    42: Case("thread split", chain(numbers).then(map_each(add_one)), (3,), [1, 2, 3]),
    43: Case("explicit termination", explicit_termination, (3,), 4),
}
