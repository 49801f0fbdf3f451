"""Outages that only receivers know of which are configured no more. Pure.

Rule: as long as one receiver that is still there knows of an outage, nobody else is told because of
a reload. When none does, such as after its receiver was renamed, those are told to whom its routes
lead now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from cbmon.model import BreakerInfo, Category
from cbmon.notify.board import Board
from cbmon.notify.groups import Member
from cbmon.notify.messages import Site
from cbmon.notify.routing import Placement, Routing


def orphans(board: Board, routing: Routing, site: Site) -> Iterator[tuple[str, Placement, Member]]:
    """Line and place of each outage that has to be told anew, as one that was not told yet."""
    lost: dict[str, Member] = {}
    kept: set[str] = set()
    for group, member in board.everyone():
        if routing.knows(group.line):
            kept.add(member.component)
        elif not member.is_over:
            lost[member.component] = member
    for component, member in lost.items():
        if component in kept:
            continue
        anew = replace(member, told=None, held_until=None)
        for line, placement in routing.placements(_info(member, site)).items():
            yield line, placement, anew


def _info(member: Member, site: Site) -> BreakerInfo:
    """What routes look at: its own labels, without those of the site."""
    facts = member.facts
    return BreakerInfo(
        name=member.component,
        category=Category(str(facts["category"])),
        group=str(facts["group"]),
        target=str(facts["target"]),
        kind=str(facts["type"]),
        tags=tuple(facts["tags"]),
        labels={k: v for k, v in facts["labels"].items() if site.labels.get(k) != v},
        depends_on=member.depends_on,
        receivers=tuple(facts.get("receivers", ())),
    )
