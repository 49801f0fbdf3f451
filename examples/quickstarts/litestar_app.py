"""Litestar: the same.

uvicorn litestar_app:app --app-dir examples/quickstarts
"""

from litestar import Litestar, Request, get
from litestar.middleware import DefineMiddleware

from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute

database = {"up": True}


@get("/orders/{number:int}")
async def order(request: Request) -> dict[str, int]:
    if not database["up"]:
        raise ConnectionError("the database is down")
    return {"order": request.path_params["number"]}


app = Litestar(
    route_handlers=[order],
    middleware=[
        DefineMiddleware(
            CircuitBreakerMiddleware,
            routes=[ProtectedRoute("/orders/{number}", failure_threshold=3)],
        )
    ],
)
