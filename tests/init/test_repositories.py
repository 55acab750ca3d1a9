"""Repositories as data: what is found in each, by ``corpus/repositories.yaml``. Nothing here is built or run."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deadweight.project.load_suite import load_suite
from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.write.suite import suite_text
from tests.support.trees import written

CASES = yaml.safe_load((Path(__file__).parent / "corpus/repositories.yaml").read_text(encoding="utf-8"))


def facts(services, draft) -> dict:
    """What is found, as data."""
    service, around = draft.service, draft.service.around
    run = {key: known.value for key, known in draft.run.items()}
    return {
        "services": [each.name for each in services],
        "dockerfiles": [[each.path, each.context, each.target, each.refused] for each in service.dockerfiles],
        "port": [draft.port.value, draft.port.origin],
        "health": [draft.health.value, draft.health.origin],
        "env": {name: known.value for name, known in around.env.items()},
        "needs": run.get("needs", {}),
        "needs_from": [each.origin for each in around.needs],
        "volumes": service.volumes,
        "tmpfs": run.get("tmpfs"),
        "files": run.get("files", {}),
        "spare": [each.value for each in service.spare],
        "args": [word for each in service.dockerfiles for word in each.args],
        "described": service.described and service.described.value,
    }


@pytest.mark.parametrize("case", CASES, ids=[each["name"] for each in CASES])
def test_what_is_said_is_found(tmp_path, case):
    root = written(tmp_path / case.get("folder", "shop"), case["files"])
    services = find_services(look(root))
    draft = first_draft(services[0], "build")
    found = facts(services, draft)
    assert {key: found[key] for key in case["found"]} == case["found"]
    if draft.rungs:  # and what is written is a suite that says the same
        (root / "deadweight.yaml").write_text(suite_text(draft))
        variant = load_suite(root / "deadweight.yaml").variants[0]
        assert variant.port == draft.port.value
        assert set(variant.run.needs) == set(found["needs"])
        assert found["env"].items() <= dict(variant.run.env).items()
