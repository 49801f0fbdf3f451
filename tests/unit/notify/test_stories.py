"""Who is told what, and when: this table is the specification of the notify room's policy.

Each case is a story (see story.py) and what is heard of it. Times are seconds since the beginning;
the default route has ``group_wait: 10s, group_interval: 5m, repeat_interval: 4h``.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.notify.story import DEPENDENT, SHOP, Story

Case = tuple[list[str], list[str]]

INCIDENTS: dict[str, Case] = {
    "an outage and its end": (
        ["0 api open", "100 api closed"],
        ["10 opened api", "100 recovered api"],
    ),
    "trials are silent": (
        ["0 api open", "20 api half_open", "21 api open", "40 api half_open", "41 api closed"],
        ["10 opened api", "41 recovered api"],
    ),
    "half-open first is no outage": (["0 api half_open"], []),
    "half-open first, then well": (["0 api half_open", "5 api closed"], []),
    "half-open first, then open": (
        ["0 api half_open", "5 api open", "50 api closed"],
        ["15 opened api", "50 recovered api"],
    ),
    "forced open by a person": (["0 api forced_open"], ["10 opened api"]),
    "disabled by a person": (["0 api disabled"], ["10 opened api"]),
    "disabled after trials is told too": (
        ["0 api open", "20 api half_open", "400 api disabled"],
        ["10 opened api", "410 disabled api"],
    ),
    "enabled and failing again is silent": (
        ["0 api open", "400 api disabled", "500 api half_open", "501 api open"],
        ["10 opened api", "410 disabled api"],
    ),
    "forced closed ends it": (
        ["0 api open", "50 api forced_closed"],
        ["10 opened api", "50 recovered api"],
    ),
    "observe ends it": (["0 api open", "50 api observe"], ["10 opened api", "50 recovered api"]),
    "a move outside of any incident is not told": (["0 api observe", "9 api closed"], []),
    "over before it was told: both in one message": (
        ["0 api open", "3 api closed"],
        ["10 recovered api"],
    ),
    "no longer configured": (
        ["0 api open", "50 withdraw api"],
        ["10 opened api", "50 withdrawn api"],
    ),
    "two outages are two stories": (
        ["0 api open", "20 api closed", "300 api open"],
        ["10 opened api", "20 recovered api", "310 opened api"],
    ),
}

GROUPS: dict[str, Case] = {
    "what opens within group_wait is one message": (
        ["0 api open", "5 db open"],
        ["10 opened api=opened db=opened"],
    ),
    "what opens later waits for group_interval, and the rest is listed": (
        ["0 api open", "60 db open"],
        ["10 opened api", "310 updated db=opened api=unchanged"],
    ),
    "an end waits for group_interval while others go on": (
        ["0 api open", "1 db open", "60 db closed"],
        ["10 opened api=opened db=opened", "310 updated db=recovered api=unchanged"],
    ),
    "the end of everything is told at once": (
        ["0 api open", "1 db open", "60 db closed", "90 api closed"],
        ["10 opened api=opened db=opened", "90 recovered api=recovered db=recovered"],
    ),
    "one that came and went between two messages is told once, as over": (
        ["0 api open", "60 db open", "90 db closed"],
        ["10 opened api", "310 updated db=recovered api=unchanged"],
    ),
    "one that went and came back is two entries": (
        ["0 api open", "1 db open", "60 db closed", "90 db open"],
        [
            "10 opened api=opened db=opened",
            "310 updated db=recovered db=opened api=unchanged",
        ],
    ),
    "components without a group are groups of their own": (
        ["0 mail open", "2 dns open"],
        ["10 opened mail", "12 opened dns"],
    ),
    "a group that was over begins anew": (
        ["0 api open", "20 api closed", "30 db open"],
        ["10 opened api", "20 recovered api", "40 opened db"],
    ),
    "group_wait survives a restart": (["0 api open", "4 restart"], ["10 opened api"]),
    "group_wait that passed during a restart is over": (
        ["0 api open", "4 restart", "5 restart"],
        ["10 opened api"],
    ),
    "group_interval survives a restart": (
        ["0 api open", "60 db open", "100 restart"],
        ["10 opened api", "310 updated db=opened api=unchanged"],
    ),
    "a restart tells nothing that is known": (
        ["0 api open", "20 restart", "30 restart", "50 api closed", "60 restart"],
        ["10 opened api", "50 recovered api"],
    ),
    "a reload tells nothing that is known": (
        ["0 api open", "20 reload", "50 api closed"],
        ["10 opened api", "50 recovered api"],
    ),
}

DEPENDENCIES: dict[str, Case] = {
    "a dependant is held while what it needs is down": (
        ["0 db open", "1 api open"],
        ["10 opened db"],
    ),
    "a dependant that fails first is held all the same": (
        ["0 api open", "5 db open"],
        ["15 opened db"],
    ),
    "a dependant that was told already hears of its end": (
        ["0 api open", "50 db open", "100 api closed"],
        ["10 opened api", "60 opened db", "100 recovered api"],
    ),
    "a dependant that recovers with it is never told": (
        ["0 db open", "1 api open", "100 db closed", "120 api half_open", "121 api closed"],
        ["10 opened db", "100 recovered db"],
    ),
    "a dependant whose next trial fails is told then": (
        ["0 db open", "1 api open", "100 db closed", "120 api half_open", "121 api open"],
        ["10 opened db", "100 recovered db", "121 opened api"],
    ),
    "a dependant that is not tried is told after a while": (
        ["0 db open", "1 api open", "100 db closed"],
        ["10 opened db", "100 recovered db", "410 opened api"],
    ),
    "a chain is held by its next link": (
        [
            "0 db open",
            "1 api open",
            "2 web open",
            "100 db closed",
            "120 api half_open",
            "121 api open",
            "122 web half_open",
            "123 web open",
        ],
        ["10 opened db", "100 recovered db", "121 opened api"],
    ),
    "two parents: held until both are well": (
        [
            "0 db open",
            "0 cache open",
            "1 cart open",
            "100 db closed",
            "110 cart half_open",
            "111 cart open",
            "200 cache closed",
            "210 cart half_open",
            "211 cart open",
        ],
        [
            "10 opened db",
            "10 opened cache",
            "100 recovered db",
            "200 recovered cache",
            "211 opened cart",
        ],
    ),
    "a dependant is not tied to a healthy parent": (["0 api open"], ["10 opened api"]),
    "a dependant that comes and goes meanwhile is never told": (
        ["0 db open", "1 api open", "50 api closed", "100 db closed"],
        ["10 opened db", "100 recovered db"],
    ),
    "held through a restart": (
        [
            "0 db open",
            "1 api open",
            "50 restart",
            "100 db closed",
            "110 restart",
            "120 api half_open",
            "121 api open",
        ],
        ["10 opened db", "100 recovered db", "121 opened api"],
    ),
}

SILENCES: dict[str, Case] = {
    "what is silenced is not told": (
        ["0 silence 9999 component=api", "1 api open", "50 api closed"],
        [],
    ),
    "what still goes on at its end is told then": (
        ["0 silence 100 component=api", "1 api open"],
        ["100 opened api"],
    ),
    "what ended meanwhile is told at its end, to who knew of it": (
        ["0 api open", "20 silence 100 component=api", "50 api closed"],
        ["10 opened api", "120 recovered api"],
    ),
    "a silence that is ended early tells at once": (
        ["0 silence 9999 component=api", "1 api open", "60 expire"],
        ["60 opened api"],
    ),
    "others are told": (
        ["0 silence 9999 component=api", "1 db open", "1 api open"],
        ["11 opened db"],
    ),
    "every matcher must hold": (
        ["0 silence 9999 component=api team=x", "1 api open"],
        ["11 opened api"],
    ),
    "two silences hold until the later one ends": (
        ["0 silence 100 component=api", "0 silence 200 category=check", "1 api open"],
        ["200 opened api"],
    ),
    "patterns match whole values": (
        ["0 silence 999 component=~ap", "1 api open"],
        ["11 opened api"],
    ),
    "a silence survives a restart": (
        ["0 silence 100 component=api", "1 api open", "50 restart"],
        ["100 opened api"],
    ),
    "a recovery that is silenced comes before the next outage": (
        ["0 api open", "20 silence 100 component=api", "50 api closed", "60 api open"],
        ["10 opened api", "310 updated api=recovered api=opened"],
    ),
}

ISOLATION: dict[str, Case] = {
    "cut off is told once, and when it is over": (
        ["0 isolate", "5 isolate", "60 connect", "61 connect"],
        ["0 isolated cbmon", "60 reconnected cbmon"],
    ),
    "nothing else is told meanwhile": (
        ["0 isolate", "1 api open", "2 db open"],
        ["0 isolated cbmon"],
    ),
    "false alarms are forgotten": (
        ["0 isolate", "1 api open", "60 connect", "70 api half_open", "71 api closed"],
        ["0 isolated cbmon", "60 reconnected cbmon"],
    ),
    "what is still down after its next trial is told": (
        ["0 isolate", "1 api open", "60 connect", "70 api half_open", "71 api open"],
        ["0 isolated cbmon", "60 reconnected cbmon", "71 opened api"],
    ),
    "an end is told afterwards": (
        ["0 api open", "20 isolate", "30 api closed", "60 connect"],
        ["10 opened api", "20 isolated cbmon", "60 reconnected cbmon", "60 recovered api"],
    ),
    "isolation survives a restart": (
        ["0 isolate", "1 api open", "20 restart", "60 connect", "70 api half_open", "71 api open"],
        ["0 isolated cbmon", "60 reconnected cbmon", "71 opened api"],
    ),
}

FLAPS: dict[str, Case] = {
    "up and down: one flapping, silence, one settled": (
        [f"{20 * n} api {'closed' if n % 2 else 'open'}" for n in range(30)],
        [
            "10 opened api",
            "20 recovered api",
            "50 opened api",
            "60 recovered api",
            "90 flapping api",
            "880 settled api",
        ],
    ),
    "settled while down, and well much later": (
        [f"{20 * n} api {'closed' if n % 2 else 'open'}" for n in range(7)] + ["1500 api closed"],
        [
            "10 opened api",
            "20 recovered api",
            "50 opened api",
            "60 recovered api",
            "90 flapping api",
            "430 settled api",
            "1500 recovered api",
        ],
    ),
    "slow ups and downs are told each": (
        [f"{300 * n} api {'closed' if n % 2 else 'open'}" for n in range(6)],
        [
            "10 opened api",
            "300 recovered api",
            "610 opened api",
            "900 recovered api",
            "1210 opened api",
            "1500 recovered api",
        ],
    ),
    "trials do not count": (
        ["0 api open", *(f"{20 + n} api {'open' if n % 2 else 'half_open'}" for n in range(30))],
        ["10 opened api"],
    ),
    "flapping survives a restart": (
        [f"{20 * n} api {'closed' if n % 2 else 'open'}" for n in range(4)]
        + ["65 restart", "80 api open", "95 restart", "100 api closed", "110 restart"],
        [
            "10 opened api",
            "20 recovered api",
            "50 opened api",
            "60 recovered api",
            "90 flapping api",
            "400 settled api",
        ],
    ),
}

TABLES = {
    "incidents": (INCIDENTS, {}),
    "groups": (GROUPS, {"infos": SHOP}),
    "dependencies": (DEPENDENCIES, {"infos": DEPENDENT}),
    "silences": (SILENCES, {}),
    "isolation": (ISOLATION, {}),
    "flapping": (FLAPS, {}),
}
ALL = {
    f"{table}: {name}": (case, options)
    for table, (cases, options) in TABLES.items()
    for name, case in cases.items()
}


@pytest.mark.parametrize(("case", "options"), ALL.values(), ids=ALL.keys())
def test_a_story_is_told_like_this(case: Case, options: dict[str, Any]) -> None:
    steps, expected = case
    assert Story(**options).run(steps) == expected
