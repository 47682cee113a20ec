"""The typed state of a run, played by hand: what each branch sees, and what reaches the others at the join."""

from typing import Any

import pytest

from ripresa.core.codec import decode_state, encode_state
from ripresa.core.commands import Ask
from ripresa.core.events import (
    CallSpec,
    Failure,
    FanOutEnded,
    RunFailed,
    StateChanged,
    StateGiven,
    StateOpened,
    StateRestored,
    UndoRequested,
    Write,
)
from ripresa.core.frames import ScopeFrame
from ripresa.core.joined import as_joined
from ripresa.core.merge import read
from ripresa.core.nodes.branch import Branch
from ripresa.core.nodes.call import Call
from ripresa.core.nodes.dynamic import Dynamic
from ripresa.core.nodes.fallback import Fallback
from ripresa.core.nodes.graph import Graph, Wire
from ripresa.core.nodes.join import Join
from ripresa.core.nodes.loop import Loop, Over
from ripresa.core.nodes.map import Map
from ripresa.core.nodes.node import Node
from ripresa.core.nodes.parallel import Parallel
from ripresa.core.nodes.saga import Saga
from ripresa.core.nodes.sequence import Sequence
from ripresa.core.nodes.stateful import Assign, Stateful
from ripresa.core.nodes.subworkflow import Subworkflow
from ripresa.core.nodes.undo import Undo
from ripresa.core.shared import MERGE, FieldShape, Shape
from ripresa.core.values import text_of
from ripresa.core.view import view_of

from .play import Play, call, calls, define, failure

SHAPE = Shape(
    "Report",
    1,
    (
        FieldShape("post", "str"),
        FieldShape("scores", "list", "append"),
        FieldShape("total", "int", "add"),
        FieldShape("title", "str", "", "last_write"),
        FieldShape("best", "int", "longest", custom=True),
    ),
)


def stateful(*nodes: Node[Any], name: str = "flow") -> Stateful:
    """Durable functions and graphs stand in it by themselves; all else stands in a sequence."""
    body = nodes[0] if isinstance(nodes[0], Dynamic | Graph) else Sequence(name, nodes)
    return Stateful(name, body, shape=SHAPE)


def post(value: int | str) -> Write:
    return Write("post", "set", b'"%s"' % str(value).encode())


def title(value: str) -> Write:
    return Write("title", "set", b'"%s"' % value.encode())


def score(value: int) -> Write:
    return Write("scores", "append", b"%d" % value)


def plus(value: int) -> Write:
    return Write("total", "add", b"%d" % value)


def play_of(*nodes: Node[Any], snapshots: bool = True, hooks: tuple[str, ...] = (), **recorded: Any) -> Play:
    play = Play(define(stateful(*nodes)), snapshots=snapshots, hooks=hooks)
    play.start(state=(Write("total", "set", b"0"),), **recorded)
    return play


def seen(play: Play, path: str) -> dict[str, str]:
    """What something at a path sees."""
    shared = play.state.shared
    assert shared is not None
    fields = shared.visible(play.state.frames[path])
    return {name: read(held, text_of).decode() for name, held in fields.items()}


def state(play: Play, path: str = "") -> dict[str, str]:
    """The state that readers see, from the events alone."""
    view = view_of(play.journal)
    return {name: read(held, text_of).decode() for name, held in view.states[path].fields.items()}


def failed(play: Play) -> Failure:
    ended = play.events[-1]
    assert isinstance(ended, RunFailed)
    return ended.failure


def checked(play: Play, status: str = "completed") -> Play:
    assert play.status == status
    play.check_replay()
    return play


def test_what_was_taken_back_after_the_end_is_told_in_the_events_and_held() -> None:
    play = play_of(*calls("a b"))
    play.done("a", writes=(title("x"), plus(3)))
    play.fail("b")
    back = StateRestored("", (Write("total", "set", b"0"),), ("title",))
    elsewhere = StateRestored("gone", (Write("total", "set", b"1"),))
    assert state(play) == {"total": "3", "title": '"x"'}
    effects = play.feed(UndoRequested(play.now, states=(back,)))
    assert effects[1] == back
    assert state(play) == {"total": "0"}
    assert play.state.shared is not None
    play.state.shared.were((elsewhere,))
    assert {name: read(held, text_of) for name, held in play.state.shared.scopes[""].items()} == {"total": b"0"}
    checked(play, "undone")


