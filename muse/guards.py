"""Guards: what looks at each new entry before it is written, and may refuse it.

    from muse.guards import refuse_secrets

    with OpLog(".", "friday", guard=refuse_secrets) as log:
        ...

A guard is any function that returns the entry, or a changed copy with the same op_id, or raises `RefusedByGuardError`.
Those here refuse and change nothing. Each needs a package that is installed as an extra of this one.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from muse.core.op_log import Guard, InvalidArgumentError, MuseError, RefusedByGuardError

if TYPE_CHECKING:
    from muse.core.op_log import OpEntry

__all__ = ["GuardUnavailableError", "all_of", "json_schema", "refuse_secrets"]

_MAX_NESTING = 200
"""Deeper than the log takes entries: what nests deeper is refused unseen."""
_MAX_MESSAGE = 200

_FURTHER_KINDS = {
    "Anthropic API Key": r"sk-ant-[\w-]{20,}",
    "GitHub Token": r"github_pat_\w{22,}",
    "GitLab Token": r"gl(?:pat|oas|dt|rt|cbt|ptt|ft|soat|imt|agent)-[\w-]{20,}",
    "Google API Key": r"AIza[\w-]{35}",
    "Hugging Face Token": r"hf_[A-Za-z0-9]{30,}",
    "OpenAI API Key": r"sk-(?:proj-|svcacct-|admin-)?[\w-]{10,}T3BlbkFJ[\w-]{10,}",
    "PyPI Token": r"pypi-AgE[\w-]{50,}",
}
"""Kinds that the detectors of detect-secrets do not know, and that agents are given."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,29}")


class GuardUnavailableError(MuseError, ImportError):
    """The package that a guard needs is not installed. The message says how to install it."""


def all_of(*guards: Guard) -> Guard:
    """One guard of several: each gets what the one before it returned."""

    def guard(entry: OpEntry) -> OpEntry:
        for each in guards:
            entry = each(entry)
        return entry

    return guard


def refuse_secrets(entry: OpEntry) -> OpEntry:
    """A guard that refuses an entry with a secret in any of its texts: passwords in URLs, private keys, API keys.

    All fields are looked at, and the keys of objects. It knows a secret by its form, or by a key beside it, such as
    `aws_secret_key`: a password in plain words is not recognised. Threads may share it. Nothing leaves the process.

    Raises:
        RefusedByGuardError: says in which field a secret is and of which kind, never the secret.
        GuardUnavailableError: detect-secrets is not installed.
    """
    detectors = load_detectors()
    # The detectors expect lines to end as they do on Unix.
    texts = [(place, text.replace("\r\n", "\n")) for place, text in _texts(entry)]
    # One look at all of it, since most entries are clean.
    if not _kind_of_secret(detectors, "\n".join([text for _, text in texts])):
        return entry
    for place, text in texts:
        if kind := _kind_of_secret(detectors, text):
            raise RefusedByGuardError(f"{place}: looks like a secret ({kind}), so the entry is refused")
    return entry


_Detector = tuple[str, Callable[[str], bool]]
"""The kind of secret, and whether a text holds one."""


@cache
def load_detectors() -> list[_Detector]:
    """What finds secrets, loaded once; a `GuardUnavailableError` if detect-secrets is not installed."""
    try:
        plugins = importlib.import_module("detect_secrets.plugins")
        base: Any = importlib.import_module("detect_secrets.plugins.base").RegexBasedDetector
    except ModuleNotFoundError as error:
        raise GuardUnavailableError("detect-secrets is missing: pip install 'muse-op-log[secrets]'") from error
    for module in pkgutil.iter_modules(plugins.__path__):
        importlib.import_module(f"detect_secrets.plugins.{module.name}")
    found: list[_Detector] = [
        # Its `analyze_line` and `verify` would send what they find to the service it belongs to: never called.
        (detector.secret_type, partial(_finds, detector().analyze_string))
        for detector in sorted(base.__subclasses__(), key=lambda each: str(each.secret_type))
        if detector.__module__.startswith("detect_secrets.plugins.")
    ]
    return found + [(kind, partial(_finds, re.compile(pattern).finditer)) for kind, pattern in _FURTHER_KINDS.items()]


def _finds(analyze: Callable[[str], Iterator[object]], text: str) -> bool:
    return any(True for _ in analyze(text))


def _kind_of_secret(detectors: list[_Detector], text: str) -> str:
    return next((kind for kind, finds in detectors if finds(text)), "")


def _texts(entry: Any) -> Iterator[tuple[str, str]]:
    """Each text of an entry, with its place in words that hold no secret; a text below a key stands behind the key."""
    pending: list[tuple[str, str, Any, int]] = [("", "", entry, 0)]
    while pending:
        place, key, value, depth = pending.pop()
        if depth > _MAX_NESTING:
            raise RefusedByGuardError(f"{place[:60]}…: nests too deep to be looked through")
        if isinstance(value, str):
            yield place or "entry", f"{key}: {value}" if key else value
        elif isinstance(value, Mapping):
            yield from ((f"a key of {place or 'the entry'}", name) for name in value if isinstance(name, str))
            pending += [(_below(place, name), str(name), each, depth + 1) for name, each in value.items()]
        elif isinstance(value, list | tuple):
            pending += [(f"{place}[{number}]", key, each, depth + 1) for number, each in enumerate(value)]


def _below(place: str, key: object) -> str:
    shown = key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else "…"
    return f"{place}.{shown}" if place else shown


def json_schema(schemas: Mapping[str, Mapping[str, Any] | bool]) -> Guard:
    """A guard that holds the operations of some domains to JSON schemas; other domains pass.

    Args:
        schemas: by domain, the schema of its `domain_op`; without a `$schema` it is of draft 2020-12. A `$ref` leads
            to a place in the same schema: nothing is loaded from elsewhere.

    Raises:
        InvalidArgumentError: one of them is not a valid schema.
        GuardUnavailableError: jsonschema is not installed.
    """
    try:
        jsonschema: Any = importlib.import_module("jsonschema")
        referencing: Any = importlib.import_module("referencing")
    except ModuleNotFoundError as error:
        raise GuardUnavailableError("jsonschema is missing: pip install 'muse-op-log[schema]'") from error
    validators: dict[object, Any] = {}
    for domain, schema in schemas.items():
        try:
            kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
            kind.check_schema(schema)
        except jsonschema.SchemaError as error:
            raise InvalidArgumentError(f"schema of {domain!r}: {error.json_path}: {error.message}") from None
        except (AttributeError, TypeError):
            raise InvalidArgumentError(
                f"schema of {domain!r}: must be an object whose $schema is text, or a bool"
            ) from None
        validators[domain] = kind(schema, registry=referencing.Registry())

    def guard(entry: OpEntry) -> OpEntry:
        fields: Any = entry
        domain = fields.get("domain") if isinstance(fields, dict) else None
        validator = validators.get(domain) if isinstance(domain, str) else None
        if validator is not None:
            try:
                error = jsonschema.exceptions.best_match(validator.iter_errors(fields.get("domain_op")))
            except referencing.exceptions.Unresolvable as unknown:
                raise InvalidArgumentError(f"schema of {domain!r}: {unknown.ref!r} is not in it") from None
            except RecursionError:
                why = f"nests too deep for the schema of {domain!r}, or that leads to itself"
                raise RefusedByGuardError(f"domain_op: {why}") from None
            if error is not None:
                place = error.json_path.replace("$", "domain_op", 1)
                raise RefusedByGuardError(f"{place}: {error.message[:_MAX_MESSAGE]} (schema of {domain!r})")
        return entry

    return guard
