"""TFLite Metadata: reads labels and normalization from a .tflite file.

TFLite Model Maker and MediaPipe Model Maker write this metadata as a separate flatbuffer inside the model. The few
fields needed are read by their slots in metadata_schema.fbs of tflite-support 0.4.4.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.label_files import read_names
from converter.masks.preprocessing import PIXEL_SCALES

if TYPE_CHECKING:
    from converter.masks.preprocessing import PixelRange

METADATA = b"TFLITE_METADATA"

# Field slots of the tables.
_SUBGRAPHS = 3  # of ModelMetadata
_INPUTS = 2  # of SubGraphMetadata
_PROCESS_UNITS = 4  # of TensorMetadata
_OPTIONS_TYPE, _OPTIONS = 0, 1  # of ProcessUnit
_MEAN, _STD = 0, 1  # of NormalizationOptions
_NORMALIZATION = 1  # of the union ProcessUnitOptions

_RANGE_TOLERANCE = 0.02
"""Many files have 127 and 128 for 127.5."""


def labels_in_archive(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """The names in the label file of an archive; empty if there is none."""
    files = [name for name in archive.namelist() if name.endswith(".txt") and "label" in name.lower()]
    if not files:
        return ()
    return read_names(archive.read(files[0]))


def labels_in_metadata(content: bytes) -> tuple[str, ...]:
    """The labels in the zip that TFLite Metadata appends to a model; empty if there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return labels_in_archive(archive)
    except zipfile.BadZipFile:
        return ()


@dataclass(frozen=True, slots=True)
class Normalization:
    """Value = (pixel in the range of `pixels` - mean) / deviation; one number per channel, empty: 0 and 1."""

    pixels: PixelRange
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()


def normalization_in_metadata(content: bytes, *, channels: int) -> Normalization | None:
    """The input's NormalizationOptions; None if there are none for this number of channels.

    Mean and std are in pixels of 0..255, one number for all channels or one per channel.
    """
    # Offsets of a damaged buffer are arbitrary; following them raises any of these.
    try:
        means, deviations = _mean_and_std(content)
    except (IndexError, ValueError, TypeError, struct.error):
        return None
    if {len(means), len(deviations)} - {1, channels} or min(deviations) <= 0:
        return None
    if len(set(means)) == len(set(deviations)) == 1:
        for pixels, (scale, zero_point) in PIXEL_SCALES.items():
            if np.allclose((deviations[0], means[0]), (1 / scale, zero_point), rtol=_RANGE_TOLERANCE):
                return Normalization(pixels)
    means, deviations = (values if len(values) == channels else values * channels for values in (means, deviations))
    return Normalization("0..255", means, () if set(deviations) == {1.0} else deviations)


def _mean_and_std(content: bytes) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The mean and std vectors of the first input's NormalizationOptions; empty if there are none."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import encode, number_types, packer
    from flatbuffers.table import Table

    model = schema.Model.GetRootAs(content, 0)
    entries = [model.Metadata(index) for index in range(model.MetadataLength())]
    buffers = [entry.Buffer() for entry in entries if entry.Name() == METADATA]
    if not buffers:
        return (), ()
    data = model.Buffers(buffers[0]).DataAsNumpy().tobytes()
    root = Table(data, encode.Get(packer.uoffset, data, 0))
    for subgraph in _tables(root, _SUBGRAPHS)[:1]:
        for tensor in _tables(subgraph, _INPUTS)[:1]:
            for unit in _tables(tensor, _PROCESS_UNITS):
                kind = unit.GetSlot(_slot(_OPTIONS_TYPE), 0, number_types.Uint8Flags)
                at = unit.Offset(_slot(_OPTIONS))
                if kind == _NORMALIZATION and at:
                    options = Table(data, 0)
                    unit.Union(options, at)
                    return _floats(options, _MEAN), _floats(options, _STD)
    return (), ()


def _slot(number: int) -> int:
    """Position of a field's offset in a vtable, after the vtable's two sizes."""
    return 4 + 2 * number


def _tables(table: Any, number: int) -> list[Any]:
    """The value of a field that is a vector of tables."""
    from flatbuffers.table import Table

    at = table.Offset(_slot(number))
    if not at:
        return []
    start = table.Vector(at)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(at))]


def _floats(table: Any, number: int) -> tuple[float, ...]:
    """The value of a field that is a vector of float32."""
    from flatbuffers import number_types

    at = table.Offset(_slot(number))
    return tuple(map(float, table.GetVectorAsNumpy(number_types.Float32Flags, at))) if at else ()
