"""What a run sends, on the command line."""

import asyncio

import pytest

from ripresa import App, step
from ripresa.cli.driving import Left, _with_behind  # pyright: ignore[reportPrivateUsage]
from ripresa.core.view import RunView
from ripresa.ports import NEVER
from ripresa.stores.sqlite import SQLiteStore
from tests.cli.program import Terminal

FLOWS = """
from ripresa import Signal, current, step

@step
async def tell(word: str) -> str:
    current().send("nobody", Signal("word", str), word)
    current().queue("web", word, target="here")
    return word
"""

DRY = """
from ripresa import Context, chain, delay, step, workflow

class Odd:
    pass

@step(effect="read")
def address(name: str) -> str:
    print("looked up")
    return f"{name}@example.org"

@step(effect="irreversible")
async def send(to: str) -> str:
    raise AssertionError("never in a dry run")

@step(effect="pure")
def broken(word: str) -> str:
    raise ValueError("broken")

@step
def make(word: str) -> Odd:
    return Odd()

mail = chain(address).then(send)
waits = chain(address).then(delay("1 day")).then(send)
fails = chain(broken)
odd = chain(make, name="odd")

@workflow
async def none(ctx: Context) -> None:
    return None
"""


def test_what_is_not_delivered_is_shown(terminal: Terminal) -> None:
    terminal.write("tell.py", FLOWS)
    assert terminal.here("run", "tell.py:tell", "-i", '"a"', "--id", "r", "-q").code == 0
    shown = terminal.here("show", "r").out
    assert "2 sent" in shown
    assert "sent by tell: web here" in shown
    outbox = terminal.here("show", "r", "--json").json["outbox"]
    assert [each["kind"] for each in outbox] == ["signal", "web"]
    assert "MessageQueued" in terminal.here("events", "r").out


async def give_up(store: SQLiteStore) -> None:
    """As if what all runs sent could not be delivered, the signals for good."""
    await store.open()
    for each in await store.undelivered(10):
        due = NEVER if each.kind == "signal" else each.due
        await store.postpone(each, each._replace(tries=20, due=due, error="nobody is there"))
    await store.close()


def test_what_was_given_up_is_listed_and_sent_again(terminal: Terminal) -> None:
    assert terminal.here("outbox").err.startswith("nothing waits")
    assert terminal.here("outbox", "--json").json == []
    assert terminal.here("outbox", "resend").code == 0
    assert terminal.here("outbox", "resend", "--number", "1").code == 3
    terminal.write("tell.py", FLOWS)
    for run in ("r", "q"):
        assert terminal.here("run", "tell.py:tell", "-i", '"a"', "--id", run, "-q").code == 0
    asyncio.run(give_up(SQLiteStore(terminal.directory / ".ripresa" / "ripresa.db")))
    table = terminal.here("outbox").out
    assert "given up" in table
    assert "waits" in table
    assert len(terminal.here("outbox", "--json").json) == 4
    [given_up] = terminal.here("outbox", "--run", "r", "--given-up", "--json").json
    assert (given_up["run"], given_up["kind"], given_up["error"]) == ("r", "signal", "nobody is there")
    assert len(terminal.here("outbox", "--given-up", "--json").json) == 2
    assert terminal.here("outbox", "resend", "--number", "99").code == 3
    assert "1 will be sent again" in terminal.here("outbox", "resend", "r").err
    assert terminal.here("outbox", "resend", "--number", str(given_up["number"]), "-q").code == 3
    assert "1 will be sent again" in terminal.here("outbox", "resend").err


def test_a_dry_run_prints_what_would_be_done_and_opens_no_store(terminal: Terminal) -> None:
    terminal.write("dry.py", DRY)
    found = terminal.here("run", "dry.py:mail", "-i", '"ann"', "--dry-run")
    assert found.code == 0
    assert [line.split() for line in found.out.splitlines()[1:]] == [
        ["address", "read", "ran", 'name="ann"'],
        ["send", "irreversible", "would", "run", 'to="ann@example.org"'],
    ]
    assert "looked up" in found.err  # printed by the step
    plain = terminal.here("run", "dry.py:mail", "-i", '"ann"', "--dry-run", "--json").json
    assert plain["status"] == "completed"
    assert plain["steps"][1] == {
        "path": "send",
        "effect": "irreversible",
        "ran": False,
        "arguments": {"to": "ann@example.org"},
    }
    assert terminal.here("run", "dry.py:mail", "-i", '"ann"', "--dry-run", "--session", "s").code == 3
    assert not (terminal.directory / ".ripresa").exists()
    assert terminal.here("session", "create", "s").code == 0
    looked = terminal.here("run", "dry.py:mail", "-i", '"ann"', "--dry-run", "--session", "s")
    assert (looked.code, looked.out) == (0, found.out)
    assert terminal.here("runs", "--json").json == []


