"""Casts: which people and which backgrounds do the scenes use?

`rehearsal` consists of training pictures; its failures may be examined in detail. `premiere` consists of pictures that
no model was trained on, and must not be used to choose anything. `public` needs no reference data.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import cv2
import numpy as np

from examples.make_recording import street
from examples.people import COLLINS, HOPPER
from tests.scenes.composition import HEIGHT_PX, WIDTH_PX
from tests.scenes.figures import SCENES, Photograph, Sitting
from training.masks.drawing import choose_style

if TYPE_CHECKING:
    from edge_agent.domain import Image
    from examples.people import Portrait
    from tests.scenes.figures import Source

CastName: TypeAlias = Literal["public", "rehearsal", "premiere"]


@dataclass(frozen=True, slots=True)
class Person:
    """The same person bare and masked."""

    bare: Source
    masked: Source


@dataclass(frozen=True, slots=True)
class Place:
    """A part of a photograph without people: file, left, top and width; the frame's aspect ratio gives the height."""

    file: str
    x_px: int
    y_px: int
    width_px: int


@dataclass(frozen=True, slots=True)
class Cast:
    """People and places available to a script. The first in `people` have a complete head and shoulders.

    `turning` is one person frontal, turned away, and frontal with a mask.
    """

    name: CastName
    people: tuple[Person, ...]
    passers_by: tuple[Source, ...] = ()
    """People photographed with a mask."""
    bearded: Person | None = None
    turned: Source | None = None
    """The bearded person, turned away."""
    worn_wrongly: Source | None = None
    coughing: Source | None = None
    """A masked person with a hand before the mask."""
    poster: Source | None = None
    places: tuple[Place, ...] = ()

    def background(self, number: int, *, width_px: int = WIDTH_PX, height_px: int = HEIGHT_PX) -> Image:
        """A place without people, (height_px, width_px, 3) BGR."""
        if not self.places:
            return cv2.resize(street(), (width_px, height_px)).astype(np.uint8)
        return _photographed(self.places[number % len(self.places)], width_px, height_px)


@functools.cache
def _photographed(place: Place, width_px: int, height_px: int) -> Image:
    picture = cv2.imread(str(SCENES / place.file), cv2.IMREAD_COLOR)
    if picture is None:
        raise FileNotFoundError(f"{SCENES / place.file}")
    height = place.width_px * height_px // width_px
    part = picture[place.y_px : place.y_px + height, place.x_px : place.x_px + place.width_px]
    large = cv2.resize(part, (width_px, height_px), interpolation=cv2.INTER_CUBIC)
    large.setflags(write=False)
    return np.asarray(large, np.uint8)


def _person(annotation: int) -> Person:
    """A person photographed without a mask, and the same picture with a drawn mask."""
    style = choose_style(np.random.default_rng(annotation), wearing="properly")
    return Person(Photograph(annotation), Photograph(annotation, style))


def _nose_free(annotation: int) -> Photograph:
    return Photograph(annotation, choose_style(np.random.default_rng(annotation), wearing="nose_free"))


def _portrayed(portrait: Portrait) -> Person:
    return Person(Sitting(portrait, masked=False), Sitting(portrait, masked=True))


PUBLIC = Cast("public", people=(_portrayed(COLLINS), _portrayed(HOPPER)), poster=Sitting(HOPPER, masked=False))

REHEARSAL = Cast(
    "rehearsal",
    people=tuple(_person(one) for one in (2609, 2453, 2599, 2639, 2687, 2853, 3128, 2739)),
    passers_by=tuple(Photograph(one) for one in (2703, 2719, 2591, 2830, 2621)),
    bearded=_person(3762),
    turned=Photograph(3691),
    worn_wrongly=_nose_free(2608),
    coughing=Photograph(2833),
    poster=Photograph(3102),
    places=(
        Place("street/649.jpg", 0, 0, 281),
        Place("groups/0811.jpg", 260, 0, 252),
        Place("street/384.jpg", 0, 0, 267),
        Place("groups/0760.jpg", 240, 0, 212),
        Place("street/534.jpg", 160, 0, 200),
        Place("groups/0838.jpg", 300, 0, 212),
    ),
)

PREMIERE = Cast(
    "premiere",
    people=(
        Person(Photograph(1499), Photograph(880)),
        Person(Photograph(1287), Photograph(319)),
        Person(Photograph(2340), Photograph(42)),
        _person(919),
        _person(2184),
        _person(864),
        _person(1192),
        _person(575),
    ),
    passers_by=tuple(Photograph(one) for one in (772, 566, 910, 860, 1486)),
    bearded=Person(Photograph(193), Photograph(712)),
    turned=Photograph(480),
    worn_wrongly=Photograph(733),
    coughing=Photograph(1012),
    poster=Photograph(1327),
    places=(
        Place("street/172.jpg", 0, 0, 261),
        Place("street/597.jpg", 0, 0, 260),
        Place("street/137.jpg", 160, 0, 240),
        Place("street/692.jpg", 0, 0, 261),
    ),
)
CASTS: dict[CastName, Cast] = {cast.name: cast for cast in (PUBLIC, REHEARSAL, PREMIERE)}
