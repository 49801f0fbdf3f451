"""Web-config files that are taken and that are refused, and what is said of those.

Written from the documentation of exporter-toolkit; the contract tests ask promtool about them.
"""

from __future__ import annotations

HASH = "$2y$04$" + "a" * 53
TLS = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n"
CA = "  client_ca_file: ca.crt\n"

GOOD = {
    "nothing": "",
    "a comment": "# nothing yet\n",
    "empty sections": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
    "an empty mapping": "{}\n",
    "TLS": TLS,
    "TLS with empty alternatives": TLS + '  cert: ""\n  key: ""\n  client_ca: ""\n',
    "no client certificate": TLS + "  client_auth_type: NoClientCert\n",
    "an empty policy": TLS + '  client_auth_type: ""\n',
    "asked for": TLS + "  client_auth_type: RequestClientCert\n",
    "any": TLS + "  client_auth_type: RequireAnyClientCert\n",
    "any by its old name": TLS + "  client_auth_type: RequireClientCert\n",
    "verified if given": TLS + CA + "  client_auth_type: VerifyClientCertIfGiven\n",
    "verified": TLS + CA + "  client_auth_type: RequireAndVerifyClientCert\n",
    "asked for, with authorities": TLS + CA + "  client_auth_type: RequestClientCert\n",
    "names of clients": TLS
    + CA
    + "  client_auth_type: RequireAndVerifyClientCert\n"
    + "  client_allowed_sans: [a.example, 10.0.0.1]\n",
    "names of any client": TLS
    + "  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a.example]\n",
    "versions": TLS + "  min_version: TLS10\n  max_version: TLS12\n",
    "one version": TLS + "  min_version: TLS13\n  max_version: TLS13\n",
    "names of clients left out": TLS + "  client_allowed_sans:\n",
    "ciphers": TLS
    + "  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256]\n",
    "ciphers of TLS 1.3 only": TLS
    + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  min_version: TLS13\n",
    "ciphers without HTTP/2": TLS
    + "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\nhttp_server_config: {http2: false}\n",
    "the client's order": TLS + "  prefer_server_cipher_suites: false\n",
    "a flag in YAML 1.1": TLS + "  prefer_server_cipher_suites: no\n",
    "one curve": TLS + "  curve_preferences: [CurveP521]\n",
    "every curve": TLS + "  curve_preferences: [X25519, CurveP256, CurveP384, CurveP521]\n",
    "a version without a certificate": "tls_server_config: {min_version: TLS13}\n",
    "headers": "http_server_config:\n  headers:\n    Content-Security-Policy: default-src 'self'\n"
    "    X-Frame-Options: deny\n    X-Content-Type-Options: nosniff\n"
    "    X-XSS-Protection: 1; mode=block\n    Strict-Transport-Security: max-age=31536000\n",
    "a blank header": 'http_server_config: {headers: {Content-Security-Policy: ""}}\n',
    "users": f"basic_auth_users:\n  alice: {HASH}\n  'bob smith': {HASH}\n  123: {HASH}\n",
    "a hash of any minor version": f"basic_auth_users: {{a: $2a{HASH[3:]}, b: $2b{HASH[3:]}}}\n",
    "a rate": "rate_limit: {interval: 1s, burst: 20}\n",
    "no rate": "rate_limit: {interval: 0, burst: 20}\n",
    "a rate in Go's words": "rate_limit: {interval: 1m0.5s, burst: 1}\n",
}

