"""What the Python that is forked (``forked``) has imported: it imports this, and nobody else does."""

import gc
import importlib
import pkgutil

import deadweight
from deadweight.records.built_image import BuiltImage
from deadweight.records.evidence import Evidence
from deadweight.records.store import adapter
from tests.support import forked, guards

MODULES = (
    *("invoke.main", "jinja2", "filelock", "platformdirs", "pydantic.dataclasses", "pydantic.type_adapter"),
    *("rich.console", "rich.table", "rich._emoji_codes", "pytest", forked.__name__),
)
"""What a run imports of others, beside all of ours, but for those that other programs load."""
OTHERS = {"nox_sessions", "pytest_plugin", "__main__"}

guards.join()
ours = [module.name for module in pkgutil.walk_packages(deadweight.__path__, "deadweight.")]
for name in (*MODULES, *(name for name in ours if name.rpartition(".")[2] not in OTHERS)):
    importlib.import_module(name)
for kind in (BuiltImage, Evidence):
    adapter(kind)
gc.freeze()
