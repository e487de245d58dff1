"""Files as other tools write them: annotators, suggestions, older versions, spans that are none; and which tool wrote a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from tests.formatted import SUFFIX, project, written

from tutelage.errors import DataError, UsageError
from tutelage.labels.adding import AddOptions, add_file
from tutelage.labels.formats import FORMATS, label_studio
from tutelage.labels.formats.detecting import detect
from tutelage.labels.formats.writing import DatasetOptions, write_dataset
from tutelage.labels.splitting import example_id, split_of
from tutelage.project import Project, open_project
from tutelage.types import Example, Label

TEXT = "😀 The Fox met Zoë in Oslo"


def file(folder: Path, name: str, content: Any) -> Path:
    path = folder / name
    lines = "".join(json.dumps(one) + "\n" for one in content) if name.endswith(".jsonl") else json.dumps(content)
    path.write_text(content if isinstance(content, str) else lines, encoding="utf-8")
    return path


def added(one: Project, path: Path, name: str | None = None, **options: Any) -> list[tuple[Any, ...]]:
    """(source, value, status) of the labels of all examples, oldest first; every row must be taken."""
    assert add_file(one, path, AddOptions(format=name, **options)).rejected == 0
    return given(one)


def given(one: Project) -> list[tuple[Any, ...]]:
    ids = [example.id for example in one.store.examples.read()]
    labels = one.store.labels.of(ids)
    return [(label.source, label.value, label.status) for id in ids for label in labels.get(id, [])]


def refused(one: Project, path: Path, name: str | None = None, **options: Any) -> list[str]:
    """Why rows were not taken; one good row stands among them."""
    report = add_file(one, path, AddOptions(format=name, **options))
    assert report.rejects_file is not None and report.read == report.added + report.duplicates + report.rejected
    return [json.loads(line)["reason"] for line in Path(report.rejects_file).read_text().splitlines()]


def choice(value: str, **facts: Any) -> dict[str, Any]:
    return {"result": [{"from_name": "c", "to_name": "t", "type": "choices", "value": {"choices": [value]}}], **facts}


def span(start: int, end: int, text: str | None, kind: str = "PER") -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": [kind]} | ({"text": text} if text else {})
    return {"from_name": "l", "to_name": "text", "type": "labels", "value": value}


def test_label_studios_annotators_and_predictions(tmp_path: Path) -> None:
    annotations = [
        choice("yes", completed_by=7, created_username=" ada@x.org, 7", created_at="2024-05-01T10:00:00.5Z"),
        choice("no", completed_by={"id": 8, "email": "bob@x.org"}),
        choice("no", completed_by=9, was_cancelled=True),
        choice("no", completed_by=9),
        {"result": [], "completed_by": 3},
    ]
    predictions = [choice("may be; {x}", model_version="bert v2", score=0.4)]
    tasks = [{"id": 1, "data": {"text": TEXT, "split": "dev"}, "annotations": annotations, "predictions": predictions}]
    one = project(tmp_path, "label")
    path = file(tmp_path, "tasks.json", tasks)
    assert added(one, path) == [
        ("teacher:bert v2", "may be; {x}", "given"),
        ("human:ada@x.org", "yes", "given"),
        ("human:bob@x.org", "no", "given"),
        ("human:user-9", "no", "given"),
    ]
    label = one.store.labels.of([example_id({"text": TEXT})])[example_id({"text": TEXT})][1]
    assert label.created == "2024-05-01T10:00:00.500000+00:00"


def test_label_studios_older_and_other_exports(tmp_path: Path) -> None:
    old = {
        "id": 1,
        "data": {"text": TEXT},
        "completions": [choice("yes", created_at=1592468574, id=1001)],
        "predictions": [],
    }
    assert added(project(tmp_path, "label"), file(tmp_path, "old.json", [old])) == [("import", "yes", "given")]
    least = file(tmp_path, "min.json", [{"text": TEXT, "annotation_id": 1, "annotator": 1, "c": "yes"}])
    with pytest.raises(DataError, match=r"min\.json is Label Studio's JSON-MIN\. Export the project as JSON\."):
        add_file(project(tmp_path, "label"), least)


def test_label_studios_spans_are_counted_as_browsers_do(tmp_path: Path) -> None:
    good = [span(7, 10, "Fox"), span(15, 18, "Zoë")]
    pointwise = [span(6, 9, "Fox")]
    tasks: list[Any] = [
        {"data": {"text": TEXT}, "annotations": [{"result": good}]},
        {"data": {"text": TEXT}, "annotations": [{"result": pointwise}]},
        {"data": {"text": TEXT}, "annotations": [{"result": [span(0, 3, "Fox")]}]},
        {"data": {"text": TEXT}, "annotations": [{"result": [span(9, 90, None)]}]},
        "nothing",
    ]
    reasons = refused(one := project(tmp_path, "strings"), file(tmp_path, "spans.json", tasks), "label-studio")
    assert reasons == [
        "the span from 0 to 3 is '😀 T' in the text, not 'Fox'",
        "the span from 9 to 90 ends behind the text, which has 25 characters",
        "it has no 'data', which holds a task's input",
    ]
    assert given(one) == [("import", ["Fox", "Zoë"], "given"), ("import", ["Fox"], "given")]


def test_of_spans_of_several_types_one_must_be_named(tmp_path: Path) -> None:
    result = [span(7, 10, "Fox"), span(22, 26, "Oslo", "LOC")]
    path = file(tmp_path, "two.json", [{"data": {"text": TEXT}, "annotations": [{"result": result}]}])
    one = project(tmp_path, "strings")
    with pytest.raises(UsageError, match=r"spans of several types: LOC, PER. Say which are meant with: --label TYPE"):
        add_file(one, path)
    assert list(one.store.examples.read()) == []
    assert added(one, path, label="LOC") == [("import", ["Oslo"], "given")]


def stored(folder: Path, kind: str = "label", fields: tuple[str, ...] = ("text",)) -> Project:
    """An example with labels of a teacher, two people and a rejected one."""
    one = project(folder, kind, fields)
    input = {name: TEXT for name in fields}
    example = Example(example_id(input), input, "dev", "letter")
    one.store.examples.add([example])
    values: list[Any] = ["yes", "no"] if kind == "label" else [["Fox"], ["Zoë", "Fox"]]
    facts: list[tuple[str, Any, Any]] = [
        ("teacher:gpt@1", values[0], "given"),
        ("human:bob", values[0], "rejected"),
        ("human:ada", values[1], "given"),
    ]
    one.store.labels.add([Label(example.id, value, who, f"2026-11-21T10:00:0{at}+00:00", "a note", {}, how)
                          for at, (who, value, how) in enumerate(facts)])  # fmt: skip
    return one


def test_what_is_changed_or_removed_in_a_tool_is_new_or_gone(tmp_path: Path) -> None:
    out = written(stored(tmp_path / "a"), "label-studio", tmp_path)
    tasks = json.loads(out.read_text())
    # As Label Studio exports what was imported: everything is the importing user's.
    annotation: dict[str, Any] = tasks[0]["annotations"][0] | {"completed_by": 1, "created_username": " admin@x.org, 1"}
    new = choice("yes", completed_by=2, created_username="carl, 2")
    tasks[0] |= {"annotations": [annotation, new], "predictions": []}
    assert added(project(tmp_path / "b", "label"), file(tmp_path, "again.json", tasks)) == [
        ("human:bob", "yes", "rejected"),
        ("human:ada", "no", "given"),
        ("human:carl", "yes", "given"),
    ]
    annotation["result"][0]["value"]["choices"] = ["may be; {x}"]
    tasks[0] |= {"annotations": [annotation]}
    assert ("human:admin@x.org", "may be; {x}", "given") in added(
        project(tmp_path / "c", "label"), file(tmp_path, "again.json", tasks)
    )


@pytest.mark.parametrize("name", ["label-studio", "argilla", "prodigy", "spacy", "requests"])
@pytest.mark.parametrize("kind", ["label", "strings"])
def test_tools_show_what_is_not_only_kept(tmp_path: Path, name: str, kind: str) -> None:
    out = written(stored(tmp_path / "a", kind), name, tmp_path)
    if name == "spacy":
        doc = next(iter(DocBin().from_disk(out).get_docs(spacy.blank("en").vocab)))
        assert doc.text == TEXT
        if kind == "label":
            assert doc.cats == {"yes": 0.0, "no": 1.0, "may be; {x}": 0.0}
        else:
            assert [(one.text, one.label_) for one in doc.ents] == [("Fox", "STRING"), ("Zoë", "STRING")]
        return
    text = out.read_text()
    rows: list[Any] = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    for row in rows:
        row.pop("tutelage", None)
        (row.get("meta") or row.get("metadata") or {}).pop("tutelage", None)
    path = file(tmp_path, f"bare{SUFFIX.get(name, '.jsonl')}", rows)
    found = added(project(tmp_path / "b", kind), path, name)
    ada = "human:0444d589-720e-54a7-bf2c-a67fda4d76dd" if name == "argilla" else "human:ada"
    assert [one[0] for one in found if one[2] == "given"] == ([] if name == "requests" else ["teacher:gpt@1"]) + [ada]
    rejected = [one[1] for one in found if one[2] == "rejected"]
    assert rejected == ([["Fox"] if kind == "strings" else "yes"] if name in ("argilla", "prodigy") else [])


def test_argillas_responses_suggestions_and_older_records(tmp_path: Path) -> None:
    user = "11111111-2222-3333-4444-555555555555"
    new = {
        "id": "a",
        "fields": {"text": TEXT},
        "metadata": {},
        "suggestions": {"q": {"value": "yes", "score": 0.9, "agent": "bert"}},
        "responses": {"q": [{"value": "no", "user_id": user}]},
    }
    values = {"q": {"value": "yes"}}
    old = {
        "fields": {"text": "older"},
        "responses": [
            {"values": values, "user_id": user, "status": "submitted"},
            {"values": values, "status": "draft"},
        ],
        "suggestions": [{"question_name": "q", "value": "no", "agent": None}],
        "external_id": None,
    }
    assert added(project(tmp_path, "label"), file(tmp_path, "records.json", [new, old])) == [
        ("teacher:bert", "yes", "given"),
        (f"human:{user}", "no", "given"),
        ("teacher:argilla", "no", "given"),
        (f"human:{user}", "yes", "given"),
    ]
    oldest = [{"text": TEXT, "prediction": [["yes", 0.9]], "annotation": "yes", "annotation_agent": "ada"}]
    with pytest.raises(DataError, match=r"of Argilla 1.x's text or token classification. Load them with Argilla 2"):
        add_file(project(tmp_path, "label"), file(tmp_path, "oldest.json", oldest))
    two = [{"fields": {"text": TEXT}, "responses": {"a": [{"value": "yes"}], "b": [{"value": "no"}]}}]
    with pytest.raises(UsageError, match=r"answers to the questions a, b. Say which is the label with: --label NAME"):
        add_file(project(tmp_path, "label"), file(tmp_path, "two.json", two))
    assert added(project(tmp_path / "c", "label"), tmp_path / "two.json", label="b") == [("import", "no", "given")]


def test_a_rejection_outlives_argillas_export_that_leaves_it_out(tmp_path: Path) -> None:
    records = json.loads(written(stored(tmp_path / "a"), "argilla", tmp_path).read_text())
    for response in records[0]["responses"]["label"]:
        del response["status"]
    found = added(project(tmp_path / "b", "label"), file(tmp_path, "records.json", records))
    assert found == given(stored(tmp_path / "c"))


def test_prodigys_answers(tmp_path: Path) -> None:
    hashes = {"_input_hash": 1, "_task_hash": 2, "_annotator_id": "db-ada"}
    options = [{"id": 1, "text": "yes"}, {"id": 2, "text": "no"}]
    rows = [
        {"text": "a", "options": options, "accept": [2], "answer": "accept", **hashes, "_timestamp": 1700000000},
        {"text": "b", "label": "yes", "answer": "reject", **hashes},
        {"text": "c", "label": "yes", "answer": "ignore", **hashes},
        {"text": "d", "accept": ["yes", "no"], "options": options, "answer": "accept", **hashes},
        {"text": "e", "label": "yes", "answer": "perhaps", **hashes},
    ]
    one = project(tmp_path, "label")
    assert refused(one, file(tmp_path, "db.jsonl", rows)) == [
        "it accepts 2 labels where the task has one",
        "the answer 'perhaps' is not accept, reject or ignore",
    ]
    assert given(one) == [("human:db-ada", "no", "given"), ("human:db-ada", "yes", "rejected")]
    assert {example.input["text"] for example in one.store.examples.read()} == {"a", "b", "c"}
    spans = [{"text": TEXT, "spans": [{"start": 6, "end": 9, "label": "PER"}], "answer": "accept"}]
    spans.append({"text": TEXT, "spans": [{"start": 6, "end": 99, "label": "PER"}], "answer": "accept"})
    two = project(tmp_path / "b", "strings")
    assert "ends behind the text" in refused(two, file(tmp_path, "ner.jsonl", spans), "prodigy", source="human:eve")[0]
    assert given(two) == [("human:eve", ["Fox"], "given")]


def test_spacys_docs(tmp_path: Path) -> None:
    nlp = spacy.blank("en")
    one, two, three = nlp(TEXT), nlp("Nobody"), nlp("Not looked at")
    one.set_ents([Doc.char_span(one, 6, 9, label="PER")], default="outside")
    two.set_ents([], default="outside")
    DocBin(docs=[one, two, three]).to_disk(tmp_path / "docs.spacy")
    found = project(tmp_path, "strings")
    assert added(found, tmp_path / "docs.spacy") == [("import", ["Fox"], "given"), ("import", [], "given")]
    one.set_ents(
        [Doc.char_span(one, 6, 9, label="PER"), Doc.char_span(one, 21, 25, label="LOC")]
    )  # which say nothing here
    three.cats = {"yes": 0.5, "no": 0.5}
    one.cats = {"yes": 1.0, "no": 0.0}
    DocBin(docs=[one, three]).to_disk(tmp_path / "cats.spacy")
    assert "do not say which label" in refused(project(tmp_path / "b", "label"), tmp_path / "cats.spacy")[0]
    (tmp_path / "no.spacy").write_bytes(b"PK nothing of the kind")
    with pytest.raises(DataError, match="is no file of spaCy's DocBin"):
        add_file(found, tmp_path / "no.spacy")
    with pytest.raises(UsageError, match="'spacy' has no place for answers of the output 'text'"):
        write_dataset(project(tmp_path / "c", "text"), "spacy", tmp_path / "t.spacy")


TEACHER = 'teacher = "t"\n'
CANDIDATE = (
    '[candidates.t]\nfamily = "prompted"\nmodel = "gpt"\nuser = "Letter: {title} / {body} END"\nreasoning = true\n'
)


def test_openais_conversations_are_the_teachers_prompt(tmp_path: Path) -> None:
    one = project(tmp_path / "a", "label", ("title", "body"), TEACHER)
    with (tmp_path / "a" / "task.toml").open("a", encoding="utf-8") as toml:
        toml.write(CANDIDATE)
    one = stored(tmp_path / "b", "label", ("title", "body"))
    one = Project(one.folder, open_project(tmp_path / "a").file, one.task)
    out = written(one, "openai", tmp_path)
    messages = json.loads(out.read_text())["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[1]["content"] == f"Letter: {TEXT} / {TEXT} END" and messages[2]["content"] == '{"label": "no"}'
    assert "reasoning" not in messages[0]["content"]
    report = write_dataset(one, "openai", out, DatasetOptions(force=True))
    assert report.lost == ("groups", "sources", "times", "notes")
    back = Project(project(tmp_path / "c", "label", ("title", "body")).folder, one.file, one.task)
    assert added(back, out) == [("import", "no", "given")]
    assert next(back.store.examples.read()).input == {"title": TEXT, "body": TEXT}


def test_fine_tuning_files_of_others(tmp_path: Path) -> None:
    def line(*said: tuple[str, Any], **more: Any) -> dict[str, Any]:
        return {"messages": [{"role": role, "content": content} for role, content in said], **more}

    rows: list[Any] = [
        line(("system", "Classify."), ("user", "a"), ("assistant", "yes")),
        line(("user", "x"), ("assistant", "no"), ("user", [{"type": "text", "text": "b"}]), ("assistant", "no")),
        line(("user", "c"), ("assistant", "perhaps")),
        {"prompt": "d", "completion": "yes"},
        {"input": {"messages": []}, "preferred_output": [], "non_preferred_output": []},
        line(("user", "e"), ("assistant", None)),
        line(("user", "f")),
    ]
    rows[5]["messages"][1]["tool_calls"] = [{}]
    one = project(tmp_path, "label")
    reasons = refused(one, file(tmp_path, "tune.jsonl", rows), "openai")
    assert [reason.split(":")[0] for reason in reasons] == [
        "the answer does not fit",
        "it has no list 'messages' (prompt and completion are of a version before chat)",
        "it holds a preference, not an answer",
        "its answer calls a tool and has no text",
    ]
    assert given(one) == [("import", "yes", "given"), ("import", "no", "given")]
    assert {example.input["text"] for example in one.store.examples.read()} == {"a", "b", "f"}
    several = project(tmp_path / "b", "label", ("title", "body"))
    rows = [
        line(("user", "title: t\n\nbody: b"), ("assistant", "yes")),
        line(("user", '{"title": "u", "body": "c"}'), ("assistant", "no")),
        line(("user", "title: t\n\nbody: b\n\nbody: c"), ("assistant", "yes")),
    ]
    reasons = refused(several, file(tmp_path, "several.jsonl", rows), "openai")
    assert reasons == ["the input's fields title, body cannot be told apart in 'title: t\\n\\nbody: b\\n\\nbody: c'"]
    assert [dict(example.input) for example in several.store.examples.read()] == [
        {"title": "t", "body": "b"},
        {"title": "u", "body": "c"},
    ]


def test_logs_of_requests_in_their_shapes(tmp_path: Path) -> None:
    def chat(text: str, **more: Any) -> dict[str, Any]:
        return {"choices": [{"message": {"role": "assistant", "content": text}}], "model": "gpt-x", **more}

    def asked(text: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": "Classify."}, {"role": "user", "content": text}]

    output = [
        {"type": "reasoning"},
        {"type": "message", "content": [{"type": "output_text", "text": '{"label": "no"}'}]},
    ]
    lite = {"call_type": "acompletion", "model": "gpt-l", "startTime": 1700000000.5, "status": "success"}
    rows: list[Any] = [
        {"request": {"model": "gpt", "messages": asked("a")}, "response": chat("yes", created=1700000000)},
        {
            "request": {"body": {"input": "b"}},
            "response": {"status_code": 200, "body": {"output": output, "model": "o5"}},
        },
        {**lite, "id": "r1", "trace_id": "t1", "response_cost": 0.25, "messages": asked("c"), "response": chat("no")},
        {**lite, "request_id": "r2", "messages": json.dumps(asked("d")), "response": '{"label": "yes"}'},
        {**lite, "status": "failure", "messages": asked("e"), "response": None},
        {**lite, "messages": {}, "response": {}},
        {"request": {"messages": asked("f")}, "response": chat("perhaps")},
    ]
    one = project(tmp_path, "label")
    reasons = refused(one, file(tmp_path, "log.jsonl", rows))
    assert [reason.split(":")[0] for reason in reasons] == [
        "it has no messages of a request",
        "the answer does not fit",
    ]
    assert [one_[:2] for one_ in given(one)] == [
        ("teacher:gpt-x", "yes"),
        ("teacher:o5", "no"),
        ("teacher:gpt-l", "no"),
        ("teacher:gpt-l", "yes"),
    ]
    assert {example.input["text"] for example in one.store.examples.read()} == set("abcde")
    label = one.store.labels.of([example_id({"text": "c"})])[example_id({"text": "c"})][0]
    assert (label.note, label.created) == ("request r1, trace t1, $0.25", "2023-11-14T22:13:20.500000+00:00")


@pytest.mark.parametrize("name", FORMATS.rows())
def test_every_format_is_told_by_its_file(tmp_path: Path, name: str) -> None:
    assert detect(written(stored(tmp_path / "a"), name, tmp_path), ["text"]) == name


def test_files_that_tell_nothing(tmp_path: Path) -> None:
    plain = file(tmp_path, "plain.jsonl", [{"text": "a", "request": 1, "response": 2}])
    assert detect(plain, ["text"]) == "jsonl" and detect(plain, ["body"]) == "requests"
    with pytest.raises(UsageError, match="Say so with: --format label-studio or --format argilla"):
        detect(file(tmp_path, "some.json", [{"a": 1}]), ["text"])
    with pytest.raises(DataError, match="is in no known format"):
        detect(file(tmp_path, "some.xml", "<a/>"), ["text"])
    with pytest.raises(DataError, match="is not JSON"):
        add_file(project(tmp_path, "label"), file(tmp_path, "broken.json", '[{"data": {}, "annotations": []'))
    with pytest.raises(DataError, match="There is no file"):
        detect(tmp_path / "none.json", ["text"])


def test_writing_is_whole_or_not_at_all(tmp_path: Path) -> None:
    one = stored(tmp_path / "a")
    out = tmp_path / "labels.csv"
    out.write_text("mine")
    with pytest.raises(DataError, match=r"is there already. Choose another --out, or overwrite it with: --force"):
        write_dataset(one, "csv", out)
    with pytest.raises(DataError, match="None of 1 examples has such a label"):
        write_dataset(one, "csv", out, DatasetOptions(source="human:nobody", force=True))
    assert out.read_text() == "mine" and sorted(path.name for path in tmp_path.iterdir()) == ["a", "labels.csv"]
    report = write_dataset(one, "csv", out, DatasetOptions(force=True, whose="teacher"))
    assert (report.examples, report.labels, report.by_split["dev"], report.lost) == (1, 1, 1, ())
    assert '"yes","teacher:gpt@1"' in out.read_text()
    with pytest.raises(DataError, match="is no folder of a dataset and is not overwritten"):
        write_dataset(one, "hf", tmp_path / "a", DatasetOptions(force=True))
    write_dataset(one, "hf", tmp_path / "hf")
    write_dataset(one, "hf", tmp_path / "hf", DatasetOptions(force=True, split="dev"))
    with pytest.raises(DataError, match="The split 'test' has no examples"):
        write_dataset(one, "hf", tmp_path / "hf", DatasetOptions(force=True, split="test"))
    assert added(project(tmp_path / "b", "label"), tmp_path / "hf") == [("human:ada", "no", "given")]


def test_a_file_of_ours_that_was_changed(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in written(stored(tmp_path / "a"), "jsonl", tmp_path).read_text().splitlines()]
    changes: list[dict[str, Any]] = [
        {},
        {"label_status": "good"},
        {"label_source": "robot"},
        {"label_distribution": "x"},
        {"label_distribution": {"yes": 2}},
        {"split": "dev", "synthetic": "gpt@1"},
    ]
    path = file(tmp_path, "changed.jsonl", [rows[0] | change for change in changes])
    assert [reason.split(" is n")[0] for reason in refused(project(tmp_path / "b", "label"), path)] == [
        "the status 'good'",
        "'robot'",
        "the distribution 'x'",
        "the probability of 'yes' is 2.0, not between 0 and 1",
        "its input was written by gpt@1 and can only be in train, not in dev",
    ]


def test_columns_that_are_not_all_ours_are_plain_rows(tmp_path: Path) -> None:
    one = project(tmp_path, "label")
    path = file(tmp_path, "plain.jsonl", [{"text": "a", "label": "yes", "id": 1}])
    assert added(one, path) == []
    assert next(one.store.examples.read()).split == split_of(example_id({"text": "a"}))
    assert added(one, path, label="label") == [("import", "yes", "given")]


def test_the_labelling_interface_names_everything_that_tasks_name(tmp_path: Path) -> None:
    one = project(tmp_path, "labels", ("labels", "body"))
    shown = label_studio.interface(one.task)
    assert '<Text name="labels_input" value="$labels"/>' in shown
    assert '<Choices name="labels" toName="labels_input" choice="multiple"><Choice value="red"/>' in shown
