"""Domain types passed between the stages of the pipeline.

Frozen values only. `at` is monotonic seconds, `when` an aware UTC datetime; pixels are BGR uint8.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timezone
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

Image: TypeAlias = NDArray[np.uint8]
"""Pixels, shape (height, width, 3), BGR, uint8."""


class Picture(Protocol):
    """Pixels that are BGR uint8 where they are read: an `Image`, or a decoder's planes.

    Indexed by rows and columns it gives an `Image`, as does `np.asarray` for the whole.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Height, width, 3."""
        ...

    @property
    def nbytes(self) -> int:
        """Memory of the pixels."""
        ...

    def __getitem__(self, part: tuple[slice, slice], /) -> Image: ...

    def __array__(self) -> NDArray[Any]: ...


Label: TypeAlias = Literal["with_mask", "without_mask", "mask_worn_incorrectly"]

LABELS: tuple[Label, ...] = ("with_mask", "without_mask", "mask_worn_incorrectly")

Class: TypeAlias = Literal[Label, "no_face"]
"""Classes of a classifier. `no_face` is a false detection: never a label of a reading."""

NO_FACE: Literal["no_face"] = "no_face"
CLASSES: tuple[Class, ...] = (*LABELS, NO_FACE)

CountedAs: TypeAlias = Label | Literal["undecided"]
"""How a person who has left is counted."""

COUNTED_AS: tuple[CountedAs, ...] = (*LABELS, "undecided")

Decision: TypeAlias = Literal["violation", "compliant", "undecided"]


def timestamp(when: datetime) -> str:
    """Write an aware time as RFC 3339 in UTC with milliseconds: 2025-01-31T12:00:00.000Z."""
    return when.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels of the frame; the right and lower edges are exclusive. May reach outside the frame."""

    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def width_px(self) -> float:
        """Width, never negative."""
        return max(0.0, self.x2 - self.x1)

    @property
    def height_px(self) -> float:
        """Height, never negative."""
        return max(0.0, self.y2 - self.y1)

    @property
    def area_px(self) -> float:
        """Area in square pixels."""
        return self.width_px * self.height_px

    @property
    def shorter_side_px(self) -> float:
        """The size of a face."""
        return min(self.width_px, self.height_px)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle as x, y."""
        return (self.x1 + self.x2) / 2, (self.y1 + self.y2) / 2

    def overlap(self, other: Box) -> float:
        """Intersection over union with another box, 0..1."""
        width = min(self.x2, other.x2) - max(self.x1, other.x1)
        height = min(self.y2, other.y2) - max(self.y1, other.y1)
        if width <= 0 or height <= 0:
            return 0.0
        shared = width * height
        return shared / (self.area_px + other.area_px - shared)

    def grown(self, margin_fraction: float) -> Box:
        """The box with a margin on every side, as a fraction of its own width and height."""
        dx, dy = self.width_px * margin_fraction, self.height_px * margin_fraction
        return Box(self.x1 - dx, self.y1 - dy, self.x2 + dx, self.y2 + dy)

    def clipped(self, *, width_px: float, height_px: float) -> Box:
        """The part inside a frame of this size; empty (zero width or height) where nothing is inside."""
        return Box(
            min(max(self.x1, 0.0), width_px),
            min(max(self.y1, 0.0), height_px),
            min(max(self.x2, 0.0), width_px),
            min(max(self.y2, 0.0), height_px),
        )

    def seen_from(self, left: float, top: float) -> Box:
        """The same rectangle in pixels of a part of the frame that begins there."""
        return Box(self.x1 - left, self.y1 - top, self.x2 - left, self.y2 - top)

    def as_ints(self) -> tuple[int, int, int, int]:
        """Rounded to whole pixels as x1, y1, x2, y2."""
        return round(self.x1), round(self.y1), round(self.x2), round(self.y2)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one camera, read-only."""

    camera: str
    index: int
    picture: Picture
    taken_at: float
    taken_when: datetime

    @property
    def image(self) -> Image:
        """The whole picture in BGR, converted by each call if it is not stored so: stages take what they need."""
        return np.asarray(self.picture)

    @property
    def width_px(self) -> int:
        """Width of the picture."""
        return self.picture.shape[1]

    @property
    def height_px(self) -> int:
        """Height of the picture."""
        return self.picture.shape[0]

    def cut(self, box: Box) -> Image:
        """Copy what is inside a box, at least one pixel of it, so that it outlives the frame."""
        x1, y1, x2, y2 = box.clipped(width_px=self.width_px, height_px=self.height_px).as_ints()
        x1, y1 = min(x1, self.width_px - 1), min(y1, self.height_px - 1)
        return self.picture[y1 : max(y2, y1 + 1), x1 : max(x2, x1 + 1)].copy()


