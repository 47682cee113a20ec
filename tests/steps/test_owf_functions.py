"""Functions of Open Workflow documents that are kept elsewhere: at a URL, in a catalog, in files beside them."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ripresa import App, InvalidWorkflow, RipresaError, Surroundings, load_document
from ripresa.authoring.document.source import Document
from ripresa.authoring.owf.catalogs import cataloged, raw
from ripresa.authoring.owf.inbox import EVENT
from ripresa.authoring.owf.problems import ROOT, problem_of
from ripresa.authoring.owf.reading import plan_of
from ripresa.core.events import StepCompleted
from ripresa.steps.open_workflow import world_of
from tests.authoring.owf import HEAD, load, wrong
from tests.steps.service import Answer, Asked, Service, service

GREET = "input: {schema: {document: {required: [who]}}}\nset: {text: 'Hello, ${ .who }'}\n"
KEYS = {"hidden": "opensesame"}


TEXTS: dict[str, bytes | str] = {
    "/functions/greet/1.0.0": GREET,
    "/me/repo/HEAD/functions/greet/1.0.0": GREET,
    "/greet": GREET,
    "/asks": "set: {secrets: '${ $secrets }', of: '${ $workflow.definition.document.name }'}",
    "/two": "do: [{a: {call: 'https://fun.org/greet/function.yaml', with: {who: 'a ${ .who }'}}}]",
    "/itself": "call: https://fun.org/itself/function.yaml",
    "/wrong": "sett: {}\nwith: {",
    "/bad": "set: {}\nthan: end",
    "/files": "call: openapi\nwith: {document: {endpoint: 'file://a.yaml'}, operationId: a}",
    "/beside": "run: {workflow: {namespace: test, name: order, version: latest}}",
    "/large": b"#" * 1_048_577,
    "/bytes": b"\xff\xfe",
}


def answer(asked: Asked) -> Answer:
    name = asked.path.removesuffix("/function.yaml")
    if name == "/moved":
        return Answer(302, headers={"location": "/greet/function.yaml"})
    if name == "/shut/functions/greet/1.0.0":
        return Answer(200, GREET) if asked.headers.get("authorization") == "Bearer opensesame" else Answer(401)
    return Answer(200, TEXTS[name]) if name in TEXTS else Answer(404)


def called(text: str, given: Any = None, origin: str = "https://fun.org", **more: Any) -> tuple[Any, Service, str]:
    """What a document leaves, or faults with; the service that has the functions; and the journal, as text."""

    async def go() -> tuple[Any, Service, str]:
        async with service(answer) as found, App("memory:") as app:
            surroundings = Surroundings(stand_ins={origin: found.url}, secret=KEYS.__getitem__)
            handle = await app.start(load(text, surroundings, **more)(given))
            outcome = await handle.outcome()
            good = outcome.status == "completed"
            left = outcome.value if good else problem_of(getattr(outcome.error, "failure"))  # noqa: B009
            return left, found, str([each async for each in handle.events()])

    return asyncio.run(go())


GREETED = "- a: {call: 'https://fun.org/greet/function.yaml', with: {who: '${ .name }'}, output: {as: .text}}"


def test_a_function_is_called_by_its_url() -> None:
    found, asked, journal = called(GREETED, {"name": "Ann"})
    assert found == "Hello, Ann"
    assert [each.path for each in asked.asked] == ["/greet/function.yaml"]
    assert "sha256:" in journal


def test_a_function_of_a_catalog_stands_where_catalogs_keep_it() -> None:
    use = {"catalogs": {"mine": {"endpoint": "https://fun.org/"}}}
    found, _, _ = called("- a: {call: 'greet:1.0.0@mine', with: {who: x}}", use=use)
    assert found == {"text": "Hello, x"}


def test_a_catalog_may_ask_who_reads_it_and_nothing_of_that_is_recorded() -> None:
    use = {
        "catalogs": {"mine": {"endpoint": {"uri": "https://fun.org/shut", "authentication": {"use": "mine"}}}},
        "authentications": {"mine": {"bearer": {"token": "${ $secrets.hidden }"}}},
        "secrets": ["hidden"],
    }
    found, _, journal = called("- a: {call: 'greet:1.0.0@mine', with: {who: x}}", use=use)
    assert found == {"text": "Hello, x"}
    assert "opensesame" not in journal


def test_a_function_is_fetched_once_in_a_run() -> None:
    text = "- a: {for: {in: '[1, 2, 3]'}, do: [{b: {call: 'https://fun.org/greet/function.yaml', with: {who: x}}}]}"
    found, asked, _ = called(text)
    assert found == {"text": "Hello, x"}
    assert len(asked.asked) == 1


def test_a_run_goes_by_the_text_that_it_was_given(tmp_path: Path) -> None:
    texts = ["do: [{a: {listen: {to: {one: {with: {type: go}}}}}}, {b: {set: old}}]", "set: new"]

    async def go() -> Any:
        store = f"sqlite:{tmp_path / 'runs.db'}"
        async with service(lambda _: Answer(200, texts[0])) as found:
            surroundings = Surroundings(stand_ins={"https://fun.org": found.url})
            flow = load("- a: {call: 'https://fun.org/f.yaml'}", surroundings)
            async with App(store) as app:
                handle = await app.start(flow(None), id="r")
                async for each in handle.events():
                    if isinstance(each.event, StepCompleted) and each.event.path.endswith(".function"):
                        break
            del texts[0]
            async with App(store) as app:
                handle = await app.resume("r", flow)
                await handle.send(EVENT, {"type": "go"})
                return await handle.result(), len(found.asked)

    assert asyncio.run(go()) == ("old", 1)


def test_functions_call_functions_and_follow_redirects() -> None:
    found, _, _ = called("- a: {call: 'https://fun.org/two/function.yaml', with: {who: b}}")
    assert found == {"text": "Hello, a b"}
    found, _, _ = called("- a: {call: 'https://fun.org/moved/function.yaml', with: {who: b}}")
    assert found == {"text": "Hello, b"}


def test_what_others_wrote_is_given_no_secrets() -> None:
    found, _, _ = called("- a: {call: 'https://fun.org/asks/function.yaml'}", use={"secrets": ["hidden"]})
    assert found == {"secrets": {}, "of": "order"}


@pytest.mark.parametrize(
    ("name", "kind", "why"),
    [
        ("nothing", "communication", "was answered with status 404"),
        ("wrong", "configuration", "https://fun.org/wrong/function.yaml:2:8"),
        ("bad", "configuration", "than: is no key here; did you mean then?"),
        ("itself", "configuration", "calls itself"),
        ("files", "configuration", "is a file, which is nothing for this document"),
        ("beside", "configuration", "there is no workflow test/order latest here"),
        ("large", "configuration", "has more than 1,048,576 bytes"),
        ("bytes", "configuration", "is no text"),
        ("greet", "validation", '"who" is a required property'),
    ],
)
def test_what_is_no_function_is_a_fault_of_the_task(name: str, kind: str, why: str) -> None:
    found, _, _ = called(f"- a: {{call: 'https://fun.org/{name}/function.yaml'}}")
    assert (found["type"], found["instance"]) == (ROOT + kind, "/do/0/a")
    assert why in found["detail"]


def test_a_private_address_has_no_functions() -> None:
    found, asked, _ = called("- a: {call: 'http://127.0.0.1:1/function.yaml'}")
    assert "is not in the public internet" in found["detail"]
    assert asked.asked == []


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://a.org/x", "https://a.org/x"),
        ("https://github.com/me/repo", "https://raw.githubusercontent.com/me/repo/HEAD"),
        ("https://github.com/me/repo/tree/main", "https://raw.githubusercontent.com/me/repo/refs/heads/main"),
        ("https://github.com/me/repo/blob/main/a/f.yaml", "https://raw.githubusercontent.com/me/repo/refs/heads/main/a/f.yaml"),
        ("https://github.com/me/repo/a/b@v1.0", "https://raw.githubusercontent.com/me/repo/v1.0/a/b/function.yaml"),
        ("https://github.com/me/repo@v1.0", "https://raw.githubusercontent.com/me/repo/v1.0/function.yaml"),
        ("https://gitlab.com/a/b/c/-/tree/main/d", "https://gitlab.com/a/b/c/-/raw/main/d"),
        ("https://gitlab.com/a/b/-/blob/main/f.yaml", "https://gitlab.com/a/b/-/raw/main/f.yaml"),
    ],
)  # fmt: skip
def test_pages_of_repositories_become_what_they_show(url: str, found: str) -> None:
    assert raw(url) == found


def test_a_catalog_in_a_repository() -> None:
    assert cataloged("https://github.com/me/repo/tree/main/", "f", "1") == (
        "https://raw.githubusercontent.com/me/repo/refs/heads/main/functions/f/1/function.yaml"
    )
    use = {"catalogs": {"mine": {"endpoint": {"uri": "https://github.com/me/repo"}}}}
    text = "- a: {call: 'greet:1.0.0@mine', with: {who: x}}"
    found, _, _ = called(text, origin="https://raw.githubusercontent.com", use=use)
    assert found == {"text": "Hello, x"}


def test_the_default_catalog_and_those_in_files_stand_beside_the_document(tmp_path: Path) -> None:
    for root in ("", "shared/"):
        folder = tmp_path / f"{root}functions/greet/1.0.0"
        folder.mkdir(parents=True)
        (folder / "function.yaml").write_text(GREET)
    document = tmp_path / "order.json"
    use = {"catalogs": {"mine": {"endpoint": "file://shared"}}}
    tasks = [
        {"a": {"call": "greet:1.0.0@default", "with": {"who": "a"}}},
        {"b": {"call": "greet:1.0.0@mine", "with": {"who": "${ .text }"}}},
    ]
    document.write_text(json.dumps({"document": HEAD, "use": use, "do": tasks}))

    async def go() -> Any:
        async with App("memory:") as app:
            return await app.run(load_document(document)(None))

    assert asyncio.run(go()) == {"text": "Hello, Hello, a"}
    (folder / "function.yaml").write_text("set: {}\nthan: end")
    with pytest.raises(InvalidWorkflow, match=r"function\.yaml|greet:1\.0\.0@mine:2:1"):
        load_document(document)


TOP = "document: {dsl: '1.0.3', namespace: test, name: order, version: '0.1.0'}\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("do: [{a: {call: 'greet:1.0.0@mine'}}]", "there is no catalog 'mine' in use.catalogs"),
        ("do: [{a: {call: 'greet@mine'}}]", "that is name:version@catalog"),
        ("do: [{a: {call: 'greet:1.0.0@default'}}]", "cannot be read: No such file or directory"),
        ("do: []\nuse: {catalogs: {a: {}}}", "use.catalogs.a: lacks endpoint"),
        ("do: []\nuse: {catalogs: {a: {endpoint: {uri: x, authentication: no}}}}", "in use.authentications"),
        ("do: []\nuse: {catalogs: {a: 3}}", "is 3, must be an object"),
    ],
)
def test_what_is_wrong_with_catalogs_is_said(text: str, why: str) -> None:
    assert why in " ".join(wrong(TOP + text))


def no_workflow(namespace: str, name: str, version: str) -> None:
    return None


def test_functions_of_others_can_ask_for_no_secret() -> None:
    abroad = world_of(Surroundings(secret=KEYS.__getitem__), no_workflow, None).abroad
    assert abroad is not None
    with pytest.raises(RipresaError, match="the secret 'hidden' is nothing for this function"):
        abroad.secret("hidden")


def test_a_document_that_is_given_no_way_to_fetch_functions_says_so() -> None:
    world = replace(world_of(Surroundings(), no_workflow, None), performers={})
    source = Document({"document": HEAD, "do": [{"a": {"call": "https://fun.org/f.yaml"}}]})
    with pytest.raises(InvalidWorkflow, match="kept elsewhere are not available"):
        plan_of(source, world)
