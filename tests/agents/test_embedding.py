"""Knowledge by an embedding model: asked over HTTP, in batches, counted, and checked against the store."""

import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from ripresa import App, Knowledge, Limits, ModelEndpoint, Passage, Retry, RipresaError, RunFailed, SQLiteVectors
from ripresa.steps.embedding import MOST_BYTES, MOST_TEXTS, batches
from ripresa.steps.gateway import Gateway
from ripresa.testing.answers import Fault, vector_of
from ripresa.testing.fake_model import FakeModel
from ripresa.testing.model_server import ModelServer

PAGES = [Passage("1", "The tide comes in."), Passage("2", "The moon is bright."), Passage("3", "Bread is baked.")]


@pytest.fixture
async def vectors(tmp_path: Path) -> AsyncIterator[SQLiteVectors]:
    found = SQLiteVectors(tmp_path / "vectors.db", 64)
    yield found
    await found.close()


def at(server: ModelServer) -> ModelEndpoint:
    return ModelEndpoint("text-embedding-3-small", server.url)


async def test_a_model_gives_the_vectors_and_what_it_used_counts(vectors: SQLiteVectors) -> None:
    async with ModelServer() as server, App("memory:", models={"vectors": at(server)}) as app:
        library = Knowledge("library", vectors, "vectors", limit=1)
        handle = await app.start(library.learn(PAGES))
        assert await handle.result() == 3
        view = await handle.status()
        assert view.tokens == 11
        assert view.cost > 0
        assert (await app.run(library.look_up("is the moon bright?")))[0].passage == PAGES[1]
    assert [request.body["input"] for request in server.embedded] == [
        [page.text for page in PAGES],
        ["is the moon bright?"],
    ]
    assert server.embedded[0].model == "text-embedding-3-small"


async def test_outside_a_run_a_model_is_asked_as_well(vectors: SQLiteVectors) -> None:
    async with ModelServer() as server:
        library = Knowledge("library", vectors, at(server), limit=1)
        assert await library.learn(PAGES) == 3
        assert (await library.look_up("bread"))[0].passage == PAGES[2]


async def test_what_can_be_mended_by_trying_again_is_tried_again(vectors: SQLiteVectors) -> None:
    faults = [Fault(status=429, retry_after=0.01), Fault(kind="malformed")]
    async with ModelServer(faults=faults) as server, App("memory:") as app:
        library = Knowledge("library", vectors, at(server), retry=Retry(3, wait=0))
        assert await app.run(library.learn(PAGES)) == 3
    assert [len(request.body["input"]) for request in server.embedded] == [3, 3, 3]


async def test_an_attempt_goes_on_behind_the_batches_before(vectors: SQLiteVectors) -> None:
    asked: list[int] = []

    async def embed(texts: Sequence[str]) -> list[list[float]]:
        asked.append(len(texts))
        if len(asked) == 2:
            raise ConnectionError("broken off")
        return [vector_of(text) for text in texts]

    many = [Passage(str(number), f"page {number}") for number in range(MOST_TEXTS + 3)]
    async with App("memory:") as app:
        library = Knowledge("library", vectors, embed, retry=Retry(3, wait=0))
        assert await app.run(library.learn(many)) == len(many)
    assert asked == [MOST_TEXTS, 3, 3]


async def test_a_refused_key_and_an_unknown_model_have_codes(
    vectors: SQLiteVectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)

    async def code(embedder: str | ModelEndpoint, app: App) -> str:
        with pytest.raises(RunFailed) as caught:
            await app.run(Knowledge("library", vectors, embedder, retry=1).look_up("x"))
        return str(caught.value.failure.code)

    class Chats:
        name = "chats"

        async def answer(self, request: object, write: object) -> None:
            raise AssertionError

    models = {"chats": Chats()}
    async with ModelServer(faults=[Fault(status=401)]) as server, App("memory:", models=models) as app:
        assert await code(at(server), app) == "model_unauthorized"
        assert await code("openai:text-embedding-3-small", app) == "model_not_configured"
        assert await code("nobody", app) == "unknown_model"
        assert await code("chats", app) == "unknown_model"
        assert await code(ModelEndpoint("cohere:embed-v4.0", key_variable="A"), app) == "model_not_configured"
        monkeypatch.setitem(sys.modules, "pydantic_ai.embeddings.cohere", None)
        monkeypatch.setenv("CO_API_KEY", "never")
        assert await code("cohere:embed-v4.0", app) == "extra_missing"


async def test_vectors_that_do_not_fit_the_store_have_a_code(tmp_path: Path) -> None:
    small = SQLiteVectors(tmp_path / "small.db", 3)
    async with App("memory:", models={"*": FakeModel()}) as app:
        with pytest.raises(RunFailed, match="vectors of 64 numbers, the store has those of 3") as caught:
            await app.run(Knowledge("library", small, "any").learn(PAGES))
    assert caught.value.failure.code == "wrong_dimension"
    await small.nearest([1, 2, 3], 1)
    await small.close()
    with pytest.raises(RipresaError, match=r"small\.db is opened for vectors of 4 numbers, the store has those of 3"):
        await SQLiteVectors(tmp_path / "small.db", 4).nearest([1, 2, 3, 4], 1)


async def test_the_limits_of_the_run_hold_for_embeddings(vectors: SQLiteVectors) -> None:
    fake = FakeModel()
    async with App("memory:", models={"*": fake}) as app:
        library = Knowledge("library", vectors, "any")
        with pytest.raises(RunFailed) as caught:
            await app.run(library.learn(PAGES), limits=Limits(tokens=5))
    assert caught.value.failure.code == "limit_exceeded"


async def test_a_client_is_made_once_and_closed_with_the_app() -> None:
    async with ModelServer() as server:
        gateway = Gateway({})
        found = gateway.embedder(at(server))
        assert gateway.embedder(at(server)) is found
        assert (await found.embed(["a"], query=True)).tokens == 1
        await gateway.close()
        assert gateway.embedder(at(server)) is not found
        await gateway.close()


def test_batches_are_bounded_by_number_and_length() -> None:
    assert list(batches([])) == []
    assert list(batches(["a"] * (MOST_TEXTS + 1))) == [slice(0, MOST_TEXTS), slice(MOST_TEXTS, MOST_TEXTS + 1)]
    long = "x" * MOST_BYTES
    assert list(batches([long, "a", "b", long])) == [slice(0, 1), slice(1, 3), slice(3, 4)]


def test_texts_of_the_same_words_are_near_each_other() -> None:
    assert vector_of("The tide") == vector_of("tide, the")
    assert vector_of("?", 3) == [1.0, 1.0, 1.0]
