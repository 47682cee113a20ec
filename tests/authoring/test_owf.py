"""Open Workflow documents: every kind of task, how data flows, what is raised and caught, where the flow goes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ripresa import App, RunFailed
from ripresa.authoring.draw import draw
from ripresa.authoring.owf.inbox import EVENT
from ripresa.authoring.owf.problems import ROOT, fault_of
from ripresa.core.events import StepScheduled
from ripresa.errors import CODES
from tests.authoring.owf import load, problem, run

# --- set, do, flow directives


def test_set_gives_data_in_which_expressions_are_evaluated() -> None:
    found = run(
        '- a: {set: {x: 1, y: "${ .n + 1 }", z: ["${ .n }", "n is ${ .n }, ${ .t }"], w: .n}}', {"n": 2, "t": None}
    )
    assert found == {"x": 1, "y": 3, "z": [2, "n is 2, "], "w": ".n"}


def test_set_may_be_one_expression() -> None:
    assert run('- a: {set: "${ .n }"}', {"n": [1]}) == [1]
    assert run('- a: {set: "  ${ .n }  "}', {"n": [1]}) == [1]


def test_results_of_an_expression_are_one_value() -> None:
    assert run('- a: {set: {none: "${ empty }", several: "${ .[] }"}}', [1, 2]) == {"none": None, "several": [1, 2]}


def test_data_is_never_read_as_an_expression() -> None:
    assert run('- a: {set: {x: "${ .x }"}}\n- b: {set: {y: "${ .x }"}}', {"x": "${ 1 + 1 }"}) == {"y": "${ 1 + 1 }"}


def test_tasks_follow_each_other_with_the_output_of_the_one_before() -> None:
    text = '- a: {do: [{b: {set: {x: "${ . + 1 }"}}}, {c: {set: {x: "${ .x + 1 }"}}}]}\n- d: {set: {y: "${ .x }"}}'
    assert run(text, 1) == {"y": 3}


def test_a_task_says_what_is_next() -> None:
    text = """
    - a: {set: {x: "${ .x + [1] }"}, then: c}
    - b: {set: {x: "${ .x + [2] }"}, then: end}
    - c: {set: {x: "${ .x + [3] }"}, then: b}
    """
    assert run(text) == {"x": [1, 3, 2]}


def test_exit_leaves_a_list_and_end_the_workflow() -> None:
    text = """
    - a: {do: [{b: {set: {x: 1}, then: exit}}, {c: {set: {x: 2}}}]}
    - d: {do: [{e: {set: {y: "${ .x }"}, then: end}}, {f: {set: {x: 4}}}]}
    - g: {set: {z: 1}}
    """
    assert run(text) == {"y": 1}
    assert run("- a: {set: {x: 1}, then: exit}\n- b: {set: {x: 2}}") == {"x": 1}


def test_what_is_next_after_a_list_is_said_by_it() -> None:
    assert run("- a: {do: [{b: {set: {x: 1}}}], then: end}\n- c: {set: {x: 2}}") == {"x": 1}


def test_a_task_is_left_out_if_its_condition_does_not_hold() -> None:
    text = "- a: {if: .n > 1, set: {n: 9}, then: end}\n- b: {if: '${ .n == 1 }', do: [{c: {set: {m: 1}}}], then: end}"
    assert run(text, {"n": 2}) == {"n": 9}
    assert run(text, {"n": 1}) == {"m": 1}
    assert run(text, {"n": 0}) == {"n": 0}


# --- switch


SWITCH = """
- s: {switch: [{low: {when: .n < 3, then: small}}, {high: {when: '${ .n > 7 }', then: end}}%s], then: end}
- big: {set: {found: big}, then: end}
- small: {set: {found: small}}
"""


def test_switch_takes_the_first_case_that_holds() -> None:
    assert run(SWITCH % "", {"n": 1}) == {"found": "small"}
    assert run(SWITCH % "", {"n": 8}) == {"n": 8}


def test_switch_takes_the_case_without_a_condition_or_goes_on() -> None:
    assert run(SWITCH % ", {other: {then: big}}", {"n": 5}) == {"found": "big"}
    assert run(SWITCH % "", {"n": 5}) == {"n": 5}


# --- data flow


def test_input_and_output_of_a_task_are_made_of_what_comes_and_goes() -> None:
    text = """
    - a:
        input: {from: .user}
        set: {name: "${ .name }"}
        output: {as: '{ found: .name, was: $input.id, raw: $task.input.user.id }'}
    """
    assert run(text, {"user": {"name": "Ann", "id": 7}}) == {"found": "Ann", "was": 7, "raw": 7}


def test_data_flows_into_and_out_of_lists() -> None:
    text = """
    - a:
        if: .on
        input: {from: {n: "${ .m }"}}
        do: [{b: {set: {n: "${ .n + 1 }"}}}]
        output: {as: '{ n: .n, was: $input.n }'}
        export: {as: '{ seen: $output.n, twice: (. | .n * 2) }'}
    - c: {set: {now: "${ .n }", context: "${ $context }"}}
    """
    assert run(text, {"m": 1, "on": True}) == {"now": 2, "context": {"seen": 2, "twice": 4}}


def test_the_context_begins_as_the_input_and_is_what_was_exported_last() -> None:
    text = """
    - a: {set: {x: "${ $context.n }"}, export: {as: '$context + { x: .x }'}}
    - b: {set: {all: "${ $context }"}}
    """
    assert run(text, {"n": 1}) == {"all": {"n": 1, "x": 1}}


def test_input_and_output_of_the_workflow_are_transformed() -> None:
    text = """
    input: {from: .order}
    do: [{a: {set: {n: "${ .n }", raw: "${ $workflow.input.x }"}}}]
    output: {as: '{ n: .n, raw: .raw, context: $context }'}
    """
    assert run(text, {"order": {"n": 2}, "x": 1}) == {"n": 2, "raw": 1, "context": {"n": 2}}


def test_expressions_know_workflow_task_and_runtime() -> None:
    text = """
    - a:
        set:
          workflow: "${ [$workflow.id, $workflow.definition.document.name, ($workflow.startedAt.epoch.seconds > 0)] }"
          task: "${ $task | [.name, .reference, .definition.then, (.startedAt.iso8601 | endswith(\\"Z\\"))] }"
          runtime: "${ $runtime.name }"
        then: end
    """
    found = {"workflow": ["run", "order", True], "task": ["a", "/do/0/a", "end", True], "runtime": "ripresa"}
    assert run(text) == found


OBJECT = "{schema: {format: json, document: {type: object, properties: {n: {type: integer}}, required: [n]}}}"


@pytest.mark.parametrize(
    ("text", "instance", "detail"),
    [
        (f"input: {OBJECT}\ndo: [{{a: {{set: 1}}}}]", "/input", "the input at /n"),
        (f"output: {OBJECT}\ndo: [{{a: {{set: {{n: x}}}}}}]", "/output", "the output at /n"),
        (f"- a: {{input: {OBJECT}, set: {{x: 1}}}}", "/do/0/a", "the input at /n"),
        (f"- a: {{input: {OBJECT}, do: [{{b: {{set: {{x: 1}}}}}}]}}", "/do/0/a", "the input at /n"),
        (f"- a: {{output: {OBJECT}, set: {{x: 1}}}}", "/do/0/a", "the output: "),
        (f"- a: {{output: {OBJECT}, do: [{{b: {{set: {{x: 1}}}}}}]}}", "/do/0/a", "the output: "),
        (f"- a: {{export: {OBJECT[:-1]}, as: .}}, set: {{x: 1}}}}", "/do/0/a", "what is exported: "),
    ],
)
def test_data_that_does_not_fit_its_schema_is_a_fault(text: str, instance: str, detail: str) -> None:
    found = problem(text.replace("do: [{a: {set: 1}}]", "do: [{a: {set: {x: 1}}}]"), {"n": "x"})
    assert (found["type"], found["status"], found["instance"]) == (f"{ROOT}validation", 400, instance)
    assert found["detail"].startswith(detail)


def test_data_that_fits_goes_through() -> None:
    assert run(f"- a: {{input: {OBJECT}, output: {OBJECT}, set: {{n: 1}}}}", {"n": 3}) == {"n": 1}


# --- for


def test_each_round_begins_with_what_the_one_before_left() -> None:
    text = "- a: {for: {each: x, at: i, in: .xs}, do: [{b: {set: {sum: '${ .sum + $x * $i }', xs: 0}}}]}"
    assert run(text, {"xs": [5, 6, 7]}) == {"sum": 20, "xs": 0}


def test_for_goes_over_a_list_that_stands_there_and_over_nothing() -> None:
    assert run("- a: {for: {in: [1, '${ .n }']}, do: [{b: {set: {x: '${ .x + [$item] }'}}}]}", {"n": 2}) == {
        "x": [1, 2]
    }
    assert run("- a: {for: {in: .none}, do: [{b: {set: {x: 1}}}]}", {"n": 2}) == {"n": 2}


def test_for_goes_on_while_a_condition_holds() -> None:
    text = "- a: {for: {in: .xs}, while: $item < 3 and .n != 9, do: [{b: {set: {last: '${ $item }'}}}]}"
    assert run(text, {"xs": [1, 2, 3, 1]}) == {"last": 2}


def test_for_is_ended_with_the_workflow_and_left_by_exit() -> None:
    text = "- a: {for: {in: [1, 2]}, do: [{b: {set: {x: '${ $item }'}, then: %s}}]}\n- c: {set: {y: '${ .x }'}}"
    assert run(text % "end") == {"x": 1}
    assert run(text % "exit") == {"y": 2}


def test_a_condition_that_cannot_be_evaluated_is_a_fault() -> None:
    found = problem("- a: {for: {in: [1]}, while: $item.x, do: [{b: {set: {x: 1}}}]}")
    assert (found["type"], found["instance"]) == (f"{ROOT}expression", "/do/0/a")


def test_for_goes_over_lists_only() -> None:
    found = problem("- a: {for: {in: .n}, do: [{b: {set: {x: 1}}}]}", {"n": 3})
    assert (found["type"], found["instance"]) == (f"{ROOT}expression", "/do/0/a")


# --- fork


def test_branches_run_side_by_side_and_leave_a_list() -> None:
    text = "- a: {fork: {branches: [{b: {set: {x: '${ .n }'}}}, {c: {wait: PT0S}}]}}\n- d: {set: {all: '${ . }'}}"
    assert run(text, {"n": 1}) == {"all": [{"x": 1}, {"n": 1}]}


def test_of_competing_branches_the_first_counts() -> None:
    text = "- a: {fork: {compete: true, branches: [{b: {wait: PT1H}}, {c: {set: {x: 1}}}]}}"
    assert run(text) == {"x": 1}


def test_a_branch_may_end_the_workflow() -> None:
    text = "- a: {fork: {compete: %s, branches: [{b: {set: {x: 1}, then: end}}]}}\n- c: {set: {x: 2}}"
    assert run(text % "false") == [{"x": 1}]
    assert run(text.replace("}]}}", "}, {d: {wait: PT1H}}]}}") % "true") == {"x": 1}


# --- raise, try, catch, retry

FAULT = "{type: 'https://my.org/errors/full', status: 409, title: '${ \"Full of \\(.n)\" }'}"


def test_raise_faults_with_problem_details() -> None:
    found = problem(f"- a: {{raise: {{error: {FAULT}}}}}", {"n": 3})
    assert found == {"type": "https://my.org/errors/full", "status": 409, "title": "Full of 3", "instance": "/do/0/a"}


def test_errors_are_used_again_by_name() -> None:
    full = {"type": "https://a.b/c", "status": 500, "instance": "/mine"}
    text = "- a: {raise: {error: full}}"
    assert problem(text, use={"errors": {"full": full}}) == full


def test_what_is_caught_is_handled() -> None:
    text = f"""
    - t:
        try: [{{a: {{raise: {{error: {FAULT}}}}}}}]
        catch:
          errors: {{with: {{status: 409, instance: /do/0/t/try/0/a}}}}
          as: e
          when: $e.title == "Full of 3"
          exceptWhen: .n == 4
          do: [{{b: {{set: {{was: "${{ $e.status }}"}}}}}}]
    - c: {{set: {{x: "${{ .was }}"}}}}
    """
    assert run(text, {"n": 3}) == {"x": 409}
    assert problem(text, {"n": 4})["title"] == "Full of 4"


def test_what_is_raised_inside_is_caught_outside() -> None:
    inner = f"{{a: {{raise: {{error: {FAULT}}}}}}}"
    for outer in (
        f"{{b: {{timeout: {{after: PT1H}}, do: [{inner}]}}}}",
        f"{{b: {{fork: {{branches: [{inner}, {{w: {{wait: PT1H}}}}]}}}}}}",
        f"{{b: {{try: [{inner}], catch: {{when: 'false'}}}}}}",
    ):
        caught = f"- t: {{try: [{outer}], catch: {{as: e, do: [{{c: {{set: '${{ $e.title }}'}}}}]}}}}"
        assert run(caught, {"n": 3}) == "Full of 3"


def test_what_fails_on_the_way_out_is_a_fault_of_the_list() -> None:
    found = problem("- a: {do: [{b: {set: {x: 1}}}], output: {as: .x.y}}")
    assert (found["type"], found["instance"]) == (f"{ROOT}expression", "/do/0/a")


@pytest.mark.parametrize("kind", ["https://serverlessworkflow.io/spec/1.0.0/errors/expression", f"{ROOT}expression"])
def test_standard_types_are_known_wherever_the_specification_stands(kind: str) -> None:
    text = "- t: {try: [{a: {set: '${ 1 | .x }'}}], catch: {errors: {with: {type: '%s'}}}}"
    assert run(text % kind, 5) == 5
    assert problem(text % "https://my.org/expression")["type"] == f"{ROOT}expression"


def test_what_is_caught_and_not_handled_is_passed_over() -> None:
    assert run(f"- t: {{try: [{{a: {{raise: {{error: {FAULT}}}}}}}], catch: {{}}}}", {"n": 3}) == {"n": 3}


def test_what_is_not_caught_goes_on() -> None:
    text = f"- t: {{try: [{{a: {{raise: {{error: {FAULT}}}}}}}], catch: {{errors: {{with: {{status: 500}}}}}}}}"
    assert problem(text, {"n": 3})["status"] == 409


RETRY = """
use:
  retries:
    often:
      {delay: {milliseconds: 1}, backoff: {%s: {}}, limit: {attempt: {count: 2}}, jitter: {from: PT0S, to: PT0.001S}}
