"""What both type checkers infer without an annotation in between; every line type-checks. See test_inference.py."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from statistics import mean
from typing import Annotated, Any, assert_type

from langchain_core.runnables import Runnable as LangRunnable
from pydantic import BaseModel
from pydantic_ai import Agent as PydanticAgent

from ripresa import (
    Again,
    Agent,
    App,
    Approval,
    Artifact,
    At,
    BeforeStep,
    Call,
    Chain,
    Child,
    Condition,
    Context,
    FanOutEvents,
    Flow,
    ForkStarting,
    Graph,
    Handle,
    Handoff,
    Hook,
    Interaction,
    Library,
    LimitReaching,
    Limits,
    McpServer,
    Meeting,
    Migration,
    ModelEndpoint,
    Narrow,
    Node,
    Observed,
    PlannedStep,
    Pool,
    Query,
    QueryWith,
    Recorded,
    Redirect,
    Rehearsal,
    Replace,
    Retry,
    Rule,
    RunCancelled,
    RunForm,
    Session,
    SessionFailure,
    Signal,
    Skip,
    Step,
    StepContext,
    Stream,
    StreamResult,
    Surroundings,
    TimeWindow,
    Tools,
    UndoErring,
    Update,
    ValidationResult,
    Veto,
    Workflow,
    WorkflowOrchestrator,
    WorkflowResult,
    after,
    agent,
    approval,
    approved,
    before,
    best_effort,
    branch,
    case,
    chain,
    choose,
    current,
    debate,
    delay,
    detached,
    export_document,
    fallback,
    first_of,
    first_success,
    fold,
    for_range,
    group_chat,
    handoff,
    intercept,
    llm,
    load_document,
    map_each,
    migration,
    n_of,
    observe,
    on_error,
    parallel,
    prompt,
    reducers,
    repeat,
    router,
    saga,
    sequence_diagram,
    speculate,
    step,
    stream,
    supervisor,
    tells,
    tool,
    wait_for,
    wait_for_update,
    workflow,
)
from ripresa.core.events import AttemptLost, StepFailed
from ripresa.steps import (
    OIDC,
    A2aStep,
    AgentReply,
    AgentRequest,
    AgentStep,
    AgentWork,
    Command,
    Completed,
    Endpoint,
    GrpcStep,
    HttpStep,
    Incoming,
    OAuth2,
    OpenAPIStep,
    Pages,
    ProgramStep,
    Received,
    Request,
    Response,
    Secret,
    ServerEvent,
    ToRun,
    Upload,
    WebhookEvent,
    a2a_agent,
    cli_agent,
    grpc,
    http,
    human,
    openapi,
    python,
    server_events,
    server_lines,
    shell,
)


@dataclass
class Item:
    text: str


@dataclass
class Summary:
    text: str = "tides"
    score: float = 0.9


@dataclass
class Ready:
    text: str


@dataclass
class Rework:
    why: str


@step(retry=Retry(attempts=3), timeout=30)
async def fetch(topic: str) -> list[Item]:
    return [Item(topic), Item(topic * 2)]


@step
async def summarise(item: Item) -> Summary:
    return Summary(item.text)


@step
async def publish(summaries: list[Summary]) -> str:
    return f"post-{len(summaries)}"


@step
def announce(post: str) -> str:
    return f"announced {post}"


@step
async def reject(summaries: list[Summary]) -> str:
    return "rejected"


@step
def length(text: str) -> int:
    return len(text)


@step(timeout="1 minute")
def shout(text: str, mark: str = "!") -> str:
    return text + mark


@step
async def both(size: int, loud: str) -> Ready | Rework:
    return Ready(loud) if size else Rework("empty")


@step
async def ready(x: Ready) -> str:
    return x.text


@step
async def rework(x: Rework) -> int:
    return 0


@step
async def improve(x: Rework) -> Ready | Rework:
    return Ready(x.why)


@step
async def triage(item: Item) -> Handoff[Item]:
    return Handoff("decide", item, reason="it is new")


@step
async def decide(item: Item) -> Handoff[Item] | Ready:
    return Ready(item.text) if item.text else Handoff("triage", item)


def topics(item: Item) -> list[str]:
    return [item.text]


@step
async def add(total: int, text: str) -> int:
    return total + len(text)


@step
async def add_at(total: int, text: str, index: int) -> int:
    return total + len(text) * index


@step
async def grow(text: str, number: int) -> str:
    return text * number


@step
async def polish(text: str) -> str:
    return text


def good(summaries: list[Summary]) -> bool:
    return mean(s.score for s in summaries) > 0.4


def loud(text: str) -> bool:
    return text.isupper()


# --- one workflow in three forms


@workflow
async def campaign(ctx: Context, topic: str) -> str:
    summaries = await ctx.map(summarise, await fetch(topic), concurrency=8)
    if not good(summaries):
        return await reject(summaries)
    return await announce(await publish(summaries))


@workflow(version="2", timeout="3 days")
async def tour(ctx: Context, topic: str, rounds: int = 1) -> int:
    return rounds


g = Graph("campaign", input=str)
items = g.add(fetch(topic=g.input))
notes = g.map(summarise, items.out, concurrency=8)
post = g.add(publish(summaries=notes.out), when=notes.test(good))
told = g.add(announce(post=post.out), when=post.out > "a", after=[items])
refused = g.add(reject(notes.out), unless=notes.test(good))
campaign_graph = g.returns(g.first(told, refused).out)

campaign_chain = (
    chain(fetch).then(map_each(summarise, concurrency=8)).then(branch(good, chain(publish).then(announce), reject))
)


# --- what is inferred


async def steps() -> None:
    pending: Call[int] = length("a")  # a sync step, yet awaited
    assert_type(await pending, int)
    assert_type(await shout(text="a", mark="?"), str)
    assert_type(await shout.with_(retry=Retry())("a"), str)
    by_position: Step[[str], int] = length
    assert_type(await by_position("a"), int)
    assert_type(shout.fn("a"), Any)
    assert_type(await current().call(shout, "a", mark="?"), str)
    assert_type(await current().call_with_key("k", length, "a"), int)


async def chains() -> None:
    assert_type(chain(fetch).then(map_each(summarise)), Chain[str, list[Summary]])
    assert_type(campaign_chain, Chain[str, str])
    assert_type(chain(fetch).named("other"), Chain[str, list[Item]])
    assert_type(chain(shout).then(detached(chain(fetch))), Chain[str, str])
    assert_type(await detached(summarise)(Item("a")), str)
    assert_type(chain(shout).then(delay("3 days")).then(length), Chain[str, int])
    assert_type(chain(polish).cleanup(announce, length), Flow[str, str])
    assert_type(await chain(fetch).invoke("tides"), list[Item])
    assert_type(await chain(length).batch(["a", "b"], concurrency=2), list[int])
    assert_type(chain(length).stream("a"), AsyncIterator[Recorded])


async def patterns() -> None:
    assert_type(await map_each(length)(["a"]), list[int])
    assert_type(await map_each(length, on_error="best_effort")(("a", "b")), list[int | None])
    assert_type(await parallel(length, shout)("a"), tuple[int, str])
    assert_type(await parallel(length, shout, concurrency=1, on_error="fail_slow")("a"), tuple[int, str])
    assert_type(await parallel(length, shout, polish, fetch)("a"), tuple[int, str, str, list[Item]])
    assert_type(await parallel(*[length, length])("a"), tuple[int, ...])
    assert_type(await parallel(length, shout).into(both)("a"), Ready | Rework)
    assert_type(chain(parallel(length, shout).into(both)), Chain[str, Ready | Rework])
    assert_type(await best_effort(length, shout)("a"), tuple[int | None, str | None])
    assert_type(await first_of(length, shout)("a"), int | str)
    assert_type(await first_success(length, shout, fetch)("a"), int | str | list[Item])
    assert_type(await n_of(2, shout, polish, polish)("a"), list[str])
    assert_type(await fallback(length, shout)("a"), int | str)
    assert_type(await fallback(polish, shout, on=(ValueError, KeyError))("a"), str)


async def choices() -> None:
    assert_type(await branch(str.isupper, length, shout)("a"), int | str)
    assert_type(await branch(loud, shout, polish)("a"), str)
    assert_type(await chain(shout).then(branch(lambda s: s.isupper(), length, shout))("a"), int | str)
    assert_type(await case(Ready, ready).case(Rework, rework)(Ready("a")), str | int)
    sorted_out = chain(parallel(length, shout).into(both)).then(case(Ready, ready).case(Rework, rework))
    assert_type(await sorted_out("a"), str | int)


async def routers() -> None:
    assert_type(router(until=Ready, at_most=3)(case(Rework, improve)), Flow[Rework, Ready])
    assert_type(await router(until=Ready, at_most=3, legal={"triage": ["decide"]})(triage, decide)(Item("a")), Ready)
    assert_type(chain(router(until=Ready, at_most=3)(decide, triage)).then(ready), Chain[Item, str])
    assert_type(await triage(Item("a")), Handoff[Item])
    assert_type((await triage(Item("a"))).value, Item)
    assert_type(choose(topics, summarise, summarise), Flow[Item, list[Summary]])
    assert_type(await choose(lambda text: "a", length, shout, on_error="fail_slow")("a"), list[int | str])


async def conditions() -> None:
    spam = Condition.equals("value.text", "spam") & ~Condition.failed("fetch")
    assert_type(spam, Condition)
    assert_type(repeat(polish, until=Condition.label("done"), at_most=3), Flow[str, str])
    assert_type(await branch(spam, length, shout)("a"), int | str)
    assert_type(g.add(length("a"), when=spam, unless=Condition.never()), Node[int])
    assert_type(speculate(length, after="2s", copies=3), Flow[str, int])


async def rules(handle: Handle[str]) -> None:
    checked = chain(fetch).with_rules(Rule.required_output(), Rule.custom("many", lambda found: len(found) > 1))
    assert_type(checked, Chain[str, list[Item]])
    assert_type(await campaign.with_rules(Rule.required_file("a.txt", severity="info"))("tides"), str)
    assert_type((await handle.status()).validations[""][0], ValidationResult)
    assert_type((await handle.fan_outs())["map_each"], FanOutEvents)


async def pools(app: App) -> None:
    items = Pool("items", [Item("a")], health=lambda item: bool(item.text), replace=lambda item: Item(item.text))
    assert_type(items, Pool[Item])
    assert_type(Pool("numbers", size=3).mine(), int)
    assert_type(await shout.with_(pool="items")("a"), str)
    async with items.take() as item:
        assert_type(item, Item)


async def loops() -> None:
    assert_type(repeat(polish, until=lambda s: s.isupper(), at_most=3), Flow[str, str])
    assert_type(repeat(polish, while_=loud, at_most=3), Flow[str, str])
    assert_type(await fold(add, 0)(["a"]), int)
    assert_type(await fold(add, 0, until=lambda total: total > 3)(["a"]), int)
    assert_type(await fold(add_at, 0, with_index=True)(["a"]), int)
    assert_type(chain(shout).then(for_range(grow, 0, 10, 2)), Chain[str, str])


def graphs() -> None:
    assert_type(items, Node[list[Item]])
    assert_type(notes, Node[list[Summary]])
    assert_type(items.out[0].text, str)
    assert_type(g.input, str)
    assert_type(g.first(told, items), Node[str | list[Item]])
    assert_type(g.first(told, items, notes), Node[str | list[Item] | list[Summary]])
    assert_type(campaign_graph, Flow[str, str])
    assert_type(chain(campaign_graph).then(length), Chain[str, int])


async def functions(ctx: Context, app: App) -> None:
    assert_type(await campaign("tides"), str)
    assert_type(await tour(topic="tides", rounds=3), int)
    assert_type(await campaign.invoke(topic="tides"), str)
    assert_type(await campaign.batch(["tides"]), list[str])
    assert_type(chain(campaign).then(length), Chain[str, int])
    workflow_of_one: Workflow[[str], str] = campaign
    assert_type(await workflow_of_one("tides"), str)
    assert_type(await ctx.gather(length("a"), shout("a")), tuple[int, str])
    assert_type(await ctx.race(length("a"), shout("a")), int | str)
    assert_type(await ctx.map(length, ["a"]), list[int])
    assert_type(await ctx.map(campaign_chain, ["a"], concurrency=2), list[str])
    assert_type(await app.run(campaign("tides"), id="x"), str)
    assert_type(await app.run(campaign_graph("tides")), str)
    assert_type(await app.start(campaign_chain("tides"), id="x"), Handle[str])
    assert_type(await (await app.start(length("a"))).result(), int)


def lines(path: str) -> list[str]:
    return [path]


async def pages(path: str, position: int | None) -> AsyncIterator[At[Item, int]]:
    yield At(Item(path), 1)


@step
async def store(batch: list[int]) -> None: ...


def longest(so_far: int, text: str) -> int:
    return max(so_far, len(text))


def pauses() -> None:
    assert_type(chain(delay(3)).then(length), Chain[str, int])
    assert_type(chain(delay(3)).then(delay(3)).then(length), Chain[str, int])
    assert_type(chain(polish).then(delay(3)).then(length), Chain[str, int])


async def streams() -> None:
    assert_type(stream(lines), Stream[str, str])
    assert_type(stream(pages).map(summarise), Stream[str, Summary])
    assert_type(stream(pages, buffer=10).map(lambda item: item.text).filter(loud).map(length), Stream[str, int])
    assert_type(stream(lines).map(length).batch(10, within=1).into(store), Flow[str, StreamResult])
    assert_type(stream(lines).flat_map(fetch).window(3), Stream[str, list[Item]])
    assert_type(stream(lines).flat_map(lines), Stream[str, str])
    assert_type(stream(lines).map(chain(polish).then(length)), Stream[str, int])
    assert_type(stream(lines).map(length).time_window("1 min", at=float), Stream[str, TimeWindow[int]])
    assert_type(
        stream(pages).time_window(60, at=lambda item: len(item.text)).map(lambda window: window.items[0].text),
        Stream[str, str],
    )
    assert_type(stream(lines).map(length).batch(2).into(store, every=10), Flow[str, StreamResult])
    assert_type(await stream(lines).fold(longest, 0)("a"), int)
    assert_type(
        chain(polish).then(stream(lines).map(length, concurrency=3).batch(2).into(store)), Chain[str, StreamResult]
    )
    assert_type([item async for item in stream(lines).map(length).items("a")], list[int])


edited = Signal("edited", Ready)
rise = Update("rise", int, Ready)


async def waits(ctx: Context, handle: Handle[str]) -> None:
    assert_type(await ctx.wait_for(edited, timeout="3 days"), Ready)
    assert_type(await handle.send(edited, Ready("a"), id="1"), bool)
    assert_type(chain(shout).then(wait_for(edited)), Chain[str, Ready])
    assert_type(chain(shout).then(wait_for(edited)).then(ready), Chain[str, str])
    assert_type(g.add(wait_for(edited)(g.input)), Node[Ready])
    asked = await ctx.next_update(rise, timeout="3 days")
    assert_type(asked.value, int)
    await asked.answer(Ready("a"))
    assert_type(await handle.update(rise, 3, id="1"), Ready)
    assert_type(await ctx.race(ctx.wait_for(edited), ctx.sleep(3)), Ready | None)


how_far = Query("how_far", Ready)


async def queries(ctx: Context, handle: Handle[str]) -> None:
    assert_type(await handle.query(how_far), Ready)
    assert_type(await handle.query(Query("words", list[str])), list[str])
    assert_type(await handle.query(QueryWith("word", int, Ready), 3), Ready)
    ctx.expose(how_far, lambda: Ready("a"))


async def transactions() -> None:
    with current().transaction() as t:
        assert_type(t.execute("DELETE FROM a WHERE b = :b", {"b": 1}), None)
    assert_type(await t.fetch("SELECT 1"), list[tuple[Any, ...]])


async def children(ctx: Context) -> None:
    child = await ctx.start(length("a"), on_close="cancel")
    assert_type(child, Child[int])
    assert_type(await child.result(), int)
    assert_type(await (await ctx.start(chain(shout).then(length)("a"), id="c")).result(), int)
    assert_type(await child.send(edited, Ready("a")), None)
    assert_type(await ctx.send("r", edited, Ready("a")), None)
    assert_type(await ctx.race(child.result(), ctx.sleep(3)), int | None)


# time travel, versions


async def travels(app: App, handle: Handle[str]) -> None:
    assert_type(await handle.fork("fetch", set={"fetch": 1}, effects="reuse"), Handle[str])
    assert_type(await handle.rollback(3, again=True), None)
    assert_type(chain(shout, name="a", version="2").then(length), Chain[str, int])
    assert_type(Graph("g", input=str, version="2").input, str)
    assert_type((await app.plan(chain(shout)))[0].verdict, str)
    assert_type((await app.migrate("r", dry_run=True)).taken, tuple[str, ...])


@migration(chain(shout, name="a"), from_="1", to="2")
def upwards(run: RunForm) -> None:
    assert_type(run.results, dict[str, Any])
    run.rename("a", "b")


assert_type(upwards, Migration)


async def patches(ctx: Context) -> None:
    assert_type(ctx.patched("p"), bool)
    ctx.restart(1)


# hooks


def guard(asked: BeforeStep) -> Veto | Replace | None:
    return Veto() if asked.input == "" else None


async def slow_guard(asked: BeforeStep) -> Skip:
    return Skip(asked.arguments)


def narrow(asked: ForkStarting) -> Narrow:
    return Narrow(asked.count // 2)


def count_failures(seen: Observed[StepFailed | AttemptLost]) -> None:
    print(seen.event.path, seen.event.attempt)


def hooks(app: App) -> None:
    assert_type(before(guard), Hook)
    assert_type(before("fetch", priority=3, timeout="1s", critical=True)(slow_guard), Hook)
    assert_type(after("fetch")(lambda asked: Again(after=asked.attempt)), Hook)
    assert_type(on_error(lambda asked: Replace(asked.failure.message)), Hook)
    assert_type(intercept("fork", "crawl*")(narrow), Hook)
    assert_type(intercept("branch")(lambda asked: Redirect(asked.choices[0])), Hook)
    assert_type(observe("error")(count_failures), Hook)
    assert_type(observe("before")(lambda seen: seen.event.attempt), Hook)
    assert_type(chain(shout).with_hooks(before(guard)), Chain[str, str])
    app.hooks.add(before(guard))()


async def people(ctx: Context, handle: Handle[str]) -> None:
    assert_type((await ctx.approval("ok?", form=Summary)).form, Summary)
    assert_type(await ctx.approval("ok?", "about", timeout="3 days"), Approval[None])
    assert_type(approved("ok?", length, shout), Flow[str, int | str])
    assert_type(await approval("ok?", form=Ready)("a"), Approval[Ready])
    assert_type(chain(shout).then(approval("ok?", form=Ready, quorum=2)), Chain[str, Approval[Ready]])
    assert_type(g.add(approval("ok?")(items.out)).out.granted, bool)
    assert_type(await handle.approve(by="ann"), bool)


async def shared(app: App, handle: Handle[str]) -> None:
    assert_type(await app.sessions.create("s", limits=Limits(steps=1, wall_time="1h")), Session)
    assert_type(await app.sessions.value("s", "n", int), int | None)
    assert_type(await app.sessions.errors("s"), tuple[SessionFailure, ...])
    assert_type(await app.start(length("a"), session="s", limits=Limits(tokens=5)), Handle[int])
    assert_type(current().session.get("n", int), int | None)
    assert_type(current().session.get("n", int, 0), int)
    assert_type(await app.artifacts.get("a", run="r"), bytes)
    assert_type(await app.artifacts.versions("a", session="s"), tuple[Artifact, ...])
    assert_type((await handle.status()).cost, float)
    assert_type(App.from_config("a.toml").config.limits, Limits)


async def undo_of_anything(result: int) -> None: ...


async def compensated(ctx: Context, cancelled: RunCancelled) -> None:
    assert_type(saga(length), Flow[str, int])
    assert_type(await saga(chain(shout).then(length))("a"), int)
    assert_type(chain(shout).then(length, undo=undo_of_anything), Chain[str, int])
    async with ctx.saga() as nothing:
        assert_type(nothing, None)
    assert_type(cancelled.undone, tuple[str, ...])


@dataclass
class Report:
    post: str = ""
    scores: Annotated[list[float], reducers.append] = field(default_factory=list[float])
    best: Annotated[str, reducers.max] = ""


stateful = Graph("stateful", input=str, state=Report)
counted = stateful.add(length(stateful.input))


async def state(ctx: Context[Report], app: App, handle: Handle[str]) -> None:
    assert_type(ctx.state.post, str)
    ctx.state.post = "a"
    reducers.append(ctx.to.scores, 0.5)
    assert_type(current().state(Report).scores, list[float])
    reducers.max(current().to(Report).best, "a")
    assert_type(stateful.state.scores, list[float])
    stateful.state.post = stateful.input
    reducers.append(stateful.state.scores, counted.out)
    assert_type(await handle.state(Report), Report)
    assert_type(chain(shout).with_state(Report), Flow[str, str])
    assert_type(await app.start(length("a"), state=Report(post="b")), Handle[int])


# --- models and agents


class Asked(BaseModel):
    text: str


@prompt(output=Asked)
def sum_up(item: Item, words: int = 5) -> str:
    return f"{item} in {words} words"


@tool
async def look_up(query: str) -> list[str]:
    """Look something up."""
    return [query]


@tool(permission="files.read", effect="read")
def look_in(path: str, lines: int = 10) -> str:
    return path * lines


class Echo:
    async def run(self, input: str, ctx: StepContext) -> int:
        return len(input) + ctx.attempt


writer = Agent("writer", input=Item, output=Asked, tools=[look_up, look_in, length, "named"], toolbox=Tools([look_up]))


async def models_and_agents(ctx: Context) -> None:
    assert_type(llm("Sum up {text}", input=Item, output=Asked), Step[[Item], Asked])
    assert_type(await llm("Sum up {text}", output=Asked)(text="a"), Asked)
    assert_type(await llm("?", output=str, model=ModelEndpoint("llama3", "http://127.0.0.1:1/v1"))(), str)
    assert_type(await sum_up(Item("a"), words=3), Asked)
    assert_type(chain(fetch).then(map_each(sum_up)), Chain[str, list[Asked]])
    assert_type(await look_up("a"), list[str])
    assert_type(await look_in("a", lines=3), str)
    assert_type(await look_in.with_(retry=3)("a"), str)
    assert_type(writer, Agent[Item, Asked])
    assert_type(await writer(Item("a")), Asked)
    assert_type(await ctx.gather(writer(Item("a")), look_up("a")), tuple[Asked, list[str]])
    assert_type(agent(Echo()), Step[[str], int])


@workflow(limits=Limits(steps=5))
async def bounded(ctx: Context, text: str) -> str:
    return text


_ = assert_type(bounded("a"), Call[str])
assert_type(chain(shout).with_limits(Limits(steps=5)), Chain[str, str])


@intercept("limit")
def allows_more(asked: LimitReaching) -> Replace | None:
    assert_type(asked.used, float)
    return None


@intercept("compensation_error")
async def insists(asked: UndoErring) -> Again:
    return Again(at_most=asked.attempt)


# --- ready-made steps

key = Secret("env:KEY")
count = shell("wc", "-w", timeout=30)
parsed = python("print('[1]')", returns=list[int])
fetched = http("GET", "https://example.com/{id}", auth=key)
item = http("GET", "https://example.com/{id}", returns=Item, headers={"X-Key": key})
coder = cli_agent("codex", model="m", retry=3)
remote = a2a_agent("https://agents.example", auth=key, asks="return")
remote_item = a2a_agent("https://agents.example", returns=Item, timeout="1 hour")


@step
async def prompted(text: str) -> Request:
    return Request({"id": text})


def to_run(event: WebhookEvent) -> Call[int] | ToRun | None:
    return length(event.type) if event.data else ToRun("r", Signal("s", int), 3)


async def ready_made(app: App) -> None:
    assert_type(count, ProgramStep[Completed])
    assert_type(await count(), Completed)
    assert_type(await parsed(Command(("a",), stdin="b")), list[int])
    assert_type(await fetched(Request({"id": "1"})), Response)
    assert_type(await http("GET", stream="lines")(), list[str])
    assert_type(await http("GET", stream="events", most=3, auth=key)(), list[ServerEvent])
    assert_type(await http("GET", stream="lines", returns=Item)(), list[Item])
    assert_type(stream(server_events("GET")), Stream[Request | None, ServerEvent])
    assert_type(stream(server_lines("GET")), Stream[Request | None, str])
    assert_type(await fetched(Request(form={"a": "b"}, files=(Upload.of("c", b"d"),))), Response)
    assert_type(item, HttpStep[Item])
    token = OIDC("https://id.example", client="a", secret=key, scopes=("b",))
    assert_type(openapi("https://a.example/api.json", "get", returns=Item, auth=token), OpenAPIStep[Item])
    assert_type(await openapi({"openapi": "3.1.0"}, "get", server="https://a.example")({"id": 1}), Response)
    assert_type(grpc("a.example", "a.B/C", proto="a.proto", returns=list[Item], auth=token), GrpcStep[list[Item]])
    assert_type(await grpc("a.example", "a.B/C", proto="a.proto", returns=Item)({"id": 1}), Item)
    assert_type(http("GET", auth=token), HttpStep[Response])
    assert_type(http("GET", auth=OAuth2("https://id.example", client="a", client_auth="none")), HttpStep[Response])
    assert_type(await http("GET", pages=Pages(), returns=Item)(), list[Item])
    assert_type(await http("GET", pages=Pages())(), list[Response])
    assert_type(chain(prompted).then(item), Chain[str, Item])
    assert_type(chain(shout).then(count), Chain[str, Completed])
    assert_type(coder, AgentStep)
    assert_type(await coder("do it"), AgentWork)
    assert_type(chain(shout).then(coder), Chain[str, AgentWork])
    assert_type(remote, A2aStep[AgentReply])
    assert_type(await remote(AgentRequest("hi", data={"a": 1})), AgentReply)
    assert_type(await remote_item("hi"), Item)
    assert_type(chain(shout).then(remote_item), Chain[str, Item])
    assert_type(human("How much?", form=Item), Flow[object, Item])
    assert_type(chain(shout).then(human("Shall I?")), Chain[str, None])
    App("memory:", webhooks=[Endpoint("a", "https://a.example", key, events=("run.failed",))])
    assert_type(await Incoming("a", key, to_run).receive(app, {}, b""), Received)


library = Library()


@library.type("measure")
@step
async def measure(text: str) -> int:
    return len(text)


async def documents() -> None:
    assert_type(await measure("x"), int)
    assert_type(await library.register("length", length)("x"), int)
    assert_type(await load_document("flow.yaml", library=library, modules=["reports.*"])("x"), Any)
    assert_type(export_document(chain(length)), dict[str, Any])
    async with WorkflowOrchestrator("memory:", library=library) as orchestrator:
        result = await orchestrator.execute_workflow({"id": "x", "steps": ["a:b"]}, "ann", input=3)
        assert_type(result, WorkflowResult)
        assert_type(result.steps["a"].tokens, int)
        assert_type(await orchestrator.cancel(result.run_id), WorkflowResult)
        assert_type(await orchestrator.register("length", length)("x"), int)


async def proofs(app: App, handle: Handle[str]) -> None:
    rehearsal = await app.rehearse(shout("tides"))
    assert_type(rehearsal, Rehearsal)
    assert_type(rehearsal.steps, tuple[PlannedStep, ...])
    assert_type(await handle.update(Update("rise", int, str), 3), str)
    await handle.reconcile("pay", failed="no", by="ann")
    assert_type(Rule.required_output(severity="warning"), Rule)
    assert_type(chain(shout).with_rules(Rule.required_output()), Chain[str, str])


# --- teams


class Chief:
    async def run(self, meeting: Meeting[int], ctx: StepContext) -> Handoff[str] | Asked:
        return Handoff("length", "x") if not meeting.said else Asked(text="a")


shouts = Agent("shouts", input=str, output=str)


@step
async def attends(meeting: Meeting[Item]) -> int:
    return len(meeting.said)


async def teams(handle: Handle[str]) -> None:
    assert_type(await supervisor(writer, length, Echo())(Item("a")), Asked)
    assert_type(await supervisor(Chief(), length, supervisor(shouts, length))(3), Asked)
    assert_type(await handoff(Chief(), Chief(), at_most=3)(3), Asked)
    assert_type(await handoff(writer, writer)(Item("a")), Asked)
    assert_type(await group_chat(writer, attends, at_most=5)(Item("a")), Meeting[Item])
    assert_type(await group_chat(writer, attends, chair=writer, at_most=5)(Item("a")), Asked)
    assert_type(await debate(writer, attends, judge=attends, rounds=1)(Item("a")), int)
    assert_type(await debate(writer, attends, judge=writer)(Item("a")), Asked)
    assert_type(await tells(length, "ann", "vote")("x"), int)
    assert_type(await tells(chain(length), "ann")("x"), int)
    assert_type(await handle.interactions(), list[Interaction])
    assert_type(sequence_diagram(await handle.interactions()), str)


async def servers() -> None:
    files = McpServer("files", command=["files"], allow=["read_*"])
    assert_type(files.step("read", input=Item, output=str), Step[[Item], str])
    assert_type(await files.step("read", output=list[int])({"path": "a"}), list[int])
    assert_type(files.step("read", input=Item), Step[[Item], Any])
    assert_type(await files.call("read", {"path": "a"}), Any)
    assert_type(Agent("a", input=str, output=Item, tools=[files, "b"], toolbox=Tools([files])), Agent[str, Item])


async def frameworks(
    ctx: Context, counter: PydanticAgent[Item, int], teller: PydanticAgent[None, str], measuring: LangRunnable[int, str]
) -> None:
    assert_type(chain(counter), Chain[str, int])
    assert_type(chain(shout).then(counter), Chain[str, int])
    assert_type(agent(counter), Step[[str], int])
    assert_type(agent(teller, input=Item, prompt=lambda item: item.text), Step[[Item], str])
    assert_type(await ctx.map(teller, ["a"]), list[str])
    assert_type(await current().call(teller, "a"), str)
    assert_type(chain(counter).then(measuring), Chain[str, str])
    assert_type(await current().call(measuring, 3), str)
    assert_type(agent(measuring), Step[[int], str])
    assert_type(detached(counter), Step[[str], str])
    assert_type(detached(Echo()), Step[[str], str])
    assert_type(chain(length).then(detached(measuring)), Chain[str, str])


async def patient() -> None:
    assert_type(llm("{word}", output=str, patience="30 s", fallback=["local"]), Step[..., str])
    current().usage(tokens=3, cost=None)
    await current().ensure(tokens=3, cost=None)
    Limits(money=5, unpriced=20)


async def sessions(ctx: Context) -> None:
    assert_type(await ctx.session.get("visits", int, 0), int)
    assert_type(await ctx.session.get("visits", int), int | None)
    assert_type(await ctx.session.names(), list[str])
    assert_type(await ctx.session.id(), str)


async def open_workflows() -> None:
    surroundings = Surroundings(allow=["10.0.0.0/8"], stand_ins={"https://a.example": "http://127.0.0.1:1"})
    assert_type(await load_document("order.owf.yaml", surroundings=surroundings)({"items": []}), Any)


async def served(handle: Handle[int]) -> None:
    name, nth, count = Query("name", str), QueryWith("nth", int, str), Update("count", int, str)

    @step
    async def told(number: int) -> str:
        return str(number)

    flow = chain(length).with_update(count, told).with_query(name, lambda run: run.state(Ready).text)
    assert_type(flow, Flow[str, int])
    assert_type(flow.with_query(nth, lambda run, about: run.state(Ready).text[about]), Flow[str, int])
    assert_type(chain(length).then(wait_for_update(count, told)), Chain[str, str])
    assert_type(chain(length).then(wait_for_update(count, told, timeout="2 days")), Chain[str, str])
    assert_type(await handle.update(count, 3), str)
    assert_type(await handle.query(nth, 3), str)
