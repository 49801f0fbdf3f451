"""Served with a web-config file: TLS, clients' certificates, users, headers, rate, and changes."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import bcrypt
import pytest
import trustme

from cbmon.config.secrets import Secret
from cbmon.web.server import WebServer
from cbmon.web.throttle import Throttle
from cbmon.web.watching import follow
from cbmon.web.webconfig import load_web_config
from cbmon.web.webconfig.names import SINGLE

TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
VERIFIED = TLS + "  client_ca_file: ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
HASHED = bcrypt.hashpw("pässword".encode(), bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users:\n  alice: {HASHED}\n"


@dataclass
class Place:
    """A folder with an authority's certificates and a web-config file."""

    folder: Path
    authority: trustme.CA

    @property
    def file(self) -> Path:
        return self.folder / "web.yml"

    def issue(self, *names: str) -> None:
        """A server certificate for these names, in place of the one that is there."""
        made = self.authority.issue_cert(*names, key_type=trustme.KeyType.RSA)
        (self.folder / "server.crt").write_bytes(made.cert_chain_pems[0].bytes())
        (self.folder / "server.key").write_bytes(made.private_key_pem.bytes())

    def client(self, *names: str, by: trustme.CA | None = None, **settings: Any) -> ssl.SSLContext:
        """What a client connects with, with a certificate of its own if names are given."""
        context = ssl.create_default_context()
        self.authority.configure_trust(context)
        if names:
            (by or self.authority).issue_cert(*names).configure_cert(context)
        for name, value in settings.items():
            setattr(context, name, value)
        return context


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path, trustme.CA())
    found.authority.cert_pem.write_to_path(tmp_path / "ca.crt")
    found.issue("localhost", "127.0.0.1")
    return found


class Client:
    """Asks one server, with a connection for each request."""

    def __init__(self, server: WebServer, scheme: str) -> None:
        self.server = server
        self.url = f"{scheme}://localhost:{server.addresses[0][1]}"

    async def get(
        self, path: str = "/-/ready", *, tls: ssl.SSLContext | None = None, **options: Any
    ) -> Any:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url + path, ssl=tls or True, **options) as response,
        ):
            await response.read()
            return response


@pytest.fixture
def serve_file(daemon: Any, place: Place) -> Callable[..., Any]:
    @asynccontextmanager
    async def serving(text: str, **options: Any) -> AsyncIterator[Client]:
        place.file.write_text(text)
        server = WebServer(daemon, web_config=load_web_config(place.file), **options)
        await server.bind([("127.0.0.1", 0)])
        await server.serve()
        try:
            yield Client(server, "https" if "cert_file" in text else "http")
        finally:
            await server.stop(1.0)
            await asyncio.sleep(0)

    return serving


async def eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5.0):
        while not await condition():  # noqa: ASYNC110 - what is awaited is on the other side
            await asyncio.sleep(0.05)


# --- TLS -----------------------------------------------------------------------------------


async def test_it_speaks_tls_and_nothing_else(serve_file: Any, place: Place) -> None:
    async with serve_file(TLS) as web:
        assert (await web.get(tls=place.client())).status == 200
        with pytest.raises(aiohttp.ClientError):
            await Client(web.server, "http").get()
        old = place.client()
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert (await web.get(tls=old)).status == 200


async def test_a_client_that_prefers_http2_goes_on_with_http1(
    serve_file: Any, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    text = TLS + "http_server_config: {http2: true}\n"
    async with serve_file(text) as web:
        assert "cbmon offers HTTP/1.1 alone" in str(vars(caplog.records[-1])["fields"])
        for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None)):
            context = place.client()
            context.set_alpn_protocols(offered)
            port = web.server.addresses[0][1]
            _, writer = await asyncio.open_connection("localhost", port, ssl=context)
            assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
            writer.close()
            await writer.wait_closed()


async def test_versions_ciphers_and_curves_are_what_the_file_says(
    serve_file: Any, place: Place
) -> None:
    text = TLS + "  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,"
    text += " TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n"
    text += "  curve_preferences: [CurveP384, CurveP521]\n"
    async with serve_file(text) as web:
        new = place.client(minimum_version=ssl.TLSVersion.TLSv1_3)
        with pytest.raises(aiohttp.ClientConnectorError):
            await web.get(tls=new)
        for curve, works in (("secp384r1", True), ("secp521r1", True), ("prime256v1", False)):
            context = place.client()
            context.set_ecdh_curve(curve)
            if works:
                assert (await web.get(tls=context)).status == 200
            else:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await web.get(tls=context)
        weak = place.client()
        weak.set_ciphers("ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA")
        with pytest.raises(aiohttp.ClientConnectorError):
            await web.get(tls=weak)


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521", "X25519"])
async def test_one_curve_is_the_only_one(serve_file: Any, place: Place, curve: str) -> None:
    async with serve_file(TLS + f"  curve_preferences: [{curve}]\n") as web:
        for name, theirs in SINGLE.items():
            context = place.client()
            context.set_ecdh_curve(theirs)
            if name == curve:
                assert (await web.get(tls=context)).status == 200
            else:
                with pytest.raises(aiohttp.ClientConnectorError):
                    await web.get(tls=context)


