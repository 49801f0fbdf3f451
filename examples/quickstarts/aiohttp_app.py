"""aiohttp: the same.

python examples/quickstarts/aiohttp_app.py
"""

from aiohttp import web

from cbmon.integrations.aiohttp_server import CircuitBreakerMiddleware, ProtectedRoute

database = {"up": True}


async def order(request: web.Request) -> web.Response:
    if not database["up"]:
        raise ConnectionError("the database is down")
    return web.json_response({"order": int(request.match_info["number"])})


guard = CircuitBreakerMiddleware([ProtectedRoute("/orders/{number}", failure_threshold=3)])
app = web.Application(middlewares=[guard])
app.router.add_get("/orders/{number}", order)

if __name__ == "__main__":
    web.run_app(app, port=8000)
