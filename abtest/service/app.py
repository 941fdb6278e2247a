"""create_app: the whole service from the parts that it is handed. It reads no clock, file or environment itself."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyHeader, HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope, Send

from abtest.events.log import EventLog
from abtest.service import admin, document, ofrep_routes
from abtest.service.answers import Answers
from abtest.service.exploring import Explore
from abtest.service.hot import (
    ERROR,
    Gone,
    Hot,
    admit,
    again,
    read,
    request_id_of,
    send_problem,
    unforeseen,
)
from abtest.service.ingest import Ingest
from abtest.service.ports import Clock, Experiments, Limits, Observe, Readiness, Reasons, Recommend
from abtest.service.problems import Problem, shown
from abtest.service.schemas import HealthAnswer, ReadyAnswer
from abtest.service.security import Caller, Needs, Role, Tokens
from abtest.service.telemetry import Telemetry, say

Background = Callable[[], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """A FastAPI application that answers its hot routes before FastAPI is asked; the document shows them all."""

    hot: Hot
    ingest: Ingest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "http":
            if scope["method"] == "POST" and scope["path"] in self.hot.routes:
                return await self.hot(scope, receive, send)
            return await self._guarded(scope, receive, send)
        return await super().__call__(scope, receive, send)

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The other routes: with a request id, a limited body, and nothing shown of what failed unforeseen."""
        headers, hot = dict(scope["headers"]), self.hot
        request_id, status = request_id_of(headers, hot.new_id), 0
        scope["state"] = {**scope.get("state", {}), "request_id": request_id}
        # every body is JSON here, whatever it is called: `curl -d` calls it a form
        others = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
        scope["headers"] = [*others, (b"content-type", b"application/json")]
        started = hot.clock.ticks()

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode("latin-1"))]
            await send(message)

        try:
            body = await read(receive, headers, hot.limits)
            await super().__call__(scope, again(body, receive), told)
        except Gone:
            return
        except Exception as error:
            problem = error if isinstance(error, Problem) else unforeseen()
            if problem.status == 500:
                say(ERROR, "request failed", trace=True, route=scope["path"], request_id=request_id)
            if not status:
                status = problem.status
                await send_problem(send, problem, request_id)
        route = getattr(scope.get("route"), "path", "other")  # never the raw path: it would be a label without end
        hot.finished(route, status, hot.clock.ticks() - started, request_id)


def create_app(
    *,
    experiments: Experiments,
    recommender: Recommend,
    log: EventLog,
    readiness: Callable[[], Readiness],
    clock: Clock,
    new_id: Callable[[], str],
    tokens: Tokens,
    limits: Limits,
    reasons: Reasons | None = None,
    explore: Explore | None = None,
    observe: Observe | None = None,
    telemetry: Telemetry | None = None,
    background: Sequence[Background] = (),
    access_log: bool = False,
) -> Application:
    """The service. `background` contexts are open while it runs; `observe` is told of every event that is new."""
    measured = telemetry or Telemetry()
    ingest = Ingest(log, most=limits.waiting, patience=limits.acknowledge_seconds, observe=observe)
    answers = Answers(
        experiments=experiments,
        recommender=recommender,
        reasons=reasons,
        ingest=ingest,
        clock=clock,
        limits=limits,
        new_id=new_id,
        telemetry=measured,
        explore=explore,
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(ingest.close)
            for context in background:
                await stack.enter_async_context(context())
            yield

    app = Application(
        title="Bakeoff", summary="Assignment, recommendations, events and experiments.", version="1", lifespan=lifespan
    )
    app.ingest = ingest
    app.hot = Hot(
        routes={"/v1/assign": answers.assign, "/v1/recommend": answers.recommend, "/v1/events": answers.events},
        tokens=tokens,
        limits=limits,
        clock=clock,
        new_id=new_id,
        telemetry=measured,
        access_log=access_log,
    )
    needs = _needs(tokens, measured)
    document.add_hot_routes(app, needs)
    _add_plain_routes(app, needs, readiness, measured)
    ofrep_routes.add(app, experiments, tokens, clock, limits, measured)
    app.include_router(admin.router(experiments, needs, measured))
    app.include_router(admin.holdout_router(experiments, needs, measured))
    _add_refusals(app)
    measured.gauge("bakeoff_waiting_events", "Events that wait for the disk.", lambda: float(ingest.waiting))
    measured.gauge("bakeoff_commits", "Commits of the event log by this process.", lambda: float(ingest.commits))
    document.finish(app, limits)
    return app


def _needs(tokens: Tokens, telemetry: Telemetry) -> Needs:
    """Gives the dependency that admits a caller of a role; the schemes are what the document shows."""
    scheme, key = HTTPBearer(auto_error=False), APIKeyHeader(name="X-API-Key", auto_error=False)

    def needs(role: Role) -> Callable[..., Awaitable[Caller]]:
        async def caller(
            request: Request,
            given: Annotated[HTTPAuthorizationCredentials | None, Depends(scheme)],
            api_key: Annotated[str | None, Depends(key)],
        ) -> Caller:
            return admit(tokens, request.scope, dict(request.scope["headers"]), role, telemetry)

        return caller

    return needs


def _add_plain_routes(
    app: Application,
    needs: Needs,
    readiness: Callable[[], Readiness],
    telemetry: Telemetry,
) -> None:
    """Health, readiness, metrics."""

    @app.get("/health", tags=["operation"], summary="Whether the process answers")
    async def health() -> HealthAnswer:
        return HealthAnswer(status="ok")

    @app.get(
        "/ready",
        tags=["operation"],
        summary="Whether requests are answered as they should",
        responses={503: {"model": ReadyAnswer, "description": "Not ready."}},
    )
    async def ready(response: Response) -> ReadyAnswer:
        found = readiness()
        problems = [*found.problems, *([f"event log: {app.ingest.failing}"] if app.ingest.failing else [])]
        if not found.ready:
            response.status_code = 503
        return ReadyAnswer(
            ready=found.ready,
            problems=problems,
            model=found.model,
            champion=found.champion,
            versions=list(found.versions),
        )

    @app.get(
        "/metrics",
        tags=["operation"],
        summary="Prometheus metrics",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: admin.REFUSALS[401],
            403: admin.REFUSALS[403],
        },
    )
    async def metrics(caller: Annotated[Caller, Depends(needs("client"))]) -> Response:
        return Response(telemetry.text(), media_type="text/plain; version=0.0.4")


def _add_refusals(app: Application) -> None:
    """Every refusal in the one form, those of FastAPI too."""

    def answer(request: Request, problem: Problem) -> JSONResponse:
        request_id = getattr(request.state, "request_id", "")
        return JSONResponse(problem.body(request_id), problem.status, problem.headers)

    async def refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem), "registered for it"
        return answer(request, error)

    async def not_valid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError), "registered for it"
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] == "json_invalid":
            return answer(request, Problem(400, "no_json", f"{place}: {first['msg']}", "send JSON; see /docs"))
        detail = f"{place}: {first['msg']}, got {shown(first.get('input'))}"
        return answer(request, Problem(422, "invalid", detail, "see the schema in /openapi.json"))

    async def not_found(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException), "registered for it"
        word = {404: "not_found", 405: "method"}.get(error.status_code, "refused")
        problem = Problem(error.status_code, word, str(error.detail), "see /docs for what there is", error.headers)
        return answer(request, problem)

    app.add_exception_handler(Problem, refused)
    app.add_exception_handler(RequestValidationError, not_valid)
    app.add_exception_handler(HTTPException, not_found)
