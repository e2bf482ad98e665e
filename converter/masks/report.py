"""Report: renders an HTML page of pictures with the results of both models, differences first."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np

from converter.drawn_faces import as_png
from converter.masks.format_selection import format_table
from converter.masks.model_settings import describe_settings
from edge_agent.vision.tensors import resize

if TYPE_CHECKING:
    from pathlib import Path

    from converter.masks.calibration import CalibrationSet
    from converter.masks.float_models import FloatModel
    from converter.masks.format_selection import ConvertedModel
    from converter.masks.model_settings import ModelSettings
    from edge_agent.domain import Label

PAGE = "report.html"
MAX_SHOWN = 120
SHOWN_PX = 96
_STYLE = """
body{font:15px system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem;color:#222;background:#fff}
pre{overflow-x:auto}ul.faces{display:grid;grid-template-columns:repeat(auto-fill,minmax(11rem,1fr));gap:1rem;padding:0}
ul.faces li{list-style:none}img{width:96px;height:96px;display:block}.differs{outline:3px solid #b30000;
outline-offset:4px}.wrong{color:#b30000}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}.wrong{color:#ff8a80}}
"""


def write_report(
    folder: Path, converted: ConvertedModel, shown: CalibrationSet, settings: ModelSettings, model: FloatModel
) -> dict[Path, bytes]:
    """The page of a conversion as file contents, with embedded pictures."""
    found = converted.comparison
    before, after = found.source.accuracy(found.truths), found.converted.accuracy(found.truths)
    figures = [*describe_settings(settings), *format_table([converted])]
    if before.of:
        figures.insert(0, f"accuracy: source {before}, converted {after}")
    else:
        figures.insert(0, "nothing could be verified: the pictures have no labels")
    pictures = "".join(_picture(index, converted, shown) for index in _order(converted)[:MAX_SHOWN])
    title = (
        f"{html.escape(converted.card.name)}: {html.escape(converted.title)} of {html.escape(model.network.path.name)}"
    )
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1><pre>{html.escape(chr(10).join(figures))}</pre>"
        f"<p>{found.pictures} pictures; the same label for {found.same}. Framed: differs. Red: wrong.</p>"
        f'<ul class="faces">{pictures}</ul></html>\n'
    )
    return {folder / PAGE: page.encode()}


def _order(converted: ConvertedModel) -> list[int]:
    """Different predictions first, then by difference of the scores."""
    before, after = converted.comparison.source.scores, converted.comparison.converted.scores
    differs = before.argmax(axis=1) != after.argmax(axis=1)
    difference = np.abs(before - after).max(axis=1)
    return sorted(range(len(before)), key=lambda index: (not differs[index], -difference[index]))


def _picture(index: int, converted: ConvertedModel, shown: CalibrationSet) -> str:
    found = converted.comparison
    truth = shown.labels[index]
    readings = []
    for who, scores in (("source", found.source.scores[index]), ("converted", found.converted.scores[index])):
        label = found.source.labels[int(scores.argmax())]
        readings.append((who, label, float(scores.max())))
    differs = readings[0][1] != readings[1][1]
    lines = "".join(_reading(who, label, score, truth) for who, label, score in readings)
    truth_line = f"<div>is {truth}</div>" if truth else ""
    image = as_png(resize(shown.pixels[index][:, :, ::-1], width_px=SHOWN_PX, height_px=SHOWN_PX))
    return (
        f'<li><img class="{"differs" if differs else ""}" alt="face {index}" src="data:image/png;base64,{image}">'
        f"{truth_line}{lines}</li>"
    )


def _reading(who: str, label: Label, score: float, truth: Label | None) -> str:
    wrong = truth is not None and label != truth
    return f'<div class="{"wrong" if wrong else ""}">{who}: {label} {score:.2f}</div>'
