"""Hooks of mkdocs that add the pages at the top of the project and fill in the reference.

README.md, CONTRIBUTING.md and CHANGELOG.md stay at the top of the project and become pages of the site too. So links
in them and links to them are changed for the site.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

from api_pages import with_public_names
from command_pages import with_commands
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

TOP_PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}
"""Pages at the top of the project, and their names in the site."""

_LINK = re.compile(r"\[(?P<label>[^\]]*)\]\((?!https?:|#)(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
_NAMED = re.compile(r"\bdocs/([\w/-]+)\.md\b")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the project."""
    for name, page in TOP_PAGES.items():
        with open(name, encoding="utf-8") as file:
            files.append(File.generated(config, page, content=file.read()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - named by mkdocs
    """Change links to their places in the site, and insert the public names and the commands."""
    uri = page.file.src_uri
    at = next((name for name, shown in TOP_PAGES.items() if shown == uri), join("docs", uri))
    written = _LINK.sub(lambda link: _in_site(link, at, uri), markdown)
    return with_commands(with_public_names(written))


def _in_site(link: re.Match[str], at: str, uri: str) -> str:
    """A link of the file `at`, changed for the page `uri`. If its target is not in the site, only its label."""
    path = normpath(join(dirname(at), link["target"]))
    if path in TOP_PAGES or path.startswith("docs/"):
        there = relpath(TOP_PAGES.get(path, path.removeprefix("docs/")), dirname(uri) or ".")
        return f"[{link['label']}]({there}{link['anchor'] or ''})"
    return link["label"] if Path(path).exists() else link[0]


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:  # noqa: ARG001 - named by mkdocs
    """Turn each path of a page in a docstring into a link."""

    def linked(name: re.Match[str]) -> str:
        file = files.get_file_from_path(f"{name[1]}.md")
        return f'<a href="{file.url_relative_to(page.file)}">{name[0]}</a>' if file else name[0]

    return _NAMED.sub(linked, html) if "doc-object" in html else html
