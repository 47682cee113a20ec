"""A step that a person takes: they are asked, and what they fill in is the result."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeVar, cast, overload

from typing_extensions import Unpack

from ..authoring.chain import chain
from ..authoring.flow import Flow
from ..authoring.step import Step, step
from ..authoring.waits import Options, approval
from ..errors import StepError
from ..messages import Approval
from .recipes import kept

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
    asked: Any = (
        approval(question, name=name, **options)
        if form is None
        else approval(question, form=form, name=name, **options)
    )
    asking: Any = cast("Any", chain)(asked, name=name)
    return asking.then(answer_to(question, form))


def answer_to(question: str, form: Any = None) -> Step[..., Any]:
    """The step that takes what was filled in out of the answer to a question."""

    async def answer(given: Any) -> Any:
        if given.granted:
            return given.form
        said = f": {given.comment}" if given.comment else ""
        who = ", ".join(given.by) or "nobody in time"
        raise StepError(f"{question!r} was answered with no by {who}{said}", code="rejected", retryable=False)

    kind: Any = type(None) if form is None else form
    answer.__annotations__.update({"given": Approval[kind], "return": kind})
    made = step(name="answer", effect="pure")(answer)
    again = partial(answer_to, question, form)
    return kept(made, "ripresa.steps.documents:answer", again, {"question": question}, form=form)
