"""What is repeated to a receiver that forgets: what it was told, as far as it goes on."""

from __future__ import annotations

import pytest

from tests.unit.notify.story import Story

LINE = "ops/slack"
Case = tuple[list[str], float, list[str]]
STANDING: dict[str, Case] = {
    "nothing before it is told": (["0 api open"], 5.0, []),
    "what was told": (["0 api open"], 60.0, ["api open"]),
    "what is silenced from the beginning is not": (
        ["0 silence 900 component=api", "1 api open", "2 db open"],
        60.0,
        ["db open"],
    ),
    "what is silenced after it was told still is": (
        ["0 api open", "30 silence 900 component=api"],
        60.0,
        ["api open"],
    ),
    "what is over is not": (["0 api open", "30 api closed"], 60.0, []),
    "what is over and not told so yet is not": (
        ["0 api open", "20 silence 900 component=api", "30 api closed"],
        60.0,
        [],
    ),
    "what is disabled is": (["0 api open", "30 api disabled"], 400.0, ["api disabled"]),
    "also after a restart": (["0 api open", "30 restart"], 60.0, ["api open"]),
    "that cbmon is cut off is": (["0 isolate"], 60.0, ["cbmon open"]),
    "that it was cut off is not": (["0 isolate", "30 connect"], 60.0, []),
}


@pytest.mark.parametrize("name", STANDING)
def test_repeated_is(name: str) -> None:
    steps, until, expected = STANDING[name]
    story = Story()
    story.run(steps, until=until)
    made = len(story.messages)
    found = story.notifier.standing(LINE, story.now)
    assert [f"{one.body['component']} {one.body['state']}" for one in found] == expected
    assert story.notifier.standing("nobody/else", story.now) == []
    assert len(story.messages) == made
