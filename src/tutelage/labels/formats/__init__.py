"""Formats in which examples and labels leave and come back: one file each, written and read by name."""

from tutelage.registry import Table

FORMATS = Table(
    "formats",
    "format",
    {
        "csv": "tutelage.labels.formats.csv:FORMAT",
        "jsonl": "tutelage.labels.formats.jsonl:FORMAT",
        "parquet": "tutelage.labels.formats.parquet:FORMAT",
        "hf": "tutelage.labels.formats.hf:FORMAT",
        "label-studio": "tutelage.labels.formats.label_studio:FORMAT",
        "argilla": "tutelage.labels.formats.argilla:FORMAT",
        "prodigy": "tutelage.labels.formats.prodigy:FORMAT",
        "spacy": "tutelage.labels.formats.spacy:FORMAT",
        "openai": "tutelage.labels.formats.openai:FORMAT",
        "requests": "tutelage.labels.formats.requests:FORMAT",
    },
)
"""Format name -> its `base.Format`."""