def test_a_run_without_a_state_has_none_to_join() -> None:
    assert as_joined(Play(define(call("a"))).state) == {}


def test_what_a_saga_wrote_is_taken_back_with_what_it_did_and_it_begins_anew_without_it() -> None:
    saga = Saga("s", Sequence("body", (Call("a", undo=Undo(call("x"))), call("b"))))
    play = play_of(call("first"), saga)
    play.done("first", writes=(plus(1),))
    play.done("s/a", writes=(plus(3),))
    play.fail("s/b")
    assert state(play) == {"total": "4"}
    play.done("s/a/undo:x")
    assert state(checked(play, "failed")) == {"total": "1"}
    play.reopen()
    assert seen(play, "s/a") == {"total": "1"}
    play.done("s/a", writes=(plus(5),))
    play.done("s/b")
    assert state(checked(play)) == {"total": "6"}


def test_a_saga_in_a_branch_that_wrote_nothing_has_nothing_to_take_back() -> None:
    saga = Saga("s", Sequence("body", (Call("a", undo=Undo(call("x"))), call("b"))))
    play = play_of(parallel(saga, call("c")))
    play.done("side/s/a")
    play.fail("side/s/b")
    play.done("side/s/a/undo:x")
    assert not [event for event in play.events if isinstance(event, StateRestored)]
    play.done("side/c")
    assert state(checked(play, "failed")) == {"total": "0"}


# --- one after another


def test_what_a_step_wrote_is_seen_by_the_next() -> None:
    play = play_of(*calls("a b"))
    assert seen(play, "a") == {"total": "0"}
    effects = play.done("a", writes=(post("x"), score(1)))
    assert effects[0] == StateChanged("")
    assert seen(play, "b") == {"total": "0", "post": '"x"', "scores": "[1]"}
    play.done("b", writes=(score(2), plus(5)))
    assert state(checked(play)) == {"total": "5", "post": '"x"', "scores": "[1,2]"}


def test_a_failed_attempt_leaves_nothing() -> None:
    play = play_of(call("a"))
    play.fail("a", retry_in=0)
    assert seen(play, "a") == {"total": "0"}
    play.done("a", writes=(plus(1),))
    assert state(checked(play)) == {"total": "1"}


def test_what_the_state_begins_with_is_asked_where_the_start_does_not_say() -> None:
    play = Play(define(stateful(call("a"))), snapshots=True)
    play.start()
    assert play.answer("", b"1") == []
    assert StateOpened("", "Report", 1) in play.given("", plus(3))
    assert play.given("", plus(3)) == []
    play.done("a")
    assert state(checked(play)) == {"total": "3"}


def test_a_loop_carries_the_state_over_its_iterations() -> None:
    play = play_of(Loop("loop", call("body"), over=Over("range", last=3)))
    for index in range(3):
        assert seen(play, f"loop/body[{index}]") == ({"total": "0"} if not index else {"total": str(index)})
        play.done(f"loop/body[{index}]", writes=(plus(1),))
    assert state(checked(play)) == {"total": "3"}


def test_a_choice_writes_like_its_arm() -> None:
    play = play_of(Branch("which", calls("a b"), condition="c", code=None), call("last"))
    play.answer("which", b"1")
    play.done("which/b", writes=(post("b"),))
    assert seen(play, "last") == {"total": "0", "post": '"b"'}


# --- side by side


