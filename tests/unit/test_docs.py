"""What is written for people is complete and true: verbs, families, settings, metrics."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from pathlib import Path

import click
import pytest
from pydantic import BaseModel

from tutelage.cli.entry import VERBS, cli
from tutelage.evaluation.candidates import FAMILIES
from tutelage.evaluation.metrics import METRICS
from tutelage.exporting import TARGETS
from tutelage.gateway import settings
from tutelage.labels.formats import FORMATS
from tutelage.models import PROVIDERS
from tutelage.prompting import PromptedSettings
from tutelage.prompting.selectors import SELECTORS
from tutelage.review.orders import ORDERS
from tutelage.students.material import SETTINGS
from tutelage.tasks.file import DataFile, EndpointLimit, Hardware, Price, Review, TaskFile, Tracking, validated
from tutelage.tasks.matching import find, normal

ROOT = Path(__file__).parents[2]
TASK_FILE = (ROOT / "docs" / "task-file.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "examples").glob("*/README.md"))]


def test_the_page_of_verbs_is_the_programs_own_help() -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "docs.py", "--check"], check=True)


@pytest.mark.parametrize("family", FAMILIES.rows())
def test_every_family_and_each_of_its_settings_is_documented(family: str) -> None:
    assert f"`{family}`" in TASK_FILE
    for setting in dataclasses.fields(FAMILIES.load(family).settings):
        assert f"`{setting.name}`" in TASK_FILE, f"{family}: {setting.name}"


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_of_all_students_is_documented(setting: str) -> None:
    assert f"`{setting}`" in TASK_FILE


@pytest.mark.parametrize("model", [TaskFile, DataFile, Price, EndpointLimit, Hardware, Review, Tracking])
def test_every_key_of_the_task_file_is_documented(model: type) -> None:
    for key in [field.alias or name for name, field in model.model_fields.items()]:  # type: ignore[attr-defined]
        assert f"`{key}`" in TASK_FILE or f"`[[{key}]]`" in TASK_FILE or f"[{key}" in TASK_FILE, key


GATEWAY: list[type[BaseModel]] = [
    settings.GatewaySettings,
    settings.Server,
    settings.Upstream,
    settings.Target,
    settings.Cache,
]
GATEWAY += [settings.SemanticCache, settings.Traces, settings.Operation, settings.Telemetry]


@pytest.mark.parametrize("part", GATEWAY)
def test_every_key_of_the_gateways_settings_is_documented(part: type[BaseModel]) -> None:
    page = (ROOT / "docs" / "gateway.md").read_text(encoding="utf-8")
    known = [f"`{key}`" in page or f"`[{key}]`" in page or f".{key}]`" in page for key in part.model_fields]
    assert [key for key, there in zip(part.model_fields, known, strict=True) if not there] == []


def test_every_metric_is_documented() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert [metric for metric in METRICS.rows() if f"`{metric}`" not in page] == []


def test_every_shot_selector_is_documented() -> None:
    page = (ROOT / "docs" / "shots.md").read_text(encoding="utf-8")
    assert [selector for selector in SELECTORS.rows() if f"`{selector}`" not in page] == []


def test_every_order_of_review_is_documented() -> None:
    page = (ROOT / "docs" / "quality.md").read_text(encoding="utf-8")
    assert [order for order in ORDERS.rows() if f"| `{order}` |" not in page] == []


def test_every_export_target_is_documented() -> None:
    page = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")
    assert [target for target in TARGETS.rows() if f"| `{target}` |" not in page] == []


def test_every_format_is_documented() -> None:
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    assert [name for name in FORMATS.rows() if f"| `{name}` |" not in page] == []


PROVIDED = (ROOT / "docs" / "providers.md").read_text(encoding="utf-8")


def test_every_provider_is_documented() -> None:
    assert [provider for provider in PROVIDERS.rows() if f"| `{provider}` |" not in PROVIDED] == []


@pytest.mark.parametrize(
    "block", re.findall(r"```toml\n(.*?)```", PROVIDED, re.DOTALL), ids=lambda block: block.split()[0]
)
def test_what_the_page_of_providers_says_to_write_can_be_written(block: str) -> None:
    file = TaskFile.model_validate({"name": "task", "output": "label", "labels": ["a", "b"], **tomllib.loads(block)})
    for given in file.candidates.values():
        assert given.pop("family") == "prompted"
        found = validated(PromptedSettings, given, "the page")
        assert found.provider in PROVIDERS.rows()


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found += [(page.name, line) for line in re.findall(r"^\$? ?(tutelage [^\n|>]*)", block, re.MULTILINE)]
    return found


def test_commands_are_found_in_the_pages() -> None:
    assert len(commands()) > 5


@pytest.mark.parametrize(("page", "line"), commands())
def test_commands_in_the_pages_exist_with_their_flags(page: str, line: str) -> None:
    words = line.split("#")[0].split()
    assert words[1] in VERBS or words[1].startswith("-"), f"{page}: {line}"
    if words[1] in VERBS:
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None
        if isinstance(command, click.Group):
            assert words[2] in command.commands, f"{page}: {line}"
            command = command.commands[words[2]]
        known = {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help", "-h"}
        flags = [word.partition("=")[0] for word in words if word.startswith("-") and word != "-"]
        assert [flag for flag in flags if flag not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_stories_keep_the_rules_of_their_readme() -> None:
    lines = (ROOT / "examples" / "characters" / "stories.jsonl").read_text(encoding="utf-8").splitlines()
    stories = [json.loads(line) for line in lines]
    assert Counter(story["split"] for story in stories) == {"train": 100, "dev": 20, "test": 40}
    assert all(80 <= len(story["text"].split()) <= 180 for story in stories)
    for story in stories:
        names = story["characters"]
        assert len({normal(name) for name in names}) == len(names)
        assert [name for name in names if name not in story["text"]] == []
        starts = [find(story["text"], name) for name in names]
        assert None not in starts
    page = (ROOT / "examples" / "characters" / "README.md").read_text(encoding="utf-8")
    kinds = Counter(story["kind"] for story in stories)
    assert [kind for kind, n in kinds.items() if not re.search(rf"\| `{kind}` \| {n} \|", page)] == []
