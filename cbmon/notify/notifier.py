"""From transitions and time to messages: incidents, groups, policy and routing put together. No IO.

Rule: called once for every transition, in their order, on the event loop, and when its deadline has
come; it never waits. Each answer is a plan that must be committed as a whole, with the transition
that caused it: what a line was told is noted where its message is.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cbmon.events import Transition
from cbmon.model import BreakerInfo, Category, Message
from cbmon.notify.adoption import orphans
from cbmon.notify.board import Board, Plan
from cbmon.notify.calendar import Calendar
from cbmon.notify.damping import Damper, Flapping
from cbmon.notify.groups import Group, Member, Status
from cbmon.notify.hooks import NotifyHooks
from cbmon.notify.incidents import Change, Incident, Incidents
from cbmon.notify.isolation import IsolationNotice
from cbmon.notify.messages import (
    REMINDER,
    UNCHANGED,
    Site,
    entry_of,
    facts_of,
    message_of,
    move_of,
)
from cbmon.notify.outlook import Outlook, outlook
from cbmon.notify.policy import Conditions, Why
from cbmon.notify.routing import Placement, Routing
from cbmon.notify.silences import Silence, Window
from cbmon.notify.storms import Fronts, Storm, group_id, storm_of

GRACE: Final = 300.0
"""Seconds that something gets to recover by itself after what it depends on did."""
CLOCK_SLACK: Final = 1.0
"""Seconds the wall clock may go back without everything being planned anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a configuration says of when to be silent."""

    calendar: Calendar = field(default_factory=Calendar)
    windows: Sequence[Window] = ()
    flapping: Flapping = field(default_factory=Flapping)
    storm: Storm = field(default_factory=Storm)
    no_resolved: frozenset[str] = frozenset()
    """Lines that do not want to hear of ends."""


class Notifier:
    """Decides who is told what of each transition, and when."""

    def __init__(
        self,
        *,
        routing: Routing,
        site: Site,
        hooks: NotifyHooks,
        incidents: Incidents,
        rules: Rules | None = None,
        rows: Mapping[str, Mapping[str, Any]] | None = None,
        silences: Iterable[Silence] = (),
    ) -> None:
        self._routing = routing
        self._site = site
        self._hooks = hooks
        self._incidents = incidents
        self._rules = rules or Rules()
        self._board = Board.restored(rows or {})
        self._damper = Damper(self._rules.flapping, rows)
        self._fronts = Fronts(self._rules.storm)
        self._isolation = IsolationNotice.restored(rows or {})
        self._silences = tuple(silences)
        self._due: dict[str, float] = {}
        self._agenda: list[tuple[float, int, str]] = []
        self._entries = 0
        self._messages: list[Message] = []
        self._held: dict[tuple[str, str], Why] = {}
        self._last = 0.0

    @property
    def incidents(self) -> Incidents:
        """The incidents that are open."""
        return self._incidents

    @property
    def isolated(self) -> bool:
        """Whether cbmon is cut off, so that nothing is told."""
        return self._isolation.since is not None

    @property
    def deadline(self) -> float | None:
        """When :meth:`tick` has something to do, in Unix seconds."""
        while self._agenda and self._due.get(self._agenda[0][2]) != self._agenda[0][0]:
            heapq.heappop(self._agenda)
        first = self._agenda[0][0] if self._agenda else None
        both = (first, self._damper.next_settling)
        return min((at for at in both if at is not None), default=None)

    def standing(self, line: str, now: float) -> list[Message]:
        """What a line was told of and goes on, each as a message of its own; nothing is made."""
        return [
            *self._isolation.standing(line, self._site),
            *(
                message_of(group, [self._entry(member, UNCHANGED, line)], member.key, now)
                for group, member in self._board.everyone()
                if group.line == line and member.told is not None and not member.is_over
            ),
        ]

    # --- what happens --------------------------------------------------------------------

    def follow(self, move: Transition) -> Plan:
        """What a transition causes."""
        change, incident = self._incidents.follow(move)
        if incident is None or change is Change.NONE:
            return Plan()
        if move.category == Category.RECEIVER:
            for line in self._routing.recipients(move.info):
                self._hooks.suppressed(line, str(Why.RECEIVER))
            return Plan()
        if change in {Change.OPENED, Change.RECOVERED}:
            self._note(self._damper.change(move.component, move.at))
        placements = self._routing.placements(move.info)
        for line in dict.fromkeys((*self._board.lines_of(move.component), *placements)):
            self._follow_at(line, placements.get(line), move, change, incident)
        if change is Change.RECOVERED:
            self._release_dependants(move.component, move.at)
        return self._plan()

    def tick(self, now: float) -> Plan:
        """What the passing of time causes, at Unix time ``now``."""
        if now < self._last - CLOCK_SLACK:
            self._look_at_all(now)
        self._last = now
        calm, rows = self._damper.settled(now)
        self._note(rows)
        for component in calm:
            self._settle(component, now)
        while (deadline := self.deadline) is not None and deadline <= now and self._agenda:
            self._look(self._agenda[0][2], now)
        return self._plan()

    def look_again(self, now: float) -> Plan:
        """Something that decisions depend on has changed."""
        self._look_at_all(now)
        return self._plan()

    def silence(self, silences: Iterable[Silence], now: float) -> Plan:
        """Other silences from now on."""
        self._silences = tuple(silence for silence in silences if now < silence.ends_at)
        return self.look_again(now)

    def isolate(self, *, isolated: bool, now: float) -> Plan:
        """cbmon is cut off from everything, or not any more."""
        lines = self._routing.root_lines()
        messages = self._isolation.change(isolated, now, lines, self._site)
        if messages is None:
            return Plan()
        self._messages += messages
        self._note(self._isolation.rows())
        if not isolated:
            for group, member in list(self._board.everyone()):
                if member.told is None and not member.is_over:
                    self._board.put(group.id, replace(member, held_until=now + GRACE))
        self._look_at_all(now)
        return self._plan()

    def withdraw(self, gone: Iterable[BreakerInfo], *, at: float) -> Plan:
        """What ends the open incidents of components that are no longer configured."""
        for info in gone:
            for incident in self._incidents.of(info.name):
                self._incidents.end(incident.id)
            for line in self._board.lines_of(info.name):
                found = self._board.live(info.name, line)
                if found is not None:
                    group, member = found
                    said = {"state": "closed", "text": "it is no longer configured", "at": at}
                    ended = _ended(member, at, {**member.move, **said})
                    self._board.put(group.id, replace(ended, withdrawn=True))
                    self._look(group.id, at)
        return self._plan()

    def reconfigure(self, routing: Routing, site: Site, rules: Rules, now: float) -> Plan:
        """Another configuration from now on; what lines know and wait for stays."""
        self._routing, self._site, self._rules = routing, site, rules
        self._damper.rules, self._fronts.rules = rules.flapping, rules.storm
        timings = routing.timings()
        for group in list(self._board.groups.values()):
            timing = timings.get(group.route, group.timing)
            if group.line not in routing.ungrouped and timing != group.timing:
                self._board.put_group(replace(group, timing=timing))
        self._adopt()
        return self.look_again(now)

    def resume(self, now: float) -> Plan:
        """After a restart: what should have happened meanwhile, and what ended unseen."""
        running = {incident.id for incident in self._incidents}
        for group, member in list(self._board.everyone()):
            goes_on = member.is_over or member.status is Status.FLAPPING
            if not goes_on and member.incident not in running:
                self._board.put(group.id, _ended(member, now, member.move))
        self._adopt()
        self._last = now
        return self.look_again(now)

    # --- members -------------------------------------------------------------------------

    def _follow_at(
        self,
        line: str,
        placement: Placement | None,
        move: Transition,
        change: Change,
        incident: Incident,
    ) -> None:
        found = self._board.live(move.component, line)
        if change is Change.UPDATED:
            self._hooks.suppressed(line, str(Why.TRIAL))
            if found is not None and move.to_state == "open" and found[1].held_until is not None:
                self._board.put(found[0].id, replace(found[1], held_until=None))
                self._look(found[0].id, move.at)
            return
        if found is None:
            if change is Change.RECOVERED or placement is None:
                self._hooks.suppressed(line, str(Why.NOT_TOLD))
                return
            group = self._group(line, placement)
            member = self._begun(move, incident)
        else:
            group, member = found
        if member.status is Status.FLAPPING:
            self._hooks.suppressed(line, str(Why.FLAPPING))
        self._board.put(group.id, self._moved(member, move, change, incident))
        self._look(group.id, move.at)

    def _begun(self, move: Transition, incident: Incident) -> Member:
        return Member(
            key=incident.id,
            component=move.component,
            incident=incident.id,
            status=Status.OPEN,
            since=move.at,
            started_at=incident.started_at,
            facts=facts_of(move.info, self._site),
        )

    def _moved(
        self, member: Member, move: Transition, change: Change, incident: Incident
    ) -> Member:
        status = {Change.RECOVERED: Status.OVER, Change.DISABLED: Status.DISABLED}.get(
            change, Status.OPEN
        )
        said = move_of(move, incident)
        moved = replace(member, move=said, incident=incident.id, started_at=incident.started_at)
        if self._damper.flaps(move.component):
            since = member.since if member.status is Status.FLAPPING else move.at
            span = self._rules.flapping.within
            text = f"it goes up and down: {self._rules.flapping.changes} changes in {span:g} s"
            return replace(moved, status=Status.FLAPPING, since=since, move={**said, "text": text})
        if status is Status.OVER:
            return _ended(moved, move.at, said)
        since = member.since if status is member.status else move.at
        return replace(moved, status=status, since=since, ended_at=None)

    def _adopt(self) -> None:
        """What only receivers know that are gone is told to others."""
        for line, placement, member in list(orphans(self._board, self._routing, self._site)):
            self._board.put(self._group(line, placement).id, member)

    def _settle(self, component: str, now: float) -> None:
        """A component has come to rest: each line is told in which state."""
        for line in self._board.lines_of(component):
            found = self._board.live(component, line)
            if found is None or found[1].status is not Status.FLAPPING:
                continue
            group, member = found
            state = str(member.move["state"])
            calm = {**member.move, "text": f"it has settled in {state.replace('_', ' ')}"}
            if component not in self._incidents.down:
                settled = _ended(member, now, calm)
            else:
                status = Status.DISABLED if state == "disabled" else Status.OPEN
                settled = replace(member, status=status, since=now, move=calm)
            self._board.put(group.id, settled)
            self._look(group.id, now)

    def _release_dependants(self, component: str, now: float) -> None:
        """What depends on it is told if its own next trial fails, or nothing is heard for long."""
        for group, member in self._board.needing(component):
            if member.told is None:
                self._board.put(group.id, replace(member, held_until=now + GRACE))
                self._look(group.id, now)

    # --- groups --------------------------------------------------------------------------

    def _group(self, line: str, placement: Placement) -> Group:
        key = json.dumps(sorted(placement.labels.items()))
        name = group_id(line, placement.route, key)
        known = self._board.groups.get(name)
        if known is None:
            known = Group(
                id=name,
                line=line,
                route=placement.route,
                labels=placement.labels,
                timing=placement.timing,
            )
            self._board.put_group(known)
        return known

    def _conditions(self, group: Group, now: float) -> Conditions:
        return Conditions(
            now=now,
            timing=group.timing,
            silences=self._silences,
            windows=self._rules.windows,
            calendar=self._rules.calendar,
            down=self._incidents.down,
            isolated=self.isolated,
            resolves=group.line not in self._rules.no_resolved,
        )

    def _look_at_all(self, now: float) -> None:
        for name in list(self._board.groups):
            if name in self._board.groups:
                self._look(name, now)

    def _look(self, name: str, now: float) -> None:
        """Tell what is due in a group, and note when to look again."""
        self._due.pop(name, None)
        group = self._board.groups[name]
        if not self._routing.knows(group.line):
            self._wait_for_receiver(group)
            return
        view = outlook(group, self._board.members(name), self._conditions(group, now))
        self._count(group, view)
        if view.pointless:
            self._board.drop(name, [member for member, _ in view.pointless])
            if name not in self._board.groups:
                self._fronts.gone(group)
                return
        self._fronts.waits(group, news=bool(view.news))
        if view.due is not None and view.due <= now:
            if view.news and self._gathered(group, now):
                return
            self._tell(group, view, now)
            if name in self._board.groups:
                self._look(name, now)
            return
        if view.next_look is not None:
            self._due[name] = max(view.next_look, now + 0.001)
            self._entries += 1
            heapq.heappush(self._agenda, (self._due[name], self._entries, name))

    def _wait_for_receiver(self, group: Group) -> None:
        """Its receiver is not configured: it may come back while something goes on."""
        self._fronts.gone(group)
        members = self._board.members(group.id)
        if all(member.is_over for member in members):
            self._board.drop(group.id, members)

    def _gathered(self, group: Group, now: float) -> bool:
        """Whether the group became part of a storm instead of speaking by itself."""
        if group.line in self._routing.ungrouped:
            return False
        parts = self._fronts.storm(group, now)
        if not parts:
            return False
        storm = self._board.groups.get(storm_of(group).id) or storm_of(group)
        if storm.flushed_at is None and storm.gathers_until is None and len(parts) == 1:
            storm = replace(storm, gathers_until=now + self._rules.storm.gather)
        absorbed = [*storm.absorbs]
        self._board.put_group(storm)
        for name in sorted(parts & self._board.groups.keys()):
            part = self._board.groups[name]
            absorbed += [part.thread] if part.thread is not None else []
            self._fronts.gone(part)
            self._due.pop(name, None)
            self._hooks.suppressed(part.line, str(Why.STORM))
            self._board.move(name, storm.id)
        self._board.put_group(replace(storm, absorbs=tuple(dict.fromkeys(absorbed))))
        self._look(storm.id, now)
        return True

    def _tell(self, group: Group, view: Outlook, now: float) -> None:
        """Make the group's message and note what its line knows from now on."""
        lead = [(member, str(member.news)) for member in view.news]
        entries = [
            self._entry(member, kind, group.line)
            for member, kind in (*lead, *((m, UNCHANGED) for m in view.going_on))
        ]
        thread = group.thread or (view.news or view.going_on)[0].key
        if group.storm and group.thread is None:
            thread = f"storm-{thread}"
        kind = None if view.news else REMINDER
        self._messages.append(message_of(group, entries, thread, now, kind))
        self._board.put_group(group.told(thread, now))
        self._fronts.sent(group, now)
        for member in view.news:
            if not member.is_over:
                self._board.put(group.id, replace(member, told=member.status, held_until=None))
        self._board.drop(group.id, [member for member in view.news if member.is_over])
        self._fronts.waits(group, news=False)

    def _entry(self, member: Member, kind: str, line: str) -> dict[str, Any]:
        entry = entry_of(member, kind, line, self._site)
        if not member.is_over and (dependants := self._board.affected(member.component)):
            entry["dependants"] = dependants
        return entry

    # --- what leaves ---------------------------------------------------------------------

    def _plan(self) -> Plan:
        messages, self._messages = tuple(self._messages), []
        return Plan(messages=messages, rows=self._board.take_changes())

    def _note(self, rows: Mapping[str, Mapping[str, Any] | None]) -> None:
        for key, row in rows.items():
            self._board.note(key, row)

    def _count(self, group: Group, view: Outlook) -> None:
        """Each reason is counted once for each member that it holds back."""
        for member, why in view.pointless:
            self._hooks.suppressed(group.line, str(why))
            self._held.pop((group.line, member.key), None)
        for member in (*view.news, *view.going_on):
            self._held.pop((group.line, member.key), None)
        for member, hold in view.held:
            if member.news and self._held.get((group.line, member.key)) is not hold.why:
                self._held[group.line, member.key] = hold.why
                self._hooks.suppressed(group.line, str(hold.why))


def _ended(member: Member, at: float, move: Mapping[str, Any]) -> Member:
    """The outage is over; one that was not told yet waits no longer for that."""
    since, held = (member.since, member.held_until) if member.told is None else (at, None)
    return replace(member, status=Status.OVER, since=since, ended_at=at, held_until=held, move=move)
