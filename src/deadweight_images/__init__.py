"""Read any container image: layers, hidden files, secrets, packages, sizes. Needs no engine and no suite.

Public names are imported on first use; ``public`` makes the ``__getattr__`` that does it.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any


def public(module: str) -> Callable[[str], Any]:
    """A module's ``__getattr__``: it imports, on first use, what the module imports ``if TYPE_CHECKING``."""

    @functools.cache
    def homes() -> dict[str, tuple[str, str]]:
        tree = ast.parse(Path(str(sys.modules[module].__file__)).read_bytes())
        imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module)
        return {one.asname or one.name: (str(node.module), one.name) for node in imports for one in node.names}

    def get(name: str) -> Any:
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, own = homes()[name]
        origin = import_module(home)
        return getattr(origin, own) if hasattr(origin, own) else import_module(f"{home}.{own}")

    return get


if TYPE_CHECKING:
    from deadweight_images.archive import documents
    from deadweight_images.archive.archive import fits, open_archive
    from deadweight_images.archive.model import Image, ImageConfig, Layer, format_bytes, harmless, printable
    from deadweight_images.archive.pack import Layer as PackedLayer, from_tree as pack_tree
    from deadweight_images.cache_files import user_cache, write_atomically
    from deadweight_images.contents.entrypoint import missing_main_class
    from deadweight_images.errors import (
        ArchiveError,
        Catalogue,
        CheckFailed,
        DeadweightError,
        Message,
        MissingError,
        UsageError,
    )
    from deadweight_images.findings import (
        BaseImage,
        HiddenFile,
        LayersReport,
        Package,
        PathFigure,
        Scanned,
        SecretFinding,
        SecretMark,
        format_place,
        with_base,
    )
    from deadweight_images.inspect.analyse import analyse, document
    from deadweight_images.inspect.engine_store import analyse_content_store, analyse_engine_store, content_folders
    from deadweight_images.inspect.extract import extract, prepare as prepare_folder, read_file
    from deadweight_images.inspect.registry import analyse_registry
    from deadweight_images.inspect.runtime import Listing, listing, runtime
    from deadweight_images.inspect.stream import analyse_stream
    from deadweight_images.inspect.summary import Summary, summary
    from deadweight_images.parts import lacking, require
    from deadweight_images.secrets.config import shown_arguments, shown_instruction
    from deadweight_images.secrets.model import AllowEntry
    from deadweight_images.secrets.scanner import Scanner
    from deadweight_images.show import print_layers, raise_for_findings

if not TYPE_CHECKING:
    __getattr__ = public(__name__)
