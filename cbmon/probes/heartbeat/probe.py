"""The probe that looks at a heart, and the register that finds it by its token.

Rule: a token is kept and looked up as a digest under a key of this process, so that neither memory
nor the time it takes tells anything of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections.abc import Mapping
from typing import Any, Final

from cbmon.config.fields import SecretError, secret_from
from cbmon.interfaces import Attempt
from cbmon.model import Reason, Result
from cbmon.probes.environment import ProbeEnvironment
from cbmon.probes.failure import ProbeError
from cbmon.probes.heartbeat.heart import Beat, Heart
from cbmon.probes.heartbeat.options import HeartbeatOptions

FRESH: Final = 2.0
"""Seconds for which what token files held is believed when an unknown token comes."""


class HeartbeatProbe:
    """One check's heart."""

    def __init__(self, options: HeartbeatOptions, environment: ProbeEnvironment) -> None:
        self._options = options
        self._clock = environment.clock
        self._plan = options.plan()
        self._hearts = environment.shared(Hearts)
        self.heart = Heart(since=self._clock.time())
        self._hearts.add(self)
        if options.token is not None:
            self._hearts.know(self, options.token.reveal())

    async def run(self, attempt: Attempt) -> Result:
        """Look at what was heard so far."""
        try:
            await self.read_token()
            self._judge(attempt)
        except ProbeError as error:
            return attempt.failed(error.reason, str(error))
        return attempt.passed()

    async def close(self) -> None:
        """Its token is nobody's any more."""
        self._hearts.remove(self)

    def hear(self, beat: Beat, *, run_id: str = "", exit_status: int | None = None) -> None:
        """The job says something."""
        self.heart.hear(beat, self._clock.time(), run_id=run_id, exit_status=exit_status)

    def snapshot(self) -> dict[str, Any]:
        """What a restart needs."""
        return self.heart.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on with what was heard before."""
        self.heart = Heart.restored(snapshot, self._clock.time(), self._options.grace)

    async def read_token(self) -> None:
        """Know the token as its file holds it now; ProbeError (``config``) if it cannot be."""
        if self._options.token_file is None:
            return
        try:
            secret = await asyncio.to_thread(secret_from, None, self._options.token_file)
        except SecretError as error:
            raise ProbeError(Reason.CONFIG, str(error)) from error
        self._hearts.know(self, secret.reveal() if secret else "")

    def _judge(self, attempt: Attempt) -> None:
        heart, options = self.heart, self._options
        attempt.facts.update(
            {
                "last_success_at": heart.succeeded_at,
                "last_failure_at": heart.failed_at,
                "last_duration": heart.took,
                "running": len(heart.runs),
                "expected_at": heart.expected_at(self._plan),
            }
        )
        heart.judge(
            self._plan,
            self._clock.time(),
            grace=options.grace,
            max_runtime=options.max_runtime,
        )


class Hearts:
    """Every heart of an environment."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._probes: dict[HeartbeatProbe, bytes] = {}
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def add(self, probe: HeartbeatProbe) -> None:
        """Listen for it; its token is not known yet."""
        self._probes[probe] = b""

    def know(self, probe: HeartbeatProbe, token: str) -> None:
        """This is its token now."""
        if probe in self._probes:
            self._probes[probe] = self._digest(token)

    def remove(self, probe: HeartbeatProbe) -> None:
        """Listen for it no more."""
        self._probes.pop(probe, None)

    async def find(self, token: str) -> list[HeartbeatProbe]:
        """The probes with this token; token files that changed are read again before giving up."""
        digest = self._digest(token)
        return self._with(digest) or await self._searched(digest)

    async def close(self) -> None:
        """Forget all."""
        self._probes.clear()

    def _with(self, digest: bytes) -> list[HeartbeatProbe]:
        return [
            probe for probe, known in self._probes.items() if secrets.compare_digest(known, digest)
        ]

    async def _searched(self, digest: bytes) -> list[HeartbeatProbe]:
        async with self._reading:
            if time.monotonic() - self._read_at >= FRESH:
                for probe in list(self._probes):
                    try:
                        await probe.read_token()
                    except ProbeError:
                        continue  # its own run says so
                self._read_at = time.monotonic()
        return self._with(digest)

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "replace"), key=self._key).digest()
