"""Rule: the token is the credential; what is said reaches the daemon just as it was said."""

from __future__ import annotations

from typing import Any

import pytest

from cbmon.errors import StoreError

TOKEN = "0123456789abcdef"


class Jobs:
    """The daemon's side of heartbeats."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, int | None, str]] = []
        self.broken: Exception | None = None

    async def heartbeat(
        self, token: str, signal: str, *, status: int | None = None, run_id: str = ""
    ) -> bool:
        if self.broken is not None:
            raise self.broken
        if token != TOKEN:
            return False
        self.heard.append((signal, status, run_id))
        return True


@pytest.fixture
def jobs(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    made = Jobs()
    monkeypatch.setattr(type(daemon), "heartbeat", staticmethod(made.heartbeat), raising=False)
    return made


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(
    ("expected", "path"),
    [
        (("success", 0, ""), ""),
        (("success", 0, ""), "/0"),
        (("start", None, ""), "/start"),
        (("start", None, "a-1"), "/start?rid=a-1"),
        (("fail", None, ""), "/fail"),
        (("fail", 1, ""), "/1"),
        (("fail", 255, ""), "/255"),
    ],
)
async def test_what_a_job_says_is_heard(
    jobs: Jobs, guarded: Any, expected: Any, path: str, method: str
) -> None:
    reply = await guarded.ask(method, f"/api/v1/heartbeat/{TOKEN}{path}")

    assert reply.status == 200
    assert jobs.heard == [expected]


@pytest.mark.parametrize(
    ("status", "path"),
    [
        (404, "/wrong-token-0123456"),
        (404, f"/{TOKEN}/256"),
        (404, f"/{TOKEN}/-1"),
        (404, f"/{TOKEN}/stop"),
        (404, f"/{TOKEN}/%C2%B2"),
        (404, "/"),
        (400, f"/{TOKEN}?rid={'x' * 101}"),
        (400, f"/{TOKEN}?rid=a%0A"),
        (400, f"/{TOKEN}?id=a"),
    ],
)
async def test_what_cannot_be_meant_is_refused(
    jobs: Jobs, web: Any, status: int, path: str
) -> None:
    reply = await web.post(f"/api/v1/heartbeat{path}")

    assert reply.status == status
    assert jobs.heard == []


async def test_what_is_not_durable_is_not_acknowledged(jobs: Jobs, web: Any) -> None:
    jobs.broken = StoreError("disk full")

    assert (await web.post(f"/api/v1/heartbeat/{TOKEN}")).status == 503


async def test_the_log_never_holds_a_token(jobs: Jobs, web: Any, caplog: Any) -> None:
    jobs.broken = RuntimeError("a fault")

    assert (await web.post(f"/api/v1/heartbeat/{TOKEN}/start")).status == 500
    said = [str(record.__dict__) for record in caplog.records]
    assert any("/api/v1/heartbeat/{token}/{signal}" in line for line in said)
    assert not any(TOKEN in record.getMessage() + str(record.fields) for record in caplog.records)