def parallel(*nodes: Node[Any], **join: Any) -> Parallel:
    return Parallel("side", nodes or calls("a b c"), join=Join(**join))


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_branches_are_apart_and_join_in_their_own_order(order: str) -> None:
    play = play_of(parallel(), call("last"))
    for name in order:
        assert seen(play, f"side/{name}") == {"total": "0"}
        play.done(f"side/{name}", writes=(score(ord(name)), plus(1), title(name)))
        if name != order[-1]:
            assert state(play) == {"total": "0"}
    expected = {"total": "3", "scores": "[97,98,99]", "title": '"c"'}
    assert seen(play, "last") == state(play) == expected


def test_steps_of_a_branch_see_what_the_branch_wrote() -> None:
    play = play_of(parallel(Sequence("left", calls("a b")), call("right")))
    play.done("side/left/a", writes=(post("a"), score(1)))
    assert seen(play, "side/left/b") == {"total": "0", "post": '"a"', "scores": "[1]"}
    assert seen(play, "side/right") == {"total": "0"}
    play.done("side/right", writes=(score(2),))
    play.done("side/left/b", writes=(score(3),))
    assert state(checked(play)) == {"total": "0", "post": '"a"', "scores": "[1,3,2]"}


def test_branches_that_replace_one_field_are_a_conflict_that_names_them() -> None:
    play = play_of(parallel())
    play.done("side/b", writes=(post("b"),))
    play.done("side/a", writes=(post("a"),))
    play.done("side/c")
    found = failed(checked(play, "failed"))
    assert (found.code, found.path) == ("state_conflict", "side")
    assert "Report.post" in found.message
    assert "side/a, side/b" in found.message
    play.reopen()
    assert failed(checked(play, "failed")) == found


def test_a_reset_of_a_reduced_field_beside_its_reducer_is_a_conflict_too() -> None:
    play = play_of(parallel())
    for name, write in (("a", plus(1)), ("b", plus(2)), ("c", Write("total", "set", b"9"))):
        play.done(f"side/{name}", writes=(write,))
    assert "use its reducer add" in failed(play).message


def best(value: int, operand: int = 0) -> Write:
    """What a reducer of the user's own made of its branch's value and an operand."""
    return Write("best", "custom", b"%d" % value, operand=b"%d" % (operand or value))


def asks(effects: list[Any]) -> list[Ask]:
    return [effect for effect in effects if isinstance(effect, Ask)]


@pytest.mark.parametrize("order", ["abc", "cba", "bca"])
def test_a_reducer_of_the_users_own_is_asked_at_the_join_what_comes_out(order: str) -> None:
    play = play_of(parallel(), call("last"))
    effects: list[Any] = []
    for name in order:
        effects = play.done(f"side/{name}", writes=(best(ord(name)), plus(1)))
    assert asks(effects) == [Ask("side", "merge", b"-1")]
    assert state(play) == {"total": "0"}
    assert play.answer("side", b"1") == []
    play.merged("side", best(500))
    assert play.merged("side", best(501)) == []
    assert seen(play, "last") == state(play) == {"total": "3", "best": "500"}
    play.done("last")
    checked(play)


def test_nobody_is_asked_where_one_branch_alone_used_the_reducer() -> None:
    play = play_of(parallel())
    for name in "abc":
        effects = play.done(f"side/{name}", writes=(best(7),) if name == "b" else (plus(1),))
        assert not asks(effects)
    assert state(checked(play)) == {"total": "2", "best": "7"}


def test_a_field_that_one_branch_replaced_beside_the_users_reducer_is_a_conflict() -> None:
    play = play_of(parallel(*calls("a b")))
    play.done("side/a", writes=(best(1),))
    play.done("side/b", writes=(Write("best", "set", b"2"),))
    assert "use its reducer longest" in failed(checked(play, "failed")).message


def test_of_branches_that_lost_nothing_is_merged() -> None:
    play = play_of(parallel(need=2), call("last"))
    play.done("side/c", writes=(best(3),))
    effects = play.done("side/a", writes=(best(1),))
    assert not asks(effects)
    assert asks(play.lose("side/b", "cancelled")) == [Ask("side", "merge", b"-1")]
    play.merged("side", best(13))
    assert seen(play, "last") == {"total": "0", "best": "13"}
    play.done("last")
    checked(play)


