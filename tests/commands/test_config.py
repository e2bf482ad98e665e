"""`edge-agent config`: secrets are printed only on request."""

from __future__ import annotations

import pytest

from edge_agent.cli import main

SOURCE = "rtsp://anna:hunter2@camera.local/stream"


@pytest.mark.parametrize(("options", "printed"), [((), "rtsp://***@camera.local"), (("--show-secrets",), SOURCE)])
@pytest.mark.parametrize("shape", [(), ("--changes",)])
def test_a_password_in_an_address_is_printed_only_on_request(capsys, options, printed, shape):
    assert main(["config", "--set", f"cameras={{door: {{source: '{SOURCE}'}}}}", *options, *shape]) == 0

    text = capsys.readouterr().out
    assert printed in text
    assert ("hunter2" in text) == bool(options)
