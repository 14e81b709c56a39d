"""`muse.guards`: what is refused, and what is never said."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muse import guards
from muse.core.op_log import Guard, InvalidArgumentError, OpEntry, OpLog, RefusedByGuardError, op_id_of
from muse.guards import GuardUnavailableError, all_of, json_schema, refuse_secrets
from tests import children, making
from tests.cli.running import command_line, filled, json_lines, logged, muse
from tests.making import entry
from tests.samples import examples

# Put together here, so that no scanner takes this file for a leak.
CANARIES = {
    "AWS Access Key": "AKIA" + "Q3EGRT4XYZ7BWJ5N",
    "Anthropic API Key": "sk-ant-" + "api03-" + "x7Kd" * 20,
    "Basic Auth Credentials": "postgres://ada:" + "tr0ub4dor@db.intern/x",
    "GitHub Token": "ghp_" + "1A2b3C4d5E6f7G8h9I0jK1L2M3N4O5P6Q7R8",
    "GitLab Token": "glpat-" + "aB3dE6gH9jK2mN5pQ8sT",
    "Google API Key": "AIza" + "SyB1c2D3e4F5g6H7i8J9k0L1m2N3o4P5q6R",
    "Hugging Face Token": "hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH",
    "OpenAI API Key": "sk-proj-" + "abcdefghij1234567890T3BlbkFJabcdefghij1234567890",
    "Private Key": "-----BEGIN RSA PRIVATE KEY-----\r\n" + "MIIEowIBAAKCAQEA7bq\r\n",
    "PyPI Token": "pypi-AgE" + "IcHlwaS5vcmcCJDEyMzQ1Njc4" * 3,
    "Slack Token": "xoxb-" + "123456789012-123456789012-abcdefghijklmnopqrstuvwx",
}
AWS = CANARIES["AWS Access Key"]


@pytest.fixture(autouse=True)
def _detector(request: pytest.FixtureRequest) -> None:
    if "schema" in request.node.name:
        pytest.importorskip("jsonschema")
    elif "without" not in request.node.name:
        pytest.importorskip("detect_secrets")


def places(secret: str) -> dict[str, dict[str, Any]]:
    """Every place of an entry in which a text may stand, by the name that the refusal gives it."""
    return {
        "actor_id": {"actor_id": f"bot {secret}"},
        "domain": {"domain": secret},
        "intent_id": {"intent_id": secret},
        "reservation_id": {"reservation_id": secret},
        "created_at": {"created_at": secret},
        "note": {"note": secret},
        "domain_op.text": {"domain_op": {"text": f"say {secret} aloud"}},
        "domain_op.a.b[1][0].c": {"domain_op": {"a": {"b": [1, [{"c": secret}]]}}},
        "a key of domain_op": {"domain_op": {secret: 1}},
        "a key of domain_op.a[0]": {"domain_op": {"a": [{secret: {"x": {secret: secret}}}]}},
        "a key of the entry": {secret: 1},
    }


@pytest.mark.parametrize("kind", CANARIES)
def test_a_secret_is_refused_wherever_it_stands(kind: str) -> None:
    """In every field, in keys and nested texts: the place and the kind are named, and nothing of the secret."""
    secret = CANARIES[kind]
    for place, fields in places(secret).items():
        with pytest.raises(RefusedByGuardError) as caught:
            refuse_secrets(entry(1, **fields))
        assert str(caught.value) == f"{place}: looks like a secret ({kind}), so the entry is refused"
        assert (caught.value.__cause__, caught.value.__context__, caught.value.entries) == (None, None, ())


def test_a_key_beside_a_text_tells_what_it_is() -> None:
    """A value that could be anything is a secret if its key says so."""
    value = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzzzzzzzzzz"

    assert refuse_secrets(entry(1, domain_op={"sha": value}))
    with pytest.raises(RefusedByGuardError, match=r"^domain_op\.env\.aws_secret_key: looks like a secret \(AWS"):
        refuse_secrets(entry(1, domain_op={"env": {"aws_secret_key": value}}))


def test_a_key_that_could_hold_something_is_not_shown() -> None:
    """Of a place only plain names are told."""
    with pytest.raises(RefusedByGuardError, match=r"^domain_op\.…\.…\[0\]: looks"):
        refuse_secrets(entry(1, domain_op={"two words": {"x" * 40: [AWS]}}))


@examples(60)
@given(st.recursive(st.none() | st.integers() | st.text(max_size=20), lambda inner: st.lists(inner, max_size=3)))
def test_what_holds_no_secret_passes_as_it_is(value: Any) -> None:
    """The very entry comes back."""
    new = entry(1, domain_op={"value": value})
    assert refuse_secrets(new) is new


@pytest.mark.parametrize("odd", [None, 7, "text", [], {}, {"domain_op": {7: b"x", "y": {1.5}}}])
def test_what_is_no_entry_is_left_to_the_log(odd: Any) -> None:
    """A guard sees what the caller gave, whatever it is."""
    assert refuse_secrets(odd) is odd


def test_what_nests_without_end_is_refused() -> None:
    """It is not looked through for ever."""
    endless: list[Any] = []
    endless += [endless, endless]

    with pytest.raises(RefusedByGuardError, match="nests too deep"):
        refuse_secrets(entry(1, domain_op={"x": endless}))


def test_threads_may_share_it() -> None:
    """Eight at once, each with secrets and clean entries in turn: every answer is right."""
    wrong: list[int] = []

    def look() -> None:
        for number in range(40):
            new = entry(1, domain_op={"text": AWS if number % 2 else "clean"})
            try:
                refuse_secrets(new)
            except RefusedByGuardError:
                wrong.extend([] if number % 2 else [number])
            else:
                wrong.extend([number] if number % 2 else [])

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def assert_nowhere(folder: Path, *secrets: str) -> None:
    """No file below `.muse` has a byte of it, its lines joined or escaped."""
    files = [path for path in (folder / ".muse").rglob("*") if path.is_file()]
    assert files
    for path in files:
        data = path.read_bytes()
        assert not [
            secret for secret in secrets if secret.encode() in data or json.dumps(secret)[1:-1].encode() in data
        ]


def test_a_canary_recorded_by_every_method_is_in_no_file(repo: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beside entries that were written before and after; nor is it logged, or in what is raised."""
    with caplog.at_level(logging.DEBUG), OpLog(repo, "s", guard=refuse_secrets) as log:
        for number, secret in enumerate(CANARIES.values()):
            log.record("ada", "code", {"op": "insert"})
            for fields in places(secret).values():
                new = entry(100 + number, **fields)
                first = (new["actor_id"], new["domain"], new["domain_op"])
                linked: Any = {name: new.get(name) for name in ("intent_id", "reservation_id")}
                ways: list[Callable[[], Any]] = [partial(log.append, new), partial(log.append_many, [entry(1), new])]
                if not {"created_at", "note", secret} & fields.keys():
                    ways.append(partial(log.record, *first, **linked))
                    ways.append(partial(log.record, *first, op_id=op_id_of("k"), **linked))
                for way in ways:
                    with pytest.raises(RefusedByGuardError) as caught:
                        way()
                    assert secret not in repr((caught.value, caught.value.args, vars(caught.value)))
        log.rebuild_index()
        assert len(log) == len(CANARIES)
    assert_nowhere(repo, *CANARIES.values())
    assert not [secret for secret in CANARIES.values() if secret in caplog.text]


