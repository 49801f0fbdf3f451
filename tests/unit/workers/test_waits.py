"""Rule: one death is mended at once; a worker that cannot live does not take the whole machine."""

from __future__ import annotations

import pytest

from cbmon.workers.worker import LONGEST_WAIT, wait_after


@pytest.mark.parametrize(
    ("quick_deaths", "seconds"),
    [(0, 0.0), (1, 0.0), (2, 0.2), (3, 0.4), (7, LONGEST_WAIT), (100_000, LONGEST_WAIT)],
)
def test_each_death_that_comes_soon_doubles_the_wait(quick_deaths: int, seconds: float) -> None:
    assert wait_after(quick_deaths) == seconds
