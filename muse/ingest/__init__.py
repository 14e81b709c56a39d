"""Other tools' JSON lines become a session: `muse op-log ingest`.

draft        what a line becomes: an operation that has no op_id and no timestamp yet
line_keys    keys for lines that have none of their own
transcript   what transcripts of agents have in common
claude_code  transcripts of Claude Code
codex        rollouts of OpenAI Codex
otel         spans of OpenTelemetry in JSON
fields       any other lines, whose fields one names
ingestion    drafts become entries, in batches, each once

A mapper reads the lines of one file. What it makes depends on the file alone, and on nothing that the log holds: so
ingesting a file again, after it has grown or on another host, makes the same entries, and only new ones are added.
"""
