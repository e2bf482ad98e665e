"""`edge-agent bench`: as text and as JSON."""

import json

from tests.journeys.agent import EXAMPLE, run_command


def test_the_bench_prints_one_json_line(tmp_path):
    done = run_command("bench", "--json", "--frames", "2", "--cameras", "2", "--set", f"state_dir={tmp_path}")

    assert done.returncode == 0, done.stderr
    (result,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert result["schema"] == "maskwatch.bench/1"
    assert result["system"]["packages"]["maskwatch"]
    assert result["configured"]["frames"] == 2
    assert result["configured"]["limit_share"] > 0
    assert result["side_by_side"]["cameras"] == 2
    assert result["side_by_side"]["frames_per_second"] > 0
    assert 0 < result["start"]["version_cpu_seconds"] < result["start"]["ready_seconds"] + 60
    assert 50_000_000 < result["start"]["peak_memory_bytes"] < 1_000_000_000
    assert result["recommended"] in [{key: one[key] for key in ("runtime", "threads")} for one in result["candidates"]]


def test_the_bench_ends_with_the_lines_for_the_configuration(tmp_path):
    cameras = f"cameras={{door: {{source: {EXAMPLE}}}}}"
    done = run_command("bench", "--frames", "2", "--camera", "door", "--set", cameras, "--set", f"state_dir={tmp_path}")

    assert done.returncode == 0, done.stderr
    *_, title, runtime, threads = done.stdout.splitlines()
    assert title == "for config.yaml:"
    assert runtime.startswith("runtime: ")
    assert threads.startswith("threads: ")
    assert "<- recommended" in done.stdout


def test_a_camera_that_is_not_configured_is_refused(tmp_path):
    done = run_command("bench", "--camera", "yard", "--set", f"state_dir={tmp_path}")

    assert done.returncode == 78
    assert "known: camera" in done.stderr
