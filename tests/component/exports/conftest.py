"""Fixtures of the exports' tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from cbmon.exports.base import ExportEnvironment
from tests.component.exports.gateway import Gateway, serving


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with serving() as found:
        yield found


@pytest.fixture
async def environment() -> AsyncIterator[ExportEnvironment]:
    shared = ExportEnvironment()
    yield shared
    await shared.close()
