"""The files to deploy with: they parse, agree with the program, and name nothing that is not there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tutelage.cli.entry import cli
from tutelage.gateway.settings import GatewaySettings, Server
from tutelage.gateway.telemetry.metrics import METRICS, Metric
from tutelage.gateway.workers import AFTER_DRAIN

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DRAIN = Server().drain


def objects() -> dict[str, Any]:
    """The Kubernetes objects by kind."""
    found = [one for one in yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text()) if one]
    return {one["kind"]: one for one in found}


def flags(arguments: list[str]) -> list[str]:
    """Those of `tutelage serve` that do not exist."""
    assert arguments[0] == "serve"
    command = cli.get_command(click.Context(cli), "serve")
    assert command is not None
    known = {name for one in command.params for name in one.opts}
    return [one for one in arguments[1:] if one.startswith("-") and one not in known]


def test_settings_are_valid_and_ask_for_keys() -> None:
    texts = [(DEPLOY / "gateway.toml").read_text(), objects()["ConfigMap"]["data"]["gateway.toml"]]
    for text in texts:
        found = GatewaySettings.model_validate(tomllib.loads(text))
        assert found.server.access == "keys" and found.server.host == "0.0.0.0" and found.redis
        assert found.database and "@postgres" in found.database and "password" not in found.database
        assert found.server.drain == DRAIN


def test_the_image_runs_the_program_as_nobody_special() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    words = {line.split()[0]: line for line in lines if line and line[0].isupper()}
    assert words["USER"] == "USER tutelage" and words["STOPSIGNAL"] == "STOPSIGNAL SIGTERM"
    assert json.loads(words["ENTRYPOINT"].partition(" ")[2]) == ["tutelage"]  # exec form: it gets the signals itself
    assert flags(json.loads(words["CMD"].partition(" ")[2])) == []
    extras = re.search(r"ARG EXTRAS=(.*)", "\n".join(lines))
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras and set(extras[1].split(",")) <= set(declared)
    copied = [word for line in lines if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists() and f"!{name}" in ignored, name


def test_compose_has_the_databases_and_time_to_end() -> None:
    found = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    assert found["services"].keys() == {"gateway", "postgres", "redis"}
    gateway = found["services"]["gateway"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) > DRAIN + AFTER_DRAIN
    assert (DEPLOY / gateway["build"]["context"] / gateway["build"]["dockerfile"]).is_file()
    assert gateway["ports"] == ["127.0.0.1:8000:8000"]
    used = {one.partition(":")[0] for service in found["services"].values() for one in service.get("volumes", [])}
    assert used - {"./gateway.toml"} == found["volumes"].keys() and (DEPLOY / "gateway.toml").is_file()
    for service in found["services"].values():
        for name, value in service.get("environment", {}).items():
            assert not re.search("PASSWORD|KEY", name) or value.startswith("${"), name
    for name in gateway["depends_on"]:
        assert "healthcheck" in found["services"][name]


def test_kubernetes_objects_belong_together() -> None:
    found = objects()
    assert found.keys() == {"ConfigMap", "Service", "StatefulSet", "PodDisruptionBudget"}
    for one in found.values():
        assert one["apiVersion"] and one["metadata"]["name"] == "tutelage"
    spec = found["StatefulSet"]["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    assert labels == spec["selector"]["matchLabels"] == found["Service"]["spec"]["selector"]
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert spec["serviceName"] == found["Service"]["metadata"]["name"]
    (container,) = pod["containers"]
    assert flags(container["args"]) == []
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + DRAIN + AFTER_DRAIN
    ports = {one["name"] for one in container["ports"]}
    assert {one["targetPort"] for one in found["Service"]["spec"]["ports"]} <= ports
    for probe, path in (("startupProbe", "/health"), ("livenessProbe", "/health"), ("readinessProbe", "/ready")):
        assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    volumes = {one["name"] for one in pod["volumes"]} | {
        one["metadata"]["name"] for one in spec["volumeClaimTemplates"]
    }
    mounts = {one["mountPath"]: one["name"] for one in container["volumeMounts"]}
    assert set(mounts.values()) == volumes
    assert "/tmp" in mounts  # the rest is read-only, and workers share a folder there
    assert pod["securityContext"]["runAsUser"] == 10001 and "--uid 10001" in (DEPLOY / "Dockerfile").read_text()


def test_the_unit_starts_the_program_and_gives_it_time_to_end() -> None:
    unit = ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "tutelage.service")
    service = unit["Service"]
    program, *arguments = service["ExecStart"].split()
    assert program.endswith("/tutelage") and flags(arguments) == []
    assert int(service["TimeoutStopSec"]) > DRAIN + AFTER_DRAIN
    assert service["KillMode"] == "mixed" and service["ExecReload"].endswith("-HUP $MAINPID")
    assert {"Unit", "Service", "Install"} == set(unit.sections())


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the unit is not verified")
    text = (DEPLOY / "tutelage.service").read_text().replace("/opt/tutelage/bin/tutelage", "/bin/true")
    (tmp_path / "tutelage.service").write_text(text.replace("User=tutelage\nGroup=tutelage\n", ""))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", tmp_path / "tutelage.service"],
        capture_output=True,
        text=True,
        check=False,
    )
    own = [line for line in done.stderr.splitlines() if "tutelage.service" in line]
    assert own == []


def test_docker_takes_the_compose_file() -> None:
    docker = shutil.which("docker")
    if docker is None or subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed: the compose file is not verified")
    command = [docker, "compose", "-f", str(DEPLOY / "compose.yaml"), "config", "--quiet"]
    environment = {"POSTGRES_PASSWORD": "x", "OPENAI_API_KEY": "x", "PATH": "/usr/local/bin:/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_prometheus_asks_where_metrics_are() -> None:
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    assert job["metrics_path"] == "/metrics" and "authorization" in job


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    panels = json.loads((DEPLOY / "grafana.json").read_text())["panels"]
    queries = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(queries) > 20 and len({panel["id"] for panel in panels}) == len(panels)
    shown: dict[str, Metric] = {}
    for metric in METRICS.values():
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        shown |= {metric.shown + suffix: metric for suffix in suffixes}
    for query in queries:
        names = re.findall(r"tutelage_\w+", query)
        assert names and not [name for name in names if name not in shown], query
        labels = {one.strip() for group in re.findall(r"by \(([^)]*)\)", query) for one in group.split(",")}
        labels |= set(re.findall(r"[{,](\w+)=", query))
        for name in names:
            assert labels <= {*shown[name].labels, "le", "instance"}, (query, labels)


def test_the_pages_links_and_the_table_are_of_these_files() -> None:
    page = (ROOT / "docs" / "deploy.md").read_text()
    for file in DEPLOY.iterdir():
        assert file.name in page or file.name == "gateway.toml", file.name
