"""A rebuild after a change of one class: Jib beside a multi-stage Dockerfile of the same Java service.

Both are whole ``invoke build`` runs in a copy of this project, with every cache warm: Maven's local repository, compiled
classes, Jib's layers; the engine's layers, and a cache mount for Maven's repository in the Dockerfile. Every run changes the
same class in another way.

In the row with a target, Jib goes through the Maven that stays between builds, as it does by default where CI is not set, and
Maven has its defaults in the Dockerfile, as it mostly has in Dockerfiles. The other rows take either advantage away, then both:
the Dockerfile gets the JVM options that Deadweight's Jib builder sets on the host; a Maven is started for each build.
"""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from pathlib import Path

from bench._bench import ROOT, WORK, Result, alternate, timed
from deadweight.builders.jib import resident_maven
from deadweight.builders.jib.projects import SHORT_LIVED

TARGET = 0.5
RIVAL, TUNED = "multi-stage-java", "multi-stage-java-tuned"
SERVICE = Path("src/vulnerable-awk-playground-java")
CLASS = SERVICE / "src/main/java/deadweight/playground/Failure.java"


def run() -> list[Result]:
    """Needs the set-up of the two Java variants (``invoke setup --variant jib --variant multi-stage-java``)."""
    project = prepare(WORK / "jib")
    text = (project / CLASS).read_text(encoding="utf-8").rstrip().removesuffix("}")
    numbers = itertools.count(time.time_ns())  # text that no earlier bench has left in a layer cache

    def rebuild(variant: str, stays: bool = False) -> float:
        changed = f"{text}    static final long CHANGE = {next(numbers)}L;\n}}\n"
        (project / CLASS).write_text(changed, encoding="utf-8")
        words = [sys.executable, "-m", "invoke", "build", "--variant", variant]
        return timed(words, project, {resident_maven.VARIABLE: "1" if stays else "0"})

    for variant in ("jib", RIVAL, TUNED):
        rebuild(variant)
    rebuild("jib", stays=True)
    results = [
        alternate(
            name,
            f"Java service rebuilt with warm caches{note}",
            lambda stays=stays: rebuild("jib", stays),
            lambda rival=rival: rebuild(rival),
            target=target,
            rival_name=rival,
        )
        for name, note, stays, rival, target in (
            ("one class changed", "", True, RIVAL, TARGET),
            ("one class changed, tuned rival", ", the Dockerfile with our JVM options", True, TUNED, None),
            ("one class changed, Maven started", ", a Maven for each build", False, RIVAL, None),
            ("one class changed, same JVM", ", a Maven for each build, same JVM options", False, TUNED, None),
        )
    ]
    resident_maven.end_all()  # the next benchmark has the machine for itself
    return results


def prepare(project: Path) -> Path:
    """A copy of what the two variants are built from. Its state folder stays, so that a second bench is warm at once."""
    (project / "build").mkdir(parents=True, exist_ok=True)
    for name in ("deadweight.yaml", "tasks.py", *(f"build/{file.name}" for file in (ROOT / "build").glob("*ava*"))):
        shutil.copyfile(ROOT / name, project / name)
    suite = project / "deadweight.yaml"
    tuned = f"""
  {TUNED}:
    builder: dockerfile
    ladder: java
    dockerfile: build/multi-stage-java.Dockerfile
    source: {SERVICE}
    bases: {{MAVEN: "maven:3-eclipse-temurin-17", BASE: "eclipse-temurin:17-jre"}}
    args: {{MAVEN_OPTS: "{SHORT_LIVED}"}}
"""
    suite.write_text(suite.read_text(encoding="utf-8") + tuned, encoding="utf-8")
    shutil.rmtree(project / SERVICE, ignore_errors=True)
    shutil.copytree(ROOT / SERVICE, project / SERVICE, ignore=shutil.ignore_patterns("target"))
    return project


if __name__ == "__main__":
    for result in run():
        print(result)
