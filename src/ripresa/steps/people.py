"""A step that a person takes: they are asked, and what they fill in is the result."""

from __future__ import annotations

from typing import Any, TypeVar, overload

from typing_extensions import Unpack

from ..authoring.chain import chain
from ..authoring.flow import Flow
from ..authoring.step import step
from ..authoring.waits import Options, approval
from ..errors import StepError
from ..messages import Approval

T = TypeVar("T")


@overload
def human(question: str, /, *, name: str = ..., **options: Unpack[Options]) -> Flow[object, None]: ...
@overload
def human(question: str, /, *, form: type[T], name: str = ..., **options: Unpack[Options]) -> Flow[object, T]: ...
def human(question: str, /, *, form: Any = None, name: str = "human", **options: Any) -> Any:
    """Ask a person about the value that it is given; what they fill in (`form`) is its result.

    The same as `approval`, whose options it has, for where only the answer counts: a rejection, and a time that ran out
    (`expiry="reject"`), fail it with `rejected`. It is answered as approvals are. Raises `InvalidConfig`.
    """

    async def answer(given: Any) -> Any:
        if given.granted:
            return given.form
        said = f": {given.comment}" if given.comment else ""
        who = ", ".join(given.by) or "nobody in time"
        raise StepError(f"{question!r} was answered with no by {who}{said}", code="rejected", retryable=False)

    asked: Any = (
        approval(question, name=name, **options)
        if form is None
        else approval(question, form=form, name=name, **options)
    )
    kind: Any = type(None) if form is None else form
    answer.__annotations__.update({"given": Approval[kind], "return": kind})
    return chain(asked, name=name).then(step(name="answer", effect="pure")(answer))
