"""The contract of a store as a suite of tests: an adapter of `ripresa.ports.Store` conforms when it passes them.

Subclass `StoreContract` in a test module, name the subclass `Test...` and give it the two things it needs::

    class TestMyStore(StoreContract):
        @pytest.fixture
        def make_store(self, tmp_path):
            return lambda: MyStore(tmp_path / "data")

        def lose(self, store):
            store.connection_of_owner.abort()

The tests are asynchronous and run through anyio's pytest plugin.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from ..core.values import by_content
from ..errors import Fenced, RipresaError, RunExists, RunNotFound, StoreError
from ..ports import NEVER, Batch, Page, Row, RunFilter, RunHead, SessionFilter, Store
from .outbox_contract import OutboxContract
from .result_contract import ResultContract
from .retention_contract import RetentionContract
from .session_contract import SessionContract
from .store_samples import Make, a_head, a_session, first, opened, outcome, then


class StoreContract(SessionContract, ResultContract, OutboxContract, RetentionContract):
    """What every store does. See the head of the module for how to use it."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> str:
        """The loop that the stores are written for."""
        return "asyncio"

    @pytest.fixture
    def make_store(self) -> Make:
        """A function that gives one more store, not opened, on the same data: each is an owner of its own."""
        pytest.fail("override the fixture make_store")

    def lose(self, store: Store) -> None:
        """Let all others take this store's owner for dead, while the store goes on (a zombie)."""
        pytest.fail("override lose(store)")

    # --- journal -----------------------------------------------------------------------------------------------------

    async def test_it_is_a_store(self, make_store: Make) -> None:
        """It has the methods of the ports."""
        async with opened(make_store) as store:
            assert isinstance(store, Store)
            assert store.url

    async def test_what_was_appended_is_read_in_order(self, make_store: Make) -> None:
        """Rows come back as they were given, also those of several events."""
        async with opened(make_store) as store:
            await store.create(first(row=b"[1,2]", count=2))
            await store.append(then(3))
            await store.append(then(4, row=b"[4,5,6]", count=3))
            await store.append(then(7))
            assert list(await store.read("r")) == [
                Row(1, 2, b"[1,2]"),
                Row(3, 1, b"[3]"),
                Row(4, 3, b"[4,5,6]"),
                Row(7, 1, b"[7]"),
            ]

    async def test_reading_goes_on_after_any_event(self, make_store: Make) -> None:
        """A row whose last events are new is read again, whole."""
        async with opened(make_store) as store:
            await store.create(first(row=b"[1,2]", count=2))
            await store.append(then(3, row=b"[3,4,5]", count=3))
            await store.append(then(6))

            async def seqs(after: int) -> list[int]:
                return [row.seq for row in await store.read("r", after)]

            assert [await seqs(after) for after in range(8)] == [
                [1, 3, 6],
                [1, 3, 6],
                [3, 6],
                [3, 6],
                [3, 6],
                [6],
                [],
                [],
            ]

    async def test_a_limited_reading_makes_progress(self, make_store: Make) -> None:
        """At least one row comes, and no more than are needed for about `limit` events."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, row=b"[...]", count=10))
            await store.append(then(12))

            async def seqs(after: int, limit: int) -> list[int]:
                return [row.seq for row in await store.read("r", after, limit)]

            assert await seqs(0, 1) == [1]
            assert await seqs(0, 2) == [1, 2]
            assert await seqs(1, 1) == [2]
            assert await seqs(1, 100) == [2, 12]

    async def test_an_unknown_run_has_no_events(self, make_store: Make) -> None:
        """Nothing is read, nothing is raised."""
        async with opened(make_store) as store:
            assert list(await store.read("nobody")) == []

    async def test_a_run_is_created_once(self, make_store: Make) -> None:
        """The second creation changes nothing of the first."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first(status="running"))
            for each in (store, other):
                with pytest.raises(RunExists) as caught:
                    await each.create(first(row=b"[9]", status="failed"))
                assert caught.value.run == "r"
            assert list(await store.read("r")) == [Row(1, 1, b"[1]")]
            assert await store.find_run("r") == a_head(status="running")
            await store.append(then(2))

    async def test_of_two_creations_at_once_one_wins(self, make_store: Make) -> None:
        """The other one is told."""
        async with opened(make_store) as store:
            both = await asyncio.gather(outcome(store.create(first())), outcome(store.create(first())))
            assert sorted(both, key=str) == sorted([None, RunExists], key=str)
            assert len(await store.read("r")) == 1

    async def test_a_first_batch_has_a_head_and_begins_with_one(self, make_store: Make) -> None:
        """Anything else is a mistake of the caller."""
        async with opened(make_store) as store:
            for wrong in (Batch("r", 1, 1, b"[]"), Batch("r", 2, 1, b"[]", head=a_head())):
                with pytest.raises(RipresaError) as caught:
                    await store.create(wrong)
                assert caught.value.code == "usage"
            assert await store.find_run("r") is None

    @pytest.mark.parametrize("seq", [1, 2, 4, 100])
    async def test_an_append_that_is_not_the_next_one_is_fenced(self, make_store: Make, seq: int) -> None:
        """Too early is as wrong as too late, and nothing of it is kept."""
        value, digest = b'"large"', by_content(b'"large"')[1]
        async with opened(make_store) as store:
            await store.create(first(row=b"[1,2]", count=2))
            await store.put("r", "signal", b"{}")
            (request,) = await store.pending()
            wrong = then(seq, blobs=((digest, value),), head=a_head(status="failed"), taken=(request.number,))
            with pytest.raises(Fenced) as caught:
                await store.append(wrong)
            assert caught.value.run == "r"
            assert list(await store.read("r")) == [Row(1, 2, b"[1,2]")]
            assert await store.find_run("r") == a_head()
            assert list(await store.pending()) == [request]
            with pytest.raises(StoreError):
                store.blob(digest)

    async def test_after_a_fence_the_owner_claims_and_goes_on(self, make_store: Make) -> None:
        """It is still the owner, so the epoch is the same."""
        async with opened(make_store) as store:
            await store.create(first())
            await outcome(store.append(then(5)))
            assert await store.claim("r") == 1
            await store.append(then(2))
            assert len(await store.read("r")) == 2

    async def test_who_does_not_own_a_run_cannot_append(self, make_store: Make) -> None:
        """Nor can anybody append to a run that does not exist."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first())
            for batch in (then(2), then(1, "nobody"), then(2, "nobody")):
                assert await outcome(other.append(batch)) is Fenced
            await store.append(then(2))

    async def test_large_values_are_kept_by_content(self, make_store: Make) -> None:
        """The same value may come any number of times, from any run."""
        values = [b'"' + bytes([65 + n]) * 5000 + b'"' for n in range(3)]
        blobs = tuple((by_content(value)[1], value) for value in values)
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(Batch("r", 1, 1, b"[1]", blobs=blobs[:2], head=a_head()))
            await store.append(then(2, blobs=blobs[1:]))
            await other.create(Batch("s", 1, 1, b"[1]", blobs=blobs, head=a_head("s")))
            for each in (store, other):
                assert [each.blob(digest) for digest, _ in blobs] == values

    async def test_a_missing_value_is_an_error(self, make_store: Make) -> None:
        """A reference without its value is damage."""
        async with opened(make_store) as store:
            with pytest.raises(StoreError) as caught:
                store.blob("00" * 32)
            assert caught.value.code == "store_corrupt"

    async def test_a_thousand_runs_append_in_one_turn(self, make_store: Make) -> None:
        """Each gets its own events."""
        async with opened(make_store) as store:
            names = [f"r{number}" for number in range(1000)]
            await asyncio.gather(*(store.create(first(name, row=name.encode())) for name in names))
            await asyncio.gather(*(store.append(then(2, name, row=b"2" + name.encode())) for name in names))
            for name in names[::100]:
                rows = [row.data for row in await store.read(name)]
                assert rows == [name.encode(), b"2" + name.encode()]

    async def test_a_fenced_run_is_left_out_alone(self, make_store: Make) -> None:
        """What goes with its batch is left out too; everyone else's is kept."""
        value, digest = b'"x"', by_content(b'"x"')[1]
        async with opened(make_store) as zombie, opened(make_store) as heir:
            for name in ("a", "b", "c"):
                await zombie.create(first(name))
            self.lose(zombie)
            await heir.claim("b")
            await heir.append(then(2, "b", row=b"[taken]"))
            batches = [then(2, name, head=a_head(name, status="failed")) for name in ("a", "b", "c")]
            batches[1] = then(2, "b", blobs=((digest, value),), head=a_head("b", status="failed"))
            outcomes = await asyncio.gather(*(outcome(zombie.append(batch)) for batch in batches))
            assert outcomes == [None, Fenced, None]
            assert [row.data for row in await heir.read("b")] == [b"[1]", b"[taken]"]
            statuses = {head.id: head.status for head in (await heir.list_runs(RunFilter())).runs}
            assert statuses == {"a": "failed", "b": "running", "c": "failed"}
            with pytest.raises(StoreError):
                heir.blob(digest)
            await zombie.append(then(3, "a"))

    async def test_what_was_stored_is_there_after_closing(self, make_store: Make) -> None:
        """The next store on the same data reads all of it and owns none of it."""
        async with opened(make_store) as store:
            await store.create(first(tags=("t",)))
            await store.append(then(2))
            await store.put("r", "signal", b"{}")
        async with opened(make_store) as store:
            assert len(await store.read("r")) == 2
            assert await store.find_run("r") == a_head(tags=("t",))
            assert [request.kind for request in await store.pending()] == ["signal"]
            assert await store.owner("r") is None

    # --- lists -------------------------------------------------------------------------------------------------------

    async def test_a_run_is_found_by_its_id(self, make_store: Make) -> None:
        """All fields come back."""
        head = a_head("r", error="it broke", tags=("a", "b c", "a,b", "é\n"), updated_at=5000)
        async with opened(make_store) as store:
            await store.create(Batch("r", 1, 1, b"[1]", head=head))
            assert await store.find_run("r") == head
            assert await store.find_run("s") is None

    async def test_a_batch_may_change_the_line_of_its_run(self, make_store: Make) -> None:
        """Everything but the id, the workflow and the moment of creation; lists follow."""
        async with opened(make_store) as store:
            await store.create(first(tags=("a", "b")))
            await store.append(then(2))
            new = a_head(status="failed", version="2", target="x:y", updated_at=2000, error="no", tags=("b", "c"))
            await store.append(then(3, head=new))
            assert await store.find_run("r") == new

            async def found(**where: Any) -> bool:
                return bool((await store.list_runs(RunFilter(**where))).runs)

            assert [await found(tag=tag) for tag in "abc"] == [False, True, True]
            assert [await found(status=(status,)) for status in ("running", "failed")] == [False, True]
            await store.append(then(4, head=a_head(workflow="other", created_at=1, updated_at=3000, tags=("a",))))
            assert await store.find_run("r") == a_head(updated_at=3000, tags=("a",))
            assert [await found(tag=tag) for tag in "abc"] == [True, False, False]

    async def test_lists_show_the_newest_first_and_page_to_the_end(self, make_store: Make) -> None:
        """For every filter and every size of page the pages put together are the whole list, without doubles."""
        rng = random.Random(7)
        heads = [
            a_head(
                f"r{rng.randrange(10**6)}-{number}",
                workflow=rng.choice(["w1", "w2"]),
                status=rng.choice(["running", "failed", "completed"]),
                created_at=rng.randrange(1, 12),
                tags=tuple(sorted(rng.sample(["x", "y", "z"], rng.randrange(3)))),
            )
            for number in range(60)
        ]
        async with opened(make_store) as store:
            for head in heads:
                await store.create(Batch(head.id, 1, 1, b"[1]", head=head))
            for _ in range(60):
                where = _some_filter(rng)
                assert await _all_pages(store, where) == expected(heads, where), where

    async def test_an_empty_list_has_no_more(self, make_store: Make) -> None:
        """The page says so."""
        async with opened(make_store) as store:
            assert await store.list_runs(RunFilter()) == Page((), False)

    async def test_a_page_after_an_unknown_run_is_an_error(self, make_store: Make) -> None:
        """An empty page would say that the list has ended."""
        async with opened(make_store) as store:
            with pytest.raises(RunNotFound):
                await store.list_runs(RunFilter(after="nobody"))

    # --- inbox -------------------------------------------------------------------------------------------------------

    async def test_requests_wait_in_order_until_a_batch_takes_them(self, make_store: Make) -> None:
        """Anyone may leave one; the owner takes it together with the events it became."""
        async with opened(make_store) as owner, opened(make_store) as sender:
            await owner.create(first("r"))
            await owner.create(first("s"))
            for run, kind in (("r", "signal"), ("s", "cancel"), ("r", "pause")):
                assert await sender.put(run, kind, b'{"n":1}')
            one, two, three = await owner.pending()
            assert [(each.run, each.kind, each.body) for each in (one, two, three)] == [
                ("r", "signal", b'{"n":1}'),
                ("s", "cancel", b'{"n":1}'),
                ("r", "pause", b'{"n":1}'),
            ]
            assert one.number < two.number < three.number
            assert list(await owner.pending(["r"])) == [one, three]
            assert list(await owner.pending(["s", "r", "nobody"])) == [one, two, three]
            assert list(await owner.pending([])) == []
            await owner.append(then(2, "r", taken=(one.number,)))
            assert list(await sender.pending()) == [two, three]

    async def test_a_batch_takes_only_what_is_its_own(self, make_store: Make) -> None:
        """The request of another run stays, and one that is gone already does no harm."""
        async with opened(make_store) as store:
            await store.create(first("r"))
            await store.create(first("s"))
            await store.put("s", "signal", b"{}")
            (request,) = await store.pending()
            await store.append(then(2, "r", taken=(request.number, request.number + 1)))
            assert list(await store.pending()) == [request]

    async def test_numbers_rise_after_requests_were_taken(self, make_store: Make) -> None:
        """A number never comes twice."""
        async with opened(make_store) as store:
            await store.create(first())
            numbers: list[int] = []
            for seq in range(2, 5):
                await store.put("r", "signal", b"{}")
                (request,) = await store.pending()
                numbers.append(request.number)
                await store.append(then(seq, taken=(request.number,)))
            assert numbers == sorted(set(numbers))

    async def test_a_double_is_noticed_even_after_the_first_was_taken(self, make_store: Make) -> None:
        """Per run; requests without `dedup` are never doubles."""
        async with opened(make_store) as store, opened(make_store) as sender:
            await store.create(first("r"))
            await store.create(first("s"))
            assert await sender.put("r", "signal", b"{}", "key")
            assert not await store.put("r", "signal", b"{}", "key")
            (request,) = await store.pending()
            await store.append(then(2, "r", taken=(request.number,)))
            assert not await sender.put("r", "signal", b"{}", "key")
            assert await sender.put("s", "signal", b"{}", "key")
            assert [await sender.put("r", "signal", b"{}") for _ in range(2)] == [True, True]
            assert len(await store.pending()) == 3

    async def test_a_request_needs_a_run(self, make_store: Make) -> None:
        """With and without `dedup`, every time."""
        async with opened(make_store) as store:
            for dedup in ("", "key", "key"):
                with pytest.raises(RunNotFound) as caught:
                    await store.put("nobody", "signal", b"{}", dedup)
                assert caught.value.run == "nobody"
            assert list(await store.pending()) == []

    async def test_what_others_write_is_noticed_once(self, make_store: Make) -> None:
        """A poll costs nothing while nothing happens."""
        async with opened(make_store) as owner, opened(make_store) as sender:
            await owner.create(first())
            owner.changed()
            assert not owner.changed()
            await sender.put("r", "signal", b"{}")
            assert owner.changed()
            assert not owner.changed()

    # --- owners ------------------------------------------------------------------------------------------------------

    async def test_a_run_belongs_to_who_created_it(self, make_store: Make) -> None:
        """Nobody else can claim it while that one lives; claiming again changes nothing."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first())
            assert [await store.claim("r"), await store.claim("r")] == [1, 1]
            assert [await store.claim("r", anew=True), await store.claim("r")] == [2, 2]
            assert await other.claim("r") is None
            assert await other.claim("r", anew=True) is None
            name = await store.owner("r")
            assert name is not None
            assert await other.owner("r") == name

    async def test_a_run_that_was_given_up_can_be_claimed(self, make_store: Make) -> None:
        """The epoch rises with every new owner, and who gave it up can no longer append."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first())
            await store.release("r")
            assert await store.owner("r") is None
            assert await outcome(store.append(then(2))) is Fenced
            assert await other.claim("r") == 2
            await other.append(then(2))
            await store.release("r")
            assert await store.claim("r") is None
            await other.release("r")
            assert await store.claim("r") == 3
            await store.append(then(3))

    async def test_a_batch_can_give_the_run_up(self, make_store: Make) -> None:
        """In the same transaction: who ends a run pays no second one for letting it go."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first())
            await store.append(then(2, head=a_head(status="failed"), release=True))
            assert await store.owner("r") is None
            assert await outcome(store.append(then(3))) is Fenced
            assert await other.claim("r") == 2

    async def test_the_runs_of_a_closed_store_are_free(self, make_store: Make) -> None:
        """There is nothing to wait for."""
        async with opened(make_store) as other:
            async with opened(make_store) as store:
                await store.create(first(count=3))
            assert await other.owner("r") is None
            assert await other.claim("r") == 2
            await other.append(then(4))

    async def test_a_zombie_is_fenced_by_the_first_append_of_its_heir(self, make_store: Make) -> None:
        """It may append until then; what it holds in memory after that is worth nothing."""
        async with opened(make_store) as zombie, opened(make_store) as heir:
            await zombie.create(first())
            self.lose(zombie)
            assert await heir.claim("r") == 2
            await heir.append(then(2, row=b"[taken]"))
            assert await outcome(zombie.append(then(2))) is Fenced
            assert await outcome(zombie.append(then(3))) is Fenced
            assert await zombie.claim("r") is None
            assert [row.data for row in await zombie.read("r")] == [b"[1]", b"[taken]"]

    async def test_an_unknown_run_has_no_owner(self, make_store: Make) -> None:
        """It cannot be claimed; giving it up does nothing."""
        async with opened(make_store) as store:
            with pytest.raises(RunNotFound):
                await store.claim("nobody")
            await store.release("nobody")
            assert await store.owner("nobody") is None

    # --- sleepers ----------------------------------------------------------------------------------------------------

    async def test_a_run_that_sleeps_is_free_and_listed_as_waiting(self, make_store: Make) -> None:
        """Whoever is there when it is due may claim it; its next batch with a head wakes it."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first())
            await store.sleep("r", 500)
            head = await other.find_run("r")
            assert head is not None
            assert (head.status, head.wake_at, await other.owner("r")) == ("waiting", 500, None)
            assert [each.id for each in (await other.list_runs(RunFilter(status=("waiting",)))).runs] == ["r"]
            assert await outcome(store.append(then(2))) is Fenced
            assert await other.claim("r") == 2
            assert await store.claim("r") is None
            await other.append(then(2, head=a_head()))
            head = await store.find_run("r")
            assert head is not None
            assert (head.status, head.wake_at) == ("running", 0)
            assert list(await other.due(1000, 10)) == []

    async def test_who_does_not_own_a_run_cannot_put_it_to_sleep(self, make_store: Make) -> None:
        """Nor one that there is not; one that is not running keeps its status."""
        async with opened(make_store) as store, opened(make_store) as other:
            await store.create(first(status="paused"))
            await other.sleep("r", 500)
            await other.sleep("nobody", 500)
            assert await other.owner("r") is not None
            await store.sleep("r", 0)
            head = await store.find_run("r")
            assert head is not None
            assert (head.status, head.wake_at) == ("paused", 1)

    async def test_sleepers_are_due_in_order_of_their_moments(self, make_store: Make) -> None:
        """And the store says when the next one is; those that wait for requests alone never are."""
        async with opened(make_store) as store:
            for run, until in (("c", 300), ("a", 100), ("b", 200), ("d", NEVER)):
                await store.create(first(run))
                await store.sleep(run, until)
            assert [head.id for head in await store.due(250, 10)] == ["a", "b"]
            assert [head.id for head in await store.due(300, 1, 1)] == ["b"]
            assert [await store.next_wake(now) for now in (0, 100, 299, 300)] == [100, 200, 300, 0]

    async def test_a_request_wakes_a_run(self, make_store: Make) -> None:
        """One that is not asleep is not made so; a double wakes nobody."""
        async with opened(make_store) as store, opened(make_store) as sender:
            await store.create(first())
            await sender.put("r", "signal", b"{}", "key")
            assert list(await store.due(1000, 10)) == []
            (request,) = await store.pending()
            await store.append(then(2, taken=(request.number,)))
            await store.sleep("r", NEVER, request.number)
            assert not await sender.put("r", "signal", b"{}", "key")
            assert list(await store.due(1000, 10)) == []
            await sender.put("r", "signal", b"{}")
            assert [head.id for head in await store.due(1000, 10)] == ["r"]

    async def test_a_run_does_not_sleep_through_a_request_that_nobody_looked_at(self, make_store: Make) -> None:
        """It may have come at the last moment; one that was looked at and left where it is does not count."""
        async with opened(make_store) as store, opened(make_store) as sender:
            for run in "rs":
                await store.create(first(run))
                await sender.put(run, "of a newer version", b"{}")
            seen = max(request.number for request in await store.pending())
            await store.sleep("r", NEVER)
            await store.sleep("s", NEVER, seen)
            assert [head.id for head in await store.due(1000, 10)] == ["r"]

    # --- opening and closing -----------------------------------------------------------------------------------------

    async def test_a_closed_store_says_so(self, make_store: Make) -> None:
        """As does one that was never opened; closing twice does nothing."""
        store = make_store()
        await store.close()
        await _says_closed(store)
        await store.open()
        await store.open()
        await store.create(first())
        await store.close()
        await store.close()
        await _says_closed(store)

    async def test_closing_finishes_what_was_begun(self, make_store: Make) -> None:
        """Appends that wait are made durable first."""
        store = make_store()
        await store.open()
        for name in "abc":
            await store.create(first(name))
        waiting = [asyncio.ensure_future(store.append(then(2, name))) for name in "abc"]
        await asyncio.sleep(0)
        await store.close()
        assert await asyncio.gather(*waiting) == [None, None, None]
        async with opened(make_store) as again:
            assert [len(await again.read(name)) for name in "abc"] == [2, 2, 2]


