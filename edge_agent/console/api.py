"""API: the HTTP endpoints for programs."""

# FastAPI reads the annotations at run time, so they must not be strings.

import pathlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyCookie, HTTPBearer
from pydantic import Field

from edge_agent.alerts.crops import find_crop, find_scene
from edge_agent.alerts.history import AlertHistory, HistoryEntry, Review
from edge_agent.alerts.people import By, grouped, values_of
from edge_agent.bridge.protocol import DeviceStatus
from edge_agent.console import schemas
from edge_agent.console.alert_view import ALERT_ID_PATTERN, alert_as_json, alert_in_detail
from edge_agent.console.context import Context, Current, check_camera
from edge_agent.console.parameters import NOT_BEFORE_SINCE, Day, LocalMoment, Parameters
from edge_agent.console.responses import bytes_of, problem
from edge_agent.domain import Label
from edge_agent.messages.command import MAX_REQUEST_BYTES, REQUESTS
from edge_agent.messages.result import ResultMessage
from edge_agent.vision.detection import Detection

PREFIX = "/api/v1"
MAX_NAME_CHARACTERS = 63
MAX_ALERTS = 200
MAX_DAYS = 366

NO_ALERT = "no such alert; it may have expired"
NO_PICTURE = "no such picture; crops.picture may exclude it, or it has been deleted"


def _one_field(name: str, *, encoding: str, description: str) -> dict[str, Any]:
    """Describe a body with one field."""
    field = {"type": "string", "format": encoding, "description": description}
    return {"schema": {"type": "object", "required": [name], "properties": {name: field}}}


PICTURE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": _one_field("file", encoding="binary", description="JPEG, PNG, WebP or BMP"),
        "application/json": _one_field("image", encoding="byte", description="JPEG, PNG, WebP or BMP as base64"),
    },
}
COMMAND_BODY = {
    "required": False,
    "content": {
        "application/json": {"schema": {"anyOf": [request.model_json_schema() for request in REQUESTS.values()]}}
    },
}

AlertId = Annotated[str, Path(description="The alert's id", pattern=ALERT_ID_PATTERN)]
CameraName = Annotated[str, Path(description="The camera's name in the configuration", max_length=MAX_NAME_CHARACTERS)]
Download = Annotated[bool, Query(description="Send as a download")]
CommandName = Literal["pause", "resume", "snapshot", "reload", "diagnostics"]


class _Camera(Parameters):
    camera: str = Field("", max_length=MAX_NAME_CHARACTERS, description="Only this camera; empty: all")


class _Last(_Camera):
    last: int = Field(30, ge=1, le=MAX_DAYS, description="Number of days, including today")


class AlertQuery(_Camera):
    """Filter of alerts."""

    label: Label | Literal[""] = Field("", description="Only this label; empty: all")
    day: Day = Field("", description="Only this day, such as 2026-03-01")
    since: LocalMoment = Field(None, description="From this time on")
    until: Annotated[LocalMoment, NOT_BEFORE_SINCE] = Field(None, description="Before this time")
    review: Review | Literal["unreviewed"] = Field("", description="Only with this review; empty: all")
    before: str = Field("", pattern=rf"{ALERT_ID_PATTERN}|^$", description="Older than this alert")
    limit: int = Field(50, ge=1, le=MAX_ALERTS, description="Maximum number of alerts")

    def find(self, history: AlertHistory, *, limit: int) -> tuple[list[HistoryEntry], str]:
        """The alerts of this page, and `before` of the next one; empty: there are no more."""
        review = "" if self.review == "unreviewed" else self.review or None
        # One more than is shown reveals whether there are older ones.
        found = history.find(**{**dict(self), "review": review, "limit": limit + 1})
        return found[:limit], found[limit - 1].id if len(found) > limit else ""


class DaysQuery(_Last):
    """Days whose alerts are counted."""

    label: Label | Literal[""] = Field("", description="Only this label; empty: all")


class CountsQuery(_Last):
    """Days whose people are counted."""

    by: By = Field("day", description="Grouping of the rows")


PROBLEMS: dict[int | str, dict[str, Any]] = {
    400: problem("The request is malformed"),
    401: problem("Not logged in, or a wrong token"),
    403: problem("Requested by a page of another site, or without the CSRF token"),
    421: problem("No password is set, and the host name is not localhost"),
    422: problem("A parameter or the body is invalid"),
    429: problem("Too many requests, or too many wrong tokens; see Retry-After"),
    503: problem("Too busy, or the agent does not answer; see Retry-After"),
}
"""Error responses that any request may get."""
PICTURE = bytes_of("image/jpeg", "application/octet-stream", description="A JPEG, or encrypted by age")

