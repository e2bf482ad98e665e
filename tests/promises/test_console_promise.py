"""The agent's process imports no web framework."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml

ROOT = Path(__file__).parents[2]
WEB = {"fastapi", "jinja2", "multipart", "prometheus_client", "python_multipart", "starlette", "uvicorn", "websockets"}


def test_the_agent_imports_nothing_of_the_web(tmp_path):
    (tmp_path / "pictures").mkdir()
    cv2.imwrite(str(tmp_path / "pictures" / "one.jpg"), np.full((120, 160, 3), 128, np.uint8))
    config = {
        "state_dir": str(tmp_path / "state"),
        "cameras": {"door": {"source": str(tmp_path / "pictures")}},
        "mqtt": {"host": "127.0.0.1", "port": 1},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [sys.executable, "-X", "importtime", "-m", "edge_agent", "run", "--config", str(tmp_path / "config.yaml")]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True)

    imported = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    assert "edge_agent.agent" in imported
    assert "edge_agent.bridge.server" in imported
    assert "edge_agent.console.app" not in imported
    assert WEB & {name.partition(".")[0] for name in imported} == set()
