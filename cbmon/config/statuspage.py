"""The public status page, as a person configures it."""

from __future__ import annotations

from pydantic import Field

from cbmon.config.options import Options


class StatusPageSection(Options):
    """A page that everybody who reaches the daemon may read: names and states, nothing else."""

    enabled: bool = Field(False, description="Serve /status and /badges without a login.")
    title: str = Field("Status", min_length=1, max_length=100, description="Its heading.")
    groups: tuple[str, ...] = Field(
        (),
        description="Show the checks of these groups, in this order; every check that has a group "
        "when it is empty.",
    )
