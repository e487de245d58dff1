"""How an answer is bound to a form: what a request says to each kind of endpoint, and how the bare answer is read back.

                 schema, json             choice               regex                      tool
    openai       response_format          an object around it  an object around it        tool_choice by name
    vllm         response_format          structured_outputs   structured_outputs         tool_choice by name
    llama.cpp    response_format          grammar (GBNF)       a JSON string's pattern    tool_choice "required"
    llguidance   grammar (%llguidance)    grammar              grammar                    the tool shown, and a grammar

A grammar of llguidance writes JSON on one line as json.dumps does: models left free to choose white space spend half of their
tokens on it, and small ones lose the thread. llama.cpp runs unbound when it cannot read such a grammar, so each is
checked here first, by the same library. Its own grammar of a required tool call binds only from the first mark of a call
on, which models that write calls as plain JSON never set; so the whole call is bound instead.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tutelage import registry
from tutelage.errors import ModelError
from tutelage.models.chat import Dialect, Params

TOOL = "answer"
"""The name of the one tool that is offered, and of the one field around a bare text."""

CALL = f'{{"name": "{TOOL}", "arguments": '
"""How a call that a grammar binds begins; a brace ends it."""

ON_ONE_LINE = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": ", "lenient": True}
"""llguidance's options. Lenient: keywords that it does not know bind nothing; the task checks the answer all the same."""

