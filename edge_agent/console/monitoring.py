"""Monitoring: metrics and health endpoints for Prometheus, load balancers and curl."""

# FastAPI reads the annotations at run time, so they must not be strings.

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from edge_agent.bridge.client import UnansweredError
from edge_agent.bridge.protocol import DeviceStatus
from edge_agent.console import schemas
from edge_agent.console.context import Context, Current
from edge_agent.console.exposition import TEXT_FORMAT
from edge_agent.console.prometheus import metrics_text
from edge_agent.console.responses import bytes_of

probes = APIRouter(tags=["monitoring"])
"""These need no login."""
figures = APIRouter(tags=["monitoring"])


def _or_503(description: str) -> dict[int | str, dict[str, Any]]:
    return {503: {"model": schemas.Health, "description": description}}


@probes.get(
    "/health",
    response_model=schemas.Health,
    responses=_or_503("The agent is not healthy, for these reasons"),
    summary="Whether the agent is healthy",
)
async def health(context: Current) -> Response:
    """200 under the same condition as for systemd's watchdog: frames arrive, or a failed camera is being reopened."""
    # Codes instead of texts, which name cameras: this endpoint is public.
    return await _health(context, lambda status: (status.is_watching, [reason.code for reason in status.reasons]))


@probes.get(
    "/ready",
    response_model=schemas.Health,
    responses=_or_503("Not yet"),
    summary="Whether the agent has processed a first frame",
)
async def ready(context: Current) -> Response:
    """200 once the models are loaded and a first frame was processed."""
    reasons = ["no frame was processed yet"]
    return await _health(context, lambda status: (status.is_ready, [] if status.is_ready else reasons))


@figures.get(
    "/metrics",
    response_class=Response,
    responses=bytes_of("text/plain", description="Prometheus' text format 0.0.4"),
    summary="Metrics for Prometheus",
)
async def metrics(context: Current) -> Response:
    """Text format 0.0.4, which every version of Prometheus reads; docs/metrics.md lists the metrics."""
    try:
        answered = await context.agent.status(), await context.agent.metrics()
    except UnansweredError:
        # The metrics of the console itself, and maskwatch_healthy 0.
        answered = None
    viewers, encoded = context.live.viewers, context.live.encoded
    text = await context.worker.do(metrics_text, answered, viewers=viewers, encoded=encoded)
    return Response(text, headers={"Content-Type": TEXT_FORMAT})


async def _health(context: Context, judge: Callable[[DeviceStatus], tuple[bool, list[str]]]) -> Response:
    """Respond with a judgement of the status: whether all is well, and why not."""
    try:
        ok, reasons = judge(await context.agent.status())
    except UnansweredError as error:
        ok, reasons = False, [str(error)]
    return JSONResponse({"ok": ok, "reasons": reasons}, status_code=200 if ok else 503)
