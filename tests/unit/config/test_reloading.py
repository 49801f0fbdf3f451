"""Loading the same configuration again after it was edited.

Rule: a load gives what a load from nothing would: the same configuration, or the same problems at
the same places. What was not edited is only quicker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from cbmon.config import Config, ConfigError, ConfigTypes, load_config
from cbmon.config.load import Loader

HEAD = "global: {labels: {site: x}}\ndefaults: {interval: 20s}\nchecks:  # what is watched\n"
TAIL = (
    "notifications:\n  receivers:\n"
    '  - {name: r, webhook: {url: "https://r.example.net/"}}\n'
    "exports:\n  - {name: file, textfile: {path: e.prom}}\n"
)
BLOCK = "  - name: {0}\n    http:\n      url: https://{0}.example.net/\n    tags: [shop]\n"
FLOW = "  - {{name: {0}, tcp: {{address: '{0}:5432'}}}}\n"
NAMES = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
USUAL = [(BLOCK, FLOW)[number % 2].format(name) for number, name in enumerate(NAMES)]

Again = Callable[[str | bytes], Config]


@pytest.fixture
def again(
    tmp_path: Path, types: ConfigTypes, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Again:
    """Write a text as cbmon.yml and load it with the same loader each time."""
    monkeypatch.chdir(tmp_path)
    loader = Loader(Path("cbmon.yml"), types=types, environ=environ)

    def loaded(text: str | bytes) -> Config:
        Path("cbmon.yml").write_bytes(text.encode() if isinstance(text, str) else text)
        return loader.load()

    return loaded


def whole(checks: Sequence[str], head: str = HEAD, tail: str = TAIL) -> str:
    return head + "".join(checks) + tail


def fresh(before: Config, after: Config) -> list[str]:
    """Names of the checks that were made anew."""
    known = {id(check) for check in before.checks}
    return [check.name for check in after.checks if id(check) not in known]


def edited(place: int, text: str) -> list[str]:
    return [*USUAL[:place], text, *USUAL[place + 1 :]]


# --- what is quicker ---------------------------------------------------------------------------


@pytest.mark.parametrize("tail", [TAIL, ""])
@pytest.mark.parametrize("place", range(len(USUAL)))
def test_only_what_stands_around_an_edit_is_made_anew(again: Again, place: int, tail: str) -> None:
    before = again(whole(USUAL, tail=tail))
    after = again(whole(edited(place, "  - {name: new, tcp: {address: 'x:1'}}\n"), tail=tail))

    assert set(fresh(before, after)) <= {"alpha", "new", *NAMES[place + 1 : place + 2]}
    assert [one.name for one in after.checks] == [*NAMES[:place], "new", *NAMES[place + 1 :]]


def test_checks_that_came_went_and_moved_are_all_in_their_places(again: Again) -> None:
    before = again(whole(USUAL))
    order = [5, 1, 0, 4]
    after = again(whole([*(USUAL[place] for place in order), FLOW.format("eta")]))

    assert [one.name for one in after.checks] == [*(NAMES[place] for place in order), "eta"]
    assert set(fresh(before, after)) == {"zeta", "eta"}


FLUSH = """\
checks:
- name: {0}
  tcp:
    address: {0}:1
- name: {1}
  tcp: {{address: '{1}:1'}}
- name: other
  tcp: {{address: 'o:1'}}