async def test_a_client_certificate_of_the_authority_is_required(
    serve_file: Any, place: Place
) -> None:
    async with serve_file(VERIFIED) as web:
        assert (await web.get(tls=place.client("prometheus.example"))).status == 200
        for context in (place.client(), place.client("x.example", by=trustme.CA())):
            with pytest.raises(aiohttp.ClientError):
                await web.get(tls=context)


@pytest.mark.parametrize(
    ("policy", "none", "stranger"),
    [
        ("RequestClientCert", True, True),
        ("RequireAnyClientCert", False, True),
        ("VerifyClientCertIfGiven", True, False),
    ],
)
async def test_each_policy_lets_in_whom_it_says(
    serve_file: Any, place: Place, policy: str, none: bool, stranger: bool
) -> None:
    text = TLS + f"  client_ca_file: ca.crt\n  client_auth_type: {policy}\n"
    async with serve_file(text) as web:
        clients = ((place.client(), none), (place.client("x.example", by=trustme.CA()), stranger))
        for context, expected in clients:
            if expected:
                assert (await web.get("/-/healthy", tls=context)).status == 200
            else:
                with pytest.raises(aiohttp.ClientError):
                    await web.get("/-/healthy", tls=context)


@pytest.mark.parametrize("name", ["good.example", "192.0.2.7", "2001:db8::7", "ops@good.example"])
async def test_only_certificates_with_an_allowed_name_get_in(
    serve_file: Any, place: Place, name: str
) -> None:
    async with serve_file(VERIFIED + f'  client_allowed_sans: ["{name}"]\n') as web:
        assert (await web.get(tls=place.client(name, "other.example"))).status == 200
        with pytest.raises(aiohttp.ClientError):
            await web.get(tls=place.client("other.example"))


async def test_a_verified_certificate_is_a_viewer_unless_the_configuration_says_more(
    serve_file: Any, place: Place
) -> None:
    context = place.client("ops.example")
    async with serve_file(VERIFIED) as web:
        found = await web.get("/api/v1/session", tls=context)
        assert await found.json() == {
            "name": "ops.example",
            "role": "viewer",
            "anonymous": False,
            "logged_in": False,
            "can_log_in": False,
        }
    async with serve_file(VERIFIED, certificate_role="operator") as web:
        found = await web.get("/api/v1/session", tls=context)
        assert (await found.json())["role"] == "operator"


# --- changes -------------------------------------------------------------------------------


async def test_a_new_certificate_is_served_without_a_restart(serve_file: Any, place: Place) -> None:
    async with serve_file(TLS) as web:
        before = await _serial(web)
        kept = place.client()
        async with aiohttp.ClientSession() as session:
            async with session.get(web.url + "/-/ready", ssl=kept) as first:
                assert first.status == 200
            place.issue("localhost", "127.0.0.1")

            async def changed() -> bool:
                return await _serial(web) != before

            await eventually(changed)
            async with session.get(web.url + "/-/ready", ssl=kept) as second:
                assert second.status == 200


