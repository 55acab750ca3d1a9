"""Run the tasks as ``deadweight`` or ``python -m deadweight``, for a repository that has no ``tasks.py`` yet."""

from __future__ import annotations

from invoke.program import Program

from deadweight.tasks import namespace


def main(argv: list[str] | None = None) -> None:
    """Run the tasks that the command line names (default: this process's own)."""
    from importlib.metadata import version

    Program(namespace=namespace, name="Deadweight", binary="deadweight", version=version("deadweight")).run(argv)


if __name__ == "__main__":
    main()
