"""Recipe: configuration of one training run of a mask classifier.

A YAML file in which every key is validated and described; all errors are reported together. Paths are relative to the
working directory, so that a recipe works from any location.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge_agent.config_file import Section
from edge_agent.domain import LABELS, NO_FACE, Class, Label
from training.recipe_file import Fraction, HeldOutRecipe, RunName, Seed


class ModelRecipe(Section):
    """The network."""

    architecture: Literal["mobilenet_v2", "cnn"] = Field(
        "mobilenet_v2", description="cnn: four plain convolutions, a baseline"
    )
    alpha: float = Field(0.35, ge=0.05, le=1.4, description="Width of MobileNetV2")
    input_size: int = Field(128, ge=32, le=320, description="Side of the input in pixels; best a multiple of 32")
    weights: str = Field(
        "imagenet",
        description="A file of backbone weights, a whole .keras model of the same shape, 'imagenet' (Keras' own "
        "download) or 'scratch'",
    )
    dropout: float = Field(0.2, ge=0.0, lt=1.0, description="Share of features dropped before the last layer")

    @property
    def network(self) -> str:
        """Display name of the network, without input size."""
        return "plain CNN" if self.architecture == "cnn" else f"MobileNetV2 {self.alpha:g}"


SCENES_KEYS = ("sources", "splits", "poses", "min_face_px", "corrections")


class DataRecipe(Section):
    """One source of faces. Exactly one of `scenes`, `folders`, `faces` and `empty`."""

    scenes: Path | None = Field(None, description="COCO file of annotated pictures")
    sources: tuple[str, ...] = Field((), description="Sources of the COCO file to use; none: all")
    splits: tuple[str, ...] = Field(("train",), description="Splits of the COCO file to use; never 'test'")
    poses: tuple[str, ...] = Field((), description="Poses of the COCO file to use, such as 'profile'; none: all")
    min_face_px: float = Field(10.0, ge=0.0, description="Annotated faces with a shorter side below this are skipped")
    folders: Path | None = Field(None, description="Folder with one folder of pictures per label")
    faces: Path | None = Field(None, description="Folder of pictures in which every detected face has `label`")
    label: Label | None = Field(None, description="The label of `faces`")
    empty: Path | None = Field(None, description="Folder of pictures without people; random parts of them are no_face")
    detect_faces: bool = Field(
        False, description="Detect the face in each picture of `folders`; false: the whole picture is the face"
    )
    share: float = Field(1.0, gt=0.0, description="Relative frequency at which its faces are drawn")
    labels: tuple[Class, ...] = Field(
        (), description="Labels to use; pictures of others are skipped. None: all, but of `scenes` not 'no_face'"
    )
    corrections: Path | None = Field(
        None, description="YAML file with other labels, or 'ignore', for annotations of `scenes`, by id"
    )
    held_out: bool = Field(True, description="Keep part of it for validation")

    @model_validator(mode="after")
    def _is_one_thing(self) -> DataRecipe:
        given = [name for name in ("scenes", "folders", "faces", "empty") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of scenes, folders, faces and empty, not {' and '.join(given) or 'none'}"
            )
        # Not all that are set: the recipe in a run's folder has every key.
        changed = [key for key in SCENES_KEYS if getattr(self, key) != DataRecipe.model_fields[key].default]
        if changed and not self.scenes:
            raise ValueError(f"only 'scenes' can have {' and '.join(map(repr, changed))}")
        if (self.faces is None) != (self.label is None):
            raise ValueError("'faces' and 'label' belong together")
        if "test" in self.splits:
            raise ValueError("the 'test' split is for evaluation only")
        return self

    @property
    def path(self) -> Path:
        """The file or folder of the source."""
        path = self.scenes or self.folders or self.faces or self.empty
        if path is None:
            raise AssertionError("checked by the validator")
        return path

    @property
    def needs_detector(self) -> bool:
        """Whether faces have to be detected."""
        return self.detect_faces or self.faces is not None


class ValidationRecipe(HeldOutRecipe):
    """Held-out data that select the best epoch."""

    sources: tuple[str, ...] = Field((), description="Sources that select the best epoch; none: all")
    min_face_px: float = Field(16.0, ge=0.0, description="Smaller annotated faces are ignored")


class JitterRecipe(Section):
    """Variation of detector boxes and camera distance."""

    shift_fraction: float = Field(0.05, ge=0.0, le=0.3, description="Standard deviation of a box's position")
    scale_fraction: float = Field(0.12, ge=0.0, le=0.5, description="Standard deviation of the logarithm of its size")
    aspect_fraction: float = Field(0.1, ge=0.0, le=0.5, description="The same for its aspect ratio")
    distance_share: Fraction = Field(0.7, description="Share of faces that are scaled down as if further away")
    min_face_px: float = Field(11.0, ge=4.0, description="Shorter side of the most distant face")
    jpeg_share: Fraction = Field(0.6, description="Share of faces that are compressed as JPEG")
    jpeg_quality: int = Field(35, ge=1, le=95, description="Lowest quality of that JPEG")


class AugmentationRecipe(Section):
    """Random variations of a face."""

    rotation_degrees: float = Field(15.0, ge=0.0, le=180.0)
    shear_fraction: float = Field(0.1, ge=0.0, le=0.5)
    zoom_fraction: float = Field(0.05, ge=0.0, le=0.5, description="In addition to the jitter of the box")
    shift_fraction: float = Field(0.0, ge=0.0, le=0.3, description="In addition to the jitter of the box")
    flip_share: Fraction = 0.5
    brightness_fraction: float = Field(0.12, ge=0.0, le=1.0)
    contrast_fraction: float = Field(0.3, ge=0.0, le=1.0)
    gamma_fraction: float = Field(0.3, ge=0.0, le=1.0)
    tint_fraction: float = Field(0.08, ge=0.0, le=0.5, description="Gain per colour channel")
    grey_share: Fraction = Field(0.05, description="Share of pictures converted to grey")
    blur_share: Fraction = 0.15
    noise_fraction: float = Field(0.02, ge=0.0, le=0.5)
    mixup_alpha: float = Field(
        0.0,
        ge=0.0,
        le=10.0,
        description="Parameter of the beta distribution of mixup; 0: no mixup",
    )


class TeacherRecipe(Section):
    """A larger model to distil from."""

    model: Path = Field(description="Its .keras file; labels and margin are read from the run.json beside it")
    share: Fraction = Field(0.5, description="Weight of the teacher's output in the target; the rest is the label")
    temperature: float = Field(2.0, ge=1.0, le=20.0, description="Softens the teacher's output")


class ScheduleRecipe(Section):
    """Duration and learning rate."""

    batch_size: int = Field(64, ge=2, le=4096)
    faces_per_epoch: int = Field(8192, ge=2, description="Faces drawn per epoch, by each source's share")
    head_epochs: int = Field(1, ge=0, description="Epochs with a frozen backbone; ignored when training from scratch")
    head_learning_rate: float = Field(2e-3, gt=0.0)
    epochs: int = Field(15, ge=1, description="Epochs of fine-tuning the whole network")
    learning_rate: float = Field(8e-4, gt=0.0, description="Maximum during fine-tuning; cosine decay to 0")
    weight_decay: float = Field(1e-4, ge=0.0)
    patience: int = Field(6, ge=1, description="Stop after this many epochs without a better validation loss")
    model: Literal["best", "best_and_last"] = Field(
        "best",
        description="The best epoch, or the mean of the weights of the best and the last epoch, a flatter minimum that "
        "loses less in int8",
    )
    normalisation: Literal["frozen", "trained"] = Field(
        "frozen", description="Batch normalisation: frozen as in the backbone, or trained (half as fast)"
    )
    frozen_blocks: int = Field(
        0, ge=0, le=16, description="Number of first blocks of MobileNetV2 to freeze: those with the costly large maps"
    )
    label_smoothing: float = Field(0.02, ge=0.0, lt=0.5)


class MaskRecipe(Section):
    """One training run of the mask classifier."""

    name: RunName
    seed: Seed = 1
    labels: tuple[Class, ...] = Field(
        LABELS, min_length=2, description="In the order of the outputs; 'no_face', which rejects detections, comes last"
    )
    margin_fraction: float = Field(0.25, ge=0.0, le=0.5, description="Margin around a face, on every side")
    class_weights: Literal["balanced", "none"] | dict[Class, Annotated[float, Field(gt=0.0)]] = Field(
        "balanced", description="Weight of each label in the loss; balanced: inverse to its frequency"
    )
    detector: Path | None = Field(
        None,
        description="Needed by `detect_faces` and `faces`: a released face detector (its card) or a YuNet model (ONNX)",
    )
    model: ModelRecipe = ModelRecipe()
    data: tuple[DataRecipe, ...] = Field(min_length=1)
    validation: ValidationRecipe = ValidationRecipe()
    jitter: JitterRecipe = JitterRecipe()
    augmentation: AugmentationRecipe = AugmentationRecipe()
    teacher: TeacherRecipe | None = None
    schedule: ScheduleRecipe = ScheduleRecipe()

    @model_validator(mode="after")
    def _fits_itself(self) -> MaskRecipe:
        if len(set(self.labels)) != len(self.labels):
            raise ValueError(f"labels: {', '.join(self.labels)} are not distinct")
        if NO_FACE in self.labels[:-1]:
            raise ValueError("labels: 'no_face' comes last")
        if self.detector is None and any(data.needs_detector for data in self.data):
            raise ValueError(
                "detector: needed by data with 'detect_faces' or 'faces'; give models/faces.json, or a YuNet model"
            )
        if NO_FACE not in self.labels and any(data.empty for data in self.data):
            raise ValueError("labels: data with 'empty' needs 'no_face', as the last one")
        return self
