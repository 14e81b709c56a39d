"""The structure of the code: each rule of tools/structure.py holds, and each would be noticed if it did not."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import children

if TYPE_CHECKING:
    # mypy knows the modules of tools/ by the names that the hooks of the site import them with.
    import structure
else:
    from tools import structure

FULL = "pass\n" * 100


def tree(root: Path, files: dict[str, str]) -> structure.Modules:
    """The modules of a project with these files, by path from its top."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return structure.read_modules(root)


# The rules, held against the engine.


@pytest.fixture(scope="module")
def modules() -> structure.Modules:
    """Every module of the project: to read them takes a while."""
    return structure.read_modules(structure.ROOT)


def test_every_module_of_the_engine_is_looked_at(modules: structure.Modules) -> None:
    """The rules below are held against all there is: as many modules and lines as the files on disk."""
    paths = list((structure.ROOT / "muse/core").rglob("*.py"))
    found = [module for module in modules.values() if module.in_core]

    assert {structure.ROOT / module.path for module in found} == set(paths)
    assert structure.core_lines(modules) == sum(path.read_bytes().count(b"\n") for path in paths)


def test_engine_does_not_grow(modules: structure.Modules) -> None:
    """All of it has fewer lines than the limit: whoever raises it says what for."""
    assert structure.core_lines(modules) < structure.MOST_CORE_LINES


def test_no_folder_has_more_than_ten_modules(modules: structure.Modules) -> None:
    """A folder listing is a map as long as it is short."""
    assert structure.crowded_folders(modules) == []


def test_every_module_of_the_engine_has_between_40_and_400_lines(modules: structure.Modules) -> None:
    """A module is one idea: not a few lines, not a book."""
    assert structure.odd_sizes(modules) == []


def test_packages_of_the_engine_hold_docstrings_only(modules: structure.Modules) -> None:
    """What an `__init__.py` holds is not counted as a module, so no code hides there."""
    assert structure.packages_with_code(modules) == []


def test_imports_only_go_down(modules: structure.Modules) -> None:
    """From the public class down to errors and options; from the commands, and a replica, down to what they share."""
    assert structure.upward_imports(modules) == []


def test_no_command_imports_another_one(modules: structure.Modules) -> None:
    """What two commands need lies below both."""
    assert structure.commands_that_import_commands(modules) == []


def test_no_modules_import_each_other_in_a_circle(modules: structure.Modules) -> None:
    """Any module can be understood with those below it alone."""
    assert structure.circles(modules) == []


def test_engine_is_imported_through_op_log_only(modules: structure.Modules) -> None:
    """All the rest of the engine can be changed without looking at its users."""
    assert structure.side_doors(modules) == []


def test_only_the_index_imports_sqlite_and_only_one_module_nats(modules: structure.Modules) -> None:
    """No other part of the engine knows what the index is kept in, and none at all whose client talks to servers."""
    assert structure.libraries_outside_their_place(modules) == []


def test_one_append_passes_through_at_most_25_functions() -> None:
    """Whoever looks for what an append costs reads no more than that."""
    passage = structure.trace_append()

    assert passage.functions[0] == "core/op_log.py:OpLog.append"
    assert len(passage.functions) <= structure.MOST_FUNCTIONS, "\n".join(passage.functions)


# The rules, held against small projects that break them.


@pytest.mark.parametrize(
    "statement",
    [
        "import muse.core.writer",
        "import muse.core.writer as w, os",
        "from muse.core import writer",
        "from muse.core.writer import Appender",
        "from ..writer import Appender",
        "from .. import writer",
        "def f():\n    from muse.core.writer import Appender",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from muse.core.writer import Appender",
    ],
)
def test_import_that_goes_up_is_found(tmp_path: Path, statement: str) -> None:
    """However it is spelled and wherever it stands."""
    modules = tree(tmp_path, {"muse/core/writer.py": "", "muse/core/entry/codec.py": statement})

    assert structure.upward_imports(modules) == ["muse.core.entry.codec imports muse.core.writer"]


