"""What steps report beside their results: usage, files, artifacts; the totals of runs. On both stores."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Config,
    Pool,
    Retry,
    RipresaError,
    RunFailed,
    StoreError,
    branch,
    chain,
    current,
    map_each,
    step,
    stream,
)
from ripresa.core import events as e
from ripresa.core.events import Interacted
from ripresa.errors import InvalidValue
from ripresa.ports import Store
from ripresa.runtime import reports
from ripresa.runtime.feed import TextWritten
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.stores.sqlite import SQLiteStore
from tests.runtime.stage import Failing, journal_of, kinds, turns


@pytest.fixture(params=["memory", "sqlite"])
async def app(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[App]:
    store: Store = MemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "runs.db", "normal")
    async with App(store, patience=0.05) as app:
        yield app


@step
async def ask(words: int) -> int:
    current().usage(tokens=words, cost=0.25)
    current().usage(tokens=1)
    return words


@step
def write(name: str) -> str:
    current().touched(f"out/{name}.txt")
    current().touched(Path("out/index.txt"))
    current().save_artifact(name, f"about {name}")
    return name


@step
def total(numbers: list[int]) -> int:
    return sum(numbers)


# --- totals


async def test_a_run_adds_up_what_its_steps_used(app: App) -> None:
    handle = await app.start(chain(map_each(ask)).then(total)([1, 2, 3]))
    await handle.result()
    view = await handle.status()
    assert (view.tokens, view.cost, view.completed, view.percent) == (9, 0.75, 4, 100.0)
    assert view.duration == view.updated_at - view.created_at
    used = [event for event in await journal_of(handle) if isinstance(event, e.UsageReported)]
    assert sorted(event.tokens for event in used) == [2, 3, 4]


async def test_what_a_failed_attempt_used_counts_and_what_it_saved_does_not(app: App) -> None:
    @step(retry=2)
    def second_time(n: int) -> int:
        current().usage(tokens=n)
        current().touched("a.txt")
        current().save_artifact("a", "text")
        if current().attempt == 1:
            raise ValueError
        return n

    handle = await app.start(second_time(5))
    await handle.result()
    view = await handle.status()
    assert (view.tokens, view.artifacts, view.files) == (10, 1, {"a.txt": "second_time"})


async def test_usage_of_a_journaled_call_is_recorded_with_it(app: App) -> None:
    async def model(n: int) -> int:
        current().usage(tokens=n)
        return n

    @step(retry=2)
    async def agent(n: int) -> int:
        first = await current().call(model, n)
        if current().attempt == 1:
            raise ValueError
        return first + await current().call(model, n + 1)

    handle = await app.start(agent(5))
    assert await handle.result() == 11
    assert (await handle.status()).tokens == 11
    recorded = [name for name in kinds(await journal_of(handle)) if name in ("UsageReported", "CallRecorded")]
    assert recorded == ["UsageReported", "CallRecorded"] * 2


async def test_a_bad_report_fails_the_step(app: App) -> None:
    @step
    def wrong(which: str) -> None:
        here: Any = current()
        calls: dict[str, Any] = {
            "tokens": lambda: here.usage(tokens=1.5, cost="x"),
            "cost": lambda: here.usage(cost=-1),
            "name": lambda: here.save_artifact("", b""),
            "file": lambda: here.save_artifact("x", Path("/nowhere")),
        }
        calls[which]()

    for which, words in (
        ("tokens", "tokens is 1.5.*cost is 'x'"),
        ("cost", "cost is -1"),
        ("name", "is no printable text"),
        ("file", "/nowhere is no file"),
    ):
        with pytest.raises(RunFailed, match=words) as caught:
            await app.run(wrong(which))
        assert caught.value.failure.types[0].endswith(InvalidValue.__name__)


async def test_outside_a_run_reports_are_forgotten() -> None:
    assert await ask(3) == 3
    assert await write("x") == "x"


async def test_a_condition_has_nothing_to_report(app: App) -> None:
    def meddles(n: int) -> bool:
        here = current()
        calls: list[Any] = [
            lambda: here.usage(tokens=1),
            lambda: here.touched("x"),
            lambda: here.save_artifact("x", b""),
            lambda: here.write("x"),
            lambda: here.interaction("a", "b", "call", 1),
            lambda: here.models,
            lambda: here.transaction(),
            lambda: here.ensure(tokens=1).send(None),
        ]
        for report in calls:
            with pytest.raises(RipresaError, match="a condition has nothing to report") as caught:
                report()
            assert caught.value.code == "invalid_state"
        with pytest.raises(RipresaError, match="a condition cannot hold a pool"):
            here.checkout(Pool("p", size=1))
        return True

    await app.sessions.create("s")
    assert await app.run(branch(meddles, ask, ask)(1), session="s") == 1


# --- who sent what to whom


async def test_interactions_are_recorded_in_order_also_of_attempts_that_fail(app: App) -> None:
    @step(retry=Retry(2, 0))
    async def plan(topic: str) -> str:
        current().interaction("planner", "writer", "handoff", {"topic": topic, "attempt": current().attempt})
        if current().attempt == 1:
            raise ValueError
        return topic

    handle = await app.start(plan("tides"))
    await handle.result()
    told = [event for event in await journal_of(handle) if isinstance(event, Interacted)]
    assert [(each.sender, each.receiver, each.kind, each.attempt) for each in told] == [
        ("planner", "writer", "handoff", 1),
        ("planner", "writer", "handoff", 2),
    ]
    assert told[0].content == b'{"topic":"tides","attempt":1}'
    assert (await handle.status()).interactions == told


async def test_outside_a_run_nothing_is_told() -> None:
    current().interaction("a", "b", "call", 1)
    current().write("text")
    assert dict(current().models) == {}
    await current().ensure(tokens=1)


async def test_text_is_told_to_watchers_as_it_is_written(app: App) -> None:
    begin = asyncio.Event()

    @step
    async def speak() -> None:
        await begin.wait()
        current().write("one ")
        current().write("two")

    handle = await app.start(speak())
    written: list[str] = []

    async def watch() -> None:
        async for item in handle.watch():
            if isinstance(item, TextWritten):
                written.append(item.text)

    watching = asyncio.create_task(watch())
    await turns(5)
    begin.set()
    await watching
    assert written == ["one ", "two"]


async def test_a_step_sees_the_models_of_its_app() -> None:
    @step
    async def look() -> dict[str, str]:
        return dict(current().models)

    config = Config.load(env={"RIPRESA_MODELS_FAST": "openai:gpt-4o-mini", "RIPRESA_MODELS_DEFAULT": "fast"})
    async with App("memory:", config=config, models={"fast": "local"}) as app:
        assert await app.run(look()) == {"fast": "local", "default": "fast"}


# --- artifacts


async def test_an_artifact_is_there_with_the_completion_of_its_step(app: App) -> None:
    handle = await app.start(write("tides"), id="r")
    await handle.result()
    (artifact,) = await app.artifacts.list(run="r")
    assert (artifact.name, artifact.version, artifact.step, artifact.size) == ("tides", 1, "write", 11)
    assert (artifact.run, artifact.session, artifact.media_type) == ("r", "", "text/plain; charset=utf-8")
    assert artifact.digest == sha256(b"about tides").hexdigest()
    assert await app.artifacts.get("tides", run="r") == b"about tides"
    assert [name for name in kinds(await journal_of(handle)) if "Step" not in name and "Run" not in name] == [
        "ArtifactSaved",
        "FilesTouched",
    ]
    assert (await handle.status()).files == {"out/tides.txt": "write", "out/index.txt": "write"}


@step
def draft(text: str) -> None:
    current().save_artifact("draft", text.encode(), media_type="text/markdown")


async def test_runs_of_a_session_add_versions_to_the_same_name(app: App) -> None:
    await app.sessions.create("s")
    for number, text in enumerate(("one", "two", "two", "one")):
        await app.run(draft(text), id=f"r{number}", session="s")
    versions = await app.artifacts.versions("draft", session="s")
    assert [(each.version, each.run, each.session) for each in versions] == [
        (1, "r0", "s"),
        (2, "r1", "s"),
        (3, "r3", "s"),
    ]
    assert await app.artifacts.get("draft", session="s") == b"one"
    assert await app.artifacts.get("draft", session="s", version=2) == b"two"
    assert await app.artifacts.list(session="s") == versions[-1:]
    assert await app.artifacts.list(run="r1") == versions[1:2]


async def test_a_run_named_like_a_session_has_versions_of_its_own(app: App) -> None:
    await app.sessions.create("x")
    await app.run(draft("one"), id="a", session="x")
    await app.run(draft("two"), id="x")
    assert [each.version for each in await app.artifacts.versions("draft", run="x")] == [1]
    assert await app.artifacts.get("draft", session="x") == b"one"


async def test_a_large_file_is_read_and_written_in_pieces(
    app: App, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "CHUNK", 1000)
    content = bytes(range(256)) * 40
    source, target = tmp_path / "source.bin", tmp_path / "target.bin"
    source.write_bytes(content)

    @step
    def keep(path: str) -> None:
        current().save_artifact("whole", Path(path))
        current().save_artifact("part", content[:1500])
        current().save_artifact("empty", b"")

    await app.run(keep(str(source)), id="r")
    saved = await app.artifacts.save("whole", target, run="r")
    assert target.read_bytes() == content
    assert (saved.size, saved.media_type) == (len(content), "application/octet-stream")
    assert await app.artifacts.get("part", run="r") == content[:1500]
    assert await app.artifacts.get("empty", run="r") == b""
    heads = {head.name: head for head in await app.store.list_artifacts(run="r")}
    assert heads["whole"].content.count(",") == 10


async def test_what_is_not_there_is_said(app: App) -> None:
    for version, words in ((None, "no artifact 'x' of 'r'"), (2, "no version 2 of artifact 'x' of 'r'")):
        with pytest.raises(RipresaError, match=words) as caught:
            await app.artifacts.get("x", run="r", version=version)
        assert caught.value.code == "artifact_not_found"
    with pytest.raises(RipresaError, match="of a run or of a session") as caught:
        await app.artifacts.list()
    assert caught.value.code == "usage"


async def test_content_that_changed_in_the_store_is_noticed() -> None:
    memory = Memory()
    async with App(MemoryStore(memory)) as app:
        await app.run(draft("one"), id="r")
        memory.blobs[sha256(b"one").hexdigest()] = b"two"
        with pytest.raises(StoreError, match="another content than was saved"):
            await app.artifacts.get("draft", run="r")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("number", [2, 3])
async def test_an_artifact_is_saved_once_or_not_at_all_wherever_an_append_fails(number: int, after: bool) -> None:
    memory = Memory()
    flow = chain(write).then(write)
    async with App(Failing(MemoryStore(memory), number, after=after)) as app:
        handle = await app.start(flow("x"), id="r")
        with pytest.raises(RipresaError):
            await handle.result()
    async with App(MemoryStore(memory)) as app:
        handle = await app.resume("r", flow)
        await handle.result()
        assert len(await app.artifacts.versions("x", run="r")) == 1
        assert (await handle.status()).artifacts == 2


# --- streams


async def test_the_sink_of_a_stream_reports_batch_by_batch(app: App) -> None:
    def numbers(count: int) -> list[int]:
        return list(range(count))

    async def keep(batch: list[int]) -> None:
        current().session.add("sum", sum(batch))
        current().usage(tokens=len(batch))
        current().save_artifact("last", str(batch))

    flow = stream(numbers).batch(2).into(keep)
    await app.sessions.create("s")
    handle = await app.start(flow(6), session="s")
    await handle.result()
    assert await app.sessions.value("s", "sum") == 15
    assert (await handle.status()).tokens == 6
    names = kinds(await journal_of(handle))
    assert names.index("SessionWritten") < names.index("StreamAdvanced")
    assert len(await app.artifacts.versions("last", session="s")) >= 1
    await asyncio.sleep(0)