@dataclass(frozen=True, slots=True)
class Face:
    """A detected face with its score, 0..1."""

    box: Box
    score: float


@dataclass(frozen=True, slots=True)
class Track:
    """A person across frames; `face` is their detection in the current frame."""

    id: int
    camera: str
    face: Face
    first_seen_at: float
    first_seen_when: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How one face wears its mask in one frame.

    `scores` holds one probability per label of the model and sums to 1; `score` is the one of `label`.
    `quality` 0..1 is the reliability of the face. `cutout` is the face with a margin, copied from the frame at
    `cutout_place` (left, top), so that it remains available after the frame is released; `bystanders` are the other
    faces in it, in its pixels.
    """

    track: Track
    label: Label
    score: float
    scores: Mapping[Label, float]
    taken_at: float
    taken_when: datetime
    frame_size: tuple[int, int]
    quality: float
    cutout: Image
    cutout_place: tuple[int, int]
    bystanders: tuple[Box, ...]

    @property
    def face_in_cutout(self) -> Box:
        """The box of the face in pixels of the cutout."""
        return self.track.face.box.seen_from(*self.cutout_place)


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """The result of a track's readings.

    `llr` is a log-likelihood ratio (natural logarithm); positive means a violation. `label`, `score`,
    `readings` and `best`, the clearest of them, refer to the readings that support the decision.
    """

    track: Track
    decision: Decision
    label: Label
    score: float
    readings: int
    llr: float
    best: Reading


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrackedFrame:
    """The people in one frame, for the decisions about them.

    `following` are the tracks not yet lost, including people out of view for a moment; `still` those without a sign of
    life yet, `static` those known to be pictures or mannequins. `size` is width and height in pixels.
    """

    tracks: Sequence[Track] = ()
    verdicts: Sequence[Verdict] = ()
    following: frozenset[int] = frozenset()
    still: frozenset[int] = frozenset()
    static: frozenset[int] = frozenset()
    size: tuple[int, int]
    at: float
    when: datetime


@dataclass(frozen=True, slots=True, eq=False)
class Alert:
    """An alert, published once per violation.

    `id` is a UUID version 7. `suppressed` counts the violations of this camera since its last alert that ended
    before an alert was allowed.
    """

    id: str
    verdict: Verdict
    when: datetime
    suppressed: int = 0


@dataclass(frozen=True, slots=True)
class Resolved:
    """The end of an alert's violation: the person has left or now wears the mask.

    `began_when` is the alert's `when`. The duration is measured with the monotonic clock, because the
    system clock may be set in between.
    """

    alert_id: str
    track: Track
    label: Label
    reason: Literal["left", "compliant"]
    began_when: datetime
    when: datetime
    duration_seconds: float
    is_published: bool = True
    """Otherwise it is only in the history of the device."""


@dataclass(frozen=True, slots=True)
class Person:
    """A person who has left, for the counts, without identifying data.

    `changed`: a mask was put on or taken off in view; `counted_as` is then the violation.
    """

    camera: str
    counted_as: CountedAs
    changed: bool
    when: datetime


Sign: TypeAlias = Label | Literal["compliant", "undecided"]
"""The sign shown to a person at the door: the label of their violation, or `compliant`."""


@dataclass(frozen=True, slots=True)
class Nearest:
    """The person closest to the camera, for a screen or a lamp at the door.

    `is_sure`: the sign is based on a verdict about a live person.
    """

    track: int
    sign: Sign
    is_sure: bool


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of one frame: tracks, readings, alerts, resolutions, people who left, and the nearest person."""

    analysed: bool
    tracks: tuple[Track, ...]
    readings: tuple[Reading, ...]
    verdicts: tuple[Verdict, ...]
    alerts: tuple[Alert, ...]
    resolved: tuple[Resolved, ...]
    stage_seconds: Mapping[str, float]
    people: tuple[Person, ...] = ()
    nearest: Nearest | None = None
