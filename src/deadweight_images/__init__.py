"""Read any container image: layers, hidden files, secrets, packages, sizes. Needs no engine and no suite.

Public names are imported on first use; ``public`` makes the ``__getattr__`` that does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any


def public(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``. ``homes`` has what each module of the package offers, as an import statement names it."""
    found: dict[str, tuple[str, str]] = {}
    for home, names in homes.items():
        for name in names.split(", "):
            own, _, other = name.partition(" as ")
            found[other or own] = (f"{package}.{home}", own)

    def get(name: str) -> Any:
        if name not in found:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home, own = found[name]
        return getattr(import_module(home), own)

    return get


if TYPE_CHECKING:
    from deadweight_images.archive.archive import fits, machine_platform, open_archive
    from deadweight_images.archive.model import Image, ImageConfig, Layer, Summary, format_bytes, harmless, printable
    from deadweight_images.archive.pack import Layer as PackedLayer
    from deadweight_images.archive.pack import from_tree as pack_tree
    from deadweight_images.cache_files import user_cache, write_atomically
    from deadweight_images.contents.entrypoint import missing_main_class
    from deadweight_images.errors import ArchiveError, Catalogue, CheckFailed, DeadweightError, Message, UsageError
    from deadweight_images.findings import (
        BaseImage,
        HiddenFile,
        LayersReport,
        Package,
        PathFigure,
        Scanned,
        SecretFinding,
        SecretMark,
        placed,
        with_base,
    )
    from deadweight_images.inspect.analyse import analyse, document
    from deadweight_images.inspect.engine_store import analyse_content_store, analyse_engine_store, content_folders
    from deadweight_images.inspect.extract import extract, read_file
    from deadweight_images.inspect.extract import prepare as prepare_folder
    from deadweight_images.inspect.registry import analyse_registry
    from deadweight_images.inspect.runtime import runtime
    from deadweight_images.inspect.stream import analyse_stream
    from deadweight_images.inspect.summary import summary
    from deadweight_images.secrets.config import shown_arguments, shown_instruction
    from deadweight_images.secrets.model import AllowEntry
    from deadweight_images.secrets.scanner import Scanner
    from deadweight_images.show import judge, print_layers

if not TYPE_CHECKING:
    __getattr__ = public(
        __name__,
        {
            "archive.archive": "fits, machine_platform, open_archive",
            "archive.model": "Image, ImageConfig, Layer, Summary, format_bytes, harmless, printable",
            "archive.pack": "from_tree as pack_tree, Layer as PackedLayer",
            "cache_files": "user_cache, write_atomically",
            "contents.entrypoint": "missing_main_class",
            "errors": "ArchiveError, Catalogue, CheckFailed, DeadweightError, Message, UsageError",
            "inspect.analyse": "analyse, document",
            "inspect.engine_store": "analyse_content_store, analyse_engine_store, content_folders",
            "inspect.extract": "extract, prepare as prepare_folder, read_file",
            "inspect.registry": "analyse_registry",
            "inspect.runtime": "runtime",
            "inspect.stream": "analyse_stream",
            "inspect.summary": "summary",
            "secrets.config": "shown_arguments, shown_instruction",
            "secrets.model": "AllowEntry",
            "secrets.scanner": "Scanner",
            "show": "judge, print_layers",
            "findings": "BaseImage, HiddenFile, LayersReport, Package, PathFigure, Scanned, SecretFinding, SecretMark, placed, "
            "with_base",
        },
    )
