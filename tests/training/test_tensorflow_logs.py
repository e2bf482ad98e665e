"""TensorFlow logs: TensorFlow writes nothing to the terminal."""

from __future__ import annotations

import logging
import os
import sys
import warnings

import pytest

from training.tensorflow_logs import quiet_tensorflow


def test_library_output_is_suppressed_and_our_own_is_printed(capfd, caplog):
    with quiet_tensorflow():
        os.write(2, b"chatter from C++\n")
        warnings.warn("chatter from Python", stacklevel=1)
        logging.getLogger("tensorflow").warning("chatter from its logger")
        sys.stderr.write("our own words\n")
    os.write(2, b"afterwards\n")

    assert capfd.readouterr().err == "our own words\nafterwards\n"
    assert not caplog.records


def test_an_error_restores_the_standard_streams(capfd):
    before = sys.stderr
    with pytest.raises(ZeroDivisionError), quiet_tensorflow():
        _ = 1 / 0
    os.write(2, b"heard\n")

    assert sys.stderr is before
    assert capfd.readouterr().err == "heard\n"
