"""Alertmanager by its API, version 2: https://prometheus.io/docs/alerting/latest/alerts_api/

Rule: Alertmanager forgets; so every instance is told again and again what goes on, and for some
minutes what is over. One instance that has a message is enough for it to be delivered; the others
get it with the next repetition. Nothing old overtakes something newer: requests to an instance go
one after the other, and each says what is true when it leaves.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from cbmon.config.fields import Duration, Options, Secret, Url
from cbmon.interfaces import Receiver
from cbmon.logs import fields
from cbmon.model import Delivery, Message, Reason, Verdict
from cbmon.notify.endpoint import Standing
from cbmon.notify.messages import singles
from cbmon.notify.receivers.alerts import alert_of
from cbmon.notify.receivers.headers import revealed, sendable
from cbmon.notify.receivers.http import encoded, post
from cbmon.notify.receivers.kind import ReceiverEnvironment, ReceiverType
from cbmon.notify.receivers.wording import timestamp

log = logging.getLogger(__name__)

PATH: Final = "/api/v2/alerts"
BATCH: Final = 100
"""Alerts in one request."""
MISSED: Final = 4
"""Repetitions that may fail before an instance takes a firing alert for resolved."""
SHORTEST_LIFE: Final = 300.0
"""Seconds that a firing alert lasts at least when cbmon falls silent: longer than a restart."""
REMEMBERED: Final = 900.0
"""Seconds for which an end is repeated; Prometheus does so as long."""

Alert = dict[str, Any]


class AlertmanagerOptions(Options):
    """Alerts to one or more Alertmanagers."""

    urls: tuple[Url, ...] = Field(
        min_length=1,
        description="Every instance, such as http://127.0.0.1:9093, with its path prefix if any.",
    )
    headers: Mapping[str, Secret] = Field(
        default_factory=dict, description="More request headers, such as Authorization."
    )
    resend_interval: Duration = Field(
        30.0, description="How often what goes on is told again; at most 1m is usual."
    )
    timeout: Duration = Field(5.0, description="How long one request to one instance may take.")

    _sendable = field_validator("headers")(sendable)


class Instance:
    """One Alertmanager: one request at a time, and whether the last one was taken."""

    def __init__(
        self, url: str, options: AlertmanagerOptions, environment: ReceiverEnvironment
    ) -> None:
        self.where = urlsplit(url).netloc
        self.failing = False
        self._url = url.rstrip("/") + PATH
        self._options = options
        self._environment = environment
        self._turn = asyncio.Lock()

    async def send(self, current: Callable[[], Sequence[Alert]]) -> Delivery:
        """Tell what is current when its turn has come."""
        async with self._turn:
            told = Delivery(verdict=Verdict.DELIVERED)
            for batch in _batches(current()):
                delivery = await self._post(batch)
                if delivery.verdict is not Verdict.DELIVERED:
                    told = delivery
                # One alert that is refused must not let those of the next batches resolve.
                if delivery.verdict is Verdict.TEMPORARY:
                    break
            self._note(told)
            return told

    async def _post(self, alerts: Sequence[Alert]) -> Delivery:
        body = encoded(alerts)
        headers = revealed(self._options.headers)
        try:
            async with asyncio.timeout(self._options.timeout):
                return await post(self._environment, self._url, body, headers)
        except TimeoutError:
            error = f"{self.where}: no answer within {self._options.timeout:g} s"
            return Delivery(verdict=Verdict.TEMPORARY, reason=Reason.TIMEOUT, error=error)

    def _note(self, delivery: Delivery) -> None:
        failing = delivery.verdict is not Verdict.DELIVERED
        if failing and not self.failing:
            said = fields(instance=self.where, error=delivery.error)
            log.warning("alertmanager does not take alerts", extra=said)
        elif self.failing and not failing:
            log.info("alertmanager takes alerts again", extra=fields(instance=self.where))
        self.failing = failing


class AlertmanagerReceiver:
    """See the module. What is over is kept here, what goes on is asked for at each repetition."""

    def __init__(self, options: AlertmanagerOptions, environment: ReceiverEnvironment) -> None:
        self.every = options.resend_interval
        self.remembers = REMEMBERED
        self._clock = environment.clock
        self._instances = [Instance(url, options, environment) for url in options.urls]
        self._ended: dict[str, Alert] = {}
        self._begun: dict[str, str] = {}
        """By fingerprint: when the newest alert that fires began."""

    async def deliver(self, message: Message) -> Delivery:
        """Tell every instance that took the last request; all of them if none did."""
        news = [found for one in singles(message) if (found := self._taken_up(one)) is not None]
        if not news:
            return Delivery(verdict=Verdict.DELIVERED)
        first = [one for one in self._instances if not one.failing]
        answers = await self._tell(first, lambda: news)
        if not any(answer.verdict is Verdict.DELIVERED for answer in answers):
            rest = [one for one in self._instances if one not in first]
            answers += await self._tell(rest, lambda: news)
        order = (Verdict.DELIVERED, Verdict.TEMPORARY, Verdict.PERMANENT, Verdict.GONE)
        return min(answers, key=lambda answer: order.index(answer.verdict))

    async def repeat(self, standing: Standing) -> None:
        """Tell every instance what goes on, and what ended lately."""
        await self._tell(self._instances, lambda: self._current(standing()))

    def recall(self, message: Message) -> None:
        """An end that an earlier process delivered."""
        self._taken_up(message)

    async def close(self) -> None:
        """Nothing is kept: the HTTP client belongs to the environment."""

    @staticmethod
    async def _tell(
        instances: Sequence[Instance], current: Callable[[], Sequence[Alert]]
    ) -> list[Delivery]:
        return list(await asyncio.gather(*(one.send(current) for one in instances)))

    def _taken_up(self, message: Message) -> Alert | None:
        """The alert to send; None for the end of one whose successor fires already."""
        alert = alert_of(message)
        name, began = alert["fingerprint"], alert["startsAt"]
        if alert["status"] == "firing":
            self._begun[name] = max(began, self._begun.get(name, ""))
        elif began < self._begun.get(name, ""):
            return None
        else:
            self._begun.pop(name, None)
            self._ended[name] = alert
        return self._posted(alert)

    def _current(self, standing: Sequence[Message]) -> list[Alert]:
        """What goes on and what ended lately, in the form of the API."""
        firing = {alert["fingerprint"]: alert for alert in map(alert_of, standing)}
        self._begun = {name: alert["startsAt"] for name, alert in firing.items()}
        since = timestamp(self._clock.time() - REMEMBERED)
        self._ended = {
            name: alert
            for name, alert in self._ended.items()
            if name not in firing and alert["endsAt"] > since
        }
        return [self._posted(alert) for alert in (*firing.values(), *self._ended.values())]

    def _posted(self, alert: Alert) -> Alert:
        life = max(MISSED * self.every, SHORTEST_LIFE)
        fires = alert["status"] == "firing"
        ends = timestamp(self._clock.time() + life) if fires else alert["endsAt"]
        posted = {
            # An empty label is none, and Alertmanager leaves it out of what it answers.
            "labels": {name: value for name, value in alert["labels"].items() if value},
            "annotations": alert["annotations"],
            "startsAt": alert["startsAt"],
            # The wall clock may have gone back in between.
            "endsAt": max(ends, alert["startsAt"], key=_moment),
            "generatorURL": alert["generatorURL"],
        }
        return {name: value for name, value in posted.items() if value}


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _batches(alerts: Sequence[Alert]) -> Iterator[Sequence[Alert]]:
    for first in range(0, len(alerts), BATCH):
        yield alerts[first : first + BATCH]


def build(options: AlertmanagerOptions, environment: ReceiverEnvironment) -> Receiver:
    """A receiver that tells Alertmanagers."""
    return AlertmanagerReceiver(options, environment)


def _rendered(_: AlertmanagerOptions, message: Message) -> str:
    alerts = [
        {name: alert[name] for name in ("labels", "annotations", "startsAt", "generatorURL")}
        for alert in map(alert_of, singles(message))
    ]
    return json.dumps(alerts, indent=2, ensure_ascii=False)


TYPE: Final = ReceiverType(
    name="alertmanager",
    options=AlertmanagerOptions,
    target=lambda options: ", ".join(urlsplit(url).netloc for url in options.urls),
    # A request may wait for a repetition that hangs, and then hang itself, and so may the rest.
    timeout=lambda options: 4 * options.timeout,
    build=build,
    render=_rendered,
    grouped=False,
)
