"""What is wrong with Open Workflow documents: all of it at once, with line and column, in words that say what to do."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ripresa import InvalidWorkflow, RipresaError, RunFailed, load_document
from ripresa.authoring.owf import jq, schedules, schemas
from ripresa.authoring.owf.durations import in_seconds, length_of
from ripresa.authoring.owf.reading import is_open_workflow
from ripresa.steps.open_workflow import Surroundings
from tests.authoring.owf import HEAD, data_of, load, run, wrong

TOP = "document: {dsl: '1.0.3', namespace: test, name: order, version: '0.1.0'}\n"


def said(tasks: str) -> list[str]:
    """What is said about these tasks, without the name of the file."""
    return [each.removeprefix("order.owf.yaml:") for each in wrong(f"{TOP}do:\n{tasks}")]


def test_everything_that_is_wrong_is_told_with_line_and_column() -> None:
    text = """\
- first:
    sett: {x: 1}
- second:
    set:
      x: ${ .a + }
    then: thrid
- third:
    if: $nobody == 1
    wait: soon
- third: {set: {x: 1}, retry: 3}
"""
    told = said(text)
    assert [each.partition(" ")[0] for each in told] == ["4:5", "7:18", "8:11", "10:9", "11:11", "12:3", "12:24"]
    assert told[0].startswith("4:5 do[0].first: is no task: it has none of set, switch, ")
    assert told[1].startswith("7:18 do[1].second.set.x: syntax error, unexpected end of the expression")
    assert told[1].endswith("[invalid_expression]")
    assert (
        told[2] == "8:11 do[1].second.then: there is no task 'thrid' in this list; did you mean third? [unknown_step]"
    )
    assert told[3].startswith("10:9 do[2].third.if: $nobody is no variable here; there are $context, ")
    assert told[4].startswith("11:11 do[2].third.wait: is 'soon', must be an ISO 8601 duration")
    assert told[5] == "12:3 do[3].third: there are two tasks 'third' in this list [duplicate_name]"
    assert told[6].startswith("12:24 do[3].third.retry: is no key here; there are set, if, ")


HOT = "{one: {with: {type: a}}}"
PROVED = "{uri: x, authentication: {bearer: {token: x}}}"

WRONG: list[tuple[str, str]] = [
    ("- a", "must be an object of one key"),
    ("- {a: {set: {}}, b: {set: {}}}", "must be an object of one key"),
    ("- a: 3", "must be an object"),
    ("- a: {set: 3}", "must be an object or an expression"),
    ("- a: {set: {x: '${ '}}", "there is a ${ without its }"),
    ("- a: {set: {x: 'a ${ (}'}}", "there is a ${ without its }"),
    ("- a: {set: {x: 'a ${ .x } ${ .y + } b'}}", "syntax error"),
    ("- a: {set: {x: '${ }'}}", "the expression is empty"),
    ("- a: {set: {x: '${ $output }'}}", "$output is no variable here"),
    ("- a: {set: {x: '${ import \"a\" as a; 1 }'}}", "syntax error"),
    ("- a: {set: {x: '${ nothing }'}}", "nothing/0 is not defined"),
    ("- a: {set: {}, then: 3}", "is 3, must be a text"),
    ("- a: {set: {}, timeout: {}}", "lacks after"),
    ("- a: {set: {}, timeout: {after: PT0S}}", "must be longer than nothing"),
    ("- a: {set: {}, timeout: {after: {weeks: 1}}}", "'weeks' is no part of a duration"),
    ("- a: {set: {}, timeout: soon}", "there is no 'soon' in use.timeouts"),
    ("- a: {set: {}, input: .x}", "is '.x', must be an object"),
    ("- a: {set: {}, input: {schema: {format: avro}}}", "is 'avro'; schemas are JSON Schemas"),
    ("- a: {set: {}, input: {schema: {resource: {endpoint: 'http://a.b'}}}}", "schemas elsewhere are not supported"),
    ("- a: {set: {}, input: {schema: {}}}", "lacks document"),
    ("- a: {set: {}, input: {schema: {document: {type: nothing}}}}", "this is no JSON Schema"),
    ("- a: {set: {}, input: {schema: {document: {$ref: 'http://a.b/c'}}}}", "this is no JSON Schema"),
    ("- a: {do: {b: {set: {}}}}", "must be a list of objects of one key each"),
    ("- a: {raise: {}}", "lacks type"),
    ("- a: {raise: {error: mine}}", "there is no 'mine' in use.errors"),
    ("- a: {switch: [{b: {when: '.x'}}]}", "lacks then"),
    ("- a: {switch: [{b: {then: end}}, {c: {then: end}}]}", "there are two cases without a condition"),
    ("- a: {sett: {x: 1}}", "; did you mean set?"),
    ("- a: {switch: [{b: {then: c}}]}", "there is no task 'c' in this list; there are continue, exit, end, a"),
    ("- a: {emit: {event: {with: {type: a}}}}", "lacks source"),
    ("- a: {wait: {}}", "must be an ISO 8601 duration"),
    ("- a: {wait: {seconds: 1.5}}", "seconds is 1.5, must be a whole number from 0"),
    ("- a: {for: {each: x}, do: []}", "lacks in"),
    ("- a: {for: {in: .x}}", "lacks do"),
    ("- a: {for: {in: .x, each: ''}, do: []}", "is '', must be a text"),
    ("- a: {fork: {compete: 1, branches: []}}", "is 1, must be true or false"),
    ("- a: {try: []}", "lacks catch"),
    ("- a: {try: [], catch: {retry: mine}}", "there is no 'mine' in use.retries"),
    ("- a: {try: [], catch: {retry: {limit: {attempt: {count: -1}}}}}", "is -1, must be a whole number from 0"),
    ("- a: {try: [], catch: {retry: {jitter: {from: PT2S, to: PT1S}}}}", "begins after its end"),
    ("- a: {listen: {to: {}}}", "must have one, any or all"),
    ("- a: {listen: {to: {all: []}}}", "must be a list of filters"),
    ("- a: {listen: {to: {any: 3}}}", "must be a list of filters"),
    ("- a: {listen: {to: {one: {}}}}", "lacks with"),
    (f"- a: {{listen: {{to: {HOT}, read: all}}}}", "is 'all', must be one of data, envelope, raw"),
    ("- a: {call: add}", "there is no function 'add' in use.functions"),
    ("- a: {call: 'log:1.0@global'}", "there is no catalog 'global' in use.catalogs"),
    ("- a: {call: http}", "lacks with"),
    ("- a: {call: http, with: {method: get}}", "lacks endpoint"),
    ("- a: {call: http, with: {method: get, endpoint: {uri: x}, output: all}}", "is 'all', must be one of content"),
    ("- a: {call: http, with: {method: get, endpoint: 'x', redirect: 1}}", "is 1, must be true or false"),
    ("- a: {call: http, with: {method: get, endpoint: {}}}", "lacks uri"),
    ("- a: {call: http, with: {method: get, endpoint: {uri: x, authentication: mine}}}", "in use.authentications"),
    ("- a: {call: http, with: {method: get, endpoint: {uri: x, authentication: {}}}}", "must have one of basic"),
    ("- a: {call: http, with: {method: get, endpoint: {uri: x, authentication: {basic: {use: s}}}}}", "no secret 's'"),
    ("- a: {call: openapi, with: {document: {}, operationId: x, authentication: mine}}", "lacks endpoint"),
    (
        "- a: {call: grpc, with: {proto: {endpoint: x}, service: {name: x, authentication: mine}, method: y}}",
        "lacks host",
    ),
    ("- a: {call: http, with: {method: get, endpoint: {uri: x, authentication: {digest: {}}}}}", "lacks username"),
    ("- a: {call: openapi, with: {document: {endpoint: x}}}", "lacks operationId"),
    ("- a: {call: asyncapi}", "calls of asyncapi are not supported"),
    ("- a: {run: {container: {image: x}}}", "containers are not supported"),
    ("- a: {run: {}}", "must have one of script, shell, workflow"),
    ("- a: {run: {shell: {}}}", "lacks command"),
    ("- a: {run: {shell: {command: \"echo '${ .x }'\"}}}", "stands in single quotes"),
    ("- a: {run: {shell: {command: ls}, await: 1}}", "is 1, must be true or false"),
    ("- a: {run: {shell: {command: ls}, await: false}}", "only workflows may go on by themselves"),
    ("- a: {run: {shell: {command: ls}, return: all of it}}", "must be one of stdout, stderr, code, all, none"),
    ("- a: {run: {script: {language: ruby, code: x}}}", "is 'ruby', must be one of js, javascript, python"),
    ("- a: {run: {script: {language: python}}}", "lacks code"),
    ("- a: {run: {workflow: {namespace: a, name: b, version: '1'}}}", "there is no workflow a/b 1 here"),
    ("- a: {run: {workflow: {namespace: a, name: b, version: '1'}, return: code}}", "code is of programs"),
    ("- a: {run: {script: {language: python, code: x, source: {endpoint: x}}}}", "a script has one of them"),
    ("- a: {try: [], catch: {then: b}}", "do[0].a.catch.then: there is no task 'b' in this list"),
    ("- a: {try: [], catch: {retry: {backoff: {exponential: {multiplier: 3}}}}}", "multiplier: is no key here"),
    ("- a: {try: [], catch: {retry: {backoff: {linear: {}, constant: {}}}}}", "must have one of constant"),
    ("- a: {try: [], catch: {retry: {limit: {attempt: {count: '${ .n + }'}}}}}", "syntax error"),
    ("- a: {try: [], catch: {retry: {delay: '${ $nobody }'}}}", "$nobody is no variable here"),
    ("- a: {wait: P1Y}", "years and months have no fixed length"),
    ("- a: {wait: {seconds: '${ .n + }'}}", "syntax error"),
    ("- a: {set: {}, metadata: 3}", "metadata: is 3, must be an object"),
    ("- a: {listen: {to: {one: {with: {type: a}}, until: .x}}}", "until: is for any, one is over by itself"),
    (f"- a: {{call: openapi, with: {{operationId: x, document: {{endpoint: {PROVED}}}}}}}", "fetched without authent"),
    *(
        (f"- a: {{call: http, with: {{method: get, endpoint: {{uri: x, authentication: {{{policy}}}}}}}}}", why)
        for policy, why in [
            ("basic: {user: a, password: b}", "basic.user: is no key here; did you mean username?"),
            ("basic: {username: a}", "lacks password"),
            ("bearer: {use: s, token: b}", "bearer.token: is no key here; there are use"),
            ("use: x, basic: {}", "authentication.basic: is no key here"),
            ("oauth2: {authority: 'http://a', grant: code}", "is 'code', must be one of client_credentials"),
            ("oauth2: {authority: 'http://a', grant: authorization_code}", "authorization_code is not supported"),
            ("oauth2: {authority: 'http://a', grant: password, client: {key: a}}", "client.key: is no key here"),
            ("oauth2: {authority: a, grant: password, client: {assertion: a}}", "signed assertions are not supported"),
            ("oauth2: {authority: a, grant: password, subject: {token: a}}", "subject is not supported"),
            ("oauth2: {authority: a, grant: password, issuers: [a]}", "with oidc alone"),
            ("oauth2: {authority: a, grant: password, request: {encoding: xml}}", "is 'xml', must be one of"),
            ("oidc: {authority: a, grant: password, endpoints: {}}", "endpoints: is no key here"),
            ("oauth: {}", "oauth: is no key here; did you mean oauth2?"),
        ]
    ),
]


@pytest.mark.parametrize(("tasks", "why"), WRONG)
def test_what_is_wrong_with_a_task_is_said(tasks: str, why: str) -> None:
    told = said(tasks)
    assert len(told) >= 1
    assert why in " ".join(told)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (TOP, "lacks do"),
        (TOP + "do: []\nsteps: []", "steps: is no key here"),
        ("document: {dsl: 1.0}\ndo: []", "lacks namespace"),
        ("document: {dsl: '0.8', namespace: a, name: b, version: c}\ndo: []", "version 1 of the language is known"),
        ("document: {dsl: '1.0', namespace: 3, name: b, version: c}\ndo: []", "is 3, must be a text"),
        (TOP + "do: []\nschedule: {every: soon}", "must be an ISO 8601 duration"),
        (TOP + "do: []\nschedule: {every: PT0S}", "every: must be longer than nothing"),
        (TOP + "do: []\nschedule: {every: {week: 1}}", "'week' is no part of a duration"),
        (TOP + "do: []\nschedule: {after: 3}", "after: is 3, must be an ISO 8601 duration"),
        (TOP + "do: []\nschedule: {cron: '61 * * * *'}", ":3:18 schedule.cron: is '61 * * * *', must be a cron exp"),
        (TOP + "do: []\nschedule: {cron: '0 0 12 * * ?'}", "month and day of week: bad day-of-week"),
        (TOP + "do: []\nschedule: {cron: 0 0 31 2 *}", "bad day-of-month"),
        (TOP + "do: []\nschedule: {cron: daily}", "wrong number of fields"),
        (TOP + "do: []\nschedule: {cron: 5}", "is 5, must be a cron expression, such as"),
        (TOP + "do: []\nschedule: {crn: 5}", "schedule.crn: is no key here; did you mean cron?"),
        (TOP + "do: []\nschedule: {on: {}}", "must have one, any or all"),
        (TOP + "do: []\nuse: {secrets: a}", "must be a list of names"),
        (TOP + "do: [{a: {set: {}}}]\nuse: {extensions: [a]}", "must be an object of one key"),
        (TOP + "do: [{a: {set: {}}}]\nuse: {extensions: [{a: {extend: none}}]}", "is 'none', must be one of all, call"),
        (TOP + "do: []\nevaluate: {language: js}", "expressions are in jq"),
        (TOP + "do: []\nevaluate: {mode: lax}", "must be strict or loose"),
        (TOP + "do: [{a: {call: f}}]\nuse: {functions: {f: {call: f}}}", "the function 'f' calls itself [cycle]"),
        (TOP + "do: [{a: {call: g}}]\nuse: {functions: {gg: {set: {}}}}", "did you mean gg?"),
        (TOP + "do: []\ntimeout: son\nuse: {timeouts: {soon: {after: PT1S}}}", "did you mean soon?"),
        (TOP + "do: []\nschedule: {read: data, every: PT1S}", "schedule.read: says how events of on are read"),
        (TOP + "do: []\nschedule: {read: all, on: {any: []}}", "is 'all', must be one of envelope, data, raw"),
        (TOP + "do: []\nmetadata: 3", "metadata: is 3, must be an object"),
        ("document: {dsl: '1.0', namespace: a, name: b, version: c, tags: []}\ndo: []", "tags: is [], must be an ob"),
        (TOP + "do: []\nuse: {functions: {f: {sett: {}}}}", "use.functions.f: is no task"),
        (TOP + "do: []\nuse: {errors: {e: {type: a, status: 1, why: b}}}", "use.errors.e.why: is no key here"),
        (TOP + "do: []\nuse: {errors: {e: {type: '${ $any + }', status: 1}}}", "syntax error"),
        (TOP + "do: []\nuse: {retries: {r: {dely: PT1S}}}", "use.retries.r.dely: is no key here; did you mean delay?"),
        (TOP + "do: []\nuse: {timeouts: {t: {after: soon}}}", "use.timeouts.t.after: is 'soon'"),
        (TOP + "do: []\nuse: {authentications: {a: {basic: {}}}}", "use.authentications.a.basic: lacks username"),
        (TOP + "do: []\nuse: {extensions: [{a: {extend: emit, befor: []}}]}", "a.befor: is no key here"),
    ],
)
def test_what_is_wrong_with_the_whole_is_said(text: str, why: str) -> None:
    assert why in " ".join(wrong(text))


def test_a_key_that_stands_twice_is_told_where_it_stands(tmp_path: Path) -> None:
    file = tmp_path / "order.owf.yaml"
    file.write_text("document: {dsl: 1.0.3, namespace: n, name: n, version: 0.1.0}\ndo:\n  - a: {set: 1}\ndo: []\n")
    with pytest.raises(InvalidWorkflow, match=r"order\.owf\.yaml:4:1: the key 'do' stands here a second time"):
        load_document(file)


def test_terms_of_authentications_may_be_expressions() -> None:
    policy = "{oauth2: {authority: 'https://a.b', grant: '${ .grant }', client: {authentication: '${ .how }'}}}"
    assert said(f"- a: {{call: http, with: {{method: get, endpoint: {{uri: x, authentication: {policy}}}}}}}") == []


def test_what_is_not_used_may_look_at_any_variable() -> None:
    use = "{errors: {e: {type: '${ $kind }', status: 1}}, retries: {r: {when: '$e.status > $item', delay: '${ $n }'}}}"
    assert wrong(TOP + f"do: []\nuse: {use}") == []


def test_a_document_is_known_by_its_head() -> None:
    assert is_open_workflow({"document": {"dsl": "1.0.0"}})
    assert not is_open_workflow({"document": "dsl"})
    assert not is_open_workflow([])


def test_what_a_program_may_not_look_at_is_refused_when_it_is_run() -> None:
    for name in ("env", "input", "halt", "input_filename"):
        handler = "{as: e, do: [{c: {set: '${ $e.detail }'}}]}"
        text = f"- a: {{try: [{{b: {{set: '${{ {name} }}'}}}}], catch: {handler}}}"
        assert run(text).endswith(f"{name} is nothing for documents")
    assert run("- a: {set: '${ $ENV }'}") == {}


def test_a_brace_in_a_text_or_a_comment_closes_nothing() -> None:
    assert run("""- a: {set: {x: '${ "}\\"}" + "\\({y: 1}.y)" }', y: 'a ${ {a: ")"} | .a } b'}}""") == {
        "x": '}"}1', "y": "a ) b"
    }  # fmt: skip
    assert run("- a:\n    set:\n      x: |\n        ${ 1 # one }\n        + 1 }") == {"x": 2}
    assert run("- a: {set: {x: '${ 1 } ${ 2 }'}}") == {"x": "1 2"}
    assert wrong(f"{TOP}do: [{{a: {{set: {{x: '${{ 1 # one }}'}}}}}}]")


def test_in_loose_mode_a_text_that_is_no_expression_is_a_text() -> None:
    loose: dict[str, Any] = {"evaluate": {"mode": "loose"}}
    found = run("- a: {set: {x: .n + 1, y: some words, z: ' ', w: '.n.m', v: '${ .n }'}}", {"n": 1}, **loose)
    assert found == {"x": 2, "y": "some words", "z": " ", "w": ".n.m", "v": 1}


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        ("PT15M", 900),
        ("P1DT12H", 129_600),
        ("P2W", 1_209_600),
        ("P0.5W", 302_400),
        ("PT0.5S", 0.5),
        ({"days": 1, "hours": 2}, 93_600),
    ],
)
def test_lengths_of_time_are_iso_or_parts(data: Any, seconds: float) -> None:
    assert in_seconds(length_of(data)) == seconds


@pytest.mark.parametrize("data", ["P", "PT", "15M", 15, {}, {"minutes": True}])
def test_what_is_no_length_of_time_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        length_of(data)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    jq._library.cache_clear()  # pyright: ignore[reportPrivateUsage]
    jq._program.cache_clear()  # pyright: ignore[reportPrivateUsage]
    monkeypatch.setattr(jq, "import_module", missing)
    with pytest.raises(RipresaError, match=r"ripresa\[owf\]"):
        load("- a: {set: '${ 1 }'}")
    monkeypatch.setattr(schemas, "import_module", missing)
    with pytest.raises(InvalidWorkflow, match=r"ripresa\[owf\]"):
        load("- a: {set: {}, input: {schema: {document: {title: not seen before}}}}")
    monkeypatch.setattr(schedules, "import_module", missing)
    assert any("ripresa[owf]" in each for each in wrong(TOP + "do: []\nschedule: {cron: 0 0 * * *}"))


def test_a_bounded_document_runs_no_programs_and_calls_nothing_private() -> None:
    data = data_of("- a: {run: {shell: {command: ls}}}")
    with pytest.raises(InvalidWorkflow, match="shell is not available to this document"):
        load_document(data, modules=[])
    assert load_document(data, modules=["ripresa.steps.open_workflow"]).name == "test.order"
    flow = load_document(
        data_of("- a: {set: '${ $secrets }'}", use={"secrets": ["key"]}),
        modules=[],
        surroundings=Surroundings(allow=["10.0.0.0/8"], secret=lambda name: name),
    )
    with pytest.raises(RunFailed, match="'key' is nothing for this document"):
        asyncio.run(flow.invoke(None))


def test_names_are_made_ones_that_may_stand_in_paths() -> None:
    flow = load_document({"document": {**HEAD, "name": "a/b", "title": "T", "summary": "S"}, "do": []})
    assert (flow.name, flow.title, flow.terms.description) == ("test.a-b", "T", "S")


def test_a_timeout_that_is_none_is_told_once() -> None:
    (told,) = said("- a: {set: {}, timeout: {after: {milliseconds: x}}}")
    assert "must be a whole number from 0" in told
