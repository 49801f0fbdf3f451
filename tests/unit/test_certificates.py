"""aiohttp's own TLS contexts in a daemon.

Rule: they trust what the system trusts from the first connection on, and cost nothing before.
Each test has a process of its own, as aiohttp is imported but once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
import trustme

BEGIN = """
    import ssl
    from cbmon import certificates
    certificates.import_aiohttp()
    import aiohttp
    from aiohttp.connector import TCPConnector, _SSL_CONTEXT_VERIFIED as context

    def trusted():
        return context.cert_store_stats()["x509_ca"]
"""


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system that trusts one authority."""
    path = tmp_path / "bundle.pem"
    trustme.CA().cert_pem.write_to_path(str(path))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    return path


def told(code: str) -> str:
    """What the code prints in a process of its own."""
    source = dedent(BEGIN) + dedent(code)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.usefixtures("bundle")
def test_an_import_reads_no_certificates_and_a_connection_does() -> None:
    code = """
        bio = ssl.MemoryBIO()
        print(trusted(), context.verify_mode.name, context.check_hostname)
        context.wrap_bio(bio, bio, server_hostname="a.test")
        print(trusted())
    """
    assert told(code).split() == ["0", "CERT_REQUIRED", "True", "1"]


@pytest.mark.usefixtures("bundle")
def test_a_plain_socket_that_is_wrapped_reads_them_too() -> None:
    code = """
        import socket
        one, other = socket.socketpair()
        context.wrap_socket(one, server_hostname="a.test", do_handshake_on_connect=False)
        print(trusted())
    """
    assert told(code) == "1"


@pytest.mark.usefixtures("bundle")
def test_they_can_be_read_before_once() -> None:
    code = """
        certificates.fetch()
        print(trusted())
        context.set_default_verify_paths = None  # to be called no more
        certificates.fetch()
        print(trusted())
    """
    assert told(code).split() == ["1", "1"]


@pytest.mark.usefixtures("bundle")
def test_contexts_of_others_are_as_ever() -> None:
    code = """
        made = ssl.create_default_context()
        print(type(made) is ssl.SSLContext, made.cert_store_stats()["x509_ca"])
    """
    assert told(code).split() == ["True", "1"]


@pytest.mark.usefixtures("bundle")
def test_it_does_nothing_to_an_aiohttp_that_was_imported_before() -> None:
    code = """
        import aiohttp.connector
        from cbmon import certificates
        context = aiohttp.connector._SSL_CONTEXT_VERIFIED
        certificates.import_aiohttp()
        certificates.fetch()
        print(type(context).__name__, context.cert_store_stats()["x509_ca"])
    """
    done = subprocess.run([sys.executable, "-c", dedent(code)], capture_output=True, text=True)
    assert done.stdout.split() == ["SSLContext", "1"], done.stderr


@pytest.mark.usefixtures("bundle")
def test_a_request_is_made_to_whom_the_system_trusts(tmp_path: Path) -> None:
    code = f"""
        import asyncio, trustme
        from aiohttp import web

        def issued(folder):
            authority = trustme.CA()
            authority.cert_pem.write_to_path(folder)
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            authority.issue_cert("localhost").configure_cert(made)
            return made

        async def ask(made):
            async def hello(request):
                return web.Response(text="hello")
            app = web.Application()
            app.router.add_get("/", hello)
            runner = web.AppRunner(app)
            await runner.setup()
            site = web.TCPSite(runner, "localhost", 0, ssl_context=made)
            await site.start()
            port = runner.addresses[0][1]
            async with aiohttp.ClientSession() as session:
                try:
                    async with session.get(f"https://localhost:{{port}}/") as answer:
                        return await answer.text()
                except aiohttp.ClientConnectorCertificateError:
                    return "refused"
                finally:
                    await runner.cleanup()

        made = issued({str(tmp_path / "bundle.pem")!r})
        print(asyncio.run(ask(made)))
        print(asyncio.run(ask(issued({str(tmp_path / "other.pem")!r}))))
    """
    assert told(code).split() == ["hello", "refused"]
