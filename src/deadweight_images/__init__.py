"""Read any container image: its layers, what each adds and hides, secrets, packages, sizes. No engine, no suite, nothing of ours.

What is listed here is for others; each is imported when it is asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deadweight_images.archive.archive import open_archive
    from deadweight_images.archive.model import Image, ImageConfig, Layer, Summary, harmless, printable
    from deadweight_images.archive.pack import Layer as PackedLayer
    from deadweight_images.archive.pack import from_tree as pack_tree
    from deadweight_images.archive.platforms import fits, machine_platform
    from deadweight_images.cache_files import user_cache, write_atomically
    from deadweight_images.contents.main_class import missing_main_class
    from deadweight_images.errors import ArchiveError, CheckFailed, DeadweightError, UsageError
    from deadweight_images.findings import (
        HiddenFile,
        LayersReport,
        Package,
        PathFigure,
        Scanned,
        SecretFinding,
        SecretMark,
        placed,
    )
    from deadweight_images.look.analyse import analyse, document
    from deadweight_images.look.base_image import BaseImage, with_base
    from deadweight_images.look.content_store import analyse_content_store, content_folders
    from deadweight_images.look.engine_store import analyse_engine_store
    from deadweight_images.look.extract import extract
    from deadweight_images.look.extract import prepare as prepare_folder
    from deadweight_images.look.read_file import read_file
    from deadweight_images.look.registry import analyse_registry
    from deadweight_images.look.runtime import runtime
    from deadweight_images.look.stream import analyse_stream
    from deadweight_images.look.summary import summary
    from deadweight_images.secrets.allow import AllowEntry
    from deadweight_images.secrets.config import shown_arguments, shown_instruction
    from deadweight_images.secrets.scanner import Scanner
    from deadweight_images.show import judge, print_layers
    from deadweight_images.sizes import format_bytes

_HOMES = {
    "AllowEntry": "secrets.allow",
    "analyse": "look.analyse",
    "analyse_content_store": "look.content_store",
    "analyse_engine_store": "look.engine_store",
    "analyse_registry": "look.registry",
    "analyse_stream": "look.stream",
    "ArchiveError": "errors",
    "BaseImage": "look.base_image",
    "CheckFailed": "errors",
    "content_folders": "look.content_store",
    "DeadweightError": "errors",
    "document": "look.analyse",
    "extract": "look.extract",
    "fits": "archive.platforms",
    "format_bytes": "sizes",
    "harmless": "archive.model",
    "HiddenFile": "findings",
    "Image": "archive.model",
    "ImageConfig": "archive.model",
    "judge": "show",
    "Layer": "archive.model",
    "LayersReport": "findings",
    "machine_platform": "archive.platforms",
    "missing_main_class": "contents.main_class",
    "open_archive": "archive.archive",
    "pack_tree": "archive.pack:from_tree",
    "Package": "findings",
    "PackedLayer": "archive.pack:Layer",
    "PathFigure": "findings",
    "placed": "findings",
    "prepare_folder": "look.extract:prepare",
    "print_layers": "show",
    "printable": "archive.model",
    "read_file": "look.read_file",
    "runtime": "look.runtime",
    "Scanned": "findings",
    "Scanner": "secrets.scanner",
    "SecretFinding": "findings",
    "SecretMark": "findings",
    "shown_arguments": "secrets.config",
    "shown_instruction": "secrets.config",
    "Summary": "archive.model",
    "summary": "look.summary",
    "UsageError": "errors",
    "user_cache": "cache_files",
    "with_base": "look.base_image",
    "write_atomically": "cache_files",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home, _, own = _HOMES[name].partition(":")
        return getattr(import_module(f"{__name__}.{home}"), own or name)
