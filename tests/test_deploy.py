"""deploy/: every metric that alerts and dashboard name is served, and the alerts' table says what the rules do."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.builders import NOON, items, transactions
from tests.documents import ROOT, section, table
from tests.installed import program
from tests.system import fill, make_settings, run_inline
from webhook.app import create_app

DEPLOY = ROOT / "deploy"
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]
DASHBOARD = json.loads((DEPLOY / "grafana" / "smartcrm.json").read_text())
TABLE = table(section((ROOT / "docs" / "operations.md").read_text(), "What to alert on"))
SELECTOR = re.compile(r"\b(smartcrm_\w+)(?:\{([^}]*)\})?")


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in ALERTS)
    yield from (target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"])
    yield from (variable["query"] for variable in DASHBOARD["templating"]["list"] if variable["type"] == "query")


@pytest.fixture
def served(migrated_url: str, redis_url: str, tmp_path: Path) -> dict[str, set[str]]:
    """The labels of every series that a webhook serves after one run, by name; without labels where it has no value."""
    sold = [(number, f"c{number}", "NaN" if number == 3 else "5.00", NOON) for number in range(1, 9)]
    lines = items([(number, 1, 1, "5.00") for number in range(1, 9)])
    fill(migrated_url, {"fact_transactions": transactions(sold), "fact_transaction_items": lines})
    settings = make_settings(migrated_url, tmp_path, redis_url, API_TOKENS="first-token", KINDS="rfm menu")
    for kind in ("rfm", "menu"):
        assert run_inline(settings, kind, at=NOON + timedelta(hours=1)).run.status == "succeeded"
    answer = create_app(settings).test_client().get("/metrics", headers={"Authorization": "Bearer first-token"})
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(answer.get_data(as_text=True)):
        found[f"{family.name}_total" if family.type == "counter" else family.name] = set()
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def test_alerts_and_dashboard_name_what_is_served(served: dict[str, set[str]]) -> None:
    named = [match for expression in expressions() for match in SELECTOR.finditer(expression)]
    assert {match[1] for match in named} - served.keys() == set()
    assert served["smartcrm_skipped_rows_total"] == {"kind", "rows"}
    for match in named:
        labels = set(re.findall(r"(\w+)\s*[=!]", match[2] or "")) - {"job"}
        assert labels <= served[match[1]] or not served[match[1]], match[0]
    # The dashboard shows all there is.
    shown = {match[1] for panel in DASHBOARD["panels"] for match in SELECTOR.finditer(json.dumps(panel))}
    assert served.keys() - shown == set()


def test_the_table_of_alerts_says_what_the_rules_do() -> None:
    rules = [(rule["alert"], rule["annotations"]["summary"]) for rule in ALERTS]
    assert [(row["alert"].strip("`"), row["alert when"]) for row in TABLE] == rules
    for row, rule in zip(TABLE, ALERTS, strict=True):
        metric, labels = re.fullmatch(r"`(\w+)(?:\{(.*)\})?`", row["metric"]).groups()  # type: ignore[union-attr]
        assert re.search(rf"\b{metric}\b", rule["expr"]) and row["what to do"]
        if labels and "=" in labels:
            assert row["metric"].strip("`") in rule["expr"]
        else:
            assert set((labels or "").split(",")) - {""} <= set(re.findall(r"\w+", rule["expr"]))


@pytest.mark.long
def test_promtool_accepts_and_tests_the_rules(tmp_path: Path) -> None:
    promtool, folder = program("promtool"), DEPLOY / "prometheus"

    def check(*words: str) -> None:
        done = subprocess.run([promtool, *words], cwd=folder, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    check("check", "config", "--syntax-only", "prometheus.yml")
    check("check", "rules", "alerts.yml")
    check("test", "rules", "alerts_test.yml")
    tested = yaml.safe_load((folder / "alerts_test.yml").read_text())["tests"]
    raised = {each["alertname"] for test in tested for each in test["alert_rule_test"] if each.get("exp_alerts")}
    assert raised == {rule["alert"] for rule in ALERTS}
    # The dashboard's expressions, as rules.
    wanted = [each.replace("$job", "smartcrm") for each in expressions() if not each.startswith("label_values")]
    rules: dict[str, Any] = {
        "groups": [{"name": "g", "rules": [{"record": f"r{n}", "expr": expr} for n, expr in enumerate(wanted)]}]
    }
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules))
    check("check", "rules", str(tmp_path / "rules.yml"))
