"""Cases for every alert, from which its promtool tests are made."""

from cbmon.rules.scenes.breakers import breaker_scenes
from cbmon.rules.scenes.calls import call_scenes
from cbmon.rules.scenes.checks import check_scenes
from cbmon.rules.scenes.daemon import daemon_scenes
from cbmon.rules.scenes.notifications import notification_scenes
from cbmon.rules.scenes.scene import Scene
from cbmon.rules.scenes.slos import slo_scenes
from cbmon.rules.scenes.traffic import traffic_scenes

__all__ = [
    "Scene",
    "breaker_scenes",
    "call_scenes",
    "check_scenes",
    "daemon_scenes",
    "notification_scenes",
    "slo_scenes",
    "traffic_scenes",
]
