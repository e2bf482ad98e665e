"""config.yaml and the code agree."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from edge_agent.config.model import Config
from edge_agent.config.render import as_yaml

CONFIG_FILE = Path(__file__).parents[2] / "config.yaml"


def test_config_yaml_lists_every_key_with_its_default_and_a_comment():
    assert CONFIG_FILE.read_text(encoding="utf-8") == as_yaml(Config()), "run: edge-agent config > config.yaml"


def sections(model: type[BaseModel]) -> list[type[BaseModel]]:
    found = [model]
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found += sections(field.annotation)
    return found


@pytest.mark.parametrize("section", sections(Config))
def test_every_key_has_a_description(section: type[BaseModel]):
    assert [key for key, field in section.model_fields.items() if not field.description] == []