do:
  - t:
      try:
        - count: {set: {n: "${ $context.n + 1 }"}, export: {as: '{ n: .n }'}}
        - check: {if: .n < %s, raise: {error: {type: 'https://a.b/again', status: 503}}}
      catch: {retry: %s%s}
"""


@pytest.mark.parametrize("backoff", ["constant", "exponential", "linear"])
def test_what_is_caught_is_tried_again(backoff: str) -> None:
    assert run(RETRY % (backoff, 3, "often", "")) == {"n": 3}


def test_after_the_last_try_it_is_a_fault_or_handled() -> None:
    text = RETRY
    assert problem(text % ("constant", 9, "often", ""))["status"] == 503
    assert run(text % ("constant", 9, "often", ", do: [{b: {set: {tried: '${ $context.n }'}}}]")) == {"tried": 3}


@pytest.mark.parametrize(
    ("retry", "tried"),
    [
        ("{limit: {attempt: {count: 0}}}", 1),
        ("{limit: {duration: {milliseconds: 1}}, delay: {seconds: 5}}", 1),
        ("{limit: {attempt: {count: 5}}, when: $context.n < 2}", 2),
        ("{limit: {attempt: {count: 5}}, exceptWhen: $error.status == 503}", 1),
    ],
)
def test_how_often_it_is_tried_again_is_bounded(retry: str, tried: int) -> None:
    text = RETRY
    assert run(text % ("constant", 9, retry, ", do: [{b: {set: {tried: '${ $context.n }'}}}]")) == {"tried": tried}


def test_each_try_is_bounded_in_time() -> None:
    text = """
    - t:
        try: [{w: {wait: PT1H}}]
        catch:
          retry: {limit: {attempt: {count: 1, duration: {milliseconds: 1}}}}
          do: [{b: {set: {s: '${ $error.status }'}}}]
    """
    assert run(text) == {"s": 408}


# --- wait, timeouts


def test_wait_waits_and_passes_on_what_it_is_given() -> None:
    assert run("- a: {wait: {milliseconds: 1}}\n- b: {wait: '${ .length }'}", {"length": "PT0.001S"}) == {
        "length": "PT0.001S"
    }


def test_a_length_that_is_none_is_a_fault() -> None:
    assert problem("- b: {wait: '${ .length }'}", {"length": "soon"})["type"] == f"{ROOT}expression"


@pytest.mark.parametrize(
    ("text", "instance"),
    [
        ("- a: {timeout: {after: {milliseconds: 1}}, do: [{b: {wait: PT1H}}]}", "/do/0/a"),
        ("timeout: {after: PT0.001S}\ndo: [{b: {wait: PT1H}}]", "/"),
        ("use: {timeouts: {soon: {after: PT0.001S}}}\ndo: [{b: {timeout: soon, wait: PT1H}}]", "/do/0/b"),
        ("- a: {timeout: {after: {milliseconds: 20}}, run: {shell: {command: sleep 60}}}", "/do/0/a"),
    ],
)
def test_what_takes_too_long_is_a_fault(text: str, instance: str) -> None:
    found = problem(text)
    assert (found["type"], found["status"], found["instance"]) == (f"{ROOT}timeout", 408, instance)


def test_a_timeout_is_caught_like_any_error() -> None:
    late = "{a: {timeout: {after: PT0.001S}, do: [{b: {wait: PT1H}}]}}"
    assert run(f"- t: {{try: [{late}], catch: {{errors: {{with: {{status: 408}}}}}}}}", 1) == 1


def test_within_its_time_it_is_done() -> None:
    assert run("- a: {timeout: {after: PT1H}, do: [{b: {set: {x: 1}}}]}") == {"x": 1}


# --- emit


def test_emit_gives_a_cloud_event() -> None:
    found = run("- a: {emit: {event: {with: {source: 'https://a.b', type: t, data: '${ .n }', roomid: 7}}}}", {"n": 1})
    assert {**found, "id": "", "time": ""} == {
        "specversion": "1.0", "id": "", "time": "", "source": "https://a.b", "type": "t", "data": 1, "roomid": 7
    }  # fmt: skip
    assert found["id"]
    assert found["time"].endswith("Z")


def test_emit_may_name_its_event_itself() -> None:
    text = "- a: {emit: {event: {with: {id: mine, time: then, source: s, type: t}}}}"
    assert run(text) == {"specversion": "1.0", "id": "mine", "time": "then", "source": "s", "type": "t"}


# --- listen

HOT = {"type": "org.ward.temperature", "data": {"temperature": 39}}
COLD = {"type": "org.ward.temperature", "data": {"temperature": 36}}
FAST = {"type": "org.ward.bpm", "data": {"bpm": 120}}
OUT = {"type": "org.ward.out"}
FILTERS = "[{with: {type: org.ward.temperature, data: '${ .temperature > 38 }'}}, {with: {type: org.ward.bpm}}]"


@pytest.mark.parametrize(
    ("to", "events", "found"),
    [
        ("{one: {with: {type: org.ward.bpm}}}", [HOT, FAST], [{"bpm": 120}]),
        ("{one: {with: {type: 'org\\..*'}}}", [{"type": "x"}, OUT], [None]),
        ("{one: {with: {type: '${ \"org.ward.\" + $context.what }'}}}", [HOT, FAST], [{"bpm": 120}]),
        ("{one: {with: {data: {bpm: 120}}}}", [HOT, FAST], [{"bpm": 120}]),
        ("{one: {with: {data: '${ .bpm.x > 1 }'}}}", [FAST, {"data": {"bpm": {"x": 2}}}], [{"bpm": {"x": 2}}]),
        (f"{{any: {FILTERS}}}", [COLD, FAST, HOT], [{"bpm": 120}]),
        (f"{{all: {FILTERS}}}", [FAST, COLD, FAST, HOT], [{"bpm": 120}, {"temperature": 39}]),
        (f"{{any: {FILTERS}, until: {{one: {{with: {{type: org.ward.out}}}}}}}}", [HOT, COLD, FAST, OUT],
         [{"temperature": 39}, {"bpm": 120}]),
        (f"{{any: {FILTERS}, until: '.[-1].bpm == 120'}}", [HOT, FAST], [{"temperature": 39}, {"bpm": 120}]),
        (f"{{any: [], until: {{all: {FILTERS}}}}}", [OUT, HOT, FAST], [None]),
        ("{any: [], until: '.[-1] == 2'}", [{"data": 1}, {"data": 2}], [1, 2]),
        ("{any: [], until: ( . | length ) > 2}", [{"data": 1}, {"data": 2}, {"data": 3}], [1, 2, 3]),
        ("{any: [], until: length > 1}", [{"data": 1}, {"data": 2}], [1, 2]),
    ],
)  # fmt: skip
def test_listen_takes_the_events_that_it_is_for(to: str, events: list[Any], found: Any) -> None:
    assert run(f"- a: {{listen: {{to: {to}}}}}", {"what": "bpm"}, events=events) == found


def test_events_are_read_whole_or_their_data_alone() -> None:
    text = "- a: {listen: {to: {one: {with: {type: org.ward.bpm}}}, read: %s}}"
    assert run(text % "envelope", events=[FAST]) == [FAST]
    assert run(text % "raw", events=[FAST]) == [{"bpm": 120}]


def test_an_event_that_came_early_is_kept_for_who_listens_later() -> None:
    text = "- a: {listen: {to: {one: {with: {type: a}}}}}\n- b: {listen: {to: {one: {with: {type: b}}}}}"
    assert run(text, events=[{"type": "b", "data": 2}, {"type": "a", "data": 1}]) == [2]


def test_who_listens_side_by_side_gets_what_is_meant_for_it() -> None:
    one = "{%s: {listen: {to: {one: {with: {type: %s}}}}}}"
    text = f"- f: {{fork: {{branches: [{', '.join(one % (each, each) for each in 'abc')}]}}}}"
    events = [{"type": each, "data": each} for each in ("x", "c", "b", "a")]
    assert run(text, events=events) == [["a"], ["b"], ["c"]]


CORRELATED = """
- a:
    listen:
      to:
        all:
          - with: {type: t}
            correlate: {room: {from: .roomid%s}}
          - with: {type: h}
            correlate: {room: {from: .roomid}}
