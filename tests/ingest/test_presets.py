"""What each preset makes of a line, by way of the command, held against what stands in the file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from muse.core.op_log import OpLog, op_id_of
from muse.ingest import ingestion
from muse.ingest.otel import OpenTelemetry
from tests.cli.running import json_lines, logged, muse
from tests.ingest.transcripts import (
    CLAUDE_CODE,
    CODEX,
    OTEL,
    ROOT,
    SESSION,
    TRACE,
    at,
    claude,
    item,
    request,
    span,
    uid,
    write,
)

PRESETS = {"claude-code": CLAUDE_CODE, "codex": CODEX, "otel": OTEL}


def ingest(repo: Path, path: Path, preset: str, *more: object) -> dict[str, Any]:
    """Ingest a file into session "s"; the object at the end of the JSON."""
    result = muse("ingest", "s", path, "--preset", preset, "--json", "--repo", repo, *more)
    told: dict[str, Any] = json_lines(result.stdout)[-1]
    assert result.exit_code == (1 if told["unmapped"] else 0)
    return told


def shown(repo: Path) -> list[tuple[str, str, str, str, str]]:
    """Who did what: actor, domain, kind, address and what."""
    return [
        (
            each["actor_id"],
            each["domain"],
            each["domain_op"]["op"],
            each["domain_op"].get("address", ""),
            each["domain_op"].get("content_summary", each["domain_op"].get("new_summary", "")),
        )
        for each in logged(repo)
    ]


def sha256(text: str) -> str:
    """The digest by which a text is known."""
    return hashlib.sha256(text.encode()).hexdigest()


def assert_causal(repo: Path) -> None:
    """Timestamps rise along the file, and are above those of the parents, all of which are there."""
    entries = logged(repo)
    at_op = {each["op_id"]: each["lamport_ts"] for each in entries}
    stamps = [each["lamport_ts"] for each in entries]
    assert stamps == sorted(set(stamps))
    assert all(at_op[parent] < each["lamport_ts"] for each in entries for parent in each["parent_op_ids"])


def test_transcript_of_claude_code(repo: Path, tmp_path: Path) -> None:
    """Each text, thought, call and result; an edit is in "code" when it has succeeded, and only then."""
    told = ingest(repo, write(tmp_path / "t.jsonl", *CLAUDE_CODE), "claude-code")

    assert shown(repo) == [
        ("user", "chat", "say", "", "Please fix the total of the basket"),
        ("claude", "chat", "think", "", "Where is it?"),
        ("claude", "chat", "say", "", "I'll read it first."),
        ("claude", "tools", "call", "src/basket.py", "Read"),
        ("tools", "tools", "result", "src/basket.py", "1→total = 1"),
        ("claude", "tools", "call", "src/basket.py", "Edit"),
        ("claude", "code", "replace", "src/basket.py", "total = 2"),
        ("claude", "tools", "call", "src/test_basket.py", "Write"),
        ("claude", "code", "insert", "src/test_basket.py", "assert total == 2"),
        ("claude", "tools", "call", "/etc/hosts", "Edit"),
        ("tools", "tools", "result", "/etc/hosts", "Permission denied"),
        ("claude", "tools", "call", "pytest -q", "Bash: Run the tests"),
        ("tools", "tools", "result", "pytest -q", "1 passed"),
        ("claude", "chat", "say", "", "Done."),
        ("claude", "chat", "say", "", "Look into prices"),
        ("claude/a17", "tools", "call", "price", "Grep"),
        ("tools", "tools", "result", "price", "3 files"),
        ("system", "chat", "turn_duration", "", "Cooked for 9 s"),
        ("system", "chat", "say", "", "<local-command>"),
    ]
    assert told["passed_over"] == {"summary": 1, "progress": 1}
    assert (told["lines"], told["added"], told["unmapped"]) == (len(CLAUDE_CODE), 19, 0)
    assert_causal(repo)


def test_times_parents_and_ids_of_claude_code_are_kept(repo: Path, tmp_path: Path) -> None:
    """A line follows what its parentUuid names, past lines of no interest; a result follows its call as well."""
    ingest(repo, write(tmp_path / "t.jsonl", *CLAUDE_CODE), "claude-code")
    entries = {each["op_id"]: each for each in logged(repo)}

    def of(number: int, part: str = "") -> dict[str, Any]:
        found: dict[str, Any] = entries[op_id_of(f"claude-code/{uid(number)}{part}")]
        return found

    assert of(1)["parent_op_ids"] == []
    assert of(3)["parent_op_ids"] == [of(2)["op_id"]]
    assert of(3, "/1")["parent_op_ids"] == [of(3)["op_id"]]
    assert of(4)["parent_op_ids"] == [of(3, "/1")["op_id"]]
    assert of(6)["parent_op_ids"] == [of(4)["op_id"]]
    assert {each["intent_id"] for each in entries.values()} == {uid(900)}
    assert [of(number)["created_at"] for number in (1, 14)] == [at(1), at(14)]
    edit = of(7)["domain_op"]
    assert (edit["old_content_id"], edit["new_content_id"]) == (sha256("total = 1"), sha256("total = 2"))


def test_edits_of_every_tool_of_claude_code(repo: Path, tmp_path: Path) -> None:
    """What was replaced, inserted and deleted, by each tool that edits files."""
    book = f"{ROOT}/a.ipynb"
    calls = [
        ("Write", {"file_path": f"{ROOT}/a.py", "content": "new"}, {"type": "update", "originalFile": "old"}),
        ("MultiEdit", {"file_path": f"{ROOT}/a.py", "edits": [{"old_string": "1", "new_string": "2"}] * 2}, {}),
        ("NotebookEdit", {"notebook_path": book, "cell_id": "c", "new_source": "x", "edit_mode": "insert"}, {}),
        ("NotebookEdit", {"notebook_path": book, "cell_id": "c", "new_source": "y"}, {}),
        ("NotebookEdit", {"notebook_path": book, "cell_id": "c", "new_source": "", "edit_mode": "delete"}, {}),
    ]
    lines = []
    for number, (tool, given, told) in enumerate(calls):
        use = [{"type": "tool_use", "id": f"t{number}", "name": tool, "input": given}]
        result = [{"type": "tool_result", "tool_use_id": f"t{number}", "content": "ok"}]
        lines += [claude(2 * number + 1, None, "assistant", use)]
        lines += [claude(2 * number + 2, 2 * number + 1, "user", result, toolUseResult=told)]

    ingest(repo, write(tmp_path / "t.jsonl", *lines), "claude-code")

    code = [each["domain_op"] for each in logged(repo) if each["domain"] == "code"]
    assert [(op["op"], op["address"]) for op in code] == [
        ("replace", "a.py"),
        ("patch", "a.py"),
        ("insert", "a.ipynb#c"),
        ("replace", "a.ipynb#c"),
        ("delete", "a.ipynb#c"),
    ]
    assert (code[0]["old_summary"], code[0]["new_summary"]) == ("old", "new")
    assert [child["new_summary"] for child in code[1]["child_ops"]] == ["2", "2"]


def test_copies_in_a_transcript_of_claude_code_are_one(repo: Path, tmp_path: Path) -> None:
    """A compaction repeats lines, and a resumed session begins with a copy under its own id: both are there already."""
    resumed = [{**each, "sessionId": uid(901)} if "sessionId" in each else each for each in CLAUDE_CODE[1:]]
    more = claude(30, 19, "user", "Thanks")
    first = ingest(repo, write(tmp_path / "a.jsonl", *CLAUDE_CODE, *CLAUDE_CODE[1:]), "claude-code")
    second = ingest(repo, write(tmp_path / "b.jsonl", *resumed, {**more, "sessionId": uid(901)}), "claude-code")

    assert (first["added"], first["already_there"]) == (19, 19)
    assert (second["added"], second["already_there"], second["unmapped"]) == (1, 19, 0)
    assert len(logged(repo)) == 20


def test_rollout_of_codex(repo: Path, tmp_path: Path) -> None:
    """What was said, thought and called; a patch that succeeded is an operation on each of its files."""
    told = ingest(repo, write(tmp_path / "r.jsonl", *CODEX), "codex")

    files = "src/basket.py, src/test_basket.py, src/old.py"
    patch = "apply_patch: *** Begin Patch *** Update File: src/basket.py @@ -total = 1 +total = 2 *** Add File: "
    found = shown(repo)
    assert [each[:4] for each in found] == [
        ("codex", "chat", "start", ROOT),
        ("system", "chat", "say", ""),
        ("user", "chat", "say", ""),
        ("codex", "chat", "think", ""),
        ("codex", "tools", "call", "cat src/basket.py"),
        ("tools", "tools", "result", "cat src/basket.py"),
        ("codex", "tools", "call", files),
        ("codex", "code", "replace", "src/basket.py"),
        ("codex", "code", "insert", "src/test_basket.py"),
        ("codex", "code", "delete", "src/old.py"),
        ("codex", "tools", "call", files),
        ("tools", "tools", "result", files),
        ("codex", "tools", "call", "pytest -q"),
        ("tools", "tools", "result", "pytest -q"),
        ("codex", "chat", "say", ""),
        ("codex", "chat", "say", ""),
    ]
    assert found[2][4] == "Please fix the total of the basket"
    assert found[6][4].startswith(patch)
    assert [each["domain_op"]["is_error"] for each in logged(repo) if each["domain_op"]["op"] == "result"] == [
        False,
        True,
        True,
    ]
    assert told["passed_over"] == {"event_msg": 1, "turn_context": 1, "response_item ghost_snapshot": 1}
    assert {each["intent_id"] for each in logged(repo)} == {SESSION}
    assert_causal(repo)


@pytest.mark.parametrize(
    ("output", "failed", "told"),
    [
        ({"output": "Exit code: 1 means no", "metadata": {"exit_code": 0}}, False, "Exit code: 1 means no"),
        ({"output": "x" * 3000, "metadata": {"exit_code": 2}}, True, "x" * 159 + "…"),
        ("Exit code: 0\nOutput:\nExit code: 1", False, "Exit code: 0 Output: Exit code: 1"),
        ("it exited with code 1 yesterday", False, "it exited with code 1 yesterday"),
        (
            "Wall time: 1 s\nProcess exited with code 3\nOutput:\n",
            True,
            "Wall time: 1 s Process exited with code 3 Output:",
        ),
        ({"content": [{"type": "input_text", "text": "done"}]}, False, "done"),
    ],
)
def test_output_of_codex_that_failed(repo: Path, tmp_path: Path, output: Any, failed: bool, told: str) -> None:
    """The tool says so, in the form of each version; what a command prints about exit codes does not count."""
    texts = [json.dumps(output), output] if isinstance(output, dict) else [output]
    lines = [item(number, "function_call_output", call_id="c", output=text) for number, text in enumerate(texts)]
    ingest(repo, write(tmp_path / "r.jsonl", CODEX[0], *lines), "codex")

    found = [each["domain_op"] for each in logged(repo)[1:]]
    assert [(op["is_error"], op["content_summary"]) for op in found] == [(failed, told)] * len(texts)


def test_spans_of_opentelemetry(repo: Path, tmp_path: Path) -> None:
    """One operation each, whose parents come first although they stand further down."""
    told = ingest(repo, write(tmp_path / "spans.jsonl", *OTEL), "otel")

    assert shown(repo) == [
        ("till", "shop.web", "internal", "agent", "agent"),
        ("shop", "shop.web", "server", "/basket", "GET /basket"),
        ("shop", "shop.db", "client", "baskets", "SELECT baskets"),
        ("shop", "shop.web", "server", "execute_tool total", "execute_tool total"),
    ]
    root, get, select, tool = logged(repo)
    assert get["domain_op"]["attributes"] == {
        "http.route": "/basket",
        "http.status_code": 200,
        "tags": ["a", True],
        "user": {"name": "ada"},
    }
    assert (get["domain_op"]["duration_ms"], get["created_at"]) == (7.0, "2026-03-05T14:00:00.001000+00:00")
    assert (get["domain_op"]["status"], tool["domain_op"]["status"]) == ("unset", "error")
    assert tool["parent_op_ids"] == [root["op_id"], select["op_id"]]
    assert {each["intent_id"] for each in logged(repo)} == {TRACE.lower()}
    assert told["passed_over"] == {"resourceLogs": 1}
    assert_causal(repo)


def test_span_whose_parent_never_comes_is_there_all_the_same(repo: Path, tmp_path: Path) -> None:
    """It and what depends on it, in causal order; the missing one stays named. Circles end as well."""
    lines = [
        request(span(9, 8, "leaf", 5, 6)),
        request(span(8, 7, "middle", 4, 7)),
        request(span(21, 22, "one", 1, 2), span(22, 21, "other", 1, 2)),
    ]
    ingest(repo, write(tmp_path / "spans.jsonl", *lines), "otel")

    assert [each[3] for each in shown(repo)][:2] == ["middle", "leaf"]
    assert sorted(each[3] for each in shown(repo))[2:] == ["one", "other"]
    assert logged(repo)[0]["parent_op_ids"] == [op_id_of(f"otel/{TRACE.lower()}/eee19b7ec3c1b107")]


def test_span_that_can_not_be_mapped_costs_itself_alone(repo: Path, tmp_path: Path) -> None:
    """A line may hold hundreds of them; each that can't be mapped is listed with the line."""
    odd = span(2, None, "odd", 1, 2, attributes={"n": {"intValue": "many"}})
    path = write(
        tmp_path / "t.jsonl", request(span(1, None, "one", 0, 1), odd, {"spanId": "x"}, span(3, None, "two", 2, 3))
    )
    result = muse("ingest", "s", path, "--preset", "otel", "--json", "--repo", repo)

    *listed, told = json_lines(result.stdout)
    assert [(each["line"], each["error"][:15]) for each in listed] == [(1, "the line is not"), (1, "startTimeUnixNa")]
    assert (told["lines"], told["added"], told["unmapped"]) == (1, 2, 2)
    assert [each[3] for each in shown(repo)] == ["one", "two"]


