"""Servers with TLS: client certificates, the least permissions, and what is wrong with them told once."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from muse.replicate import Replica, ReplicationRefusedError, Settings
from muse.replicate.process.worker import Worker
from tests import making
from tests.replicate import servers
from tests.replicate.hosts import WAIT, Host, assert_equal, fill, root
from tests.replicate.servers import Server

pytestmark = [
    pytest.mark.process,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl to make certificates with"),
]

PAGE = (making.PROJECT / "docs" / "how-to" / "replicate.md").read_text(encoding="utf-8")


def openssl(folder: Path, *arguments: str) -> None:
    """Run `openssl` in a folder."""
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def certify(folder: Path, name: str, by: str = "", *extensions: str) -> None:
    """Make a key and a certificate of a name, signed by another one or by itself."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", f"{name}.key")
    if not by:
        openssl(folder, "req", "-x509", *key, "-days", "2", "-subj", f"/CN={name}", "-out", f"{name}.pem")
        return
    openssl(folder, "req", *key, "-subj", f"/CN={name}", "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text("\n".join(extensions) + "\n")
    signing = ("-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial", "-extfile", f"{name}.ext")
    openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signing, "-days", "2", "-out", f"{name}.pem")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with those of an authority, a server, and hosts; and of a stranger whose authority nobody knows."""
    folder = tmp_path_factory.mktemp("certificates")
    certify(folder, "ca")
    certify(folder, "other-ca")
    certify(folder, "server", "ca", "subjectAltName=IP:127.0.0.1", "extendedKeyUsage=serverAuth")
    for name, authority in (("admin", "ca"), ("ada", "ca"), ("unknown", "ca"), ("stranger", "other-ca")):
        certify(folder, name, authority, "extendedKeyUsage=clientAuth")
    openssl(folder, "ec", "-in", "ada.key", "-aes256", "-passout", "pass:x", "-out", "locked.key")
    shutil.copy(folder / "ada.pem", folder / "locked.pem")
    return folder


@pytest.fixture
def secured(tmp_path: Path, certificates: Path) -> Iterator[Server]:
    """A server as on the how-to page, with one more user who may do everything."""
    if reason := servers.why_not():
        pytest.skip(reason)
    (config,) = re.findall(r"```text\n(jetstream .*?)```", PAGE, re.DOTALL)
    config = config.partition("\n")[2].replace("users: [ {", 'users: [ { user: "CN=admin" }, {')
    for name in ("server.pem", "server.key", "ca.pem"):
        config = config.replace(f'"{name}"', f'"{certificates / name}"')
    with servers.running(tmp_path / "server", config) as started:
        yield started


def of(certificates: Path, server: Server, name: str | None, ca: str = "ca") -> Settings:
    """The settings of a host by its certificate."""
    url = server.url.replace("nats:", "tls:")
    own = name and str(certificates / name)
    return Settings(
        (url,),
        space="studio",
        tls_ca=f"{certificates / ca}.pem",
        tls_cert=own and f"{own}.pem",
        tls_key=own and f"{own}.key",
        inbox="_INBOX_ada" if name == "ada" else "_INBOX",
    )


def test_client_certificates_and_the_least_permissions_are_enough(
    secured: Server, host: Host, certificates: Path
) -> None:
    """Those of the how-to page, once an administrator has made the stream; by the process behind a log too."""
    a, b = host("a"), host("b")
    fill(a, range(1, 9))
    with Worker(root(b), "s", of(certificates, secured, "admin")) as two:
        two.wait_synced(WAIT)
    with Replica(root(a), "s", of(certificates, secured, "ada")) as one:
        one.wait_synced(WAIT)
        assert one.status().url.startswith("tls://")
    with Worker(root(b), "s", of(certificates, secured, "ada")) as two:
        two.wait_synced(WAIT)
    assert_equal(a, b)
    assert len(b) == 8
    # The first that had something recorded; that takes a subject of its own.
    a.check_may_commit()


def test_what_is_wrong_with_a_certificate_is_told_and_not_tried_for_ever(
    secured: Server, host: Host, certificates: Path
) -> None:
    """A host's own, the server's, or a file that is not there."""
    a = host("a")
    fill(a, [1])
    for name, ca, told in (
        (None, "ca", "certificate required"),
        ("unknown", "ca", "(?i)authorization"),
        ("stranger", "ca", "unknown ca"),
        ("ada", "other-ca", "certificate verify failed"),
        ("locked", "ca", "locked.key: has a passphrase"),
        ("nobody", "ca", "nobody.pem: can't be read"),
        ("ada", "nothing", "nothing.pem: can't be read"),
    ):
        with Worker(root(a), "s", of(certificates, secured, name, ca)) as one:
            with pytest.raises(ReplicationRefusedError, match=told):
                one.wait_synced(WAIT)
            assert not one.status().is_running


def test_a_subject_that_a_certificate_does_not_allow_is_named(secured: Server, host: Host, certificates: Path) -> None:
    """In another space than the page allows; and without the inbox that it does."""
    a = host("a")
    fill(a, [1])
    ada = of(certificates, secured, "ada")
    for settings, subject in (
        (replace(ada, space="other"), r"\$JS.API.STREAM.INFO.MUSE_other"),
        (replace(ada, inbox="_INBOX"), r"subscribe to _INBOX\."),
    ):
        with Worker(root(a), "s", settings) as one, pytest.raises(ReplicationRefusedError, match=subject):
            one.wait_synced(WAIT)
