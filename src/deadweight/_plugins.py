"""Load third-party builders and checks from entry points. Nothing is read until a suite names one."""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from deadweight._errors import DeadweightError, wording

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Kind = Literal["builder", "check"]
GROUPS: dict[Kind, str] = {"builder": "deadweight.builders", "check": "deadweight.checks"}
AUTHORS = "this is an error in the plug-in: report it to its authors"
T = TypeVar("T")
_environment_lock = threading.RLock()


class Whose(str):
    """Which plug-in, for messages: ``builder 'buildah' (pkg.module:Class, from pkg 1.0)``."""

    __slots__ = ()

    def wrong(self, variant: str, what: str) -> DeadweightError:
        """The error for something that the plug-in did wrongly with a variant."""
        return DeadweightError(wording("plugins.failed", plugin=self, variant=variant, problem=what), hint=AUTHORS)

    def checked(self, variant: str, call: str, value: object, kind: type[T]) -> T:
        """The value that a call returned. Raises DeadweightError where it is of another kind."""
        if not isinstance(value, kind):
            expected, actual = kind.__name__, type(value).__name__
            raise self.wrong(variant, wording("plugins.returned", call=call, expected=expected, found=actual))
        return value

    @contextmanager
    def at_work(self, variant: str) -> Iterator[None]:
        """While the plug-in's own code runs: its exceptions become one message. Errors of our own tree pass as they are."""
        try:
            yield
        except DeadweightError:
            raise
        except Exception as error:
            raise self.wrong(variant, f"{type(error).__name__}: {error}") from error


def load(kind: Kind, name: str, methods: Sequence[str], ours: Collection[str]) -> tuple[Any, Whose]:
    """The plug-in of that name, made by calling its entry point where that is a class.

    Raises LookupError where no installed package registers the name; DeadweightError where two do, where one registers a name of
    ``ours``, where it cannot be imported, and where it lacks one of the ``methods``.
    """
    from importlib.metadata import entry_points

    everybody = entry_points(group=GROUPS[kind])
    for point in everybody:
        if point.name in ours:
            raise DeadweightError(wording("plugins.name_taken", plugin=_described(point), kind=kind, name=point.name))
    points = [point for point in everybody if point.name == name]
    if not points:
        raise LookupError(name)
    if len(points) > 1:
        owners = ", ".join(sorted(_described(point) for point in points))
        raise DeadweightError(wording("plugins.registered_twice", kind=kind, name=name, owners=owners))
    whose = Whose(f"{kind} {name!r} ({_described(points[0])})")
    try:
        made = points[0].load()
        made = made() if isinstance(made, type) else made
    except Exception as error:
        problem = f"{type(error).__name__}: {error}"
        raise DeadweightError(wording("plugins.not_loaded", plugin=whose, problem=problem), hint=AUTHORS) from error
    missing = [method for method in methods if not callable(getattr(made, method, None))]
    if missing:
        message = wording("plugins.lacks_methods", plugin=whose, kind=kind, methods=" and no ".join(missing))
        raise DeadweightError(message, hint=AUTHORS)
    return made, whose


@contextmanager
def without_pydantic_plugins() -> Iterator[None]:
    """While records of ours are built: pydantic would look for plug-ins of its own in every installed package, longer than that.

    One thread at a time: the environment is the whole process's.
    """
    name = "PYDANTIC_DISABLE_PLUGINS"
    with _environment_lock:
        before = os.environ.get(name)
        os.environ[name] = "__all__"
        try:
            yield
        finally:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def _described(point: EntryPoint) -> str:
    return f"{point.value}, from {point.dist.name} {point.dist.version}" if point.dist else point.value
