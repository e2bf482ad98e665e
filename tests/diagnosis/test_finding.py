"""Findings: order and exit status."""

import pytest

from edge_agent.diagnosis.finding import Finding, exit_status, worst_first

OK = Finding("masks", "ok", "fits")
WARNING = Finding("clock", "warning", "not synchronised")
AWAY = Finding("broker", "wrong", "refused", exit_code=75)
NOT_KEPT = Finding("crops", "wrong", "no room", exit_code=74)
TO_MEND = Finding("configuration", "wrong", "line 3", exit_code=78)


def test_findings_are_sorted_by_severity():
    other = Finding("camera", "wrong", "gone")

    assert worst_first([OK, WARNING, AWAY, other]) == [AWAY, other, WARNING, OK]


@pytest.mark.parametrize(
    ("findings", "status"),
    [([], 0), ([OK], 0), ([OK, WARNING], 1), ([WARNING, AWAY], 75), ([AWAY, TO_MEND, OK], 78), ([NOT_KEPT], 75)],
)
def test_the_exit_status_is_that_of_the_worst_finding(findings, status):
    assert exit_status(findings) == status
