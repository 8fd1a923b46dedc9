"""The alarms are sound, each has its page, and all that they and the dashboard ask for exists."""

import json
import re
import subprocess
from typing import Any

import pytest
import yaml
from sqlalchemy import Engine

from tests.end_to_end.parts import ROOT
from tests.ops.compose_file import SERVICES, WORKERS
from tests.ops.shown_metrics import all_metrics, queried_names
from tests.programs import PROMTOOL, needs

FOLDER = ROOT / "deploy" / "observability"
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule for group in GROUPS for rule in group["rules"]
}
NAMES = re.compile(r"\bcymba_[a-z0-9_]+\b")
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


@needs("promtool")
@pytest.mark.parametrize(
    "command",
    ["check rules rules.yml", "check config prometheus.yml", "test rules rules_test.yml"],
)
def test_the_alarms_are_what_they_say(command: str) -> None:
    assert PROMTOOL is not None, "promtool is not installed"
    run = subprocess.run(
        [PROMTOOL, *command.split()], cwd=FOLDER, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_each_alarm_is_tried_on_what_it_is_about_and_when_all_is_well() -> None:
    tests = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
    tried: dict[bool, set[str]] = {True: set(), False: set()}
    for test in tests:
        for one in test["alert_rule_test"]:
            tried[bool(one.get("exp_alerts"))].add(one["alertname"])
    assert tried == {True: set(RULES), False: set(RULES)}


def test_each_alarm_has_its_page_and_each_page_its_alarm() -> None:
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL))
    assert sections.keys() == RULES.keys()
    for name, page in sections.items():
        for part in ("**It means:** ", "**People notice:** ", "**Do:** "):
            assert re.search(re.escape(part) + r"\S", page), f"{name} does not say {part}"
        assert RULES[name]["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
        assert RULES[name]["labels"]["severity"] in {"page", "ticket"}


def test_alarms_dashboard_and_runbook_ask_for_metrics_that_exist(engine: Engine) -> None:
    known = queried_names(engine)
    dashboard = json.loads((FOLDER / "dashboard.json").read_text())
    queries = [one["expr"] for panel in dashboard["panels"] for one in panel["targets"]]
    assert len(queries) > 20
    asked = {
        "rules.yml": NAMES.findall(" ".join(rule["expr"] for rule in RULES.values())),
        "dashboard.json": NAMES.findall(" ".join(queries)),
        "runbook.md": NAMES.findall(RUNBOOK),
    }
    unknown = {place: set(names) - known for place, names in asked.items()}
    assert unknown == {place: set() for place in asked}


def test_the_operators_page_lists_every_metric_and_no_other(engine: Engine) -> None:
    page = (ROOT / "docs" / "operating.md").read_text()
    listed = re.findall(r"^\| `(cymba_[a-z_]+)` \|", page, re.MULTILINE)
    assert sorted(listed) == sorted(all_metrics(engine))


def test_prometheus_asks_every_process_of_compose() -> None:
    jobs = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in jobs for one in job["static_configs"] for target in one["targets"]}
    shown = {name for name in SERVICES if name in WORKERS or "9100" in str(SERVICES[name])}
    assert targets == {f"{name}:9100" for name in shown}
    named = set(re.findall(r'job="([\w-]+)"', " ".join(rule["expr"] for rule in RULES.values())))
    assert named == {job["job_name"] for job in jobs}
