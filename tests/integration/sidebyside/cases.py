"""The cases: a module, a target and what else a request says.

Rule: a case has one point; ``{…}`` in texts are ports and files that the test fills in.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Case:
    """One probe that both make."""

    name: str
    target: str
    module: dict[str, Any]
    query: dict[str, str] = field(default_factory=dict)
    scrape: str = ""
    status: int = 200
    ok: bool | None = None
    """What probe_success is; None where only the status counts."""
    apart: frozenset[str] = frozenset()
    """Metrics that differ, as docs/blackbox.md explains."""
    more: str = ""
    """What follows the query as it is."""


def http(name: str, path: str, ok: bool, /, **options: Any) -> Case:
    target = path if not path.startswith("/") else "http://127.0.0.1:{http}" + path
    extra = {key: options.pop(key) for key in ("query", "scrape", "apart") if key in options}
    timeout = options.pop("timeout", "5s")
    module = {"prober": "http", "timeout": timeout, "http": options}
    return Case(name, target, module, ok=ok, **extra)


def tcp(name: str, target: str, ok: bool, /, *steps: dict[str, Any], **options: Any) -> Case:
    extra = {key: options.pop(key) for key in ("query", "apart") if key in options}
    timeout = options.pop("timeout", "5s")
    options = {"query_response": list(steps), **options} if steps else options
    return Case(name, target, {"prober": "tcp", "timeout": timeout, "tcp": options}, ok=ok, **extra)


def dns(name: str, asked: str, ok: bool, /, **options: Any) -> Case:
    target = options.pop("target", "127.0.0.1:{dns}")
    timeout = options.pop("timeout", "5s")
    module = {"prober": "dns", "timeout": timeout, "dns": {"query_name": asked, **options}}
    return Case(name, target, module, ok=ok)


def header(name: str, pattern: str, **more: Any) -> list[dict[str, Any]]:
    return [{"header": name, "regexp": pattern, **more}]


STATUSES = [
    http("200 is good", "/", True),
    http("201 is good", "/201", True),
    http("204 is good", "/204", True),
    http("304 is not", "/304", False),
    http("304 can be", "/304", True, valid_status_codes=[304]),
    http("404 is not", "/404", False),
    http("500 is not", "/500", False),
    http("599 can be", "/599", True, valid_status_codes=[200, 599]),
    http("200 can be wrong", "/", False, valid_status_codes=[404]),
    http("no list of statuses is 2xx", "/", True, valid_status_codes=[]),
    http("a target without scheme", "127.0.0.1:{http}/", True),
    http("a target that is escaped", "/a%2Fb", True, fail_if_body_not_matches_regexp=["escaped"]),
    http("HTTP/1.0", "/1.0", True, valid_http_versions=["HTTP/1.0"]),
    http("the wrong version", "/", False, valid_http_versions=["HTTP/1.0", "HTTP/2.0"]),
    http("one of two versions", "/", True, valid_http_versions=["HTTP/1.1", "HTTP/2.0"]),
    http("Last-Modified", "/modified", True),
    http("Last-Modified in RFC 850's form", "/modified-850", True),
    http("Last-Modified that is none", "/modified-odd", True),
    http("TLS is missed", "/", False, fail_if_not_ssl=True),
    http("TLS is not wanted", "/", True, fail_if_ssl=True),
]
REQUESTS = [
    http("HEAD", "/", True, method="HEAD"),
    http("HEAD of an empty body", "/empty", True, method="HEAD"),
    http("HEAD of chunks", "/chunked", True, method="HEAD"),
    http("POST with a body", "/method", True, method="POST", body="x=1",
         fail_if_body_not_matches_regexp=["^POST x=1$"]),
    http("POST without a body", "/echo", True, method="POST",
         fail_if_body_not_matches_regexp=["(?m)^content-length: 0$"]),
    http("no Accept-Encoding", "/echo", True, fail_if_body_matches_regexp=["(?i)accept"]),
    http("headers are sent", "/echo", True, headers={"X-Test": "yes", "accept-language": "en"},
         fail_if_body_not_matches_regexp=["x-test: yes", "accept-language: en"]),
    http("the Host header", "/echo", True, headers={"host": "shop.example"},
         fail_if_body_not_matches_regexp=["(?m)^host: shop.example$"]),
    http("the Host header of the target", "http://localhost:{http}/echo", True,
         fail_if_body_not_matches_regexp=["(?m)^host: localhost:[0-9]+$"]),
    http("hostname is the Host header", "/echo", True, query={"hostname": "other.example"},
         fail_if_body_not_matches_regexp=["(?m)^host: other.example$"]),
    http("basic authentication", "/echo", True, basic_auth={"username": "u", "password": "p"},
         fail_if_body_not_matches_regexp=["authorization: Basic dTpw"]),
    http("user and password in the URL", "http://u:p@127.0.0.1:{http}/echo", True,
         fail_if_body_not_matches_regexp=["authorization: Basic dTpw"]),
    http("a bearer token", "/echo", True, bearer_token="t0ken",
         fail_if_body_not_matches_regexp=["authorization: Bearer t0ken"]),
    http("a bearer token from a file", "/echo", True, bearer_token_file="{directory}/token",
         fail_if_body_not_matches_regexp=["authorization: Bearer from-file"]),
    http("a token file that is missing", "/echo", False, bearer_token_file="{directory}/none"),
    http("another kind of authorization", "/echo", True,
         authorization={"type": "Token", "credentials": "c"},
         fail_if_body_not_matches_regexp=["authorization: Token c"]),
    http("the query is kept", "/echo?a=b%20c&d", True,
         fail_if_body_not_matches_regexp=["^GET /echo[?]a=b%20c&d HTTP"]),
]  # fmt: skip
PATTERNS = [
    http("a body that matches", "/", True, fail_if_body_not_matches_regexp=["fox", "Hello"]),
    http("a body that misses one", "/", False, fail_if_body_not_matches_regexp=["fox", "cat"]),
    http("a body that must not match", "/", False, fail_if_body_matches_regexp=["cat", "fox"]),
    http("a status decides before the body", "/500", False, fail_if_body_matches_regexp=["fox"]),
    http("POSIX classes", "/", True, fail_if_body_not_matches_regexp=["[[:upper:]]ello"]),
    http("Unicode classes", "/", True, fail_if_body_not_matches_regexp=[r"\p{Greek}{3}"]),
    http("flags in the middle", "/", True, fail_if_body_not_matches_regexp=["Say (?i)HELLO"]),
    http("ungreedy", "/", True, fail_if_body_not_matches_regexp=["(?U)q.*k brown"]),
    http("the end of the text", "/", False, fail_if_body_not_matches_regexp=[r"second line\z"]),
    http("lines when told", "/", True, fail_if_body_not_matches_regexp=["(?m)^second line$"]),
    http("no lines when not", "/", False, fail_if_body_not_matches_regexp=["^second line$"]),
    http("bytes that are no text", "/", True, fail_if_body_not_matches_regexp=[r"and ..\."]),
    http("a pattern that hangs others", "/hang", False,
         fail_if_body_not_matches_regexp=["^(a+)+$"]),
    http("an empty pattern", "/empty", False, fail_if_body_matches_regexp=[""]),
    http("a header that matches", "/cors", True, fail_if_header_not_matches=header(
        "Access-Control-Allow-Origin", r"(\*|example\.com)")),
    http("a header that does not", "/cors", False,
         fail_if_header_not_matches=header("access-control-allow-origin", "other")),
    http("a header that must not match", "/cors", False,
         fail_if_header_matches=header("Access-Control-Allow-Origin", "example")),
    http("a header that is missing", "/", False, fail_if_header_matches=header("X-None", ".*")),
    http("a header that may be missing", "/", True,
         fail_if_header_matches=header("X-None", ".*", allow_missing=True)),
    http("a missing header has no match", "/", True,
         fail_if_header_not_matches=header("X-None", "x", allow_missing=True)),
    http("one of two headers matches", "/cookies", True,
         fail_if_header_not_matches=header("Set-Cookie", "b=2")),
    http("any of two headers matches", "/cookies", False,
         fail_if_header_matches=header("set-cookie", "a=1")),
]  # fmt: skip
REDIRECTS = [
    http("a redirect", "/to-root", True),
    http("two redirects", "/loop/2", True),
    http("ten redirects", "/loop/10", True),
    http("the eleventh", "/loop/11", False),
    http("the eleventh with a good status", "/loop/12", True, valid_status_codes=[302]),
    http("not following", "/to-root", False, follow_redirects=False),
    http("not following is good", "/to-root", True, follow_redirects=False,
         valid_status_codes=[302]),
    http("the old key for it", "/to-root", True, no_follow_redirects=True,
         valid_status_codes=[302]),
    http("no body of a redirect", "/to-root", False, follow_redirects=False,
         valid_status_codes=[302], fail_if_body_not_matches_regexp=["moved"]),
    http("an empty body of a redirect", "/empty-redirect", True, follow_redirects=False,
         valid_status_codes=[302], fail_if_body_matches_regexp=["moved"]),
    http("a redirect to an error", "/to-404", False),
    http("a redirect to a closed port", "/to-nowhere", False),
    http("a redirect to another protocol", "/to-ftp", False),
    http("a redirect that is no URL", "/to-bad", False),
    http("a redirect with an empty Location", "/to-empty", False),
    http("a redirect without Location", "/to-none", True, valid_status_codes=[302]),
    http("300 is no redirect", "/300", False),
    http("301 makes POST a GET", "/301", True, method="POST", body="b",
         fail_if_body_not_matches_regexp=["^GET $"]),
    http("303 makes PUT a GET", "/303", True, method="PUT", body="b",
         fail_if_body_not_matches_regexp=["^GET $"]),
    http("307 keeps POST", "/307", True, method="POST", body="b",
         fail_if_body_not_matches_regexp=["^POST b$"]),
    http("308 keeps PUT", "/308", True, method="PUT", body="b",
         fail_if_body_not_matches_regexp=["^PUT b$"]),
    http("a cookie goes along", "/cookie-in", True),
    http("a redirect to another host", "/absolute?to=localhost:{http}", True),
    http("a redirect to TLS", "/absolute-tls", True, tls_config={"ca_file": "{ca}"}),
]  # fmt: skip
BODIES = [
    http("gzip", "/gzip", True, compression="gzip", fail_if_body_not_matches_regexp=["fox"]),
    http("gzip that was not announced", "/gzip-unsaid", True, compression="gzip"),
    http("gzip of two parts", "/gzip-twice", True, compression="gzip"),
    http("gzip that is none", "/", False, compression="gzip"),
    http("gzip that ends early", "/gzip-cut", False, compression="gzip"),
    http("gzip nobody asked for", "/gzip", False, fail_if_body_not_matches_regexp=["fox"]),
    http("deflate is raw", "/deflate", True, compression="deflate"),
    http("deflate is not wrapped", "/deflate-wrapped", False, compression="deflate"),
    http("identity", "/", True, compression="identity"),
    http("asked for gzip", "/gzip", True, compression="gzip",
         headers={"Accept-Encoding": "gzip, deflate;q=0.5"}),
    http("a body within the limit", "/large", True, body_size_limit="293KB"),
    http("a body beyond the limit", "/large", False, body_size_limit="292KB"),
    http("a limit counts after unpacking", "/gzip-large", False, compression="gzip",
         body_size_limit="1MB"),
    http("chunks", "/chunked", True, fail_if_body_not_matches_regexp=["^hello world$"]),
    http("chunks with a length besides", "/chunked-long", True),
    http("HEAD of chunks with a length", "/chunked-long", True, method="HEAD"),
    http("chunks that break off", "/chunked-broken", False),
    http("chunks that are none", "/chunked-bad", False),
    http("a body until the end", "/until-close", True),
    http("a body that is too short", "/short", False),
    http("interim answers", "/interim", True),
    http("300 headers", "/headers-300", True),
    http("a header of 64 KB", "/header-64k", True),
    http("line feeds alone", "/line-feeds", True),
    http("a status without words", "/no-words", True),
    http("what is no HTTP", "/garbage", False),
    http("no answer", "/silent-close", False),
    http("a reset", "/reset", False),
]  # fmt: skip
TIMES = [
    http("a head that is late", "/slow-head", False, timeout="500ms"),
    http("a body that is late", "/slow-body", False, timeout="500ms"),
    http("the scraper is in more of a hurry", "/slow-head", False, timeout="5s", scrape="1"),
    http("a hurry below the offset does not count", "/", True, scrape="0.3"),
    http("no hurry", "/", True, scrape="0"),
    http("a refused connection", "http://127.0.0.1:1/", False),
    http("a name that does not exist", "http://no-such-host.invalid/", False, timeout="3s"),
    http("a target that is no URL", "http://[::1", False),
    http("a port that is none", "http://127.0.0.1:99999/", False),
]
FAMILIES = [
    http("IPv6", "http://[::1]:{http6}/", True),
    http("IPv6 alone", "http://[::1]:{http6}/", True, ip_protocol_fallback=False),
    http("IPv4 alone", "/", True, preferred_ip_protocol="ip4", ip_protocol_fallback=False),
    http("an address of the other family", "/", False, ip_protocol_fallback=False),
    http("a name with IPv4 only", "http://localhost:{http}/", True),
    http("a name without IPv6", "http://localhost:{http}/", False, ip_protocol_fallback=False),
]
CA = {"ca_file": "{ca}"}
TLS = [
    http("a good certificate", "https://localhost:{tls}/", True, tls_config=CA),
    http("TLS that is not wanted", "https://localhost:{tls}/", False, tls_config=CA,
         fail_if_ssl=True),
    http("TLS that is wanted", "https://localhost:{tls}/", True, tls_config=CA,
         fail_if_not_ssl=True),
    http("an authority nobody knows", "https://localhost:{tls}/", False),
    http("no verification", "https://localhost:{tls}/", True,
         tls_config={"insecure_skip_verify": True}),
    http("an address that is not in it", "https://127.0.0.1:{tls}/", False, tls_config=CA),
    http("hostname is the name in TLS", "https://127.0.0.1:{tls}/", True, tls_config=CA,
         query={"hostname": "localhost"}),
    http("Host is the name in TLS", "https://127.0.0.1:{tls}/", True, tls_config=CA,
         headers={"Host": "localhost"}),
    http("server_name is stronger", "https://127.0.0.1:{tls}/", True,
         tls_config={**CA, "server_name": "localhost"}, headers={"Host": "other.example"}),
    http("an address in the certificate", "https://127.0.0.1:{tls_address}/", True, tls_config=CA),
    http("another name", "https://localhost:{tls_other}/", False, tls_config=CA),
    http("a common name is no name", "https://localhost:{tls_common}/", False, tls_config=CA),
    http("a wildcard", "https://127.0.0.1:{tls_wild}/", True,
         tls_config={**CA, "server_name": "a.example.org"}),
    http("a wildcard for one label only", "https://127.0.0.1:{tls_wild}/", False,
         tls_config={**CA, "server_name": "a.b.example.org"}),
    http("an expired certificate", "https://localhost:{tls_expired}/", False, tls_config=CA),
    http("an expired one that is not verified", "https://localhost:{tls_expired}/", True,
         tls_config={"insecure_skip_verify": True}),
    http("a chain", "https://localhost:{tls_chain}/", True, tls_config=CA),
    http("a chain with a gap", "https://localhost:{tls_gap}/", False, tls_config=CA),
    http("an intermediate is trusted", "https://localhost:{tls_chain}/", True,
         tls_config={"ca_file": "{intermediate}"}),
    http("two chains", "https://localhost:{tls_crossed}/", True, tls_config={"ca_file": "{both}"}),
    http("the new one of two chains", "https://localhost:{tls_crossed}/", True, tls_config=CA),
    http("the old one of two chains", "https://localhost:{tls_crossed}/", True,
         tls_config={"ca_file": "{old}"}),
    tcp("two chains over TCP", "localhost:{tls_crossed}", True, tls=True,
        tls_config={"ca_file": "{both}"}),
    http("TLS 1.2", "https://localhost:{tls_12}/", True, tls_config=CA),
    http("TLS 1.3 is wanted", "https://localhost:{tls_12}/", False,
         tls_config={**CA, "min_version": "TLS13"}),
    http("TLS 1.2 at most", "https://localhost:{tls}/", True,
         tls_config={**CA, "max_version": "TLS12"}),
    http("a client certificate", "https://localhost:{tls_client}/", True,
         tls_config={**CA, "cert_file": "{client}", "key_file": "{client}"}),
    http("no client certificate", "https://localhost:{tls_client}/", False, tls_config=CA),
    http("a CA file that is missing", "https://localhost:{tls}/", False,
         tls_config={"ca_file": "{directory}/none"}),
    http("plain where TLS is", "http://localhost:{tls}/", False),
    http("TLS where plain is", "https://localhost:{http}/", False, tls_config=CA),
]  # fmt: skip
DIALOGUES = [
    tcp("a connection", "127.0.0.1:{banner}", True),
    tcp("no connection", "127.0.0.1:1", False),
    tcp("a target without port", "127.0.0.1", False),
    tcp("a banner", "127.0.0.1:{banner}", True, {"expect": "^SSH-2.0-"}),
    tcp("the second line", "127.0.0.1:{banner}", True, {"expect": "^second$"}),
    tcp("a line without end", "127.0.0.1:{banner}", True, {"expect": "^last$"}),
    tcp("another banner", "127.0.0.1:{banner}", False, {"expect": "^220 "}),
    tcp("a line is used once", "127.0.0.1:{banner}", False, {"expect": "SSH"}, {"expect": "SSH"}),
    tcp("no banner", "127.0.0.1:{silent}", False, {"expect": "x"}, timeout="700ms"),
    tcp("a reset", "127.0.0.1:{reset}", False, {"expect": "x"}),
    tcp("what matched is sent", "127.0.0.1:{irc}", True, {"send": "NICK prober?"},
        {"expect": "PING :([^ ]+)", "send": "PONG ${1}?"}, {"expect": "^:ok PONG abc[?]$"}),
    tcp("a name of a group", "127.0.0.1:{irc}", True, {"send": "NICK prober?"},
        {"expect": "PING :(?P<token>[^ ]+)", "send": "PONG $token?"}, {"expect": "PONG abc[?]$"}),
    tcp("a group that does not exist", "127.0.0.1:{irc}", True, {"send": "NICK prober?"},
        {"expect": "PING :([^ ]+)", "send": "PONG $1x$$?"}, {"expect": "^:ok PONG [$][?]$"}),
    tcp("STARTTLS", "localhost:{smtp}", True, {"expect": "^220"}, {"send": "EHLO prober?"},
        {"expect": "^250-STARTTLS"}, {"send": "STARTTLS?"}, {"expect": "^220"},
        {"starttls": True}, {"send": "EHLO prober?"}, {"expect": "^250-AUTH"}, tls_config=CA),
    tcp("STARTTLS with a bad certificate", "127.0.0.1:{smtp}", False, {"expect": "^220"},
        {"send": "EHLO prober?"}, {"expect": "^250-STARTTLS"}, {"send": "STARTTLS?"},
        {"expect": "^220"}, {"starttls": True}, tls_config=CA),
    tcp("TLS", "localhost:{banner_tls}", True, {"expect": "SSH"}, tls=True, tls_config=CA),
    tcp("TLS alone", "localhost:{banner_tls}", True, tls=True, tls_config=CA),
    tcp("TLS with another name", "127.0.0.1:{banner_tls}", False, tls=True, tls_config=CA),
    tcp("TLS with the name given", "127.0.0.1:{banner_tls}", True, tls=True,
        tls_config={**CA, "server_name": "localhost"}),
    tcp("TLS without verification", "127.0.0.1:{banner_tls}", True, tls=True,
        tls_config={"insecure_skip_verify": True}),
    tcp("TLS to what speaks none", "127.0.0.1:{banner}", False, tls=True, timeout="1s"),
    tcp("over IPv6", "[::1]:{http6}", True),
    tcp("from an address", "127.0.0.1:{banner}", True, source_ip_address="127.0.0.9"),
    tcp("from what is no address", "127.0.0.1:{banner}", False, source_ip_address="nonsense"),
]  # fmt: skip
ANY_192 = {"fail_if_none_matches_regexp": [r"192\.0\.2\.2$"]}
NAMES = [
    dns("an address", "www.example", True, query_type="A"),
    dns("the default type", "www.example", True),
    dns("an IPv6 address", "www.example.", True, query_type="AAAA"),
    dns("an alias", "alias.example", True, query_type="A"),
    dns("no such name", "gone.example", False, query_type="A"),
    dns("no such name is good", "gone.example", True, query_type="A", valid_rcodes=["NXDOMAIN"]),
    dns("one of two codes", "refused.example", True, query_type="A",
        valid_rcodes=["NOERROR", "REFUSED"]),
    dns("a server's failure", "broken.example", False, query_type="A"),
    dns("a code that does not exist", "www.example", False, query_type="A", valid_rcodes=["NOPE"]),
    dns("a serial", "example", True, query_type="SOA"),
    dns("a serial without answer", "empty.example", False, query_type="SOA"),
    dns("MX as text", "example", True, query_type="MX", validate_answer_rrs={
        "fail_if_not_matches_regexp": ["^example.\t300\tIN\tMX\t10 mail.example.$"]}),
    dns("TXT as text", "example", True, query_type="TXT", validate_answer_rrs={
        "fail_if_not_matches_regexp": ['TXT\t"v=spf1 -all" "say .+hi.+"$']}),
    dns("a record that must not be", "www.example", False, query_type="A",
        validate_answer_rrs={"fail_if_matches_regexp": [r"192\.0\.2\.2$"]}),
    dns("every record must be", "www.example", False, query_type="A",
        validate_answer_rrs={"fail_if_not_matches_regexp": [r"192\.0\.2\.2$"]}),
    dns("some record must be", "www.example", True, query_type="A", validate_answer_rrs=ANY_192),
    dns("no record, but one must be", "empty.example", False, query_type="A",
        validate_answer_rrs=ANY_192),
    dns("all match", "www.example", True, query_type="A",
        validate_answer_rrs={"fail_if_all_match_regexp": [r"192\.0\.2"]}),
    dns("not all match", "www.example", False, query_type="A",
        validate_answer_rrs={"fail_if_all_match_regexp": [r"192\.0\.2\.1$"]}),
    dns("the authority", "www.example", True, query_type="A",
        validate_authority_rrs={"fail_if_not_matches_regexp": ["NS\tns.example.$"]}),
    dns("the additional", "www.example", False, query_type="A",
        validate_additional_rrs={"fail_if_matches_regexp": ["53$"]}),
    dns("a cut answer is taken", "cut-www.example", True, query_type="A"),
    dns("another id is passed over", "liar-www.example", True, query_type="A"),
    dns("silence", "silent.example", False, query_type="A", timeout="700ms"),
    dns("what is no answer", "garbled.example", False, query_type="A", timeout="2s"),
    dns("over TCP", "www.example", True, query_type="A", transport_protocol="tcp",
        target="127.0.0.1:{dns_tcp}"),
    dns("silence over TCP", "silent.example", False, query_type="A", transport_protocol="tcp",
        target="127.0.0.1:{dns_tcp}", timeout="700ms"),
    dns("over TLS", "www.example", True, query_type="A", transport_protocol="tcp",
        dns_over_tls=True, tls_config=CA, target="localhost:{dns_tls}"),
    dns("over TLS with another name", "www.example", False, query_type="A",
        transport_protocol="tcp", dns_over_tls=True, tls_config=CA, target="127.0.0.1:{dns_tls}"),
    dns("TLS needs TCP", "www.example", False, query_type="A", dns_over_tls=True),
    dns("a transport that does not exist", "www.example", False, transport_protocol="sctp"),
    dns("a closed port", "www.example", False, query_type="A", target="127.0.0.1:1"),
]  # fmt: skip
PINGS = [
    Case("a ping", "127.0.0.1", {"prober": "icmp", "timeout": "5s"}, ok=True),
    Case("a ping of a name", "localhost", {"prober": "icmp", "icmp": {"ttl": 9}}, ok=True),
    Case("a ping over IPv6", "::1", {"prober": "icmp", "timeout": "5s"}, ok=True),
    Case("a large ping", "127.0.0.1", {"prober": "icmp", "icmp": {"payload_size": 1400}}, ok=True),
    Case("a ping of another family", "::1", ok=False, module={
        "prober": "icmp", "icmp": {"preferred_ip_protocol": "ip4", "ip_protocol_fallback": False}}),
]  # fmt: skip
# 0.23 tells TLS of every gRPC server, as 0 where there was none; 0.28 and we do not.
NO_TLS = frozenset({"probe_ssl_earliest_cert_expiry"})


def grpc(name: str, ok: bool, /, apart: frozenset[str] = NO_TLS, **options: Any) -> Case:
    target = options.pop("target", "127.0.0.1:{grpc}")
    module = {"prober": "grpc", "timeout": "5s", "grpc": options}
    return Case(name, target, module, ok=ok, apart=apart)


SERVICES = [
    grpc("a gRPC server", True),
    grpc("a gRPC service", True, service="good"),
    grpc("a gRPC service that does not serve", False, service="bad"),
    grpc("a gRPC service that does not exist", False, service="none"),
    grpc("no gRPC server", False, target="127.0.0.1:1"),
    grpc("gRPC over TLS", True, frozenset(), tls=True, tls_config=CA,
         target="localhost:{grpc_tls}"),
    grpc("gRPC over TLS with another name", False, tls=True,
         tls_config={**CA, "server_name": "other.example"}, target="localhost:{grpc_tls}"),
]  # fmt: skip
GOOD = {"prober": "http", "timeout": "5s"}
REQUESTS_REFUSED = [
    Case("an unknown module", "x", GOOD, query={"module": "nowhere"}, status=400),
    Case("no target", "", GOOD, status=400),
    Case("an unknown prober", "x", {"prober": "telepathy"}, status=400),
    Case("a timeout that is no number", "x", GOOD, scrape="soon", status=500),
    Case("hostname against Host", "x", {**GOOD, "http": {"headers": {"Host": "a"}}},
         query={"hostname": "b"}, status=400),
]  # fmt: skip

CASES = [
    *STATUSES, *REQUESTS, *PATTERNS, *REDIRECTS, *BODIES, *TIMES, *FAMILIES, *TLS, *DIALOGUES,
    *NAMES, *PINGS, *SERVICES, *REQUESTS_REFUSED,
]  # fmt: skip
