"""How a task proves who asks: policies of authentication, as documents write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from ..document.source import Path, is_object
from .jq import Plain, Template
from .scope import WORKING

if TYPE_CHECKING:
    from .reading import Reader

_NAMED: Final = ("username", "password")
_TOKENS: Final = (
    "authority", "grant", "client", "request", "issuers", "scopes", "audiences", *_NAMED, "subject", "actor",
    "refreshToken",
)  # fmt: skip
_TERMS: Final[Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "basic": (_NAMED, _NAMED),
    "bearer": (("token",), ("token",)),
    "digest": (_NAMED, _NAMED),
    "oauth2": ((*_TOKENS, "endpoints"), ("authority", "grant")),
    "oidc": (_TOKENS, ("authority", "grant")),
}
"""The kinds of policies, with their terms and those of them that are needed."""

_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "client": ("id", "secret", "assertion", "authentication"),
    "request": ("encoding",),
    "endpoints": ("token", "revocation", "introspection"),
}
"""The terms that are objects, with what is in them."""

_CHOICES: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("grant",): ("client_credentials", "password", "refresh_token"),
    ("client", "authentication"): ("client_secret_post", "client_secret_basic", "none"),
    ("request", "encoding"): ("application/x-www-form-urlencoded", "application/json"),
}
"""What there is to choose from, of what the specification has."""

_LATER: Final = (
    "authorization_code", "urn:ietf:params:oauth:grant-type:token-exchange", "client_secret_jwt", "private_key_jwt",
)  # fmt: skip
"""What the specification has beside that."""


def authentication(reader: Reader, data: Any, path: Path, names: frozenset[str]) -> Template:
    """How to prove who asks: by what stands there, or in `use`; `names` are the variables around it."""
    if is_object(data) and "use" in data:
        reader.keys(data, path, ("use",))
        data, path = reader.text(data["use"], (*path, "use")), (*path, "use")
    if isinstance(data, str):
        data, path = reader.reused("authentications", data, path)
    found = reader.object(data, path, tuple(_TERMS))
    if len(found) != 1:
        reader.notes.add(path, f"must have one of {', '.join(_TERMS)}")
        return Plain({})
    ((kind, policy),) = found.items()
    if kind == "bearer" and isinstance(policy, str):  # the token itself
        found = {kind: {"token": policy}}
        policy = found[kind]
    if kind in _TERMS:
        _check(reader, kind, reader.object(policy, (*path, kind)), (*path, kind))
    return reader.template(found, path, WORKING | names)


def no_digest(reader: Reader, data: Any, path: Path) -> None:
    """Note that a policy is one by digest, which is of plain HTTP."""
    known = reader.use.get("authentications")
    name = data.get("use", "") if is_object(data) else data
    policy = known.get(name) if isinstance(name, str) and is_object(known) else None
    if any(is_object(each) and "digest" in each for each in (data, policy)):
        reader.notes.add(path, "authentication by digest is for http and openapi", "not_available")


def _check(reader: Reader, kind: str, policy: Mapping[str, Any], path: Path) -> None:
    """Note what is wrong with the terms of a policy."""
    if "use" in policy:
        reader.keys(policy, path, ("use",))
        if policy["use"] not in reader.document.secrets:
            reader.notes.add((*path, "use"), f"there is no secret {policy['use']!r} in use.secrets")
        return
    terms, needed = _TERMS[kind]
    reader.keys(policy, path, terms, *needed)
    for name, known in _PARTS.items():
        if name in policy and name in terms:
            reader.object(policy[name], (*path, name), known)
    for name in ("subject", "actor"):
        if name in policy:
            reader.notes.add((*path, name), f"{name} is not supported", "not_available", key=True)
    if "assertion" in _part(policy, "client"):
        why = "signed assertions are not supported"
        reader.notes.add((*path, "client", "assertion"), why, "not_available", key=True)
    if kind == "oauth2" and "issuers" in policy:
        why = "who issued a token is checked with oidc alone"
        reader.notes.add((*path, "issuers"), why, "not_available", key=True)
    for place, choices in _CHOICES.items():
        within = _part(policy, *place[:-1])
        if place[-1] in within:
            _choose(reader, within[place[-1]], (*path, *place), choices)


def _part(policy: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        found: Any = policy.get(name)
        policy = found if is_object(found) else {}
    return policy


def _choose(reader: Reader, said: Any, path: Path, choices: tuple[str, ...]) -> None:
    if said in _LATER:
        reader.notes.add(path, f"{said} is not supported; there are {', '.join(choices)}", "not_available")
    elif not isinstance(said, str) or "${" not in said:
        reader.choice(said, path, choices)