BOUNDS = frozenset(
    {"minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
    | {"multipleOf", "minItems", "maxItems", "uniqueItems"}
)
"""Keywords without which a schema still has its shape; some endpoints refuse them in strict mode."""


@dataclass(frozen=True)
class Binding:
    """`body` goes into the request. The answer may come with JSON around it: `around` a bare text, an object with the one
    field TOOL or a string; of a `tool`, the whole call."""

    body: Mapping[str, Any]
    around: bool = False
    tool: bool = False
    pattern: re.Pattern[str] | None = None

    def bare(self, content: str) -> str:
        """The text of the answer, which a model that was not bound may have given as it is."""
        if self.tool and content.startswith(CALL):
            return content.removeprefix(CALL).removesuffix("}")
        if not (self.around or self.tool):
            return content
        try:
            value = json.loads(content)
        except ValueError:
            return content
        if self.tool:
            given = value.get("arguments") if isinstance(value, dict) else None
            return json.dumps(given, ensure_ascii=False) if isinstance(given, dict) else content
        found = value.get(TOOL) if isinstance(value, dict) else value
        return found if isinstance(found, str) else content


NOT_BOUND = Binding({})


def bound(params: Params, dialect: Dialect) -> Binding:
    """How `params` binds the answer at an endpoint of `dialect`. Raises ModelError for a form that cannot be asked for."""
    match params.structured:
        case "schema" if params.schema is not None:
            return _schema(params.schema, dialect)
        case "json" if params.schema is not None:
            return _object(dialect)
        case "tool" if params.schema is not None:
            return _tool(params.schema, dialect)
        case "choice":
            return _choice(params.choices, dialect)
        case "regex":
            return _regex(params.pattern or "", dialect)
    return NOT_BOUND


def without_bounds(schema: Any) -> Any:
    """`schema` without the keywords of BOUNDS; fields that bear such a name stay."""
    if isinstance(schema, list):
        return [without_bounds(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: {name: without_bounds(part) for name, part in value.items()}
        if key in ("properties", "$defs", "definitions") and isinstance(value, Mapping)
        else value
        if key in ("enum", "const", "default", "required")
        else without_bounds(value)
        for key, value in schema.items()
        if key not in BOUNDS
    }


def _schema(schema: Mapping[str, Any], dialect: Dialect) -> Binding:
    if dialect == "llguidance":
        return Binding(_json_grammar(schema))
    return Binding({"response_format": _json_schema(schema)})


def _object(dialect: Dialect) -> Binding:
    if dialect == "llguidance":
        return Binding(_json_grammar({"type": "object"}))
    return Binding({"response_format": {"type": "json_object"}})


def _tool(schema: Mapping[str, Any], dialect: Dialect) -> Binding:
    function = {"name": TOOL, "description": "Give the answer.", "parameters": schema, "strict": True}
    shown = {"tools": [{"type": "function", "function": function}]}
    match dialect:
        case "llguidance":
            call = {"name": {"const": TOOL}, "arguments": schema}
            form = {"type": "object", "properties": call, "required": list(call), "additionalProperties": False}
            return Binding({**shown, "tool_choice": "none", **_json_grammar(form)}, tool=True)
        case "llama.cpp":  # which knows no choice by name
            return Binding({**shown, "tool_choice": "required"}, tool=True)
    return Binding({**shown, "tool_choice": {"type": "function", "function": {"name": TOOL}}}, tool=True)


def _choice(choices: Sequence[str], dialect: Dialect) -> Binding:
    if not choices:
        raise ModelError(
            "There is nothing to choose from. Give choices, or set structured to another form.", fatal=True
        )
    match dialect:
        case "openai":
            return Binding(
                {"response_format": _json_schema(_around({"type": "string", "enum": list(choices)}))}, around=True
            )
        case "vllm":
            return Binding({"structured_outputs": {"choice": list(choices)}})
        case "llama.cpp":
            return Binding({"grammar": "root ::= " + " | ".join(map(_quoted, choices))})
        case "llguidance":
            return Binding(_grammar(" | ".join(map(_quoted, choices)), "The list of choices"))


def _regex(pattern: str, dialect: Dialect) -> Binding:
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ModelError(f"{pattern!r} is no regular expression: {error}. Correct the pattern.", fatal=True) from None
    bare = pattern.removeprefix("^").removesuffix("$")  # an answer is always matched as a whole
    text = {"type": "string", "pattern": f"^{bare}$"}
    match dialect:
        case "openai":
            return Binding({"response_format": _json_schema(_around(text))}, around=True, pattern=compiled)
        case "vllm":
            return Binding({"structured_outputs": {"regex": bare}}, pattern=compiled)
        case "llama.cpp":
            return Binding({"response_format": _json_schema(text)}, around=True, pattern=compiled)
        case "llguidance":
            return Binding(_grammar(f"/{_in_slashes(bare)}/", f"The pattern {pattern!r}"), pattern=compiled)


def _in_slashes(pattern: str) -> str:
    """`pattern` as llguidance takes it between slashes; \\d is 0 to 9, of which it would write any script's."""
    found, inside = [], False
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        inside = part != "]" if inside else part == "["
        found.append({"\\d": "0-9" if inside else "[0-9]", "/": "\\/", "\n": "\\n"}.get(part, part))
    return "".join(found)


def _json_grammar(schema: Mapping[str, Any]) -> dict[str, Any]:
    return _grammar("%json " + json.dumps({**schema, "x-guidance": ON_ONE_LINE}), "The schema of the answer")


def _grammar(start: str, what: str) -> dict[str, Any]:
    """A grammar in llguidance's own notation. Raises ModelError when nothing can match it, or it cannot be read."""
    grammar = f"%llguidance {{}}\nstart: {start}\n"
    problem = registry.load("llguidance:LLMatcher", "llguidance").validate_grammar(grammar)
    if problem:
        reason = (
            problem.split("\n   1 |")[0].rpartition("error: ")[2] if "regex" in problem else problem.splitlines()[0]
        )
        raise ModelError(f"{what} cannot bind an answer: {_reason(reason)}. Correct it.", fatal=True)
    return {"grammar": grammar}


def _reason(problem: str) -> str:
    return re.sub(r"^at \d+\(\d+\): ", "", " ".join(problem.split())).rstrip(".")


def _json_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": TOOL, "schema": schema, "strict": True}}


def _around(text: Mapping[str, Any]) -> dict[str, Any]:
    """An object with one field, because strict schemas must be objects."""
    return {"type": "object", "properties": {TOOL: text}, "required": [TOOL], "additionalProperties": False}


def _quoted(text: str) -> str:
    """`text` as a literal of a grammar."""
    return json.dumps(text, ensure_ascii=False)
