"""Every client's rejection is of both kinds, tells the same, and survives pickling."""

from __future__ import annotations

import pickle
from typing import Any

import aiohttp
import asyncpg
import grpc
import httpx
import httpx2
import psycopg
import pytest
import redis
import requests
import sqlalchemy
from mcp import MCPError

from cbmon import CircuitOpenError, State
from cbmon.integrations.aiohttp import AiohttpCircuitOpenError
from cbmon.integrations.asyncpg import AsyncpgCircuitOpenError
from cbmon.integrations.grpc import AioCircuitOpenError, GrpcCircuitOpenError
from cbmon.integrations.httpx import HttpxCircuitOpenError
from cbmon.integrations.httpx2 import Httpx2CircuitOpenError
from cbmon.integrations.mcp import McpCircuitOpenError
from cbmon.integrations.psycopg import PsycopgCircuitOpenError
from cbmon.integrations.redis import RedisCircuitOpenError
from cbmon.integrations.requests import RequestsCircuitOpenError
from cbmon.integrations.sqlalchemy import SqlalchemyCircuitOpenError

KINDS: dict[Any, Any] = {
    AiohttpCircuitOpenError: aiohttp.ClientConnectionError,
    AsyncpgCircuitOpenError: asyncpg.PostgresConnectionError,
    AioCircuitOpenError: grpc.aio.AioRpcError,
    GrpcCircuitOpenError: grpc.RpcError,
    HttpxCircuitOpenError: httpx.ConnectError,
    Httpx2CircuitOpenError: httpx2.ConnectError,
    McpCircuitOpenError: MCPError,
    PsycopgCircuitOpenError: psycopg.OperationalError,
    RedisCircuitOpenError: redis.ConnectionError,
    RequestsCircuitOpenError: requests.ConnectionError,
    SqlalchemyCircuitOpenError: sqlalchemy.exc.OperationalError,
}


@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_a_rejection_is_of_both_kinds_and_survives_pickling(made: Any) -> None:
    error = made("shop", State.OPEN, 12.5)
    assert isinstance(error, CircuitOpenError)
    assert isinstance(error, KINDS[made])
    for each in (error, pickle.loads(pickle.dumps(error))):
        assert type(each) is made
        assert (each.name, each.state, each.retry_after) == ("shop", State.OPEN, 12.5)
        assert str(each) == "circuit breaker 'shop' is open; retry after 12.500 s"
        assert repr(each)


@pytest.mark.parametrize("made", KINDS, ids=lambda made: made.__name__)
def test_one_that_only_a_person_can_end_says_so(made: Any) -> None:
    error = made("shop", State.FORCED_OPEN, None)
    assert (error.retry_after, str(error)) == (None, "circuit breaker 'shop' is forced_open")


def test_what_code_asks_of_its_clients_errors_is_there() -> None:
    why = ("shop", State.OPEN, 1.0)
    assert GrpcCircuitOpenError(*why).code() is grpc.StatusCode.UNAVAILABLE
    assert AioCircuitOpenError(*why).details() == str(GrpcCircuitOpenError(*why))
    assert McpCircuitOpenError(*why).code == -32000
    assert AsyncpgCircuitOpenError(*why).sqlstate == "08000"
    assert not SqlalchemyCircuitOpenError(*why).connection_invalidated
    assert SqlalchemyCircuitOpenError(*why).statement is None
    assert PsycopgCircuitOpenError(*why).sqlstate is None
    assert RequestsCircuitOpenError(*why).response is None
