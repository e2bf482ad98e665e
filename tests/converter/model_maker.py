"""Files as TFLite Model Maker and MediaPipe Model Maker write them: TFLite Metadata in the model, a zip behind it."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

if TYPE_CHECKING:
    from collections.abc import Sequence


def with_metadata(
    model: bytes,
    *,
    mean: Sequence[float] = (127.5,),
    std: Sequence[float] = (127.5,),
    labels: Sequence[str] = (),
    lost_bytes: int = 0,
) -> bytes:
    """Add metadata with the normalization of the input, less its last bytes, and a label file."""
    content = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    buffer = schema.BufferT()
    metadata = _metadata(mean, std)
    buffer.data = np.frombuffer(metadata[: len(metadata) - lost_bytes], np.uint8)
    content.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = "TFLITE_METADATA", len(content.buffers) - 1
    content.metadata = [*(content.metadata or []), entry]
    builder = flatbuffers.Builder(1024)
    builder.Finish(content.Pack(builder), b"TFL3")
    packed = io.BytesIO()
    if labels:
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("labels.txt", "\n".join(labels))
    return bytes(builder.Output()) + packed.getvalue()


def _metadata(mean: Sequence[float], std: Sequence[float]) -> bytes:
    """ModelMetadata > SubGraphMetadata > TensorMetadata > ProcessUnit > NormalizationOptions (metadata_schema.fbs)."""
    builder = flatbuffers.Builder(256)
    means, deviations = (builder.CreateNumpyVector(np.array(values, np.float32)) for values in (mean, std))
    builder.StartObject(2)
    builder.PrependUOffsetTRelativeSlot(0, means, 0)
    builder.PrependUOffsetTRelativeSlot(1, deviations, 0)
    normalization = builder.EndObject()
    builder.StartObject(2)
    builder.PrependUint8Slot(0, 1, 0)
    builder.PrependUOffsetTRelativeSlot(1, normalization, 0)
    unit = builder.EndObject()
    table = unit
    # The slot of each vector that holds the table before it, and the number of slots up to there.
    for slot in (4, 2, 3):
        vector = _vector_of_one(builder, table)
        builder.StartObject(slot + 1)
        builder.PrependUOffsetTRelativeSlot(slot, vector, 0)
        table = builder.EndObject()
    builder.Finish(table, b"M001")
    return bytes(builder.Output())


def _vector_of_one(builder: Any, table: int) -> int:
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())
