"""``deadweight``, ``python -m deadweight``: the tasks without a ``tasks.py``, for a repository that has none yet."""

from __future__ import annotations

from invoke.program import Program

from deadweight.tasks import namespace


def main() -> None:
    """Run the tasks that the command line names."""
    from importlib.metadata import version

    Program(namespace=namespace, name="Deadweight", binary="deadweight", version=version("deadweight")).run()


if __name__ == "__main__":
    main()
