"""Is OpenAPI told so that a person can use it?"""

from __future__ import annotations

from typing import Annotated

import pytest
from fastapi import FastAPI, Path, Query
from pydantic import BaseModel, Field

from edge_agent.console.document import groups


class Picture(BaseModel):
    image: str = Field(description="as base64")
    note: str | None = None


class Found(BaseModel):
    count: int = Field(description="of faces")
    boxes: list[float] = []
    size: tuple[int, int] = (0, 0)


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(openapi_url="/openapi.json")

    @app.get("/things", tags=["Things"], summary="List them")
    def things(camera: Annotated[str, Query(description="only of this one")] = "") -> Found:
        """All of them,
        newest first."""
        return Found(count=len(camera))

    @app.post("/detect", tags=["Pictures"])
    def detect(picture: Picture) -> Found:
        return Found(count=len(picture.image))

    @app.delete("/things/{name}", tags=["Things"])
    def remove(name: Annotated[str, Path()]) -> None:
        return None

    return app


@pytest.fixture
def operations(app):
    told = groups(app.openapi(), origin="http://127.0.0.1:8080", needs_token=True)
    return {f"{operation.method} {operation.path}": operation for group in told for operation in group.operations}


def test_operations_stand_in_the_group_of_their_tag(app):
    told = groups(app.openapi(), origin="", needs_token=False)

    assert [(group.name, [operation.method for operation in group.operations]) for group in told] == [
        ("Things", ["get", "delete"]),
        ("Pictures", ["post"]),
    ]


def test_parameters_tell_where_they_go_and_what_they_mean(operations):
    (camera,) = operations["get /things"].parameters

    assert (camera.name, camera.place, camera.kind, camera.is_required) == ("camera", "query", "string", False)
    assert camera.says == "only of this one"
    assert operations["get /things"].description == "All of them, newest first."


def test_bodies_and_answers_are_followed_to_their_fields(operations):
    (body,) = operations["post /detect"].bodies
    answer = operations["post /detect"].answers[0]

    assert [(field.name, field.kind, field.is_required) for field in body.fields] == [
        ("image", "string", True),
        ("note", "string or null", False),
    ]
    assert [(field.name, field.kind, field.says) for field in answer.fields] == [
        ("count", "integer", "of faces"),
        ("boxes", "list of number", ""),
        ("size", "2 x integer", ""),
    ]


def test_an_example_can_be_typed_as_it_stands(operations):
    assert operations["get /things"].example == ('curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8080/things')
    assert operations["post /detect"].example == (
        """curl -X POST -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' """
        """-d '{"image": "<string>"}' http://127.0.0.1:8080/detect"""
    )


def test_only_what_reads_and_needs_nothing_said_can_be_asked_from_the_page(operations):
    assert {name for name, operation in operations.items() if operation.can_be_tried} == {"get /things"}