def test_a_merge_that_fails_fails_the_fork_and_is_asked_again_in_a_reopened_run() -> None:
    play = play_of(parallel(*calls("a b")))
    play.done("side/a", writes=(best(1),))
    play.done("side/b", writes=(best(2),))
    play.answer_fails("side")
    assert play.status == "failed"
    assert asks(play.reopen()) == [Ask("side", "merge", b"-1")]
    play.merged("side", best(12))
    assert state(checked(play)) == {"total": "0", "best": "12"}
    assert len([event for event in play.events if isinstance(event, FanOutEnded)]) == 1


@pytest.mark.parametrize("need", [0, 2])
def test_a_run_that_is_stopped_at_a_merge_leaves_nothing_of_it(need: int) -> None:
    play = play_of(parallel(*calls("a b"), need=need))
    play.done("side/a", writes=(best(1),))
    play.done("side/b", writes=(best(2),))
    play.pause()
    play.cancel()
    assert play.merged("side", best(12)) == []
    assert state(checked(play, "cancelled")) == {"total": "0"}


def test_merges_within_merges() -> None:
    inner = Parallel("in", calls("x y"), join=Join())
    play = play_of(parallel(Sequence("left", (call("a"), inner)), call("right")))
    play.done("side/right", writes=(best(4),))
    play.done("side/left/a", writes=(best(1),))
    play.done("side/left/in/y", writes=(best(13, 3),))
    assert asks(play.done("side/left/in/x", writes=(best(12, 2),))) == [Ask("side/left/in", "merge", b"-1")]
    assert asks(play.merged("side/left/in", best(123))) == [Ask("side", "merge", b"-1")]
    shared = play.state.shared
    assert shared is not None
    fork = play.state.frames["side"]
    assert isinstance(fork, ScopeFrame)
    left = [write for write in shared.written(fork, (0,)) if write.field == "best"]
    assert [(text_of(write.value), text_of(write.operand)) for write in left] == [
        (b"1", b"1"),
        (b"12", b"2"),
        (b"123", b"3"),
    ]
    play.merged("side", best(1234))
    assert state(checked(play)) == {"total": "0", "best": "1234"}


@pytest.mark.parametrize("join", [{"any": True}, {"need": 1}])
def test_a_loser_leaves_nothing(join: dict[str, Any]) -> None:
    play = play_of(parallel(Sequence("left", calls("a b")), call("right"), **join), call("last"))
    play.done("side/left/a", writes=(post("left"), score(1)))
    play.done("side/right", writes=(score(2),))
    play.done("side/left/b", writes=(score(3),))
    assert seen(play, "last") == state(play) == {"total": "0", "scores": "[2]"}


def test_winners_that_are_at_odds_are_a_conflict() -> None:
    play = play_of(parallel(need=2))
    play.done("side/a", writes=(post("a"),))
    play.done("side/b", writes=(post("b"),))
    play.lose("side/c", "cancelled")
    assert failed(checked(play, "failed")).code == "state_conflict"


def test_a_branch_that_failed_leaves_nothing_where_the_others_go_on() -> None:
    play = play_of(parallel(Sequence("left", calls("a b")), call("right"), on_error="best_effort"))
    play.done("side/left/a", writes=(score(1),))
    play.fail("side/left/b")
    play.done("side/right", writes=(score(2),))
    assert state(checked(play)) == {"total": "0", "scores": "[2]"}


def test_a_branch_that_goes_on_in_a_reopened_run_keeps_what_it_wrote() -> None:
    play = play_of(parallel(Sequence("left", calls("a b")), call("right")))
    play.done("side/left/a", writes=(score(1),))
    play.fail("side/left/b")
    play.done("side/right", writes=(score(2),))
    assert play.status == "failed"
    play.reopen()
    assert seen(play, "side/left/b") == {"total": "0", "scores": "[1]"}
    play.done("side/left/b", writes=(score(3),))
    assert state(checked(play)) == {"total": "0", "scores": "[1,3,2]"}


