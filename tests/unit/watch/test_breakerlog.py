"""Log lines of breakers. Rule: every move has one, a flood of rejections does not."""

from __future__ import annotations

import logging

import pytest

from cbmon import BreakerRegistry, CircuitOpenError
from cbmon.breakerlog import BreakerLog
from cbmon.testing import ManualClock


def test_moves_are_logged_with_their_cause_and_their_person(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = ManualClock()
    registry = BreakerRegistry(
        clock=clock, failure_threshold=2, recovery_timeout=30, listeners=[BreakerLog(clock=clock)]
    )
    ollama = registry.get("ollama")
    with caplog.at_level(logging.INFO, logger="cbmon.breaker"):
        for _ in range(2):
            with pytest.raises(ConnectionError), ollama:
                raise ConnectionError("refused")
        clock.advance(30)
        ollama.call(len, "")
        ollama.force_open(actor="me", reason="deploy")
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert [level for level, _ in said] == ["WARNING", "INFO", "INFO", "WARNING"]
    assert all("ollama" in text for _, text in said)
    assert "2 failures in a row" in said[0][1]
    assert "deploy" in said[3][1]
    assert "actor=me" in said[3][1]


def test_rejections_are_said_once_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    clock = ManualClock()
    registry = BreakerRegistry(clock=clock, listeners=[BreakerLog(every=60, clock=clock)])
    its = registry.get("ollama")
    its.force_open()

    def rejected(times: int) -> list[str]:
        caplog.clear()
        for _ in range(times):
            with pytest.raises(CircuitOpenError):
                its.call(len, "")
        return [record.getMessage() for record in caplog.records]

    with caplog.at_level(logging.WARNING, logger="cbmon.breaker"):
        assert rejected(100) == ["calls are rejected name=ollama more=0"]
        clock.advance(60)
        assert rejected(1) == ["calls are rejected name=ollama more=99"]
        its.close()
        its.force_open()
        assert rejected(2) == ["calls are rejected name=ollama more=0"]
