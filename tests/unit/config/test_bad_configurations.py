"""Each bad configuration beside the exact lines that a person gets to read.

Rule: a message is part of the product; changing one means changing its golden file.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cbmon.config import ConfigError, ConfigTypes, load_config

BAD = Path(__file__).parent / "bad"
CASES = sorted(path.name for path in BAD.glob("*.yml"))


@pytest.mark.parametrize("name", CASES)
def test_a_bad_configuration_is_refused_with_every_problem(
    name: str, types: ConfigTypes, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(BAD)
    expected = Path(name).with_suffix(".txt").read_text().rstrip("\n")

    with pytest.raises(ConfigError) as caught:
        load_config(Path(name), types=types, environ=environ)

    assert expected == str(caught.value)


def test_there_are_enough_bad_configurations_and_none_is_told_a_secret() -> None:
    texts = [path.read_text() for path in BAD.glob("*.txt")]

    assert len(CASES) == len(texts) >= 60
    assert not any("hunter2" in text for text in texts)


def test_problems_beyond_two_hundred_are_only_counted(load, refuse) -> None:  # type: ignore[no-untyped-def]
    lines = refuse("\n".join(f"key{number}: 1" for number in range(250))).splitlines()

    assert len(lines) == 201
    assert lines[-1] == "… and 50 more problems"


def test_a_file_that_is_not_there_is_told_with_its_name(types: ConfigTypes, tmp_path: Path) -> None:
    missing = tmp_path / "cbmon.yml"

    with pytest.raises(ConfigError, match="No such file or directory"):
        load_config(missing, types=types, environ={})
    with pytest.raises(ConfigError, match="Is a directory"):
        load_config(tmp_path, types=types, environ={})
