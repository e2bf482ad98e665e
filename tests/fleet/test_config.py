"""Fleet configuration: what is rejected, and with which errors."""

from __future__ import annotations

import pytest

from edge_agent.errors import ConfigError
from fleet.config import FleetConfig, load


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ('broker.hosts=["amqp://fleet:sesame@broker-1"]', "broker.hosts.0"),
        ('broker.hosts=["broker-1/maskwatch"]', "broker.hosts.0"),
        ('broker.hosts=["broker-1:5672"]', "broker.hosts.0"),
        ('broker.hosts=["broker..example.org"]', "broker.hosts.0"),
        ("broker.hosts=[]", "broker.hosts"),
        ("web.host=localhost:8090", "web.host"),
        ("web.host=http://localhost", "web.host"),
        ('notify.alertmanagers=["broker-1:9093"]', "notify.alertmanagers.0"),
        ('notify.alertmanagers=["http://alerts:none"]', "notify.alertmanagers.0"),
        ("notify.web_url=https:///fleet", "notify.web_url"),
        ("notify.web_url=https://fleet:none", "notify.web_url"),
        ("rollout.url=https:///models", "rollout.url"),
        ("rollout.url=https://models..example.org", "rollout.url"),
        ("site_pattern=(", "site_pattern"),
        ("site_pattern=hall", "site_pattern"),
        ("topic_prefix=a.b", "topic_prefix"),
        ("broker.ca_file=ca.pem", "broker"),
        ("rollout.url=models.example.org", "rollout.url"),
        ("ingest.prefetch=0", "ingest.prefetch"),
    ],
)
def test_invalid_values_are_rejected_with_their_key_and_no_secret(line: str, key: str):
    with pytest.raises(ConfigError) as refused:
        load(None, overrides=[line])

    assert key in str(refused.value)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize("host", ["broker-1", "broker-1.example.org", "10.0.0.1", "fd00::1", "[fd00::1]"])
def test_a_broker_is_a_name_or_an_address(host: str):
    assert FleetConfig.model_validate({"broker": {"hosts": [host]}}).broker.hosts == (host.strip("[]"),)


@pytest.mark.parametrize(
    ("device", "site"), [("hall-3", "hall"), ("north-hall-3", "north-hall"), ("door", "door"), ("-1", "-1")]
)
def test_a_devices_id_names_its_site(device: str, site: str):
    assert FleetConfig().site_of(device) == site


def test_a_section_whose_keys_are_all_commented_out_has_its_defaults(tmp_path):
    file = tmp_path / "fleet.yaml"
    file.write_text("broker:\n  # hosts: [broker-1]\ndatabase:\n  retention_days:\n")

    assert load(file) == FleetConfig()
