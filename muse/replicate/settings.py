"""Where a session is replicated, and as whom: from arguments, the environment and `.muse/replicate.toml`."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from muse.core.op_log import InvalidArgumentError

DEFAULT_SPACE = "muse"
FILE_NAME = "replicate.toml"
_NAMES = ("url", "space", "creds", "tls_ca", "tls_cert", "tls_key", "user", "password", "inbox", "replicas", "name")
_PREFIX = "MUSE_NATS_"


@dataclass(frozen=True)
class Settings:
    """One space of one server or cluster."""

    urls: tuple[str, ...] = field(repr=False)
    """Servers to try, such as "nats://host:4222" or "tls://host:4222".

    A user and password, or a token, may stand before the host, percent-encoded: "nats://ada:p%40ss@host".
    """
    space: str = DEFAULT_SPACE
    """Sessions of one space are in one stream; whoever may read one may read all."""
    creds: str | None = None
    """A NATS credentials file."""
    tls_ca: str | None = None
    """The certificate of who signed the server's."""
    tls_cert: str | None = None
    """This client's certificate."""
    tls_key: str | None = None
    """The key of that certificate, without a passphrase."""
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    inbox: str = "_INBOX"
    """What this client's own subjects begin with, where the server allows no other."""
    replicas: int | None = None
    """On how many nodes the stream is kept, if it has to be made; None: three if there are three, else one."""
    name: str | None = None
    """What this replica is called when it commits; None: host and folder."""

    def __post_init__(self) -> None:
        """Refuse what can't be right."""
        if not re.fullmatch("[A-Za-z0-9_-]{1,64}", self.space):
            raise InvalidArgumentError(f"space: must be 1 to 64 letters, digits, '_' and '-', not {self.space!r}")
        if not self.urls:
            raise InvalidArgumentError("url: name a server, such as nats://localhost:4222")
        for number, url in enumerate(self.urls, start=1):
            if not _is_url(url):
                # It is not shown, as it may be a part of one with a password.
                raise InvalidArgumentError(
                    f"url: number {number} must be like nats://host:4222 or tls://host:4222; of a user or password, "
                    "write ',', '@' and '/' as %2C, %40 and %2F"
                )
        if self.replicas is not None and (type(self.replicas) is not int or not 1 <= self.replicas <= 5):
            raise InvalidArgumentError(f"replicas: must be 1 to 5, not {self.replicas!r}")
        if (self.tls_cert is None) != (self.tls_key is None):
            raise InvalidArgumentError("tls_cert and tls_key: both or none")
        for name in ("creds", "tls_ca", "tls_cert", "tls_key"):
            if path := getattr(self, name):
                # Read again at each connection, wherever the program has gone meanwhile.
                object.__setattr__(self, name, str(Path(path).absolute()))


def _is_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def split_urls(urls: str) -> tuple[str, ...]:
    """The URLs of a list with commas; "nats://" may be left out."""
    each = [url.strip() for url in urls.split(",")]
    return tuple(url if "://" in url else f"nats://{url}" for url in each if url)


def has_password(urls: str) -> bool:
    """Whether a URL names a user's password, which others can see in a command line."""
    return any("@" in url.partition("://")[2] for url in split_urls(urls))


def shown(url: str) -> str:
    """A URL without its user and password."""
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


def read_settings(repo_root: Path, given: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Settings:
    """What was given, else what the environment says (`MUSE_NATS_URL`, …), else what the repository's file says.

    Raises:
        InvalidArgumentError: no server is named, or something can't be right.
    """
    path = repo_root / ".muse" / FILE_NAME
    try:
        in_file = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        in_file = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidArgumentError(f"{path}: {error}") from None
    if unknown := set(in_file) - set(_NAMES):
        raise InvalidArgumentError(f"{path}: unknown: {', '.join(sorted(unknown))}; known: {', '.join(_NAMES)}")
    chosen: dict[str, Any] = {}
    for name in _NAMES:
        value = given.get(name)
        if value is None:
            value = environment.get(_PREFIX + name.upper()) or in_file.get(name)
        if value is not None:
            chosen[name] = value
    replicas = chosen.pop("replicas", None)
    if isinstance(replicas, str):
        replicas = int(replicas) if replicas.isdigit() else 0
    urls = split_urls(str(chosen.pop("url", "")))
    texts = {name: str(value) for name, value in chosen.items()}
    return Settings(urls, replicas=replicas, **texts)