def test_forks_in_forks() -> None:
    inner = Parallel("in", calls("x y"), join=Join())
    play = play_of(Map("map", Sequence("item", (call("a"), inner, call("z"))), join=Join()))
    play.answer("map", b"2")
    for index in (1, 0):
        at = f"map/item[{index}]"
        play.done(f"{at}/a", writes=(score(10 * index),))
        play.done(f"{at}/in/y", writes=(score(10 * index + 2),))
        play.done(f"{at}/in/x", writes=(score(10 * index + 1),))
        assert seen(play, f"{at}/z")["scores"] == f"[{10 * index},{10 * index + 1},{10 * index + 2}]"
        play.done(f"{at}/z")
    assert state(checked(play))["scores"] == "[0,1,2,10,11,12]"


def test_an_alternative_that_failed_leaves_nothing() -> None:
    play = play_of(Fallback("try", (Sequence("first", calls("a b")), call("second"))))
    play.done("try/first/a", writes=(post("first"), plus(1)))
    play.fail("try/first/b")
    assert seen(play, "try/second") == {"total": "0"}
    play.done("try/second", writes=(plus(2),))
    assert state(checked(play)) == {"total": "2"}


# --- graphs


def diamond() -> Graph:
    wires = (Wire(), Wire(after=(0,)), Wire(after=(0,)), Wire(after=(1, 2)))
    return Graph("graph", calls("a b c d"), wires, output=Wire(sources=(3,)))


def test_a_node_sees_what_those_it_waited_for_wrote() -> None:
    play = play_of(diamond())
    play.done("a", writes=(post("a"), score(1)))
    play.done("c", writes=(score(3),))
    assert seen(play, "b") == {"total": "0", "post": '"a"', "scores": "[1]"}
    play.done("b", writes=(score(2), post("b")))
    assert seen(play, "d") == {"total": "0", "post": '"b"', "scores": "[1,2,3]"}
    assert state(play) == {"total": "0"}
    play.done("d", writes=(post("d"),))
    assert state(checked(play)) == {"total": "0", "post": '"d"', "scores": "[1,2,3]"}


def test_nodes_that_did_not_wait_for_each_other_may_not_replace_one_field() -> None:
    play = play_of(diamond())
    play.done("a", writes=(post("a"),))
    play.done("c", writes=(post("c"),))
    play.done("b", writes=(post("b"),))
    found = failed(checked(play, "failed"))
    assert found.code == "state_conflict"
    assert ": b, c;" in found.message
    play.reopen()
    play.done("d")
    assert failed(checked(play, "failed")) == found


def test_what_a_node_waited_for_is_merged_before_it_begins() -> None:
    play = play_of(diamond())
    play.done("a", writes=(best(1),))
    play.done("c", writes=(best(13, 3),))
    effects = play.done("b", writes=(best(12, 2),))
    assert effects == [Ask("()", "merge", b"3")]
    play.merged("()", best(123))
    assert seen(play, "d") == {"total": "0", "best": "123"}
    play.done("d", writes=(best(1234, 4),))
    assert state(checked(play)) == {"total": "0", "best": "1234"}


def test_what_nodes_leave_that_did_not_wait_for_each_other_is_merged_at_the_end() -> None:
    wires = (Wire(), Wire(), Wire(after=(0, 1)))
    play = play_of(Graph("graph", calls("a b c"), wires, output=Wire(sources=(0,))))
    play.done("a", writes=(best(1),))
    assert asks(play.done("b", writes=(best(2),))) == [Ask("()", "merge", b"2")]
    play.merged("()", best(12))
    assert seen(play, "c") == {"total": "0", "best": "12"}
    assert asks(play.done("c")) == [Ask("()", "merge", b"-1")]
    play.merged("()", best(12))
    assert state(checked(play)) == {"total": "0", "best": "12"}


