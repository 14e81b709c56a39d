"""How the code is built: sizes, layers and circles of imports, and what one append passes through.

    python -m tools.structure

All but the append is read from the source, nothing is imported for it. The command prints the figures and every
place that breaks a rule, and exits with 1 if there is one. tests/test_structure.py holds each rule as a test.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("muse", "migrations", "benchmarks", "examples", "tools")
"""Where imports are looked at. Not the tests: they may look inside the engine."""

CORE = "muse.core"
DOOR = "muse.core.op_log"
"""The one module of the engine that others import."""

CLI = "muse.cli"
LAYERS = {
    CORE: (
        ("op_log",),
        ("writer", "collapse", "checkpoint", "history", "follow", "maintenance"),
        ("paging", "batch"),
        ("index",),
        ("storage",),
        ("entry",),
        ("handle_lock", "clock"),
        ("errors", "options"),
    ),
    CLI: (("app",), ("commands",), ("options",), ("input",), ("output",), ("engine",)),
    "muse.replicate": (
        ("replica",),
        ("process",),
        ("exchange",),
        ("bookkeeping",),
        ("wire", "trial"),
        ("settings", "status"),
        ("errors",),
    ),
}
"""The rooms and single modules of each package, from top to bottom. Each imports only what lies below it."""
ALSO_ALLOWED = {
    ("history", "checkpoint"),
    ("follow", "checkpoint"),
    ("maintenance", "checkpoint"),
    ("maintenance", "history"),
}
"""Imports between neighbours of one layer that are allowed nevertheless."""

KEPT_IN = {
    "sqlite3": (CORE, "muse.core.index"),
    "sqlite_utils": (CORE, "muse.core.index"),
    "nats": ("muse", "muse.replicate.wire.link"),
}
"""Libraries that only one place imports of all that is in a package: (the package, the place)."""

HANDED_ON = {("muse.core.op_log", f"muse.{name}") for name in ("commit", "replicate", "undo")}
"""Methods of `OpLog` for convenience that hand it on to a package above the engine: not a part of its layers."""

MOST_CORE_LINES = 12_281
"""It has to stay below. Some 800 of them are what guards against processes that stop, interrupt, fork or mean harm,
1,280 tell what a log has lost and bring it back, 100 let the checkpoint follow the commits, 140 give other
hosts lines as they are, take them, and ask which host commits, 130 find the cut of a moment, 100 ask a guard,
170 search for fields of operations (`where`) and filter by several names, or by all but some,
30 explain undo, 150 find contested values, and 170 fork a session and leave its shared past out of a merge.
890 redact an operation, whole or not at all, and let all that knows its line know it as redacted. And 60 read causality
off the links of the index, so that verify need not look up each parent: a third of the time in all."""
MOST_MODULES = 10
LEAST_LINES, MOST_LINES = 40, 400
MOST_FUNCTIONS = 25


@dataclass(frozen=True)
class Module:
    """One source file."""

    name: str
    """Dotted, such as `muse.core.entry.codec`; a package's `__init__.py` has the name of the package."""
    path: Path
    """Relative to the project."""
    lines: int
    imports: frozenset[str]
    """Modules of the project, and the top-level names of others. Wherever they stand: in functions too."""
    is_package: bool
    has_code: bool
    """Whether it holds more than a docstring."""

    @property
    def in_core(self) -> bool:
        """Whether it is part of the engine."""
        return _is_in(CORE, self.name)


Modules = Mapping[str, Module]


def read_modules(root: Path) -> Modules:
    """Every module below `root`, by its dotted name."""
    paths = [path.relative_to(root) for folder in FOLDERS for path in sorted((root / folder).rglob("*.py"))]
    known = {_dotted(path): path for path in paths}
    return {name: _read(root, name, path, known) for name, path in known.items()}


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _read(root: Path, name: str, path: Path, known: Mapping[str, Path]) -> Module:
    source = (root / path).read_text(encoding="utf-8")
    tree = ast.parse(source, path)
    is_package = path.name == "__init__.py"
    return Module(
        name=name,
        path=path,
        lines=len(source.splitlines()),
        imports=frozenset(_nearest(target, known) for target in _targets(tree, name if is_package else _parent(name))),
        is_package=is_package,
        has_code=len(tree.body) > (ast.get_docstring(tree) is not None),
    )


