"""API: the HTTP endpoints for programs."""

# FastAPI reads the annotations at run time, so they must not be strings.

import pathlib
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response, Security
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyCookie, HTTPBearer

from edge_agent.alerts.crops import find_crop, find_scene
from edge_agent.alerts.history import Review
from edge_agent.alerts.people import By, grouped, values_of
from edge_agent.bridge.protocol import ChangeReply
from edge_agent.console import schemas
from edge_agent.console.alert_view import ALERT_ID_PATTERN, alert_as_json, alert_in_detail
from edge_agent.console.context import Context
from edge_agent.domain import Label
from edge_agent.messages.result import ResultMessage

LONGEST_COMMAND_BYTES = 4096
DAY_PATTERN = r"^\d{4}-\d{2}-\d{2}$"
TIME_PATTERN = r"^[12]\d{3}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{3})?)?(Z|[+-]\d{2}:\d{2})?$"
LONGEST_NAME = 63
MOST_ALERTS = 200
MOST_DAYS = 366

NO_ALERT = "no such alert; it may have expired"

PICTURE_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary", "description": "JPEG, PNG, WebP or BMP"}},
            }
        },
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["image"],
                "properties": {
                    "image": {"type": "string", "format": "byte", "description": "JPEG, PNG, WebP or BMP as base64"}
                },
            }
        },
    },
}
COMMAND_BODY = {
    "required": False,
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string", "maxLength": 64, "description": "Comes back in the result"},
                    "camera": {
                        "type": "string",
                        "maxLength": 63,
                        "description": "pause, resume, snapshot: this camera",
                    },
                    "on": {"type": "boolean", "description": "pause: false resumes"},
                    "seconds": {
                        "type": ["number", "null"],
                        "exclusiveMinimum": 0,
                        "maximum": 604_800,
                        "description": "pause: for so long; null: until resumed",
                    },
                },
            }
        }
    },
}

T = TypeVar("T")

AlertId = Annotated[str, Path(description="The alert's id", pattern=ALERT_ID_PATTERN)]
CameraName = Annotated[str, Path(description="The camera's name in the configuration", max_length=LONGEST_NAME)]
CameraFilter = Annotated[str, Query(max_length=LONGEST_NAME, description="Of this camera; empty: of all")]
LabelFilter = Annotated[Label | Literal[""], Query(description="With this label; empty: with any")]
CommandName = Literal["pause", "resume", "snapshot", "reload", "diagnostics"]


def problems(**more: str) -> dict[int | str, dict[str, Any]]:
    """Describe error responses: those that any request may get, and these (`_404="why"`)."""
    everywhere = {
        "_400": "The request is malformed",
        "_401": "Not logged in, or a wrong token",
        "_403": "Requested by a page of another site, or without the CSRF token",
        "_421": "Without a password: requested by another name than localhost",
        "_422": "A parameter or the body does not fit",
        "_429": "Too many requests, or too many wrong tokens; see Retry-After",
        "_503": "Too busy, or the agent does not answer; see Retry-After",
    }
    return {
        int(status[1:]): {"model": schemas.Problem, "description": text}
        for status, text in sorted({**everywhere, **more}.items())
    }


def bytes_of(*kinds: str, description: str) -> dict[int | str, dict[str, Any]]:
    """Describe a response that is not JSON."""
    content = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in kinds}
    return {200: {"content": content, "description": description}}


def security(context: Context) -> list[Any]:
    """Describe the ways to authenticate; the middleware has checked them before."""
    if not context.auth.needs_login:
        return []
    token = HTTPBearer(auto_error=False, scheme_name="token", description="The line in console.token_file")
    cookie = context.auth.cookie_name("https" if context.config.cert_file else "http", context.config.base_path)
    session = APIKeyCookie(
        name=cookie, auto_error=False, scheme_name="session", description="Of a person who has logged in at /login"
    )
    return [Security(token), Security(session)]


