"""Rows of Parquet files and of Hugging Face datasets on disk (extra `data`)."""

from __future__ import annotations

import gzip
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import pyarrow
import pyarrow.parquet
from datasets import ClassLabel, Dataset, DatasetDict, load_from_disk

from tutelage.errors import DataError
from tutelage.labels.readers import BadRow, Row, checked

_BATCH = 1000


def read_parquet(path: Path) -> Iterator[Row | BadRow]:
    """Rows of a Parquet file. Columns that `datasets` marked as class labels give the class's name."""
    with _seekable(path) as file:
        try:
            table = pyarrow.parquet.ParquetFile(file)
        except pyarrow.ArrowInvalid as error:
            raise DataError(f"{path} is not a Parquet file: {str(error).splitlines()[0]}") from None
        classes = _marked_classes(table.schema_arrow.metadata or {})
        number = 0
        try:
            for batch in table.iter_batches(_BATCH):
                for fields in batch.to_pylist():
                    number += 1
                    yield checked(Row(number, _named(fields, classes)))
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise DataError(f"{path} is damaged behind row {number}: {str(error).splitlines()[0]}") from None


def read_dataset(path: Path) -> Iterator[Row | BadRow]:
    """Rows of a folder made by `save_to_disk`; those of a DatasetDict have the name of their split in `split`."""
    try:
        found: Dataset | DatasetDict = load_from_disk(str(path))
    except (FileNotFoundError, ValueError, pyarrow.ArrowInvalid) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise DataError(f"{path} is not a dataset written by save_to_disk: {reason}.") from None
    number = 0
    parts = found.items() if isinstance(found, DatasetDict) else [(None, found)]
    for split, dataset in parts:
        classes = {
            name: list(feature.names) for name, feature in dataset.features.items() if isinstance(feature, ClassLabel)
        }
        for batch in dataset.with_format("arrow").iter(_BATCH):
            for fields in batch.to_pylist():
                number += 1
                fields = _named(fields, classes)
                yield checked(Row(number, fields if split is None else {"split": split} | fields))


def _named(fields: dict[str, Any], classes: Mapping[str, list[str]]) -> dict[str, Any]:
    """`fields` with the numbers of classes replaced by their names; -1 is how datasets say "no class"."""
    for name, names in classes.items():
        number = fields.get(name)
        if isinstance(number, int):
            fields[name] = names[number] if 0 <= number < len(names) else None
    return fields


def _marked_classes(metadata: Mapping[bytes, bytes]) -> dict[str, list[str]]:
    if b"huggingface" not in metadata:
        return {}
    features = json.loads(metadata[b"huggingface"]).get("info", {}).get("features", {})
    return {
        name: feature["names"]
        for name, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _seekable(path: Path) -> IO[bytes]:
    """The file itself, or a gzipped one unpacked into a temporary file: Parquet is read from its end."""
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    file = cast(IO[bytes], tempfile.TemporaryFile())  # noqa: SIM115 (the caller closes it)
    with gzip.open(path) as packed:
        shutil.copyfileobj(packed, file)
    file.seek(0)
    return file
