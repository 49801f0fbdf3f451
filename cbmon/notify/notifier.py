"""From transitions to messages: incidents, policy and routing put together. No IO.

Rule: called once for every transition, in their order, on the event loop; it never waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from cbmon.events import Transition, new_id
from cbmon.model import BreakerInfo, Message
from cbmon.notify.hooks import NotifyHooks
from cbmon.notify.incidents import Incidents
from cbmon.notify.messages import Site, message_of, withdrawal_of
from cbmon.notify.policy import decide
from cbmon.notify.routing import Routing


class Notifier:
    """Decides who is told what of each transition."""

    def __init__(
        self, *, routing: Routing, site: Site, hooks: NotifyHooks, incidents: Incidents
    ) -> None:
        self._routing = routing
        self._site = site
        self._hooks = hooks
        self._incidents = incidents

    @property
    def incidents(self) -> Incidents:
        """The incidents that are open."""
        return self._incidents

    def reconfigure(self, routing: Routing, site: Site) -> None:
        """Another routing from now on; open incidents stay."""
        self._routing = routing
        self._site = site

    def messages(self, move: Transition) -> list[Message]:
        """The messages that a transition causes, one per line that is told."""
        change, incident = self._incidents.follow(move)
        decisions = decide(move, change, incident, self._routing)
        for decision in decisions:
            if not decision.send:
                self._hooks.suppressed(decision.line, str(decision.why))
        lines = [decision.line for decision in decisions if decision.send]
        if incident is None or not lines:
            return []
        told = self._incidents.tell(incident, lines)
        return [message_of(move, change, told, line, self._site) for line in lines]

    def withdraw(self, gone: Iterable[BreakerInfo], *, at: float) -> list[Message]:
        """The messages that end the open incidents of components no longer configured."""
        messages: list[Message] = []
        for info in gone:
            for incident in self._incidents.of(info.name):
                self._incidents.end(incident.id)
                ended = self._incidents.tell(incident, ())
                event = new_id(at)
                messages += [
                    withdrawal_of(event, info, ended, line, at=at, site=self._site)
                    for line in incident.told
                    if self._routing.knows(line)
                ]
        return messages
