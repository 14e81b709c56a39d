"""What is refused: fields, values and arguments that are not what the format or the call asks for.

An entry is validated field by field with pydantic, and value by value for what JSON can't carry exactly: NaN would be
written as null, a tuple as a list, an enum member as text, and what is read would not equal what was appended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, ValidationError, core_schema

from muse.core.entry.model import OpEntry
from muse.core.errors import InvalidArgumentError, InvalidEntryError, LimitExceededError
from muse.core.options import MAX_LAMPORT_TS, MAX_NESTING


def dict_validator(
    required: Mapping[str, CoreSchema], optional: Mapping[str, CoreSchema] | None = None
) -> SchemaValidator:
    """A validator for dicts with these fields, nothing converted; further keys are fine."""
    fields = {name: core_schema.typed_dict_field(rule) for name, rule in required.items()}
    for name, rule in (optional or {}).items():
        fields[name] = core_schema.typed_dict_field(rule, required=False)
    schema = core_schema.typed_dict_schema(fields, extra_behavior="allow", config=CoreConfig(strict=True))
    return SchemaValidator(schema)


# Anchored: pydantic's regex engine knows no fullmatch, and its $ matches at the very end only.
# The versions of RFC 9562. No UUID of zeros, with which the index marks a line that is not an entry.
_op_id = core_schema.str_schema(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$")
_name = core_schema.str_schema(min_length=1)
_text = core_schema.str_schema()

# In the terms of pydantic's core: TypeAdapter takes longer to load than all the rest of the engine.
_rules = {
    "op_id": _op_id,
    "actor_id": _name,
    "lamport_ts": core_schema.int_schema(ge=0, le=MAX_LAMPORT_TS),
    "parent_op_ids": core_schema.list_schema(_op_id),
    "domain": _name,
    "domain_op": core_schema.dict_schema(_text),
    "created_at": _text,
    "intent_id": _text,
    "reservation_id": _text,
}
_validator = dict_validator(_rules)
# Half the time: it makes no copy, and leaves the keys of the operation to the JSON encoder, which refuses what is not
# text, or to the parser, which gives nothing else.
has_valid_fields = dict_validator({**_rules, "domain_op": core_schema.is_instance_schema(dict)}).isinstance_python
"""Whether a value is a dict with the nine fields, each of its type; `check_fields` says what is wrong."""


def check_fields(entry: Any) -> None:
    """Raise `InvalidEntryError`, naming the first field that is wrong, unless `has_valid_fields`."""
    if not has_valid_fields(entry):
        check_dict(_validator, entry)


def check_dict(validator: SchemaValidator, value: Any) -> None:
    """Raise `InvalidEntryError`, naming the first field that is wrong, unless `validator` takes the value."""
    try:
        validator.validate_python(value)
    except ValidationError as error:
        raise _refusal(error) from None


_WORDING = {
    "dict_type": "must be a JSON object, a plain dict",
    "greater_than_equal": "must be at least {ge}",
    "int_type": "must be an integer",
    "is_instance_of": "must be a JSON object, a plain dict",
    "less_than_equal": "must be at most {le}",
    "list_type": "must be a list",
    "literal_error": "must be {expected}",
    "string_too_short": "must not be empty",
    "string_type": "must be text",
    "string_unicode": "must be text in UTF-8",
}
"""What a kind of error of pydantic's is called here, so that every message has the words of the documents."""


def _refusal(error: ValidationError) -> InvalidEntryError:
    first = error.errors(include_url=False)[0]
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    place = _place(part for part in first["loc"] if part != "[key]")
    if "[key]" in first["loc"]:
        return InvalidEntryError(f"{place}: the key {_shown(first['input'])} is not plain text{more}")
    if first["type"] == "missing":
        return InvalidEntryError(f"{place}: the field is missing{more}")
    known = _WORDING.get(first["type"])
    text = known.format_map(first.get("ctx", {})) if known else first["msg"]
    if first["type"] == "string_pattern_mismatch" and "op_id" in place:
        text = "must be a UUID in canonical text, such as 1b4e28ba-2fa1-41d2-883f-0016d3cca427"
    if place == "parent_op_ids":
        text = "must be a list of op_ids"
    is_limit = place == "lamport_ts" and first["type"] in ("less_than_equal", "greater_than_equal")
    kind = LimitExceededError if is_limit else InvalidEntryError
    return kind(f"{place}: {text}, but is {_shown(first['input'])}{more}")


