"""A tool with a sandbox: what a model that is told to break out of it may try."""

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, NewType, TypedDict

import pytest
from pydantic import BaseModel

from ripresa import InvalidConfig, Sandbox, StepError, tool


@dataclass
class Job:
    path: Path


class Order(BaseModel):
    jobs: list[Job] = []
    next: "Order | None" = None


class Row(TypedDict):
    path: Path | None


Place = NewType("Place", Path)


@pytest.mark.parametrize("kind", [Job, Order, Row, list[Job], dict[str, Row], PurePath, Place, Order | None])
def test_paths_that_stand_inside_of_what_a_tool_takes_are_refused_beside_one_that_is_confined(kind: Any) -> None:
    def copy(source: Path, job: Any) -> str:
        """Copy."""
        return str(source)

    copy.__annotations__["job"] = kind
    with pytest.raises(InvalidConfig, match="job holds paths that nothing confines"):
        tool(sandbox=Sandbox(root="box"))(copy)


def test_what_holds_no_path_is_none_of_its_business() -> None:
    class Plain(BaseModel):
        text: str
        same: "Plain | None" = None

    @tool(sandbox=Sandbox(root="box"))
    def copy(source: Path, plain: Plain, number: int, names: list[str]) -> str:
        """Copy."""
        return str(source)

    assert copy.name == "copy"


@pytest.mark.parametrize(
    "url",
    [
        "http://evil.com%2f.example.org/",
        "http://evil.com%00.example.org/",
        "http://evil.com\uff0f.example.org/",
        "http://evil.com\t.example.org/",
        "http://evil.com\n.example.org/",
        "http://evil.com .example.org/",
        "http://evil.com;.example.org/",
        "http://api.example.org:80@evil.com/",
        "http://evil.com\\@api.example.org/",
        "http://[::1/",
        "//api.example.org/",
        "ftp://api.example.org/",
    ],
)
def test_addresses_whose_host_readers_may_read_otherwise_are_refused(url: str) -> None:
    box = Sandbox(urls=("url",), hosts=("*.example.org",))
    with pytest.raises(StepError, match="does not lead to") as caught:
        box.confined({"url": url}, {})
    assert caught.value.code == "tool_forbidden"


def test_plain_addresses_are_let_through() -> None:
    box = Sandbox(urls=("url",), hosts=("*.example.org", "::1"))
    for url in ("https://api.example.org:8443/a?b=c%20d#e", "http://API.example.org", "http://[::1]:80/"):
        assert box.confined({"url": url}, {}) == {"url": url}


def test_links_made_after_the_sandbox_are_followed_when_it_is_used(tmp_path: Path) -> None:
    box = Sandbox(root=str(tmp_path / "box"))
    (tmp_path / "box").mkdir()
    (tmp_path / "key").write_text("secret")
    (tmp_path / "box" / "way").symlink_to(tmp_path)
    for path in ("way/key", "./way/../way/key", "way/../../key"):
        with pytest.raises(StepError) as caught:
            box.confined({"path": Path(path)}, {"path": Path})
        assert caught.value.code == "outside_workspace"
