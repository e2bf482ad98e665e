"""System: names of boards, systems and packages, also where they are missing."""

from edge_agent.diagnosis.system import installed_packages, read_system


def test_a_raspberry_pi_names_its_board_and_its_system(tmp_path):
    for name, text in {
        "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
        "sys/class/dmi/id/product_name": "not asked",
        "etc/os-release": 'NAME="Debian"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)

    system = read_system(root=tmp_path)

    assert system.model == "Raspberry Pi 4 Model B Rev 1.4"
    assert system.operating_system == "Debian GNU/Linux 12 (bookworm)"
    assert system.line.startswith("Raspberry Pi 4 Model B Rev 1.4, ")


def test_a_machine_without_a_name_is_still_described(tmp_path):
    assert read_system(root=tmp_path).model == "unnamed machine"


def test_packages_are_listed_as_they_are_installed():
    found = installed_packages()

    assert found["maskwatch"]
    assert found["numpy"].count(".") == 2
