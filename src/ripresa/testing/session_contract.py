"""The part of the contract of a store that is about what several runs share; see `store_contract`."""

from __future__ import annotations

import json

import pytest

from ..core.values import by_content
from ..errors import Fenced, SessionError
from ..ports import ArtifactHead, ArtifactSave, RunFilter, SessionFilter, SessionWrite, Shelved, Spend
from .store_samples import Make, a_session, first, opened, outcome, then

WORD = SessionWrite("s", "word", "set", b'"one"', 5)
COUNT = SessionWrite("s", "count", "add", b"2", 6)


class SessionContract:
    """What every store does with sessions."""

    async def test_a_session_is_created_once(self, make_store: Make) -> None:
        """It comes back as it was given; a second one of its id is refused."""
        async with opened(make_store) as store:
            assert store.find_session("s") is None
            await store.create_session(a_session(limits='{"steps":1}'))
            with pytest.raises(SessionError) as caught:
                await store.create_session(a_session(owner="bob"))
            assert caught.value.code == "session_exists"
            assert store.find_session("s") == a_session(limits='{"steps":1}')

    async def test_sessions_are_listed_newest_first_and_page_to_the_end(self, make_store: Make) -> None:
        """By owner and status, and after a session that was seen."""
        async with opened(make_store) as store:
            for number in range(6):
                status = "suspended" if number % 3 == 0 else "active"
                head = a_session(f"s{number}", owner="ab"[number % 2], created_at=number // 2, status=status)
                await store.create_session(head)

            async def ids(where: SessionFilter) -> list[str]:
                return [head.id for head in (await store.list_sessions(where)).sessions]

            assert await ids(SessionFilter()) == ["s5", "s4", "s3", "s2", "s1", "s0"]
            assert await ids(SessionFilter(owner="a")) == ["s4", "s2", "s0"]
            assert await ids(SessionFilter(("active",), owner="b")) == ["s5", "s1"]
            assert await ids(SessionFilter(("active", "suspended"), limit=2, after="s4")) == ["s3", "s2"]
            assert (await store.list_sessions(SessionFilter(limit=5))).more
            assert not (await store.list_sessions(SessionFilter(limit=6))).more
            with pytest.raises(SessionError) as caught:
                await store.list_sessions(SessionFilter(after="nobody"))
            assert caught.value.code == "session_not_found"

    async def test_a_session_changes_only_from_the_status_that_is_expected(self, make_store: Make) -> None:
        """Of two that change it at the same time one is told so; owner and creation stay."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            suspended = a_session(status="suspended", owner="eve", created_at=1, updated_at=2000, limits="{}")
            assert await store.set_session(suspended, "active")
            assert not await store.set_session(suspended, "active")
            assert not await store.set_session(a_session("unknown"), "active")
            assert store.find_session("s") == a_session(status="suspended", updated_at=2000, limits="{}")

    async def test_all_running_runs_of_a_session_are_asked_with_its_change(self, make_store: Make) -> None:
        """Not those of another, not those that have ended."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            await store.create(first("mine", session="s"))
            await store.create(first("done", session="s", status="completed"))
            await store.create(first("other"))
            assert await store.set_session(a_session(status="suspended"), "active", b"{}")
            assert [(each.run, each.kind, each.body) for each in await store.pending()] == [("mine", "pause", b"{}")]
            await store.append(then(2, "mine", head=first("mine", session="s", status="paused").head, taken=(1,)))
            assert await store.set_session(a_session(), "suspended", b"[]", kind="continue")
            assert [(each.run, each.kind, each.body) for each in await store.pending()] == [("mine", "continue", b"[]")]

    async def test_a_session_that_must_be_idle_waits_for_its_runs(self, make_store: Make) -> None:
        """Nothing changes while one of them has not ended."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            await store.create(first(session="s"))
            completed = a_session(status="completed")
            assert not await store.set_session(completed, "active", idle=True)
            await store.append(then(2, head=first(session="s", status="failed").head))
            assert await store.set_session(completed, "active", idle=True)

    async def test_a_run_begins_only_in_an_active_session(self, make_store: Make) -> None:
        """The check is part of the creation."""
        async with opened(make_store) as store:
            await store.create_session(a_session(status="suspended"))
            for session, code in (("s", "invalid_state"), ("unknown", "session_not_found")):
                with pytest.raises(SessionError) as caught:
                    await store.create(first(session=session))
                assert caught.value.code == code
            assert await store.find_run("r") is None

    async def test_runs_are_listed_by_their_session(self, make_store: Make) -> None:
        """Together with the other filters; a run may go on in another session."""
        async with opened(make_store) as store:
            for id in ("s", "later"):
                await store.create_session(a_session(id))
            await store.create(first("a", session="s", tags=("x, ", "y")))
            await store.create(first("b", session="s", status="failed", workflow="w"))
            await store.create(first("c", tags=("y",)))

            async def ids(**where: object) -> list[str]:
                page = await store.list_runs(RunFilter(session="s", **where))  # type: ignore[arg-type]
                return [head.id for head in page.runs]

            assert await ids() == ["b", "a"]
            assert await ids(tag="y") == await ids(tag="x, ") == ["a"]
            assert await ids(tag=", ") == []
            assert await ids(status=("failed",), workflow="w") == ["b"]
            await store.append(then(2, "a", head=first("a", session="later").head))
            assert await ids() == ["b"]
            found = await store.find_run("a")
            assert found is not None
            assert found.session == "later"

    async def test_values_become_durable_with_the_batch_they_belong_to(self, make_store: Make) -> None:
        """Once; a batch that is fenced changes none."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            await store.create(first(session="s"))
            await store.append(then(2, shared=(WORD, COUNT, COUNT)))
            assert await outcome(store.append(then(2, shared=(COUNT,)))) is Fenced
            assert store.session_values("s") == {"count": Shelved(b"4", 2, 6), "word": Shelved(b'"one"', 1, 5)}
            assert store.session_values("s", "word") == {"word": Shelved(b'"one"', 1, 5)}
            assert store.session_values("s", "nothing") == {}
            assert store.session_values("unknown") == {}

    async def test_values_change_from_outside_of_any_run(self, make_store: Make) -> None:
        """All changes of a call, or none of them."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            await store.share((WORD, COUNT))
            with pytest.raises(SessionError) as caught:
                await store.share((COUNT, WORD._replace(session="unknown")))
            assert caught.value.code == "session_not_found"
            await store.share((WORD._replace(op="delete"),))
            assert store.session_values("s") == {"count": Shelved(b"2", 1, 6)}

    async def test_what_a_session_holds_is_there_after_closing(self, make_store: Make) -> None:
        """And for every other store on the same data."""
        async with opened(make_store) as store:
            await store.create_session(a_session())
            await store.share((COUNT,))
            async with opened(make_store) as other:
                await other.share((COUNT,))
                assert store.session_values("s") == other.session_values("s") == {"count": Shelved(b"4", 2, 6)}
        async with opened(make_store) as again:
            assert again.session_values("s")["count"].value == b"4"

    async def test_what_is_reserved_of_a_session_is_not_given_twice(self, make_store: Make) -> None:
        """A place holds its steps once; what it released is used, what it did not use is free again."""
        async with opened(make_store) as store, opened(make_store) as other:
            limits = '{"steps":2,"tokens":100,"concurrency":2}'
            await store.create_session(a_session(limits=limits))
            await store.create(first(session="s"))
            step = {"steps": 1, "operations": 1}
            assert await store.reserve("s", "r", "a", step, 1000) is None
            assert await store.reserve("s", "r", "a", step, 1000) is None
            assert await store.reserve("s", "r", "a", {"tokens": 60}, 1000) is None
            assert await other.reserve("s", "x", "b", {"tokens": 60}, 1000) == ("tokens", 60, 100)
            assert await other.reserve("s", "x", "b", step, 1000) is None
            assert await other.reserve("s", "x", "c", step, 1000) == ("concurrency", 2, 2)
            await store.append(then(2, shared=(Spend("s", "r", "a"), Spend("s", "r", "", (("tokens", 20),)))))
            assert await other.reserve("s", "x", "c", step, 1000) == ("steps", 2, 2)
            assert await other.reserve("s", "x", "b", {"tokens": 80}, 1000) is None
            await store.append(then(3, shared=(Spend("s", "x", "*", (), False),)))
            found = store.find_session("s")
            assert found is not None
            assert json.loads(found.used) == {"steps": 1, "operations": 1, "tokens": 20}
            lost = Spend("s", "r", "z", unheld=(("operations", 1),))
            await store.append(then(4, shared=(lost, lost._replace(keep=False))))
            found = store.find_session("s")
            assert found is not None
            assert json.loads(found.used)["operations"] == 2
            with pytest.raises(SessionError):
                await store.reserve("unknown", "r", "a", step, 1000)

    async def test_a_place_that_goes_on_releases_what_it_has_recorded(self, make_store: Make) -> None:
        """It may ask for more operations than the one that it began with, and goes back to that one."""
        async with opened(make_store) as store:
            await store.create_session(a_session(limits='{"operations":5,"tokens":100}'))
            await store.create(first(session="s"))
            assert await store.reserve("s", "r", "a", {"steps": 1, "operations": 1}, 1000) is None
            assert await store.reserve("s", "r", "a", {"operations": 4, "tokens": 50}, 1000, more=True) is None
            assert await store.reserve("s", "r", "a", {"operations": 1}, 1000, more=True) == ("operations", 5, 5)
            part, used = Spend("s", "r", "a", part=True), Spend("s", "r", "", (("operations", 3), ("tokens", 40)))
            await store.append(then(2, shared=(part, used)))
            assert await store.reserve("s", "r", "b", {"operations": 1, "tokens": 60}, 1000) is None
            assert await store.reserve("s", "r", "a", {"operations": 1}, 1000, more=True) == ("operations", 5, 5)
            await store.append(then(3, shared=(Spend("s", "r", "a"), Spend("s", "r", "*", (), False))))
            found = store.find_session("s")
            assert found is not None
            assert json.loads(found.used) == {"steps": 1, "operations": 4, "tokens": 40}

    async def test_the_time_of_a_session_is_counted_from_its_creation(self, make_store: Make) -> None:
        """In seconds, though moments are in microseconds."""
        async with opened(make_store) as store:
            await store.create_session(a_session(created_at=0, limits='{"wall_time":2}'))
            assert await store.reserve("s", "r", "a", {}, 2_000_000) is None
            assert await store.reserve("s", "r", "b", {}, 2_500_000) == ("wall_time", 2.5, 2)

    async def test_an_artifact_has_a_version_for_each_other_content(self, make_store: Make) -> None:
        """In its scope, by name, with the batch that it belongs to; what equals the version before makes no new one."""
        saved = ArtifactSave("run:r", "draft", "r", "write", "text/plain", "aa", 2, 5, '["aa"]')
        async with opened(make_store) as store:
            await store.create(first())
            await store.append(then(2, shared=(saved, saved._replace(digest="bb"), saved._replace(digest="bb"))))
            await store.append(then(3, shared=(saved, saved._replace(name="a"), saved._replace(scope="session:s"))))
            found = await store.list_artifacts("run:r")
            versions = [("a", 1, "aa"), ("draft", 1, "aa"), ("draft", 2, "bb"), ("draft", 3, "aa")]
            assert [(head.name, head.version, head.digest) for head in found] == versions
            head = ArtifactHead("session:s", "draft", 1, "r", "write", "text/plain", "aa", 2, 5, '["aa"]')
            assert list(await store.list_artifacts("session:s")) == [head]
            assert len(await store.list_artifacts(run="r")) == 5
            assert len(await store.list_artifacts("run:r", name="draft")) == 3
            assert list(await store.list_artifacts("run:nobody")) == []

    async def test_large_values_may_be_kept_before_anything_names_them(self, make_store: Make) -> None:
        """Once, however often."""
        async with opened(make_store) as store:
            digest = by_content(b"piece")[1]
            for _ in range(2):
                await store.put_blobs(((digest, b"piece"),))
            assert store.blob(digest) == b"piece"
