"""System: names of boards, systems and packages, also where they are missing."""

from pathlib import Path

from edge_agent.diagnosis.system import installed_packages, read_system


def test_a_raspberry_pi_names_its_board(tmp_path):
    for name, text in {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/class/dmi/id/product_name": "not asked",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)

    system = read_system(root=tmp_path)

    assert system.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert system.line.startswith("Raspberry Pi 4 Model B Rev 1.4, ")


def test_a_machine_without_a_name_is_still_described(tmp_path):
    assert read_system(root=tmp_path).model == "unnamed machine"


def test_the_system_is_named_as_in_its_own_file():
    assert f'"{read_system().operating_system}"' in Path("/etc/os-release").read_text(encoding="utf-8")


def test_packages_are_listed_as_they_are_installed():
    found = installed_packages()

    assert found["maskwatch"]
    assert found["numpy"].count(".") == 2
