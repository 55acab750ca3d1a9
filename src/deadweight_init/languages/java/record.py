"""What is known of a program for the JVM."""

from __future__ import annotations

from dataclasses import dataclass

from deadweight_init.records import Project


@dataclass(frozen=True)
class JavaProject(Project):
    """``top`` is the folder that it is built from. ``wrapper``: it brings Maven or Gradle itself. ``jdk`` builds it. ``listed``:
    Maven builds it with the modules that it needs. ``main`` is its main class if its jar does not say it, with its libraries
    beside it.
    """

    top: str = "."
    wrapper: bool = False
    jdk: str = "21"
    listed: bool = False
    options: tuple[str, ...] = ()
    main: str = ""
    jib_base: str = ""
