"""Plotting: the suffix of a file is its format, and one without a format is refused before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converter import cli as converter_cli
from edge_agent.errors import ConfigError
from training import cli as training_cli
from training.plotting import new_figure, require_picture_format, require_plot_format, save_figure, write_picture

MODELS = Path(__file__).parents[2] / "models"
MAGIC = {".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".JPEG": b"\xff\xd8", ".svg": b"<?xml"}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG"])
def test_a_picture_has_the_format_of_its_suffix(tmp_path, suffix):
    path = tmp_path / f"sheet{suffix}"
    require_picture_format(path)
    write_picture(path, np.zeros((4, 4, 3), np.uint8))
    assert path.read_bytes().startswith(MAGIC[suffix])


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".JPEG", ".svg"])
def test_a_plot_has_the_format_of_its_suffix(tmp_path, suffix):
    pytest.importorskip("matplotlib")
    path = tmp_path / f"plot{suffix}"
    require_plot_format(path)
    save_figure(new_figure(1, 1), path)
    assert path.read_bytes().startswith(MAGIC[suffix])


@pytest.mark.parametrize("name", ["sheet", "sheet.svg", "sheet.txt", ".png"])
def test_a_picture_of_another_suffix_is_refused(name):
    with pytest.raises(ConfigError, match=name):
        require_picture_format(Path(name))


@pytest.mark.parametrize(
    ("main", "command"),
    [
        (training_cli.main, ["explore", "nowhere", "--output"]),
        (converter_cli.main, ["sizes", "nowhere", "--plot"]),
        (converter_cli.main, ["evaluate", str(MODELS / "faces.json"), "--scenes", "nowhere", "--plot"]),
    ],
)
def test_a_command_refuses_the_name_of_its_picture_before_it_begins(main, command, tmp_path, capfd):
    assert main([*command, str(tmp_path / "picture.doc")]) == ConfigError.exit_code

    assert f"{tmp_path / 'picture.doc'}: " in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