pictures = APIRouter(prefix=PREFIX, tags=["pictures"])
device = APIRouter(prefix=PREFIX, tags=["device"])
history = APIRouter(prefix=PREFIX, tags=["alerts"])


def security(context: Context) -> list[Any]:
    """Describe the ways to authenticate; the middleware has checked them before."""
    if not context.auth.needs_login:
        return []
    token = HTTPBearer(auto_error=False, scheme_name="token", description="The line in console.token_file")
    console = context.config.console
    cookie = context.auth.cookie_name("https" if console.cert_file else "http", console.base_path)
    session = APIKeyCookie(
        name=cookie, auto_error=False, scheme_name="session", description="Session of a user who logged in at /login"
    )
    return [Security(token), Security(session)]


@pictures.post(
    "/detect",
    responses={413: problem("Too many bytes"), 415: problem("Not a JPEG, PNG, WebP or BMP")},
    summary="Detect the faces in a picture and classify their masks",
    openapi_extra={"requestBody": PICTURE_BODY},
)
async def detect(context: Current, request: Request) -> Detection:
    """Send a JPEG, PNG, WebP or BMP picture in the form's field `file`, or as base64 in JSON."""
    async with context.uploads.picture(request) as content:
        return await context.inference.detect(content)


@pictures.get(
    "/cameras/{name}/frame.jpg",
    response_class=Response,
    responses={
        404: problem("No camera of this name, or it has no frame"),
        **bytes_of("image/jpeg", description="The frame"),
    },
    summary="The newest frame of a camera",
)
async def frame(
    context: Current,
    name: CameraName,
    drawn: Annotated[bool, Query(description="Draw boxes, track numbers, readings and verdicts")] = False,
    width_px: Annotated[int, Query(ge=1, le=100_000, description="Approximate width; at most 960")] = 960,
) -> Response:
    """The newest frame as JPEG; encoded once for all clients."""
    check_camera(context, name)
    shown = await context.live.picture(name, width_px=width_px, drawn=drawn)
    if shown is None:
        raise HTTPException(404, "the camera has delivered no frame yet, or is paused; see /api/v1/status")
    return Response(shown.jpeg, media_type="image/jpeg", headers={"X-Taken": shown.when})


@device.get("/status", summary="Status of the device")
async def status(context: Current) -> DeviceStatus:
    """Cameras, delivery, telemetry and degraded reasons."""
    return await context.agent.status()


@device.post(
    "/commands/{name}",
    response_model=ResultMessage,
    responses={409: problem("The agent refused it"), 413: problem("Too long")},
    summary="Run a command, as over MQTT",
    openapi_extra={"requestBody": COMMAND_BODY},
)
async def command(context: Current, name: CommandName, request: Request) -> Response:
    """The body is the payload of the MQTT command (docs/mqtt.md); an empty one means the defaults."""
    payload = await request.body()
    if len(payload) > MAX_REQUEST_BYTES:
        raise HTTPException(413, f"a command has {MAX_REQUEST_BYTES} bytes at most")
    result = await context.agent.command(name, payload)
    _check(str(result["state"]), str(result["reason"]))
    return JSONResponse(result)


@history.get("/alerts", response_model=schemas.Alerts, summary="List alerts, the newest first")
async def alerts(context: Current, query: Annotated[AlertQuery, Query()]) -> Response:
    """Filters are combined; a camera that is no longer configured may still have alerts.

    Times are written as 2026-03-01T08:00Z; without a zone they are local to the device.
    """

    def find() -> dict[str, Any]:
        shown, older = query.find(context.history, limit=query.limit)
        return {
            "alerts": [alert_as_json(entry, context.config.crops_folder) for entry in shown],
            "next": older or None,
        }

    return JSONResponse(await context.worker.do(find))


@history.get(
    "/alerts/{alert_id}",
    response_model=schemas.AlertDetail,
    responses={404: problem("No such alert")},
    summary="One alert with its timeline",
)
async def alert(context: Current, alert_id: AlertId) -> Response:
    """The published message, the resolution and the timeline."""
    return await _respond(context, alert_id, alert_in_detail)


