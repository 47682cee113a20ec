"""Who calls, proved by digest (RFC 7616): the password is never sent, what a service asks for is answered with a hash.

Law: a challenge is answered at the origin that was called, once for each request. The hash is httpx's.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ..authoring.options import refuse
from ..errors import StepError
from .secret import Secret, line_of

if TYPE_CHECKING:
    import httpx2


@dataclass(frozen=True, slots=True)
class Digest:
    """The `auth` of a call of HTTP: a user and a password, of which a hash is sent where a service asks for one.

    A call makes its request without it first, which the service refuses with its challenge, and then with it.
    Raises `InvalidConfig`.
    """

    user: str
    password: Secret

    def __post_init__(self) -> None:
        user, password = cast("object", self.user), cast("object", self.password)
        refuse(
            "Digest",
            None if isinstance(user, str) and user else f"user is {user!r}, must be a text",
            None if isinstance(password, Secret) else "password must be a Secret",
        )


class Answering:
    """What answers the challenges of one call; what proves who asks is among its secrets."""

    def __init__(self, digest: Digest, secrets: list[str]) -> None:
        import httpx2

        password = line_of(digest.password)
        self._secrets = secrets
        secrets.append(password)
        self._auth = httpx2.DigestAuth(digest.user, password)
        self._flow: Generator[httpx2.Request, httpx2.Response, None] | None = None

    async def put(self, request: httpx2.Request) -> None:
        """Give a request what the service asked for last, if it has."""
        self._flow = self._auth.auth_flow(request)
        next(self._flow)
        self._note(request)

    def is_refused(self, request: httpx2.Request, answer: httpx2.Response) -> bool:
        """Whether a service asks who calls, and may be told."""
        asked = answer.headers.get_list("www-authenticate")
        return self._flow is not None and answer.status_code == 401 and any(map(_is_digest, asked))

    async def again(self, request: httpx2.Request, answer: httpx2.Response) -> None:
        """Give a request what was asked for. Raises `StepError(http_failed)` for what cannot be answered."""
        import httpx2

        flow, self._flow = self._flow, None
        assert flow is not None
        try:
            flow.send(answer)
        except (httpx2.ProtocolError, RuntimeError, ValueError) as error:
            why = f"{request.url.host} asks for a digest that cannot be given: {error}"
            raise StepError(why, code="http_failed", retryable=False) from error
        self._note(request)

    def leave(self) -> None:
        """Answer no more: the call is led elsewhere."""
        self._flow = None

    def _note(self, request: httpx2.Request) -> None:
        proof = request.headers.get("authorization")
        if proof is not None:
            self._secrets.append(proof)


def _is_digest(asked: str) -> bool:
    return asked.lower().startswith("digest ")
