"""Box style: how do a finder's boxes lie against those that people drew, and how does it do with boxes moved there?

Finders learn where a face ends from their annotations: at the chin or below it, at the brows or at the hair. What a
finder loses by that alone is no fault of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converter.faces import read_picture
from converter.finder_candidates import FinderCandidate
from converter.progress import with_progress
from edge_agent.domain import Box
from edge_agent.errors import ConfigError
from edge_agent.vision.faces.scaling import faces_inside
from training.faces.recipe import StyleRecipe
from training.faces.scenes import overlaps, styled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from edge_agent.domain import Face, Image
    from training.faces.scenes import Scene

SURE_SCORE = 0.5
SAME_FACE = 0.3
"""A find that overlaps a face by so much (IoU) is that face, in another style."""
SMALLEST_PX = 16.0
"""Of smaller faces a pixel is too large a share to tell a style."""
FEWEST_FACES = 30


def moved(candidate: FinderCandidate, scenes: Sequence[Scene]) -> FinderCandidate:
    """A finder whose boxes lie as those of the scenes do, in the middle; never fit it to what judges it.

    Raises:
        ConfigError: it finds too few of their faces to tell.
    """
    style = fitted_style(candidate, scenes)

    def find(image: Image) -> list[Face]:
        faces = candidate.find(image)
        boxes = styled(_boxes(faces), style).tolist()
        return faces_inside([(Box(*box), face.score) for box, face in zip(boxes, faces, strict=True)], image)

    return FinderCandidate(f"{candidate.name}, moved", find, candidate.min_score)


def fitted_style(candidate: FinderCandidate, scenes: Sequence[Scene]) -> StyleRecipe:
    """The median place and size of annotated boxes against a finder's boxes of the same faces.

    Raises:
        ConfigError: it finds fewer than FEWEST_FACES of them.
    """
    rows = []
    for scene in with_progress(scenes, total=len(scenes), what=f"learning the boxes of {candidate.name}"):
        sure = [face for face in candidate.find(read_picture(scene.path)) if face.score >= SURE_SCORE]
        large = [box for box in scene.faces if min(box[2:] - box[:2]) >= SMALLEST_PX]
        if sure and large:
            rows += _differences(_boxes(sure), np.array(large, np.float32))
    if len(rows) < FEWEST_FACES:
        raise ConfigError(
            f"{candidate.name}: finds {len(rows)} annotated faces, too few to tell how its boxes lie "
            f"({FEWEST_FACES} needed); leave --moved out"
        )
    down, width, height = (round(float(value), 3) for value in np.median(np.array(rows), axis=0))
    return StyleRecipe(down_fraction=down, width_factor=width, height_factor=height)


def _differences(finds: NDArray[np.float32], faces: NDArray[np.float32]) -> list[tuple[float, float, float]]:
    """Of each find that is a face: how far down the face's centre lies, and its sides, in sides of the find."""
    table = overlaps(finds, faces)
    rows = []
    for find, shares in zip(finds, table, strict=True):
        if shares.max() < SAME_FACE:
            continue
        face = faces[int(shares.argmax())]
        width, height = find[2] - find[0], find[3] - find[1]
        down = (face[1] + face[3] - find[1] - find[3]) / 2 / height
        rows.append((float(down), float((face[2] - face[0]) / width), float((face[3] - face[1]) / height)))
    return rows


def _boxes(faces: Sequence[Face]) -> NDArray[np.float32]:
    return np.array([(face.box.x1, face.box.y1, face.box.x2, face.box.y2) for face in faces], np.float32).reshape(-1, 4)