def test_imports_of_neighbours_are_found_unless_they_are_allowed(tmp_path: Path) -> None:
    """In one layer only history, follow and maintenance may import another package, and only checkpoint."""
    both = "import muse.core.checkpoint.record, muse.core.writer, muse.core.errors, json"
    files = {f"muse/core/{name}.py": "" for name in ("writer", "errors", "checkpoint/record")}
    modules = tree(tmp_path, {**files, "muse/core/history/causal.py": both, "muse/core/collapse.py": both})

    assert structure.upward_imports(modules) == [
        "muse.core.collapse imports muse.core.checkpoint.record",
        "muse.core.collapse imports muse.core.writer",
        "muse.core.history.causal imports muse.core.writer",
    ]


def test_import_from_what_commands_share_to_a_command_is_found(tmp_path: Path) -> None:
    """And from one command to another, but not between the modules of one command."""
    both = "from muse.cli.commands.read.tail import tail\nimport muse.cli.output.listing"
    names = ("commands/read/tail", "commands/watch/view", "output/listing")
    files = {f"muse/cli/{name}.py": "" for name in names}
    files |= {f"muse/cli/{name}.py": both for name in ("options/filters", "commands/read/show", "app")}
    files["muse/cli/commands/watch/command.py"] = f"import muse.cli.commands.watch.view\n{both}"
    modules = tree(tmp_path, files)

    to_tail = "imports muse.cli.commands.read.tail"
    assert structure.upward_imports(modules) == [f"muse.cli.options.filters {to_tail}"]
    between = structure.commands_that_import_commands(modules)
    assert between == [f"muse.cli.commands.read.show {to_tail}", f"muse.cli.commands.watch.command {to_tail}"]


def test_module_in_no_layer_is_found(tmp_path: Path) -> None:
    """A new module is not left out of the rule because nobody gave it a place."""
    modules = tree(tmp_path, {"muse/core/helper.py": "import muse.core.errors", "muse/core/errors.py": ""})

    assert structure.upward_imports(modules) == ["muse.core.helper is in no layer"]


def test_circles_are_found_at_any_length(tmp_path: Path) -> None:
    """Two that import each other, three in a ring; but not what leads into a circle or out of it."""
    modules = tree(
        tmp_path,
        {
            "muse/a.py": "import muse.b",
            "muse/b.py": "def f():\n    from muse import a",
            "muse/cli/c.py": "import muse.cli.d",
            "muse/cli/d.py": "from . import e",
            "muse/cli/e.py": "from muse.cli.c import x\nimport muse.leaf",
            "muse/leaf.py": "",
            "muse/root.py": "import muse.a",
        },
    )

    assert structure.circles(modules) == ["muse.a <-> muse.b", "muse.cli.c <-> muse.cli.d <-> muse.cli.e"]


@pytest.mark.process
def test_log_is_handed_on_without_being_in_a_circle(tmp_path: Path) -> None:
    """`OpLog.commit` may import what stands above it; nothing else may, nor does the engine load it."""
    modules = tree(
        tmp_path,
        {
            "muse/core/op_log.py": "def commit():\n    from muse.commit import commit",
            "muse/core/writer.py": "def f():\n    from muse.commit import commit",
            "muse/commit/__init__.py": "from muse.core.op_log import OpLog\nimport muse.core.writer",
        },
    )

    assert structure.circles(modules) == ["muse.commit <-> muse.core.writer"]
    loaded = children.run([sys.executable, "-c", "import muse.core.op_log, sys; print(*sys.modules)"], text=True)
    assert "muse.core.op_log" in loaded.stdout.split()
    assert not [name for name in loaded.stdout.split() if name.startswith("muse.commit")]


