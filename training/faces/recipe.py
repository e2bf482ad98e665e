"""Recipe: configuration of one training run of a face detector.

A YAML file in which every key is validated and described; all errors are reported together. Paths are relative to the
working directory, so that a recipe works from any location.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from edge_agent.config_file import Section
from edge_agent.domain import Label
from training.recipe_file import Fraction, HeldOutRecipe, RunName, Seed

A_DETECTOR = "A YuNet file (.onnx), the model.keras of another run, or a released detector (its card or a .tflite)"
InputSide = Annotated[int, Field(ge=64, le=1280, multiple_of=32)]


class ModelRecipe(Section):
    """The network and its initial weights."""

    weights: Path = Field(description=A_DETECTOR)
    merged_with: Path | None = Field(
        None, description="A second one, fine-tuned from the same weights: training starts from the mean of both"
    )
    merged_share: Fraction = Field(0.5, description="Its weight in that mean")
    stride_4_channels: int | None = Field(
        None, ge=8, description="Reduce the layers at stride 4, which take half of the time, to so many channels"
    )


class StyleRecipe(Section):
    """Conversion of boxes from one source into the style used for training, as fractions of the box's sides."""

    down_fraction: float = Field(0.0, ge=-0.5, le=0.5, description="Shift of the centre downwards")
    width_factor: float = Field(1.0, ge=0.5, le=2.0)
    height_factor: float = Field(1.0, ge=0.5, le=2.0)


class DataRecipe(Section):
    """One source of pictures. Exactly one of `scenes`, `pictures` and `empty`."""

    scenes: Path | None = Field(None, description="COCO file of annotated pictures")
    sources: tuple[str, ...] = Field((), description="Sources of the COCO file to use; none: all")
    splits: tuple[str, ...] = Field(("train",), description="Splits of the COCO file to use; never 'test'")
    labels: tuple[Label, ...] = Field(
        (), description="Use only pictures of `scenes` with a face of one of these labels, for training; none: all"
    )
    corrections: Path | None = Field(
        None, description="YAML file with other labels, or 'ignore', for annotations of `scenes`, by id"
    )
    pictures: Path | None = Field(None, description="Folder of pictures without boxes; the teacher detects the faces")
    empty: Path | None = Field(None, description="Folder of pictures without people")
    max_pictures: int = Field(100_000, ge=1, description="Maximum number of pictures, evenly spread over the folder")
    share: float = Field(1.0, gt=0.0, description="Relative frequency at which its pictures are drawn")
    style: StyleRecipe = Field(StyleRecipe(), description="Conversion of its boxes to the style used for training")

    @model_validator(mode="after")
    def _is_one_thing(self) -> DataRecipe:
        given = [name for name in ("scenes", "pictures", "empty") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of scenes, pictures and empty, not {' and '.join(given) or 'none'}")
        if "test" in self.splits:
            raise ValueError("the 'test' split is for evaluation only")
        return self


class ValidationRecipe(HeldOutRecipe):
    """Held-out data that select the best epoch."""

    sources: tuple[str, ...] = Field(("street", "groups"), description="Sources used for validation")
    selection_sources: tuple[str, ...] = Field(
        ("street",), description="Those of them that choose the best epoch; none: all"
    )
    width: InputSide = Field(512, description="Input size for landscape pictures; transposed for portrait ones")
    height: InputSide = 384


class AugmentationRecipe(Section):
    """Random variations of a scene."""

    canvas: InputSide = Field(416, description="Side of the square training input in pixels")
    min_face_px: float = Field(6.0, ge=0.0, description="Faces smaller on the canvas are ignored by the loss")
    min_target_px: float = Field(10.0, gt=0.0, description="Smallest size to which the chosen face is scaled")
    max_target_px: float = Field(
        380.0, gt=0.0, description="Its largest size; at most nine tenths of the available space"
    )
    max_scale: float = Field(4.0, ge=1.0, description="Maximum scale of a picture")
    plain_share: Fraction = Field(0.3, description="Share of pictures shown whole, letterboxed as on the device")
    mosaic_share: Fraction = Field(0.35, description="Share of canvases made of four pictures")
    flip_share: Fraction = 0.5
    rotation_share: Fraction = Field(0.25, description="Share of pictures that are rotated")
    rotation_degrees: float = Field(40.0, ge=0.0, le=180.0, description="Maximum angle, in either direction")
    light_fraction: float = Field(0.2, ge=0.0, le=1.0, description="Spread of brightness, contrast and gamma")
    tint_fraction: float = Field(0.12, ge=0.0, le=0.5, description="Gain per colour channel")
    grey_share: Fraction = Field(0.08, description="Share of pictures converted to grey")
    night_share: Fraction = Field(0.1, description="Share of pictures made dark and noisy, as at night")
    blur_share: Fraction = Field(0.15, description="Share of pictures blurred as by the lens or by motion")
    noise_share: Fraction = 0.2
    jpeg_share: Fraction = Field(0.3, description="Share of pictures compressed as JPEG again")
    jpeg_quality: int = Field(30, ge=1, le=95, description="Lowest quality of that JPEG")


class TeacherRecipe(Section):
    """Another detector, for faces that are not annotated."""

    detector: Path = Field(description=A_DETECTOR)
    longer_side_px: InputSide = Field(640, description="Longer side of its input")
    pseudo_label_score: Fraction = Field(0.7, description="Minimum score of a face in pictures without boxes")
    ignore_score: Fraction = Field(
        0.35, description="Detections of at least this score that match no annotated face are ignored by the loss"
    )
    style: StyleRecipe = Field(StyleRecipe(), description="Conversion of its boxes to the style used for training")


class DistillationRecipe(Section):
    """Distillation from a detector with the same strides, in addition to the annotations."""

    model: Path = Field(description=A_DETECTOR)
    share: float = Field(1.0, gt=0.0, le=10.0, description="Weight relative to the loss of the annotations")


class ScheduleRecipe(Section):
    """Duration and learning rate."""

    batch_size: int = Field(8, ge=1, le=512)
    steps_per_epoch: int = Field(400, ge=1)
    epochs: int = Field(15, ge=1)
    learning_rate: float = Field(1e-3, gt=0.0, description="Maximum; cosine decay to 0")
    warmup_steps: int = Field(100, ge=0, description="Warm-up steps")
    ema_momentum: float = Field(0.995, ge=0.0, lt=1.0, description="Momentum of the moving average of the weights")


class FaceRecipe(Section):
    """One training run of the face detector."""

    name: RunName
    seed: Seed = 1
    model: ModelRecipe
    data: tuple[DataRecipe, ...] = Field(min_length=1)
    validation: ValidationRecipe = ValidationRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    teacher: TeacherRecipe | None = None
    distillation: DistillationRecipe | None = None
    schedule: ScheduleRecipe = ScheduleRecipe()

    @model_validator(mode="after")
    def _fits_itself(self) -> FaceRecipe:
        if self.teacher is None and any(data.pictures for data in self.data):
            raise ValueError("teacher: needed by data with 'pictures'; give a detector")
        if not any(data.scenes for data in self.data):
            raise ValueError("data: none has annotations; give at least one with 'scenes', for validation")
        return self
