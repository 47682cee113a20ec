"""The tree of settings: where values come from and which of them wins, what is refused, what it does to an app."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    App,
    Config,
    Context,
    Features,
    Flow,
    Graph,
    InvalidConfig,
    Limits,
    Recorded,
    RipresaError,
    RunFailed,
    Signal,
    approval,
    approved,
    before,
    best_effort,
    branch,
    case,
    chain,
    choose,
    current,
    delay,
    fallback,
    first_of,
    first_success,
    fold,
    for_range,
    map_each,
    n_of,
    parallel,
    repeat,
    router,
    saga,
    speculate,
    step,
    stream,
    wait_for,
    workflow,
)
from ripresa import config as config_module
from ripresa.config import AppConfig, RunConfig
from ripresa.core import events as e
from ripresa.stores.memory import Memory, MemoryStore
from ripresa.testing.clock import ManualClock
from tests.runtime.stage import Tally, journal_of, turns

TOML = """
preset = "fast"

[app]
max_concurrency = 7
patience = "3 seconds"

[chains]
timeout = 60

[limits]
tokens = 100
wall_time = "1 minute"
on_exceeded = "pause"

[features]
streams = false
"""

YAML = """
preset: fast
app: {max_concurrency: 7, patience: 3 seconds}
chains: {timeout: 60}
limits: {tokens: 100, wall_time: 1 minute, on_exceeded: pause}
features: {streams: false}
"""

DICT = {
    "preset": "fast",
    "app": {"max_concurrency": 7, "patience": 3},
    "chains": {"timeout": 60.0},
    "limits": {"tokens": 100, "wall_time": 60.0, "on_exceeded": "pause"},
    "features": {"streams": False},
}

ENVIRONMENT = {
    "RIPRESA_PRESET": "fast",
    "RIPRESA_APP_MAX_CONCURRENCY": "7",
    "RIPRESA_APP_PATIENCE": "3",
    "RIPRESA_CHAINS_TIMEOUT": "1 minute",
    "RIPRESA_LIMITS_TOKENS": "100",
    "RIPRESA_LIMITS_WALL_TIME": "60",
    "RIPRESA_LIMITS_ON_EXCEEDED": "pause",
    "RIPRESA_FEATURES_STREAMS": "off",
    "RIPRESA_ELSEWHERE": "is not ours",
    "HOME": "/root",
}

EXPECTED = Config(
    app=AppConfig(durability="normal", max_concurrency=7, patience=3.0),
    chains=RunConfig(timeout=60.0),
    limits=Limits(tokens=100, wall_time=60.0, on_exceeded="pause"),
    features=Features(streams=False),
)


@pytest.mark.parametrize("kind", ["dict", "toml", "yaml", "pyproject", "environment", "keyword", "named file"])
def test_the_same_tree_comes_from_everywhere(kind: str, tmp_path: Path) -> None:
    (tmp_path / "ripresa.toml").write_text(TOML)
    (tmp_path / "ripresa.yaml").write_text(YAML)
    tables = TOML.replace("[", "[tool.ripresa.").replace('preset = "fast"', '[tool.ripresa]\npreset = "fast"')
    (tmp_path / "pyproject.toml").write_text(tables)
    plain: dict[str, Any] = {name: value for name, value in DICT.items() if name != "preset"}
    found = {
        "dict": lambda: Config.load(DICT, env={}),
        "toml": lambda: Config.load(tmp_path / "ripresa.toml", env={}),
        "yaml": lambda: Config.load(str(tmp_path / "ripresa.yaml"), env={}),
        "pyproject": lambda: Config.load(tmp_path / "pyproject.toml", env={}),
        "environment": lambda: Config.load(env=ENVIRONMENT),
        "keyword": lambda: Config.load(env={}, preset="fast", **plain),
        "named file": lambda: Config.load(env={"RIPRESA_CONFIG": str(tmp_path / "ripresa.toml")}),
    }[kind]()
    assert found == EXPECTED


def test_without_anything_the_defaults_are_those_of_an_app() -> None:
    assert Config.load(env={}) == Config()
    assert App("memory:").config.app == AppConfig(store="memory:")


def test_what_is_nearer_to_the_call_wins_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    for _ in range(100):
        where = {name: rng.sample(range(4), rng.randrange(5)) for name in ("threads", "processes", "max_concurrency")}
        layers: list[dict[str, Any]] = [
            {name: 10 * level + 1 for name in where if level in where[name]} for level in range(4)
        ]
        monkeypatch.setitem(config_module.PRESETS, "mine", {"app": layers[0]})
        env = {f"RIPRESA_APP_{name.upper()}": str(value) for name, value in layers[2].items()}
        found = Config.load({"app": layers[1], "preset": "mine"}, env=env, app=layers[3]).app
        for name, levels in where.items():
            assert getattr(found, name) == (10 * max(levels) + 1 if levels else None)


def test_the_preset_that_is_named_nearest_is_taken() -> None:
    durability = [
        Config.load({"preset": "robust"}, env={}).app.patience,
        Config.load({"preset": "robust"}, env={"RIPRESA_PRESET": "fast"}).app.patience,
        Config.load({"preset": "fast"}, env={"RIPRESA_PRESET": "fast"}, preset="robust").app.patience,
    ]
    assert durability == [30.0, 1.0, 30.0]


@pytest.mark.parametrize("preset", config_module.PRESETS)
def test_every_preset_is_valid(preset: str) -> None:
    assert Config.load(env={}, preset=preset) != Config()


def test_the_store_has_a_variable_of_its_own() -> None:
    assert Config.load(env={"RIPRESA_STORE": "memory:"}).app.store == "memory:"
    assert Config.load(env={"RIPRESA_STORE": "a", "RIPRESA_APP_STORE": "b"}).app.store == "b"


def test_every_bad_field_is_named_at_once() -> None:
    tree: Mapping[str, Any] = {
        "app": {"threads": 0, "durability": "some", "patience": "soon", "speed": 1, "store": 5},
        "features": {"maps": "maybe"},
        "chains": 7,
        "colours": {},
        "models": {"fast": 7, "slow": "openai:gpt-4o"},
        "limits": {"tokens": -1, "money": "much", "wall_time": "x"},
    }
    names = ("GRAPHS_TIMEOUT", "LIMITS_MONEY", "FEATURES_LOOPS")
    with pytest.raises(InvalidConfig) as caught:
        Config.load(tree, env={f"RIPRESA_{name}": "?" for name in names})
    for words in (
        "app.threads (dict) is 0, must be a whole number from 1",
        "app.durability (dict) is 'some', must be one of full, normal",
        "app.patience (dict) is 'soon', must be a length of time",
        "app.speed (dict) is no option, must be one of store,",
        "app.store (dict) is 5, must be text",
        "features.maps (dict) is 'maybe', must be true or false",
        "chains (dict) is 7, must hold options",
        "colours (dict) is no section, must be one of app,",
        "models.fast (dict) is 7, must be the name of a model",
        "limits.tokens (dict) is -1, must be a whole number from 0",
        "limits.money (dict) is 'much', must be a number from 0",
        "limits.wall_time (dict) is 'x'",
        "graphs.timeout (environment) is '?'",
        "limits.money (environment) is '?'",
        "features.loops (environment) is '?'",
    ):
        assert words in caught.value.message
    assert caught.value.code == "invalid_config"


def test_what_only_the_section_can_tell_is_named_too() -> None:
    with pytest.raises(InvalidConfig, match="limits: on_exceeded is 'explode'"):
        Config.load({"limits": {"on_exceeded": "explode"}}, env={})
    with pytest.raises(InvalidConfig, match="preset is 'slow', must be one of fast, robust"):
        Config.load(env={}, preset="slow")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.toml", "[", "is no TOML"),
        ("a.yaml", "{", "is no YAML"),
        ("a.yaml", "5", "holds no sections"),
        ("a.json", "{}", "is neither .toml nor .yaml"),
        ("", "", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(name: str, text: str, words: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(InvalidConfig, match=words):
        Config.load(tmp_path / (name or "nothing.toml"), env={})


def test_yaml_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("app: {}")

    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(config_module, "import_module", missing)
    with pytest.raises(RipresaError, match=r"ripresa\[documents\]") as caught:
        Config.load(tmp_path / "a.yaml", env={})
    assert caught.value.code == "extra_missing"


def test_an_empty_yaml_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("# nothing\n")
    assert Config.load(tmp_path / "a.yml", env={}) == Config()
    assert Config.load(env={"RIPRESA_APP_THREADS": ""}).app.threads is None


# --- what it does to an app


def test_keywords_of_an_app_go_before_its_config(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    assert App.from_config(tmp_path / "a.toml").config == EXPECTED
    app = App("memory:", config=EXPECTED, threads=2, patience="1 minute")
    assert app.config.app == AppConfig(
        store="memory:", durability="normal", max_concurrency=7, threads=2, patience=60.0
    )
    assert app.config.limits == EXPECTED.limits
    with pytest.raises(InvalidConfig, match=r"app.durability \(keyword\) is 'some'"):
        App("memory:", durability="some")


@step
def add(n: int) -> int:
    return n + 1


@workflow
async def function(ctx: Context, n: int) -> int:
    return await add(n)


@pytest.mark.parametrize(
    ("feature", "flow"),
    [
        ("chains", chain(add).then(add)),
        ("workflows", function),
        ("parallel", parallel(add, add)),
        ("maps", chain(map_each(add))),
        ("loops", repeat(add, until=bool, at_most=1)),
        ("waits", chain(delay(0)).then(add)),
    ],
)
async def test_a_pattern_that_is_switched_off_cannot_be_started(feature: str, flow: Any) -> None:
    argument: Any = [1] if feature == "maps" else 1
    async with App("memory:", config={"features": {feature: False}}) as app:
        with pytest.raises(RipresaError, match=f"uses {feature}, which this app has switched off") as caught:
            await app.start(flow(argument))
        assert (caught.value.code, caught.value.hint) == ("invalid_state", f"set features.{feature} to true")
        assert await app.run(add(1)) == 2
    async with App("memory:") as app:
        await app.run(flow(argument))


async def test_sessions_can_be_switched_off() -> None:
    async with App("memory:", config={"features": {"sessions": False}}) as app:
        await app.sessions.create("s")
        with pytest.raises(RipresaError, match="uses sessions"):
            await app.start(add(1), session="s")


async def test_runs_have_the_usual_settings_of_their_kind_and_the_limits_of_all() -> None:
    tally = Tally(open=True)

    @step
    async def visit(n: int) -> int:
        await tally.visit()
        assert current().deadline is not None
        return n

    tree = {"chains": {"timeout": 60, "concurrency": 1}, "limits": {"tokens": 5}}
    async with App("memory:", config=tree) as app:
        handle = await app.start(chain(map_each(visit))([1, 2, 3]))
        await handle.result()
        assert tally.most == 1
        started = (await journal_of(handle))[0]
        assert isinstance(started, e.RunStarted)
        assert started.limits == Limits(tokens=5, concurrency=1).encode()
        assert started.deadline == started.at + 60_000_000
        handle = await app.start(chain(map_each(visit))([1, 2, 3]), concurrency=2, timeout=5)
        await handle.result()
        assert tally.most == 2


async def test_observability_is_injected_and_can_be_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    for enabled in (True, False):
        seen: list[str] = []

        def tell(recorded: Recorded, seen: list[str] = seen) -> None:
            seen.append(type(recorded.event).__name__)

        caplog.clear()
        tree = {"observability": {"enabled": enabled, "log": "info"}}
        with caplog.at_level(logging.INFO, "ripresa.events"):
            async with App("memory:", config=tree, listeners=[tell]) as app:
                await app.run(add(1))
        logged = [record.message for record in caplog.records if record.name == "ripresa.events"]
        expected = ["RunStarted", "StepScheduled", "StepCompleted", "RunCompleted"] if enabled else []
        assert seen == logged == expected
        assert all(getattr(record, "run", "") for record in caplog.records)


# --- features where something is written


@dataclass
class Held:
    n: int = 0


async def durable(ctx: Context, value: int) -> int:
    return value


@step
async def increase(value: int) -> int:
    return value + 1


@step
async def add_up(total: int, item: int) -> int:
    return total + item


def numbers(last: int) -> list[int]:
    return list(range(last))


plain_flow = chain(increase)


@step(effect="read")
async def look_up(number: int) -> int:
    return number


def gated() -> Flow[int, int]:
    g = Graph("g", input=int)
    first = g.add(increase(g.input))
    return g.returns(g.add(increase(first.out), when=first.out > 1).out)


async def _asks_for(feature: str, ctx: Context) -> object:
    match feature:
        case "waits":
            await ctx.sleep(0.001)
        case "approvals":
            return await ctx.approval("ok?", 1, timeout=0.001, expiry="reject")
        case "parallel":
            return await ctx.gather(increase(1), increase(2))
        case "maps":
            return await ctx.map(increase, [1])
        case "sagas":
            async with ctx.saga():
                pass
        case "branches":
            return await ctx.gather(branch(bool, increase, increase)(1), plain_flow(1))
        case "chains":
            return await plain_flow(1)
        case "plain":
            return await ctx.map(_plain, [1])
        case _:
            return await hooked(1)
    return None


hooked = increase.with_(hooks=[before(lambda asked: None)])


@workflow
async def asking(ctx: Context, feature: str) -> str:
    try:
        await _asks_for(feature, ctx)
    except RipresaError as error:
        return error.code
    return "fine"


@pytest.mark.parametrize("feature", ["waits", "approvals", "parallel", "maps", "sagas", "branches", "chains", "hooks"])
async def test_what_a_durable_function_asks_for_goes_by_the_features_of_its_app(feature: str) -> None:
    async with App("memory:") as app:
        assert await app.run(asking(feature)) == "fine"
    async with App("memory:", config={"features": {feature: False}}) as app:
        assert await app.run(asking(feature)) == "invalid_state"
        assert await app.run(asking("waits" if feature == "maps" else "maps")) == "fine"


async def _plain(n: int) -> int:
    return n


async def test_plain_functions_that_a_durable_function_maps_over_use_no_feature() -> None:
    async with App("memory:", config={"features": {"waits": False}}) as app:
        assert await app.run(asking("plain")) == "fine"


async def test_what_was_recorded_stands_when_a_feature_is_switched_off_later() -> None:
    go, memory = Signal("go", int), Memory()

    @workflow
    async def patient(ctx: Context, feature: str) -> str:
        await ctx.gather(increase(1), increase(2))
        await ctx.wait_for(go)
        return await asking(feature)

    async with App(MemoryStore(memory), patience=0.01) as app:
        handle = await app.start(patient("parallel"), id="r")
        while not (await handle.status()).waits:
            await turns(1)
    async with App(MemoryStore(memory), config={"features": {"parallel": False}}) as app:
        handle = await app.resume("r", patient)
        await handle.send(go, 1)
        assert await handle.result() == "invalid_state"


ALL_ON: dict[str, Any] = {}
OFF: dict[str, Any] = {"features": {"parallel": False}}
GO = Signal("go", int)


@workflow
async def refused(ctx: Context, times: int) -> list[str]:
    """Asks for what may be switched off, and goes on without it where it is."""
    found: list[str] = []
    for _ in range(times):
        try:
            await ctx.gather(increase(1), increase(2))
            found.append("fine")
        except RipresaError as error:
            found.append(error.code)
        await increase(3)
        await ctx.wait_for(GO)
    return found


@pytest.mark.parametrize(("first", "then", "found"), [
    (OFF, ALL_ON, ["invalid_state", "fine"]),
    (OFF, OFF, ["invalid_state", "invalid_state"]),
    (ALL_ON, OFF, ["fine", "invalid_state"]),
])  # fmt: skip
async def test_what_was_refused_stands_and_what_is_asked_later_goes_by_whoever_drives_the_run(
    first: dict[str, Any], then: dict[str, Any], found: list[str]
) -> None:
    memory, clock = Memory(), ManualClock()
    async with App(MemoryStore(memory), config=first, clock=clock, patience=0.01) as app:
        handle = await app.start(refused(2), id="r")
        while not (await handle.status()).waits:
            await turns(1)
    async with App(MemoryStore(memory), config=then, clock=clock, workflows=[refused]) as app:
        handle = await app.handle("r", refused)
        await handle.send(GO, 1)  # nobody drives it: it is taken up for this
        while (await handle.status()).current or not (await handle.status()).waits:
            await turns(1)
        await handle.send(GO, 2)
        assert await handle.result() == found


@pytest.mark.parametrize("way", ["work", "timer"])
async def test_a_run_that_a_worker_or_a_timer_takes_up_goes_by_the_features_of_its_app(way: str) -> None:
    made: list[str] = []

    @step
    def make() -> int:
        try:
            map_each(increase)
            made.append("made")
        except RipresaError as error:
            made.append(error.code)
        return 1

    @workflow
    async def later(ctx: Context) -> str:
        await ctx.sleep(60)
        await make()
        try:
            await ctx.map(increase, [1])
        except RipresaError as error:
            return error.code
        return "fine"

    memory, clock = Memory(), ManualClock()
    async with App(MemoryStore(memory), clock=clock, patience=0.01, linger=0 if way == "timer" else None) as app:
        handle = await app.start(later(), id="r")
        while not (await handle.status()).timers:
            await turns(1)
    async with App(MemoryStore(memory), config={"features": {"maps": False}}, clock=clock, workflows=[later]) as app:
        worker = asyncio.create_task(app.work() if way == "work" else asyncio.sleep(0))
        await turns(3)
        clock.advance(61)
        handle = await app.handle("r", later)
        assert await handle.result() == "invalid_state"
        worker.cancel()
    assert made == ["invalid_state"]


async def test_a_run_that_failed_of_what_was_switched_off_goes_on_where_it_is_switched_on() -> None:
    @workflow
    async def straight(ctx: Context, times: int) -> tuple[int, int]:
        for number in range(times):
            await increase(number)
        return await ctx.gather(increase(1), increase(2))

    for times in (0, 2):
        memory = Memory()
        async with App(MemoryStore(memory), config=OFF) as app:
            assert (await (await app.start(straight(times), id="r")).outcome()).status == "failed"
        async with App(MemoryStore(memory), config=OFF) as app:
            assert (await (await app.resume("r", straight)).outcome()).status == "failed"
        async with App(MemoryStore(memory)) as app:
            assert await (await app.resume("r", straight)).result() == (2, 3)
        async with App(MemoryStore(memory), config=OFF) as app:
            fork = await (await app.handle("r", straight)).fork(at=2)
            assert (await fork.outcome()).status == "failed"


async def test_hooks_and_speculation_and_gates_that_are_switched_off_cannot_be_started() -> None:
    @before("increase")
    def look(asked: object) -> None:
        return None

    for feature, flow in (
        ("hooks", plain_flow.with_hooks(look)),
        ("speculation", speculate(look_up, after=1)),
        ("branches", gated()),
        ("sagas", saga(increase)),
        ("approvals", chain(approval("ok?"))),
    ):
        call: Any = flow
        async with App("memory:", config={"features": {feature: False}}) as app:
            with pytest.raises(RipresaError, match=f"uses {feature}, which this app has switched off"):
                await app.start(call(1))
    async with App("memory:", config={"features": {"hooks": False}}, hooks=[look]) as app:
        with pytest.raises(RipresaError, match="uses hooks"):
            await app.start(plain_flow(1))


WRITTEN: list[tuple[str, Callable[[], object]]] = [
    ("chains", lambda: chain(increase)),
    ("maps", lambda: map_each(increase)),
    ("parallel", lambda: parallel(increase, increase)),
    ("parallel", lambda: best_effort(increase, increase)),
    ("parallel", lambda: first_of(increase, increase)),
    ("parallel", lambda: first_success(increase, increase)),
    ("parallel", lambda: n_of(1, increase, increase)),
    ("branches", lambda: branch(bool, increase, increase)),
    ("branches", lambda: case(int, increase)),
    ("branches", lambda: choose(lambda _: ["increase"], increase, increase)),
    ("loops", lambda: repeat(increase, until=bool, at_most=2)),
    ("loops", lambda: fold(add_up, 0)),
    ("loops", lambda: for_range(add_up, 0, 2)),
    ("fallbacks", lambda: fallback(increase, increase)),
    ("routers", lambda: router(until=int, at_most=2)),
    ("streams", lambda: stream(numbers)),
    ("waits", lambda: delay(1)),
    ("waits", lambda: wait_for(Signal("go", int))),
    ("waits", lambda: approval("ok?")),
    ("waits", lambda: approved("ok?", increase, increase)),
    ("graphs", lambda: Graph("g", input=int)),
    ("state", lambda: Graph("g", input=int, state=Held)),
    ("state", lambda: plain_flow.with_state(Held)),
    ("workflows", lambda: workflow(durable)),
    ("sagas", lambda: saga(increase)),
    ("approvals", lambda: approval("ok?")),
    ("approvals", lambda: approved("ok?", increase, increase)),
    ("hooks", lambda: before(lambda asked: None)),
    ("speculation", lambda: speculate(look_up, after=1)),
    ("branches", gated),
]


@pytest.mark.parametrize(("feature", "write"), WRITTEN)
def test_what_is_switched_off_cannot_be_written_where_the_settings_are_in_force(
    feature: str, write: Callable[[], object]
) -> None:
    config = Config.load({"features": {feature: False}}, env={})
    write()
    with config.in_force(), pytest.raises(RipresaError) as caught:
        write()
    assert (caught.value.code, caught.value.hint) == ("invalid_state", f"set features.{feature} to true")
    write()
    with Config().in_force():
        write()


def test_every_feature_has_its_factory_but_sessions() -> None:
    assert {feature for feature, _ in WRITTEN} == {each.name for each in fields(Features)} - {"sessions"}


async def test_what_a_run_writes_goes_by_the_features_of_its_app() -> None:
    @workflow
    async def spreads(ctx: Context, values: list[int]) -> list[int]:
        return await ctx.map(increase, values)

    async with App("memory:") as app:
        assert await app.run(spreads([1])) == [2]
    async with App("memory:", config={"features": {"maps": False}}) as app:
        outcome = await (await app.start(spreads([1]))).outcome()
        assert isinstance(outcome.error, RunFailed)
        assert outcome.error.failure.code == "invalid_state"
    assert await chain(map_each(increase))([1]) == [2]


async def test_settings_in_force_hold_for_the_code_of_the_block_alone() -> None:
    config = Config.load({"features": {"maps": False}}, env={})

    async def write() -> str:
        await asyncio.sleep(0)
        try:
            map_each(increase)
        except RipresaError as error:
            return error.code
        return "made"

    outside = asyncio.create_task(write())
    with config.in_force():
        inside = asyncio.create_task(write())
    assert [await outside, await inside] == ["made", "invalid_state"]
