"""The hot routes as plain ASGI: what FastAPI does for every request costs six times what these three answer with."""

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

from abtest.service.ports import Clock, Limits
from abtest.service.problems import Problem
from abtest.service.security import Caller, Role, Tokens, bearer
from abtest.service.tallies import Tally, Timing
from abtest.service.telemetry import Telemetry, say

Answer = Callable[[bytes, str], Awaitable[dict[str, Any]]]

JSON = (b"content-type", b"application/json")
ERROR, WARNING, INFO = 40, 30, 20  # logging's levels
_request_id = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch


class Gone(Exception):  # noqa: N818
    """The client went away while it sent its request."""


@dataclass(kw_only=True, eq=False)
class Hot:
    """Answers POST requests of a few paths; `routes` names them.

    Each request is admitted, read up to the limit, answered, counted and timed. Whatever fails unforeseen is logged
    with its trace and answered with a 500 that shows none of it.
    """

    routes: dict[str, Answer]
    tokens: Tokens
    limits: Limits
    clock: Clock
    new_id: Callable[[], str]
    telemetry: Telemetry
    access_log: bool = False
    _measures: dict[tuple[str, int], tuple[Tally, Timing]] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of a path in `routes`."""
        started, path, status = self.clock.ticks(), scope["path"], 200
        headers = dict(scope["headers"])
        request_id = request_id_of(headers, self.new_id)
        try:
            admit(self.tokens, scope, headers, "client", self.telemetry)
            body = await read(receive, headers, self.limits)
            answer = await self.routes[path](body, request_id)
            await _send(send, 200, answer, request_id)
        except Gone:
            return
        except Problem as problem:
            status = problem.status
            await send_problem(send, problem, request_id)
        except Exception:
            status = 500
            say(ERROR, "request failed", trace=True, route=path, request_id=request_id)
            await send_problem(send, unforeseen(), request_id)
        self.finished(path, status, self.clock.ticks() - started, request_id)

    def finished(self, route: str, status: int, seconds: float, request_id: str) -> None:
        """Count and time a request; log it, if every one is to be logged."""
        measures = self._measures.get((route, status))
        if measures is None:  # finding a labelled metric costs as much as counting three times
            measures = self.telemetry.requests.labels(route, str(status)), self.telemetry.seconds.labels(route)
            self._measures[route, status] = measures
        measures[0].inc()
        measures[1].observe(seconds)
        if self.access_log:
            say(INFO, "request", route=route, status=status, ms=round(seconds * 1000, 3), request_id=request_id)


def request_id_of(headers: dict[bytes, bytes], new_id: Callable[[], str]) -> str:
    """The client's own X-Request-ID where it is a plain word, else a new one."""
    given = headers.get(b"x-request-id")
    if given is not None:
        text = given.decode("latin-1")
        if _request_id(text):
            return text
    return new_id()


def admit(tokens: Tokens, scope: Scope, headers: dict[bytes, bytes], role: Role, telemetry: Telemetry) -> Caller:
    """The caller of a request, if its token is good enough for the role; refused calls are logged and counted."""
    try:
        return tokens.admit(bearer(headers.get(b"authorization", b""), headers.get(b"x-api-key", b"")), role)
    except Problem as problem:
        telemetry.refused.labels(problem.error).inc()
        peer = (scope.get("client") or ("",))[0]
        say(WARNING, "call refused", error=problem.error, detail=problem.detail, route=scope["path"], peer=peer)
        raise


async def read(receive: Receive, headers: dict[bytes, bytes], limits: Limits) -> bytes:
    """The whole body; one that is longer than the limit is refused before it is read to its end."""
    length = headers.get(b"content-length", b"")
    if length.isdigit() and int(length) > limits.body_bytes:
        raise too_long(limits)
    message = await receive()
    if not message.get("more_body"):  # nearly every request comes in one piece
        if message["type"] == "http.disconnect":
            raise Gone
        body: bytes = message.get("body", b"")
        if len(body) > limits.body_bytes:
            raise too_long(limits)
        return body
    parts, n = [message.get("body", b"")], len(message.get("body", b""))
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        parts.append(message.get("body", b""))
        n += len(parts[-1])
        if n > limits.body_bytes:
            raise too_long(limits)
    return b"".join(parts)


def again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, and then what comes."""
    given = False

    async def receive_again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive_again


def too_long(limits: Limits) -> Problem:
    """413."""
    return Problem(
        413, "body_too_large", f"the body is longer than {limits.body_bytes} bytes", "send the request in parts"
    )


def unforeseen() -> Problem:
    """500: without a trace, which is in the log under the request's id."""
    return Problem(500, "internal", "this was not foreseen", "the service's log tells more under this request_id")


async def send_problem(send: Send, problem: Problem, request_id: str) -> None:
    """Send a refusal."""
    extra = [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await _send(send, problem.status, problem.body(request_id), request_id, extra)


async def _send(
    send: Send, status: int, tree: dict[str, Any], request_id: str, extra: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    body = orjson.dumps(tree)
    headers = [
        JSON, (b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode("latin-1")), *extra
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
