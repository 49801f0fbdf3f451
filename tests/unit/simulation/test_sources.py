"""Histories from files and from Prometheus, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from cbmon.simulation import HistoryError, Sample, from_file, from_prometheus


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_is_read_in_the_order_of_time(tmp_path: Path) -> None:
    text = "time,ok,seconds\n20,0,\n10,1,0.25\n2026-01-02T03:04:05Z,up,1\n"
    assert from_file(written(tmp_path, "a.csv", text)) == [
        Sample(10.0, ok=True, seconds=0.25),
        Sample(20.0, ok=False),
        Sample(1767323045.0, ok=True, seconds=1.0),
    ]


def test_objects_are_read_line_by_line(tmp_path: Path) -> None:
    text = '{"at": 1, "ok": true, "seconds": 0.5}\n\n{"at": 2, "ok": false}\n'
    assert from_file(written(tmp_path, "a.jsonl", text)) == [
        Sample(1.0, ok=True, seconds=0.5),
        Sample(2.0, ok=False),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "1,1\nx\n", r"a\.csv:2: 1 columns, expected time,ok"),
        ("a.csv", "1,maybe\n", r"a\.csv:1: ok: 'maybe' is not allowed"),
        ("a.csv", "nan,1\n", r"a\.csv:1: "),
        ("a.csv", "2026-01-02T03:04:05,1\n", r"a\.csv:1: time '2026.*' has no zone"),
        ("a.csv", "1,1,slow\n", r"a\.csv:1: .*'slow'"),
        ("a.jsonl", '{"at": 1}\n', r"a\.jsonl:1: expected an object such as"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: expected an object"),
        ("a.jsonl", '{"at": [], "ok": 1}\n', r"a\.jsonl:1: "),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        from_file(written(tmp_path, name, text))


@given(text=st.text(max_size=200), kind=st.sampled_from(["csv", "jsonl"]))
def test_whatever_is_in_a_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, text: str, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz.{kind}"
    path.write_text(text, encoding="utf-8", errors="replace")
    try:
        found = from_file(path)
    except HistoryError as error:
        said = str(error)
    else:
        said = f"fuzz.{kind}:"
        assert all(isinstance(sample, Sample) for sample in found)
    assert f"fuzz.{kind}:" in said


async def asked(answers: Any, **times: float) -> tuple[list[Sample], list[dict[str, str]]]:
    forms: list[dict[str, str]] = []

    async def handle(request: web.Request) -> web.Response:
        forms.append({key: str(value) for key, value in (await request.post()).items()})
        return web.json_response(answers(forms[-1]))

    app = web.Application()
    app.router.add_post("/api/v1/query_range", handle)
    async with TestServer(app) as server:
        found = await from_prometheus(
            str(server.make_url("/")), "up", **{"begin": 0.0, "end": 20.0, "step": 10.0, **times},
            durations="took",
        )  # fmt: skip
    return found, forms


def series(*values: float) -> dict[str, Any]:
    points = [[10.0 * index, str(value)] for index, value in enumerate(values)]
    result = [{"metric": {}, "values": points}] if points else []
    return {"status": "success", "data": {"result": result}}


async def test_a_prometheus_is_asked_for_results_and_durations() -> None:
    found, _ = await asked(lambda form: series(1, 0) if form["query"] == "up" else series(0.5))
    assert found == [Sample(0.0, ok=True, seconds=0.5), Sample(10.0, ok=False)]


async def test_a_long_time_is_asked_for_in_parts() -> None:
    _, forms = await asked(lambda _: series(), end=250_000.0)
    starts = [float(form["start"]) for form in forms if form["query"] == "up"]
    assert starts == [0.0, 100_010.0, 200_020.0]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"status": "error", "error": "parse error"}, "refused up: parse error"),
        ({"status": "success", "data": {"result": [{}, {}]}}, "gives 2 series, expected one"),
        ({"status": "success"}, "gives no range of numbers"),
        ({"status": "error"}, "refused up: it does not say why"),
        ([], "answered 200 with something else, expected JSON; is this a Prometheus"),
    ],
)
async def test_an_answer_that_is_none_is_told(answer: Any, message: str) -> None:
    with pytest.raises(HistoryError, match=message):
        await asked(lambda _: answer)


@pytest.mark.parametrize(("body", "got"), [("", "nothing"), ("<html>", "something else")])
async def test_a_server_that_is_no_prometheus_is_told(body: str, got: str) -> None:
    async def other(_: web.Request) -> web.Response:
        return web.Response(text=body, status=502)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", other)
    async with TestServer(app) as server:
        with pytest.raises(HistoryError, match=f"answered 502 with {got}, expected JSON"):
            await from_prometheus(str(server.make_url("/")), "up", begin=0, end=1, step=1)


def test_a_file_that_is_no_csv_is_told(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("1,1\n2," + "1" * 200_000)
    with pytest.raises(HistoryError, match=rf"{path}:2: field larger"):
        from_file(path)


async def test_a_server_that_is_not_there_is_told() -> None:
    with pytest.raises(HistoryError, match=r"http://127\.0\.0\.1:9"):
        await from_prometheus("http://127.0.0.1:9", "up", begin=0.0, end=1.0, step=1.0)
    with pytest.raises(HistoryError, match="expected http://"):
        await from_prometheus("localhost:9090", "up", begin=0.0, end=1.0, step=1.0)