"""


def test_events_are_correlated_by_what_the_first_said_or_by_what_is_expected() -> None:
    events = [{"type": kind, "roomid": room, "data": [kind, room]} for kind in "th" for room in (1, 2)]
    assert run(CORRELATED % "", events=events) == [["t", 1], ["h", 1]]
    assert run(CORRELATED % ", expect: '${ $context.room }'", {"room": 2}, events=events) == [["t", 2], ["h", 2]]
    assert run(CORRELATED % ", expect: 2", {"room": 2}, events=events) == [["t", 2], ["h", 2]]


EACH = """
- a:
    listen: {to: {any: [], until: $context.last == 2}}
    foreach:
      item: event
      at: i
      %s
      output: {as: '{ at: $i, x: .x }'}
      export: {as: '{ last: .x }'}
"""


def test_something_is_done_with_each_event() -> None:
    events = [{"data": 1}, {"data": 2}]
    done = [{"at": 0, "x": 1}, {"at": 1, "x": 2}]
    assert run(EACH % "do: [{b: {set: {x: '${ $event }'}}}]", events=events) == done
    assert run(EACH % "", events=[{"data": {"x": 1}}, {"data": {"x": 2}}]) == done


def test_what_comes_of_an_event_is_transformed() -> None:
    text = "- a: {listen: {to: {one: {with: {}}}}, foreach: {output: {as: .x}}}"
    assert run(text, events=[{"data": {"x": 1}}]) == [1]


def test_what_is_done_with_an_event_may_end_the_workflow() -> None:
    text = "- a: {listen: {to: {any: [], until: 'false'}}, foreach: {do: [{b: {set: {x: 1}, then: end}}]}}"
    assert run(f"{text}\n- c: {{set: {{y: 1}}}}", events=[{}]) == [{"x": 1}]
    assert run("- a: {listen: {to: {one: {with: {}}}}, foreach: {do: [{b: {set: {x: 1}}}]}}", events=[{}]) == [{"x": 1}]


SCHEDULED = """
schedule: {on: {one: {with: {type: go}}}, every: PT1H, after: {minutes: 0}, cron: '*/5 9-17 L * mon-fri'}
do: [{a: {set: "${ $workflow.input[0].data }"}}]
"""


def test_what_events_start_waits_for_them_unless_it_is_given_them() -> None:
    assert run(SCHEDULED, events=[{"type": "no"}, {"type": "go", "data": 1}]) == 1
    assert run(SCHEDULED, [{"type": "go", "data": 2}]) == 2


# --- functions, workflows


def test_a_function_is_called_with_its_arguments() -> None:
    text = """
    use: {functions: {add: {set: {sum: "${ .a + .b }", c: "${ $context.n }"}, output: {as: .sum}}}}
    do:
      - a: {call: add, with: {a: 1, b: "${ .n }"}, output: {as: '{ s: . }'}}
      - b: {call: add, with: {a: 5, b: "${ .s }"}}
    """
    assert run(text, {"n": 2}) == 8


def test_a_function_may_end_the_workflow() -> None:
    text = "use: {functions: {f: {set: {x: 1}, then: end}}}\ndo: [{a: {call: f}}, {b: {set: {x: 2}}}]"
    assert run(text) == {"x": 1}


# --- extensions

EXTENSIONS = """
use:
  extensions:
    - counting:
        extend: %s
        when: $task.name != "out"
        before: [{count: {set: {}, export: {as: '$context + { seen: ($context.seen + [$task.reference]) }'}, then: %s}}]
        after: [{sum: {set: {}, export: {as: '$context + { left: ($context.left + [$task.set.n]) }'}, then: %s}}]
