"""The semantic cache: what it gives, what it refuses, what it learns, and that it remembers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tutelage.embeddings.encoder import normalised
from tutelage.embeddings.runtime import Array
from tutelage.gateway.cache import Entry, Hit, Miss
from tutelage.gateway.cache.semantic import LONGEST, Choices, SemanticCache, open_semantic, same_text
from tutelage.gateway.cache.shelf import MERGE, Shelf
from tutelage.gateway.settings import Cache as CacheSettings
from tutelage.gateway.settings import SemanticCache as SemanticSettings
from tutelage.store.semantic import SemanticFile

ENTRY = Entry(b'{"a": 1}', "gpt", 1.0)


class Letters:
    """An encoder by the counts of letters: anagrams are equal, a letter more is near."""

    width, identity = 26, "letters"

    def encode(self, texts: Sequence[str]) -> Array:
        counts = [[text.lower().count(chr(97 + letter)) for letter in range(26)] for text in texts]
        return normalised(np.array(counts, np.float32).reshape(len(texts), 26))


def made(
    file: SemanticFile | None = None, choices: Choices | None = None, ttl: float = 1e9, **settings: Any
) -> SemanticCache:
    chosen: dict[str, Any] = {
        "error_budget": 0.1,
        "encoder": "letters",
        "models": ["m", "other"],
        "reask": 0.0,
    } | settings
    return SemanticCache(
        CacheSettings(semantic=SemanticSettings(**chosen), ttl=ttl, never=["falcon"]), Letters(), file, choices
    )


async def ask(cache: SemanticCache, text: str, value: str, model: str = "m", scope: str = "") -> Hit | Miss:
    """As the gateway does: looks, and where it misses learns that the model answers `value`."""
    found = await cache.lookup(model, text, scope)
    if isinstance(found, Miss):
        await cache.learn(found.token, Entry(value.encode(), "gpt", 1.0), value)
    return found


async def taught(cache: SemanticCache, n: int = 80, *, right: bool = True) -> None:
    """`n` questions, each asked again in another wording; the kept answer was right, or not."""
    for number in range(n):
        scope = f"lesson {number}"
        await ask(cache, "which river is long", "a", scope=scope)
        await ask(cache, "long river is which now", "a" if right else "b", scope=scope)


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(work())


def why(found: Hit | Miss) -> str:
    return found.why if isinstance(found, Miss) else "hit"


def test_at_first_nothing_is_given_and_then_what_is_proved() -> None:
    async def work() -> None:
        cache = made()
        assert why(await ask(cache, "which river is long", "nile")) == "new"
        assert why(await ask(cache, "long river is which now", "nile")) == "unproved"
        await taught(cache)
        found = await ask(cache, "long river is which now", "nile")
        assert isinstance(found, Hit)
        assert (found.entry.body, found.question) == (b"nile", "which river is long")
        assert 0.9 < found.similarity < 1
        assert cache.stats.hits > 0
        await cache.close()

    run(work)


def test_where_answers_were_wrong_nothing_is_given() -> None:
    async def work() -> None:
        cache = made()
        await taught(cache, right=False)
        await ask(cache, "which river is long", "nile")
        assert why(await ask(cache, "long river is which now", "nile")) == "unproved"
        await cache.close()

    run(work)


def test_the_same_text_is_given_at_once() -> None:
    async def work() -> None:
        cache = made()
        await ask(cache, "which river is long", "nile")
        assert isinstance(await ask(cache, "which river is long", "nile"), Hit)
        assert (cache.stats.hits, cache.stats.equal, cache.stats.explored) == (1, 1, 0)
        await cache.close()

    run(work)


def test_what_the_checks_refuse_is_never_given() -> None:
    async def work() -> None:
        cache = made()
        await taught(cache)
        await ask(cache, "is room 7 in this house", "yes")
        for text, reason in (("in this house is room 8", "numbers"), ("room 7 is not in this house", "negation")):
            assert why(await ask(cache, text, "no")) == reason
        assert cache.stats.refused == {"numbers": 1, "negation": 1}
        assert isinstance(await ask(cache, "in this house is a room 7", "yes"), Hit)
        await cache.close()

    run(work)


def test_a_farther_question_is_taken_where_the_nearest_differs() -> None:
    async def work() -> None:
        cache = made()
        await taught(cache)
        await ask(cache, "is room 7 in this house", "yes")
        await ask(cache, "in this house is a room 8", "no")
        found = await ask(cache, "in this house is a room 7", "yes")
        assert isinstance(found, Hit)
        assert found.entry.body == b"yes"
        await cache.close()

    run(work)


def test_models_and_scopes_are_kept_apart() -> None:
    async def work() -> None:
        cache = made()
        await taught(cache)
        await ask(cache, "which river is long", "nile", scope="rivers")
        again = "long river is which now"
        assert why(await ask(cache, again, "nile", scope="others")) == "new"
        assert why(await ask(cache, again, "nile", model="other", scope="rivers")) == "new"
        await ask(cache, "which river is long", "nile", model="other", scope="x")
        assert why(await ask(cache, again, "nile", model="other", scope="x")) == "unproved", "learnt of another model"
        assert isinstance(await ask(cache, again, "nile", scope="rivers"), Hit)
        await cache.close()

    run(work)


def test_a_share_of_the_hits_is_asked_again_and_estimates_how_many_are_wrong() -> None:
    async def work() -> None:
        cache = made(reask=0.5, choices=Choices(seed=3))
        await taught(cache, 400)
        before = cache.stats.reasked
        assert 50 < before < 250
        share, low, high = cache.stats.wrong_share()
        assert (share, low) == (0.0, 0.0)
        assert high == pytest.approx(1 - 0.025 ** (1 / before))
        while cache.stats.reasked == before:
            await ask(cache, "which river is long", "a", scope=f"{cache.stats.hits}")
            found = await ask(cache, "long river is which now", "b", scope=f"{cache.stats.hits}")
        assert why(found) == "reasked"
        assert cache.stats.reasked_wrong == 1
        assert cache.stats.wrong_share()[0] == 1 / (before + 1)
        await cache.close()

    run(work)


def test_equal_seeds_ask_the_same_again() -> None:
    async def asked_again(seed: int) -> list[str]:
        cache = made(reask=0.3, choices=Choices(seed=seed))
        await taught(cache)
        await ask(cache, "which river is long", "a")
        found = [why(await cache.lookup("m", "long river is which now")) for _ in range(30)]
        await cache.close()
        return found

    first, same, other = (asyncio.run(asked_again(seed)) for seed in (1, 1, 2))
    assert first == same != other
    assert {"hit", "reasked"} == set(first)


def test_what_is_learnt_outlives_the_process_and_is_shared(tmp_path: Path) -> None:
    def opened() -> SemanticCache:
        return made(SemanticFile(tmp_path / "semantic.db", "letters"))

    async def work() -> None:
        first, beside = opened(), opened()
        assert why(await beside.lookup("m", "river")) == "new"
        await taught(first)
        await ask(first, "which river is long", "nile")
        await first.close()
        second = opened()
        found = await second.lookup("m", "long river is which now")
        assert isinstance(found, Hit)
        assert found.entry.body == b"nile"
        await second.close()
        await asyncio.sleep(1.05)  # REFRESH
        assert isinstance(await beside.lookup("m", "long river is which now"), Hit)
        assert beside.stats.reasked == 0
        await beside.close()

    run(work)


def test_observations_are_counted_once(tmp_path: Path) -> None:
    async def work() -> None:
        cache = made(SemanticFile(tmp_path / "semantic.db", "letters"), Choices(clock=iter(range(10**9)).__next__))
        await taught(cache, 20)
        assert len(cache._memory.evidence("m").observations) == 20
        assert len(cache._memory.kept) == 20
        await cache.close()

    run(work)


def test_another_encoder_begins_anew(tmp_path: Path) -> None:
    async def work() -> None:
        for identity, expected in (("letters", "new"), ("letters", "hit"), ("words", "new")):
            cache = made(SemanticFile(tmp_path / "semantic.db", identity))
            assert why(await ask(cache, "which river is long", "nile")) == expected
            await cache.close()

    run(work)


@pytest.mark.parametrize("damage", ["no database", "no folder"])
def test_a_file_that_cannot_be_used_is_told_and_done_without(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "absent" if damage == "no folder" else tmp_path
    if damage == "no database":
        (folder / "semantic.db").write_bytes(b"something else" * 100)

    async def work() -> None:
        cache = made(SemanticFile(folder / "semantic.db", "letters"))
        await taught(cache)
        await ask(cache, "which river is long", "nile")
        assert isinstance(await ask(cache, "long river is which now", "nile"), Hit)
        await cache.close()

    with caplog.at_level(logging.WARNING):
        run(work)
    assert len(caplog.records) == 1


def test_no_more_are_kept_than_said_and_the_least_used_go(tmp_path: Path) -> None:
    clock = iter(range(10**9)).__next__

    async def work() -> None:
        cache = made(SemanticFile(tmp_path / "semantic.db", "letters"), Choices(clock=clock), size=10)
        await ask(cache, "aa", "x")
        for letter in "bcdefghijklmnop":
            await ask(cache, letter * 2, "x")
            assert isinstance(await ask(cache, "aa", "x"), Hit)
            assert len(cache._memory.kept) <= 10
        assert why(await cache.lookup("m", "bb")) == "new"
        assert isinstance(await cache.lookup("m", "pp"), Hit)
        await cache.close()

    run(work)
    assert len(SemanticFile(tmp_path / "semantic.db", "letters").questions(0, 0.0)) <= 10


def test_what_has_expired_is_not_given() -> None:
    now = [1000.0]

    async def work() -> None:
        cache = made(choices=Choices(clock=lambda: now[0]), ttl=10)
        await ask(cache, "which river is long", "nile")
        now[0] += 9
        assert isinstance(await ask(cache, "which river is long", "nile"), Hit)
        now[0] += 1
        assert why(await ask(cache, "which river is long", "new nile")) == "new"
        now[0] += 100
        await ask(cache, "which lake is deep", "x")
        assert len(cache._memory.kept) == 1
        await cache.close()

    run(work)


def test_equal_questions_at_once_are_kept_once() -> None:
    async def work() -> None:
        cache = made()
        tokens = [await cache.lookup("m", "which river is long") for _ in range(3)]
        await asyncio.gather(*(cache.learn(one.token, ENTRY, "nile") for one in tokens))
        assert len(cache._memory.kept) == 1
        await cache.close()

    run(work)


def body(text: object, **more: Any) -> dict[str, Any]:
    return {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}],
    } | more


def test_a_request_is_split_into_the_question_and_all_the_rest() -> None:
    async def work() -> None:
        cache = made()
        plain = cache.question(body("Which river?"), "chat")
        assert plain is not None
        assert (plain.model, plain.text) == ("m", "Which river?")
        other = cache.question(body("Which lake?", stream=True), "chat")
        assert other is not None
        assert other.scope == plain.scope
        parts = cache.question(body([{"type": "text", "text": "Which river?"}]), "chat")
        assert parts == plain
        for changed in (body("Which river?", max_tokens=5), body("Which river?", model="other")):
            found = cache.question(changed, "chat")
            assert found is not None
            assert found.scope != plain.scope
        team = cache.question(body("Which river?"), "team-b")
        assert team is not None
        assert team.scope != plain.scope
        await cache.close()

    run(work)


@pytest.mark.parametrize(
    "request_body",
    [
        body("Which river?", model="unknown"),
        body("Which river?", temperature=1),
        body("Where is my order?"),
        body("falcon"),
        body("x" * (LONGEST + 1)),
        body(" "),
        body([{"type": "image_url", "image_url": {"url": "data:,"}}]),
        body(None),
        {"model": "m", "messages": []},
        {"model": "m"},
        {"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
    ],
)
def test_requests_without_a_question_to_keep(request_body: dict[str, Any]) -> None:
    cache = made()
    assert cache.question(request_body, "chat") is None
    asyncio.run(cache.close())


def test_no_settings_no_cache(tmp_path: Path) -> None:
    assert open_semantic(CacheSettings(), Path, tmp_path) is None


def test_answers_are_equal_but_for_how_they_are_written() -> None:
    assert same_text("The  Nile.", "the nile\n")
    assert not same_text("The Nile", "The Amazon")


def test_a_shelf_finds_what_is_nearest_and_forgets() -> None:
    chance = np.random.default_rng(0)
    vectors = normalised(chance.normal(size=(2 * MERGE + 50, 8)).astype(np.float32))
    shelf = Shelf()
    for number, vector in enumerate(vectors):
        shelf.add(1000 + number, vector)
    gone = {1000 + number for number in range(0, len(vectors), 3)}
    for removed in (set[int](), gone):
        shelf.remove(removed) if removed else None
        left = [number for number in range(len(vectors)) if 1000 + number not in removed]
        assert len(shelf) == len(left)
        for query in normalised(chance.normal(size=(20, 8)).astype(np.float32)):
            expected = sorted(left, key=lambda number: -float(vectors[number] @ query))[:5]
            found = shelf.nearest(query, 5)
            assert [number for _, number in found] == [1000 + number for number in expected]
            assert [score for score, _ in found] == pytest.approx(
                [float(vectors[n] @ query) for n in expected], abs=1e-5
            )
    shelf.remove(set(shelf.numbers))
    assert shelf.nearest(vectors[0], 5) == []
