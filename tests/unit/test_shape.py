"""The house keeps its shape: small files, short functions, few parameters, public names as written, rows that load."""

from __future__ import annotations

import ast
import statistics
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import tutelage
from tutelage.evaluation.candidates import FAMILIES
from tutelage.evaluation.metrics import METRICS
from tutelage.exporting import TARGETS
from tutelage.labels.formats import FORMATS
from tutelage.models import PROVIDERS
from tutelage.prompting.scorers import SCORERS
from tutelage.prompting.selectors import SELECTORS
from tutelage.registry import EXTRAS, Family, Table
from tutelage.review.orders import ORDERS
from tutelage.tasks import OUTPUTS
from tutelage.tasks.normalise import NORMALISERS
from tutelage.tracking import TRACKERS

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src" / "tutelage").rglob("*.py"))
TABLES = [FAMILIES, FORMATS, METRICS, NORMALISERS, ORDERS, OUTPUTS, PROVIDERS, SCORERS, SELECTORS, TARGETS, TRACKERS]
HEAVY = {"torch", "transformers", "spacy", "xllamacpp", "datasets", "pyarrow", "pandas", "sklearn", "altair", "openai"}


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]


def test_files_are_small() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {path.name: n for path, n in lengths.items() if n > 400} == {}
    assert statistics.median(lengths.values()) <= 150


def test_functions_are_short_and_take_few_parameters() -> None:
    long, wide = [], []
    for path in SOURCES:
        for function in functions(path):
            where = f"{path.name}:{function.name}"
            if (function.end_lineno or 0) - function.lineno + 1 > 60:
                long.append(where)
            arguments = [a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)]
            # A command's parameters are its flags, which click passes one by one.
            is_command = any("command" in ast.unparse(decorator) for decorator in function.decorator_list)
            if len([a for a in arguments if a not in ("self", "cls")]) > 7 and not is_command:
                wide.append(where)
    assert (long, wide) == ([], [])


def test_every_module_says_what_it_is() -> None:
    missing = [path for path in SOURCES if path.stat().st_size and not ast.get_docstring(ast.parse(path.read_text()))]
    assert missing == []


def test_public_names_are_exactly_these() -> None:
    public = [name for name in vars(tutelage) if not name.startswith("_") and name not in submodules()]
    assert sorted([*public, "__version__"]) == sorted(tutelage.__all__)


def submodules() -> set[str]:
    return {path.stem for path in SOURCES if path.parent.name == "tutelage"} | {
        path.parent.name for path in SOURCES if path.name == "__init__.py"
    }


def test_version_is_the_packages() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == tutelage.__version__


@pytest.mark.parametrize(("table", "name"), [(table, name) for table in TABLES for name in table.rows()])
def test_every_row_of_every_table_loads(table: Table, name: str) -> None:
    if name == "gguf" and find_spec("xllamacpp") is None:
        pytest.skip("the extra 'local' is not installed")
    if table is TRACKERS and find_spec(name) is None:
        pytest.skip(f"the extra {name!r} is not installed")
    found = table.load(name)
    if table is FAMILIES:
        assert isinstance(found, Family)


def test_extras_name_packages_that_the_project_declares() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for package, extra in EXTRAS.items():
        assert any(package in line for line in declared[extra]), (package, extra)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, tutelage.cli.entry as entry\n"
        "try: entry.main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = {name.partition(".")[0] for name in out.splitlines()[-1].split()}
    assert loaded & (HEAVY | {"numpy", "sqlalchemy", "rich", "pydantic"}) == set()


def test_base_install_needs_no_torch() -> None:
    code = (
        "import sys\nclass No:\n"
        " def find_spec(self, name, path=None, target=None):\n"
        f"  if name.partition('.')[0] in {set(EXTRAS)!r}: raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, No())\n"
        "import tutelage.cli.run, tutelage.cli.serve, tutelage.cli.predict, tutelage.cli.label\n"
        "import tutelage.students.linear, tutelage.students.encoder, tutelage.students.tagger\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
