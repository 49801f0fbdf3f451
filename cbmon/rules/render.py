"""The files of ``cbmon rules`` from a configuration.

Rule: templates hold words and expressions, the plan holds figures, and here the two meet. The
delimiters are ``<% %>``, ``<[ ]>`` and ``<# #>``: Prometheus and Grafana use neither.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from cbmon import __version__
from cbmon.config import Config
from cbmon.config.alerting import ALERTS
from cbmon.rules.files import templates
from cbmon.rules.plan import BURNS, SLO_WINDOWS, Plan
from cbmon.rules.proofs import proofs
from cbmon.rules.quoting import among, duration, equal, go_template, number, yaml
from cbmon.rules.words import told

MARK: Final = "# Made by `cbmon rules`: change the configuration and render again."
"""The line by which a file is known as one of ours."""
GROUPS: Final = ("breakers", "presence", "checks", "slos", "notifications", "traffic", "daemon")
"""Each has a template and becomes a file."""
ALERTMANAGER: Final = "cbmon-alertmanager.yml"
SLO_INTERVAL: Final = 60.0
_DASHBOARDS: Final = {
    "component": ("cbmon-breaker", "component"),
    "check": ("cbmon-check", "check"),
    "export": ("cbmon-breaker", "component"),
    "receiver": ("cbmon-notifications", "receiver"),
    "group": ("cbmon-overview", ""),
    "slo": ("cbmon-overview", ""),
    "": ("cbmon-itself", ""),
}
"""The dashboard for an alert with such a label, and the variable that the label fills."""


def render(config: Config) -> dict[str, str]:
    """The text of every file by its name: rules, their tests, Alertmanager's part."""
    plan = Plan(config)
    header = _header(config)
    files: dict[str, str] = {}
    for name, groups in _groups(plan).items():
        rules = f"cbmon-{name}.rules.yml"
        files[rules] = f"{header}groups:\n{groups}"
        tests = proofs(plan, files[rules], rules)
        files.update((test, header + text) for test, text in tests.items())
    template = _environment().get_template("alertmanager.yml.j2")
    files[ALERTMANAGER] = header + template.render(
        plan=plan, graph=plan.graph, d=duration, y=yaml, e=equal, a=among
    )
    return files


def rule_file(config: Config) -> str:
    """All rules in one file."""
    return f"{_header(config)}groups:\n" + "\n".join(_groups(Plan(config)).values())


def _header(config: Config) -> str:
    return f"# cbmon {__version__}, configuration {config.hash}\n{MARK}\n"


def base_url(config: Config) -> str:
    """Where people reach the daemon, without a slash at the end."""
    if config.external_url:
        return config.external_url.rstrip("/")
    listen = config.web.listen[0]
    host = listen.host if listen.host not in {"", "0.0.0.0", "::"} else "localhost"  # noqa: S104
    return f"http://{f'[{host}]' if ':' in host else host}:{listen.port}"


def _groups(plan: Plan) -> dict[str, str]:
    """The groups of rules by name, without those that have nothing to say."""
    environment, words = _environment(), _words(plan)
    made = {name: environment.get_template(f"{name}.yml.j2").render(words) for name in GROUPS}
    return {name: text.strip("\n") + "\n" for name, text in made.items() if text.strip()}


def _words(plan: Plan) -> dict[str, Any]:
    """What the templates may name."""
    alerting, speech = plan.alerting, _Speech(plan)
    return dict(  # noqa: C408 - names, not text
        hash=plan.config.hash,
        hash_number=plan.hash_number,
        every=duration(alerting.evaluation_interval),
        slo_every=duration(max(SLO_INTERVAL, alerting.evaluation_interval)),
        selected="".join(f",{equal(*pair)}" for pair in sorted(alerting.selector.items())),
        m=speech.metric,
        on=speech.on,
        settings=speech.settings,
        links=speech.links,
        bridge=lambda alert: duration(plan.bridge(alert)),
        delay=lambda alert: plan.bridge(alert) + plan.hold(alert),
        hold=plan.hold,
        keep=plan.keep_firing,
        threshold=lambda alert, less=0.0: number(plan.threshold(alert) + less),
        d=duration,
        n=number,
        y=yaml,
        told=told,
        among=among,
        equal=equal,
        breakers=plan.breakers,
        batch_size=max(1, math.isqrt(len(plan.breakers))),
        graph=plan.graph,
        slos=plan.slos,
        slo_windows=SLO_WINDOWS,
        burns=BURNS,
        recent=plan.recent,
        flapping=plan.flapping,
        cycles=plan.cycles,
        slow=plan.slow,
        stale=plan.stale,
        certificates=plan.certificates,
        domains=plan.domains,
        trial=plan.trial,
        lately=plan.lately,
    )


class _Speech:
    """Pieces of YAML and PromQL for one plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._selector = [equal(*pair) for pair in sorted(plan.alerting.selector.items())]
        self._base = base_url(plan.config)

    def metric(self, name: str, *matchers: str) -> str:
        """A selector of a metric of ours, with the matchers that are not empty."""
        inside = ",".join([*filter(None, matchers), *self._selector])
        return f"{name}{{{inside}}}" if inside else name

    def on(self, alert: str) -> bool:
        """Whether an alert is wanted; KeyError for one that is not in ALERTS."""
        assert alert in ALERTS, alert  # noqa: S101 - a slip in a template
        return self._plan.settings(alert).enabled

    def settings(self, alert: str) -> str:
        """Its delays and labels."""
        plan, lines = self._plan, []
        if hold := plan.hold(alert):
            lines.append(f"for: {duration(hold)}")
        if keep := plan.keep_firing(alert):
            lines.append(f"keep_firing_for: {duration(keep)}")
        lines += ["labels:"]
        lines += [f"  {name}: {yaml(value)}" for name, value in self._labels(alert).items()]
        return "\n".join(f"        {line}" for line in lines)

    def _labels(self, alert: str) -> dict[str, str]:
        plan = self._plan
        chosen = {**plan.config.labels, **plan.alerting.labels, **plan.settings(alert).labels}
        labels = {name: go_template(chosen[name]) for name in sorted(chosen)}
        return {**labels, "severity": go_template(plan.severity(alert))}

    def links(self, alert: str, label: str) -> str:
        """The annotations that lead to its runbook and to what is seen of its subject."""
        grafana = self._plan.alerting.grafana_url
        value = f"{{{{ $labels.{label} | urlquery }}}}"
        if grafana:
            uid, variable = _DASHBOARDS[label]
            seen = go_template(f"{grafana.rstrip('/')}/d/{uid}")
            seen += f"?var-{variable}={value}" if variable else ""
        else:
            seen = go_template(f"{self._base}/")
            seen += f"?q={value}" if label in {"component", "check", "export", "group"} else ""
        book = go_template(f"{self._base}/runbooks/{alert}")
        return f"          runbook_url: {yaml(book)}\n          dashboard_url: {yaml(seen)}"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(templates()),
        autoescape=False,  # noqa: S701 - YAML, quoted by cbmon.rules.quoting
        undefined=StrictUndefined,
        block_start_string="<%",
        block_end_string="%>",
        variable_start_string="<[",
        variable_end_string="]>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )


__all__ = ["ALERTMANAGER", "GROUPS", "MARK", "base_url", "render", "rule_file"]
