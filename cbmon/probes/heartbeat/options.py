"""The options of ``heartbeat``."""

from __future__ import annotations

import re
from typing import Final
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from cbmon.config.fields import Duration, Options, Secret, SecretFile, fault
from cbmon.probes.heartbeat.plan import Cron, Interval, Plan

TOKEN: Final = re.compile(r"[A-Za-z0-9._~-]{16,200}")
"""What a token looks like; it stands in a URL."""


class HeartbeatOptions(Options):
    """When a job has to say that it lives."""

    one_of = (("token",), ("interval", "cron"))

    token: Secret | None = Field(
        None, description="what the job is known by in its URL: 16 to 200 letters, digits, `._~-`"
    )
    token_file: SecretFile | None = Field(
        None, description="file that holds the token, read at every run"
    )
    interval: Duration | None = Field(
        None, description="longest time between two heartbeats", gt=0, examples=["1h"]
    )
    cron: str | None = Field(
        None,
        description="when the job runs: minute, hour, day, month, weekday",
        examples=["30 2 * * *", "0 9 * * 1-5"],
        max_length=200,
    )
    timezone: str = Field(
        "UTC", description="time zone of `cron`", examples=["Europe/Berlin"], min_length=1
    )
    grace: Duration = Field(60.0, description="how late a heartbeat may be")
    early: Duration = Field(
        60.0, description="how long before its time by `cron` a heartbeat already counts for it"
    )
    max_runtime: Duration | None = Field(
        None, description="how long a job that has said it starts may take", gt=0
    )

    @field_validator("token")
    @classmethod
    def _check_token(cls, value: Secret | None) -> Secret | None:
        if value is not None and not TOKEN.fullmatch(value.reveal()):
            raise ValueError(
                "expected 16 to 200 letters, digits, '.', '_', '~' or '-' (not shown: a secret)"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError):
            raise ValueError("expected a time zone such as Europe/Berlin or UTC") from None
        return value

    @model_validator(mode="after")
    def _check_plan(self) -> HeartbeatOptions:
        try:
            self.plan()
        except ValueError as error:
            raise fault(str(error), "cron") from None
        return self

    def plan(self) -> Plan:
        """When heartbeats are expected; ValueError for a ``cron`` that cannot be."""
        if self.cron is None:
            return Interval(self.interval or 0.0)
        return Cron(self.cron, ZoneInfo(self.timezone), self.early)

    def shown(self) -> str:
        """When it is expected, as a person reads it."""
        return f"every {self.interval:g}s" if self.cron is None else f"{self.cron} {self.timezone}"
