"""Packaging: scripts, man page, completion, and the paths that they share."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib import import_module
from importlib.metadata import requires
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from deploy.debian.completion import completion
from deploy.debian.man_page import commands_of, man_page

CHECKOUT = Path(__file__).parents[2]
DEPLOY = CHECKOUT / "deploy"
SCRIPTS = [
    "apt-repository",
    "build-deb",
    "build-fleet-deb",
    "container.sh",
    "fleet-root",
    "install.sh",
    "test-ansible",
    "test-arm64",
    "test-homeassistant",
    "test-image",
    "test-repository",
    "test-service",
    "debian/postinst",
    "debian/prerm",
    "debian/postrm",
    "debian/fleet/postinst",
    "debian/fleet/prerm",
    "debian/fleet/postrm",
]
PROGRAM = "/opt/maskwatch/bin/edge-agent"


def text(name: str) -> str:
    return (DEPLOY / name).read_text(encoding="utf-8")


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([DEPLOY / "install.sh", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is missing (Debian package shellcheck)")
def test_shellcheck_finds_nothing_in_a_script(script):
    command = ["shellcheck", "--external-sources", DEPLOY / script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.stdout == ""


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_can_be_run(script):
    assert os.access(DEPLOY / script, os.X_OK)


def test_the_arm64_test_reports_missing_requirements(tmp_path):
    for tool in ("bash", "dirname", "id"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))

    done = subprocess.run(
        [DEPLOY / "test-arm64"], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode == 1
    assert "test-arm64 cannot run here" in done.stderr
    assert "debootstrap: apt-get install debootstrap" in done.stderr


def test_service_package_and_installer_use_the_same_path():
    assert f"ExecStart={PROGRAM} run" in text("edge-agent.service")
    assert f"ExecStart={PROGRAM} console" in text("maskwatch-console.service")
    assert f"ExecStart={PROGRAM} rollout" in text("maskwatch-rollout.service")
    for unit in ("maskwatch-console.service", "maskwatch-rollout.service"):
        assert all(unit in text(script) for script in ("build-deb", "install.sh"))
    assert f'"$root{PROGRAM}"' in text("build-deb")
    assert f"ln -sfn {PROGRAM} " in text("install.sh")


def test_the_installer_accepts_every_supported_python():
    suitable = r"\(3, \d+\) <= sys\.version_info\[:2\] <= \(3, \d+\)"

    assert re.findall(suitable, text("install.sh")) == re.findall(
        suitable, (CHECKOUT / "Makefile").read_text(encoding="utf-8")
    )


@pytest.mark.parametrize("script", ["build-deb", "install.sh"])
def test_the_default_configuration_has_the_line_that_an_installation_changes(script):
    assert r"s|^state_dir:$|state_dir: /var/lib/maskwatch|" in text(script)
    lines = (CHECKOUT / "config.yaml").read_text(encoding="utf-8").splitlines()
    assert lines.count("state_dir:") == 1


def test_the_fleet_gets_the_version_of_this_checkout():
    version = re.search(r'^version = "(.+)"$', (CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert version
    assert f"maskwatch_version: {version[1]}\n" in text("ansible/roles/maskwatch/defaults/main.yml")
    assert f"maskwatch_fleet_version: {version[1]}\n" in text("ansible/roles/maskwatch_fleet/defaults/main.yml")
    assert f"./maskwatch_{version[1]}+deb12_arm64.deb" in text("README.md")


def test_the_runbook_has_every_section_that_the_service_test_follows():
    followed = re.findall(r'\b(?:runbook|block) "([^"$]+)"', text("test-service"))
    sections = re.findall(r"^## (.+)$", text("README.md"), re.MULTILINE)

    assert followed
    assert set(followed) <= set(sections)


def test_the_fleets_readme_has_every_variable_of_the_role_and_no_other():
    defaults = set(re.findall(r"^(maskwatch_\w+):", text("ansible/roles/maskwatch/defaults/main.yml"), re.MULTILINE))
    described = set(
        re.findall(r"^      (maskwatch_\w+):", text("ansible/roles/maskwatch/meta/argument_specs.yml"), re.MULTILINE)
    )
    table = text("ansible/README.md").split("| variable |")[1].split("\n\n")[0]

    assert defaults == described == set(re.findall(r"`(maskwatch_\w+)`", table))


def test_the_secrets_of_the_role_are_those_of_the_service():
    units = text("edge-agent.service") + text("maskwatch-console.service")
    handed = set(re.findall(r"^LoadCredential=([a-z-]+):", units, re.MULTILINE))
    written = set(
        re.findall(r"- name: ([a-z]+-[a-z]+)$", text("ansible/roles/maskwatch/tasks/secrets.yml"), re.MULTILINE)
    )

    assert written == handed


def test_a_dry_run_of_the_installer_prints_every_step_and_runs_none():
    done = install("--dry-run")

    assert done.returncode == 0, done.stderr
    assert "+ systemctl enable edge-agent.service" in done.stdout
    assert not Path("/opt/maskwatch/bin/pip").exists()


def run_installer(root: Path, python: str | Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run it on a folder instead of this machine."""
    script = re.sub(r"(?<!\w)/(?=(etc|opt|run|usr/local)/)", f"{root}/", text("install.sh"))
    command = ["bash", "-c", script, str(DEPLOY / "install.sh"), *arguments]
    environment = {**os.environ, "PYTHON": str(python)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_installer_stops_first_where_systemd_does_not_run(tmp_path):
    python, asked = tmp_path / "python", tmp_path / "asked"
    python.write_text(f"#!/bin/sh\ntouch {asked}\nexit 1\n")
    python.chmod(0o755)

    assert run_installer(tmp_path, python).returncode == 1
    assert not asked.exists()


def dry_run(root: Path) -> list[str]:
    done = run_installer(root, sys.executable, "--dry-run")
    assert done.returncode == 0, done.stderr
    return [line.removeprefix("+ ") for line in done.stdout.splitlines() if line.startswith("+ ")]


def test_the_installer_creates_its_environment_anew_for_another_python(tmp_path):
    program = tmp_path / "opt" / "maskwatch"
    subprocess.run([sys.executable, "-m", "venv", program], check=True, timeout=60)
    assert not any(" -m venv " in step for step in dry_run(tmp_path))

    # An upgrade of the system has replaced python3: the environment has no libraries of the new version.
    current = program / "lib" / f"python3.{sys.version_info[1]}"
    current.rename(program / "lib" / "python3.1")
    assert [step for step in dry_run(tmp_path) if " -m venv --clear " in step]


def test_an_interrupted_installation_leaves_no_configuration(tmp_path):
    changing = [step for step in dry_run(tmp_path) if re.search(r"/etc/maskwatch/config\.yaml(?!\.)", step)]

    assert [step.split()[0] for step in changing] == ["mv"]


def test_the_installer_builds_outside_the_checkout(tmp_path):
    # Modules that an earlier build left there would be installed again.
    [step] = [step for step in dry_run(tmp_path) if "--force-reinstall" in step]

    assert "DIST_EXTRA_CONFIG=" in step


def test_a_missing_wheel_is_reported_before_anything_is_installed(tmp_path):
    done = install("--dry-run", str(tmp_path / "maskwatch.whl"))

    assert done.returncode == 1
    assert str(tmp_path / "maskwatch.whl") in done.stderr
    assert done.stdout == ""


def test_an_unknown_option_of_the_installer_is_refused():
    done = install("--uninstal")

    assert done.returncode == 64
    assert "--uninstall" in done.stderr


@pytest.mark.parametrize(
    ("program", "package", "nested"),
    [
        ("edge-agent", "edge_agent", "alerts export"),
        pytest.param(
            *("maskwatch-fleet", "fleet", "rollout replace-key"),
            marks=pytest.mark.skipif(find_spec("pika") is None, reason="a device has no libraries of the fleet"),
        ),
    ],
)
def test_a_man_page_names_every_command_and_its_options(program, package, nested):
    parser = import_module(f"{package}.cli").build_parser()
    page = "\n".join(man_page(program)).replace("\\-", "-")

    for name, command in commands_of(parser).items():
        assert f".SS {name}\n" in page
        assert all(option in page for option in command._option_string_actions if option not in ("-h", "--help"))
    assert f".SS {nested}\n" in page


@pytest.mark.parametrize(
    ("typed", "offered"), [(["edge-agent", "rep"], "replay"), (["edge-agent", "replay", "--js"], "--json")]
)
def test_bash_completes_commands_and_options(typed, offered):
    words = " ".join(f'"{word}"' for word in typed)
    asks = f'COMP_WORDS=({words}); COMP_CWORD={len(typed) - 1}; _edge_agent; echo "${{COMPREPLY[@]}}"'

    done = subprocess.run(
        ["bash", "-c", f"{completion()}\n{asks}"], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == [offered]


@pytest.mark.parametrize("script", ["build-deb", "install.sh"])
def test_every_library_of_a_device_is_pinned_by_hash(script):
    required = [*(requires("maskwatch") or ()), "setuptools"]
    extras = re.findall(r"--extra (\w+)", (CHECKOUT / "Makefile").read_text(encoding="utf-8"))
    named = re.compile(f"extra == .({'|'.join(extras)})")
    installed = [line for line in required if "extra ==" not in line or named.search(line)]
    wanted = {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in installed}
    pinned = dict(re.findall(r"^([a-z0-9.-]+)==\S+([^#]*?)(?=^[a-z]|\Z)", text("requirements.txt"), re.MULTILINE))

    assert wanted <= pinned.keys()
    assert [name for name, hashes in pinned.items() if "--hash=sha256:" not in hashes] == []
    assert re.search(r"--require-hashes .*--requirement \S*deploy/requirements.txt", text(script).replace("\\\n", ""))
    assert "--only-binary :all:" in text("debian/package.sh" if script == "build-deb" else script)
    assert "--no-deps " in text(script)


@pytest.mark.parametrize("script", ["debian/edge-agent", "debian/fleet/maskwatch-fleet"])
def test_a_child_process_does_not_run_the_program_again(script, monkeypatch):
    # multiprocessing runs the main file in each child process under this name.
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "argv", ["edge-agent", "--version"])

    runpy.run_path(str(DEPLOY / script), run_name="__mp_main__")


def test_the_fleet_package_contains_the_programs_of_its_unit_and_extra():
    program = "/opt/maskwatch-fleet/bin/maskwatch-fleet"
    brought = {line.partition("==")[0] for line in text("debian/fleet/requirements.txt").splitlines() if "==" in line}
    wanted = [Requirement(line) for line in requires("maskwatch") or [] if "extra ==" in line]
    named = {
        one.name.lower()
        for one in wanted
        if one.marker and any(one.marker.evaluate({"extra": name}) for name in ("console", "fleet", "rollout"))
    }

    assert f"ExecStart={program} %i" in text("maskwatch-fleet@.service")
    assert program.removeprefix("/") in text("build-fleet-deb")
    assert named <= brought | {"maskwatch"}
    # Libraries in both packages have the same version.
    of_devices = re.findall(r"^([a-z0-9.-]+==[^ ]+) ", text("requirements.txt"), re.MULTILINE)
    for line in text("debian/fleet/requirements.txt").splitlines():
        same = [pinned for pinned in of_devices if pinned.startswith(f"{line.partition('==')[0]}==")]
        assert line in same or not same


def test_the_role_installs_the_package_built_for_the_system():
    built = dict(re.findall(r"^    ([a-z]+)\) for_python=\S+ system=(\S+) ;;$", text("build-deb"), re.MULTILINE))
    brought = re.search(r"^maskwatch_suffixes: \{(.+)\}$", text("ansible/roles/maskwatch/vars/main.yml"), re.MULTILINE)

    assert brought
    assert dict(pair.split(": ") for pair in brought[1].split(", ")) == built
    assert f"SUITES ?= {' '.join(built)}\n" in (CHECKOUT / "Makefile").read_text(encoding="utf-8")


def test_messages_of_the_roles_refer_to_sections_that_exist():
    tasks = "".join(file.read_text(encoding="utf-8") for file in (DEPLOY / "ansible").rglob("*.yml"))
    references = re.findall(r"see '(.+)' in (\S+\.md)", tasks)

    assert references
    for section, page in references:
        assert f"\n## {section}\n" in (CHECKOUT / page).read_text(encoding="utf-8")


def test_a_vault_can_be_put_beside_the_example_variables_of_a_group_or_host():
    # Ansible ignores group_vars/NAME.yml if there is a folder group_vars/NAME.
    inventory = DEPLOY / "ansible" / "inventory"
    variables = [file for kind in ("group_vars", "host_vars") for file in (inventory / kind).iterdir()]

    assert variables
    assert all(file.is_dir() for file in variables)


def run_maintainer_script(root: Path, script: str, *arguments: str) -> None:
    """Run a script of a package on a folder instead of this machine."""
    here = re.sub(r"(?<!\w)/(?=(etc|opt|run|srv|var)/)", f"{root}/", text(f"debian/{script}"))
    here = here.replace("systemctl ", f"systemctl --root={root} ")
    subprocess.run(["sh", "-c", here, script, *arguments], check=True, timeout=60)


@pytest.mark.parametrize(
    ("beside", "left"),
    [((), []), (("fleet.yaml", "ca.pem"), ["ca.pem", "credentials/fleet-key", "fleet.yaml"])],
    ids=["alone", "beside a fleet"],
)
def test_a_purge_keeps_what_belongs_to_the_fleet(tmp_path, beside, left):
    folder = tmp_path / "etc" / "maskwatch"
    for subfolder in ("credentials", "models"):
        (folder / subfolder).mkdir(parents=True)
    secrets = ["mqtt-password", "console-key", "display-token", "webhook-secret", "fleet-key"]
    own = ["config.yaml", "kiosk.env", "models/my-masks.tflite"]
    for name in [*own, *(f"credentials/{secret}" for secret in secrets), *beside]:
        (folder / name).touch()

    run_maintainer_script(tmp_path, "postrm", "purge")

    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == left


@pytest.mark.parametrize("folder", ["", "fleet/"])
def test_a_package_whose_files_are_gone_can_be_removed_or_reinstalled(tmp_path, folder):
    for action in ("remove", "upgrade", "failed-upgrade"):
        run_maintainer_script(tmp_path, f"{folder}prerm", action)


@pytest.mark.parametrize(
    ("folder", "unit", "enabled"),
    [
        ("", "edge-agent.service", "edge-agent.service"),
        ("", "maskwatch-console.service", "maskwatch-console.service"),
        ("fleet/", "maskwatch-fleet@.service", "maskwatch-fleet@ingest.service"),
    ],
)
@pytest.mark.skipif(shutil.which("systemctl") is None, reason="systemctl is missing (Debian package systemd)")
def test_a_service_stays_enabled_across_a_removal_until_a_purge(tmp_path, folder, unit, enabled):
    # dpkg configures a package that was removed like an upgrade, so postinst does not enable it again.
    units = tmp_path / "lib" / "systemd" / "system"
    units.mkdir(parents=True)
    (units / unit).write_text(text(unit), encoding="utf-8")
    subprocess.run(["systemctl", f"--root={tmp_path}", "--quiet", "enable", enabled], check=True, timeout=60)
    link = tmp_path / "etc" / "systemd" / "system" / "multi-user.target.wants" / enabled
    assert link.is_symlink()

    run_maintainer_script(tmp_path, f"{folder}prerm", "remove")
    (units / unit).unlink()
    run_maintainer_script(tmp_path, f"{folder}postrm", "remove")
    assert link.is_symlink()

    run_maintainer_script(tmp_path, f"{folder}postrm", "purge")
    assert not link.is_symlink()


def test_cloud_init_waits_for_the_network_at_the_first_boot_only():
    # bootcmd runs at every boot, and services wait for it: without a network the agent would start minutes later.
    commands = yaml.safe_load(text("cloud-init/user-data"))["bootcmd"]

    assert [command[:2] for command in commands] == [["cloud-init-per", "instance"]] * len(commands)


@pytest.mark.skipif(
    shutil.which("ansible-playbook") is None, reason="ansible-playbook is missing (Debian package ansible)"
)
@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"route": {"receiver": "b"}}, 'receiver "b"'),
        ({"global": {"smtp_auth_password": ["hunter2"]}}, "config.plain"),
        ({"receivers": [{"name": "a", "telegram_configs": [{"bot_token": "x", "chat_id": "hunter2"}]}]}, "int64"),
        ({"receivers": [{"name": "a", "webhook_configs": [{"url": "http://a b/hunter2"}]}]}, "host name"),
        ({"global": {"smtp_auth_password": "hunter2"}}, None),
    ],
)
def test_an_invalid_configuration_of_alertmanager_is_reported_without_secrets(tmp_path, wrong, reason):
    role = DEPLOY / "ansible/roles/maskwatch_fleet"
    tasks = yaml.safe_load((role / "tasks/alertmanager.yml").read_text())[1]["block"]
    (write,) = (task for task in tasks if task.get("ansible.builtin.template", {}).get("src") == "alertmanager.yml.j2")
    write["ansible.builtin.template"] = {"src": "alertmanager.yml.j2", "dest": str(tmp_path / "alertmanager.yml")}
    configuration = {"route": {"receiver": "a"}, "receivers": [{"name": "a"}], **wrong}
    play = {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "vars": {"maskwatch_fleet_alertmanager": configuration},
        "tasks": [*tasks[: tasks.index(write)], {key: write[key] for key in write if key != "notify"}],
    }
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    (tmp_path / "templates").symlink_to(role / "templates")

    done = subprocess.run(
        ["ansible-playbook", "-v", "--diff", "--inventory", "localhost,", tmp_path / "play.yml"],
        env={**os.environ, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode == 0, (tmp_path / "alertmanager.yml").exists()) == (
        (True, True) if reason is None else (False, False)
    )
    assert reason is None or reason in done.stdout.replace('\\"', '"')
    assert "hunter" not in done.stdout + done.stderr
