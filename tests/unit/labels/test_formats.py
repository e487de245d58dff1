"""Formats: what is written comes back, for every output kind; and what the formats' own tools write is read."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.formatted import SUFFIX, TASKS, kept, project

from tutelage.labels.adding import AddOptions, add_file
from tutelage.labels.formats import FORMATS
from tutelage.labels.formats.writing import DatasetOptions, write_dataset
from tutelage.labels.splitting import canonical_input, example_id
from tutelage.project import Project
from tutelage.types import Example, Label, Standing, Value

PAIRS = [
    (kind, name) for kind in TASKS for name in FORMATS.rows() if not (name == "spacy" and kind in ("text", "record"))
]
SOURCES = ("human:ada", "human:bob b@x.org", "teacher:gpt@1a2b3c4d", "weak:rules@v1", "import")

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
plain = st.sampled_from(["Mr Fox", "Zoë", "🦊 cub", "the old mill", "ab-c", "O'Neil", "ÄÖ"])
texts = st.builds(
    " ".join, st.lists(st.one_of(words, plain, st.sampled_from(["\n", "\r\n", '"', "'", ",", "\t"])), max_size=6)
)


def values(kind: str, text: str) -> st.SearchStrategy[Value]:
    if kind == "label":
        return st.sampled_from(["yes", "no", "may be; {x}"])
    if kind == "labels":
        return st.lists(st.sampled_from(["red", "green", "=blue"]), unique=True)
    if kind == "strings":
        here = [word for word in text.split() if any(sign.isalnum() for sign in word)] + ["Mr Fox"]
        return st.lists(st.sampled_from(here), max_size=4)
    if kind == "free":
        return st.lists(st.one_of(words, plain), max_size=4)
    if kind == "text":
        return texts.map(lambda one: f"x{one}")
    return st.fixed_dictionaries(
        {
            "who": words.map(lambda one: f"x{one}"),
            "amount": st.none() | st.floats(-1e12, 1e12, allow_subnormal=False).map(lambda one: round(one, 4)),
            "kind": st.sampled_from(["a b", "c", None]),
            "paid": st.sampled_from([True, False, None]),
            "days": st.none() | st.lists(st.integers(-1000, 10**9), min_size=1, max_size=3),
            "items": st.none() | st.lists(words.map(lambda one: f"x{one}"), min_size=1, max_size=3),
        }
    )


@st.composite
def examples(draw: st.DrawFn, one: Project, kind: str) -> tuple[Example, list[Label]]:
    said = draw(texts) + " Mr Fox"
    input = canonical_input({name: said if at == 0 else f"{draw(words)}!" for at, name in enumerate(one.task.fields)})
    synthetic = draw(st.sampled_from([None, "gpt@1a2b"]))
    split = "train" if synthetic else draw(st.sampled_from(["train", "dev", "calibration", "test"]))
    group = draw(st.sampled_from([None, "letter 7", "ä, b"]))
    example = Example(example_id(input), input, split, group, synthetic)  # type: ignore[arg-type]
    labels: list[Label] = []
    for at in range(draw(st.integers(0, 4))):
        value = one.task.canonical(draw(values(kind, input[one.task.fields[0]])))
        soft = {"yes": 0.25, "no": 0.75} if kind == "label" and draw(st.booleans()) else {}
        status: Standing = draw(st.sampled_from(["given", "given", "rejected", "withdrawn"]))
        note = draw(st.sampled_from([None, "seen, twice", "=1+1"]))
        created = f"2026-11-21T10:00:{at:02}.123456+00:00"
        if one.task.settle(value, input).value == value and not (kind == "free" and not value and status == "given"):
            labels.append(Label(example.id, value, draw(st.sampled_from(SOURCES)), created, note, soft, status))
    return example, labels


@pytest.mark.parametrize(("kind", "name"), PAIRS)
@settings(max_examples=2, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_what_is_written_comes_back(kind: str, name: str, data: st.DataObject) -> None:
    fields = data.draw(st.sampled_from([("text",), ("label", "body")]))
    with tempfile.TemporaryDirectory() as place:
        first = project(Path(place) / "a", kind, fields)
        for example, labels in data.draw(st.lists(examples(first, kind), min_size=1, max_size=8)):
            first.store.examples.add([example])
            first.store.labels.add(labels)
        before = kept(first)
        out = Path(place) / f"out{SUFFIX.get(name, '.jsonl')}"
        lossy = name == "openai"
        if lossy and not any(label.status == "given" for _, labels in before.values() for label in labels):
            return
        write_dataset(first, name, out, DatasetOptions(which="all", unlabelled=True))
        second = project(Path(place) / "b", kind, fields)
        report = add_file(second, out, AddOptions(format=name))
        assert report.rejected == 0
        after = kept(second)
        if not lossy:
            assert after == before
            assert add_file(second, out, AddOptions(format=name)).labelled == 0
            assert kept(second) == before
        else:
            for id, (example, labels) in after.items():
                assert before[id][0].input == example.input
                given_ = [json.dumps(label.value) for label in before[id][1] if label.status == "given"]
                assert {json.dumps(label.value) for label in labels} <= set(given_)
        first.store.close()
        second.store.close()
