"""API: JSON endpoints for programs.

Plain functions, as the database blocks: FastAPI runs them in threads.
"""

from __future__ import annotations

import io
import zipfile
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from prometheus_client.core import GaugeMetricFamily
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from edge_agent.console.exposition import TEXT_FORMAT, exposition, gauge, labelled
from edge_agent.console.responses import bytes_of, problem
from edge_agent.messages.message import Uuid7  # noqa: TC001  (FastAPI reads it)
from fleet.web import queries
from fleet.web.context import Admin, CountsQuery, Database, Operator, Review, check_session, hours, or_404

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg_pool import ConnectionPool

JPEG_MAGIC = b"\xff\xd8"

PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem("The request is malformed"),
    401: problem("Not logged in, or a wrong token"),
    403: problem("Requested by a page of another site, without the CSRF token, or by a user without the role"),
    404: problem("Unknown device or alert, or no picture of it; data older than database.retention_days is deleted"),
    413: problem("Too many bytes"),
    422: problem("A parameter or the body is invalid"),
    429: problem("Too many requests, or too many wrong tokens; see Retry-After"),
    503: problem("Too busy, or the database does not answer; see Retry-After"),
}
"""Error responses that requests may get."""
PICTURE = bytes_of("image/jpeg", "application/octet-stream", description="A JPEG, or encrypted by age")

api = APIRouter(responses=PROBLEMS, dependencies=[Depends(check_session)])


@api.get("/health")
def health(connection: Database) -> dict[str, bool]:
    """Whether the database responds."""
    connection.execute("select 1")
    return {"ok": True}


@api.get("/api/v1/devices")
def devices(request: Request, connection: Database, query: Annotated[queries.DeviceFilter, Query()]) -> dict[str, Any]:
    """Devices by name, a page at a time."""
    found, is_more = queries.devices(connection, query, silent_seconds=request.app.state.silent_seconds)
    return {"devices": found, "after": found[-1]["device"] if is_more else ""}


@api.get("/api/v1/devices/{device}")
def device(connection: Database, device: str) -> dict[str, Any]:
    """One device: its last messages, its boots with their missing messages, and its alerts by day (UTC)."""
    return dict(or_404(queries.device(connection, queries.clean(device))))


@api.get("/api/v1/gaps")
def gaps(connection: Database) -> list[dict[str, Any]]:
    """Gaps in the sequences of devices: the first 1,000. `missing` of a device counts all of its gaps."""
    return queries.gaps(connection)


@api.get("/api/v1/alerts")
def alerts(connection: Database, query: Annotated[queries.AlertFilter, Query()]) -> dict[str, Any]:
    """Alerts, newest first, a page at a time."""
    found, is_more = queries.alerts(connection, query)
    return {"alerts": found, "before": found[-1]["id"] if is_more else ""}


@api.get("/api/v1/alerts/{alert_id}")
def alert(connection: Database, alert_id: Uuid7) -> dict[str, Any]:
    """One alert with all details."""
    return dict(or_404(queries.alert(connection, alert_id)))


@api.get("/api/v1/alerts/{alert_id}/crop", response_class=Response, responses=PICTURE)
def crop(connection: Database, alert_id: Uuid7) -> Response:
    """The crop, if the device publishes crops."""
    content = or_404(queries.picture(connection, alert_id))
    kind = "image/jpeg" if content.startswith(JPEG_MAGIC) else "application/octet-stream"
    return Response(content, media_type=kind)


@api.put("/api/v1/alerts/{alert_id}/review")
def review(connection: Database, alert_id: Uuid7, request: Review, name: Operator) -> dict[str, str]:
    """Set the review of an alert."""
    if not queries.review(connection, alert_id, review=request.review, by=name):
        raise HTTPException(HTTPStatus.NOT_FOUND, "no such alert")
    return {"review": request.review}


@api.get(
    "/api/v1/reviews.zip",
    response_class=Response,
    responses=bytes_of("application/zip", description="A folder for each class"),
)
def reviews(request: Request, _name: Admin) -> Response:
    """Reviewed crops as a zip file with a folder for each class, as used for training."""
    headers = {"Content-Disposition": "attachment; filename=reviews.zip"}
    return StreamingResponse(_zipped(request.app.state.pool), media_type="application/zip", headers=headers)


@api.get("/api/v1/counts")
def counts(connection: Database, query: Annotated[CountsQuery, Query()]) -> list[dict[str, Any]]:
    """People and compliance by site and hour, newest first: 744 rows and the rest of their last hour.

    `until` with the `begins` of the last row continues.
    """
    return queries.counts(connection, **hours(query))[0]


@api.get(
    "/metrics", response_class=Response, responses=bytes_of("text/plain", description="Prometheus' text format 0.0.4")
)
def metrics(request: Request, connection: Database) -> Response:
    """Metrics for Prometheus."""
    found = queries.figures(connection, silent_seconds=request.app.state.silent_seconds)
    return Response(_metrics_text(found), headers={"Content-Type": TEXT_FORMAT})


def _zipped(pool: ConnectionPool) -> Iterator[bytes]:
    """Stream a zip file, with at most one picture in memory."""
    out = _Unread()
    with pool.connection() as connection, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for kind in queries.REVIEWS:
            for alert_id, device, content in queries.reviewed_pictures(connection, kind):
                suffix = ".jpg" if content.startswith(JPEG_MAGIC) else ".jpg.age"
                archive.writestr(f"{kind}/{device}_{alert_id}{suffix}", content)
                yield out.take()
    yield out.take()


class _Unread(io.RawIOBase):
    """What zipfile has written and `take` has not returned yet. It cannot seek."""

    def __init__(self) -> None:
        super().__init__()
        self._content = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        self._content += content
        return len(content)

    def take(self) -> bytes:
        content = bytes(self._content)
        self._content.clear()
        return content


def _metrics_text(found: Mapping[str, Any]) -> bytes:
    devices = {(state,): count for state, count in (found["states"] or {}).items()}
    missing = {(state,): found[state] for state in ("lost", "on_its_way")}
    return exposition(
        [
            labelled(GaugeMetricFamily, "maskwatch_fleet_devices", "Devices by state", devices, "state"),
            labelled(
                GaugeMetricFamily, "maskwatch_fleet_missing_messages", "Messages missing in sequences", missing, "state"
            ),
            gauge("maskwatch_fleet_silent_devices", "Devices that send nothing", found["silent"]),
            gauge("maskwatch_fleet_alerts_last_hour", "Alerts of the last hour", found["alerts_of_last_hour"]),
        ]
    )
