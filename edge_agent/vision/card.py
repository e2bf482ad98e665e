"""Card: labels, input, thresholds and checksum of a model.

A card is the JSON file beside a .tflite file, with the same stem. The agent loads no model whose
card is missing or does not fit.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from edge_agent.domain import Image, Label
from edge_agent.errors import ModelError, PictureError, mistakes_in
from edge_agent.vision.images import decode_picture

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

# Int8 kernels of different runtimes and processors differ by rounding steps: scores of the tested models differ by less
# than 0.03. A wrong colour order or scale changes them by far more.
GOLDEN_TOLERANCE = 0.08

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]

Resampling: TypeAlias = Literal["area", "linear"]
"""How a picture is scaled down: by the mean of the pixels that become one, or bilinearly between the four nearest, the
default of `cv2.resize` and `tf.image.resize`, which ignores most pixels of a large picture."""
Card = TypeVar("Card", bound="_Card")
RESAMPLINGS: tuple[Resampling, ...] = get_args(Resampling)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)


class _Card(_Part):
    def to_json(self) -> str:
        """The text of the card's file."""
        return json.dumps(self.model_dump(by_alias=True, mode="json"), indent=2) + "\n"


class InputCard(_Part):
    """How pixels become the input tensor: real value = (pixel - zero_point) * scale."""

    width: int = Field(ge=8, le=4096, description="Width of the input in pixels")
    height: int = Field(ge=8, le=4096, description="Height of the input in pixels")
    colour_order: Literal["rgb", "bgr"] = "rgb"
    dtype: Literal["uint8", "int8", "float32"]
    scale: float = Field(gt=0, description="Real value of one step of a pixel; 1/127.5 for -1..1")
    zero_point: float = Field(description="The pixel value that means 0")


class OutputCard(_Part):
    """How the output tensor becomes probabilities: value = (output - zero_point) * scale."""

    dtype: Literal["uint8", "int8", "float32"]
    scale: float = Field(gt=0, description="Real value of one step of the output; 1 for float32")
    zero_point: int = 0


class Golden(_Part):
    """A small picture of a face (PNG, base64) and the model's outputs for the whole picture, as probabilities."""

    picture: str
    scores: list[Fraction]

    def image(self) -> Image:
        """Decode the picture: BGR, uint8."""
        return _golden_image(self.picture)


