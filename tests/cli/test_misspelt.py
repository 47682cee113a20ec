"""A key of an input that its type does not know is refused, unless the type says itself what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator
from typing_extensions import TypedDict

from ripresa import InvalidValue
from ripresa.cli.misspelt import decode_strictly


@dataclass
class Pace:
    speed: int = 1


class Walk(BaseModel):
    name: str = ""
    pace: Pace = field(default_factory=Pace)
    stops: list[Pace] = []
    by_name: dict[str, Pace] = {}
    other: int = Field(default=0, alias="else")


class Note(TypedDict, total=False):
    text: str


class Loose(BaseModel, extra="allow"):
    pace: Pace = Pace()


class Fixed(BaseModel, frozen=True):
    name: str = ""


class Careless(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Renamed(BaseModel):
    name: str

    @model_validator(mode="before")
    @classmethod
    def old(cls, given: Any) -> Any:
        return {"name": given["title"]}


@pytest.mark.parametrize(
    ("kind", "text", "told"),
    [
        (Pace, '{"sped": 2}', "sped is no key here; did you mean speed?"),
        (Pace, '{"xyz": 2}', "xyz is no key here; it has speed"),
        (Careless | Pace, '{"speed": 2}', ""),
        (Walk, '{"nam": "x", "q": 1}', "nam is no key here; did you mean name?; q is no key here; it has name, pace, "),
        (Walk, '{"pace": {"sped": 2}}', "pace.sped is no key here; did you mean speed?"),
        (Walk, '{"stops": [{}, {"sped": 2}]}', "stops.1.sped is no key here; did you mean speed?"),
        (Walk, '{"by_name": {"a": {"sped": 2}}}', "by_name.a.sped is no key here; did you mean speed?"),
        (Walk, '{"els": 2}', "els is no key here; did you mean else?"),
        (Walk, '{"else": 2, "name": "a"}', ""),
        (Walk | None, '{"nam": "x"}', "nam is no key here; did you mean name?"),
        (tuple[Walk, ...], '[{"nam": "x"}]', ""),
        (set[Fixed], '[{"nam": "x"}]', ""),
        (list[Walk | int], '[1, {"nam": "x"}]', "1.Walk.nam is no key here; did you mean name?"),
        (Note, '{"txt": "x"}', "txt is no key here; it has none"),
        (Loose, '{"any": 1}', ""),
        (Loose, '{"any": 1, "pace": {"sped": 1}}', "pace.sped is no key here"),
        (Careless, '{"any": 1}', ""),
        (Renamed, '{"title": "x"}', ""),
        (dict[str, int], '{"any": 1}', ""),
        (str, '"x"', ""),
        (Any, '{"any": 1}', ""),
    ],
)
def test_what_a_type_would_drop_is_told_with_what_was_meant(kind: Any, text: str, told: str) -> None:
    if not told:
        decode_strictly(text.encode(), kind, "flow")
        return
    with pytest.raises(InvalidValue) as caught:
        decode_strictly(text.encode(), kind, "flow")
    assert caught.value.message.startswith(told)
    assert caught.value.where == "flow"