def test_a_canary_appended_by_the_command_is_in_no_file(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole and in part; it is refused as a wrong line is, and put aside only where one asks for that."""
    monkeypatch.chdir(tmp_path)
    part = {"actor_id": "ada", "domain": "code", "domain_op": {"op": "insert"}}
    lines = [part, {**part, "domain_op": {"env": AWS}}, entry(1), entry(2, domain=AWS), {**part, "key": "k"}]
    data = b"".join(map(making.line, lines))

    stopped = muse("append", "s", "--repo", repo, "--guard", "secrets", "--json", stdin=data)
    assert stopped.exit_code == 1
    assert json_lines(stopped.stdout)[1] == {
        "line": 2,
        "error": "domain_op.env: looks like a secret (AWS Access Key), so the entry is refused",
    }
    assert len(logged(repo)) == 1

    went_on = muse("append", "s", "--repo", repo, "--guard", "secrets", "--keep-going", stdin=data)
    assert went_on.exit_code == 1
    assert AWS not in stopped.output + went_on.output
    assert len(logged(repo)) == 4
    assert_nowhere(repo, AWS)
    assert (tmp_path / "s.refused.jsonl").read_bytes() == making.line(lines[1]) + making.line(lines[3])


def test_commands_that_take_over_count_what_the_guard_would_refuse(repo: Path, tmp_path: Path) -> None:
    """`merge` and `import`: the entries come unchanged; the number is in the JSON and on standard error."""
    other = tmp_path / "other"
    filled(other, [entry(1), entry(2, domain_op={"env": AWS}), entry(3, actor_id=AWS)])
    muse("export", "s", tmp_path / "s.tar.gz", "--repo", other)

    merged = muse("merge", "s", other, "--repo", repo, "--guard", "secrets", "--json")
    imported = muse("import", tmp_path / "s.tar.gz", "t", "--repo", repo, "--guard", "secrets", "--json")
    plain = muse("import", tmp_path / "s.tar.gz", "u", "--repo", repo, "--json")

    for result in (merged, imported):
        assert result.exit_code == 0
        assert json_lines(result.stdout)[0]["would_refuse"] == 2
        assert "2 entries taken over unchanged would have been refused" in result.stderr
        assert AWS not in result.output
    assert json_lines(plain.stdout)[0]["would_refuse"] == 0
    assert logged(repo) == logged(repo, "t") == logged(other)


SCHEMA = {
    "type": "object",
    "required": ["op", "address"],
    "properties": {"position": {"$ref": "#/$defs/place"}},
    "$defs": {"place": {"type": ["integer", "null"], "minimum": 0}},
}


def test_schema_of_a_domain_holds_its_operations() -> None:
    """What fits passes as it is, and so does another domain; else the place and the rule are named."""
    guard = json_schema({"music": SCHEMA, "closed": False})
    good, elsewhere = entry(1), entry(2, domain="code", domain_op={})

    assert guard(good) is good
    assert guard(elsewhere) is elsewhere
    for fields, said in (
        ({"domain_op": {"op": "x"}}, r"^domain_op: 'address' is a required property \(schema of 'music'\)$"),
        ({"domain_op": {"op": "x", "address": "a", "position": -1}}, r"^domain_op\.position: -1 is less than"),
        ({"domain_op": [1]}, "^domain_op: "),
        ({"domain": "closed"}, "^domain_op: "),
    ):
        with pytest.raises(RefusedByGuardError, match=said):
            guard(entry(1, **fields))
    odd: Any
    for odd in (None, {}, {"domain": [1]}):
        assert guard(odd) is odd


def test_schema_that_is_none_is_refused_at_once() -> None:
    """Where it is given, not at the first entry."""
    with pytest.raises(InvalidArgumentError, match=r"schema of 'music': \$\.type"):
        json_schema({"music": {"type": "objct"}})
    wrong: Any
    for wrong in (None, 5, [], {"$schema": 5}):
        with pytest.raises(InvalidArgumentError, match="schema of 'music'"):
            json_schema({"music": wrong})


def test_schema_elsewhere_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference out of the schema is an error; no connection is opened for it."""
    monkeypatch.setattr("socket.socket", lambda *_: pytest.fail("a connection"))
    guard = json_schema({"music": {"$ref": "http://localhost/schema.json"}})

    with pytest.raises(InvalidArgumentError, match="is not in it"):
        guard(entry(1))


def test_schema_that_leads_to_itself_without_end_refuses() -> None:
    """As any that does not fit; one that follows what is inside an operation ends with it."""
    with pytest.raises(RefusedByGuardError, match="domain_op: nests too deep for the schema of 'music'"):
        json_schema({"music": {"$ref": "#"}})(entry(1))
    nested = entry(2, domain_op={"x": {"y": {}}})
    assert json_schema({"music": {"additionalProperties": {"$ref": "#"}}})(nested) is nested


def test_schema_on_the_command_line(repo: Path, tmp_path: Path) -> None:
    """`--schema DOMAIN=FILE`: a line that does not fit is refused; a file that is no schema is wrong usage."""
    (tmp_path / "music.json").write_text(json.dumps(SCHEMA, indent=2))
    (tmp_path / "bad.json").write_text('{"type": 7}')
    (tmp_path / "odd.json").write_text('{"$schema": 7}')
    data = making.line(entry(1)) + making.line(entry(2, domain_op={"op": "x"}))

    done = muse("append", "s", "--repo", repo, "--schema", f"music={tmp_path / 'music.json'}", stdin=data)

    assert (done.exit_code, len(logged(repo))) == (1, 1)
    assert "line 2: domain_op: 'address' is a required property" in done.stderr
    for wrong in ("music", "=x", *(f"music={tmp_path / name}.json" for name in ("none", "bad", "odd"))):
        result = muse("append", "s", "--repo", repo, "--schema", wrong, stdin=data)
        assert (result.exit_code, len(result.stderr.splitlines())) == (2, 1)
    twice = [f"--schema=music={tmp_path / name}" for name in ("music.json", "music.json")]
    result = muse("append", "s", "--repo", repo, *twice, stdin=data)
    assert (result.exit_code, "--schema music=…: given twice" in result.stderr) == (2, True)


def test_guards_are_asked_one_after_the_other_without_extras() -> None:
    """Each gets what the one before returned; the first that refuses is the one that is heard."""

    def adds(note: str) -> Guard:
        return lambda new: {**new, "intent_id": new["intent_id"] + note}

    def refuses(_entry: OpEntry) -> OpEntry:
        raise RefusedByGuardError("no")

    assert all_of(adds("a"), adds("b"))(entry(1))["intent_id"] == "ab"
    with pytest.raises(RefusedByGuardError):
        all_of(adds("a"), refuses)(entry(1))


@pytest.mark.process
@pytest.mark.parametrize(
    ("option", "extra"), [(("--guard", "secrets"), "secrets"), (("--schema", "code=S"), "schema")], ids=str
)
def test_without_its_package_a_guard_says_what_to_install(repo: Path, option: tuple[str, ...], extra: str) -> None:
    """Nothing is appended unguarded: exit code 2 and one line."""
    (repo / "S").write_text("{}")
    blocked = "import sys; sys.modules.update(dict.fromkeys(['detect_secrets', 'jsonschema'])); "
    script = blocked + "sys.argv[0] = 'muse'; from muse.cli import main; main(prog_name='muse')"
    words = command_line("append", "s", *option)[5:]
    environment = {"PYTHONPATH": str(making.PROJECT)}
    done = children.run([sys.executable, "-c", script, *words], cwd=repo, env=environment)

    assert done.returncode == 2
    assert done.stderr.decode().splitlines()[-1].endswith(f"pip install 'muse-op-log[{extra}]'")
    assert not (repo / ".muse").exists()


def test_without_its_package_the_guard_of_a_log_lets_nothing_pass(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`OpLog(guard=refuse_secrets)` fails closed."""
    guards.load_detectors.cache_clear()
    monkeypatch.setitem(sys.modules, "detect_secrets.plugins", None)
    try:
        with OpLog(repo, "s", guard=refuse_secrets) as log, pytest.raises(GuardUnavailableError):
            log.append(entry(1))
    finally:
        guards.load_detectors.cache_clear()
    assert making.tree(repo) == {}
