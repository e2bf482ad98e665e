"""Migrating a configuration, as a person does after an upgrade."""

from tests.journeys.agent import run_command


def test_after_an_upgrade_one_command_brings_the_file_up_to_date(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("voting: {readings: 9}\nmqtt: {host: broker.local}\n", encoding="utf-8")
    refused = run_command("config", "--config", file)
    assert refused.returncode == 78
    assert f"edge-agent config --migrate {file}" in refused.stderr

    migrated = run_command("config", "--migrate", file)

    assert migrated.returncode == 0, migrated.stderr
    assert f"the old file is {file}.old" in migrated.stdout
    assert "host: broker.local" in run_command("config", "--changes", "--config", file).stdout


def test_what_else_is_wrong_is_told_after_the_migration(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("voting: {readings: 9}\nmotoin: {}\n", encoding="utf-8")

    done = run_command("config", "--migrate", file)

    assert done.returncode == 78
    assert "brought up to date" in done.stdout
    assert "did you mean 'motion'?" in done.stderr
    assert "voting" not in done.stderr


def test_without_a_name_the_file_of_the_system_is_meant():
    assert "(default: /etc/maskwatch/config.yaml)" in " ".join(run_command("config", "--help").stdout.split())