@pytest.mark.parametrize(
    ("target", "code", "says"),
    [("waits", 5, "it would wait"), ("fails", 1, "failed: broken"), ("odd", 1, "stopped at make"), ("none", 0, "")],
)
def test_the_end_of_a_dry_run_is_its_exit_code(terminal: Terminal, target: str, code: int, says: str) -> None:
    terminal.write("dry.py", DRY)
    found = terminal.here("run", f"dry.py:{target}", "--dry-run", *(("-i", '"a"') if target != "none" else ()))
    assert found.code == code
    assert says in found.err


FAMILY = """
from ripresa import Context, Signal, step, workflow

@step
async def double(number: int) -> int:
    return 2 * number

@workflow
async def waits(ctx: Context) -> str:
    return await ctx.wait_for(Signal("word", str))

@workflow
async def parent(ctx: Context) -> int:
    child = await ctx.start(double(2), id="child")
    await ctx.start(waits(), id="other")
    return await child.result()

@workflow
async def sends(ctx: Context) -> str:
    child = await ctx.start(waits(), id="told")
    await child.send(Signal("word", str), "ready")
    return await child.result()

@workflow
async def patient(ctx: Context) -> str:
    return await (await ctx.start(waits(), id="slow")).result()
"""


def test_a_run_stays_for_a_child_that_what_it_was_sent_wakes(terminal: Terminal) -> None:
    terminal.write("family.py", FAMILY)
    done = terminal.here("run", "family.py:sends", "--id", "p")
    assert (done.code, done.out.strip()) == (0, "ready"), done.err


def test_the_family_of_a_run_is_shown(terminal: Terminal) -> None:
    terminal.write("family.py", FAMILY)
    assert terminal.here("run", "family.py:parent", "--id", "p").out.strip() == "4"
    assert "child (completed), other (started)" in terminal.here("show", "p").out
    assert "run p" in terminal.here("show", "child").out
    shown = terminal.here("show", "p", "--json").json
    assert shown["children"][0] == {"run": "child", "status": "completed"}
    assert terminal.here("show", "child", "--json").json["parent"] == "p"
    assert "child" in terminal.here("runs", "--tag", "parent:p").out


def test_what_a_run_waits_for_is_said(terminal: Terminal) -> None:
    terminal.write("family.py", FAMILY)
    left = terminal.here("run", "family.py:patient", "--id", "p")
    assert left.code == 5
    assert "waits for run slow" in left.err
    assert "when it has ended, go on with: " in left.err
    assert "waiting for run slow" in terminal.here("show", "p").out


DETACHED = """
from ripresa import Context, Signal, chain, current, detached, step, workflow

@step
async def order(item: str) -> str:
    return f"order of {item}"

@workflow
async def letter(ctx: Context, order: str) -> str:
    return await ctx.wait_for(Signal("word", str))

@step
async def three(item: str) -> str:
    for _ in range(7):
        current().start(letter(item))
    return item

@workflow
async def later(ctx: Context, item: str) -> str:
    return await (await ctx.start(purchase(item), id="c", on_close="abandon")).result()

purchase = chain(order, name="purchase").then(detached(letter))
many = chain(three, name="many")
"""


def left_behind(err: str) -> str:
    (found,) = [line for line in err.splitlines() if line.startswith("left behind: ")]
    return found.removeprefix("left behind: ")


def test_a_run_that_is_left_behind_is_named_with_what_takes_it_up(terminal: Terminal) -> None:
    terminal.write("shop.py", DETACHED)
    done = terminal.here("run", "shop.py:purchase", "--input", '"tea"', "--id", "p")
    child = done.out.strip()
    told, _, how = left_behind(done.err).partition("; go on with: ")
    assert (done.code, told.partition(" (")[0]) == (0, child)
    assert f" resume {child}  or  " in how or (" worker" in how and "not begun" in told)
    again = terminal.here("run", "shop.py:purchase", "--input", '"tea"', "--id", "p")
    assert child in left_behind(again.err)
    assert "left behind" not in terminal.here("run", "shop.py:purchase", "--input", '"tea"', "--id", "p", "-q").err
    assert "left behind" not in terminal.here("run", "shop.py:order", "--input", '"tea"').err


def test_of_many_runs_that_are_left_behind_five_are_named(terminal: Terminal) -> None:
    terminal.write("shop.py", DETACHED)
    told = left_behind(terminal.here("run", "shop.py:many", "--input", '"tea"', "--id", "m").err)
    assert told.count("m.") == 5
    assert " and 2 more; go on with: " in told
    gone = terminal.here("run", "shop.py:many", "--input", '"tea"', "--store", "memory:").err
    assert left_behind(gone).endswith(" and 2 more, kept in memory and gone")


async def test_what_else_this_process_was_driving_is_left_behind_too() -> None:
    started = asyncio.Event()

    @step
    async def stays() -> None:
        started.set()
        await asyncio.Event().wait()

    async with App("memory:") as app:
        handle = await app.start(stays(), id="other")
        await started.wait()
        one, two = Left(RunView(id="one"), lambda value: b""), Left(RunView(id="two"), lambda value: b"")
        found = await _with_behind(app, [one, two])
        assert [each.behind for each in found] == [(), (("other", "running"),)]
        (itself,) = await _with_behind(app, [Left(await handle.status(), one.read)])
        assert itself.behind == ()
