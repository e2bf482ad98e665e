"""What pyproject.toml cannot say: models, configuration and example travel inside the package."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent


class BuildWithModels(build_py):
    """Copy the models, their cards, the default configuration and the example beside the code that reads them."""

    def run(self) -> None:
        """Build the packages, then add what stands at the fixed top level of the checkout."""
        super().run()
        if self.editable_mode:  # an editable install reads them where they stand
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


setup(cmdclass={"build_py": BuildWithModels})
