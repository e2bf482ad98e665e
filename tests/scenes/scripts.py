"""Scripts: what happens in each scene, and how many alerts are correct?

Each function takes a cast and returns a scene; its docstring describes the scene. Positions are pixels of a frame of
640x360 unless stated otherwise.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tests.scenes.composition import HEIGHT_PX, WIDTH_PX, Actor, Camera, Look, Scene, Stop
from tests.scenes.figures import figure_of, poster_of, raised_hand

if TYPE_CHECKING:
    from collections.abc import Callable

    from edge_agent.domain import Image, Label
    from tests.scenes.casts import Cast
    from tests.scenes.figures import Source

    Script: TypeAlias = Callable[[Cast], Scene]

MASKED: Label = "with_mask"
BARE: Label = "without_mask"
WRONG: Label = "mask_worn_incorrectly"

OUTSIDE_PX = 150
"""Distance outside the frame at which nothing of a person is visible."""


def one_bare_and_one_masked_person_cross(cast: Cast) -> Scene:
    """Two people walk past each other; the one in front, with a mask, hides the one without for a moment."""
    bare, masked = cast.people[:2]
    return Scene(
        "crossing",
        9.0,
        cast.background(0),
        (
            _walker("bare", _look(bare.bare, BARE), 0.5, 8.5, face_px=(46, 50), y_px=150, seed=1),
            _walker(
                "masked", _look(masked.masked, MASKED), 0.5, 8.5, face_px=(66, 62), y_px=140, seed=2, leftwards=True
            ),
        ),
        alerts=1,
    )


def two_bare_people_cross(cast: Cast) -> Scene:
    """Two people without masks walk past each other."""
    one, other = cast.people[:2]
    return Scene(
        "crossing_bare",
        9.0,
        cast.background(1),
        (
            _walker("one", _look(one.bare, BARE), 0.3, 8.5, face_px=(44, 46), y_px=160, seed=3),
            _walker("other", _look(other.bare, BARE), 0.3, 8.5, face_px=(60, 64), y_px=140, seed=4, leftwards=True),
        ),
        alerts=2,
    )


def a_bare_person_leaves_and_returns(cast: Cast) -> Scene:
    """A person without a mask comes, leaves for eight seconds and comes back: two visits."""
    look = (_look(cast.people[0].bare, BARE),)
    first = (
        Stop(0.5, -OUTSIDE_PX, 150, 54),
        Stop(2.5, 250, 150, 56),
        Stop(5.0, 270, 150, 56),
        Stop(7.0, -OUTSIDE_PX, 150, 54),
    )
    second = (Stop(14.0, -OUTSIDE_PX, 150, 54), Stop(16.0, 300, 150, 58), Stop(20.0, 310, 150, 58))
    return Scene(
        "leaves_and_returns",
        20.0,
        cast.background(0),
        (Actor("first visit", first, look, seed=5), Actor("second visit", second, look, seed=6)),
        alerts=2,
    )


def a_person_puts_a_mask_on(cast: Cast) -> Scene:
    """A person raises an alert, puts a mask on behind a hand and keeps it on."""
    person = cast.people[0]
    looks = (_look(person.bare, BARE), _look(person.masked, MASKED, 6.0))
    return Scene(
        "puts_mask_on",
        14.0,
        cast.background(2),
        (_stander("person", looks, 14.0, seed=7), *_hand_between(cast, 5.4, 7.0)),
        alerts=1,
    )


def a_person_takes_the_mask_off(cast: Cast) -> Scene:
    """A masked person takes the mask off after six seconds."""
    person = cast.people[1]
    looks = (_look(person.masked, MASKED), _look(person.bare, BARE, 6.0))
    return Scene("takes_mask_off", 12.0, cast.background(3), (_stander("person", looks, 12.0, seed=8),), alerts=1)


def a_mask_goes_on_and_comes_off_again(cast: Cast) -> Scene:
    """Bare for six seconds, masked for eight, and bare again: two violations."""
    person = cast.people[3 % len(cast.people)]
    looks = (_look(person.bare, BARE), _look(person.masked, MASKED, 6.0), _look(person.bare, BARE, 14.0))
    return Scene("on_and_off", 20.0, cast.background(1), (_stander("person", looks, 20.0, seed=9),), alerts=2)


def a_poster_hangs_on_the_wall(cast: Cast) -> Scene:
    """A poster shows a bare face for twenty seconds while the light drifts; there are no people."""
    return Scene(
        "poster",
        20.0,
        cast.background(0),
        (_poster(cast),),
        alerts=0,
        camera=Camera(noise_levels=2.5, drift_fraction=0.06),
    )


def a_live_person_stands_beside_a_poster(cast: Cast) -> Scene:
    """A person without a mask comes to stand beside a poster of a bare face."""
    way = (Stop(3.0, WIDTH_PX + OUTSIDE_PX, 160, 56), Stop(5.5, 420, 160, 58), Stop(14.0, 410, 160, 58))
    person = Actor("person", way, (_look(cast.people[0].bare, BARE),), seed=10)
    return Scene("beside_poster", 14.0, cast.background(0), (_poster(cast), person), alerts=1)


def eight_people_stand_in_a_crowd(cast: Cast) -> Scene:
    """Eight people of whom three wear no mask come together and stay; the frame has 960x540 pixels."""
    width, height = 960, 540
    rows = [
        (110, 250, 46),
        (220, 170, 40),
        (330, 260, 52),
        (440, 180, 42),
        (550, 265, 54),
        (660, 175, 40),
        (770, 255, 48),
        (870, 170, 42),
    ]
    bare = {1, 4, 6}
    masked = iter(cast.passers_by)
    actors = []
    for index, (x, y, face_px) in enumerate(rows):
        look = _look(cast.people[index].bare, BARE) if index in bare else _look(next(masked), MASKED)
        comes_from = -OUTSIDE_PX if x < width / 2 else width + OUTSIDE_PX
        way = (
            Stop(0.2 + 0.1 * index, comes_from, y, face_px),
            Stop(3.0 + 0.15 * index, x, y, face_px),
            Stop(12.0, x, y, face_px),
        )
        actors.append(Actor(f"{'bare' if index in bare else 'masked'} {index + 1}", way, (look,), seed=20 + index))
    return Scene(
        "crowd",
        12.0,
        cast.background(2, width_px=width, height_px=height),
        tuple(actors),
        alerts=3,
        frames_per_second=8.0,
    )


def two_frames_a_second_are_enough(cast: Cast) -> Scene:
    """A slow camera: two people pass in five seconds, one of them bare, at two frames a second."""
    bare, masked = cast.people[:2]
    return Scene(
        "two_frames_a_second",
        14.0,
        cast.background(3),
        (
            _walker("bare", _look(bare.bare, BARE), 0.6, 6.2, face_px=(52, 58), y_px=150, seed=11),
            _walker(
                "masked", _look(masked.masked, MASKED), 7.2, 13.2, face_px=(50, 58), y_px=150, seed=12, leftwards=True
            ),
        ),
        alerts=1,
        frames_per_second=2.0,
    )


def the_light_flickers(cast: Cast) -> Scene:
    """A faulty tube: the light changes by a quarter from frame to frame; one of two people is bare."""
    return replace(_two_stand(cast, "flicker", 2), camera=Camera(noise_levels=3.0, flicker_fraction=0.25))


def people_hurry_by_in_motion_blur(cast: Cast) -> Scene:
    """Two people hurry by, blurred by a twentieth of a second of exposure; one of them is bare."""
    bare, masked = cast.people[:2]
    return Scene(
        "motion_blur",
        9.0,
        cast.background(1),
        (
            _walker("bare", _look(bare.bare, BARE), 0.3, 4.3, face_px=(64, 70), y_px=150, seed=13),
            _walker(
                "masked", _look(masked.masked, MASKED), 4.6, 8.6, face_px=(64, 70), y_px=150, seed=14, leftwards=True
            ),
        ),
        alerts=1,
        camera=Camera(exposure_seconds=0.05),
    )


def it_is_night(cast: Cast) -> Scene:
    """A third of the light and four times the noise; one of two people is bare."""
    return replace(
        _two_stand(cast, "night", 3), camera=Camera(noise_levels=8.0, light=0.35, defocus_px=0.7, jpeg_quality=70)
    )


def a_masked_person_coughs_into_a_hand(cast: Cast) -> Scene:
    """A masked person holds a hand over the lips, twice; another coughs all the time."""
    person = _stander("person", (_look(cast.people[2].masked, MASKED),), 14.0, x_px=200, seed=15)
    cougher = _stander("cougher", (_look(_given(cast.coughing), MASKED),), 14.0, x_px=440, seed=16)
    return Scene(
        "hand_before_the_mouth",
        14.0,
        cast.background(2),
        (person, cougher, *_hand_between(cast, 4.0, 5.5, x_px=200), *_hand_between(cast, 9.0, 11.0, x_px=200)),
        alerts=0,
    )


def a_bearded_person_looks_aside_and_back(cast: Cast) -> Scene:
    """A bearded, bare man turns his head away and back twice: one person, one alert."""
    assert cast.bearded is not None
    bearded, turned = cast.bearded, _given(cast.turned)
    looks = tuple(
        _look(source, BARE, second)
        for source, second in (
            (bearded.bare, 0.0),
            (turned, 4.0),
            (bearded.bare, 6.0),
            (turned, 9.0),
            (bearded.bare, 10.5),
        )
    )
    return Scene("turned_head", 14.0, cast.background(0), (_stander("bearded", looks, 14.0, seed=17),), alerts=1)


def a_beard_is_not_a_mask(cast: Cast) -> Scene:
    """A bearded man without a mask passes, and then one with a mask over the beard."""
    assert cast.bearded is not None
    bearded = cast.bearded
    return Scene(
        "beard",
        13.0,
        cast.background(3),
        (
            _walker("bare", _look(bearded.bare, BARE), 0.4, 6.4, face_px=(50, 56), y_px=150, seed=18),
            _walker(
                "masked", _look(bearded.masked, MASKED), 6.8, 12.8, face_px=(50, 56), y_px=150, seed=19, leftwards=True
            ),
        ),
        alerts=1,
    )


def a_pillar_hides_a_bare_person_for_a_second(cast: Cast) -> Scene:
    """A person without a mask walks behind a pillar and comes out again: one person, one alert."""
    walker = _walker("bare", _look(cast.people[0].bare, BARE), 0.3, 9.7, face_px=(50, 54), y_px=150, seed=30)
    background = cast.background(1)
    return Scene("pillar", 10.0, background, (walker,), alerts=1, foreground=_pillar(cast, x_px=340, width_px=84))


def far_faces_are_too_small(cast: Cast) -> Scene:
    """Three bare people far away have faces of 12 to 15 px; a fourth comes near and raises the only alert."""
    far = tuple(
        Actor(
            f"far {index}",
            (Stop(0.0, x, y, face_px), Stop(14.0, x + 60, y, face_px)),
            (_look(cast.people[index % len(cast.people)].bare, BARE),),
            seed=31 + index,
        )
        for index, (x, y, face_px) in enumerate(((90, 150, 12), (230, 155, 15), (500, 150, 13)))
    )
    near = (Stop(0.0, 360, 150, 16), Stop(4.0, 360, 150, 18), Stop(9.0, 340, 165, 56), Stop(14.0, 330, 165, 58))
    comes = Actor("comes near", near, (_look(cast.people[3 % len(cast.people)].bare, BARE),), seed=34)
    return Scene("far_faces", 14.0, cast.background(4), (*far, comes), alerts=1)


def a_mask_below_the_nose_is_a_violation(cast: Cast) -> Scene:
    """One person wears the mask below the nose, next to one who wears it properly."""
    wrong = _stander("wrong", (_look(_given(cast.worn_wrongly), WRONG),), 9.0, x_px=420, seed=35)
    proper = _stander("proper", (_look(cast.passers_by[0], MASKED),), 9.0, x_px=200, seed=36)
    return Scene("below_the_nose", 9.0, cast.background(5), (wrong, proper), alerts=1)


def masked_people_linger(cast: Cast) -> Scene:
    """Four masked people stand and walk about for twenty seconds."""
    standing = tuple(
        _stander(f"masked {index}", (_look(source, MASKED),), 20.0, x_px=x, face_px=face_px, seed=40 + index)
        for index, (source, x, face_px) in enumerate(
            ((cast.passers_by[0], 120, 48), (cast.passers_by[1], 320, 60), (cast.passers_by[2], 520, 44))
        )
    )
    walking = _walker("walker", _look(cast.passers_by[3], MASKED), 2.0, 12.0, face_px=(36, 40), y_px=120, seed=44)
    return Scene("masked_linger", 20.0, cast.background(0), (*standing, walking), alerts=0)


def a_person_sits_very_still(cast: Cast) -> Scene:
    """A bare person is present from the first frame on and hardly moves: a tenth to half of a pixel per frame."""
    sitter = Actor(
        "sitter",
        (Stop(0.0, 330, 160, 58), Stop(12.0, 330, 160, 58)),
        (_look(cast.people[0].bare, BARE),),
        movement=0.35,
        seed=61,
    )
    return Scene("sits_still", 12.0, cast.background(3), (sitter,), alerts=1)


def a_bare_person_stays_for_long(cast: Cast) -> Scene:
    """A bare person stands there for forty seconds: one alert, not one every few seconds."""
    stander = _stander("bare", (_look(cast.people[0].bare, BARE),), 40.0, seed=62)
    return Scene("stays_long", 40.0, cast.background(2), (stander,), alerts=1, frames_per_second=5.0)


def three_bare_people_walk_together(cast: Cast) -> Scene:
    """Three bare people walk side by side, a head apart, at five frames a second: three alerts."""
    walkers = tuple(
        _walker(
            f"walker {index}",
            _look(cast.people[index].bare, BARE),
            0.3 + 0.55 * index,
            8.3 + 0.55 * index,
            face_px=(46 + 3 * index, 48 + 3 * index),
            y_px=150 - 12 * index,
            seed=63 + index,
        )
        for index in range(3)
    )
    return Scene("together", 10.0, cast.background(5), walkers, alerts=3, frames_per_second=5.0)


def frames_are_lost_at_random(cast: Cast) -> Scene:
    """More than four of ten frames are lost; four people pass one after the other, every other one bare."""
    return replace(_a_procession(cast, "lost_frames", seed=70), camera=Camera(lost_fraction=0.45))


def frames_come_in_bursts(cast: Cast) -> Scene:
    """About once a second no frame arrives for 0.44 s, and others are lost; four people pass, every other one bare."""
    return replace(_a_procession(cast, "bursts", seed=80), camera=Camera(lost_fraction=0.2, gap_seconds=0.44))


def no_people(cast: Cast) -> Scene:
    """An empty place with changing light."""
    return Scene(
        "empty",
        10.0,
        cast.background(4),
        (),
        alerts=0,
        camera=Camera(noise_levels=3.0, drift_fraction=0.15, flicker_fraction=0.1),
    )


FOR_TWO: tuple[Script, ...] = (
    one_bare_and_one_masked_person_cross,
    two_bare_people_cross,
    a_bare_person_leaves_and_returns,
    a_person_takes_the_mask_off,
    a_mask_goes_on_and_comes_off_again,
    a_poster_hangs_on_the_wall,
    a_live_person_stands_beside_a_poster,
    two_frames_a_second_are_enough,
    the_light_flickers,
    people_hurry_by_in_motion_blur,
    it_is_night,
    a_pillar_hides_a_bare_person_for_a_second,
    a_person_sits_very_still,
    a_bare_person_stays_for_long,
    frames_are_lost_at_random,
    frames_come_in_bursts,
    no_people,
)
"""Scripts for two people."""

FOR_MANY: tuple[Script, ...] = (
    three_bare_people_walk_together,
    a_person_puts_a_mask_on,
    eight_people_stand_in_a_crowd,
    a_masked_person_coughs_into_a_hand,
    a_bearded_person_looks_aside_and_back,
    a_beard_is_not_a_mask,
    far_faces_are_too_small,
    a_mask_below_the_nose_is_a_violation,
    masked_people_linger,
)
"""Scripts for more people, or with a hand."""


def scripts_for(cast: Cast) -> tuple[Script, ...]:
    """Every script that a cast can play."""
    return FOR_TWO if cast.name == "public" else FOR_TWO + FOR_MANY


def _look(source: Source, label: Label, from_second: float = 0.0) -> Look:
    return Look(from_second, figure_of(source), label)


def _walker(
    name: str,
    look: Look,
    start: float,
    end: float,
    *,
    face_px: tuple[float, float],
    y_px: float,
    seed: int,
    leftwards: bool = False,
) -> Actor:
    """A person who crosses the frame, from completely outside to completely outside."""
    sides = (WIDTH_PX + OUTSIDE_PX, -OUTSIDE_PX) if leftwards else (-OUTSIDE_PX, WIDTH_PX + OUTSIDE_PX)
    path = (Stop(start, sides[0], y_px, face_px[0]), Stop(end, sides[1], y_px, face_px[1]))
    return Actor(name, path, (look,), seed=seed)


def _a_procession(cast: Cast, name: str, *, seed: int) -> Scene:
    """Four people pass one after the other, from either side, each in four seconds, a second apart."""
    walkers = tuple(
        _walker(
            f"{'masked' if index % 2 else 'bare'} {index}",
            _look(cast.people[index % 2].masked, MASKED) if index % 2 else _look(cast.people[index % 2].bare, BARE),
            0.3 + 4.0 * index,
            5.3 + 4.0 * index,
            face_px=(48 + 4 * index, 52 + 4 * index),
            y_px=150,
            seed=seed + index,
            leftwards=index in (1, 2),
        )
        for index in range(4)
    )
    return Scene(name, 18.0, cast.background(3), walkers, alerts=2)


def _stander(
    name: str, looks: tuple[Look, ...], seconds: float, *, seed: int, x_px: float = 320, face_px: float = 62
) -> Actor:
    """A person who is present from the first frame to the last and moves a little."""
    path = tuple(
        Stop(second, x_px + shift, 150 + shift / 4, face_px)
        for second, shift in zip(np.linspace(0, seconds, 5), (0, 12, -8, 10, 4), strict=True)
    )
    return Actor(name, path, looks, seed=seed)


def _two_stand(cast: Cast, name: str, place: int) -> Scene:
    """A bare and a masked person come in, stay, and leave."""
    bare, masked = cast.people[:2]
    left = (
        Stop(0.3, -OUTSIDE_PX, 150, 54),
        Stop(2.5, 200, 150, 56),
        Stop(8.0, 215, 150, 56),
        Stop(10.0, -OUTSIDE_PX, 150, 54),
    )
    right = (
        Stop(0.8, WIDTH_PX + OUTSIDE_PX, 150, 56),
        Stop(3.0, 440, 150, 58),
        Stop(8.2, 430, 150, 58),
        Stop(10.2, WIDTH_PX + OUTSIDE_PX, 150, 56),
    )
    return Scene(
        name,
        11.0,
        cast.background(place),
        (
            Actor("bare", left, (_look(bare.bare, BARE),), seed=50),
            Actor("masked", right, (_look(masked.masked, MASKED),), seed=51),
        ),
        alerts=1,
    )


def _poster(cast: Cast) -> Actor:
    """A printed face on the wall, from before the first frame on; not a person."""
    place = (Stop(-1.0, 190, 140, 58), Stop(1000.0, 190, 140, 58))
    return Actor("poster", place, (Look(0.0, poster_of(_given(cast.poster)), None),), movement=0.0)


def _hand_between(cast: Cast, start: float, end: float, *, x_px: float = 320) -> tuple[Actor, ...]:
    """A hand that is raised to the lips and lowered again; nothing if there is no picture of a hand."""
    below, lips = HEIGHT_PX + 60, 190
    way = (
        Stop(start, x_px + 30, below, 64),
        Stop(start + 0.5, x_px, lips, 66),
        Stop(end - 0.5, x_px + 4, lips, 66),
        Stop(end, x_px + 30, below, 64),
    )
    return (Actor("hand", way, (Look(0.0, raised_hand(), None),), seed=60),)


def _pillar(cast: Cast, *, x_px: int, width_px: int) -> Image:
    """A strip of another place from top to bottom, in front of all people: (height, width, 4) BGRA."""
    front = np.zeros((HEIGHT_PX, WIDTH_PX, 4), np.uint8)
    columns = slice(x_px, x_px + width_px)
    front[:, columns, :3] = cast.background(0)[:, -width_px:]
    # Round, and lit from the left.
    front[:, columns, :3] = front[:, columns, :3] * np.linspace(1.0, 0.55, width_px)[np.newaxis, :, np.newaxis]
    front[:, columns, 3] = 255
    return front


def _given(source: Source | None) -> Source:
    assert source is not None
    return source