def check_exact(value: Any, path: tuple[str | int, ...] = ()) -> None:
    """Raise `InvalidEntryError`, with its path, for the first value that JSON would turn into something else.

    `LimitExceededError` if it nests deeper than `MAX_NESTING`. Integers past 64 bits and lone surrogates are left to
    the encoder, which sees them anyway.
    """
    kind = type(value)
    if kind is dict:
        pairs: Iterable[tuple[Any, Any]] = value.items()
    elif kind is list:
        pairs = enumerate(value)
    elif kind in _EXACT:
        return
    elif kind is float:
        if math.isfinite(value):
            return
        raise InvalidEntryError(f"{_place(path)}: {value!r} has no JSON form: use null or text")
    else:
        raise InvalidEntryError(
            f"{_place(path)}: a {kind.__module__}.{kind.__qualname__} is not JSON and would be read back as "
            f"something else: convert it first ({_shown(value)})"
        )
    if len(path) >= MAX_NESTING:
        raise LimitExceededError(f"{_place(path[:6])}…: nests deeper than {MAX_NESTING} levels: flatten it")
    for key, item in pairs:
        if kind is dict and type(key) is not str:
            raise InvalidEntryError(f"{_place(path)}: key {_shown(key)} is not plain text, as JSON asks for")
        # The scalars are the bulk: asked here, they cost no call and no path.
        if type(item) not in _EXACT:
            check_exact(item, (*path, key))


_EXACT = frozenset({str, int, bool, type(None)})
_PLAIN_FIELDS = (str, str, int, list, str, dict, str, str, str)
_all_exact = _EXACT.issuperset


def is_plain(entry: OpEntry) -> bool:
    """Whether an entry with valid fields is known to be exact at one look: a flat operation of text and whole numbers.

    Most are, with the nine fields in their order. The encoder refuses keys that are not plain text.
    """
    return (
        tuple(map(type, entry.values())) == _PLAIN_FIELDS
        and _all_exact(map(type, entry["domain_op"].values()))
        and _all_exact(map(type, entry["parent_op_ids"]))
    )


def find_unencodable(value: Any, path: tuple[str | int, ...] = ()) -> str:
    """Where and why the encoder refused `value`: an integer past 64 bits or a lone surrogate."""
    if isinstance(value, (dict, list)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if found := find_unencodable(key, path) or find_unencodable(item, (*path, key)):
                return found
    elif isinstance(value, int) and not -(2**63) <= value < 2**64:
        return f"{_place(path)}: the integer {_shown(value)} does not fit 64 bits: store it as text"
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return f"{_place(path)}: the text {_shown(value)} holds a lone surrogate, which UTF-8 can't carry"
    return ""


def _place(path: Iterable[str | int]) -> str:
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).removeprefix(".").encode("utf-8", "backslashreplace").decode() or "entry"


def _shown(value: Any) -> str:
    """`repr`, short enough for a message whatever the value's size."""
    if isinstance(value, (str, bytes)):
        value = value[:60]
    elif isinstance(value, int) and abs(value) > 2**128:
        return f"{hex(value)[:30]}…"
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        return f"a {type(value).__name__} of {len(value)} items"
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"


def check_name(argument: str, value: object) -> None:
    """Raise `InvalidArgumentError` if `value` is not text that an entry could hold."""
    if not isinstance(value, str) or (not value.isascii() and find_unencodable(value)):
        raise InvalidArgumentError(f"{argument}: must be text in UTF-8, not {value!r}")


def check_number(argument: str, value: object, *, lowest: int | None = None, highest: int | None = None) -> None:
    """Raise `InvalidArgumentError` if `value` is not an integer, or outside the bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgumentError(f"{argument}: must be an integer, not {value!r}")
    if lowest is not None and value < lowest:
        raise InvalidArgumentError(f"{argument}: must be at least {lowest}, not {value}")
    if highest is not None and value > highest:
        raise InvalidArgumentError(f"{argument}: must be at most {highest}, not {value}")


def check_seconds(argument: str, value: object) -> None:
    """Raise `InvalidArgumentError` if `value` is not a span of time."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value < 0:
        raise InvalidArgumentError(f"{argument}: must be a number of seconds, 0 or more, not {value!r}")
