"""The semantic cache as the gateway opens it: an encoder exported for real, the file kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tutelage.errors import TrainingError
from tutelage.gateway.cache import Entry, Hit
from tutelage.gateway.cache.semantic import open_semantic
from tutelage.gateway.settings import Cache, SemanticCache

pytest.importorskip("torch")
tiny = pytest.importorskip("tests.tiny")

TEXTS = ["which river is long", "long river is which now", "is room 7 in this house"]


def settings(encoder: Path) -> Cache:
    return Cache(semantic=SemanticCache(error_budget=0.2, encoder=str(encoder), models=["m"], reask=0.0))


def test_what_was_learnt_is_given_after_a_restart(tmp_path: Path) -> None:
    base = tiny.make_base(tmp_path / "base", TEXTS)

    async def taught() -> None:
        cache = open_semantic(settings(base), Path, tmp_path)
        assert cache is not None
        for number in range(60):
            for text in TEXTS[:2]:
                found = await cache.lookup("m", text, str(number))
                if not isinstance(found, Hit):
                    await cache.learn(found.token, Entry(b"nile", "gpt", 0.0), "nile")
        assert cache.stats.hits > 0
        await cache.close()

    async def asked() -> None:
        cache = open_semantic(settings(base), Path, tmp_path)
        assert cache is not None
        found = await cache.lookup("m", TEXTS[1], "0")
        assert isinstance(found, Hit)
        assert found.entry.body == b"nile"
        assert not isinstance(await cache.lookup("m", TEXTS[1], "another scope"), Hit)
        await cache.close()

    asyncio.run(taught())
    asyncio.run(asked())


def test_an_encoder_that_does_not_exist_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="does not exist"):
        open_semantic(settings(tmp_path / "no such folder"), Path, tmp_path)