class ClassifierCard(_Card):
    """The card of a mask classifier."""

    schema_name: Literal["maskwatch.card/1"] = Field("maskwatch.card/1", alias="schema")
    kind: Literal["mask_classifier"] = "mask_classifier"
    name: str = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the .tflite file")
    size_bytes: int = Field(gt=0)
    labels: tuple[Label, ...] = Field(min_length=2, max_length=3, description="In the order of the outputs")
    input: InputCard
    output: OutputCard
    margin_fraction: float = Field(
        0.0, ge=0.0, le=1.0, description="Margin around the face that the model was trained with"
    )
    resampling: Resampling = Field(
        "area",
        description="How a face is scaled down to the input, as in the training: area (mean of what becomes one pixel) "
        "or linear (between the four nearest, as cv2.resize and tf.image.resize)",
    )
    temperature: float = Field(1.0, gt=0, description="Calibration: scores ** (1 / temperature), renormalised")
    thresholds: dict[Label, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default_factory=dict,
        description="A label is read when its score exceeds its threshold by the largest factor; default 1/labels",
    )
    no_face_threshold: Fraction | None = Field(
        None,
        description="Set where the model has one more output, the last: how likely it is that this is no face. Above "
        "the threshold a detection is rejected and not read",
    )
    training_data: list[str] = Field(default_factory=list)
    source: dict[str, Any] = Field(
        default_factory=dict, description="The model that it was made from, and how pixels were put into that one"
    )
    metrics: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    golden: tuple[Golden, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _fits_itself(self) -> ClassifierCard:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels are not distinct: {', '.join(self.labels)}")
        if unknown := set(self.thresholds) - set(self.labels):
            raise ValueError(f"thresholds for labels that the model lacks: {', '.join(sorted(unknown))}")
        for golden in self.golden:
            if len(golden.scores) != self.outputs:
                raise ValueError(f"golden scores: {len(golden.scores)} values for {self.outputs} outputs")
        return self

    @property
    def outputs(self) -> int:
        """The model's number of outputs: one per label, and one for `no_face` if it has that output."""
        return len(self.labels) + (self.no_face_threshold is not None)

    def decide(self, scores: Mapping[Label, float]) -> Label:
        """The label, among those with a score, whose score exceeds its threshold by the largest factor."""
        even = 1.0 / len(self.labels)
        return max(scores, key=lambda label: scores[label] / self.thresholds.get(label, even))


class GoldenFace(_Part):
    """A detection in the card's golden picture: x1, y1, x2, y2 in pixels of that picture."""

    box: tuple[float, float, float, float]
    score: Fraction


class DetectorFile(_Part):
    """The network of a face detector for one input size."""

    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*\.tflite$", description="Beside the card")
    sha256: str = Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the .tflite file")
    size_bytes: int = Field(gt=0)
    input: InputCard
    golden: tuple[GoldenFace, ...] = Field(min_length=1, description="What it found in the card's golden picture")


class DetectorCard(_Card):
    """The card of a face detector: one network, converted for each input size."""

    schema_name: Literal["maskwatch.card/1"] = Field("maskwatch.card/1", alias="schema")
    kind: Literal["face_detector"] = "face_detector"
    name: str = Field(min_length=1)
    files: tuple[DetectorFile, ...] = Field(min_length=1, max_length=16)
    strides: tuple[Annotated[int, Field(ge=2, le=128)], ...] = Field(
        min_length=1, max_length=8, description="Pixels of the input from one cell to the next, by level"
    )
    smallest_px: float = Field(
        gt=0, description="Shorter side, in pixels of the input, from which a face is found reliably"
    )
    min_score: Fraction = Field(0.6, description="Faces it is less sure of are no faces; chosen on validation pictures")
    golden_picture: str = Field(description="A small picture with a face (PNG, base64)")
    training_data: list[str] = Field(default_factory=list)
    metrics: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fits_itself(self) -> DetectorCard:
        for file in self.files:
            width, height = file.input.width, file.input.height
            if any(width % stride or height % stride for stride in self.strides):
                raise ValueError(f"{file.file}: {width}x{height} is not a multiple of the strides {self.strides}")
        return self

    def golden_image(self) -> Image:
        """Decode the golden picture: BGR, uint8."""
        return _golden_image(self.golden_picture)


def _golden_image(picture: str) -> Image:
    try:
        return decode_picture(base64.b64decode(picture, validate=True))
    except binascii.Error as error:
        raise ModelError(f"golden picture is not base64: {error}") from error
    except PictureError as error:
        raise ModelError(f"golden picture: {error}") from error


def card_path(model: Path) -> Path:
    """The path of a model's card: beside it, with the same stem."""
    return model.with_suffix(".json")


def read_classifier_card(model: Path) -> tuple[ClassifierCard, bytes]:
    """Read the card of a .tflite file, and the content of the file, whose hash matches the card.

    Raises:
        ModelError: model or card is missing, the card is invalid, or the model's SHA-256 differs.
    """
    path = card_path(model)
    content = model_bytes(model)
    if_missing = (
        f"{model}: its card {path.name} is missing; put it back beside the model, or make one with "
        f"'edge-convert card {model}'"
    )
    card, _ = _read(ClassifierCard, path, "mask classifier", if_missing=if_missing)
    _check_hash(model, content, sha256=card.sha256, size_bytes=card.size_bytes, card=path)
    return card, content


def read_detector_card(path: Path) -> tuple[DetectorCard, list[bytes], str]:
    """Read the card of a face detector, the content of its .tflite files in the card's order, and the card's SHA-256.

    Raises:
        ModelError: the card or a network is missing or invalid, or a SHA-256 differs.
    """
    if path.suffix == ".tflite":
        raise ModelError(f"{path}: is a network; give the card (.json) that lists the networks for all input sizes")
    if_missing = f"{path}: no such card of a face detector; 'edge-agent models' lists what is installed"
    card, sha256 = _read(DetectorCard, path, "face detector", if_missing=if_missing)
    contents = []
    for file in card.files:
        content = model_bytes(path.parent / file.file)
        _check_hash(path.parent / file.file, content, sha256=file.sha256, size_bytes=file.size_bytes, card=path)
        contents.append(content)
    return card, contents, sha256


def _read(kind: type[Card], path: Path, noun: str, *, if_missing: str) -> tuple[Card, str]:
    """Read a card, and the SHA-256 of its file."""
    try:
        content = path.read_bytes()
        return kind.model_validate_json(content.decode("utf-8")), hashlib.sha256(content).hexdigest()
    except FileNotFoundError as error:
        raise ModelError(if_missing) from error
    except ValidationError as error:
        mistakes = mistakes_in(error, whole="card")
        # All mistakes in the card of another kind of model follow from this one.
        of_kind = [mistake for mistake in mistakes if mistake.startswith("kind:")]
        raise ModelError(f"{path}: not a card of a {noun}: {'; '.join(of_kind or mistakes)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: cannot be read: {error}") from error


def _check_hash(model: Path, content: bytes, *, sha256: str, size_bytes: int, card: Path) -> None:
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ModelError(
            f"{model}: SHA-256 differs from {card.name} ({len(content)} bytes here, {size_bytes} expected); "
            "the file is damaged or belongs to another card: reinstall both"
        )


def model_bytes(model: Path) -> bytes:
    """Read a model file.

    Raises:
        ModelError: it is missing or cannot be read.
    """
    try:
        return model.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"{model}: no such model; 'edge-agent models' lists what is installed") from error
    except OSError as error:
        raise ModelError(f"{model}: cannot be read: {error.strerror}") from error
