"""The part of the contract of a store that is about runs which are not kept; see `store_contract`."""

from __future__ import annotations

from hashlib import sha256

import pytest

from ..core.values import by_content
from ..errors import StoreError
from ..ports import Batch, Request, RunFilter, Tombstone
from .store_samples import Make, a_head, first, opened, then

LARGE = b'"' + b"x" * 5000 + b'"'
REFERENCE, DIGEST = by_content(LARGE)


def a_stone(run: str = "r") -> Tombstone:
    """What stays of a run."""
    return Tombstone(run, "publish", "1", "completed", 1000, 2000, "", sha256(b"").hexdigest(), 3000, "ann", "old")


def ended(seq: int, run: str = "r") -> Batch:
    """The batch with which a run ends."""
    return then(seq, run, head=a_head(run, status="completed", updated_at=2000), release=True)


class RetentionContract:
    """What every store does with runs that are not kept."""

    async def test_a_run_that_ended_goes_with_all_that_is_its_own(self, make_store: Make) -> None:
        """Its place in lists is free, its id too; the tombstone stays."""
        async with opened(make_store) as store:
            await store.create(first(tags=("a",)))
            await store.put("r", "cancel", b"{}", "once")
            await store.append(then(2, head=a_head(status="completed", tags=("a",)), release=True))
            assert await store.prune(a_stone())
            assert not await store.prune(a_stone())
            assert await store.find_run("r") is None
            assert await store.read("r") == []
            assert await store.pending() == []
            assert (await store.list_runs(RunFilter(tag="a"))).runs == ()
            assert await store.list_tombstones(10) == [a_stone()]
            await store.create(first())
            assert await store.put("r", "cancel", b"{}", "once")
            requests: list[Request] = list(await store.pending(["r"]))
            assert [request.kind for request in requests] == ["cancel"]

    async def test_a_run_that_goes_on_is_not_removed(self, make_store: Make) -> None:
        """Nor one that is not there."""
        async with opened(make_store) as store:
            await store.create(first())
            assert not await store.prune(a_stone())
            assert not await store.prune(a_stone("nobody"))
            assert len(await store.read("r")) == 1
            assert await store.list_tombstones(10) == []

    async def test_tombstones_are_listed_newest_first_and_by_pages(self, make_store: Make) -> None:
        """The last that was pruned comes first."""
        async with opened(make_store) as store:
            for run in "abc":
                await store.create(first(run))
                await store.append(ended(2, run))
                assert await store.prune(a_stone(run))
            assert [stone.id for stone in await store.list_tombstones(2)] == ["c", "b"]
            assert [stone.id for stone in await store.list_tombstones(2, 2)] == ["a"]

    async def test_large_values_go_when_nothing_names_them_for_some_time(self, make_store: Make) -> None:
        """The first sweep notices, a later one removes; what another run names stays."""
        async with opened(make_store) as store:
            other, other_digest = by_content(b'"' + DIGEST.encode() * 90 + b'"')
            for run, row, blobs in (
                ("a", REFERENCE, ((DIGEST, LARGE),)),
                ("b", other, ((other_digest, b'"' + REFERENCE + b'"'),)),
            ):
                await store.create(first(run))
                await store.append(then(2, run, row=b"[]\n" + row, blobs=blobs))
                await store.append(ended(3, run))
            assert await store.sweep(1000, 0) == 0
            await store.prune(a_stone("a"))
            assert await store.sweep(1000, 0) == 0  # the value of the other run names it
            await store.prune(a_stone("b"))
            assert await store.sweep(1000, 500) == 0
            assert await store.sweep(1400, 500) == 0
            assert store.blob(DIGEST) == LARGE
            assert await store.sweep(1500, 500) == 2
            with pytest.raises(StoreError):
                store.blob(DIGEST)

    async def test_a_value_that_is_put_or_named_again_is_in_use(self, make_store: Make) -> None:
        """The time in which nothing named it begins anew."""
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, blobs=((DIGEST, LARGE),)))
            assert await store.sweep(1000, 500) == 0
            await store.put_blobs(((DIGEST, LARGE),))
            assert await store.sweep(1500, 500) == 0
            await store.put("r", "signal", b'{"value": "' + REFERENCE + b'"}')
            assert await store.sweep(9000, 500) == 0
            await store.append(then(3, row=b"[]\n" + REFERENCE))
            assert await store.sweep(9500, 500) == 0
            assert store.blob(DIGEST) == LARGE