def test_other_nodes_go_on_while_a_merge_is_asked_and_a_failed_one_is_asked_again() -> None:
    wires = (Wire(), Wire(), Wire(after=(0, 1)), Wire(), Wire(after=(3,)))
    graph = Graph("graph", calls("a b c d e"), wires, output=Wire(sources=(2,)))
    play = play_of(graph)
    play.done("a", writes=(best(1),))
    play.done("b", writes=(best(2),))
    assert play.done("d") == []
    play.answer_fails("()")
    assert play.status == "failed"
    assert asks(play.reopen()) == [Ask("()", "merge", b"2")]
    play.merged("()", best(12))
    assert play.state.frames.keys() >= {"c", "e"}
    for name in "ce":
        play.done(name)
    play.merged("()", best(12))
    assert state(checked(play)) == {"total": "0", "best": "12"}


def test_a_graph_writes_a_result_to_the_state() -> None:
    assign = Assign("state.post", "post", "set", input_type=str)
    graph = Graph(
        "graph",
        (call("a"), assign, call("b")),
        (Wire(), Wire(sources=(0,), evaluated=True), Wire(after=(1,))),
        output=Wire(sources=(2,)),
        questions=(None, "code", None),
    )
    assert assign.expected() == 0
    play = play_of(graph)
    play.done("a")
    play.answer("state.post?", b'"made"')
    assert seen(play, "b") == {"total": "0", "post": '"made"'}
    play.done("b")
    assert state(checked(play)) == {"total": "0", "post": '"made"'}


# --- scopes


def test_a_scope_has_a_state_of_its_own_and_what_is_around_it_another() -> None:
    inner = stateful(call("a"), name="inner")
    play = play_of(inner, call("b"))
    play.given("inner", Write("total", "set", b"100"))
    assert seen(play, "inner/a") == {"total": "100"}
    play.done("inner/a", writes=(plus(1),))
    assert (state(play, "inner"), state(play)) == ({"total": "101"}, {"total": "0"})
    assert seen(play, "b") == {"total": "0"}


def test_a_workflow_called_by_another_does_not_see_its_state() -> None:
    play = play_of(Subworkflow("child", Sequence("body", (call("a"),)), workflow="w"), call("b"))
    shared = play.state.shared
    assert shared is not None
    assert shared.scope(play.state.frames["child/a"]) is None
    play.done("child/a", writes=(plus(1),))
    assert seen(play, "b") == {"total": "0"}


def test_a_run_without_a_state_takes_no_writes() -> None:
    play = Play(define(call("a")))
    play.start(state=(plus(1),))
    play.done("a", writes=(plus(1),))
    assert play.state.shared is None
    assert view_of(play.journal).state is None
    checked(play)


def test_a_terminated_run_keeps_no_state() -> None:
    play = play_of(call("a"))
    play.terminate()
    assert play.state.shared is None
    assert state(play) == {"total": "0"}


# --- durable functions


def spec(key: int, name: str, *writes: Write) -> CallSpec:
    return CallSpec(key, "step", name, writes=writes)


def function() -> Dynamic:
    return Dynamic("fn", workflow="fn", version="1")


def test_what_a_durable_function_writes_goes_with_its_slices() -> None:
    play = play_of(function())
    shared = play.state.shared
    assert shared is not None
    play.asked("()", spec(1, "a"), writes=(post("x"),))
    assert state(play) == {"total": "0", "post": '"x"'}
    assert seen(play, "a") == {"total": "0", "post": '"x"'}
    play.done("a", writes=(plus(1),))
    assert state(play) == {"total": "0", "post": '"x"'}
    assert play.state.shared is not None
    assert play.state.shared.deltas["()"] == {1: (Write("total", "add", b"1", "a"),)}
    play.asked("()", spec(2, "b"), writes=(plus(1),))
    assert seen(play, "b") == {"total": "1", "post": '"x"'}
    play.done("b")
    play.returned("()", writes=(post("y"),))
    assert state(checked(play)) == {"total": "1", "post": '"y"'}


def test_a_call_begins_with_what_its_fiber_wrote() -> None:
    play = play_of(function())
    play.asked("()", spec(1, "a", score(1)), spec(2, "b", score(2)))
    assert seen(play, "a") == {"total": "0", "scores": "[1]"}
    assert seen(play, "b") == {"total": "0", "scores": "[2]"}
    assert state(play) == {"total": "0"}


