"""Templates: what they may do, that they end, and that what a target said stays harmless."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cbmon.notify.receivers.discord import DiscordOptions
from cbmon.notify.receivers.said import NAMES, Channel, compiled, said, values_of
from cbmon.notify.receivers.slack import SlackOptions
from cbmon.notify.receivers.slack_blocks import escaped
from cbmon.notify.receivers.templates import BadTemplateError
from cbmon.notify.receivers.webhook import TYPE, WebhookOptions
from tests.unit.notify.samples import digest, message, recovery

LIMIT = 100_000


def made(source: str, told: Any = None, limit: int = LIMIT) -> str:
    return compiled(source).render(values_of(told or message()), str, limit)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{{ component }} is {{ state }}", "shop-api is open"),
        ("{{ labels.team }}/{{ labels['team'] }}/{{ labels.nobody }}", "shop/shop/"),
        ("{% if over %}over{% else %}{{ trials }} trials{% endif %}", "0 trials"),
        ("{% for name, value in labels|dictsort %}{{ name }}={{ value }}{% endfor %}", "team=shop"),
        ("{{ facts|map(attribute='name')|list|join('|')|truncate(13) }}", "Reason|Tar..."),
        ("{{ retry_after / 60 }}m {{ (retry_after * 1.5)|round(1) }}", "1.0m 90.0"),
        ("{{ 'a' if severity == 'critical' else 'b' }}", "a"),
        ("{{ last_error|upper|truncate(10, True, '…', 0) }}", "CONNECTIO…"),
        ("{{ reason in ['dns', 'connect'] }}", "true"),
        ("{{ until or 'still' }} {{ actor|default('nobody', true) }}", "still nobody"),
        ("{{ outages|length }} {{ count }}", "1 1"),
        ("{{ depends_on|first }}{{ tags|last }}", "shop-dbcritical"),
        ("{% set name = component %}{{ name }}", "shop-api"),
        ("{{ labels|tojson }}", '{"team": "shop"}'),
        ("{{ none }}{{ title.nothing.at.all }}", ""),
    ],
)
def test_a_template_makes(source: str, expected: str) -> None:
    assert made(source) == expected


def test_many_outages_can_be_listed() -> None:
    source = "{{ count }}:{% for one in outages %} {{ loop.index }}={{ one.component }}{% endfor %}"
    assert made(source, digest(3)) == "3: 1=shop-0 2=shop-1 3=shop-2"
    assert made("{{ outages|length }} of {{ count }}", digest(500)) == "200 of 500"


def test_an_end_has_its_times() -> None:
    assert made("{{ since }} {{ until }} {{ lasted }}", recovery()) == (
        "2026-01-01T00:00:00.000Z 2026-01-01T00:18:00.000Z 18m"
    )


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ sumary }}", '"sumary" is not known; known are actor, category'),
        ("{{ compnent }}", '"compnent" is not known; did you mean "component"'),
        ("{{ title", "line 1: unexpected end"),
        ("\n\n{% if %}", "line 3"),
        ("{{ title.upper() }}", "call is not available"),
        ("{{ range(10) }}", "call is not available"),
        ("{% macro a() %}{% endmacro %}", "macro is not available"),
        ("{% include 'x' %}", "include is not available"),
        ("{% import 'x' as y %}", "import is not available"),
        ("{% extends 'x' %}", "extends is not available"),
        ("{% set a %}x{% endset %}", "assignblock is not available"),
        ("{% filter upper %}x{% endfilter %}", "filterblock is not available"),
        ("{{ title ~ title }}", "concat is not available"),
        ("{{ 2 ** 99 }}", "pow is not available"),
        ("{{ {'a': title} }}", "dict is not available"),
        ("{{ [title, title] }}", "a list may only hold fixed values"),
        ("{% for a in title if a %}{% endfor %}", "no condition here"),
        ("{% for a in tags recursive %}{% endfor %}", "no condition here"),
        ("{{ title|center(1000000000) }}", "No filter named 'center'"),
        ("{{ title|format }}", "No filter named 'format'"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "nested too deeply"),
        ("{% for a in tags %}" * 30 + "{% endfor %}" * 30, "nested too deeply"),
        ("{{ title" + "|upper" * 300 + " }}", "nested too deeply"),
        ("x" * 20_000, "longer than 16384"),
    ],
)
def test_a_template_is_refused_when_it_is_loaded(source: str, why: str) -> None:
    with pytest.raises(BadTemplateError, match=why.replace("*", r"\*")):
        compiled(source)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ title.__class__ }}", None),
        ("{{ title.__class__.__mro__ }}", None),
        ("{{ labels.items }}", "is not text"),
        ("{{ labels }}", "a dict is not text"),
        ("{{ tags }}", "a list is not text"),
        ("{{ title * 1000000 }}", "is for numbers"),
        ("{{ title + title }}", "is for numbers"),
        ("{{ '%1000000000d' % 1 }}", "is for numbers"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{{ 9e14 * 9e14 * 9e14 }}", "is for numbers"),
        ("{{ tags|first|first|join }}{{ outages|join }}", "join is for a list of texts"),
        ("{{ 'x'|max }}{{ [1, 'x']|max }}", "TypeError"),
        ("{{ title|round }}", None),
    ],
)
def test_a_template_that_goes_wrong_says_why(source: str, why: str | None) -> None:
    if why is None:
        try:
            assert "class" not in made(source)
        except ValueError:
            return
    else:
        with pytest.raises(BadTemplateError, match=why):
            made(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in text %}{% for b in text %}{% for c in text %}" + "{% endfor %}" * 3,
        "{% for a in text %}{% for b in text %}{{ text }}{% endfor %}{% endfor %}",
        "{% for a in outages %}{{ outages|tojson }}{% endfor %}",
        "{{ text" + "|tojson" * 35 + " }}",
        "{% for a in text %}{% for b in outages|sort(attribute='id') %}{% endfor %}{% endfor %}",
    ],
)
def test_no_template_takes_long_or_much(source: str) -> None:
    began = time.process_time()
    told = digest(200, text='"' * 4000, last_error="\\" * 4000)
    with pytest.raises(BadTemplateError):
        compiled(source).render({**values_of(told), "text": '"' * 4000}, str, LIMIT)
    assert time.process_time() - began < 5.0


@given(st.text(max_size=200))
def test_any_text_is_a_template_or_is_refused(source: str) -> None:
    with contextlib.suppress(BadTemplateError):
        assert isinstance(compiled(source).render(values_of(message()), str, LIMIT), str)


@given(st.text(alphabet="<>&!@#a", max_size=50))
def test_what_a_target_said_is_escaped_wherever_a_template_writes_it(text: str) -> None:
    source = "<b>{{ last_error }}|{{ last_error|upper }}|{{ [1]|tojson }}{{ labels|tojson }}</b>"
    values = values_of(message(last_error=text, labels={"x": text}))
    shown = compiled(source).render(values, escaped, LIMIT)
    assert shown.startswith("<b>")
    assert "<" not in shown[3:-4]


def test_a_template_that_fails_costs_no_message(caplog: pytest.LogCaptureFixture) -> None:
    options = SlackOptions.model_validate({"webhook_url": "http://x/", "title": "{{ 1 / 0 }}"})
    texts = said(options, message(), Channel())
    assert (texts.title, texts.text) == (None, None)
    assert "template failed" in caplog.text


def test_a_text_that_does_not_fit_is_the_default_one() -> None:
    options = SlackOptions.model_validate({"webhook_url": "http://x/", "text": "x" * 50})
    assert said(options, message(), Channel(text=49)).text is None
    assert said(options, message(), Channel(text=50)).text == "x" * 50


def test_a_bad_template_is_refused_with_the_configuration() -> None:
    with pytest.raises(ValidationError, match='"compnent" is not known'):
        DiscordOptions.model_validate({"webhook_url": "http://x/", "text": "{{ compnent }}"})


def test_every_name_is_there_for_every_message() -> None:
    for told in (message(), recovery(), digest(2)):
        assert values_of(told).keys() == NAMES.keys()
        assert values_of(told)["outages"][0].keys() == NAMES.keys() - {"outages", "count"}


def test_a_webhook_sends_the_body_that_a_template_makes() -> None:
    source = (
        '{"text": {{ title|tojson }}, "alarms": [{% for one in outages %}{{ one.id|tojson }}'
        "{% if not loop.last %},{% endif %}{% endfor %}]}"
    )
    options = WebhookOptions.model_validate({"url": "http://x/", "body": source})
    assert TYPE.render is not None
    told = json.loads(TYPE.render(options, digest(2, last_error='"}')))
    assert told == {"text": "group=shop: 2 down: shop-0, shop-1", "alarms": ["msg_2", "msg_2"]}
