"""Secrets stay secret, and files are read when they are used.

Rule: nothing but reveal() gives the text.
"""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

from cbmon.config import ConfigError
from cbmon.config.digest import as_json
from cbmon.config.fields import Secret, SecretError, SecretFile, secret_from

CANARY = "hunter2"
EVERYWHERE = """
storage: {url: "postgresql://cbmon:${TOKEN}@db/cbmon"}
web: {tokens: [{name: ci, token: "${TOKEN}"}]}
checks:
  - {name: a, http: {url: https://a.example.net/, password: "p-${TOKEN}"}}
  - {name: b, redis: {dsn: "redis://:hunter2@b/0"}}
notifications:
  receivers: [{name: hook, webhook: {url: "https://h.example.net/${TOKEN}", secret: hunter2}}]
"""


def test_a_secret_does_not_show_wherever_the_configuration_is_printed(
    load: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = load(EVERYWHERE)
    logging.getLogger("test").warning("loaded %s", config)
    texts = [repr(config), str(config), f"{config.checks[0].options}", caplog.text, config.hash]
    texts += [json.dumps(as_json(config)), config.checks[0].options.model_dump_json()]
    texts += [str(one.options.model_dump()) for one in config.checks]

    assert not [text for text in texts if CANARY in text]
    assert "<secret>" in texts[0]
    assert config.storage.url == "postgresql://cbmon:hunter2@db/cbmon"
    assert config.checks[0].options.password.reveal() == "p-hunter2"


def test_a_secret_does_not_show_in_the_traceback_of_a_refused_configuration(load: Any) -> None:
    bad = EVERYWHERE.replace("https://h.example.net/", "h.example.net/").replace(
        "name: a", "nam: a"
    )
    try:
        load(bad)
    except ConfigError as error:
        text = "".join(traceback.format_exception(error))
    assert "(not shown: a secret)" in text
    assert CANARY not in text


def test_secrets_are_equal_by_their_text() -> None:
    assert Secret("a") == Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("ä") == Secret("ä")
    assert (repr(Secret("a")), str(Secret("a")), f"{Secret('a')}") == ("<secret>",) * 3


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="secret"):
        pickle.dumps(Secret("a"))


@pytest.mark.parametrize(
    ("text", "content"),
    [("x", "x\n"), ("x", "x"), ("x", "x\r\n"), ("x\n", "x\n\n"), (" x ", " x ")],
)
def test_one_trailing_line_break_of_a_file_is_not_part_of_the_secret(
    tmp_path: Path, text: str, content: str
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content.encode())

    assert SecretFile(path).read().reveal() == text


def test_a_file_is_read_again_at_each_use(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    file = SecretFile(path)
    for text in ("old", "new"):
        path.write_text(text)
        found = secret_from(None, file)
        assert found is not None
        assert found.reveal() == text
    assert secret_from(Secret("given"), None) == Secret("given")
    assert secret_from(None, None) is None


@pytest.mark.parametrize(
    ("message", "content"),
    [
        ("is empty", b"\n"),
        ("is not UTF-8", b"\xff"),
        ("larger than 64 KiB", b"x" * 70_000),
        ("NUL", b"a\0b"),
    ],
)
def test_a_file_that_holds_no_secret_is_refused_by_name(
    tmp_path: Path, message: str, content: bytes
) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)

    with pytest.raises(SecretError, match=message) as caught:
        SecretFile(path).read()
    assert str(path) in str(caught.value)


def test_a_file_that_is_missing_is_refused_by_name_when_it_is_used(tmp_path: Path) -> None:
    with pytest.raises(SecretError, match=r"cannot read secret file .*/none: No such file"):
        SecretFile(tmp_path / "none").read()


def test_the_storage_url_may_stand_in_a_file(load: Any, tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://db/cbmon\n")

    assert load("storage: {url_file: url}").storage.url == "postgresql://db/cbmon"


def test_a_secret_file_that_everybody_can_read_is_a_warning(load: Any, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("x")
    text = "web: {tokens: [{name: a, token_file: token}, {name: b, token_file: token}]}"
    path.chmod(0o644)
    (open_to_all,) = load(text).warnings
    path.chmod(0o640)

    assert str(open_to_all).endswith("/token can be read by everybody; chmod o-r")
    assert load(text).warnings == ()
