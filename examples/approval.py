"""A post that two of three people have to approve; the process may end while they think.

ripresa run examples/approval.py:publish --input '"tides"' --id post-1
ripresa approvals
ripresa approve post-1 --as ann --form '{"title": "About tides"}'
ripresa approve post-1 --as cid --form '{"title": "All about tides"}'
ripresa show post-1
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ripresa import App, Context, step, workflow


@dataclass
class Post:
    title: str
    text: str


@dataclass
class Review:
    """What whoever approves fills in."""

    title: str


@step
async def write(topic: str) -> Post:
    return Post(topic, f"What there is to say about {topic}.")


@step
async def send(post: Post) -> str:
    return f"sent: {post.title}"


@workflow
async def publish(ctx: Context, topic: str) -> str:
    post = await write(topic)
    decided = await ctx.approval(
        "Publish this?",
        post,
        form=Review,
        assignees=["ann", "bob", "cid"],
        quorum=2,
        remind="1 day",
        escalate="2 days",
        escalate_to=["role:editor"],
        timeout="7 days",
        expiry="reject",
    )
    if not decided.granted:
        return f"not sent ({decided.how}): {decided.comment}"
    return await send(Post(decided.form.title, post.text))


async def main() -> None:
    async with App("memory:") as app:
        handle = await app.start(publish("tides"))
        while not await handle.approvals():  # noqa: ASYNC110 - for the example, the same process answers
            await asyncio.sleep(0.01)
        (asked,) = await handle.approvals()
        print(asked.question, asked.about)
        await handle.approve(by="ann", form=Review("About tides"), digest=asked.digest)
        await handle.approve(by="cid", form=Review("All about tides"), digest=asked.digest)
        print(await handle.result())


if __name__ == "__main__":
    asyncio.run(main())
