"""The OpenAPI document of the gateway."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tutelage.gateway.routes import Routes

ERROR: Mapping[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}

_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {"role": {"type": "string"}, "content": {"type": ["string", "array", "null"]}},
}
_COUNT = {"type": "integer", "minimum": 1}
_CHAT = {
    "type": "object",
    "required": ["model", "messages"],
    "properties": {
        "model": {"type": "string"},
        "messages": {"type": "array", "minItems": 1, "items": _MESSAGE},
        "stream": {"type": ["boolean", "null"]},
        "max_completion_tokens": _COUNT,
        "n": {"type": "integer", "minimum": 1, "maximum": 128},
    },
}
_INPUT = {
    "type": "object",
    "required": ["model", "input"],
    "properties": {"model": {"type": "string"}, "input": {"type": ["string", "array"]}},
}
_PREDICT = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"type": "array", "minItems": 1, "maxItems": 1000, "items": {"type": ["string", "object"]}},
        "candidate": {"type": ["string", "null"]},
    },
}
_FEEDBACK = {
    "type": "object",
    "required": ["trace", "verdict"],
    "properties": {
        "trace": {"type": "string"},
        "verdict": {"enum": ["right", "wrong", "corrected", "preferred"]},
        "value": {},
        "note": {"type": ["string", "null"]},
    },
}
_POSTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "/v1/chat/completions": ("A chat completion, of a task's system, a candidate or an upstream", _CHAT),
    "/v1/responses": ("A response", _INPUT),
    "/v1/embeddings": ("Embeddings, of an upstream", _INPUT),
    "/v1/tasks/{name}/predict": ("A task's answers as values", _PREDICT),
    "/v1/feedback": ("What a person thinks of an answer", _FEEDBACK),
}
_GETS: Mapping[str, str] = {
    "/v1/models": "What can be asked",
    "/v1/models/{name}": "One of them",
    "/health": "Whether the process lives",
    "/ready": "Whether it can answer",
}
_FAULTS = ("400", "401", "403", "404", "408", "413", "429", "502", "503", "504")


def document(routes: Routes, keys: bool) -> dict[str, Any]:
    """OpenAPI 3.1; the models that are there stand as examples."""
    paths: dict[str, Any] = {}
    for path, (summary, schema) in _POSTS.items():
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        paths[path] = {"post": {**_operation(path, summary), "requestBody": body}}
    for path, summary in _GETS.items():
        paths[path] = {"get": _operation(path, summary)}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "tutelage gateway", "version": version("tutelage")},
        "paths": paths,
        "components": {"schemas": {"Error": ERROR, "Model": {"enum": list(routes.by_name)}}},
    }
    if keys:
        found["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _operation(path: str, summary: str) -> dict[str, Any]:
    fault = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}}
    responses: dict[str, Any] = {
        "200": {"description": "the answer", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    responses |= {status: {"description": "an error", **fault} for status in _FAULTS}
    if path == "/ready":
        ready = {"description": "not ready", "content": {"application/json": {"schema": {"type": "object"}}}}
        responses["503"] = ready
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if "{name}" in path:
        operation["parameters"] = [{"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}]
    return operation
