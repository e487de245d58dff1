"""Rows of files: every format, every kind of damage, bounded memory."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from hypothesis import given
from hypothesis import strategies as st

from tutelage.errors import DataError
from tutelage.labels import readers
from tutelage.labels.readers import BadRow, Row, read_rows


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def rows(path: Path) -> list[tuple[int, Any]]:
    """(line, fields) of good rows and (line, text) of bad ones."""
    return [(row.line, row.fields if isinstance(row, Row) else row.text) for row in read_rows(path)]


def reasons(path: Path) -> list[str]:
    return [row.reason for row in read_rows(path) if isinstance(row, BadRow)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "A.CSV"])
def test_csv(tmp_path: Path, name: str) -> None:
    content = '\ufefftext, label\r\n"one, ""two""",a\r\n\r\n"three\nlines",b\r\n\u2028é,\r\n'
    assert rows(write(tmp_path, name, content)) == [
        (2, {"text": 'one, "two"', "label": "a"}),
        (4, {"text": "three\nlines", "label": "b"}),
        (6, {"text": "\u2028é", "label": ""}),
    ]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
def test_jsonl(tmp_path: Path, name: str) -> None:
    content = '{"text": "one\u2028"}\n\n[1]\n{"text"\n{"text": 7, "names": ["a"]}\r\n' + "[" * 100_000 + "\n"
    path = write(tmp_path, name, content)
    assert rows(path)[:4] == [(1, {"text": "one\u2028"}), (3, "[1]"), (4, '{"text"'), (5, {"text": 7, "names": ["a"]})]
    first, second, third = reasons(path)
    assert (first, second[:14]) == ("it is not a JSON object", "it is not JSON") and "recursion" in third


def test_bad_csv_rows_do_not_swallow_good_ones(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "a.csv",
        'text,label\n"never closed,a\nb,B\n"c, too",C\n'  # the quotation mark on line 2 seems to close on line 4
        'd\ne,E,extra\n5" pipe,F\n"g"x,G\nlast,"H',
    )
    good = [(line, row["label"]) for line, row in rows(path) if isinstance(row, dict)]
    assert good == [(3, "B"), (4, "C"), (7, "F")]
    bad = [row for row in read_rows(path) if isinstance(row, BadRow)]
    assert [(row.line, row.text) for row in bad] == [
        (2, '"never closed,a'),
        (5, "d"),
        (6, "e,E,extra"),
        (8, '"g"x,G'),
        (9, 'last,"H'),
    ]
    assert bad[0].reason.startswith("it is not CSV: ") and bad[4].reason.startswith("it is not CSV: ")
    assert bad[1].reason == "it has 1 fields where the header has 2"


def test_an_open_quotation_mark_is_given_up_after_a_bounded_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "MAX_LINE", 1000)
    lines = "".join(f"row {n},a\n" for n in range(500))
    path = write(tmp_path, "a.csv", 'text,label\n"open,a\n' + lines)
    assert reasons(path) == ["it is not CSV: a quotation mark is not closed"]
    assert [line for line, row in rows(path) if isinstance(row, dict)] == list(range(3, 503))


def test_an_overlong_line_is_a_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "MAX_LINE", 3000)
    monkeypatch.setattr(readers, "_CHUNK", 64)
    long = "x" * 5000
    expected = "the line has 5,0.. bytes, more than the 3,000 that are allowed; its first 1000 characters are kept"
    csv_path = write(tmp_path, "a.csv", f'text,label\na,A\n{long},B\nc,C\n"d\n{long},B\n{long}E')
    assert [line for line, _ in rows(csv_path)] == [2, 3, 4, 5, 6, 7]
    assert [row for _, row in rows(csv_path) if isinstance(row, dict)] == [
        {"text": "a", "label": "A"},
        {"text": "c", "label": "C"},
    ]
    jsonl = write(tmp_path, "a.jsonl", '{"text": "a"}\n{"text": "' + long[:4987] + '"}\n{"text": "c"}\n')
    for path in (csv_path, jsonl):
        found = [row for row in read_rows(path) if isinstance(row, BadRow) and "bytes" in row.reason]
        assert found and all(len(row.text) == 1000 for row in found)
        assert all(row.reason.startswith("the line has 5,00") for row in found), expected
    assert [line for line, row in rows(jsonl) if isinstance(row, dict)] == [1, 3]