class Api:
    """The endpoints for programs and for the scripts of the pages."""

    def __init__(self, context: Context) -> None:
        """Requests are answered from `context`."""
        self._context = context

    def router(self) -> APIRouter:
        """All paths with their responses."""
        router = APIRouter(prefix="/api/v1", dependencies=security(self._context))
        add = router.add_api_route
        add(
            "/detect",
            self.detect,
            methods=["POST"],
            response_model=schemas.Detection,
            responses=problems(_413="Too many bytes", _415="Not a JPEG, PNG, WebP or BMP"),
            summary="Detect the faces in a picture and classify their masks",
            tags=["pictures"],
            openapi_extra={"requestBody": PICTURE_BODY},
        )
        add(
            "/cameras/{name}/frame.jpg",
            self.frame,
            methods=["GET"],
            response_class=Response,
            responses={
                **problems(_404="No camera of this name, or it gives no picture now"),
                **bytes_of("image/jpeg", description="What the camera sees"),
            },
            summary="The newest frame of a camera",
            tags=["pictures"],
        )
        add(
            "/status",
            self.status,
            methods=["GET"],
            response_model=schemas.Status,
            responses=problems(),
            summary="Status of the device",
            tags=["device"],
        )
        add(
            "/commands/{name}",
            self.command,
            methods=["POST"],
            response_model=ResultMessage,
            responses=problems(_409="It was refused", _413="Too long"),
            summary="Run a command, as over MQTT",
            tags=["device"],
            openapi_extra={"requestBody": COMMAND_BODY},
        )
        self._add_alerts(router)
        return router

    def _add_alerts(self, router: APIRouter) -> None:
        add = router.add_api_route
        add(
            "/alerts",
            self.alerts,
            methods=["GET"],
            response_model=schemas.Alerts,
            responses=problems(),
            summary="List alerts, the newest first",
            tags=["alerts"],
        )
        add(
            "/alerts/{alert_id}",
            self.alert,
            methods=["GET"],
            response_model=schemas.AlertDetail,
            responses=problems(_404="No such alert"),
            summary="One alert with its timeline",
            tags=["alerts"],
        )
        add(
            "/alerts/{alert_id}",
            self.remove,
            methods=["DELETE"],
            status_code=204,
            responses=problems(_404="No such alert", _409="It is not yet delivered"),
            summary="Delete an alert and its picture from this device",
            tags=["alerts"],
        )
        add(
            "/alerts/{alert_id}/crop",
            self.crop,
            methods=["GET"],
            response_class=Response,
            responses={
                **problems(_404="No such alert, or it has no picture any more"),
                **bytes_of("image/jpeg", "application/octet-stream", description="The crop: JPEG, or encrypted by age"),
            },
            summary="The picture of an alert",
            tags=["alerts"],
        )
        add(
            "/alerts/{alert_id}/scene",
            self.scene,
            methods=["GET"],
            response_class=Response,
            responses={
                **problems(_404="No such alert, or it has no scene"),
                **bytes_of("image/jpeg", "application/octet-stream", description="A JPEG, or encrypted by age"),
            },
            summary="The scene of an alert: the whole frame, all other faces hidden",
            tags=["alerts"],
        )
        add(
            "/alerts/{alert_id}/review",
            self.review,
            methods=["PUT"],
            response_model=schemas.Alert,
            responses=problems(_404="No such alert"),
            summary="Review an alert: what does it really show?",
            tags=["alerts"],
        )
        add(
            "/days",
            self.days,
            methods=["GET"],
            response_model=schemas.Days,
            responses=problems(),
            summary="Count alerts by day and label",
            tags=["alerts"],
        )
        add(
            "/counts",
            self.counts,
            methods=["GET"],
            response_model=schemas.PeopleCounted,
            responses=problems(),
            summary="Count people by what they wear",
            tags=["alerts"],
        )

    async def detect(self, request: Request) -> Response:
        """Send a JPEG, PNG, WebP or BMP picture in the form's field `file`, or as base64 in JSON."""
        with self._context.uploads.room() as room:
            content = await self._context.uploads.picture(request, room)
            return JSONResponse(await self._context.inference.detect(content))

    async def frame(
        self,
        name: CameraName,
        drawn: Annotated[bool, Query(description="Draw everybody's box, number, reading and verdict")] = False,
        width_px: Annotated[int, Query(ge=1, le=100_000, description="About so wide; at most 960")] = 960,
    ) -> Response:
        """The newest frame as JPEG; drawn and encoded once, however many ask."""
        live = self._context.live
        if name not in self._context.cameras:
            raise HTTPException(404, f"no camera of this name; known are {', '.join(self._context.cameras)}")
        frame = await live.frame(name)
        if frame is None:
            raise HTTPException(404, "the camera has delivered no frame yet, or is paused; see /api/v1/status")
        shown = await live.picture(frame, width_px=width_px, drawn=drawn)
        return Response(shown.jpeg, media_type="image/jpeg", headers={"X-Taken": str(shown.head["when"])})

    async def status(self) -> Response:
        """Cameras, delivery, figures and degraded reasons."""
        return JSONResponse(await self._context.agent.status())

    async def command(self, name: CommandName, request: Request) -> Response:
        """The body is that of the MQTT command (docs/mqtt.md); an empty one means the defaults."""
        payload = b""
        async for chunk in request.stream():
            payload += chunk
            if len(payload) > LONGEST_COMMAND_BYTES:
                raise HTTPException(
                    413, f"a command has {LONGEST_COMMAND_BYTES} bytes at most", {"Connection": "close"}
                )
        result = await self._context.agent.command(name, payload)
        match result["state"]:
            case "done":
                return JSONResponse(result)
            case "refused":
                raise HTTPException(409, str(result["reason"]))
            case _:
                raise HTTPException(503, str(result["reason"]), {"Retry-After": "10"})

    async def alerts(
        self,
        *,
        camera: CameraFilter = "",
        label: LabelFilter = "",
        day: Annotated[str, Query(pattern=rf"{DAY_PATTERN}|^$", description="Of this day, as 2026-03-01")] = "",
        since: Annotated[str, Query(pattern=rf"{TIME_PATTERN}|^$", description="From this time on")] = "",
        until: Annotated[str, Query(pattern=rf"{TIME_PATTERN}|^$", description="Before this time")] = "",
        review: Annotated[
            Review | Literal["unreviewed"], Query(description="Which a reviewer says show this; empty: any")
        ] = "",
        before: Annotated[str, Query(pattern=rf"{ALERT_ID_PATTERN}|^$", description="Older than this alert")] = "",
        limit: Annotated[int, Query(ge=1, le=MOST_ALERTS, description="So many at most")] = 50,
    ) -> Response:
        """Filters are combined; a camera that is no longer configured may still have alerts.

        A time is as 2026-03-01T08:00Z; one without a zone is of the device's clock.
        """
        return JSONResponse(
            await self._context.worker.do(
                self._find,
                camera=camera,
                label=label,
                day=day,
                since=_time(since),
                until=_time(until),
                review=review,
                before=before,
                limit=limit,
            )
        )

    async def alert(self, alert_id: AlertId) -> Response:
        """As it was published, how it was resolved, and its timeline."""
        entry = await self._context.worker.do(self._in_detail, alert_id)
        return JSONResponse(_known(entry))

    async def crop(
        self,
        alert_id: AlertId,
        download: Annotated[bool, Query(description="Have a browser save it")] = False,
    ) -> Response:
        """The JPEG, or the file that age has encrypted."""
        return _picture(_known(await self._context.worker.do(self._read, find_crop, alert_id)), download=download)

    async def scene(
        self,
        alert_id: AlertId,
        download: Annotated[bool, Query(description="Have a browser save it")] = False,
    ) -> Response:
        """Kept where crops.picture is `scene`: the JPEG, or the file that age has encrypted."""
        return _picture(_known(await self._context.worker.do(self._read, find_scene, alert_id)), download=download)

    async def review(self, alert_id: AlertId, request: schemas.ReviewRequest) -> Response:
        """`edge-agent alerts export` makes a data set of reviewed alerts."""
        _check(await self._context.agent.review(alert_id, request.review))
        return JSONResponse(_known(await self._context.worker.do(self._in_list, alert_id)))

    async def remove(self, alert_id: AlertId) -> Response:
        """What was already published is not recalled."""
        _check(await self._context.agent.delete(alert_id))
        return Response(status_code=204)

    async def days(
        self,
        camera: CameraFilter = "",
        label: LabelFilter = "",
        last: Annotated[int, Query(ge=1, le=MOST_DAYS, description="So many days, today included")] = 30,
    ) -> Response:
        """Days without an alert are left out."""
        today = datetime.now(timezone.utc).astimezone().date()
        counts = await self._context.worker.do(
            self._context.history.days, camera=camera, label=label, last=last, today=today
        )
        return JSONResponse({"days": [{"day": one.day, "label": one.label, "count": one.count} for one in counts]})

    async def counts(
        self,
        camera: CameraFilter = "",
        by: Annotated[By, Query(description="A row for each")] = "day",
        last: Annotated[int, Query(ge=1, le=MOST_DAYS, description="So many days, today included")] = 30,
    ) -> Response:
        """People who have left, by day of the device's clock, hour (UTC) or camera; rows without any are left out."""
        today = datetime.now(timezone.utc).astimezone().date()
        rows = await self._context.worker.do(
            self._context.history.people, camera=camera, first=today - timedelta(days=last - 1), last=today
        )
        return JSONResponse({"counts": [{"of": key, **values_of(one)} for key, one in grouped(rows, by).items()]})

    # In the worker: reads of the history or the disk.

    def _find(
        self,
        *,
        since: datetime | None,
        until: datetime | None,
        review: Review | Literal["unreviewed"],
        limit: int,
        **filters: str,
    ) -> dict[str, Any]:
        wanted: Review | None = "" if review == "unreviewed" else review or None
        found = self._context.history.find(**filters, since=since, until=until, review=wanted, limit=limit + 1)
        shown = found[:limit]
        return {
            "alerts": [alert_as_json(entry, self._context.crops_folder) for entry in shown],
            "next": shown[-1].id if len(found) > limit else None,
        }

    def _in_detail(self, alert_id: str) -> Mapping[str, Any] | None:
        entry = self._context.history.entry(alert_id)
        return alert_in_detail(entry, self._context.crops_folder) if entry else None

    def _read(
        self, find: Callable[[pathlib.Path, str], pathlib.Path | None], alert_id: str
    ) -> tuple[str, bytes] | None:
        if self._context.history.entry(alert_id) is None:
            return None
        file = find(self._context.crops_folder, alert_id)
        if file is None:
            return None
        try:
            return file.name, file.read_bytes()
        except OSError:
            return None

    def _in_list(self, alert_id: str) -> Mapping[str, Any] | None:
        entry = self._context.history.entry(alert_id)
        return alert_as_json(entry, self._context.crops_folder) if entry else None