def test_a_function_that_is_taken_back_takes_back_what_it_wrote() -> None:
    play = play_of(function())
    play.asked("()", spec(1, "a"), writes=(plus(1),))
    play.done("a")
    play.asked("()", spec(2, "b"), writes=(plus(10),))
    play.fail("b")
    play.asked("()", spec(3, "amends"), writes=(plus(100), post("sorry")))
    play.done("amends", writes=(score(1),))
    raised = failure(path="b", attempt=1)
    play.raised("()", raised)
    assert state(play) == {"total": "111", "post": '"sorry"'}
    effects = play.reopen()
    assert effects[0] == StateRestored("", (Write("total", "set", b"11"),), ("post",))
    assert state(play) == {"total": "11"}
    play.done("b")
    play.returned("()", writes=(plus(1000),))
    assert state(checked(play)) == {"total": "1011"}


def test_a_function_in_a_branch_is_taken_back_in_its_branch() -> None:
    play = play_of(parallel(Sequence("left", (call("a"), Subworkflow("w", function(), workflow="w"))), call("right")))
    play.done("side/left/a", writes=(plus(1),))
    shared = play.state.shared
    assert shared is not None
    assert shared.bases == {}  # a child workflow sees nothing of it
    play = play_of(parallel(Sequence("left", (call("a"), function())), call("right")))
    play.done("side/left/a", writes=(plus(1),))
    play.asked("side/left/fn", spec(1, "b"), writes=(plus(10),))
    play.fail("side/left/fn/b")
    play.fail("side/left/fn/b")
    play.asked("side/left/fn", spec(2, "c"), writes=(plus(100),))
    play.done("side/left/fn/c")
    play.raised("side/left/fn", failure(path="side/left/fn/b", attempt=1))
    play.done("side/right", writes=(plus(5),))
    assert play.status == "failed"
    play.reopen()
    assert seen(play, "side/left/fn") == {"total": "11"}
    play.done("side/left/fn/b")
    play.returned("side/left/fn")
    assert state(checked(play)) == {"total": "16"}


def test_a_function_that_wrote_nothing_before_it_failed_has_nothing_to_take_back() -> None:
    play = play_of(function())
    play.asked("()", spec(1, "a"), writes=(plus(1),))
    play.done("a")
    play.asked("()", spec(2, "b"))
    play.fail("b")
    play.raised("()", failure(path="b", attempt=1))
    assert not any(isinstance(effect, StateRestored) for effect in play.reopen())
    play.done("b")
    play.returned("()", writes=(plus(10),))
    assert state(checked(play)) == {"total": "11"}


# --- hooks after a step


def asked_after(*nodes: Node[Any], **recorded: Any) -> Play:
    """The first step has written, and interceptors are asked about its result."""
    play = play_of(*(nodes or calls("a b")), hooks=("after a", "error a"), **recorded)
    (path,) = play.ledger.steps
    play.done(path, writes=(plus(1),))
    assert list(play.state.gates) == [path]
    assert state(play) == {"total": "0"}
    return play


@pytest.mark.parametrize("answer", ["continue", "replace", "skip"])
def test_what_a_step_wrote_counts_when_its_result_is_let(answer: str) -> None:
    play = asked_after()
    assert StateChanged("", (Write("total", "add", b"1"),)) in play.hook("a", answer, value=b"2")
    assert seen(play, "b") == state(play) == {"total": "1"}
    play.done("b")
    checked(play)


def test_what_a_step_wrote_counts_that_is_done_when_its_run_is_cancelled() -> None:
    play = asked_after()
    play.cancel()
    assert state(checked(play, "cancelled")) == {"total": "1"}


def test_what_a_forbidden_step_wrote_waits_for_a_run_that_is_reopened() -> None:
    play = asked_after()
    play.hook("a", "veto", detail="no")
    assert state(play) == {"total": "0"}
    play.reopen()
    play.hook("a")
    play.done("b")
    assert state(checked(play)) == {"total": "1"}


