"""Adding files: columns, splits, labels, duplicates, bad rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tutelage.errors import DataError, StoreError, UsageError
from tutelage.labels import adding
from tutelage.labels.adding import AddOptions, AddReport, add_file
from tutelage.labels.splitting import example_id, split_of
from tutelage.project import Project, open_project

LABEL = 'name = "topic"\noutput = "label"\nlabels = ["billing", "other", "1", "true"]\n'
NAMES = 'name = "names"\noutput = "strings"\ngrounded = true\n'


def project(folder: Path, text: str = LABEL) -> Project:
    folder.mkdir(exist_ok=True)
    (folder / "task.toml").write_text(text, encoding="utf-8")
    return open_project(folder)


def jsonl(folder: Path, *facts: Any) -> Path:
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(fact) + "\n" for fact in facts), encoding="utf-8")
    return path


def csv(folder: Path, text: str) -> Path:
    path = folder / "data.csv"
    path.write_text(text, encoding="utf-8")
    return path


def rejects(report: AddReport) -> list[dict[str, Any]]:
    assert report.rejects_file
    return [json.loads(line) for line in Path(report.rejects_file).read_text(encoding="utf-8").splitlines()]


def labels(one: Project) -> dict[str, object]:
    splits = ("train", "dev", "calibration", "test")
    return {next(iter(l.example.input.values())): l.value for split in splits for l in one.store.labels.read(split)}  # type: ignore[arg-type]


def test_a_file_is_added_once(tmp_path: Path) -> None:
    one = project(tmp_path)
    path = csv(tmp_path, "text,label\nwhere is it,other\nI paid twice,BILLING\nwhere is it,other\nunlabelled,\n")
    steps: list[int] = []
    report = add_file(one, path, AddOptions(label="label"), steps.append)
    splits = {text: split_of(example_id({"text": text})) for text in ("where is it", "I paid twice", "unlabelled")}
    assert (report.read, report.added, report.duplicates, report.labelled, report.rejected) == (4, 3, 1, 2, 0)
    assert report.rejects_file is None and not (tmp_path / "rejects").exists()
    assert sum(report.by_split.values()) == 3 and steps == [4]
    assert {e.input["text"]: e.split for e in one.store.examples.read()} == splits
    assert labels(one) == {"where is it": "other", "I paid twice": "billing"}
    again = add_file(one, path, AddOptions(label="label"))
    assert (again.read, again.added, again.duplicates, again.labelled, again.moved) == (4, 0, 4, 0, 0)
    assert again.by_split == {"train": 0, "dev": 0, "calibration": 0, "test": 0}
    assert one.store.labels.labelled_by("import") == {example_id({"text": t}) for t in ("where is it", "I paid twice")}


def test_columns_are_mapped_and_numbers_become_text(tmp_path: Path) -> None:
    one = project(tmp_path, LABEL + 'fields = ["text", "title"]\n')
    path = jsonl(
        tmp_path, {"body": "e\u0301 ", "title": 7, "topic": 1, "x": None}, {"body": "b", "title": 1.5, "topic": True}
    )
    report = add_file(one, path, AddOptions(fields={"text": "body"}, label="topic", source="human:ada", split="dev"))
    assert report.by_split == {"train": 0, "dev": 2, "calibration": 0, "test": 0}
    found = list(one.store.labels.read("dev"))
    assert [dict(l.example.input) for l in found] == [{"text": "é ", "title": "7"}, {"text": "b", "title": "1.5"}]
    assert [(l.value, l.source) for l in found] == [("1", "human:ada"), ("true", "human:ada")]


def test_the_files_own_split_is_kept(tmp_path: Path) -> None:
    one = project(tmp_path)
    names = ["train", "dev", "test", "validation", "Valid", " val ", "TEST"]
    facts = [{"text": f"t{n}", "split": name} for n, name in enumerate(names)]
    path = jsonl(
        tmp_path,
        *facts,
        {"text": "hashed", "split": None},
        {"text": "odd", "split": "holdout"},
        {"text": "n", "split": 3},
    )
    report = add_file(one, path)
    found = {e.input["text"]: e.split for e in one.store.examples.read()}
    assert [found[f"t{n}"] for n in range(7)] == ["train", "dev", "test", "dev", "dev", "dev", "test"]
    assert found["hashed"] == split_of(example_id({"text": "hashed"})) and report.rejected == 2
    assert (
        rejects(report)[0]["reason"]
        == "the split 'holdout' is not one of train, dev, valid, val, validation, calibration, test"
    )


def test_a_split_that_is_asked_for_wins_over_the_files(tmp_path: Path) -> None:
    one = project(tmp_path)
    add_file(one, jsonl(tmp_path, {"text": "a", "split": "nonsense"}), AddOptions(split="test"))
    assert one.store.examples.counts() == {"train": 0, "dev": 0, "calibration": 0, "test": 1}


def test_a_column_named_split_may_be_something_else(tmp_path: Path) -> None:
    one = project(tmp_path, LABEL.replace('"topic"', '"t"') + 'fields = ["split"]\n')
    assert add_file(one, jsonl(tmp_path, {"split": "the atom"})).added == 1
    two = project(tmp_path / "two")
    assert add_file(two, jsonl(tmp_path, {"text": "a", "split": "other"}), AddOptions(label="split")).labelled == 1
    three = project(tmp_path / "three")
    assert add_file(three, jsonl(tmp_path, {"text": "a", "split": "g1"}), AddOptions(group="split")).added == 1


def test_examples_keep_their_split_and_it_is_said(tmp_path: Path) -> None:
    one = project(tmp_path)
    add_file(one, jsonl(tmp_path, {"text": "a"}, {"text": "b"}), AddOptions(split="test"))
    report = add_file(one, jsonl(tmp_path, {"text": "a"}, {"text": "b"}, {"text": "c"}), AddOptions(split="train"))
    assert (report.added, report.duplicates, report.moved) == (1, 2, 2)
    assert one.store.examples.counts() == {"train": 1, "dev": 0, "calibration": 0, "test": 2}
    # The hash is nobody's wish.
    assert add_file(one, jsonl(tmp_path, {"text": "a"}, {"text": "b"})).moved == 0
    both = jsonl(tmp_path, {"text": "d", "split": "train"}, {"text": "d", "split": "test"})
    assert add_file(one, both).moved == 1


def test_groups_stay_together(tmp_path: Path) -> None:
    one = project(tmp_path)
    facts = [{"text": f"{book} {n}", "book": book} for book in range(30) for n in range(5)]
    add_file(one, jsonl(tmp_path, *facts, {"text": "alone", "book": ""}), AddOptions(group="book"))
    found = list(one.store.examples.read())
    assert {e.group: e.split for e in found if e.group} == {str(book): split_of(str(book)) for book in range(30)}
    assert len({(e.group, e.split) for e in found if e.group}) == 30
    assert len({e.split for e in found}) == 4
    assert (found[-1].group, found[-1].split) == (None, split_of(found[-1].id))


def test_bad_rows_are_kept_aside(tmp_path: Path) -> None:
    one = project(tmp_path)
    path = tmp_path / "data.v1.jsonl"
    lines = [
        '{"text": "good", "label": "other"}',
        '{"text": ""}',
        '{"text": null}',
        '{"text": " \\t"}',
        '{"txt": "no text"}',
        '{"text": ["list"]}',
        '{"text": true}',
        '{"text": NaN}',
        '{"text": "half \\ud83d"}',
        '{"text": "nul \\u0000"}',
        '{"text": "x", "label": "bilings"}',
        '{"text": "x", "label": {"a": 1}}',
        '{"text": "x", "label": "other", "group": [1]}',
        "{broken",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    for _ in range(2):
        report = add_file(one, path, AddOptions(label="label", group="group"))
        assert (report.read, report.rejected) == (14, 13)
        assert report.rejects_file == str(tmp_path / "rejects" / "data.v1.rejects.jsonl")
        found = rejects(report)
        assert [fact["line"] for fact in found] == list(range(2, 15))
        assert {fact["file"] for fact in found} == {str(path)}
        assert [fact["reason"] for fact in found][:9] == [
            "column 'text' is empty",
            "column 'text' is empty",
            "column 'text' is empty",
            "there is no column 'text'",
            "column 'text' is not text: [\"list\"]",
            "column 'text' is not text: true",
            "column 'text' is empty",
            "column 'text' has half of a surrogate pair, which is no character",
            "column 'text' has a NUL character",
        ]
        assert found[9]["reason"] == "'bilings' is not a label of task 'topic'. Labels: billing, other, 1, true"
        assert found[10]["reason"].startswith("{'a': 1} is not a label") and "'group'" in found[11]["reason"]
        assert found[9]["row"] == {"text": "x", "label": "bilings"} and found[12]["row"] == "{broken"
    assert labels(one) == {"good": "other"}
    path.write_text(lines[0], encoding="utf-8")
    assert add_file(one, path).rejects_file is None
    assert not (tmp_path / "rejects" / "data.v1.rejects.jsonl").exists()


def test_lists_of_strings(tmp_path: Path) -> None:
    one = project(tmp_path, NAMES)
    text = {"text": "Ann met “Bo” and Cy Lee."}
    facts = [{"text": f"{n}: {text['text']}"} for n in range(9)]
    given: list[Any] = [
        ["Ann", "Bo", "ann"],
        '["Cy  Lee"]',
        "Bo; Ann;",
        [],
        "[]",
        None,
        ["Ann", "Zed"],
        ["Ann", 3],
        "['Ann']",
    ]
    path = jsonl(tmp_path, *({**fact, "names": value} for fact, value in zip(facts, given, strict=True)))
    report = add_file(one, path, AddOptions(label="names", split="train"))
    assert [l.value for l in one.store.labels.read("train")] == [["Ann", "Bo"], ["Cy Lee"], ["Bo", "Ann"], [], []]
    assert (report.added, report.labelled, report.rejected) == (6, 5, 3)
    first, second, third = (fact["reason"] for fact in rejects(report))
    assert first == 'the label does not fit: not in the text: ["Zed"]'
    assert "is not a list of strings" in second and third == "the label \"['Ann']\" is not a JSON list"


def test_labels_that_are_not_unicode(tmp_path: Path) -> None:
    one = project(tmp_path, NAMES.replace("grounded = true", ""))
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a", "names": ["\\ud83d"]}\n{"text": "b", "names": ["e\\u0301"]}\n', encoding="utf-8")
    report = add_file(one, path, AddOptions(label="names", split="train"))
    assert labels(one) == {"b": ["é"]} and "half of a surrogate pair" in rejects(report)[0]["reason"]


def test_empty_labels_in_csv_are_no_labels(tmp_path: Path) -> None:
    one = project(tmp_path, NAMES)
    path = csv(tmp_path, 'text,names\nAnn,Ann\nnobody here,[]\nBo,\nAnn and Bo,"[""Ann"", ""Bo""]"\n')
    report = add_file(one, path, AddOptions(label="names"))
    assert (report.added, report.labelled) == (4, 3)
    assert labels(one) == {"Ann": ["Ann"], "nobody here": [], "Ann and Bo": ["Ann", "Bo"]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (AddOptions(fields={"txt": "body"}), "'txt' is not a field of task 'topic'. Fields: text."),
        (AddOptions(fields={"text": "txt"}), r"has no column 'txt'. Columns: body, topic. .*--field text=COLUMN"),
        (AddOptions(), r"has no column 'text'"),
        (AddOptions(fields={"text": "body"}, label="label"), r"has no column 'label'.*--label COLUMN"),
        (AddOptions(fields={"text": "body"}, group="by"), r"has no column 'by'.*--group COLUMN"),
        (AddOptions(source="human:"), "'human:' is not a source. Known: import, human:NAME, teacher:NAME."),
        (AddOptions(source="robot"), "'robot' is not a source"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: AddOptions, message: str) -> None:
    one = project(tmp_path)
    with pytest.raises(UsageError, match=message) as caught:
        add_file(one, csv(tmp_path, "body,topic\na,other\n"), options)
    assert caught.value.exit_code == 2 and one.store.examples.counts()["train"] == 0


def test_a_sparse_column_is_found(tmp_path: Path) -> None:
    one = project(tmp_path)
    report = add_file(one, jsonl(tmp_path, {"text": "a"}, {"text": "b", "label": "other"}), AddOptions(label="label"))
    assert (report.added, report.labelled) == (2, 1)


def test_files_without_any_example(tmp_path: Path) -> None:
    one = project(tmp_path)
    with pytest.raises(
        DataError, match=r"No row of .*data.csv can be used. Line 2: column 'text' is empty. All 2 are in"
    ):
        add_file(one, csv(tmp_path, 'text,n\n,1\n" ",2\n'))
    assert len((tmp_path / "rejects" / "data.rejects.jsonl").read_text().splitlines()) == 2
    with pytest.raises(DataError, match=r"data.csv has no rows"):
        add_file(one, csv(tmp_path, "text,n\n"))
    with pytest.raises(DataError, match=r"No row .* it is not JSON"):
        add_file(one, csv(tmp_path, "not JSON").rename(tmp_path / "data.jsonl"))


def test_a_file_in_another_encoding_stores_nothing(tmp_path: Path) -> None:
    one = project(tmp_path)
    path = tmp_path / "data.csv"
    path.write_bytes(b"text\n" + b"plain %d\n" * 3 + "Grüße\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"is not UTF-8: line 5, byte"):
        add_file(one, path)
    assert one.store.examples.counts() == {"train": 0, "dev": 0, "calibration": 0, "test": 0}


def test_rejects_that_cannot_be_written(tmp_path: Path) -> None:
    one = project(tmp_path)
    (tmp_path / "rejects").write_text("in the way")
    with pytest.raises(StoreError, match=r"data.rejects.jsonl cannot be written: .*"):
        add_file(one, csv(tmp_path, "text,n\n,1\nb,2\n"))


def test_many_batches_and_a_repeat_after_a_break(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "BATCH", 100)
    one = project(tmp_path)
    facts = [{"text": f"t{n % 450}", "label": "other"} for n in range(500)]
    path = jsonl(tmp_path, *facts, {"text": ""})

    def stop(n: int) -> None:
        if one.store.examples.counts()["train"] > 130:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add_file(one, path, AddOptions(label="label"), stop)
    kept = sum(one.store.examples.counts().values())
    assert 200 <= kept < 450
    report = add_file(one, path, AddOptions(label="label"))
    assert (report.read, report.added, report.duplicates, report.rejected) == (501, 450 - kept, 50 + kept, 1)
    assert len(one.store.labels.labelled_by("import")) == 450


def test_long_texts_are_stored_in_smaller_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "_BATCH_CHARACTERS", 250)
    steps: list[int] = []
    add_file(project(tmp_path), jsonl(tmp_path, *({"text": f"{n:0100d}"} for n in range(7))), progress=steps.append)
    assert steps == [3, 3, 1]
