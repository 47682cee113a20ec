"""Registries: by name and by kind."""

from __future__ import annotations

from typing import Any

import pytest

from ripresa import Graph, InvalidConfig, RipresaError, chain, parallel
from ripresa.authoring.registry import Registry, kind_of

from .samples import fetch, greet, length, shout


def graph() -> Any:
    g = Graph("sizes", input=str)
    return g.returns(g.add(length(g.input)).out)


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    for entry in (fetch, greet, chain(fetch, name="digest"), graph(), parallel(length, shout)):
        registry.register(entry)
    return registry


def test_entries_are_known_by_name_and_kind(registry: Registry) -> None:
    assert [(name, kind_of(entry)) for name, entry in registry.discover()] == [
        ("digest", "chain"),
        ("fetch", "step"),
        ("greet", "workflow"),
        ("parallel", "flow"),
        ("sizes", "graph"),
    ]
    assert (list(registry), len(registry), "fetch" in registry) == (registry.list(), 5, True)


def test_entries_are_listed_and_discovered_by_pattern(registry: Registry) -> None:
    assert registry.list("graph") == ["sizes"]
    assert [name for name, _ in registry.discover("*e*", "workflow")] == ["greet"]
    assert registry.discover("x*") == []


def test_an_entry_is_found_or_not(registry: Registry) -> None:
    assert registry.get("fetch") is fetch
    assert registry.find("fetch", "step") is fetch
    assert registry.find("fetch", "chain") is None
    assert registry.find("other") is None


def test_what_is_not_there_is_an_error_that_lists_what_is(registry: Registry) -> None:
    with pytest.raises(RipresaError, match="no chain is registered as 'fetch'") as caught:
        registry.get("fetch", "chain")
    assert (caught.value.code, caught.value.hint) == (
        "unknown_workflow",
        "registered: fetch, greet, digest, sizes, parallel",
    )
    with pytest.raises(RipresaError, match="registered: nothing"):
        Registry().get("fetch")


def test_a_name_stands_for_one_thing(registry: Registry) -> None:
    assert registry.register(fetch) is fetch
    assert registry.register(fetch, name="other") is fetch
    with pytest.raises(InvalidConfig, match="'digest' is registered already, as <chain digest>") as caught:
        registry.register(chain(length, name="digest"))
    assert caught.value.code == "duplicate_name"


def test_only_what_can_be_run_is_registered() -> None:
    with pytest.raises(InvalidConfig, match="3 is no step, flow or workflow"):
        Registry().register(3)  # type: ignore[type-var]
