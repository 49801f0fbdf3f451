"""FastAPI: a route that is shut while its database is down, and the breakers' metrics.

uvicorn fastapi_app:app --app-dir examples/quickstarts
"""

from fastapi import FastAPI

from cbmon import BreakerRegistry
from cbmon.integrations.asgi import CircuitBreakerMiddleware, ProtectedRoute
from cbmon.metrics.endpoints import metrics_asgi_app

database = {"up": True}
breakers = BreakerRegistry()

app = FastAPI()
app.mount("/metrics", metrics_asgi_app(breakers))
app.add_middleware(
    CircuitBreakerMiddleware,
    registry=breakers,
    routes=[ProtectedRoute("/orders/{number}", failure_threshold=3, recovery_timeout=30)],
)


@app.get("/orders/{number}")
async def order(number: int) -> dict[str, int]:
    if not database["up"]:
        raise ConnectionError("the database is down")
    return {"order": number}
