"""Forms and files that calls send, and where files may come from."""

import json
import re
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any, cast

import pytest

from ripresa import App, InvalidConfig, InvalidValue, InvalidWorkflow, StepError, load_document
from ripresa.steps import OAuth2, Request, Secret, Upload, http
from tests.steps.service import Answer, Asked, service


def parts(asked: Asked) -> list[tuple[str, str, str, bytes]]:
    """Name, file name, type and content of each part of a form."""
    whole = message_from_bytes(b"content-type: " + asked.headers["content-type"].encode() + b"\r\n\r\n" + asked.body)
    found = cast("list[Message]", whole.get_payload())
    return [
        (
            str(each.get_param("name", header="content-disposition")),
            each.get_filename(""),
            each.get_content_type(),
            cast("bytes", each.get_payload(decode=True)),
        )
        for each in found
    ]


async def test_fields_and_files_are_sent_as_a_form(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "tide.log").write_bytes(b"\x00high\r\n")
    async with service(lambda asked: Answer(200)) as found, App("memory:") as app:
        send = http("POST", found.url, folder=tmp_path, allow=[found.place])
        files = (
            Upload("text", "low ü", media_type="text/plain"),
            Upload.of("bytes", b"\xff\xfe", name="x.bin"),
            Upload("log", path="logs/tide.log"),
        )
        await app.run(send(Request(form={"port": "St Ives"}, files=files)))
        assert parts(found.asked[0]) == [
            ("port", "", "text/plain", b"St Ives"),
            ("text", "text", "text/plain", "low ü".encode()),
            ("bytes", "x.bin", "application/octet-stream", b"\xff\xfe"),
            ("log", "tide.log", "application/octet-stream", b"\x00high\r\n"),
        ]
        assert found.asked[0].headers["content-length"] == str(len(found.asked[0].body))
        await send(Request(form={"a": "x y", "b": "&"}))
        assert found.asked[1].body == b"a=x+y&b=%26"
        assert found.asked[1].headers["content-type"] == "application/x-www-form-urlencoded"


async def test_a_file_is_sent_whole_again_with_a_new_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_SECRET", "open-sesame")
    (tmp_path / "tide.log").write_bytes(b"tide" * 50_000)

    def answer(asked: Asked) -> Answer:
        if asked.path == "/oauth2/token":
            return Answer(200, json.dumps({"access_token": f"token-{len(found.asked)}"}))
        return Answer(200 if len(found.asked) > 2 else 401)

    async with service(answer) as found:
        auth = OAuth2(found.url, client="a", secret=Secret("env:CLIENT_SECRET"))
        send = http("POST", found.url, auth=auth, folder=str(tmp_path), allow=[found.place])
        assert (await send(Request(files=(Upload("log", path="tide.log"),)))).status == 200
    _, first, _, second = found.asked
    assert [parts(each)[0][3] for each in (first, second)] == [b"tide" * 50_000] * 2


@pytest.mark.parametrize("path", ["../secret", "/etc/hostname", "link", "a\0b"])
async def test_a_file_elsewhere_is_not_sent(tmp_path: Path, path: str) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "secret").write_text("swordfish")
    (tmp_path / "own" / "link").symlink_to(tmp_path / "secret")
    async with service(lambda asked: Answer(200)) as found:
        with pytest.raises(StepError) as caught:
            await http("POST", found.url, folder=tmp_path / "own", allow=[found.place])(
                Request(files=(Upload("a", path=path),))
            )
        assert (caught.value.code, found.asked) == ("outside_workspace", [])


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (Request(files=(Upload("a", path="none"),)), "there is no file 'none'"),
        (Request(files=(Upload("a", path="."),)), "there is no file '.'"),
        (Request(files=(Upload("a", "x", path="y"),)), "either content or a path"),
        (Request(files=(Upload("a", "%%", is_base64=True),)), "the content is no base64"),
        (Request(files=(Upload("a", "x", media_type="text/plain\r\nx: y"),)), "is no line of plain ASCII"),
        (Request(json=[], files=(Upload("a", "x"),)), "a request has one body"),
        (Request(body="x", form={"a": "b"}), "a request has one body"),
    ],
)
async def test_a_form_that_makes_no_sense_is_refused(tmp_path: Path, request_: Request, message: str) -> None:
    with pytest.raises(InvalidValue, match=re.escape(message)):
        await http("POST", "https://example.com", folder=tmp_path)(request_)


async def test_a_step_without_a_folder_sends_no_files_of_paths() -> None:
    with pytest.raises(InvalidValue, match="it has no folder"):
        await http("POST", "https://example.com")(Request(files=(Upload("a", path="x"),)))
    with pytest.raises(InvalidConfig, match="folder is 3"):
        http("POST", "https://example.com", folder=3)  # type: ignore[call-overload] # pyright: ignore


async def test_names_smuggle_nothing_into_a_form() -> None:
    async with service(lambda asked: Answer(200)) as found:
        bad = 'a"\r\nx-admin: 1\r\n\r\n'
        await http("POST", found.url, allow=[found.place])(Request(files=(Upload(bad, "x", name=bad),)))
        assert b"\r\nx-admin" not in found.asked[0].body


async def test_a_document_sends_files_of_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tide.log").write_text("high")
    async with service(lambda asked: Answer(200)) as found, App("memory:") as app:
        config: dict[str, Any] = {"method": "POST", "url": found.url}
        files = {"files": [{"field": "log", "path": "tide.log"}]}
        document = {"id": "x", "steps": [{"type": "http", "config": config, "with": files}]}
        config |= {"allow": [found.place], "folder": str(tmp_path)}
        await app.run(load_document(document)(None))
        assert parts(found.asked[0])[0][3] == b"high"
        config.pop("allow")
        with pytest.raises(
            InvalidWorkflow, match=r"config\.folder: is not for documents that may import only some modules"
        ):
            load_document(document, modules=[])
