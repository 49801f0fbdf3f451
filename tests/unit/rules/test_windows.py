"""What a window holds does not depend on whether its left edge belongs to it."""

from __future__ import annotations

import pytest

from cbmon.rules.film import Film, unit_for
from cbmon.rules.scenes.scene import rising
from cbmon.rules.scenes.windows import askew, bursts, increase, length_of


@pytest.mark.parametrize("window", [300.0, 900.0, 3600.0, 5700.0, 34_200.0])
@pytest.mark.parametrize("samples", [12, 60, 300])
def test_no_window_begins_at_a_sample(window: float, samples: int) -> None:
    film = askew(unit_for(window / samples), window)
    edges = (film.step(step) - window * 1000 for step in range(2000))
    assert all(edge % film.sample(1) for edge in edges)


def test_an_increase_is_extrapolated_to_the_whole_window() -> None:
    film = Film(7_000)
    tokens = rising(1e6, [(0.0, 50), (10.0, 1), (0.0, 50)])
    step = film.step_from(film.sample(52))
    held = [i for i in range(len(tokens)) if film.step(step) - 300_000 < film.sample(i)]
    seen = film.sample(film.step(step) // film.sample(1) - held[0]) / 1000
    assert increase(film, tokens, step, 300.0) == pytest.approx(10.0 * 300 / seen)


@pytest.mark.parametrize("hold", [0.0, 60.0, 150.0, 400.0, 3600.0])
def test_every_window_of_the_delay_holds_a_burst(hold: float) -> None:
    film = askew(5_000, 300.0)
    slopes = bursts(film, 300.0, hold, 2.0)
    quiet = max(length for size, length in [*slopes, (0.0, 0)] if not size)
    assert film.sample(quiet + 2) < 300_000
    assert film.sample(length_of(slopes)) >= (hold - 150.0) * 1000
