"""Nothing that a document says is passed over: a property that is unknown at its place is told, wherever it stands."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any, Final

from ripresa import InvalidWorkflow, Surroundings
from ripresa.authoring.document.source import Document, is_list, is_object
from ripresa.authoring.document.text import document_of
from ripresa.authoring.owf.reading import plan_of
from ripresa.steps.open_workflow import world_of

EVERYTHING: Final = """
document:
  dsl: '1.0.3'
  namespace: test
  name: everything
  version: '0.1.0'
  title: T
  summary: S
  tags: {a: b}
  metadata: {a: b}
metadata: {a: b}
input: {schema: {format: json, document: {type: object}}, from: .}
output: {schema: {document: {}}, as: .}
timeout: {after: {days: 1, hours: 1, minutes: 1, seconds: 1, milliseconds: 1}}
evaluate: {language: jq, mode: strict}
schedule: {every: PT1H, cron: '* * * * *', after: PT1S, on: {one: {with: {type: a}}}, read: data}
use:
  secrets: [word]
  errors: {e: {type: 'https://a.b/c', status: 400, title: t, detail: d, instance: /a}}
  timeouts: {t: {after: PT1S}}
  retries:
    r:
      when: .a
      exceptWhen: .b
      delay: {seconds: 1}
      backoff: {exponential: {}}
      jitter: {from: PT1S, to: PT2S}
      limit: {attempt: {count: 1, duration: PT1S}, duration: PT1S}
  functions: {f: {set: {a: 1}}}
  extensions: [{x: {extend: emit, when: .a, before: [{b: {set: {a: 1}}}], after: [{c: {set: {a: 1}}}]}}]
  catalogs: {c: {endpoint: {uri: 'https://a.b', authentication: {use: p}}}}
  authentications:
    p: {basic: {username: a, password: b}}
    q: {bearer: {token: a}}
    s: {bearer: {use: word}}
    d: {digest: {username: a, password: b}}
    o:
      oauth2:
        authority: https://a.b
        grant: password
        client: {id: a, secret: b, authentication: client_secret_post}
        request: {encoding: application/json}
        endpoints: {token: /a, revocation: /b, introspection: /c}
        scopes: [a]
        audiences: [b]
        username: a
        password: b
    i: {oidc: {authority: 'https://a.b', grant: client_credentials, issuers: [a]}}
do:
- set:
    if: .a
    input: {schema: {document: {}}, from: .}
    set: {a: {b: 1}}
    output: {schema: {document: {}}, as: .}
    export: {schema: {document: {}}, as: .}
    timeout: {after: PT1S}
    metadata: {a: b}
    then: continue
- switch: {switch: [{a: {when: .a, then: set}}]}
- do: {do: [{inner: {set: {a: 1}}}]}
- for: {for: {each: a, in: .b, at: i}, while: .c, do: [{inner: {set: {a: 1}}}]}
- fork: {fork: {compete: true, branches: [{a: {set: {a: 1}}}]}}
- try:
    try: [{a: {set: {a: 1}}}]
    catch:
      errors: {with: {type: a, status: 1, title: t, detail: d, instance: i}}
      as: e
      when: .a
      exceptWhen: .b
      retry: {limit: {attempt: {count: 1}}, backoff: {linear: {}}, delay: PT1S}
      do: [{h: {set: {a: 1}}}]
      then: continue
- raise: {raise: {error: {type: a, status: 1, title: t, detail: d, instance: /a}}}
- emit: {emit: {event: {with: {source: a, type: b, data: {a: 1}}}}}
- listen:
    listen:
      to:
        any: [{with: {type: a, data: {a: 1}}, correlate: {k: {from: .a, expect: '1'}}}]
        until: {one: {with: {type: b}}}
      read: envelope
    foreach:
      item: x
      at: i
      do: [{a: {set: {a: 1}}}]
      output: {as: .}
      export: {as: .}
- wait: {wait: {seconds: 1}}
- http:
    call: http
    with:
      method: post
      endpoint: {uri: 'https://a.b', authentication: {bearer: {token: a}}}
      headers: {a: b}
      query: {a: b}
      body: {a: b}
      output: content
      redirect: false
- openapi:
    call: openapi
    with:
      document: {name: a, endpoint: {uri: 'https://a.b'}}
      operationId: a
      parameters: {a: b}
      authentication: {use: o}
      output: raw
      redirect: true