def expected(heads: Sequence[RunHead], where: RunFilter) -> list[RunHead]:
    """What a list without pages shows of these runs: the law in its simplest form."""
    found = [
        head
        for head in heads
        if (not where.status or head.status in where.status)
        and (not where.workflow or head.workflow == where.workflow)
        and (not where.tag or where.tag in head.tags)
        and (not where.created_after or head.created_at > where.created_after)
        and (not where.created_before or head.created_at < where.created_before)
    ]
    return sorted(found, key=lambda head: (head.created_at, head.id), reverse=True)


def _some_filter(rng: random.Random) -> RunFilter:
    return RunFilter(
        status=tuple(rng.choices(["running", "failed", "unheard of"], k=rng.randrange(3))),
        workflow=rng.choice(["", "w1"]),
        tag=rng.choice(["", "x"]),
        created_after=rng.choice([0, 3]),
        created_before=rng.choice([0, 9]),
        limit=rng.choice([1, 2, 7, 100]),
    )


async def _all_pages(store: Store, where: RunFilter) -> list[RunHead]:
    found: list[RunHead] = []
    more = True
    while more:
        page = await store.list_runs(replace(where, after=found[-1].id if found else ""))
        assert len(page.runs) <= where.limit
        assert page.runs or not page.more
        found += page.runs
        more = page.more
    return found


