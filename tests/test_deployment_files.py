"""Files of `deploy/` hold: units verified and scored by systemd, images linted, metrics known."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
from ruamel.yaml import YAML

from coordinator.console_section import DEFAULT_PORT as COORDINATOR_CONSOLE_PORT
from coordinator.metrics.table import TABLE as COORDINATOR_TABLE
from machine.metrics.endpoint import LIVE
from machine.metrics.families import LEFT_OUT
from machine.metrics.settings import METRICS_TEMPLATE
from partner_node.config.console import DEFAULT_PORT as NODE_CONSOLE_PORT
from partner_node.metrics.table import TABLE as NODE_TABLE

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
TIMERS = sorted((DEPLOY / "systemd").glob("*.timer"))
CONTAINERFILE = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
PORT = re.findall(r"(?m)^# port = (\d+)$", METRICS_TEMPLATE)[0]
CONSOLE_PORTS = {"node": str(NODE_CONSOLE_PORT), "coordinator": str(COORDINATOR_CONSOLE_PORT)}
#: Of systemd's exposure from 0 to 10, in tenths: 1.3 is what the units come to.
MOST_EXPOSED = 15

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not on this machine: units are not verified (apt install systemd)",
)
HADOLINT = Path(sys.executable).with_name("hadolint")


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


# --- systemd --------------------------------------------------------------------------------------


@needs_systemd
def test_units_are_verified_by_systemd(tmp_path: Path) -> None:
    """With the programs of this environment: systemd looks whether they are there."""
    for unit in (*UNITS, *TIMERS):
        text = unit.read_text(encoding="utf-8")
        (tmp_path / unit.name).write_text(
            text.replace("/opt/fedseg/bin", str(Path(sys.executable).parent))
        )
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, sorted(tmp_path.iterdir()))],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_is_hardened_as_systemd_scores_it(unit: Path) -> None:
    words = ["--offline=true", f"--threshold={MOST_EXPOSED}", "--no-pager", str(unit)]
    done = subprocess.run(
        ["systemd-analyze", "security", *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_there_are_a_service_a_console_and_a_backup_with_a_timer_for_each_side() -> None:
    names = {unit.stem for unit in UNITS}
    assert names == {
        f"fedseg-{side}{w}" for side in ("node", "coordinator") for w in ("", "-backup", "-console")
    }
    assert {timer.stem for timer in TIMERS} == {name for name in names if name.endswith("-backup")}


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_service_has_a_user_of_its_own_and_dumps_no_keys(unit: Path) -> None:
    lines = unit.read_text(encoding="utf-8").splitlines()
    side = unit.stem.removesuffix("-backup").removesuffix("-console")
    assert {f"User={side}", f"StateDirectory={side}", "StateDirectoryMode=0700"} <= set(lines)
    assert {"LimitCORE=0", "NoNewPrivileges=yes", "ProtectSystem=strict", "UMask=0077"} <= set(
        lines
    )


def test_every_folder_that_the_guide_and_the_units_name_is_made_before_a_service_starts() -> None:
    """A unit makes its own when it starts, which is too late for `init` and `join` in it."""
    made = {}
    for line in (DEPLOY / "systemd" / "fedseg.tmpfiles.conf").read_text().splitlines():
        if not line.startswith("#"):
            kind, folder, mode, user, group, age = line.split()
            assert (kind, mode, age, group) == ("d", "0700", "-", user)
            made[folder] = user
    told = [(ROOT / "docs" / "production.md"), *UNITS]
    named = {
        found
        for file in told
        for found in re.findall(r"/var/(?:lib|backups)/[\w-]+", file.read_text(encoding="utf-8"))
    }
    assert named == set(made)
    users = (DEPLOY / "systemd" / "fedseg.sysusers.conf").read_text(encoding="utf-8")
    for folder, user in made.items():
        assert folder.endswith(f"/{user}") and re.search(rf"(?m)^u {user} ", users)


# --- containers -----------------------------------------------------------------------------------


@pytest.mark.skipif(not HADOLINT.exists(), reason="hadolint has no package for this machine")
def test_the_containerfile_passes_its_linter() -> None:
    done = subprocess.run(
        [str(HADOLINT), "--no-color", str(DEPLOY / "Containerfile")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_image_stands_on_a_named_version_and_runs_as_a_user_who_is_not_root() -> None:
    bases = re.findall(r"(?m)^(?:ARG BASE=|FROM )(\S+)", CONTAINERFILE)
    named = [base for base in bases if base not in ("${BASE}", "base")]
    assert named
    assert all(re.fullmatch(r"[\w./-]+:[\w.-]+", base) for base in named)
    assert not any(base.endswith(":latest") for base in named)
    users = re.findall(r"(?m)^USER (\S+)$", CONTAINERFILE)
    assert users == ["10001:10001"]
    assert CONTAINERFILE.index("USER") < CONTAINERFILE.index("FROM base AS")


def test_an_image_is_made_of_every_package_and_of_nothing_that_is_not_there() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    copied = {
        name
        for line in re.findall(r"(?m)^COPY (?!--)(.*) \S+$", CONTAINERFILE)
        for name in line.split()
    }
    wanted = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]}
    wanted |= {"pyproject.toml", "constraints.txt", project["project"]["readme"]}
    wanted |= {*project["project"]["license-files"]}
    assert copied == wanted
    assert all((ROOT / name).exists() for name in copied)
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert kept[0] == "*"
    assert {line[1:] for line in kept if line.startswith("!")} == wanted


def test_health_is_asked_where_it_is_told() -> None:
    asked = re.findall(r"http://127\.0\.0\.1:(\d+)(/[\w/]+)", CONTAINERFILE)
    assert asked == [(PORT, LIVE)]
    services = read(DEPLOY / "compose.yaml")["services"]
    for side in ("node", "coordinator"):
        test = services[side]["healthcheck"]["test"][-1]
        assert re.findall(r"127\.0\.0\.1:(\d+)(/[\w/]+)", test) == asked
        console = services[f"{side}-console"]["healthcheck"]["test"][-1]
        assert re.findall(r"'127\.0\.0\.1', (\d+)", console) == [CONSOLE_PORTS[side]]


@pytest.mark.parametrize("side", ["node", "coordinator"])
def test_a_console_is_a_container_of_its_own_that_this_machine_alone_reaches(side: str) -> None:
    services = read(DEPLOY / "compose.yaml")["services"]
    console, own = services[f"{side}-console"], CONSOLE_PORTS[side]
    assert console["command"] == ["console", "--dir", "/state", "--log-format", "json"]
    assert console["ports"] == [f"127.0.0.1:{own}:{own}"]
    assert console["profiles"] == [f"{side}-console"]
    same = {"image", "build", "user", "read_only", "cap_drop", "security_opt", "volumes"}
    assert {key: console[key] for key in same} == {key: services[side][key] for key in same}


@pytest.mark.parametrize("side", ["node", "coordinator"])
def test_a_container_is_rootless_and_may_write_its_state_alone(side: str) -> None:
    service = read(DEPLOY / "compose.yaml")["services"][side]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices"} & service.keys()
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == [f"./{side}:/state"]
    assert not service["image"].endswith(":latest")
    assert f"FROM base AS {service['build']['target']}\n" in CONTAINERFILE
    assert (ROOT / service["build"]["dockerfile"]).exists()
    metrics = [port for port in service["ports"] if port.endswith(f":{PORT}")]
    assert all(port.startswith("127.0.0.1:") for port in metrics), "metrics stay on this machine"
    assert metrics


# --- monitoring -----------------------------------------------------------------------------------

METRICS = {metric.name: metric for metric in (*NODE_TABLE, *COORDINATOR_TABLE, LEFT_OUT)}
#: Names of the samples that a monitoring system has, with their labels.
SERIES: dict[str, set[str]] = {"up": set()}
for _name, _metric in METRICS.items():
    for _end in ("_bucket", "_count", "_sum") if _metric.buckets else ("",):
        SERIES[_name + _end] = {*_metric.labels} | ({"le"} if _end == "_bucket" else set())
EVERYWHERE = {"job", "instance"}

ALERTS = [
    rule
    for group in read(DEPLOY / "monitoring" / "alerts.yaml")["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "monitoring" / "dashboard.json").read_text(encoding="utf-8"))
PANELS = [
    (panel["title"], target["expr"], target["legendFormat"])
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
]


def used(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The series that an expression of PromQL reads, with the labels that it selects by."""
    found = re.findall(r"\b((?:fedseg_|up\b)\w*)(?:\{([^}]*)\})?", expression)
    for name, selected in found:
        yield name, set(re.findall(r"(\w+)\s*[=!]", selected))


