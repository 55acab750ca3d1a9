"""Define the public API: everything that your own builder or check may import from Deadweight.

A plug-in is a package with an entry point in the group ``deadweight.builders`` or ``deadweight.checks``, which is read only if a
suite names that builder or check. ``docs/how-to/plugins.md`` shows how to write one. Names not listed in ``__all__`` may change
at any time; listed names change only with a note in the changelog.
"""

from __future__ import annotations

from deadweight._errors import ArchiveError, CommandError, ConfigError, DeadweightError, MissingError, UsageError
from deadweight._packages import images
from deadweight._run import Completed, run
from deadweight.builders.protocol import Base, Builder, BuiltImage, Inputs, Job, Needs, Site, Step, WrongKey
from deadweight.builders.shared.archive import (
    image_in as read_image,
    keep as keep_archive,
    made_by_the_build as kept_archive,
    result as built_image,
    scratch,
    there as is_built,
)
from deadweight.builders.shared.common import (
    architecture,
    base_values,
    image_name,
    need_file,
    need_source,
    pinned,
    program_environment,
)
from deadweight.builders.shared.inputs import rules as ignore_rules
from deadweight.checks.protocol import Check, Subject, evidence
from deadweight.records.evidence import Evidence, Provenance
from deadweight.suite.model import Suite, Variant
from deadweight.suite.values import Record
from deadweight.toolchain.catalogue import system_program
from deadweight.toolchain.find import Tool, find as find_tool

Image, ImageConfig, Layer = images.Image, images.ImageConfig, images.Layer

# A builder, what builders share, a check, an image, the suite, external programs, errors.
__all__ = ["Base", "Builder", "BuiltImage", "Inputs", "Job", "Needs", "Site", "Step", "WrongKey"]
__all__ += ["architecture", "base_values", "ignore_rules", "image_name", "need_file", "need_source", "pinned"]
__all__ += ["built_image", "is_built", "keep_archive", "kept_archive", "program_environment", "scratch"]
__all__ += ["Check", "Evidence", "Provenance", "Subject", "evidence"]
__all__ += ["Image", "ImageConfig", "Layer", "read_image"]
__all__ += ["Record", "Suite", "Variant"]
__all__ += ["Completed", "Tool", "find_tool", "run", "system_program"]
__all__ += ["ArchiveError", "CommandError", "ConfigError", "DeadweightError", "MissingError", "UsageError"]