- grpc:
    call: grpc
    with:
      proto: {endpoint: 'https://a.b/c.proto'}
      service: {name: a, host: b.org, port: 1, authentication: {use: q}}
      method: m
      arguments: {a: b}
- a2a:
    call: a2a
    with: {method: message/send, agentCard: {endpoint: {uri: 'https://a.b'}}, parameters: {message: {parts: []}}}
- agent: {call: a2a, with: {method: tasks/get, server: {uri: 'https://a.b', authentication: {use: i}}}}
- mcp:
    call: mcp
    with:
      method: tools/call
      protocolVersion: '2025-06-18'
      parameters: {name: a, arguments: {}}
      timeout: {seconds: 1}
      client: {name: a, version: b}
      transport: {http: {endpoint: {uri: 'https://a.b', authentication: {use: s}}, headers: {a: b}}}
- program:
    call: mcp
    with:
      method: tools/list
      transport: {stdio: {command: a, arguments: [b], environment: {a: b}}, options: {}}
- function: {call: f, with: {a: 1}}
- elsewhere: {call: 'https://a.b/function.yaml', with: {a: 1}}
- cataloged: {call: 'f:1.0@c', with: {a: 1}}
- shell: {run: {shell: {command: ls, stdin: a, arguments: [a], environment: {a: b}}, await: true, return: all}}
- script: {run: {script: {language: js, code: a, stdin: a, arguments: [a], environment: {a: b}}, return: code}}
- source: {run: {script: {language: python, source: {endpoint: {uri: 'https://a.b', authentication: {use: d}}}}}}
- workflow:
    run: {workflow: {namespace: test, name: inner, version: latest, input: {a: 1}}, await: false, return: none}
"""

FREE: Final = re.compile(
    r"(.*\.)?(tags|metadata|schema\.document|set|headers|query|body|parameters|arguments|environment|correlate)(\..*)?"
    r"|.*\.(event\.with|to\.any\.\d+\.with|until\.one\.with|on\.one\.with|workflow\.input)(\..*)?"
    r"|schedule\.on\.one\.with|.*\.transport\.options"
    r"|use\.(errors|timeouts|retries|functions|catalogs|authentications)"
    r"|do\.\d+\.(function|elsewhere|cataloged)\.with"
    r"|(.*\.)?(do|before|after|try|branches|switch|extensions)\.\d+"
)
"""Where an author may write what he likes: data, and names; of options of transports all are refused."""

TASK: Final = re.compile(r"(.*\.)?(do|before|after|try|branches)\.\d+\.[^.]+|use\.functions\.f")
UNKNOWN: Final = "surely-unknown"


def objects(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all objects."""
    if is_list(data):
        return [each for index, part in enumerate(data) for each in objects(part, (*path, index))]
    if not is_object(data):
        return []
    return [path, *(each for name, part in data.items() for each in objects(part, (*path, name)))]


def is_free(path: tuple[Any, ...]) -> bool:
    text = ".".join(map(str, path))
    return TASK.fullmatch(text) is None and FREE.fullmatch(text) is not None


def at(data: Any, path: tuple[Any, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def found(namespace: str, name: str, version: str) -> Callable[[], Any]:
    """Whatever workflow a document runs, it is there."""
    return lambda: None


WORLD: Final = world_of(Surroundings(), found, None)


def told(data: Any) -> list[str]:
    try:
        plan_of(Document(data), WORLD)
    except InvalidWorkflow as error:
        return [str(each) for each in error.problems]
    return []


def test_all_that_there_is_is_read() -> None:
    assert told(document_of(EVERYTHING, "a.yaml").data) == []


def test_an_unknown_property_is_told_wherever_it_stands() -> None:
    whole = document_of(EVERYTHING, "a.yaml").data
    places = [path for path in objects(whole) if not is_free(path)]
    assert len(places) > 100
    silent: list[str] = []
    for path in places:
        data = deepcopy(whole)
        at(data, path)[UNKNOWN] = {}
        if not any(UNKNOWN in each for each in told(data)):
            silent.append(".".join(map(str, path)))
    assert silent == []


def test_what_is_free_may_hold_anything() -> None:
    whole = document_of(EVERYTHING, "a.yaml").data
    for path in objects(whole):
        if path[-1:] and path[-1] in ("tags", "metadata", "headers", "query", "body", "parameters", "environment"):
            at(whole, path)[UNKNOWN] = "x"
    assert told(whole) == []
