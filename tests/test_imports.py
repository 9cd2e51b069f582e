"""The import order of docs/architecture.md, read from there and held by every module; and what stays light."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "mnistlab"
HEAVY = {"jax", "keras", "pandas", "matplotlib", "scipy", "sklearn"}
NEVER = {
    "execution": {"mnistlab.store"},
    "analysis": {"mnistlab.store", "mnistlab.engines", "mnistlab.dnn_model", "keras", "jax"},
}


def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
ROOMS = sorted(set(MODULES) - {"mnistlab"})


def order():
    block = re.search(r"```order\n(.*?)```", (ROOT / "docs/architecture.md").read_text(encoding="utf-8"), re.DOTALL)
    return {f"mnistlab.{name}": line for line, names in enumerate(block[1].splitlines()) for name in names.split()}


ORDER = order()


def line_of(module):
    """The line of the module itself, else of the nearest room around it."""
    while module not in ORDER:
        assert "." in module, "no place in docs/architecture.md"
        module = module.rpartition(".")[0]
    return ORDER[module]


def imports(module, top_level_only=False):
    """Names of all modules a module imports, in functions too; the package's own verbs count as `mnistlab.lab`."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ("mnistlab.lab" if alias.name == "mnistlab" else alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in MODULES:
                    yield whole
                elif node.module != "mnistlab":
                    yield node.module
                elif alias.name != "__version__":
                    yield "mnistlab.lab"


def own(module, **only):
    return [name for name in imports(module, **only) if name.startswith("mnistlab")]


def test_every_name_in_the_order_is_a_module():
    assert set(ORDER) <= set(MODULES)


@pytest.mark.parametrize("module", ROOMS)
def test_a_module_imports_from_its_own_line_or_any_line_above(module):
    assert [name for name in own(module) if line_of(name) > line_of(module)] == []


@pytest.mark.parametrize("room", NEVER)
def test_some_rooms_never_open_some_doors(room):
    modules = [name for name in ROOMS if name.split(".")[1] == room]
    assert modules
    for module in modules:
        doors = {name for name in imports(module) for door in NEVER[room] if f"{name}.".startswith(f"{door}.")}
        assert doors == set(), module


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {module: own(module, top_level_only=True) for module in ROOMS}
    order = [*graphlib.TopologicalSorter(graph).static_order()]  # a circle has none
    assert set(ROOMS) <= set(order)


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, mnistlab; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "mnistlab" in loaded
    assert HEAVY & set(loaded) == set()


def test_reading_a_study_loads_nothing_heavy():
    code = "import sys, mnistlab.study as s; s.load_config('lab'); print(*{n.partition('.')[0] for n in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert HEAVY & set(loaded) == set()
