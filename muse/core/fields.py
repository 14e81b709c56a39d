"""The fields of a dict from outside, checked by pydantic's core: each there, each of its type, nothing converted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import CoreConfig, CoreSchema, SchemaValidator, core_schema


def checker_of(
    required: Mapping[str, CoreSchema], optional: Mapping[str, CoreSchema] | None = None
) -> Callable[[Any], object]:
    """A check for dicts with these fields; further keys are fine. It raises `pydantic_core.ValidationError`."""
    fields = {name: core_schema.typed_dict_field(rule) for name, rule in required.items()}
    for name, rule in (optional or {}).items():
        fields[name] = core_schema.typed_dict_field(rule, required=False)
    schema = core_schema.typed_dict_schema(fields, extra_behavior="allow", config=CoreConfig(strict=True))
    return SchemaValidator(schema).validate_python