"""
INDENTED = """\
x-a: 1
checks:

   # two
  - {{name: {0}, tcp: {{address: '{0}:1'}}}}
  - {{name: {1}, tcp: {{address: '{1}:1'}}}}
  - {{name: o, tcp: {{address: 'o:1'}}}}"""


@pytest.mark.parametrize("layout", [FLUSH, INDENTED.replace("\n", "\r\n")])
def test_other_layouts_are_known_again_too(again: Again, layout: str) -> None:
    before = again(layout.format("one", "two"))
    after = again(layout.format("three", "two"))

    assert len(fresh(before, after)) == 2
    assert before.checks[2] is after.checks[2]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{interval: 20s}", "{interval: 30s}"),
        ("checks:", "templates: {mine: {base: lenient}}\nchecks:"),
        ("site: x}}", "site: x}, exec_allow: [/bin/true]}"),
    ],
)
def test_what_all_checks_are_made_from_makes_all_of_them_anew(
    again: Again, old: str, new: str
) -> None:
    before = again(whole(USUAL))
    after = again(whole(USUAL).replace(old, new))

    assert fresh(before, after) == NAMES


def test_what_checks_are_not_made_from_leaves_them(again: Again) -> None:
    before = again(whole(USUAL))
    after = again(whole(USUAL).replace("e.prom", "f.prom"))

    assert fresh(before, after) == ["alpha"]
    assert before.exports != after.exports


def test_the_digest_is_that_of_a_load_from_nothing(
    again: Again, types: ConfigTypes, environ: dict[str, str]
) -> None:
    first = again(whole(USUAL)).hash
    second = again(whole(edited(3, FLOW.format("new"))))
    anew = load_config(Path("cbmon.yml"), types=types, environ=environ)

    assert second.hash == anew.hash != first
    assert second == anew


def test_a_check_with_a_secret_file_is_looked_at_each_time(again: Again, tmp_path: Path) -> None:
    secret = "  - {name: s, http: {url: 'https://s/', username: u, password_file: ./key}}\n"
    (tmp_path / "key").write_text("hunter2")
    (tmp_path / "key").chmod(0o600)
    text = whole([*USUAL, secret, FLOW.format("last")])

    assert again(text).warnings == ()
    (tmp_path / "key").unlink()
    (warning,) = again(text).warnings
    assert (warning.line, warning.path) == (
        text[: text.index("{name: s")].count("\n") + 1,
        "checks[6].http",
    )


def test_a_variable_that_changed_makes_all_checks_anew(tmp_path: Path, types: ConfigTypes) -> None:
    path, environ = tmp_path / "cbmon.yml", {"PORT": "1"}
    loader = Loader(path, types=types, environ=environ)
    checks = (FLOW.format(name).replace("5432", "${PORT}") for name in NAMES)
    path.write_text("checks:\n" + "".join(checks))
    before = loader.load()
    environ["OTHER"] = "of no interest"
    assert fresh(before, loader.load()) == ["alpha"]
    environ["PORT"] = "2"
    after = loader.load()

    assert before.checks[2].options != after.checks[2].options
    assert fresh(before, after) == NAMES


def test_a_variable_is_remembered_over_loads_that_do_not_ask_for_it(
    tmp_path: Path, types: ConfigTypes
) -> None:
    path, environ = tmp_path / "cbmon.yml", {"PORT": "1"}
    loader = Loader(path, types=types, environ=environ)
    path.write_text(
        "checks:\n" + "".join([*USUAL[:3], FLOW.format("v").replace("5432", "${PORT}")])
    )
    before = [loader.load() for _ in range(3)][-1]
    environ["PORT"] = "2"

    assert before.checks[3].options != loader.load().checks[3].options


def test_included_files_are_known_one_by_one(again: Again) -> None:
    Path("more.yml").write_text("checks:\n" + "".join(USUAL[3:]))
    text = whole(USUAL[:3]) + "include: ['*ore.yml']\n"
    before = again(text)
    Path("more.yml").write_text("checks:\n" + "".join(USUAL[3:5]) + FLOW.format("new"))
    after = again(text)

    assert set(fresh(before, after)) == {"alpha", "delta", "new"}
    assert [one.name for one in after.checks] == [*NAMES[:5], "new"]


def test_a_text_means_something_else_in_another_directory(again: Again) -> None:
    files = [Path("one/a.yml"), Path("two/b.yml")]
    secret = "checks:\n" + FLOW.format("x") + FLOW.format("y") + FLOW.format("z")
    for path in files:
        path.parent.mkdir()
    files[0].write_text(secret)
    files[1].write_text("checks: []\n")
    before = again("include: ['*/*.yml']\n")
    files[0].write_text("checks: []\n")
    files[1].write_text(secret)

    assert fresh(before, again("include: ['*/*.yml']\n")) == ["x", "y", "z"]


def test_one_change_among_ten_thousand_costs_a_tenth_of_a_second_of_work(again: Again) -> None:
    lines = [FLOW.format(f"check-{number:05d}") for number in range(10_000)]
    again(whole(lines)).hash  # noqa: B018 - as the daemon does
    lines[5000] = lines[5000].replace("5432", "5433")
    begun = time.process_time()
    config = again(whole(lines))
    assert len(config.hash) == 12
    spent = time.process_time() - begun

    assert len(config.checks) == 10_000
    assert spent < 0.15


# --- what is the same --------------------------------------------------------------------------

ODD = [
    *USUAL,
    BLOCK.format("eta"),
    FLOW.format("eta"),
    FLOW.format("'eta").replace("'eta", "eta", 1),
    "  - {name: eta, tcp: {address: 'h:1'}, depends_on: [alpha]}\n",
    "  - {name: alpha, tcp: {address: 'h:1'}, depends_on: [eta]}\n",
    "  - {name: beta, tcp: {address: 'h:1'}, receivers: [r]}\n",
    "  - {name: beta, tcp: {address: 'h:1'}, receivers: [nobody]}\n",
    '  - name: "open\n',
    "  - name: 'open\n",
    '    text: end" }\n',
    "  - {name: open, tcp: {address: 'h:1'},\n",
    "  - }\n",
    "  - name: block\n    http: {url: https://b/}\n    group: |+\n      text\n\n\n",
    "  - name: block\n    http: {url: https://b/}\n    group: >\n      - a\n  # not text\n",
    "  - name: said\n    tcp: {address: 'h:1'}\n    group: 'two\n  - {name: x}'\n",
    "  - &a {name: tied, tcp: {address: 'h:1'}}\n",
    "  - {<<: *a, name: other}\n",
    "  - {<<: *shared, name: other}\n",
    "  - *a\n",
    "  -\n    name: below\n    tcp: {address: 'h:1'}\n",
    "  - # comment\n    name: below\n    tcp: {address: 'h:1'}\n",
    "  - - nested\n",
    "  -\tname: tab\n",
    "  - \n",
    "  -\n",
    "  - text\n",
    "- {name: flush, tcp: {address: 'h:1'}}\n",
    "    - {name: deep, tcp: {address: 'h:1'}}\n",
    "   - {name: askew, tcp: {address: 'h:1'}}\n",
    "# a comment\n",
    "\n",
    "---\n",
    "...\n",
    "checks:\n",
    "checks: []\n",
    "x-more: {}\n",
    "x-more: &shared {tcp: {address: 'h:1'}}\n",
    "x-more: |\n  checks:\n",
    "defaults: {interval: 30s}\n",
    "alerting: {slos: [{name: s, objective: 99.9%, checks: [alpha], tags: [shop]}]}\n",
    "  - {name: eta, http: {url: ftp://no/}}\n",
    "  - {name: eta, http: {url: 'https://${TOKEN}/'}}\n",
    "  - {name: eta, http: {url: 'https://${NONE}/'}}\n",
    "  - {name: \u2028, tcp: {address: 'h:1'}}\n",
    "  - {name: eta,\u2028 tcp: {address: 'h:1'}}\n",
    "  - {name: eta, tcp: {address: 'h:1'}} # \x85 next line\n",
    "  - {name: eta, tcp: {address: 'h:1'}}\r",
    "  - {name: eta, tcp: {address: 'h:1'}, group: ~, enabled: no}\n",
    "%TAG ! !\n",
]
OPEN = "  - {name: said, tcp: {address: 'h:1'}, group: \"two\n"
BREAK = "  - {name: eta, tcp: {address: 'h:1'}} # \u2028\n"
NO_FILE = "  - {name: s, http: {url: 'https://s/', username: u, password_file: ./no}}\n"
PARTS = st.sampled_from(ODD) | st.sampled_from(USUAL)
FRAMES = st.sampled_from(
    [
        (HEAD, TAIL),
        (HEAD, ""),
        (TAIL + HEAD, ""),
        ("checks:\n", TAIL),
        ("x-a: &shared {tcp: {address: 'h:1'}}\n" + HEAD, TAIL),
        ("x-a: 'open\n" + HEAD, "end: of'\n" + TAIL),
        (HEAD, 'x-note: "\n'),
        (HEAD, "# don't say \"hello\n"),
        ("checks: # one\n# two\n\n", "...\n"),
        ("---\n" + HEAD, TAIL),
        (HEAD.replace("checks:", "  checks:"), TAIL),
        (HEAD.replace("checks:", '"checks":'), TAIL),
    ]
)


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """Texts of a file, each an edit or two away from the one before."""
    frame, checks = draw(FRAMES), draw(st.lists(PARTS, max_size=6))
    checks = draw(st.sampled_from([USUAL, checks]))
    found = [whole(checks, *frame)]
    for _ in range(draw(st.integers(1, 4))):
        checks = list(checks)
        for _ in range(draw(st.integers(1, 2))):
            place = draw(st.integers(0, len(checks)))
            checks[place : place + draw(st.integers(0, 1))] = draw(st.lists(PARTS, max_size=2))
        if draw(st.booleans()):
            frame = draw(FRAMES)
        found.append(whole(checks, *frame))
    return found


def outcome(load: Callable[[], Any]) -> tuple[Any, ...]:
    try:
        found = load()
    except ConfigError as error:
        return (str(error),)
    return found, found.hash, found.warnings, found.exposed, [one.name for one in found.checks]


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(histories())
@example([whole([*USUAL, OPEN, 'foo"}\n']), whole([*USUAL, OPEN], tail="")])
@example(
    [
        whole(
            edited(3, "  - {<<: *shared, name: other}\n"),
            "x-a: &shared {tcp: {address: 'h:1'}}\n" + HEAD,
        ),
        whole(
            edited(3, "  - {<<: *shared, name: other}\n"),
            "x-a: &shared {tcp: {address: 'h:2'}}\n" + HEAD,
        ),
    ]
)
@example([whole([*USUAL, BREAK], tail=""), whole([*USUAL[:2], BREAK, USUAL[3], NO_FILE], tail="")])
@example([whole(USUAL), whole(edited(2, '  - name: "abc\n'), tail='x-note: "\n')])
@example([whole(USUAL), whole(USUAL, tail='foo"\n' + TAIL)])
@example([whole(USUAL), whole([*USUAL, "---\n", *USUAL])])
def test_a_load_after_an_edit_is_what_a_load_from_nothing_is(
    tmp_path: Path, types: ConfigTypes, environ: dict[str, str], texts: list[str]
) -> None:
    path = tmp_path / "cbmon.yml"
    loader = Loader(path, types=types, environ=environ)
    for text in texts:
        path.write_bytes(text.encode())
        expected = outcome(lambda: load_config(path, types=types, environ=environ))
        assert outcome(loader.load) == expected
