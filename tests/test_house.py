"""The rules of the house: who may import whom, what is never called, and what an import costs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import napari_ore_minerals

PACKAGE = napari_ore_minerals.__name__
ROOT = Path(napari_ore_minerals.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))

FLOORS = {
    "": 0, "errors": 0, "progress": 0, "minerals": 0, "markup": 0, "plots": 0, "images": 1, "models": 2, "maps": 3, "exports": 4, "learning": 4,
    "batch": 5, "cli": 5, "widgets": 5, "__main__": 6,
}  # fmt: skip
SIDEWAYS = {(5, 5)}  # batch, cli and widgets do not know each other
FRONT_END = {"napari", "qtpy", "superqt", "magicgui", "PyQt5", "PyQt6", "PySide2", "PySide6", "vispy"}
BANNED_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BANNED_CALLS = {
    "eval", "exec", "compile", "torch.load", "torch.save", "numpy.save", "yaml.load", "yaml.unsafe_load", "os.system",
    "dask.array.from_npy_stack", "cv2.imread", "cv2.imwrite", "shutil.unpack_archive", "pooch.Untar", "pooch.Unzip",
}  # fmt: skip
BANNED_METHODS = {"extractall", "from_npy_stack", "read_pickle", "to_pickle"}
FOREIGN = (
    ROOT / "models" / "foreign.py"
)  # reads checkpoints of others in a child process that does nothing else
BANNED_ARGUMENTS = {"shell": True, "allow_pickle": True, "weights_only": False}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def room(dotted: str) -> str:
    """Name the room of a module of the package: ``images`` for ``napari_ore_minerals.images.tiles``."""
    parts = dotted.split(".")
    return parts[1] if len(parts) > 1 else ""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported anywhere in a file, also inside functions."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(
                    [*package.split(".")[: len(package.split(".")) - node.level + 1], base]
                ).strip(".")
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def aliases(path: Path) -> dict[str, str]:
    """What the names in a file stand for: ``{"np": "numpy", "load": "torch.load"}``."""
    known: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return known


def called(node: ast.Call, known: dict[str, str]) -> str:
    """Full name of what is called, as far as it can be read off."""
    parts: list[str] = []
    target: ast.expr = node.func
    while isinstance(target, ast.Attribute):
        parts.insert(0, target.attr)
        target = target.value
    parts.insert(0, known.get(target.id, target.id) if isinstance(target, ast.Name) else "()")
    return ".".join(parts)


def upward_imports(path: Path) -> list[str]:
    mine = room(module_of(path))
    found = []
    for line, name in imports(path):
        if name.split(".")[0] != PACKAGE or path == ROOT / "__init__.py":
            continue
        other = room(name)
        if other == mine or other not in FLOORS:
            continue
        if FLOORS[other] > FLOORS[mine] or (FLOORS[mine], FLOORS[other]) in SIDEWAYS:
            found.append(f"{path.name}:{line} imports {name}")
    return found


def banned_things(path: Path) -> list[str]:
    known, found = aliases(path), []
    found += [
        f"line {line}: imports {name}" for line, name in imports(path) if name.split(".")[0] in BANNED_MODULES
    ]
    found += [f"line {line}: imports {name}" for line, name in imports(path) if name in BANNED_CALLS]
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call):
            continue
        name = called(node, known)
        if path == FOREIGN and name == "torch.load" and weights_only(node):
            continue
        if name in BANNED_CALLS or name.rpartition(".")[2] in BANNED_METHODS:
            found.append(f"line {node.lineno}: calls {name}")
        for keyword in node.keywords:
            wrong = keyword.arg in BANNED_ARGUMENTS and isinstance(keyword.value, ast.Constant)
            if wrong and keyword.value.value is BANNED_ARGUMENTS[keyword.arg]:
                found.append(f"line {node.lineno}: {name}({keyword.arg}={keyword.value.value})")
    return found


def weights_only(node: ast.Call) -> bool:
    """Tell whether a call says ``weights_only=True`` itself, which no environment variable overrides."""
    return any(
        keyword.arg == "weights_only"
        and isinstance(keyword.value, ast.Constant)
        and keyword.value.value is True
        for keyword in node.keywords
    )


def test_every_room_has_its_floor() -> None:
    rooms = {room(module_of(path)) for path in FILES}
    assert rooms <= set(FLOORS), "give the new room a floor here and a place in the design"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_import_only_downwards(path: Path) -> None:
    assert upward_imports(path) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_widgets_know_napari_and_qt(path: Path) -> None:
    if room(module_of(path)) == "widgets":
        pytest.skip("widgets are the front end")
    assert [f"line {line}: {name}" for line, name in imports(path) if name.split(".")[0] in FRONT_END] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_runs_what_a_file_says(path: Path) -> None:
    assert banned_things(path) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from joblib import load",
        "import torch as t\nt.load('a')",
        "from torch import load",
        "def f():\n    import numpy as np\n    np.load('a', allow_pickle=True)",
        "eval('1')",
        "import cv2\ncv2.imread('a')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
        "import dask.array as da\nda.from_npy_stack('a')",
        "import tarfile\ntarfile.open('a').extractall()",
        "import yaml\nyaml.load('a')",
        "import torch\ntorch.load('a', weights_only=False)",
    ],
)
def test_the_search_for_banned_things_bites(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "tree", lambda _: ast.parse(text))
    assert banned_things(ROOT / "images" / "tried.py")


def test_checkpoints_of_others_are_opened_in_one_place_only() -> None:
    places = [path for path in FILES for node in ast.walk(tree(path)) if isinstance(node, ast.Call)
              and called(node, aliases(path)) == "torch.load"]  # fmt: skip
    assert places == [FOREIGN]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (FOREIGN, "import torch\ntorch.load('a')"),
        (FOREIGN, "import torch\ntorch.load('a', weights_only=False)"),
        (FOREIGN, "import torch\ntorch.load('a', weights_only=trusted)"),
        (FOREIGN, "import pickle"),
        (FOREIGN.parent / "store.py", "import torch\ntorch.load('a', weights_only=True)"),
    ],
)
def test_the_one_place_is_no_hole(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "tree", lambda _: ast.parse(text))
    assert banned_things(path)


@pytest.mark.parametrize(
    ("where", "text"),
    [
        ("images/tried.py", "from napari_ore_minerals.models.card import ModelCard"),
        ("images/tried.py", "from ..maps import areas"),
        (
            "errors.py",
            "def f():\n    import napari_ore_minerals.minerals.x, napari_ore_minerals.images.tiles",
        ),
        ("cli/commands.py", "from napari_ore_minerals.widgets import layers"),
    ],
)
def test_the_search_for_upward_imports_bites(where: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "tree", lambda _: ast.parse(text))
    assert upward_imports(ROOT / where)


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert found.returncode == 0, found.stderr[-500:]
    return {name.split(".")[0] for name in json.loads(found.stdout.splitlines()[-1])}


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {
        "torch",
        "torchvision",
        "timm",
        "numpy",
        "pandas",
        "matplotlib",
        "cv2",
        "pydantic",
        "zarr",
        *FRONT_END,
    }
    assert not loaded_by(f"import {PACKAGE}") & heavy
    assert not loaded_by(f"from {PACKAGE} import Micrograph") & (
        FRONT_END | {"torch", "pandas", "matplotlib"}
    )


def test_the_core_runs_without_napari_and_qt() -> None:
    modules = [module_of(path) for path in FILES if room(module_of(path)) not in {"widgets", "__main__"}]
    statement = "import importlib\n" + "\n".join(f"importlib.import_module({name!r})" for name in modules)
    assert not loaded_by(statement) & FRONT_END


def test_public_names_exist() -> None:
    for name in napari_ore_minerals.__all__:
        assert getattr(napari_ore_minerals, name) is not None
    assert set(dir(napari_ore_minerals)) == set(napari_ore_minerals.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = napari_ore_minerals.nothing
