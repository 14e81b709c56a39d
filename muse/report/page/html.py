"""The report as one HTML file that contains its data, style and script and loads nothing else.

Three measures prevent text from a log from injecting markup or script. The data is JSON in which `<` is escaped, so
that no text can close its element. The script inserts text only as text nodes. The content security policy allows
nothing but the page's own script and style, identified by their digests.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from importlib.resources import files
from typing import Any

import orjson

from muse.report.palette import style_variables

_SCRIPTS = (
    *("dom", "model", "axes", "view", "paint", "strip", "diagram"),
    *("controls", "details", "charts", "fragment", "sections", "start"),
)
"""The parts of the script. Each uses only the parts before it."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="muse-op-log">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main id="page"><noscript>This report needs JavaScript. The script is part of this file.</noscript></main>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def report_page(data: dict[str, Any]) -> str:
    """Return the whole HTML file; `data` is the result of `page_data`."""
    style = style_variables() + _asset("report.css")
    script = '"use strict";\n(() => {\n' + "\n".join(_asset(f"{name}.js") for name in _SCRIPTS) + "\n})();\n"
    policy = (
        f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=policy, title=escape(f"{data['session']} · op log"), style=style, data=_as_json(data), script=script
    )


def _asset(name: str) -> str:
    return (files("muse.report.page") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _as_json(data: dict[str, Any]) -> str:
    return orjson.dumps(data).decode().replace("<", "\\u003c")
