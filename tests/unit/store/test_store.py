"""The store: what goes in comes out, again and again, in SQLite and PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, inspect, select, text

from tutelage.errors import BudgetExceeded, StoreError
from tutelage.store import Run, Store, migrations, open_store, origin, schema
from tutelage.store.examples import PAGE
from tutelage.types import Example, Label, Prediction, Split, Usage, digest


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    store = open_store(database_url)
    yield store
    store.close()


def example(n: int, split: Split = "train", group: str | None = None) -> Example:
    input = {"text": f"story {n} – “Zoë”"}
    return Example(digest(input), input, split, group)


def test_examples_come_back_as_they_were(store: Store) -> None:
    many = [example(n, "test" if n % 5 == 0 else "train", "g" if n else None) for n in range(2 * PAGE + 7)]
    assert store.examples.add(many) == len(many)
    assert list(store.examples.read()) == many
    assert list(store.examples.read("test")) == [one for one in many if one.split == "test"]
    assert list(store.examples.read("dev")) == []
    assert store.examples.counts() == {"train": 1605, "dev": 0, "calibration": 0, "test": 402}
    assert store.examples.splits([many[0].id, many[1].id, "unknown"]) == {many[0].id: "test", many[1].id: "train"}


def test_equal_examples_meet_and_keep_their_split(store: Store) -> None:
    assert store.examples.add([example(1), example(1, "test"), example(2)]) == 2
    assert store.examples.add([example(1, "test"), example(3, "dev")]) == 1
    assert store.examples.splits([example(1).id]) == {example(1).id: "train"}
    assert store.examples.add([]) == 0


def test_a_page_that_breaks_stores_nothing(store: Store) -> None:
    bad = Example("x" * 32, {"text": "a"}, None)  # type: ignore[arg-type]
    with pytest.raises(StoreError):
        store.examples.add([example(1), bad])
    assert list(store.examples.read()) == []


def values(store: Store, split: Split = "train", **whose: str) -> list[tuple[object, str]]:
    return [(one.value, one.source) for one in store.labels.read(split, **whose)]  # type: ignore[arg-type]


def test_the_note_of_the_label_in_force_is_read_with_it(store: Store) -> None:
    store.examples.add([example(1)])
    store.labels.add([Label(example(1).id, "t1", "teacher:m@1", note="reasoning: so it is")])
    assert [one.note for one in store.labels.read("train")] == ["reasoning: so it is"]
    store.labels.add([Label(example(1).id, "h", "human:ada")])
    assert [one.note for one in store.labels.read("train")] == [None]


def test_a_person_wins_then_an_import_then_the_newest(store: Store) -> None:
    one, two = example(1), example(2)
    store.examples.add([one, two, example(3), example(4, "test")])
    assert store.labels.add([Label(one.id, "h1", "human:ada"), Label(one.id, "i", "import")]) == 2
    assert values(store) == [("h1", "human:ada")]
    store.labels.add([Label(one.id, "t1", "teacher:m@1"), Label(two.id, "t1", "teacher:m@1")])
    assert values(store) == [("h1", "human:ada"), ("t1", "teacher:m@1")]
    store.labels.add([Label(two.id, ["t", "2"], "teacher:m@2"), Label(one.id, "h2", "human:bob")])
    assert values(store) == [("h2", "human:bob"), (["t", "2"], "teacher:m@2")]
    assert values(store, whose="gold") == [("h2", "human:bob")]
    assert values(store, whose="teacher") == [("t1", "teacher:m@1"), (["t", "2"], "teacher:m@2")]
    assert values(store, source="teacher:m@1") == [("t1", "teacher:m@1"), ("t1", "teacher:m@1")]
    assert values(store, "test") == []
    assert store.labels.labelled_by("teacher:m@1") == {one.id, two.id}
    assert ("teacher:m@1", "train", 2) in store.labels.counts()
    assert [origin(source) for source in ("human:x", "import", "teacher:x")] == ["gold", "gold", "teacher"]


def test_a_label_that_says_nothing_new_is_left_out(store: Store) -> None:
    one = example(1)
    store.examples.add([one])
    a, b = Label(one.id, "a", "import"), Label(one.id, "b", "import", "2026-01-01T00:00:00", "second thoughts")
    assert [store.labels.add(labels) for labels in ([a, a], [a], [b], [a], [a, b, b], [])] == [1, 0, 1, 1, 1, 0]
    assert values(store) == [("b", "import")]


def test_labels_of_many_pages(store: Store) -> None:
    many = [example(n) for n in range(2 * PAGE + 3)]
    store.examples.add(many)
    labels = [Label(one.id, str(n), "import") for n, one in enumerate(many)]
    assert store.labels.add(labels) == len(many)
    assert store.labels.add(labels) == 0
    assert values(store) == [(str(n), "import") for n in range(len(many))]


def test_predictions_are_kept_and_replaced(store: Store) -> None:
    usage = Usage(10, 2, 0.5, 0.25, 4)
    good = Prediction(["Ann"], 0.75, usage, "m@1", note="repaired once")
    failed = Prediction(None, None, Usage(), "m@1", "timed out")
    store.predictions.add("p", [("a", good), ("b", failed)])
    assert store.predictions.read("p", ["a", "b", "c"]) == {"a": good, "b": failed}
    assert store.predictions.read("q", ["a"]) == {}
    store.predictions.add("p", [("b", good)])
    store.predictions.add("p", [])
    many = {f"id {n}": Prediction(str(n), 1.0) for n in range(PAGE + 1)}
    store.predictions.add("p", list(many.items()))
    assert store.predictions.read("p", ["b", *many]) == {"b": good} | many


def test_measurements_and_runs(store: Store) -> None:
    store.measurements.put("p", "test", {"p50": 0.5})
    store.measurements.put("p", "test", {"p50": 0.25, "n": 3})
    assert store.measurements.get("p", "test") == {"p50": 0.25, "n": 3}
    assert store.measurements.get("p", "dev") is None
    first = Run("1", "train", "linear", "running", "2026-01-01", None, {})
    store.runs.put(first)
    store.runs.put(Run("2", "train", "tagger", "done", "2026-01-02", 2.5, {"f1": 0.5}))
    done = Run("1", "train", "linear", "done", "2026-01-01", 1.5, {"accuracy": 1})
    store.runs.put(done)
    assert store.runs.read("linear") == [done]
    assert [run.id for run in store.runs.read()] == ["1", "2"]


def test_money_is_reserved_before_and_settled_after(store: Store) -> None:
    first = store.spend.reserve("label", 0.4, 1.0)
    second = store.spend.reserve("label", 0.6, 1.0)
    assert store.spend.spent("label") == pytest.approx(1.0)
    with pytest.raises(BudgetExceeded, match=r"\$1.0000 is used up: \$1.0000 spent or reserved.*--budget"):
        store.spend.reserve("label", 0.1, 1.0)
    store.spend.settle(first, 0.1)
    store.spend.settle(second, 0.0)
    assert store.spend.spent("label") == pytest.approx(0.1)
    assert store.spend.reserve("label", 0.9, 1.0) > second
    assert store.spend.reserve("label", 50.0, None) > 0
    assert store.spend.spent("other") == 0.0


def test_a_store_opened_twice_is_one(database_url: str) -> None:
    first = open_store(database_url)
    first.examples.add([example(1)])
    second = open_store(database_url)
    assert list(second.examples.read()) == [example(1)]
    second.examples.add([example(2)])
    assert len(list(first.examples.read())) == 2
    with first.database.read() as connection:
        assert connection.execute(select(schema.version.c.version)).scalars().all() == [len(migrations.MIGRATIONS)]
    first.close()
    second.close()


def test_an_older_database_gets_what_is_missing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(database_url)
    store.examples.add([example(1)])
    store.close()
    statement = text("CREATE TABLE reviews (id INTEGER PRIMARY KEY)")
    later = [*migrations.MIGRATIONS, lambda connection: connection.execute(statement)]
    monkeypatch.setattr(migrations, "MIGRATIONS", later)
    for _ in range(2):
        store = open_store(database_url)
        assert inspect(store.database.engine).has_table("reviews")
        assert list(store.examples.read()) == [example(1)]
        store.close()


def test_a_database_from_before_calibration_gets_room_for_the_longer_name(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(migrations, "MIGRATIONS", migrations.MIGRATIONS[:5])
        store = open_store(database_url)
        if store.database.engine.dialect.name == "postgresql":
            with store.database.write() as connection:
                for table in ("examples", "measurements"):
                    connection.execute(text(f"ALTER TABLE {table} ALTER COLUMN split TYPE VARCHAR(5)"))
        store.examples.add([example(1)])
        store.close()
    store = open_store(database_url)
    store.examples.add([example(2, "calibration")])
    store.measurements.put("p" * 32, "calibration", {"n": 1})
    assert store.examples.counts() == {"train": 1, "dev": 0, "calibration": 1, "test": 0}
    assert store.measurements.get("p" * 32, "calibration") == {"n": 1}
    store.close()


def test_a_newer_database_is_refused(database_url: str) -> None:
    store = open_store(database_url)
    with store.database.write() as connection:
        connection.execute(schema.version.update().values(version=99))
    store.close()
    with pytest.raises(StoreError, match=r"has schema 99, this tutelage knows \d+. Upgrade: pip install -U tutelage"):
        open_store(database_url)


def test_a_migration_that_breaks_leaves_nothing(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(connection: object) -> None:
        raise StoreError("no")

    monkeypatch.setattr(migrations, "MIGRATIONS", [migrations._first, breaks])
    with pytest.raises(StoreError):
        open_store(database_url)
    monkeypatch.undo()
    store = open_store(database_url)
    assert store.examples.counts() == {"train": 0, "dev": 0, "calibration": 0, "test": 0}
    store.close()


def test_sqlite_is_opened_for_many_readers_and_a_killed_writer(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tutelage.db")
    with store.database.read() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
        assert modes == ["wal", 1]
        assert connection.scalar(select(func.count()).select_from(schema.examples)) == 0
    store.close()


def test_inputs_are_stored_as_plain_json(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tutelage.db")
    store.examples.add([example(1)])
    store.close()
    with create_engine(f"sqlite:///{tmp_path / 'tutelage.db'}").connect() as connection:
        assert json.loads(connection.execute(text("SELECT input FROM examples")).scalar_one()) == example(1).input


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("nosuch://host/db", StoreError, "'nosuch://host/db' is not a database URL"),
        ("://", StoreError, "is not a database URL"),
        ("mysql://host/db", StoreError, "there is no support for mysql. Write a file's path or postgresql://"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", StoreError, "refused.*Check that the server runs"),
    ],
)
def test_urls_that_cannot_be_opened(where: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        open_store(where)
    assert "\n" not in str(caught.value) and "secret" not in str(caught.value)


def test_a_version_of_a_prompt_is_kept_once(store: Store) -> None:
    assert store.prompts.put("teacher:m@1", "plain", {"system": "Say “yes”."}) is True
    assert store.prompts.put("teacher:m@1", "other", {"system": "changed"}) is False
    assert store.prompts.put("teacher:m@2", "plain", {"shots": []}) is True
    first, second = store.prompts.read()
    assert (first.source, first.candidate, first.content) == ("teacher:m@1", "plain", {"system": "Say “yes”."})
    assert second.source == "teacher:m@2" and second.created > first.created


def test_answers_are_found_by_their_source_the_newest_of_each_example(store: Store) -> None:
    one, two, dev = example(1, "test"), example(2, "test"), example(3, "dev")
    store.examples.add([one, two, dev])
    old, new = Prediction("old", source="s"), Prediction("new", source="s", signals={"agreement": 0.5})
    store.predictions.add("p", [(one.id, old), (two.id, old), (dev.id, old), ("a question", old)])
    store.predictions.add("q", [(one.id, new), (two.id, Prediction("x", source="another"))])
    assert store.predictions.by_source("s", "test") == {one.id: new, two.id: old}
    assert store.predictions.by_source("none", "test") == {}
    found = store.predictions.sources()
    assert {source: answering.examples for source, answering in found.items()} == {"s": 3, "another": 1}
    assert found["s"].first < found["another"].first