@pytest.mark.parametrize("folder", ["muse", "muse/cli", "migrations", "benchmarks", "examples", "tools"])
def test_import_past_op_log_is_found(tmp_path: Path, folder: str) -> None:
    """In the rest of the package and in what stands beside it."""
    inner = {"muse/core/op_log.py": "import muse.core.errors", "muse/core/errors.py": ""}
    modules = tree(
        tmp_path, {**inner, f"{folder}/x.py": "from muse.core.op_log import x\nfrom muse.core.errors import y"}
    )

    assert structure.side_doors(modules) == [f"{folder.replace('/', '.')}.x imports muse.core.errors"]


@pytest.mark.parametrize("statement", ["import sqlite3", "from sqlite3 import dbapi2", "from sqlite_utils.db import X"])
def test_import_of_sqlite_outside_the_index_is_found(tmp_path: Path, statement: str) -> None:
    """The standard module and sqlite-utils; in the index, and outside the engine, both are fine."""
    modules = tree(
        tmp_path,
        {"muse/core/index/file.py": statement, "muse/core/writer.py": statement, "muse/cli/export.py": statement},
    )

    (found,) = structure.libraries_outside_their_place(modules)
    assert found.startswith("muse.core.writer imports sqlite")


def test_replication_is_held_to_the_rules_too(tmp_path: Path) -> None:
    """A room that imports the one above, an eleventh module, and the client of NATS anywhere but in its one module."""
    files = {f"muse/replicate/wire/m{number}.py": "" for number in range(10)}
    files["muse/replicate/wire/link.py"] = "import nats\nfrom muse.replicate.exchange.round import Round"
    files["muse/replicate/exchange/round.py"] = "from nats.errors import Error"
    modules = tree(tmp_path, files)

    assert structure.upward_imports(modules) == ["muse.replicate.wire.link imports muse.replicate.exchange.round"]
    assert structure.crowded_folders(modules) == ["muse/replicate/wire: 11 modules"]
    assert structure.libraries_outside_their_place(modules) == ["muse.replicate.exchange.round imports nats"]


def test_sizes_out_of_bounds_are_found(tmp_path: Path) -> None:
    """An eleventh module, 39 and 401 lines, code in a package; 40 and 400 are fine, and op_log.py may be longer."""
    files = {f"muse/core/entry/m{number}.py": FULL for number in range(11)}
    lengths = {"writer": 39, "paging": 40, "collapse": 400, "errors": 401, "op_log": 700}
    files |= {f"muse/core/{name}.py": "pass\n" * lines for name, lines in lengths.items()}
    files |= {"muse/core/__init__.py": '"""A map."""\n', "muse/core/entry/__init__.py": '"""A map."""\nimport os\n'}
    modules = tree(tmp_path, files)

    assert structure.crowded_folders(modules) == ["muse/core/entry: 11 modules"]
    assert sorted(structure.odd_sizes(modules)) == ["muse/core/errors.py: 401 lines", "muse/core/writer.py: 39 lines"]
    assert structure.packages_with_code(modules) == ["muse/core/entry/__init__.py"]
    assert structure.core_lines(modules) == 11 * 100 + sum(lengths.values()) + 3


def test_trace_counts_functions_calls_and_jumps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a call whose way is known; a comprehension is part of its function, and what lies elsewhere is not counted."""
    (tmp_path / "traced_inner.py").write_text("def half(n): return n // 2\n")
    (tmp_path / "traced_outer.py").write_text(
        "from os.path import join\nfrom traced_inner import half\n"
        "def each(ns): return [plus(half(n)) for n in ns]\n"
        "def plus(n):\n    join('a', 'b')\n    return n + 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import traced_outer  # type: ignore[import-not-found] # written above

    before = sys.getprofile()
    passage = structure.trace(partial(traced_outer.each, [2, 4, 6]), tmp_path)

    assert passage.functions == ["traced_outer.py:each", "traced_inner.py:half", "traced_outer.py:plus"]
    # each once, half and plus three times; only half lies in another module than its caller.
    assert (passage.calls, passage.jumps, passage.modules) == (7, 3, 2)
    assert sys.getprofile() is before
