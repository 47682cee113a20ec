"""Planted mistakes, one per numbered line. Everything not marked type-checks; see test_inference.py."""
# ruff: noqa: B018 - the mistakes are meant

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import assert_type

from langchain_core.runnables import Runnable as LangRunnable
from pydantic_ai import Agent as PydanticAgent

from ripresa import (
    AfterStep,
    Again,
    Agent,
    App,
    BeforeStep,
    CancelAsking,
    Condition,
    Context,
    Graph,
    Handle,
    Library,
    LimitReaching,
    Limits,
    Maker,
    McpServer,
    Meeting,
    Observed,
    Pool,
    Query,
    QueryWith,
    Redirect,
    Replace,
    RollbackStarting,
    Rule,
    Signal,
    Skip,
    Surroundings,
    UndoEnding,
    Update,
    Veto,
    WorkflowOrchestrator,
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
    delay,
    detached,
    export_document,
    fallback,
    first_of,
    fold,
    for_range,
    handoff,
    intercept,
    llm,
    load_document,
    map_each,
    migration,
    n_of,
    observe,
    parallel,
    prompt,
    reducers,
    repeat,
    router,
    saga,
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
from ripresa.core.commands import RunStep
from ripresa.core.events import StepCompleted
from ripresa.ports import RunHead
from ripresa.steps import (
    AgentRequest,
    Command,
    Endpoint,
    Incoming,
    OAuth2,
    Pages,
    Secret,
    a2a_agent,
    cli_agent,
    grpc,
    http,
    human,
    openapi,
    python,
    shell,
)

from .inference import (
    Asked,
    Item,
    Ready,
    Report,
    Rework,
    Summary,
    add,
    announce,
    both,
    campaign,
    campaign_chain,
    campaign_graph,
    counted,
    decide,
    fetch,
    good,
    grow,
    guard,
    improve,
    length,
    lines,
    longest,
    look_in,
    look_up,
    loud,
    narrow,
    pages,
    polish,
    publish,
    ready,
    reject,
    rework,
    shout,
    stateful,
    store,
    sum_up,
    summarise,
    topics,
    tour,
    triage,
    writer,
)

# chain: neighbours, map items, arms

chain(fetch).then(announce)  # M01 wrong neighbour in a chain
chain(fetch).then(map_each(announce))  # M02 wrong item of a map
chain(shout).then(map_each(length))  # M03 map over a str
chain(fetch).then(shout).then(length)  # M04 wrong neighbour, optioned sync step
parallel(shout, length).into(add)  # M05 join: results do not fit the parameters
chain(fetch).then(map_each(summarise)).then(branch(good, publish, length))  # M06 arms that differ
chain(branch(str.isupper, length, shout)).then(length)  # M07 union of branches does not fit the next step
chain(shout).then(branch(good, publish, reject))  # M08 predicate of another type
branch(str.isupper, length, shout, reject)  # M09 a third branch
fold(add, "zero")  # M10 accumulator of the wrong type
repeat(length, until=loud, at_most=3)  # M11 a body that cannot take its own result
chain(best_effort(length, shout).into(both))  # M12 a branch that may be None, used as if it were there
chain(first_of(length, shout)).then(length)  # M13 the winner may be either
chain(fetch).then(delay("3 days")).then(length)  # M14 a delay passes on what it was given
chain(polish).cleanup(publish)  # M15 a cleanup handler is given the flow's input
chain(campaign).then(publish)  # M16 wrong neighbour of a workflow
chain(campaign_graph).then(publish)  # M17 wrong neighbour of a graph
chain(shout).then(for_range(add, 0, 3))  # M18 a body whose second parameter is no number
chain(fetch).then(map_each(summarise, on_error="best_effort")).then(publish)  # M19 items that may be None
fold(add, 0, with_index=True)  # M20 a body without a place for the index
chain(fallback(length, shout)).then(length)  # M21 the fallback returns something else
chain(n_of(2, shout, polish)).then(length)  # M22 n_of gives a list
case(Ready, rework)  # M23 a case whose link takes another type
chain(length).then(chain(fetch))  # M24 a chain inside a chain

# options

map_each(length, concurency=3)  # M25 misspelt option
parallel(length, shout, on_error="best_effort")  # M26 option of another pattern
repeat(polish, until=loud)  # M27 a loop without a bound
repeat(polish, until=loud, while_=loud, at_most=3)  # M28 both ways to end
fallback(length, shout, on="ValueError")  # M29 a name instead of an exception type
delay([3])  # M30 no length of time
shout.with_(timeout=[3])  # M31 no length of time


@step(effect="harmless")  # M32 unknown effect
async def harmless() -> None: ...


@step(retries=3)  # M33 misspelt option of a step
async def retried() -> None: ...


async def no_context(topic: str) -> str:
    return topic


workflow(no_context)  # M34 a workflow without its context
workflow(version="2")(no_context)  # M35 the same with options


# calls


async def calls(ctx: Context, app: App, handle: Handle[str]) -> None:
    await chain(improve).then(case(Ready, ready))(Rework("a"))  # M36 a case that nobody handles
    await shout()  # M37 missing argument
    await shout("a", marke="?")  # M38 misspelt keyword (step with options)
    await shout.with_(timeout=3)("a", mark=1)  # M39 wrong argument after with_
    await announce(publish([]))  # M40 await forgotten, used as an argument
    publish([])  # M41 await forgotten, as a statement
    campaign_chain("a")  # M42 await forgotten, a flow
    campaign("a")  # M43 await forgotten, a workflow
    print(len(await campaign_graph("a") + 1))  # M44 result of a graph
    await ctx.map(summarise, ["a"])  # M45 ctx.map over the wrong items
    x: tuple[str, str] = await ctx.gather(length("a"), shout("a"))  # M46 wrong tuple from gather
    y: str = await ctx.race(length("a"), shout("a"))  # M47 wrong result of a race
    await campaign(topik="a")  # M48 child workflow, misspelt keyword
    await tour("a", "b")  # M49 child workflow, wrong argument
    await ctx.sleep([3])  # M50 no length of time
    print(x, y)


async def journaled() -> None:
    await current().call(shout, 3)  # M51 wrong argument of a journaled call
    await current().call(shout)  # M52 missing argument of a journaled call
    await current().call(shout, "a", marke="?")  # M53 misspelt keyword of a journaled call
    n: int = await current().call(shout, "a")  # M54 wrong result of a journaled call
    current().call(shout, "a")  # M55 await forgotten, a journaled call
    current().progress("half")  # M56 progress is a number
    print(n)


async def runs(app: App, handle: Handle[str]) -> None:
    n: int = await app.run(campaign("a"))  # M57 wrong result type of App.run
    await app.start(campaign(3), id="x")  # M58 wrong input of App.start
    await app.run(campaign_chain("a"), idd="x")  # M59 misspelt option
    await app.run(no_context)  # M60 a function instead of a call
    await app.run(campaign_chain(["a"]))  # M61 wrong input of a chain
    other: Handle[int] = await app.start(campaign("a"))  # M62 wrong handle
    m: int = await handle.result()  # M63 wrong result of a handle
    app.run(campaign("a"))  # M64 await forgotten, App.run
    await app.start(campaign)  # M65 a workflow instead of a call
    await campaign_chain.invoke(3)  # M66 wrong input of a chain run in memory
    await campaign_chain.batch("abc")  # M67 text is no list of inputs
    s: AsyncIterator[int] = campaign_chain.stream("a")  # M68 a stream is of events
    print(n, other, m, s)


# graph

g = Graph("g", input=Item)
size = g.add(length(text=g.input.text))
g.add(announce(post=size.out))  # M69 graph: wrong producer
g.add(announce(psot=g.input.text))  # M70 graph: misspelt keyword
g.add(announce())  # M71 graph: missing wire
g.add(length(g.input.txt))  # M72 graph: misspelt input field
g.add(announce(size))  # M73 graph: node instead of its value (.out forgotten)
g.add(length)  # M74 graph: step not called
g.map(summarise, size.out)  # M75 graph: map over a number
g.map(summarise, g.add(publish([])).out)  # M76 graph: map over a str
size.outt  # M77 graph: misspelt member of a node
g.add(announce(g.first(size, size).out))  # M78 graph: join of the wrong type
g.returns(size.out)("a")  # M79 graph: wrong input when called
g.add(length("a"), when=size)  # M80 graph: condition is not a bool
g.add(length("a"), when=size.test(loud))  # M81 graph: predicate of another type
g.add(length("a"), after=[length])  # M82 graph: waits for a step instead of a node
g.add(length("a"), when=size.out)  # M83 graph: a number as a condition
g.add(campaign_chain(size.out))  # M84 graph: wrong input of a chain
g.add(tour(topic=g.input.text, rounds=g.input.text))  # M85 graph: wrong keyword of a workflow
g.add(announce(announce("a")))  # M86 graph: a call, not a value
fine = g.add(shout(mark=g.input.text, text="!"))  # swapped arguments of one type: nobody can see that
assert_type(fine.out, str)
Graph("h", input=Item, concurency=3)  # M87 graph: misspelt option

# routers

router(until=Ready, at_most=3)(case(Rework, rework))  # M88 router: hands on to a type that nobody handles
router(until=Ready, at_most=3)(case(Rework, improve))("a")  # M89 router: wrong input
router(until=Ready, at_most=3)(triage, rework)  # M90 router: a link that returns neither a handoff nor the result
router(until=Ready)  # M91 router: no bound
router(until=Ready, at_most=3, legal=["triage"])  # M92 router: edges that are no table
chain(router(until=Ready, at_most=3)(triage, decide)).then(rework)  # M93 router: wrong neighbour
choose(topics, length, shout)(Item("a"))  # M94 a link that takes another type than the selector
chain(choose(topics, summarise, summarise)).then(announce)  # M95 a choice of several gives a list
choose(loud, length, shout)  # M96 a selector that gives no names
Pool("a", [Item("a")], size=1)  # M97 pool: members and size
Pool("a", [Item("a")], health=length)  # M98 pool: a health check of something else
Pool("a", size=3).mine().text  # M99 pool: wrong use of a member
step(pool=3)  # M100 pool: a number instead of a pool
branch(Condition.equals("value", 1), length, reject)("a")  # M101 condition: arms that take different types
branch(Condition.equals(1, "value"), length, shout)  # M102 condition: a path is a text
Condition.failed("a") & True  # M103 condition: joined with something else
speculate(length)  # M104 speculation: without a delay
speculate(length, after="2s")(3)  # M105 speculation: wrong input
unused = (Summary, grow)


# waits

edited = Signal("edited", Ready)


async def messages(ctx: Context, handle: Handle[str]) -> None:
    await handle.send(edited, "a")  # M106 wrong signal payload
    print((await ctx.wait_for(edited)).why)  # M107 wrong use of a signal payload
    chain(shout).then(wait_for(edited)).then(length)  # M108 a signal that does not fit the next step


# streams

stream(lines).map(summarise)  # M109 stream: wrong item between stages
stream(lines).map(length).filter(loud)  # M110 stream: a filter of another type
stream(lines).map(length).into(store)  # M111 stream: the sink takes batches
stream(pages).into(polish)  # M112 stream: the items of a source with positions
stream(lines).batch(2).map(length)  # M113 stream: a batch is a list
stream(lines).map(length).fold(longest, 0)  # M114 stream: a fold of other items
stream(lines).map(length).batch(2).into(store)(3)  # M115 stream: wrong input
stream(lines).into(loud)  # M116 stream: a sink that is not awaited
stream(length)  # M117 stream: a source that gives no items
chain(shout).then(stream(lines).map(length).batch(2).into(store)).then(length)  # M118 stream: wrong neighbour
stream(lines, overflow="lose")  # M119 stream: no such policy


# hooks


def after_it(asked: AfterStep) -> Veto | None:
    return None


def astray(asked: BeforeStep) -> Redirect:
    return Redirect("x")


def completed(seen: Observed[StepCompleted]) -> None:
    print(seen.event.output)


before("fetch")(after_it)  # M131 hook: handed something else at this point
before(astray)  # M132 hook: an answer that makes no sense there
intercept("join")(narrow)  # M133 hook: of another point
intercept("nowhere")  # M134 hook: no such point
intercept("artifact")  # M135 hook: a point that can only be observed
App(hooks=[guard])  # M136 hook: a function that was not made one
before("fetch", critcal=True)  # M137 hook: misspelt option
observe("error")(completed)  # M138 hook: an observer of other events
chain(shout).with_hooks(guard)  # M139 hook: no hook for a chain
step(hooks=[guard])(shout.fn)  # M140 hook: no hook for a step
after(lambda asked: asked.arguments)  # M141 hook: the result has no arguments


async def people(ctx: Context, handle: Handle[str]) -> None:
    print((await ctx.approval("?", form=Summary)).form.txt)  # M153 misspelt field of an approval form
    print((await ctx.approval("?")).form.text)  # M154 a form that nobody was asked for
    chain(shout).then(approved("?", length, improve))  # M155 arms that take different inputs
    chain(shout).then(approval("?", form=Ready)).then(length)  # M156 what was decided is no text
    await ctx.approval("?", quorum="two")  # M157 wrong option of an approval
    await handle.approve("?")  # M158 nobody answers


# time travel, versions


async def travel(ctx: Context, handle: Handle[str]) -> None:
    await handle.fork(effects="maybe")  # M159 fork: no such effects
    await handle.rollback("fetch", agian=True)  # M160 rollback: misspelt option
    ctx.patched(3)  # M161 patched: a name is a text


migration("report", from_=1, to="2")  # M162 migration: versions are texts
chain(shout, version=2)  # M163 chain: versions are texts


async def shared(app: App, handle: Handle[str]) -> None:
    current().session.merge("n", 5)  # M164 fields are named
    current().session.add("n", "1")  # M165 a number is added
    await app.start(length("a"), limits={"steps": 1})  # M166 a dict is no limits
    Limits(step=1)  # M167 misspelt limit
    Limits(on_exceeded="explode")  # M168 no such policy
    current().usage(tokens="many")  # M169 tokens are counted
    current().save_artifact("a", 5)  # M170 a number has no content
    await handle.allow(5)  # M171 no limits


# compensation


@step
async def settle(amount: int) -> str:
    return str(amount)


async def takes_a_number(receipt: int) -> None: ...


async def gives_back(receipt: str) -> int:
    return len(receipt)


async def compensated(ctx: Context) -> None:
    settle.undo(takes_a_number)  # M172 undo: it takes something else than the output
    settle.undo(gives_back)  # M173 undo: it returns something
    chain(settle).then(length, undo=gives_back)  # M174 undo of a link: it takes and returns something else
    with ctx.saga():  # M175 saga: entered with async with
        pass
    async with ctx.saga("name"):  # M176 saga: it takes nothing
        pass
    chain(saga(length)).then(length)  # M177 saga: its result is that of its body


# typed state


def states(ctx: Context[Report]) -> None:
    ctx.state.psot = "a"  # M178 misspelt state field
    ctx.state.post = 3  # M179 wrong type of state field
    reducers.append(ctx.to.scores, "a")  # M180 a wrong operand of a reducer
    current().state(Report).total  # M181 a field that the state does not have


stateful.state.scores = counted.out  # M182 graph: wrong type written to state
stateful.map(summarise, stateful.state.scores)  # M183 graph: wrong items from state
stateful.state.post = announce("a")  # M184 graph: a call, not a value, written to state

# windows of time

stream(lines).time_window("1 min", at=str.upper)  # M320 stream: a time is a datetime or a number
stream(pages).time_window("1 min", at=length)  # M321 stream: the time of another item
stream(lines).time_window("1 min", at=length).map(length)  # M322 stream: a window is not its items
stream(lines).time_window("1 min", at=length).batch(2).into(store)  # M323 stream: windows are no numbers
stream(pages).map(chain(polish).then(length))  # M325 stream: a flow that takes other items
chain(delay(3)).then(length).then(length)  # M324 chain: wrong neighbour behind a pause

# children


async def children(ctx: Context) -> None:
    await ctx.start(length)  # M270 start: not a call
    await ctx.start(length(3))  # M271 start: wrong argument of the call
    await ctx.start(length("a"), on_close="forget")  # M272 start: an unknown way to close
    child = await ctx.start(length("a"))
    await announce(await child.result())  # M273 result: of another type
    await child.send(edited, 3)  # M274 send: a value of another type
    ctx.send("r", edited, Ready("a"))  # M275 send: not awaited
    child.result()  # M276 result: not awaited


# --- models and agents

Agent("a", input=str, output=Asked, tools=[len])  # M200 a tool that is no step (M41 of the sketch)
Agent("a", input=str)  # M201 an agent without an output
llm("?", output=Asked, temprature=1)  # M202 a misspelt option of an llm step
chain(writer).then(length)  # M203 what an agent gives does not fit the next step
chain(length).then(detached(chain(fetch)))  # M368 a detached flow is given another input
chain(length).then(writer)  # M204 what a step gives is no input of an agent
agent(Item("a"))  # M205 an agent without run


async def asks(ctx: Context) -> None:
    await writer("a")  # M206 an agent is given another input
    await sum_up(3)  # M207 a prompt is given another input
    await llm("?", input=Item, output=Asked)("a")  # M208 an llm step is given another input
    await look_in("a", line=3)  # M209 a misspelt argument of a tool
    number: int = await look_up("a")  # M210 another result of a tool
    print((await writer(Item("a"))).txt, number)  # M211 a misspelt field of an agent's answer
    writer(Item("a"))  # M212 await forgotten, as a statement


@prompt(output=Asked)  # M213 a prompt that is no text
def numbered(item: Item) -> int:
    return 3


@tool(permision="x")  # M214 a misspelt option of a tool
def looks() -> None: ...


# queries

how_far = Query("how_far", Ready)
one_word = QueryWith("one_word", int, Ready)


async def queries(ctx: Context, handle: Handle[str]) -> None:
    ctx.expose(how_far, lambda: "a")  # M277 expose: an answer of another type
    ctx.expose("how_far", lambda: Ready("a"))  # M278 expose: a name is no query
    await announce(await handle.query(how_far))  # M279 query: an answer of another type
    handle.query(how_far)  # M280 query: not awaited
    await handle.query(one_word, "three")  # M365 query: about a value of another type
    await handle.query(one_word)  # M366 query: about nothing
    ctx.expose(one_word, lambda: Ready("a"))  # M367 expose: an answer that is not told what it is about
    ctx.expose(how_far, Ready("a"))  # M281 expose: a value, not what answers


# limits of workflows, hooks beside the way forward

chain(length).with_limits(5)  # M290 with_limits: limits are Limits
workflow(limits=5)  # M291 workflow: the same


@intercept("cancel")  # M292 cancel: nothing to skip
def skips_a_cancellation(asked: CancelAsking) -> Skip:
    return Skip()


@intercept("signal")  # M293 signal: it is asked about something else
def asks_about_a_step(asked: BeforeStep) -> Veto:
    return Veto()


@intercept("rollback")  # M294 rollback: it goes somewhere else, or not at all
def replaces_a_rollback(asked: RollbackStarting) -> Replace:
    return Replace(1)


@intercept("compensated")  # M295 compensated: what is undone is not undone again
def undoes_again(asked: UndoEnding) -> Again:
    return Again()


@intercept("limit")
def looks_at_a_limit(asked: LimitReaching) -> None:
    asked.left  # M296 limit: it knows what is used and allowed


# --- ready-made steps

shell("wc", 3)  # M250 an argument that is no text
shell("wc", timout=3)  # M251 a misspelt option of a program
python("pass", env={"A": 3})  # M252 a variable that is no text and no secret
http("GET", "https://example.com", auth="token")  # M253 a secret that is written down
http("GET", "https://example.com", pages=3)  # M254 pages that are none
http("GET", "https://example.com", redirect=3)  # M255 a misspelt option of an HTTP step
cli_agent("kilo", workspce=".")  # M256 a misspelt option of a coding agent
Endpoint("a", "https://a.example", "whsec_x")  # M257 a secret that is written down
Incoming("a", Secret("env:A"), "then")  # M258 no function
human("How much?", form=3)  # M259 a form that is no type
App("memory:", webhooks=["https://a.example"])  # M260 an endpoint that is a text
chain(length).then(cli_agent())  # M261 an agent is given a number
chain(length).then(shell("wc"))  # M262 a program is given a number
chain(shout).then(http("GET", returns=int))  # M263 an HTTP step is given a text


async def uses() -> None:
    await shell("wc")(3)  # M264 a program is given a number
    number: int = await http("GET", pages=Pages(), returns=int)()  # M265 pages are a list
    print((await shell("wc")()).stdot, number)  # M266 a misspelt field of what a program said
    Command(stdin=3)  # M267 an input that is no text
    (await cli_agent()("do it")).dif  # M268 a misspelt field of an agent's work
    cli_agent()("do it")  # M269 await forgotten, as a statement


async def transactions() -> None:
    t = current().transaction()
    t.execute("DELETE FROM a WHERE b = ?", 1)  # M282 execute: a value, not a sequence of them
    t.execute(1)  # M283 execute: no statement
    t.fetch("SELECT 1")  # M284 fetch: not awaited


async def documents() -> None:
    load_document(3)  # M230 a document that is a number
    load_document("flow.yaml", modules=3)  # M231 modules that are a number
    export_document(length)  # M232 a step is no flow
    Library({"x": length}).find(3)  # M233 a name that is a number
    orchestrator = WorkflowOrchestrator()
    orchestrator.execute_workflow("flow.yaml")  # M234 await forgotten, as a statement
    result = await orchestrator.execute_workflow("flow.yaml", 3)  # M235 a user that is a number
    number: int = result.status  # M236 a status is a text
    print(result.outptu, number)  # M237 a misspelt field of a result
    (await orchestrator.list("ann")).status  # M238 a list of runs has no status


async def proofs(app: App, handle: Handle[str]) -> None:
    await handle.update(Update("rise", int, str), "3")  # M310 update: a value of another type
    answer: int = await handle.update(Update("rise", int, str), 3)  # M311 update: its answer is a text
    handle.update(Update("rise", int, str), 3)  # M312 await forgotten, as a statement
    await app.rehearse(length(3))  # M313 rehearse: the input of the step
    (await app.rehearse(shout("a"))).planned  # M314 a misspelt field of a rehearsal
    await handle.reconcile("pay", completed=answer)  # M315 reconcile: nobody says it
    await handle.reconcile("pay", retry="yes", by="ann")  # M316 reconcile: no yes or no
    chain(shout).with_rules(lambda text: bool(text))  # M317 a function that is no rule
    Rule.required_output(severity="fatal")  # M318 a severity that there is not
    Rule.custom("long", 3)  # M319 a rule without a function


OAuth2("https://id.example", client="a", grant="device_code")  # M335 a grant that there is not
http("GET", auth=OAuth2("https://id.example", client="a", secret="swordfish"))  # M336 a secret that is a text


# --- teams


async def teams() -> None:
    supervisor(writer, 3)  # M355 a worker that is none
    answer: int = await supervisor(writer, length)(Item("a"))  # M356 what the lead answers is no number
    await handoff(writer, writer)("a")  # M357 the topic is that of its members
    tells(length, answer)  # M358 a receiver that is no name
    print(Meeting("tides").sayd)  # M359 a misspelt field of a meeting


openapi("pets.yaml", "getPet", sever="https://a.example")  # M337 a misspelt option of an operation
openapi("pets.yaml", "getPet")(3)  # M338 parameters that are a number
grpc("tides.example.com", "tides.Tides/Find")  # M339 a method without its .proto file


async def agents_of_elsewhere() -> None:
    a2a_agent("https://agents.example", ask="return")  # M350 a misspelt option of an agent of elsewhere
    a2a_agent("https://agents.example", auth="sesame")  # M351 a secret that is written down
    (await a2a_agent("https://agents.example")("hi")).want  # M352 a misspelt field of its reply
    a2a_agent("https://agents.example")(3)  # M353 it is told a number
    AgentRequest("hi", files=("tide.txt",))  # M354 a file that is a name


async def servers() -> None:
    McpServer("files", command="npx")  # M340 a command that is one text
    files = McpServer("files", command=["x"], effects={"read": "reads"})  # M341 an effect that there is not
    number: str = await files.step("count", input=dict[str, str], output=int)({"a": "b"})  # M342 its result is a number
    chain(length).then(files.step("read", input=dict[str, str]))  # M343 a tool is given a number
    print(number)


async def frameworks(counter: PydanticAgent[None, int], measuring: LangRunnable[int, str]) -> None:
    chain(length).then(counter)  # M345 an agent that takes a text is given a number
    chain(counter).then(shout)  # M346 what an agent gives does not fit
    await current().call(counter, 3)  # M347 an agent is called with a number
    chain(shout).then(measuring)  # M348 a runnable that takes a number is given a text
    agent(counter, modell_retry=3)  # M349 a misspelt option of an agent of another framework


def open_workflows() -> None:
    load_document("order.owf.yaml", surroundings={"allow": []})  # M330 surroundings that are a dictionary
    Surroundings(allow=3)  # M331 what is allowed is a number
    Surroundings(stand_ins=["https://example.com"])  # M332 what stands in for others is a list
    Surroundings(secret="sesame")  # M333 a secret that is written down
    Surroundings(event="cloudevents")  # M334 a misspelt field of surroundings


def document_types() -> None:
    Maker(length, servers="server")  # M380 one text in the place of the keys that are servers
    Maker(length, server=("server",))  # M381 a misspelt option of what makes a step type
    Maker("length")  # M382 what makes a step is a text


async def served(handle: Handle[int]) -> None:
    count, name = Update("count", int, str), Query("name", str)

    @step
    async def double(number: int) -> int:
        return 2 * number

    chain(length).with_update(count, length)  # M395 what answers an update takes a text
    chain(length).with_update(count, double)  # M396 the answer is of another type
    wait_for_update(Update("said", str, str), shout, timeout=["1 h"])  # M425 a length of time that is a list
    wait_for_update(name, shout)  # M397 a query where an update is expected
    chain(length).with_query(name, lambda: "x")  # M398 what answers a query is given the run
    chain(length).with_query(QueryWith("n", int, str), lambda run: "x")  # M399 and what it is asked about
    x: int = await handle.query(name)  # M400 the answer is a text
    print(x)


def permitted() -> None:
    llm("x", output=str, permissions=3)  # M415 permissions that are a number


async def unpriced(measuring: LangRunnable[int, str]) -> None:
    Limits(money=5, unpriced="some")  # M409 uses of models that are a text
    llm("x", output=str, patience=["quick"])  # M410 a patience that is no length of time
    current().usage(tokens=3, cost="free")  # M411 a cost that is a text
    chain(fetch).then(detached(measuring))  # M412 a detached runnable is given another input


# sessions, and runs that are taken back


async def sessions_and_back(ctx: Context, handle: Handle[str]) -> None:
    _: str = await ctx.session.get("visits", int, 0)  # M401 a value of another type
    await ctx.session.add("visits", "one")  # M402 no number is added
    ctx.session.set("visits", 1)  # M403 await forgotten, a change of the session
    await handle.rollback("search", set=["a"])  # M404 what is set has no names


def changed(completed: StepCompleted, wanted: RunStep, listed: RunHead) -> None:
    completed.output = b"1"  # M465 an event is changed
    wanted.attempt = 2  # M466 a command is changed
    listed.status = "completed"  # M467 a line of a list is changed