@pytest.mark.parametrize(("what", "expression", "legend"), PANELS)
def test_every_panel_reads_what_there_is(what: str, expression: str, legend: str) -> None:
    check(expression, set(re.findall(r"\{\{(\w+)\}\}", legend)))


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_reads_what_there_is_and_says_where_to_read_on(rule: dict[str, Any]) -> None:
    told = rule["annotations"]["summary"]
    check(rule["expr"], set(re.findall(r"\$labels\.(\w+)", told)))
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["annotations"]["runbook"] == "docs/production.md#alerts"


def check(expression: str, told: set[str]) -> None:
    promql_parser.parse(expression)  # raises ValueError
    series = list(used(expression))
    assert series, expression
    known = set(EVERYWHERE)
    for name, selected in series:
        assert name in SERIES, name
        assert selected <= SERIES[name] | EVERYWHERE, (name, selected)
        known |= SERIES[name]
    grouped = {
        label.strip()
        for labels in re.findall(r"by \(([^)]*)\)", expression)
        for label in labels.split(",")
    }
    assert grouped <= known
    assert told <= (grouped or known), told


def test_expressions_that_are_none_are_noticed() -> None:
    with pytest.raises(ValueError, match="unclosed left parenthesis"):
        check("sum by (fedseg_ready", set())
    with pytest.raises(AssertionError):
        check("fedseg_no_such_thing > 0", set())
    with pytest.raises(AssertionError):
        check('fedseg_ready{customer="x"} > 0', set())


def test_every_metric_that_asks_for_somebody_is_on_the_dashboard() -> None:
    shown = {name.removesuffix("_bucket") for _, expr, _ in PANELS for name, _ in used(expr)}
    assert shown >= METRICS.keys() - {
        LEFT_OUT.name, "fedseg_state_sound", "fedseg_coordinator_last_run_failed",
        "fedseg_node_last_run_failed", "fedseg_node_egress_held_until_timestamp_seconds",
    }  # fmt: skip


def test_there_is_one_rule_of_each_name_and_the_guide_says_what_to_do() -> None:
    guide = (ROOT / "docs" / "production.md").read_text(encoding="utf-8")
    names = [rule["alert"] for rule in ALERTS]
    assert len(names) == len(set(names))
    described = re.findall(r"(?m)^\| `(Fedseg\w+)` \| [^|]+ \| [^|]+ \|$", guide)
    assert described == names
