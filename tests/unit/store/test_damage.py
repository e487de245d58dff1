"""Places that cannot be written, damaged files, a full disk: one clear line each, and nothing lost."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tutelage.errors import StoreError
from tutelage.store import open_store
from tutelage.types import Example


def example(n: int) -> Example:
    return Example(f"{n:032d}", {"text": "x" * 500}, "train")


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, which may write anywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that others may enter, as those of pytest are not."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    path.chmod(0o755)
    shutil.rmtree(path)


def line(error: pytest.ExceptionInfo[StoreError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(StoreError) as caught:
        open_store(tmp_path / "none" / "tutelage.db")
    assert "unable to open database file. Check that the folder exists and is writable." in line(caught)


def test_a_read_only_folder(folder: Path) -> None:
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(StoreError) as caught:
        open_store(folder / "tutelage.db")
    assert "writable" in line(caught)


def test_a_database_that_became_read_only(folder: Path) -> None:
    store = open_store(folder / "tutelage.db")
    store.examples.add([example(1)])
    store.close()
    (folder / "tutelage.db").chmod(0o444)
    folder.chmod(0o555)
    with as_nobody(), pytest.raises(StoreError) as caught:
        store = open_store(folder / "tutelage.db")
        store.examples.add([example(2)])
    assert "writable" in line(caught)
    folder.chmod(0o755)
    (folder / "tutelage.db").chmod(0o644)
    store = open_store(folder / "tutelage.db")
    assert list(store.examples.read()) == [example(1)]
    store.close()


@pytest.mark.parametrize("content", [b"text,label\nhello,a\n" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tutelage.db"
    path.write_bytes(content)
    with pytest.raises(StoreError) as caught:
        open_store(path)
    assert "tutelage.db failed: file is not a database. The file is damaged" in line(caught)
    assert path.read_bytes() == content


def test_a_full_disk_keeps_what_was_stored(tmp_path: Path) -> None:
    store = open_store(tmp_path / "tutelage.db")
    store.examples.add([example(1)])
    # The limit on pages gives the error of a full disk, wherever this test runs.
    with store.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 20}")
    added = 1
    with pytest.raises(StoreError) as caught:
        for n in range(1, 100):
            store.examples.add([example(100 * n + i) for i in range(50)])
            added += 50
    assert "database or disk is full. Free some disk space and run the command again" in line(caught)
    store.close()
    store = open_store(tmp_path / "tutelage.db")
    assert len(list(store.examples.read())) == added > 1
    assert store.examples.add([example(7)]) == 1
    store.close()