async def test_a_wrong_change_is_told_once_and_changes_nothing(
    serve_file: Any,
    place: Place,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("cbmon.web.server.follow", partial(follow, every=0.01))
    async with serve_file(TLS) as web:
        before = await _serial(web)
        place.file.write_text(TLS + "  min_version: TLS9\n")

        async def told() -> bool:
            return "web-config file refused" in caplog.text

        await eventually(told)
        await asyncio.sleep(0.08)  # several more looks
        assert caplog.text.count("web-config file refused") == 1
        assert await _serial(web) == before
        place.file.write_text(TLS + USERS)

        async def asked() -> bool:
            return bool((await web.get(tls=place.client())).status == 401)

        await eventually(asked)


async def _serial(web: Client) -> bytes:
    """The certificate that a new connection is shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    port = web.server.addresses[0][1]
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await writer.wait_closed()
    return found


# --- users ---------------------------------------------------------------------------------


def basic(user: str, password: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


async def test_with_users_nothing_but_the_health_is_served_without_one(serve_file: Any) -> None:
    async with serve_file(USERS) as web:
        refused = await web.get()
        assert refused.status == 401
        assert refused.headers["WWW-Authenticate"].startswith('Basic realm="cbmon"')
        assert (await web.get(headers=basic("alice", "pässword"))).status == 200
        assert (await web.get("/-/healthy")).status == 200
        session = await web.get("/api/v1/session", headers=basic("alice", "pässword"))
        assert (await session.json())["role"] == "admin"


@pytest.mark.parametrize(
    ("user", "password"),
    [("alice", "password"), ("alice", ""), ("bob", "pässword"), ("", ""), ("alice", "x\0y")],
)
async def test_a_wrong_password_opens_nothing(serve_file: Any, user: str, password: str) -> None:
    async with serve_file(USERS) as web:
        assert (await web.get(headers=basic(user, password))).status == 401


async def test_a_script_of_a_page_makes_the_browser_ask_nobody(serve_file: Any) -> None:
    async with serve_file(USERS) as web:
        refused = await web.get(headers={"Sec-Fetch-Mode": "cors"})
        assert (refused.status, "WWW-Authenticate" in refused.headers) == (401, False)


async def test_only_the_first_72_bytes_of_a_password_count(serve_file: Any) -> None:
    long = "x" * 72
    hashed = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    async with serve_file(f"basic_auth_users: {{eve: {hashed}}}\n") as web:
        assert (await web.get(headers=basic("eve", long + "more"))).status == 200
        assert (await web.get(headers=basic("eve", long[1:]))).status == 401


async def test_guessing_is_slowed_down_and_a_known_scraper_goes_on(serve_file: Any) -> None:
    async with serve_file(USERS) as web:
        good = basic("alice", "pässword")
        assert (await web.get(headers=good)).status == 200
        web.server.access.credentials.failures = Throttle(3, 60.0)
        guesses = [await web.get(headers=basic("alice", f"guess {n}")) for n in range(4)]
        assert [one.status for one in guesses] == [401, 401, 401, 429]
        assert 1 <= int(guesses[-1].headers["Retry-After"]) <= 60
        assert (await web.get(headers=good)).status == 200


async def test_a_right_password_costs_nothing(serve_file: Any) -> None:
    async with serve_file(USERS) as web:
        web.server.access.credentials.failures = Throttle(1, 60.0)
        assert (await web.get(headers=basic("alice", "pässword"))).status == 200
        assert (await web.get(headers=basic("alice", "guess"))).status == 401


async def test_a_hundred_guesses_at_once_get_no_more_tries(serve_file: Any) -> None:
    async with serve_file(USERS) as web:
        web.server.access.credentials.failures = Throttle(5, 60.0)
        tries = (web.get(headers=basic("alice", f"guess {n}")) for n in range(40))
        found = [one.status for one in await asyncio.gather(*tries)]
        assert (found.count(401), found.count(429)) == (5, 35)


async def test_users_and_tokens_go_together(serve_file: Any, tokens: Any) -> None:
    async with serve_file(USERS, tokens=tokens) as web:
        found = await web.get(headers={"Authorization": "Bearer viewer-token"})
        assert found.status == 200
        refused = await web.get()
        assert "Basic" in refused.headers["WWW-Authenticate"]
        assert "Bearer" in refused.headers["WWW-Authenticate"]


# --- headers and rate ----------------------------------------------------------------------


async def test_the_headers_of_the_file_win_over_ours(serve_file: Any) -> None:
    text = "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n"
    text += "    Strict-Transport-Security: max-age=60\n    Content-Security-Policy: ''\n"
    async with serve_file(text) as web:
        found = (await web.get("/api/v1/nothing")).headers
        assert found["X-Frame-Options"] == "sameorigin"
        assert found["Strict-Transport-Security"] == "max-age=60"
        assert found["Content-Security-Policy"].startswith("default-src 'none'")


async def test_requests_beyond_the_rate_are_answered_429(serve_file: Any) -> None:
    async with serve_file("rate_limit: {interval: 10s, burst: 3}\n") as web:
        found = [await web.get() for _ in range(5)]
        assert [one.status for one in found] == [200, 200, 200, 429, 429]
        assert 1 <= int(found[-1].headers["Retry-After"]) <= 10


async def test_tokens_of_the_configuration_are_no_passwords(serve_file: Any, token_of: Any) -> None:
    token = token_of("alice", "viewer", Secret("pässword"))
    async with serve_file(USERS, tokens=[token]) as web:
        found = await web.get("/api/v1/session", headers={"Authorization": "Bearer nothing"})
        assert found.status == 401