def test_a_field_of_10_megabytes_is_a_bad_row(tmp_path: Path) -> None:
    long = "x" * 10_000_000
    for path in (
        write(tmp_path, "a.csv", f"text,n\na,1\n{long},2\nc,3\n"),
        write(tmp_path, "a.jsonl", f'{{"text": "a"}}\n{{"text": "{long}"}}\n{{"text": "c"}}\n'),
    ):
        assert reasons(path) == [
            "field 'text' has 10,000,000 characters, more than the 8,388,608 that are allowed; the first 1000 are kept"
        ]
        assert len([1 for row in read_rows(path) if isinstance(row, Row)]) == 2
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a", long]}), tmp_path / "a.parquet")
    assert [type(row) for row in read_rows(tmp_path / "a.parquet")] == [Row, BadRow]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"", "a.csv is empty"),
        ("a.jsonl", b"\xef\xbb\xbf \r\n\n", "a.jsonl is empty"),
        ("a.csv.gz", b"\n", "a.csv.gz is empty"),
        ("a.parquet", b"", "a.parquet is empty"),
        ("a.txt", b"x", r"a.txt is in no known format. Known: .csv, .csv.gz, .jsonl, .jsonl.gz, .parquet"),
        ("a.json", b"[]", r"in no known format"),
        ("a.csv", b"text,text\na,b\n", "two columns named 'text'. Rename one"),
        ("a.csv", b'"text,label\na,b\n', "the first line must name the columns, but it is not CSV"),
        ("a.csv", "text\né\nd'accord\nÜber\n".encode("latin-1"), r"line 2, byte 5 is 0xE9. .*iconv -f WINDOWS-1252"),
        ("a.csv", "text\nhé\n".encode("utf-16"), r"line 1, byte 0 is 0xFF. .*iconv -f UTF-16"),
        ("a.csv", "text\nhe\n".encode("utf-16-le"), r"line 1, byte 1 is 0x00. .*iconv -f UTF-16"),
        ("a.jsonl.gz", b'{"text": "\xe2\x82"}\n', r"line 1, byte 10 is 0xE2"),
        ("a.jsonl", b'{"text": "a"}\n{"text": "\xe2\x82', r"line 2, byte 24 is 0xE2"),
        ("a.parquet", b"text,label\n", "is not a Parquet file"),
    ],
)
def test_files_that_cannot_be_used_say_why(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = write(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        next(read_rows(path))
    assert "\n" not in str(caught.value)


def test_a_wrong_byte_is_found_wherever_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "_CHUNK", 7)
    start = "text\n" + "é\n" * 50
    path = write(tmp_path, "a.csv", start.encode() + b"ab\xff\n")
    with pytest.raises(DataError, match=rf"line 52, byte {len(start.encode()) + 2} is 0xFF"):
        next(read_rows(path))


def test_files_that_are_not_there_or_not_whole(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"There is no file .*none.csv"):
        next(read_rows(tmp_path / "none.csv"))
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"text\n" + b"abc\n" * 1000)[:-20])
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"text": "a"}\n')
    (tmp_path / "cut.parquet.gz").write_bytes(gzip.compress(b"x" * 1000)[:-5])
    for name in ("cut.csv.gz", "plain.jsonl.gz", "cut.parquet.gz"):
        with pytest.raises(DataError, match="is not a whole gzip file"):
            list(read_rows(tmp_path / name))
    with pytest.raises(DataError, match="is not a dataset written by save_to_disk"):
        next(read_rows(tmp_path))


plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)


@given(st.lists(st.tuples(plain, plain), min_size=1, max_size=8))
def test_what_csv_writers_write_is_read(tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows([("a", "b"), *table])
    assert [row for _, row in rows(path)] == [{"a": a, "b": b} for a, b in table]


def test_parquet(tmp_path: Path) -> None:
    table = pyarrow.table({"text": ["a", "b", None], "names": [["x"], [], None], "n": [1, 2, 3]})
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.parquet.gz").write_bytes(gzip.compress((tmp_path / "a.parquet").read_bytes()))
    for name in ("a.parquet", "a.parquet.gz"):
        assert rows(tmp_path / name) == [
            (1, {"text": "a", "names": ["x"], "n": 1}),
            (2, {"text": "b", "names": [], "n": 2}),
            (3, {"text": None, "names": None, "n": 3}),
        ]


def test_a_parquet_file_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pyarrow.table({"text": [f"text number {n}" for n in range(50_000)]})
    pyarrow.parquet.write_table(table, path, row_group_size=1000, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2000] = b"\xff" * 2000
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"a.parquet is damaged behind row \d+000"):
        list(read_rows(path))


def test_datasets_on_disk(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    part = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, -1]}, features=features)
    part.save_to_disk(str(tmp_path / "one"))
    assert rows(tmp_path / "one") == [
        (1, {"text": "a", "label": "yes"}),
        (2, {"text": "b", "label": "no"}),
        (3, {"text": "c", "label": None}),
    ]
    DatasetDict({"train": part, "validation": part.select([0])}).save_to_disk(str(tmp_path / "many"))
    assert [(line, row["split"], row["label"]) for line, row in rows(tmp_path / "many")] == [
        (1, "train", "yes"),
        (2, "train", "no"),
        (3, "train", None),
        (4, "validation", "yes"),
    ]
    part.to_parquet(str(tmp_path / "a.parquet"))
    assert [row["label"] for _, row in rows(tmp_path / "a.parquet")] == ["yes", "no", None]


def test_rows_are_json_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path, "a.jsonl", json.dumps({"text": "a", "deep": {"x": [1, None, True]}}))
    assert rows(path) == [(1, {"text": "a", "deep": {"x": [1, None, True]}})]