@history.delete(
    "/alerts/{alert_id}",
    status_code=204,
    responses={404: problem("No such alert"), 409: problem("It is not yet delivered")},
    summary="Delete an alert and its picture from this device",
)
async def remove(context: Current, alert_id: AlertId) -> Response:
    """Messages already published are not recalled."""
    reply = await context.agent.delete(alert_id)
    _check(reply.state, reply.reason)
    return Response(status_code=204)


@history.get(
    "/alerts/{alert_id}/crop",
    response_class=Response,
    responses={404: problem("No such alert, or it has no picture any more"), **PICTURE},
    summary="The picture of an alert",
)
async def crop(context: Current, alert_id: AlertId, download: Download = False) -> Response:
    """A JPEG, or a file encrypted with age."""
    return await _picture(context, find_crop, alert_id, download=download)


@history.get(
    "/alerts/{alert_id}/scene",
    response_class=Response,
    responses={404: problem("No such alert, or it has no scene"), **PICTURE},
    summary="The scene of an alert: the whole frame, all other faces hidden",
)
async def scene(context: Current, alert_id: AlertId, download: Download = False) -> Response:
    """Stored if crops.picture is `scene`: a JPEG, or a file encrypted with age."""
    return await _picture(context, find_scene, alert_id, download=download)


@history.put(
    "/alerts/{alert_id}/review",
    response_model=schemas.Alert,
    responses={404: problem("No such alert")},
    summary="Review an alert: what it really shows",
)
async def review(context: Current, alert_id: AlertId, request: schemas.ReviewRequest) -> Response:
    """`edge-agent alerts export` creates a data set from reviewed alerts."""
    reply = await context.agent.review(alert_id, request.review)
    _check(reply.state, reply.reason)
    return await _respond(context, alert_id, alert_as_json)


@history.get("/days", summary="Count alerts by day and label")
async def days(context: Current, query: Annotated[DaysQuery, Query()]) -> schemas.Days:
    """Days without alerts are omitted."""
    today = datetime.now().astimezone().date()
    return schemas.Days(days=await context.worker.do(context.history.days, **query.model_dump(), today=today))


@history.get("/counts", response_model=schemas.PeopleCounted, summary="Count people by what they wear")
async def counts(context: Current, query: Annotated[CountsQuery, Query()]) -> Response:
    """People who have left, by local day, hour (UTC) or camera; rows without people are omitted."""
    today = datetime.now().astimezone().date()
    first = today - timedelta(days=query.last - 1)

    def count() -> list[dict[str, Any]]:
        rows = context.history.people(camera=query.camera, first=first, last=today)
        return [{"of": key, **values_of(counts)} for key, counts in grouped(rows, query.by).items()]

    return JSONResponse({"counts": await context.worker.do(count)})


def _entry(context: Context, alert_id: str) -> HistoryEntry:
    """An alert of the history.

    Raises:
        HTTPException: 404: there is no such alert.
    """
    entry = context.history.entry(alert_id)
    if entry is None:
        raise HTTPException(404, NO_ALERT)
    return entry


async def _respond(
    context: Context, alert_id: str, present: Callable[[HistoryEntry, pathlib.Path], Mapping[str, Any]]
) -> Response:
    """Respond with an alert."""
    crops_folder = context.config.crops_folder
    return JSONResponse(await context.worker.do(lambda: present(_entry(context, alert_id), crops_folder)))


async def _picture(
    context: Context, find: Callable[[pathlib.Path, str], pathlib.Path | None], alert_id: str, *, download: bool
) -> Response:
    """Respond with a picture; an encrypted one is a download, because browsers cannot show it.

    Raises:
        HTTPException: 404: there is no such alert, or it has no such picture.
    """

    def read() -> tuple[str, bytes]:
        file = find(context.config.crops_folder, _entry(context, alert_id).id)
        try:
            if file is not None:
                return file.name, file.read_bytes()
        except OSError:
            pass
        raise HTTPException(404, NO_PICTURE)

    name, content = await context.worker.do(read)
    is_encrypted = name.endswith(".age")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if download or is_encrypted else {}
    kind = "application/octet-stream" if is_encrypted else "image/jpeg"
    return Response(content, media_type=kind, headers=headers)


def _check(state: str, reason: str) -> None:
    """Check the state of a command or of a change, which the agent was asked for.

    Raises:
        HTTPException: 404, 409 or 503: it is not done.
    """
    match state:
        case "done":
            return
        case "missing":
            raise HTTPException(404, NO_ALERT)
        case "refused":
            raise HTTPException(409, reason)
        case _:
            raise HTTPException(503, reason, {"Retry-After": "10"})
