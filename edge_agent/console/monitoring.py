"""Monitoring: metrics and health endpoints for Prometheus, load balancers and curl."""

# FastAPI reads the annotations at run time: they stand as they are, not as text.

from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from edge_agent.bridge.client import UnansweredError
from edge_agent.console import schemas
from edge_agent.console.api import bytes_of, problems, security
from edge_agent.console.context import Context
from edge_agent.console.prometheus import metrics_text

TEXT_FORMAT = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus' own library writes unless it is asked for OpenMetrics."""


class Monitoring:
    """The endpoints for monitoring."""

    def __init__(self, context: Context) -> None:
        """Take what requests are answered from."""
        self._context = context

    def router(self) -> APIRouter:
        """Every path, with what it may answer."""
        router = APIRouter(tags=["monitoring"])
        add = router.add_api_route
        add(
            "/health",
            self.health,
            methods=["GET"],
            response_model=schemas.Health,
            responses=_or_503("It does not; the reasons say why"),
            summary="Whether the agent does its job",
        )
        add(
            "/ready",
            self.ready,
            methods=["GET"],
            response_model=schemas.Health,
            responses=_or_503("Not yet"),
            summary="Whether the agent has processed a first frame",
        )
        add(
            "/metrics",
            self.metrics,
            methods=["GET"],
            response_class=Response,
            responses={**problems(), **bytes_of("text/plain", description="Prometheus' text format 0.0.4")},
            summary="Figures for Prometheus",
            dependencies=security(self._context),
        )
        return router

    async def health(self) -> Response:
        """200 while what feeds systemd's watchdog holds: frames move, or a camera that is away is being reopened."""
        try:
            overview = await self._context.agent.status()
        except UnansweredError as error:
            return _health(ok=False, reasons=[str(error)])
        # Codes and not texts: this is open to everybody, and names no camera.
        return _health(ok=bool(overview["is_watching"]), reasons=[reason["code"] for reason in overview["reasons"]])

    async def ready(self) -> Response:
        """200 once the models are loaded and a first frame was seen."""
        try:
            overview = await self._context.agent.status()
        except UnansweredError as error:
            return _health(ok=False, reasons=[str(error)])
        is_ready = bool(overview["is_ready"])
        return _health(ok=is_ready, reasons=[] if is_ready else ["no frame was processed yet"])

    async def metrics(self) -> Response:
        """In the text format 0.0.4, which every version of Prometheus reads; names in docs/metrics.md."""
        try:
            overview = await self._context.agent.status()
            metrics = await self._context.agent.metrics()
        except UnansweredError:
            # That the agent does not answer is a figure, too.
            overview, metrics = {}, None
        context = self._context
        viewers, encoded = context.viewers.count, context.live.encoded
        text = await context.worker.do(metrics_text, overview, metrics, viewers=viewers, encoded=encoded)
        return Response(text, headers={"Content-Type": TEXT_FORMAT})


def _or_503(description: str) -> dict[int | str, dict[str, Any]]:
    return {**problems(), 503: {"model": schemas.Health, "description": description}}


def _health(*, ok: bool, reasons: list[str]) -> Response:
    return JSONResponse({"ok": ok, "reasons": reasons}, status_code=200 if ok else 503)
