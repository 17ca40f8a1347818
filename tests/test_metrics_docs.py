"""The docs of metrics, and the rules to alert by, against what there is and against Prometheus' own words."""

import re
import subprocess
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from daemon_process import ROOT
from scraped import Family, Scrape
from world import World

from kala.clock import Clock
from kala.drivers.memory import MemoryDriver
from kala.traffic import Asked
from kala.values import LabelLimit

DOCS, RULES, CASES = ROOT / "docs/metrics.md", ROOT / "docs/alerts.yaml", ROOT / "tests/data/alerts_cases.yaml"
ROW = re.compile(r"^\| `(?P<name>\w+)` \| (?P<type>\w+) \|(?P<labels>[^|]*)\| (?P<meaning>.+) \|$", re.MULTILINE)
ALERT = re.compile(r"^\| `(Kala\w+)` \| (.+) \|$", re.MULTILINE)
METRIC = re.compile(r"\b(?:kala|process)_\w+")


@pytest.fixture(scope="module")
def text() -> bytes:
    """What a daemon says that has a sample in each family."""
    metrics = World(MemoryDriver(), Clock(), limits=(LabelLimit("team", None, 2),)).service.metrics
    metrics.traffic.note(Asked(), 200, 0.1)
    return metrics.text()


def rules() -> list[dict[str, str]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def test_the_table_has_each_metric_as_it_is_and_no_other(text: bytes) -> None:
    documented = [
        (row["name"], Family(row["type"], frozenset(re.findall(r"`(\w+)`", row["labels"]))))
        for row in ROW.finditer(DOCS.read_text())
    ]
    assert len(dict(documented)) == len(documented)
    assert dict(documented) == Scrape(text).families


def test_promtool_has_nothing_against_names_and_types(text: bytes, program: Callable[[str], str]) -> None:
    ended = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_promtool_takes_the_rules_and_they_fire_when_they_are_to(program: Callable[[str], str]) -> None:
    for what, path in (("check", RULES), ("test", CASES)):
        ended = subprocess.run([program("promtool"), what, "rules", str(path)], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires: defaultdict[str, set[bool]] = defaultdict(set)
    for case in yaml.safe_load(CASES.read_text())["tests"]:
        for test in case["alert_rule_test"]:
            fires[test["alertname"]].add("exp_alerts" in test)
    assert fires == {rule["alert"]: {True, False} for rule in rules()}


def test_alerts_are_in_the_docs_and_go_by_metrics_that_there_are(text: bytes) -> None:
    assert [name for name, _ in ALERT.findall(DOCS.read_text())] == [rule["alert"] for rule in rules()]
    known = Scrape(text).families
    for rule in rules():
        for name in METRIC.findall(rule["expr"]):
            assert re.sub("_bucket$", "", name) in known, rule["alert"]
        for label in re.findall(r"(\w+)=~?\"", rule["expr"]):
            assert label == "job" or any(
                label in known[re.sub("_bucket$", "", name)].labels for name in METRIC.findall(rule["expr"])
            ), rule["alert"]
        assert rule["annotations"]["summary"]  # type: ignore[index]


def test_the_scrape_in_the_docs_is_one(program: Callable[[str], str], tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "prometheus.yml"
    token = tmp_path / "kala.token"
    token.write_text("not a real one")
    path.write_text(block.replace("/etc/prometheus/kala.token", str(token)) + f"rule_files: [{RULES}]\n")
    ended = subprocess.run([program("promtool"), "check", "config", str(path)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