def test_what_a_forbidden_step_wrote_is_gone_where_another_takes_its_place() -> None:
    play = asked_after(Fallback("f", calls("a b")))
    play.hook("f/a", "veto", detail="no")
    play.done("f/b", writes=(plus(10),))
    assert state(checked(play)) == {"total": "10"}


def test_of_a_step_that_is_done_again_only_the_last_attempt_has_written() -> None:
    play = asked_after()
    play.hook("a", "again")
    play.done("a", writes=(plus(10),))
    play.hook("a")
    play.done("b")
    assert state(checked(play)) == {"total": "10"}


@pytest.mark.parametrize(("core", "total"), [(9, "0"), (8, "1")])
def test_a_step_that_is_done_again_and_fails_has_written_nothing(core: int, total: str) -> None:
    """Runs of earlier rules go by those for ever."""
    play = asked_after(core=core)
    play.hook("a", "again")
    play.fail("a")
    play.hook("a", "replace", value=b"0")
    play.done("b")
    assert state(checked(play)) == {"total": total}


# --- snapshots


def test_a_snapshot_does_not_repeat_what_branches_share() -> None:
    play = play_of(Map("map", Sequence("item", calls("a b")), join=Join()), snapshots=False)
    play.answer("map", b"50")
    assert play.state.shared is not None
    big = Write("post", "set", b'"' + b"x" * 1000 + b'"')
    play.state.shared.scopes[""] = {**play.state.shared.scopes[""], **_one(big)}
    for index in range(50):
        play.done(f"map/item[{index}]/a", writes=(plus(1),))
    text = encode_state(play.state)
    assert len(text) < 20_000
    again = decode_state(text, play.definition)
    assert encode_state(again) == text


def _one(write: Write) -> Any:
    from ripresa.core.shared import after

    return after({}, (write,))


def judged(*nodes: Node[Any]) -> Play:
    """A run whose class of state is asked where branches are joined."""
    play = Play(define(stateful(*nodes)), snapshots=True)
    play.start(state=(Write("total", "set", b"0"),), judged=True)
    return play


def test_where_branches_that_wrote_are_joined_a_state_may_be_judged() -> None:
    play = judged(Parallel("p", calls("a b"), join=Join()), Parallel("q", calls("c d"), join=Join()))
    play.done("p/a", writes=(plus(1),))
    assert play.done("p/b", writes=(post(2),)) == [Ask("p", MERGE, b"-1")]
    assert state(play) == {"total": "0"}
    assert play.merged("p")[0].__class__ is StateChanged
    assert state(play) == {"total": "1", "post": '"2"'}
    play.done("q/c", writes=(plus(1),))
    play.done("q/d")
    checked(play)


def test_a_join_that_is_not_valid_fails_and_is_asked_about_again() -> None:
    play = judged(Parallel("p", calls("a b"), join=Join()))
    play.done("p/a", writes=(plus(1),))
    play.done("p/b", writes=(plus(2),))
    play.answer_fails("p", "too much")
    assert (play.status, state(play)) == ("failed", {"total": "0"})
    assert play.reopen() == [Ask("p", MERGE, b"-1")]
    play.merged("p")
    assert state(checked(play)) == {"total": "3"}


def test_a_state_inside_of_another_is_judged_if_it_began_so() -> None:
    inner = Stateful("inner", Sequence("inner", (Parallel("p", calls("a b"), join=Join()),)), shape=SHAPE)
    play = Play(define(Sequence("flow", (call("s"), inner))), snapshots=True)
    play.start()
    play.done("s")
    play.feed(StateGiven(play.now, "inner", (Write("total", "set", b"0"),), judged=True))
    play.done("inner/p/a", writes=(plus(1),))
    assert play.done("inner/p/b", writes=(plus(1),)) == [Ask("inner/p", MERGE, b"-1")]
    play.merged("inner/p")
    play.check_replay()