def test_span_of_a_time_that_no_system_holds_is_listed(repo: Path, tmp_path: Path) -> None:
    """Too late for a calendar, for the system, for 64 bits: the lines after it are taken."""
    odd = [span(n, None, "odd", 0, 1, startTimeUnixNano=f"1{'0' * (17 + n)}") for n in range(10, 20)]
    path = write(tmp_path / "t.jsonl", *map(request, odd), request(span(1, None, "one", 0, 1)))
    told = ingest(repo, path, "otel")

    assert (told["added"], told["unmapped"]) == (1, 10)


def test_no_more_spans_wait_for_a_parent_than_may(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if all of them wait for the same one; it comes after them then."""
    monkeypatch.setattr(ingestion, "_MOST_HELD", 3)
    spans = [*(span(number, 1, f"span {number}", number, 9) for number in range(2, 8)), span(1, None, "root", 0, 9)]
    with OpLog(repo, "s") as log:
        work = ingestion.Ingestion(log, lambda *told: pytest.fail(str(told)))
        file = work.open("f", OpenTelemetry())
        for number, each in enumerate(spans):
            work.take(file, number, json.dumps(request(each)).encode())
            assert sum(map(len, file.waiting.values())) <= 3
        work.end_waiting(file)
        work.flush()
        assert [entry["domain_op"]["content_summary"][-1] for entry in log] == list("2345t67")


def test_one_request_over_many_lines(repo: Path, tmp_path: Path) -> None:
    """OTLP/JSON as a person writes it, indented."""
    path = tmp_path / "trace.json"
    path.write_text(json.dumps(request(span(1, None, "agent", 0, 10)), indent=2))

    assert ingest(repo, path, "otel")["added"] == 1


@pytest.mark.parametrize("preset", PRESETS)
def test_file_that_has_grown_adds_only_what_is_new(repo: Path, tmp_path: Path, preset: str) -> None:
    """In two parts, then again: the log is what it is if the file is ingested at once, on another host too."""
    lines = PRESETS[preset]
    half = write(tmp_path / "t.jsonl", *lines[: len(lines) // 2])
    first = ingest(repo, half, preset)
    whole = write(tmp_path / "renamed.jsonl", *lines)
    second = ingest(repo, whole, preset)
    third = ingest(repo, whole, preset)

    (tmp_path / "other").mkdir()
    at_once = ingest(tmp_path / "other", whole, preset)
    assert first["added"] + second["added"] == at_once["added"]
    assert second["already_there"] == first["added"]
    assert (third["added"], third["already_there"]) == (0, at_once["added"])
    assert len(logged(repo)) == at_once["added"]
    if preset != "otel":
        # There a parent may come with the second half, and then begins later than if it had come in time.
        assert logged(repo) == logged(tmp_path / "other")
        assert muse("merge", "s", tmp_path / "other", "--repo", repo).exit_code == 0
        assert len(logged(repo)) == at_once["added"]


@pytest.mark.parametrize(
    ("preset", "line", "reason"),
    [
        ("claude-code", "not json", "not JSON"),
        ("claude-code", [1], "not a JSON object"),
        ("claude-code", {"no": "type"}, "type: the field is missing"),
        ("claude-code", {"type": "user", "timestamp": at(1)}, "uuid: the field is missing"),
        ("claude-code", {"type": "user", "uuid": uid(1)}, "timestamp: the field is missing"),
        ("claude-code", {"type": "user", "uuid": uid(1), "timestamp": at(1)}, "message: the field is missing"),
        ("claude-code", {"type": "something-new", "uuid": uid(1)}, "type: 'something-new' is not known"),
        ("codex", {"type": "response_item", "timestamp": at(1)}, "payload: the field is missing"),
        ("codex", {"type": "response_item", "timestamp": at(1), "payload": {}}, "type: the field is missing"),
        ("codex", {"type": "new", "timestamp": at(1), "payload": {}}, "type: 'new' is not known"),
        ("codex", {"type": "event_msg", "payload": {}}, "timestamp: the field is missing"),
        ("otel", {"spans": []}, "resourceSpans: the field is missing"),
        ("otel", request({"spanId": "a", "startTimeUnixNano": "1"}), "traceId, spanId"),
        ("otel", request({"spanId": "a", "traceId": "b"}), "startTimeUnixNano: the field is missing"),
        ("otel", request({"spanId": "a", "traceId": "b", "startTimeUnixNano": []}), "startTimeUnixNano: the field"),
        ("otel", request({"spanId": "a", "traceId": "b", "startTimeUnixNano": "x"}), "a number of nanoseconds"),
    ],
)
def test_line_that_can_not_be_mapped_is_listed(repo: Path, tmp_path: Path, preset: str, line: Any, reason: str) -> None:
    """With its file, its number and the reason; the lines around it are there, and the exit code is 1."""
    good = PRESETS[preset]
    path = write(tmp_path / "t.jsonl", *good, line, good[-1])
    result = muse("ingest", "s", path, "--preset", preset, "--json", "--repo", repo)

    assert result.exit_code == 1
    listed, told = json_lines(result.stdout)
    assert (listed["file"], listed["line"]) == (str(path), len(good) + 1)
    assert reason in listed["error"]
    assert f"{path}, line {len(good) + 1}: {listed['error']}" in result.stderr
    assert told["unmapped"] == 1
    assert told["added"] == len(logged(repo)) > 0
