"""`edge-convert sizes`: runs of several sizes, evaluated and measured side by side."""

from __future__ import annotations

import json
import shutil

import pytest

from converter.cli import main
from converter.masks.metrics import Share
from converter.sizes import RunSize, as_table
from edge_agent.vision.card import card_path
from edge_agent.vision.images import read_picture
from training.coco import CocoFile

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def run(converted, faces, tmp_path):
    """A converted run that kept all of `faces` apart from learning."""
    folder = tmp_path / "run"
    folder.mkdir()
    for path in (converted, card_path(converted)):
        shutil.copy(path, folder)
    (folder / "run.json").write_text(json.dumps({"name": "sizes", "network": "MobileNetV2 0.5"}))
    listed = CocoFile(folder / "faces.json", ["with_mask", "without_mask"])
    for path in sorted(faces.rglob("*.png")):
        height, width = read_picture(path).shape[:2]
        listed.add_picture(path, source="faces", split="validation")
        listed.add_face(path, (0, 0, width, height), category=path.parent.name)
    listed.write()
    return folder


def test_each_run_is_a_line_with_network_size_cost_and_accuracy(run, capsys):
    assert main(["sizes", str(run), "--seconds", "0.05"]) == 0

    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("| MobileNetV2 0.5 | 32 | 0.")
    assert line.endswith("| 100.0 % | 100 % |")


def test_the_results_are_also_available_as_json_and_as_a_plot(run, tmp_path, capsys):
    plot = tmp_path / "sizes.png"

    assert main(["sizes", str(run), str(run), "--seconds", "0.05", "--json", "--plot", str(plot)]) == 0

    first, _second = json.loads(capsys.readouterr().out)["sizes"]
    assert (first["recipe"], first["network"]) == ("sizes", "MobileNetV2 0.5")
    assert (first["faces"], first["accuracy"]) == (120, 1.0)
    assert first["p50_ms"] > 0
    assert read_picture(plot).shape[1] == 1100


def test_networks_of_two_recipes_are_distinguished_by_name(run, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(run, other)
    (other / "run.json").write_text(json.dumps({"name": "from-scratch", "network": "MobileNetV2 0.5"}))

    assert main(["sizes", str(run), str(other), "--seconds", "0.05"]) == 0

    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split(" | ")[0] for line in lines] == ["| MobileNetV2 0.5, from-scratch", "| MobileNetV2 0.5, sizes"]


def test_smaller_inputs_come_first_in_any_order_of_the_runs():
    share = Share(9, 10)
    wide, narrow = (RunSize("sizes", "MobileNetV2 0.5", side, 1_000_000, 1.0, share, share) for side in (128, 96))

    lines = as_table([wide, narrow]).splitlines()[-2:]

    assert [line.split(" | ")[1] for line in lines] == ["96", "128"]


def test_an_unconverted_run_is_reported_before_any_measurement(run, tmp_path, capsys):
    (tmp_path / "bare").mkdir()

    assert main(["sizes", str(run), str(tmp_path / "bare")]) == 78

    told = capsys.readouterr()
    assert "holds 0 converted models" in told.err
    assert not told.out


def test_a_run_without_the_name_of_its_network_is_reported(run, capsys):
    (run / "run.json").write_text("{}")

    assert main(["sizes", str(run), "--seconds", "0.05"]) == 78
    assert "does not state its recipe and network" in capsys.readouterr().err
