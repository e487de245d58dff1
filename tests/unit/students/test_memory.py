"""What fits into memory is found before training, and said in words when nothing does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import TrainingError

pytest.importorskip("torch")
import torch

from tutelage.students.finetune.memory import GIB, SHARE, Batching, Need, batching, free_memory, is_out_of_memory

SEVEN = Need(7_000_000_000, 40_000_000, 32, 4096, 32_000, 1024, 64, weight_bytes=2, value_bytes=2)


def test_a_small_model_gets_whole_batches() -> None:
    small = Need(135_000_000, 5_000_000, 30, 576, 49_152, 256, 32, value_bytes=2)
    assert batching(small, 16, 20 * GIB) == Batching(16, 1, False)


def test_less_memory_makes_parts_of_a_batch_then_computes_twice() -> None:
    plenty, some, little = (batching(SEVEN, 16, gib * GIB, loaded=False) for gib in (400, 80, 20))
    assert plenty == Batching(16, 1, False)
    assert 1 < some.passes < 16 and some.size * some.passes == 16 and not some.checkpointing
    assert little.checkpointing and little.size * little.passes == 16


def test_four_bit_weights_fit_where_sixteen_do_not() -> None:
    with pytest.raises(TrainingError, match=r"Out of memory: one example of 1024 tokens .* Set: max_length = 512"):
        batching(SEVEN, 8, 12 * GIB, loaded=False)
    assert batching(replace(SEVEN, weight_bytes=0.55), 8, 12 * GIB, loaded=False).size >= 1


@given(st.integers(1, 64), st.floats(0.5, 500))
def test_what_is_chosen_fits_and_makes_the_wanted_steps(wanted: int, gib: float) -> None:
    try:
        chosen = batching(SEVEN, wanted, gib * GIB, loaded=False)
    except TrainingError:
        return
    assert chosen.size * chosen.passes == wanted
    assert SEVEN.fixed() + chosen.size * SEVEN.example(checkpointing=chosen.checkpointing) <= gib * GIB * SHARE


def test_out_of_memory_is_known_by_all_its_names() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"))
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert free_memory(torch.device("cpu")) > 0
