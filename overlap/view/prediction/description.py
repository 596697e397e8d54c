"""The description of the HTTP interface in OpenAPI 3.1."""

from typing import Any, Final

import overlap
from overlap.view.settings import ViewSettings

_ERROR: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "Kebab-case; stable across releases."},
                "message": {"type": "string"},
            },
        }
    },
}
_FAULT: Final = _ERROR["properties"]["error"]
_CLIP: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["name"],
    "description": "A clip has either probabilities or an error.",
    "properties": {
        "name": {"type": "string", "description": "File name of the part; empty for a raw body."},
        "probabilities": {
            "type": "object",
            "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
            "description": "By word; they sum to 1.",
        },
        "disagreement": {
            "type": "number",
            "description": "Mean over members of KL(member || ensemble), nats.",
        },
        "repairs": {
            "type": "array",
            "items": {"enum": ["resampled", "downmixed", "padded", "trimmed"]},
        },
        "clipped": {"type": "boolean", "description": "Many samples are at full scale."},
        "error": _FAULT,
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["version", "words", "clips"],
    "properties": {
        "version": {"type": "string", "description": "The ensemble that predicted."},
        "words": {"type": "array", "items": {"type": "string"}},
        "clips": {"type": "array", "items": {"$ref": "#/components/schemas/Clip"}},
    },
}


def describe(settings: ViewSettings) -> dict[str, Any]:
    """Return the description of a server's interface.

    Args:
        settings: Settings of the server.
    """
    limits = settings.limits
    statuses = {
        "400": "The request contains no clip, or is not well-formed.",
        "401": "The token is missing or wrong.",
        "408": f"The request did not arrive within {limits.body_seconds:g} s.",
        "413": f"More than {limits.clips} clips, or more than {limits.body_bytes} bytes.",
        "422": "No clip of the request is usable.",
        "429": "Too many requests wait; try again after the seconds in Retry-After.",
        "503": "The workspace has no champion, or it cannot be loaded.",
    }
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    content = {
        "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "properties": {
                    "clips": {"type": "array", "items": {"type": "string", "format": "binary"}}
                },
            }
        },
    }
    predict = {
        "operationId": "predict",
        "summary": "Predict the words in one or more clips with the champion.",
        "description": "The body is one sound file of any format of the data contract, or "
        "multipart/form-data with a file per part; names of the parts do not matter.",
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {
                "description": "The predictions, in the order of the clips.",
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/Predictions"}}
                },
            },
            **{code: {"description": text, "content": error} for code, text in statuses.items()},
        },
    }
    health = {
        "operationId": "health",
        "summary": "Whether the server answers.",
        "security": [],
        "responses": {"200": {"description": "It does."}},
    }
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "overlap", "version": overlap.__version__},
        "servers": [{"url": settings.base_url or settings.prefix or "/"}],
        "paths": {"/v1/predict": {"post": predict}, "/healthz": {"get": health}},
        "components": {
            "schemas": {"Predictions": _ANSWER, "Clip": _CLIP, "Error": _ERROR},
        },
    }
    if settings.token is not None:
        described["security"] = [{"token": []}]
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        described["components"]["securitySchemes"] = schemes
    return described