do:
  - a: {set: {n: 1}, then: c}
  - b: {set: {n: 2}}
  - c: {do: [{d: {set: {n: 3}}}, {s: {switch: [{e: {then: out}}]}}, {f: {set: {n: 4}}}, {out: {set: {n: "${ .n }"}}}]}
  - out: {set: {seen: "${ $context.seen }", left: "${ $context.left }", n: "${ .n }"}}
"""


@pytest.mark.parametrize(
    ("kind", "seen", "left"),
    [
        ("set", ["/do/0/a", "/do/2/c/do/0/d"], [1, 3]),
        ("switch", ["/do/2/c/do/1/s"], [None]),
        ("composite", ["/do/2/c"], [None]),
        ("emit", None, None),
        ("all", ["/do/0/a", "/do/2/c", "/do/2/c/do/0/d", "/do/2/c/do/1/s"], [1, 3, None, None]),
    ],
)
def test_extensions_do_something_before_and_after_tasks(kind: str, seen: Any, left: Any) -> None:
    found = run(EXTENSIONS % (kind, "continue", "exit"), {})
    assert found == {"seen": seen, "left": left, "n": 3}


def test_an_extension_may_stand_in_for_a_task_or_end_the_workflow() -> None:
    text = """
    use: {extensions: [{mock: {extend: call, before: [{it: {set: {content: mocked}, then: %s}}]}}]}
    do: [{a: {call: http, with: {method: get, endpoint: 'https://a.b'}}}, {b: {set: {x: "${ .content }"}}}]
    """
    assert run(text % "exit") == {"x": "mocked"}
    assert run(text % "end") == {"content": "mocked"}
    assert run(EXTENSIONS % ("set", "continue", "end"), {}) == {"n": 1}
    assert run("use: {extensions: [{e: {extend: set}}]}\ndo: [{a: {set: {x: 1}, then: end}}, {b: {set: {x: 2}}}]") == {
        "x": 1
    }


def test_extensions_are_drawn_and_count_in_the_version() -> None:
    text = EXTENSIONS % ("switch", "continue", "continue")
    picture = draw(load(text))
    assert '["count"]' in picture
    assert '|"e"|' in picture
    assert load(text).version != load(text.replace("extend: switch", "extend: emit")).version
    assert '["a"]' in draw(load("use: {extensions: [{e: {extend: set}}]}\ndo: [{a: {set: {x: 1}}}]"))


# --- runs


def test_every_task_is_a_step_of_the_journal() -> None:
    text = "- a/b: {set: {x: 1}}\n- c: {switch: [{d: {then: e}}]}\n- f: {set: {x: 2}}\n- e: {set: {x: 3}}"

    async def journal() -> list[str]:
        async with App("memory:") as app:
            handle = await app.start(load(text)(None))
            await handle.result()
            return [each.event.path async for each in handle.events() if isinstance(each.event, StepScheduled)]

    assert asyncio.run(journal()) == ["a-b", "c", "e"]


def test_a_run_that_failed_goes_on_with_the_task_that_failed() -> None:
    text = "- a: {set: {x: 1}}\n- b: {input: {from: '{ x: .x, s: $secrets.key }'}, set: {y: '${ .x }'}}"
    flow = load(text, use={"secrets": ["key"]})

    async def go(monkeypatch: pytest.MonkeyPatch) -> Any:
        async with App("memory:") as app:
            handle = await app.start(flow(None), id="run")
            with pytest.raises(RunFailed, match="RIPRESA_SECRET_KEY is not set"):
                await handle.result()
            monkeypatch.setenv("RIPRESA_SECRET_KEY", "k")
            again = await app.resume("run", flow)
            found = await again.result()
            names = [each.event.path async for each in again.events() if isinstance(each.event, StepScheduled)]
            return found, names

    with pytest.MonkeyPatch.context() as patch:
        assert asyncio.run(go(patch)) == ({"y": 1}, ["a", "b", "b"])


def test_a_run_that_was_left_is_taken_up_by_another_process(tmp_path: Any) -> None:
    text = "- a: {set: {x: 1}}\n- w: {listen: {to: {one: {with: {type: go}}}}}\n- b: {set: {y: '${ .[0] }'}}"
    store = f"sqlite:{tmp_path}/runs.db"

    async def begin() -> None:
        async with App(store) as app:
            await app.start(load(text)(None), id="run")

    async def end() -> Any:
        async with App(store) as app:
            handle = await app.resume("run", load(text))
            await handle.send(EVENT, {"type": "go", "data": 7})
            return await handle.result()

    asyncio.run(begin())
    assert asyncio.run(end()) == {"y": 7}


def test_what_changes_the_structure_changes_the_version() -> None:
    versions = {
        load(text).version
        for text in (
            "- a: {set: {x: 1}}",
            "- a: {set: {x: 2}}",
            "- b: {set: {x: 1}}",
            "- a: {wait: PT1S}",
            "- a: {do: [{b: {wait: PT1S}}]}",
            "- a: {try: [{b: {wait: PT1S}}], catch: {}}",
            "- a: {try: [{b: {wait: PT1S}}], catch: {do: [{c: {wait: PT1S}}]}}",
            "- a: {fork: {branches: [{b: {wait: PT1S}}]}}",
            "- a: {listen: {to: {any: []}}}",
            "- a: {listen: {to: {any: []}}, foreach: {do: [{b: {wait: PT1S}}]}}",
            "- a: {run: {shell: {command: ls}}}",
            "- a: {run: {script: {language: python, code: pass}}}",
        )
    }
    assert len(versions) == 11
    assert all(version.startswith("0.1.0+") for version in versions)


def test_other_errors_are_runtime_faults() -> None:
    assert "task_faulted" in CODES
    assert fault_of(ValueError("no"), "/x").problem == {
        "type": f"{ROOT}runtime", "status": 500, "title": "Runtime Error", "detail": "no", "instance": "/x"
    }  # fmt: skip


def test_a_document_is_drawn_with_its_tasks_and_the_ways_between_them() -> None:
    text = """
    - start: {if: .x, set: {x: 1}}
    - choose: {switch: [{much: {when: .x > 1, then: all}}, {little: {when: .x > 0, then: end}}], then: exit}
    - all:
        for: {in: [1]}
        do:
          - some: {do: []}
          - both:
              fork: {branches: [{b: {wait: PT2S}}, {c: {wait: '${ .x }'}}]}
          - first:
              fork: {compete: true, branches: [{d: {call: f}}]}
    - try: {try: [{e: {set: {}}}], catch: {do: [{g: {listen: {to: {any: []}}}}]}, then: all}
    - other: {switch: [{rest: {then: listen}}]}
    - listen: {listen: {to: {any: []}}, foreach: {item: it, do: [{h: {try: [], catch: {}}}]}}
    """
    assert draw(load(text, use={"functions": {"f": {"set": {}}}})) == (
        "flowchart TD\n"
        '    subgraph f1["test.order"]\n'
        '        n1["start?"]\n'
        '        n2{"choose"}\n'
        '        n11{"other"}\n'
        '        n12(["listen: events"])\n'
        '        subgraph f2["all: each item"]\n'
        '            n4{{"both: all"}}\n'
        '            n5(["b: 2 s"])\n'
        '            n6(["c"])\n'
        '            n7{{"first: first to end"}}\n'
        '            subgraph f3["some"]\n'
        '                n3(("some"))\n'
        "            end\n"
        '            subgraph f4["d"]\n'
        '                n8["f"]\n'
        "            end\n"
        "        end\n"
        '        subgraph f5["try"]\n'
        '            n9["e"]\n'
        '            n10(["g: events"])\n'
        "        end\n"
        '        subgraph f6["listen: each it"]\n'
        '            subgraph f7["h"]\n'
        '                n13(("h"))\n'
        "            end\n"
        "        end\n"
        "    end\n"
        "    n4 --> n5\n"
        "    n4 --> n6\n"
        "    n7 --> n8\n"
        "    n3 --> n4\n"
        "    n5 --> n7\n"
        "    n6 --> n7\n"
        '    n9 -.->|"fails"| n10\n'
        "    n12 --> n13\n"
        "    n1 --> n2\n"
        '    n2 -->|"much"| n3\n'
        "    n8 --> n9\n"
        "    n9 --> n3\n"
        "    n10 --> n3\n"
        '    n11 -->|"rest"| n12\n'
    )
