"""Build steps beyond pyproject.toml: the package contains models, configuration and example."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithModels(build_py):
    """Copy the models, their cards, the default configuration and the example into the package."""

    def run(self) -> None:
        """Build the packages, then add the data files from the top level of the checkout."""
        super().run()
        if self.editable_mode:  # an editable install reads them from the checkout
            return
        package = Path(self.build_lib) / "edge_agent"
        models = package / "models"
        models.mkdir(parents=True, exist_ok=True)
        for file in sorted((HERE / "models").iterdir()):
            if file.suffix in {".tflite", ".json", ".md"}:
                shutil.copy2(file, models)
        shutil.copy2(HERE / "config.yaml", package)
        examples = package / "examples"
        examples.mkdir(exist_ok=True)
        shutil.copy2(HERE / "examples" / "street_door.mp4", examples)
        _set_modes(Path(self.build_lib))


class ReproducibleWheel(bdist_wheel):
    """Build the same wheel on every machine, including the file mode of the licence."""

    def egg2dist(self, egginfo_path: str, distinfo_path: str) -> None:
        """Write the metadata."""
        super().egg2dist(egginfo_path, distinfo_path)
        _set_modes(Path(distinfo_path))


def _set_modes(folder: Path) -> None:
    """Set fixed modes: those of a checkout depend on the umask of the user who made it."""
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(0o644)


setup(cmdclass={"bdist_wheel": ReproducibleWheel, "build_py": BuildWithModels})