BAD = {
    "no mapping": ("- a\n", "1:1: expected a mapping"),
    "no YAML": ("tls_server_config: [\n", "2:1: "),
    "junk": ("hahahahahahaha\n", "1:1: expected a mapping"),
    "an unknown section": (
        "tls_sever_config: {}\n",
        '1:1: unknown key "tls_sever_config"; did you mean "tls_server_config"?',
    ),
    "an unknown option": (
        TLS + "  client_ca_fiel: x\n",
        '4:3: tls_server_config: unknown key "client_ca_fiel"; did you mean "client_ca_file"?',
    ),
    "a key twice": (TLS + "  cert_file: server.crt\n", "4:3: "),
    "a section that is no mapping": ("tls_server_config: yes\n", "1:20: tls_server_config: "),
    "no certificate": (
        "tls_server_config: {key_file: server.key}\n",
        "1:20: tls_server_config: one of cert, cert_file is missing",
    ),
    "an empty certificate": (
        'tls_server_config: {cert_file: "", key_file: server.key}\n',
        "1:20: tls_server_config: one of cert, cert_file is missing",
    ),
    "no key": (
        "tls_server_config: {cert_file: server.crt}\n",
        "1:20: tls_server_config: one of key, key_file is missing",
    ),
    "only a policy": (
        "tls_server_config: {client_auth_type: RequireAnyClientCert}\n",
        "1:20: tls_server_config: one of cert, cert_file is missing",
    ),
    "a certificate that is not there": (
        "tls_server_config:\n  cert_file: missing.crt\n  key_file: server.key\n",
        "2:14: tls_server_config.cert_file: cannot read ",
    ),
    "a key that is not there": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: missing.key\n",
        "3:13: tls_server_config.key_file: cannot read ",
    ),
    "a folder for a certificate": (
        "tls_server_config:\n  cert_file: .\n  key_file: server.key\n",
        "2:14: tls_server_config.cert_file: cannot read ",
    ),
    "a note for a certificate": (
        "tls_server_config:\n  cert_file: note.txt\n  key_file: server.key\n",
        "2:14: tls_server_config.cert_file: expected a certificate in PEM",
    ),
    "a certificate for a key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: ca.crt\n",
        "3:13: tls_server_config.key_file: expected a private key in PEM",
    ),
    "another's key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: other.key\n",
        "3:13: tls_server_config.key_file: the key does not belong to the certificate",
    ),
    "an encrypted key": (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: locked.key\n",
        "3:13: tls_server_config.key_file: the key is encrypted",
    ),
    "an unknown policy": (
        TLS + "  client_auth_type: RequireVerifiedCert\n",
        "4:21: tls_server_config.client_auth_type: unknown client_auth_type",
    ),
    "authorities without a policy": (
        TLS + CA,
        "4:19: tls_server_config.client_ca_file: authorities of clients without a policy",
    ),
    "authorities that are not there": (
        TLS + "  client_ca_file: missing.crt\n  client_auth_type: RequireAndVerifyClientCert\n",
        "4:19: tls_server_config.client_ca_file: cannot read ",
    ),
    "authorities that are none": (
        TLS + "  client_ca_file: note.txt\n  client_auth_type: RequireAndVerifyClientCert\n",
        "4:19: tls_server_config.client_ca_file: expected certificates in PEM",
    ),
    "authorities in an empty file": (
        TLS + "  client_ca_file: empty.crt\n  client_auth_type: RequireAndVerifyClientCert\n",
        "4:19: tls_server_config.client_ca_file: expected certificates in PEM",
    ),
    "names of clients that need no certificate": (
        TLS + CA + "  client_auth_type: VerifyClientCertIfGiven\n  client_allowed_sans: [a]\n",
        "6:24: tls_server_config.client_allowed_sans: needs a client_auth_type that requires",
    ),
    "names of clients without a policy": (
        TLS + "  client_allowed_sans: [a]\n",
        "4:24: tls_server_config.client_allowed_sans: needs a client_auth_type that requires",
    ),
    "an unknown version": (
        TLS + "  min_version: TLS14\n",
        "4:16: tls_server_config.min_version: unknown TLS version",
    ),
    "a version of SSL": (
        TLS + "  min_version: SSL30\n",
        "4:16: tls_server_config.min_version: unknown TLS version",
    ),
    "versions the wrong way round": (
        TLS + "  min_version: TLS13\n  max_version: TLS12\n",
        "4:16: tls_server_config.min_version: is newer than max_version TLS12",
    ),
    "an invented cipher": (
        TLS + "  cipher_suites:\n  - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n  - TLS_RSA_ROT13\n",
        "6:5: tls_server_config.cipher_suites[1]: unknown cipher",
    ),
    "a cipher that Go calls insecure": (
        TLS + "  cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]\n",
        "4:19: tls_server_config.cipher_suites[0]: unknown cipher",
    ),
    "no cipher that HTTP/2 needs": (
        TLS + "  cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]\n  max_version: TLS12\n",
        "4:18: tls_server_config.cipher_suites: HTTP/2 needs ",
    ),
    "no cipher of the only version": (
        TLS + "  cipher_suites: [TLS_AES_128_GCM_SHA256]\n  max_version: TLS12\n"
        "http_server_config: {http2: false}\n",
        "4:18: tls_server_config.cipher_suites: none of them is a cipher of TLS12",
    ),
    "an invented curve": (
        TLS + "  curve_preferences: [CurveP257]\n",
        "4:23: tls_server_config.curve_preferences[0]: unknown curve",
    ),
    "a flag that is none": (
        TLS + "  prefer_server_cipher_suites: perhaps\n",
        "4:32: tls_server_config.prefer_server_cipher_suites: expected true or false",
    ),
    "a header of one's own": (
        "http_server_config:\n  headers:\n    X-Mine: yes\n",
        '3:13: http_server_config.headers.X-Mine: the header "X-Mine" cannot be configured',
    ),
    "a header in another case": (
        "http_server_config:\n  headers:\n    x-frame-options: deny\n",
        "3:22: http_server_config.headers.x-frame-options: ",
    ),
    "a frame option": (
        "http_server_config:\n  headers:\n    X-Frame-Options: DENY\n",
        "3:22: http_server_config.headers.X-Frame-Options: expected ",
    ),
    "a blank frame option": (
        'http_server_config:\n  headers:\n    X-Frame-Options: ""\n',
        "3:22: http_server_config.headers.X-Frame-Options: expected ",
    ),
    "a type option": (
        "http_server_config:\n  headers:\n    X-Content-Type-Options: sniff\n",
        "3:29: http_server_config.headers.X-Content-Type-Options: expected ",
    ),
    "a header of two lines": (
        'http_server_config:\n  headers:\n    X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"\n',
        "3:23: http_server_config.headers.X-XSS-Protection: expected one line",
    ),
    "a password in clear": (
        "basic_auth_users:\n  alice: $2y$hunter2\n",
        "2:10: basic_auth_users.alice: expected a bcrypt hash",
    ),
    "a cost that is too low": (
        f"basic_auth_users:\n  alice: $2y$03{HASH[6:]}\n",
        "2:10: basic_auth_users.alice: expected a bcrypt cost from 4 to 31, got 03",
    ),
    "a cost that is too high": (
        f"basic_auth_users:\n  alice: $2y$32{HASH[6:]}\n",
        "2:10: basic_auth_users.alice: expected a bcrypt cost from 4 to 31, got 32",
    ),
    "another kind of hash": (
        f"basic_auth_users:\n  alice: $6$rounds$ {HASH}\n",
        "2:10: basic_auth_users.alice: expected a bcrypt hash",
    ),
    "a newer bcrypt": (
        f"basic_auth_users:\n  alice: $3y{HASH[3:]}\n",
        "2:10: basic_auth_users.alice: expected a bcrypt hash",
    ),
    "users in a list": (
        "basic_auth_users: [alice]\n",
        "1:19: basic_auth_users: expected a mapping",
    ),
    "an interval that is none": (
        "rate_limit: {interval: soon, burst: 1}\n",
        "1:24: rate_limit.interval: expected a duration",
    ),
    "a burst that is none": (
        "rate_limit: {interval: 1s, burst: some}\n",
        "1:35: rate_limit.burst: expected a whole number",
    ),
}
