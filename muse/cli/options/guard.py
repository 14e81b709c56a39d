"""The options that put a guard before the log: `--guard` and `--schema`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from muse.cli.engine import engine
from muse.cli.output.failures import WrongUsage
from muse.cli.output.printing import note, pluralize
from muse.cli.output.together import Decorator, together


def guard_options(what: str) -> Decorator:
    """Add `--guard` and `--schema`; `what` says in the help what becomes of an entry that they don't let pass.

    The command receives the guard as `guard`, None if neither is given.
    """
    return together(
        "guard",
        _guard,
        click.option(
            "--guard",
            type=click.Choice(["secrets"]),
            multiple=True,
            help=f"secrets: {what} an entry with an API key, a private key or a password in a URL.",
        ),
        click.option(
            "--schema",
            metavar="DOMAIN=FILE",
            multiple=True,
            help="Hold the operations of DOMAIN to the JSON schema in FILE, as --guard does; may be repeated.",
        ),
    )


def note_would_refuse(number: int) -> None:
    """Say how many entries were taken over that the guard would have refused, if any."""
    if number:
        note(f"{pluralize(number, 'entry')} taken over unchanged would have been refused by the guard here")


def _guard(guard: tuple[str, ...], schema: tuple[str, ...]) -> engine.Guard | None:
    if not guard and not schema:
        return None
    from muse.guards import GuardUnavailableError, all_of, json_schema, load_detectors, refuse_secrets

    try:
        schemas: dict[str, Any] = {}
        for domain, found in map(_read_schema, schema):
            if domain in schemas:
                raise WrongUsage(f"--schema {domain}=…: given twice, but a domain has one schema")
            schemas[domain] = found
        guards = [json_schema(schemas)] if schemas else []
        if "secrets" in guard:
            load_detectors()
            # First, so that what another guard says of an entry can't hold a secret.
            guards.insert(0, refuse_secrets)
    except GuardUnavailableError as error:
        raise WrongUsage(str(error)) from None
    return all_of(*guards)


def _read_schema(option: str) -> tuple[str, Any]:
    domain, separator, file = option.partition("=")
    if not (domain and separator and file):
        raise WrongUsage(f"--schema {option}: must be DOMAIN=FILE")
    try:
        return domain, engine.parse_object(Path(file).read_bytes().strip())
    except engine.InvalidEntryError as error:
        raise WrongUsage(f"--schema: {file}: {error}") from None
    except OSError as error:
        raise WrongUsage(f"--schema: {file}: {error.strerror}") from None
