"""The part of the contract of a store that is about what runs send; see `store_contract`."""

from __future__ import annotations

from dataclasses import replace

from ..ports import NEVER, WEBHOOK, Outgoing, Tombstone
from .store_samples import Make, a_head, first, opened, outcome, then


def sent(run: str, id: str) -> Outgoing:
    """Something that a run sends."""
    return Outgoing(run, "step", "signal", "other", id, b'{"id":1}', 1000)


class OutboxContract:
    """What every store does with what runs send."""

    async def test_what_is_sent_becomes_durable_with_its_batch_or_not_at_all(self, make_store: Make) -> None:
        """A batch that is refused sends nothing."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, shared=(sent("r", "a"), sent("r", "b"))))
            await outcome(store.append(then(2, shared=(sent("r", "c"),))))
            found = await store.outgoing_of("r")
            assert [each.id for each in found] == ["a", "b"]
            assert found[0] == sent("r", "a")._replace(number=found[0].number)
            assert 0 < found[0].number < found[1].number
            assert await store.outgoing_of("other") == []

    async def test_of_each_run_the_oldest_is_due(self, make_store: Make) -> None:
        """The next one when that is delivered, also if it was put off."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.create(first("q"))
            await store.append(then(2, shared=(sent("r", "a"), sent("r", "b"))))
            await store.append(then(2, "q", shared=(sent("q", "c"),)))
            found = await store.outgoing(0, 10)
            assert sorted(each.id for each in found) == ["a", "c"]
            assert len(await store.outgoing(0, 1)) == len(await store.outgoing(0, 10, 1)) == 1
            assert await store.next_outgoing(0) == 0
            number = next(each.number for each in found if each.id == "a")
            await store.delivered(number)
            await store.delivered(number)
            assert sorted(each.id for each in await store.outgoing(0, 10)) == ["b", "c"]

    async def test_what_was_put_off_holds_up_its_own_run(self, make_store: Make) -> None:
        """Until it is due; what was given up holds nobody up and is kept."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, shared=(sent("r", "a"), sent("r", "b"))))
            [was] = await store.outgoing(0, 10)
            later = was._replace(tries=1, due=100, error="nobody is there")
            assert await store.postpone(was, later)
            assert not await store.postpone(was, later)
            assert await store.outgoing(99, 10) == []
            assert await store.next_outgoing(99) == 100
            assert await store.outgoing(100, 10) == [later]
            given_up = later._replace(tries=2, due=NEVER)
            assert await store.postpone(later, given_up)
            assert [each.id for each in await store.outgoing(0, 10)] == ["b"]
            assert (await store.outgoing_of("r"))[0] == given_up
            assert await store.next_outgoing(0) == 0
            await store.delivered(was.number)
            assert not await store.postpone(given_up, later)

    async def test_a_place_of_the_web_holds_up_nothing_but_its_own(self, make_store: Make) -> None:
        """Webhooks wait for earlier ones to the same target; what else a run sends does not wait for them."""
        hook = sent("r", "a")._replace(kind=WEBHOOK, target="here")
        batch = (hook, hook._replace(id="b"), hook._replace(id="c", target="there"), sent("r", "d"), sent("r", "e"))
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, shared=batch))
            found = await store.outgoing(0, 10)
            assert sorted(each.id for each in found) == ["a", "c", "d"]
            was = next(each for each in found if each.id == "a")
            assert await store.postpone(was, was._replace(due=500))
            assert sorted(each.id for each in await store.outgoing(0, 10)) == ["c", "d"]
            assert await store.next_outgoing(0) == 500
            await store.delivered(was.number)
            assert sorted(each.id for each in await store.outgoing(0, 10)) == ["b", "c", "d"]

    async def test_the_first_batch_of_a_run_may_send_too(self, make_store: Make) -> None:
        """And one that is refused does not."""
        async with opened(make_store) as store:
            await store.create(first()._replace(shared=(sent("r", "a"),)))
            await outcome(store.create(first()._replace(shared=(sent("r", "b"),))))
            assert [each.id for each in await store.outgoing_of("r")] == ["a"]

    async def test_what_was_sent_outlives_the_store_and_its_run(self, make_store: Make) -> None:
        """What was given up goes with the run that is pruned."""
        stone = Tombstone("r", "publish", "1", "completed", 1000, 1000, "", "digest", 2000)
        async with opened(make_store) as store:
            await store.create(first())
            head = replace(a_head(), status="completed")
            await store.append(then(2, shared=(sent("r", "a"), sent("r", "b")), head=head, release=True))
            [was] = await store.outgoing(0, 10)
            assert await store.postpone(was, was._replace(due=NEVER))
            assert await store.prune(stone)
        async with opened(make_store) as store:
            assert [each.id for each in await store.outgoing_of("r")] == ["b"]

    async def test_what_all_runs_sent_is_listed_in_pages(self, make_store: Make) -> None:
        """Oldest first; what was given up by itself if that is asked."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.create(first("q"))
            await store.append(then(2, shared=(sent("r", "a"), sent("r", "b"))))
            await store.append(then(2, "q", shared=(sent("q", "c"),)))
            found = await store.undelivered(10)
            assert [each.id for each in found] == ["a", "b", "c"]
            assert [each.id for each in await store.undelivered(1, found[0].number)] == ["b"]
            assert await store.undelivered(10, found[-1].number) == []
            assert await store.undelivered(10, given_up=True) == []
            assert await store.postpone(found[1], found[1]._replace(due=NEVER))
            assert [each.id for each in await store.undelivered(10, given_up=True)] == ["b"]
            assert await store.undelivered(10, found[1].number, given_up=True) == []

    async def test_what_is_sent_with_the_creation_of_a_run_is_kept(self, make_store: Make) -> None:
        """Or not at all, if there is a run of its id."""
        async with opened(make_store) as store:
            await store.create(first()._replace(shared=(sent("r", "a"),)))
            await outcome(store.create(first()._replace(shared=(sent("r", "b"),))))
            assert [each.id for each in await store.outgoing_of("r")] == ["a"]