def _targets(tree: ast.Module, package: str) -> Iterator[str]:
    """What the import statements name, attributes included; `package` is where relative ones start."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package.split(".")[: package.count(".") + 2 - node.level]) if node.level else ""
            base = ".".join(filter(None, (above, node.module)))
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _nearest(target: str, known: Mapping[str, Path]) -> str:
    """The module of the project that holds `target`, or the first part of a name from outside."""
    name = target
    while name not in known and "." in name:
        name = _parent(name)
    return name


def _parent(name: str) -> str:
    return name.rpartition(".")[0]


def _is_in(package: str, name: str) -> bool:
    return f"{name}.".startswith(f"{package}.")


def _layer_name(name: str, package: str) -> str:
    return name.removeprefix(f"{package}.").partition(".")[0]


# The rules. Each returns the places that break it.


def core_lines(modules: Modules) -> int:
    """How many lines the engine has."""
    return sum(module.lines for module in modules.values() if module.in_core)


def folder_sizes(modules: Modules) -> dict[Path, tuple[int, int]]:
    """Modules (without `__init__.py`) and lines (with it) of each folder of the engine."""
    core = [module for module in modules.values() if module.in_core]
    counts = Counter(module.path.parent for module in core if not module.is_package)
    lines: Counter[Path] = Counter()
    for module in core:
        lines[module.path.parent] += module.lines
    return {folder: (counts[folder], lines[folder]) for folder in sorted(lines)}


def crowded_folders(modules: Modules) -> list[str]:
    """Folders of a package with layers that have more than ten modules."""
    inner = [module for module in modules.values() if any(_is_in(package, module.name) for package in LAYERS)]
    counts = Counter(module.path.parent for module in inner if not module.is_package)
    return [f"{folder}: {count} modules" for folder, count in counts.items() if count > MOST_MODULES]


def odd_sizes(modules: Modules) -> list[str]:
    """Modules of the engine that are too short or too long; docstrings may make `op_log.py` longer."""
    return [
        f"{module.path}: {module.lines} lines"
        for module in modules.values()
        if module.in_core and not module.is_package and module.name != DOOR
        if not LEAST_LINES <= module.lines <= MOST_LINES
    ]


def packages_with_code(modules: Modules) -> list[str]:
    """`__init__.py` files of the engine that hold code, which no limit would count."""
    return [str(module.path) for module in modules.values() if module.in_core and module.is_package and module.has_code]


def upward_imports(modules: Modules) -> list[str]:
    """Imports in a package with layers that do not go down, and modules that are in no layer."""
    return [found for package, layers in LAYERS.items() for found in _upward_imports(modules, package, layers)]


def _upward_imports(modules: Modules, package: str, layers: tuple[tuple[str, ...], ...]) -> list[str]:
    depths = {name: depth for depth, names in enumerate(layers) for name in names}
    inner = [module for module in modules.values() if _is_in(package, module.name) and module.name != package]
    unplaced = sorted({_layer_name(module.name, package) for module in inner} - set(depths))
    found = [f"{package}.{name} is in no layer" for name in unplaced]
    for module in inner:
        for imported in sorted(name for name in module.imports if _is_in(package, name)):
            pair = (_layer_name(module.name, package), _layer_name(imported, package))
            if pair[0] == pair[1] or pair in ALSO_ALLOWED or not depths.keys() >= set(pair):
                continue
            if depths[pair[0]] >= depths[pair[1]]:
                found.append(f"{module.name} imports {imported}")
    return found


def commands_that_import_commands(modules: Modules) -> list[str]:
    """Imports from one command to another; a folder with a `command.py` is one command."""
    commands = f"{CLI}.commands"
    return [
        f"{module.name} imports {imported}"
        for module in modules.values()
        if _is_in(commands, module.name)
        for imported in sorted(module.imports)
        if _is_in(commands, imported)
        if _parent(imported) != _parent(module.name) or f"{_parent(imported)}.command" not in modules
    ]


def circles(modules: Modules) -> list[str]:
    """Modules of muse that import each other, directly or not."""
    muse = [name for name in modules if name.partition(".")[0] == "muse"]
    reached = {name: _reached(modules, name) for name in muse}
    found = {
        tuple(sorted(other for other in reached[name] if name in reached[other]))
        for name in muse
        if name in reached[name]
    }
    return [" <-> ".join(circle) for circle in sorted(found)]


def _reached(modules: Modules, start: str) -> set[str]:
    """What one gets to from a module by one import or more."""
    reached: set[str] = set()
    ahead = [start]
    while ahead:
        module = ahead.pop()
        imports = {name for name in modules[module].imports if (module, name) not in HANDED_ON}
        new = (imports & modules.keys()) - reached
        reached |= new
        ahead += new
    return reached


def side_doors(modules: Modules) -> list[str]:
    """Imports of the engine from outside that go past `muse.core.op_log`."""
    return [
        f"{module.name} imports {imported}"
        for module in modules.values()
        if not module.in_core
        for imported in sorted(module.imports)
        if _is_in(CORE, imported) and imported != DOOR
    ]


def libraries_outside_their_place(modules: Modules) -> list[str]:
    """Imports of a library elsewhere than where it is kept."""
    return [
        f"{module.name} imports {library}"
        for module in modules.values()
        for library, (package, place) in KEPT_IN.items()
        if library in module.imports and _is_in(package, module.name) and not _is_in(place, module.name)
    ]


# What one append passes through.


class Passage(NamedTuple):
    """The Python functions of one folder that a call passed through."""

    functions: list[str]
    """`file:name`, each once, in the order they were entered."""
    calls: int
    jumps: int
    """Calls from a module into another one."""

    @property
    def modules(self) -> int:
        """How many modules the functions are in."""
        return len({function.partition(":")[0] for function in self.functions})


_COMPREHENSIONS = {"<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"}
"""Part of the function they stand in: from Python 3.12 on, most of them are not calls any more."""


def trace(work: Callable[[], object], folder: Path) -> Passage:
    """Call `work`, and note each function of a file below `folder` that is entered."""
    functions: dict[str, None] = {}
    calls: Counter[str] = Counter()

    def is_counted(frame: FrameType) -> bool:
        code = frame.f_code
        return code.co_name not in _COMPREHENSIONS and Path(code.co_filename).is_relative_to(folder)

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or not is_counted(frame):
            return
        caller = frame.f_back
        while caller is not None and not is_counted(caller):
            caller = caller.f_back
        file = frame.f_code.co_filename
        functions[f"{Path(file).relative_to(folder)}:{frame.f_code.co_qualname}"] = None
        calls["all"] += 1
        calls["jumps"] += caller is not None and caller.f_code.co_filename != file

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return Passage(list(functions), calls["all"], calls["jumps"])


def trace_append() -> Passage:
    """What `OpLog.append` passes through with a fresh entry and a handle that has appended before."""
    from muse.core.op_log import OpLog, make_op_entry  # noqa: PLC0415 - the rest of this module reads source only

    op = {"op": "insert", "address": "bar:1", "position": 0, "content_id": "c4", "content_summary": "C4"}
    with TemporaryDirectory() as repo, OpLog(repo, "traced") as log:
        parent = make_op_entry("ada", "music", op, 0)
        log.append(parent)
        for lamport_ts in range(1, 10):
            entry = make_op_entry("ada", "music", op, lamport_ts, parent_op_ids=[parent["op_id"]])
            passage = trace(partial(log.append, entry), ROOT / "muse")
            parent = entry
    return passage


def main() -> int:
    """Print the figures and what breaks a rule; 1 if something does."""
    modules = read_modules(ROOT)
    lines = core_lines(modules)
    for folder, (count, folder_lines) in folder_sizes(modules).items():
        print(f"{folder!s:30} {count:3} modules {folder_lines:6,} lines")
    print(f"{'muse/core in all':41} {lines:6,} lines (fewer than {MOST_CORE_LINES:,})")

    rules = {
        f"folders with more than {MOST_MODULES} modules": crowded_folders(modules),
        f"modules of less than {LEAST_LINES} or more than {MOST_LINES} lines": odd_sizes(modules),
        "packages with code of their own": packages_with_code(modules),
        "imports that do not go down": upward_imports(modules),
        "commands that import another command": commands_that_import_commands(modules),
        "circles of imports": circles(modules),
        f"imports of the engine past {DOOR}": side_doors(modules),
        "imports of a library outside its place": libraries_outside_their_place(modules),
    }
    for rule, found in rules.items():
        print(f"\n{rule}: {len(found) or 'none'}")
        for place in found:
            print(f"  {place}")

    passage = trace_append()
    print(
        f"\none append: {len(passage.functions)} functions (at most {MOST_FUNCTIONS}) in {passage.modules} modules, "
        f"{passage.calls} calls, {passage.jumps} of them from one module into another"
    )
    for function in passage.functions:
        print(f"  {function}")
    return int(lines >= MOST_CORE_LINES or len(passage.functions) > MOST_FUNCTIONS or any(rules.values()))


if __name__ == "__main__":
    sys.exit(main())
