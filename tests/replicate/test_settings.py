"""Settings: what is refused, and where they are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from muse.core.op_log import InvalidArgumentError
from muse.replicate import Settings, read_settings
from muse.replicate.settings import split_urls


def test_settings_that_can_not_be_right_are_refused(tmp_path: Path) -> None:
    """The error names the setting."""
    for given_, name in (
        ({}, "url"),
        ({"url": "http://x"}, "url"),
        ({"url": "nats://x", "space": "a b"}, "space"),
        ({"url": "nats://x", "replicas": 7}, "replicas"),
        ({"url": "nats://x", "tls_cert": "f"}, "tls_key"),
    ):
        with pytest.raises(InvalidArgumentError, match=name):
            read_settings(tmp_path, given_, {})
    assert read_settings(tmp_path, {"url": "a, tls://b:1"}, {}) == Settings(("nats://a", "tls://b:1"))
    assert read_settings(tmp_path, {}, {"MUSE_NATS_URL": "a", "MUSE_NATS_REPLICAS": "3"}).replicas == 3


def test_a_file_is_found_again_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program may have gone elsewhere when its process that replicates is started again."""
    monkeypatch.chdir(tmp_path)
    settings = Settings(("nats://h",), creds="a", tls_ca="b", tls_cert="c", tls_key="d")
    found = [settings.creds, settings.tls_ca, settings.tls_cert, settings.tls_key]
    assert found == [str(tmp_path / name) for name in "abcd"]


@pytest.mark.parametrize("url", ["nats://ada:s3cr,et@h", "ada:s3cr/et", "nats://ada:s3cr#et@h"])
def test_no_part_of_a_password_is_told(url: str) -> None:
    """Neither by the error about a URL that has a character in it that must be encoded, nor by `repr`."""
    with pytest.raises(InvalidArgumentError, match="url") as raised:
        Settings(split_urls(url))
    assert "s3cr" not in str(raised.value)
    assert "s3cr" not in repr(Settings(("nats://ada:s3cret@h",), password="s3cret"))


@pytest.mark.parametrize("space", ["", "a.b", "a b", "*", "é", "x" * 65])
def test_a_space_that_can_not_be_in_a_subject_is_refused(space: str) -> None:
    """It says which letters may."""
    with pytest.raises(InvalidArgumentError, match="space"):
        Settings(("nats://h",), space=space)
