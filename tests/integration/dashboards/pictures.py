"""The pictures in docs/dashboards.md, drawn from the dashboards' own queries.

Renew them with ``python -m tests.integration.dashboards.pictures docs/pictures``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from cbmon.dashboards.render import dashboards
from tests.integration.dashboards.canvas import INK, Canvas
from tests.integration.dashboards.grafana import Asked, Viewer
from tests.integration.dashboards.paint import PAINTERS
from tests.integration.dashboards.story import END, HOURS, START, Story, backfill, load
from tests.integration.harness import Prometheus

UNIT: Final = 50
ROW: Final = 32
GAP: Final = 6
SVG: Final = "http://www.w3.org/2000/svg"
SHOWN: Final = {"cbmon-breaker": "shop-api", "cbmon-check": "shop-api"}
"""What is chosen where one thing is looked at."""


def draw(viewer: Viewer, dashboard: dict[str, Any]) -> str:
    """One dashboard as SVG."""
    wanted = SHOWN.get(dashboard["uid"], "")
    chosen = next(one for one in viewer.choices(dashboard) if not wanted or wanted in one.values())
    height = max(p["gridPos"]["y"] + p["gridPos"]["h"] for p in dashboard["panels"]) * ROW + 40
    title = dashboard["title"] + (f": {wanted}" if wanted else "")
    parts = [
        f'<svg xmlns="{SVG}" viewBox="0 0 {24 * UNIT} {height}" font-family="sans-serif">',
        f"<title>{title}</title>",
        f'<rect width="{24 * UNIT}" height="{height}" fill="#f4f5f7"/>',
        f'<text x="10" y="26" font-size="18" font-weight="bold" fill="{INK}">{title}</text>',
    ]
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        x, y = at["x"] * UNIT + GAP / 2, at["y"] * ROW + 40
        canvas = Canvas(at["w"] * UNIT - GAP, at["h"] * ROW - GAP)
        _panel(canvas, panel, viewer, chosen)
        parts += [f'<g transform="translate({x:g} {y:g})">', *canvas.parts, "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(canvas: Canvas, panel: dict[str, Any], viewer: Viewer, chosen: dict[str, str]) -> None:
    if panel["type"] == "row":
        canvas.text(6, 18, panel["title"], 13, font_weight="bold")
        return
    canvas.box(0, 0, canvas.width, canvas.height, "#fff", stroke="#d8dde3", rx="3")
    canvas.text(8, 16, panel["title"], 12, font_weight="bold")
    answers = [
        (target, viewer.ask(Asked("", target["expr"], target["instant"]), chosen))
        for target in panel["targets"]
    ]
    PAINTERS[panel["type"]](canvas, panel, answers, (START, END))


def main(folder: Path) -> None:
    """Draw them all."""
    with TemporaryDirectory() as made:
        directory = Path(made)
        config = load(directory)
        backfill(directory, Story(config))
        server = Prometheus(directory, {})
        try:
            server.start()
            viewer = Viewer(server, END, HOURS, points=180)
            for uid, dashboard in dashboards(config).items():
                path = folder / f"dashboard-{uid.removeprefix('cbmon-')}.svg"
                path.write_text(draw(viewer, dashboard), encoding="utf-8")
        finally:
            server.process.clean_up()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