def _picture(file: tuple[str, bytes], *, download: bool) -> Response:
    """Respond with a picture; an encrypted one is a download, because browsers cannot show it."""
    name, content = file
    is_encrypted = name.endswith(".age")
    headers = {"Content-Disposition": f'attachment; filename="{name}"'} if download or is_encrypted else {}
    kind = "application/octet-stream" if is_encrypted else "image/jpeg"
    return Response(content, media_type=kind, headers=headers)


def _check(reply: ChangeReply) -> None:
    """Check that the agent has made a change.

    Raises:
        HTTPException: 404, 409 or 503: it has not.
    """
    match reply.state:
        case "done":
            return
        case "missing":
            raise HTTPException(404, NO_ALERT)
        case "refused":
            raise HTTPException(409, reply.reason)
        case "failed":
            raise HTTPException(503, reply.reason, {"Retry-After": "60"})


def _time(text: str) -> datetime | None:
    """Parse a time; without a zone it is in the device's.

    Raises:
        HTTPException: 422: invalid time.
    """
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone() if text else None
    except (ValueError, OverflowError) as error:
        raise HTTPException(422, f"there is no time {text}") from error


def _known(found: T | None) -> T:
    """Return the value if it was found.

    Raises:
        HTTPException: 404: it was not.
    """
    if found is None:
        raise HTTPException(404, NO_ALERT)
    return found
