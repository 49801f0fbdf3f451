"""Starlette: the same, with a concurrency limit and an answer of its own while it is shut.

uvicorn starlette_app:app --app-dir examples/quickstarts
"""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute, Reply

database = {"up": True}


async def order(request: Request) -> JSONResponse:
    if not database["up"]:
        raise ConnectionError("the database is down")
    return JSONResponse({"order": int(request.path_params["number"])})


guarded = ProtectedRoute(
    "/orders/{number}",
    failure_threshold=3,
    max_concurrent_requests=50,
    fallback=lambda rejection: Reply(body={"order": None, "why": rejection.cause}, status=200),
)
app = Starlette(
    routes=[Route("/orders/{number:int}", order)],
    middleware=[Middleware(CircuitBreakerMiddleware, routes=[guarded])],
)
