"""TFLite Metadata: reads labels and normalization from a .tflite file.

TFLite Model Maker and MediaPipe Model Maker write them. The metadata is a flatbuffer of its own inside the model; the
few fields that count are read by their slots in metadata_schema.fbs of tflite-support 0.4.4.
"""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from converter.masks.preprocessing import PIXEL_SCALES

if TYPE_CHECKING:
    from converter.masks.preprocessing import PixelRange

METADATA = b"TFLITE_METADATA"

# Slots of the tables.
_SUBGRAPHS = 3  # of ModelMetadata
_INPUTS = 2  # of SubGraphMetadata
_PROCESS_UNITS = 4  # of TensorMetadata
_OPTIONS_TYPE, _OPTIONS = 0, 1  # of ProcessUnit
_MEAN, _STD = 0, 1  # of NormalizationOptions
_NORMALIZATION = 1  # of the union ProcessUnitOptions

_RANGE_TOLERANCE = 0.02
"""127 and 128 stand for 127.5 in many files."""


def names_in_archive(archive: zipfile.ZipFile) -> tuple[str, ...]:
    """The lines of the label file in an archive; empty where there is none."""
    files = [name for name in archive.namelist() if name.endswith(".txt") and "label" in name.lower()]
    if not files:
        return ()
    lines = archive.read(files[0]).decode("utf-8-sig", "replace").splitlines()
    return tuple(line.strip() for line in lines if line.strip())


def names_in_metadata(content: bytes) -> tuple[str, ...]:
    """The labels in the zip that TFLite Metadata appends to a model; empty where there is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return names_in_archive(archive)
    except zipfile.BadZipFile:
        return ()


@dataclass(frozen=True, slots=True)
class Normalization:
    """Value = (pixel in the range of `pixels` - mean) / deviation; a number for each channel, empty: 0 and 1."""

    pixels: PixelRange
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()


def normalization_in_metadata(content: bytes, *, channels: int) -> Normalization | None:
    """What the NormalizationOptions of the input state; None where there are none for so many channels.

    They give mean and std in pixels of 0..255, one number for all channels or one for each.
    """
    # Offsets in a damaged buffer point anywhere, which raises any of these.
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
    """The two vectors in the NormalizationOptions of the first input; empty where there are none."""
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
    """Where the offset of a field stands in a vtable, after its two sizes."""
    return 4 + 2 * number


def _tables(table: Any, number: int) -> list[Any]:
    """A field that is a vector of tables."""
    from flatbuffers.table import Table

    at = table.Offset(_slot(number))
    if not at:
        return []
    start = table.Vector(at)
    return [Table(table.Bytes, table.Indirect(start + 4 * index)) for index in range(table.VectorLen(at))]


def _floats(table: Any, number: int) -> tuple[float, ...]:
    """A field that is a vector of float32."""
    from flatbuffers import number_types

    at = table.Offset(_slot(number))
    return tuple(map(float, table.GetVectorAsNumpy(number_types.Float32Flags, at))) if at else ()
