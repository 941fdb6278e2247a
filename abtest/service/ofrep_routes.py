"""The two routes of the OpenFeature Remote Evaluation Protocol, with their part of the OpenAPI document."""

from typing import Any

import orjson
from fastapi import FastAPI, Request, Response

from abtest.service import ofrep
from abtest.service.admin import REFUSALS
from abtest.service.hot import admit
from abtest.service.ports import Clock, Experiments, Limits
from abtest.service.security import Tokens
from abtest.service.telemetry import Telemetry

JSON = "application/json"

_TEXT: dict[str, Any] = {"type": "string"}
_METADATA: dict[str, Any] = {"type": "object", "additionalProperties": {"type": ["boolean", "string", "number"]}}
_FLAG: dict[str, Any] = {
    "type": "object",
    "required": ["key", "reason", "variant", "metadata"],
    "properties": {
        "key": _TEXT,
        "reason": {"enum": ["SPLIT", "TARGETING_MATCH", "DISABLED"]},
        "variant": _TEXT,
        "value": {**_TEXT, "description": "The variant; absent where the caller's own default holds."},
        "metadata": _METADATA,
    },
    "additionalProperties": False,
}
_FAILED: dict[str, Any] = {
    "type": "object",
    "required": ["errorCode", "errorDetails"],
    "properties": {
        "key": _TEXT,
        "errorCode": {"enum": ["PARSE_ERROR", "TARGETING_KEY_MISSING", "INVALID_CONTEXT", "FLAG_NOT_FOUND", "GENERAL"]},
        "errorDetails": _TEXT,
    },
}
_BULK: dict[str, Any] = {
    "type": "object",
    "required": ["flags", "metadata"],
    "properties": {"flags": {"type": "array", "items": _FLAG}, "metadata": _METADATA},
}
_REQUEST: dict[str, Any] = {
    "required": True,
    "content": {
        JSON: {
            "schema": {
                "type": "object",
                "required": ["context"],
                "properties": {
                    "context": {
                        "type": "object",
                        "required": ["targetingKey"],
                        "properties": {"targetingKey": {**_TEXT, "minLength": 1}},
                    }
                },
            },
            "example": {"context": {"targetingKey": "u0001", "country": "CA"}},
        }
    },
}


def add(
    app: FastAPI, experiments: Experiments, tokens: Tokens, clock: Clock, limits: Limits, telemetry: Telemetry
) -> None:
    """Add the routes. A token comes as Authorization: Bearer or X-API-Key; without any set, everybody may ask."""

    @app.post(
        "/ofrep/v1/evaluate/flags/{key}",
        tags=["OFREP"],
        summary="Evaluate one flag: the variant of a unit in an experiment",
        response_class=Response,
        responses={200: _said("The flag.", _FLAG), **_failures(400, 404)},
        openapi_extra={"requestBody": _REQUEST},
    )
    async def one(key: str, request: Request) -> Response:
        admit(tokens, request.scope, dict(request.scope["headers"]), "client", telemetry)
        try:
            unit, context = ofrep.asked_of(await request.body(), limits)
            found = ofrep.flag(experiments.snapshot, key, unit, clock.now(), context)
        except ofrep.Failure as failure:
            return Response(orjson.dumps(failure.body(key)), failure.status, media_type=JSON)
        return Response(orjson.dumps(found), media_type=JSON)

    @app.post(
        "/ofrep/v1/evaluate/flags",
        tags=["OFREP"],
        summary="Evaluate every running experiment for one unit",
        response_class=Response,
        responses={
            200: _said("The flags.", _BULK),
            304: {"description": "Nothing has changed since the answer with this ETag."},
            **_failures(400),
        },
        openapi_extra={
            "requestBody": _REQUEST,
            "parameters": [{"in": "header", "name": "If-None-Match", "schema": _TEXT, "required": False}],
        },
    )
    async def bulk(request: Request) -> Response:
        admit(tokens, request.scope, dict(request.scope["headers"]), "client", telemetry)
        try:
            unit, context = ofrep.asked_of(await request.body(), limits)
        except ofrep.Failure as failure:
            return Response(orjson.dumps(failure.body(None)), failure.status, media_type=JSON)
        body = ofrep.flags(experiments.snapshot, unit, clock.now(), context)
        tag = ofrep.etag(body)
        if ofrep.matches(tag, request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers={"etag": tag})
        return Response(body, media_type=JSON, headers={"etag": tag})


def _said(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": schema}}}


def _failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    ours: dict[int | str, dict[str, Any]] = {status: REFUSALS[status] for status in (401, 403, 413)}
    return {**{status: _said("Refused.", _FAILED) for status in statuses}, **ours}
