"""Texts that are found by their meaning, in a real vector store."""

import sys
from collections.abc import AsyncIterator, Sequence
from operator import mul
from pathlib import Path
from typing import Any

import pytest

from ripresa import (
    Agent,
    App,
    Found,
    InvalidConfig,
    Knowledge,
    Passage,
    RipresaError,
    RunFailed,
    SQLiteVectors,
    Vectors,
    chain,
    llm,
)
from ripresa.errors import StoreError
from ripresa.testing.answers import use
from ripresa.testing.fake_model import FakeModel

anything: Any = 3
WORDS = ["tide", "moon", "bread"]
PAGES = [Passage("1", "The tide comes.", {"page": 3}), Passage("2", "The moon pulls."), Passage("3", "Bread is baked.")]


async def embed(texts: Sequence[str]) -> list[list[float]]:
    """The vector of a text says which of three words are in it."""
    return [[float(word in text.lower()) + 0.01 for word in WORDS] for text in texts]


@pytest.fixture
async def vectors(tmp_path: Path) -> AsyncIterator[SQLiteVectors]:
    found = SQLiteVectors(tmp_path / "vectors.db", 3)
    yield found
    await found.close()
    await found.close()


async def test_passages_are_found_by_meaning(vectors: SQLiteVectors) -> None:
    library = Knowledge("library", vectors, embed, limit=2)
    async with App("memory:") as app:
        assert await app.run(library.learn(PAGES)) == 3
        first, second = await app.run(library.look_up("why is there a tide?"))
        assert (first.passage, second.distance > first.distance) == (PAGES[0], True)
        assert first.distance < 0.01
    assert repr(library) == "<knowledge library>"


class Shelf:
    """Passages in memory, nearest by the product of their vectors: a store of the user's own."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Passage, Sequence[float]]] = {}

    async def put(self, passages: Sequence[tuple[Passage, Sequence[float]]]) -> None:
        self.kept.update({passage.id: (passage, vector) for passage, vector in passages})

    async def nearest(self, vector: Sequence[float], limit: int) -> list[Found]:
        near = [Found(passage, -sum(map(mul, vector, other))) for passage, other in self.kept.values()]
        return sorted(near, key=lambda found: found.distance)[:limit]

    async def remove(self, ids: Sequence[str]) -> None:
        for id in ids:
            self.kept.pop(id, None)


async def test_passages_are_kept_in_any_store_of_vectors() -> None:
    shelf = Shelf()
    store: Vectors = shelf
    library = Knowledge("library", store, embed, limit=1)
    async with App("memory:") as app:
        assert await app.run(library.learn(PAGES)) == 3
        assert [found.passage for found in await app.run(library.look_up("the moon"))] == [PAGES[1]]
        await library.forget(["2", "none"])
    assert list(shelf.kept) == ["1", "3"]


async def test_what_is_learned_twice_is_there_once_and_what_is_forgotten_is_gone(vectors: SQLiteVectors) -> None:
    library = Knowledge("library", vectors, embed, limit=9)
    await library.learn(PAGES)
    await library.learn([Passage("1", "No tide today.")])
    await library.learn([])
    assert {each.passage.text for each in await library.look_up("tide")} == {
        "No tide today.",
        "The moon pulls.",
        "Bread is baked.",
    }
    await library.forget(["1", "none"])
    assert [each.passage.id for each in await library.look_up("moon")] == ["2", "3"]


async def test_another_process_finds_what_is_in_the_file(vectors: SQLiteVectors) -> None:
    await Knowledge("library", vectors, embed).learn(PAGES)
    again = SQLiteVectors(vectors.path, 3)
    assert (await again.nearest([0, 1, 0], 1))[0].passage == PAGES[1]
    await again.close()


async def test_knowledge_is_the_context_of_prompts_and_a_tool_of_agents(vectors: SQLiteVectors) -> None:
    library = Knowledge("library", vectors, embed, limit=1)
    fake = FakeModel("From the prompt.", use("library_look_up", text="moon"), "From the tool.")
    tell = llm("Say it in your words: {input}", input=list, output=str)
    async with App("memory:", models={"*": fake}) as app:
        await app.run(library.learn(PAGES))
        assert await app.run(chain(library.look_up).then(tell)("tide")) == "From the prompt."
        assert await app.run(Agent("a", input=str, output=str, tools=[library.look_up])("?")) == "From the tool."
    assert "The tide comes." in fake.requests[0].prompt
    assert "The moon pulls." in fake.requests[2].results[0]


async def test_vectors_of_another_size_are_refused(vectors: SQLiteVectors) -> None:
    with pytest.raises(RipresaError, match="has 2 numbers, the store has those of 3") as refused:
        await vectors.nearest([1, 2], 1)
    assert refused.value.code == "wrong_dimension"

    async def wrong(texts: Sequence[str]) -> list[list[float]]:
        return [[1.0], [1.0, 2.0]]

    async with App("memory:") as app:
        with pytest.raises(RunFailed) as caught:
            await app.run(Knowledge("library", vectors, wrong, retry=1).look_up("x"))
    assert caught.value.failure.code == "invalid_output"


async def test_what_the_file_cannot_do_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_text("this is no database" * 100)
    with pytest.raises(StoreError, match=r"no\.db"):
        await SQLiteVectors(tmp_path / "no.db", 3).nearest([1, 2, 3], 1)


async def test_a_missing_extra_is_named(vectors: SQLiteVectors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    with pytest.raises(RipresaError, match=r"ripresa\[vectors\]") as caught:
        await vectors.nearest([1, 2, 3], 1)
    assert caught.value.code == "extra_missing"


async def test_bad_options_are_refused(vectors: SQLiteVectors) -> None:
    with pytest.raises(InvalidConfig, match="limit is 0"):
        Knowledge("library", vectors, embed, limit=0)
    with pytest.raises(InvalidConfig, match="embedder is 3"):
        Knowledge("library", vectors, anything)
    with pytest.raises(InvalidConfig, match="size is 0"):
        SQLiteVectors(":memory:", 0)
