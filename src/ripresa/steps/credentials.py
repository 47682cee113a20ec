"""Credentials as documents write them: references of secrets in the place of secrets, and who calls as an object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final, cast

from ..authoring.options import refuse
from ..errors import InvalidConfig
from .calls import Auth
from .digest import Digest
from .oauth import OIDC, OAuth2
from .secret import Secret

_SECRET: Final = ("secret", "password", "refresh")


def read_credentials(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a step with what its document says of credentials as what the step takes.

    `auth` is a reference ("env:TOKEN", a bearer token), `{basic: {user, password}}`, `{digest}`, the same, `{bearer}`,
    `{oauth2: {...}}` or `{oidc: {...}}`; a header may be `{secret: reference}`. Raises `InvalidConfig`.
    """
    read = dict(options)
    if options.get("auth") is not None:
        read["auth"] = _auth(options["auth"])
    if isinstance(options.get("headers"), Mapping):
        read["headers"] = {name: _header(value) for name, value in options["headers"].items()}
    return read


def has_credentials(options: Mapping[str, Any]) -> bool:
    """Whether a document names secrets for a step."""
    headers = options.get("headers")
    found = cast("Mapping[str, object]", headers).values() if isinstance(headers, Mapping) else ()
    return options.get("auth") is not None or any(isinstance(value, Mapping) for value in found)


def _auth(said: Any) -> Auth:
    if isinstance(said, Secret | OAuth2 | Digest | tuple):
        return cast("Auth", said)
    if isinstance(said, str):
        return _secret(said, "auth: env:NAME")
    known = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
    kind = next(iter(known), "")
    if len(known) != 1 or kind not in _KINDS:
        refuse("auth", f"auth must be the reference of a secret, or an object with one of {', '.join(_KINDS)}")
    return _KINDS[kind](known[kind])


def _basic(said: Any) -> Auth:
    return _named("basic", said)


def _digest(said: Any) -> Auth:
    return Digest(*_named("digest", said))


def _named(kind: str, said: Any) -> tuple[str, Secret]:
    given = _keys(kind, said, ("user", "password"))
    refuse("auth", None if isinstance(given.get("user"), str) else f"{kind}.user is missing, or no text")
    return given["user"], _secret(given.get("password"))


def _bearer(said: Any) -> Auth:
    return _secret(said)


def _oauth2(said: Any) -> Auth:
    return _client(OAuth2, "oauth2", said)


def _oidc(said: Any) -> Auth:
    return _client(OIDC, "oidc", said)


def _client(kind: type[OAuth2], name: str, said: Any) -> Auth:
    given = _keys(name, said, [each.name for each in fields(kind) if each.init])
    refuse("auth", None if "authority" in given else f"{name}.authority is missing")
    secrets: dict[str, Any] = {key: _secret(value) for key, value in given.items() if key in _SECRET}
    return kind(**{**given, **secrets})


_KINDS: Final[Mapping[str, Callable[[Any], Auth]]] = {
    "bearer": _bearer,
    "basic": _basic,
    "digest": _digest,
    "oauth2": _oauth2,
    "oidc": _oidc,
}


def _keys(name: str, said: Any, known: list[str] | tuple[str, ...]) -> dict[str, Any]:
    refuse("auth", None if isinstance(said, dict) else f"{name} must be an object of {', '.join(known)}")
    given = cast("dict[str, Any]", said)
    refuse("auth", *(_unknown(name, str(key), known) for key in given if key not in known))
    return given


def _unknown(name: str, key: str, known: list[str] | tuple[str, ...]) -> str:
    near = get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"{name}.{key} is no key here; {hint}"


def _header(said: Any) -> Any:
    if not isinstance(said, Mapping):
        return said
    given = _keys("a header", dict(cast("Mapping[str, Any]", said)), ("secret",))
    return _secret(given.get("secret"))


def _secret(said: Any, form: str = "env:NAME") -> Secret:
    try:
        return said if isinstance(said, Secret) else Secret(said)
    except InvalidConfig as error:
        hint = f"write {form}, never the secret itself"
        raise InvalidConfig(error.message, op="auth", hint=hint) from None