async def _says_closed(store: Store) -> None:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.create(first()),
        lambda: store.append(then(2)),
        lambda: store.read("r"),
        lambda: store.find_run("r"),
        lambda: store.list_runs(RunFilter()),
        lambda: store.put("r", "signal", b"{}"),
        lambda: store.pending(),
        lambda: store.claim("r"),
        lambda: store.release("r"),
        lambda: store.owner("r"),
        lambda: store.create_session(a_session()),
        lambda: store.list_sessions(SessionFilter()),
        lambda: store.set_session(a_session(), "active"),
        lambda: store.share(()),
        lambda: store.sleep("r", 1),
        lambda: store.due(1, 1),
        lambda: store.next_wake(1),
        lambda: store.reserve("s", "r", "a", {}, 1),
        lambda: store.put_blobs(()),
        lambda: store.list_artifacts("x"),
    ]
    for call in calls:
        with pytest.raises(StoreError) as caught:
            await call()
        assert caught.value.code == "closed"
    probes: list[Callable[[], object]] = [
        lambda: store.blob("00"),
        lambda: store.changed(),
        lambda: store.find_session("s"),
        lambda: store.session_values("s"),
    ]
    for probe in probes:
        with pytest.raises(StoreError) as caught:
            probe()
        assert caught.value.code == "closed"


__all__ = ["Make", "StoreContract", "a_head", "expected", "first", "opened", "outcome", "then"]
