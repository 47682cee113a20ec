"""The part of the contract of a store that is about results kept for other runs; see `store_contract`."""

from __future__ import annotations

from ..ports import CachedResult
from .store_samples import Make, opened


class ResultContract:
    """What every store does with cached results."""

    async def test_a_result_is_found_by_its_key_until_it_expires(self, make_store: Make) -> None:
        """The moment of its expiry is the first at which it is not found."""
        async with opened(make_store) as store:
            assert store.find_result("k", 0) is None
            await store.keep_result(CachedResult("k", "step", b'"one"', 100))
            await store.keep_result(CachedResult("for ever", "step", b"null"))
            assert [store.find_result("k", now) for now in (0, 99, 100)] == [b'"one"', b'"one"', None]
            assert store.find_result("for ever", 2**62) == b"null"

    async def test_a_later_result_takes_the_place_of_an_earlier_one(self, make_store: Make) -> None:
        """Also with another expiry."""
        async with opened(make_store) as store:
            await store.keep_result(CachedResult("k", "step", b"1", 100))
            await store.keep_result(CachedResult("k", "step", b"2", 200))
            assert store.find_result("k", 150) == b"2"
            assert await store.forget_results() == 1

    async def test_results_are_forgotten_by_step_and_by_expiry(self, make_store: Make) -> None:
        """What is counted is what was there."""
        async with opened(make_store) as store:
            for number, step in enumerate("aabb"):
                await store.keep_result(CachedResult(f"{number}", step, b"1", 100 * number))
            assert await store.forget_results("a", 100) == 1
            assert await store.forget_results(expired_by=200) == 1
            assert [store.find_result(f"{number}", 50) for number in range(4)] == [b"1", None, None, b"1"]
            assert await store.forget_results("b") == 1
            assert await store.forget_results() == 1
            assert await store.forget_results() == 0
