"""What a service needs, in what harden writes: a job has ended well before it is started, what runs on is there."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml

from deadweight.suite.model import Health, Need
from deadweight.tasks.harden import _give
from deadweight.trials.harden.found import Found
from deadweight.trials.harden.write import files, written
from deadweight.trials.harden.write.values import Written
from tests.support.forms import shop

NEEDS = {
    "db": Need(image="postgres:16", port=5432, tmpfs=("/run", "/data:16MiB"), files={"/init": "db/init"}),
    "migrate": Need(image="me/migrate:1", args=("up", ""), health=Health(kind="exit")),
    "other": Need(variant="small", port=80),
}


@pytest.fixture
def found() -> Found:
    got = shop("shop", "registry.example/shop:1")
    run = got.variant.run.model_copy(update={"needs": NEEDS})
    return replace(got, variant=got.variant.model_copy(update={"run": run}))


def test_compose_waits_for_the_end_of_a_job(found):
    document = yaml.safe_load(written(found, "compose", Written(files="..")))
    services = document["services"]
    assert list(services) == ["db", "migrate", "shop"]
    assert services["shop"]["depends_on"] == {
        "db": {"condition": "service_started"},
        "migrate": {"condition": "service_completed_successfully"},
    }
    assert services["migrate"]["depends_on"] == ["db"]
    assert "depends_on" not in services["db"]
    assert (services["migrate"]["restart"], services["db"]["restart"]) == ("no", "unless-stopped")
    assert services["db"]["tmpfs"] == ["/run", f"/data:size={16 * 2**20}"]
    assert services["db"]["volumes"] == ["../db/init:/init:ro"]


def test_a_unit_requires_a_job_and_wants_what_runs_on(found):
    units = files(found, "quadlet", Written())
    assert set(units) == {"shop.container", "shop-db.container", "shop-migrate.container", "shop-internal.network"}
    assert "Wants=shop-db.service\nAfter=shop-db.service" in units["shop.container"]
    assert "Requires=shop-migrate.service\nAfter=shop-migrate.service" in units["shop.container"]
    job = units["shop-migrate.container"]
    assert "Type=oneshot\nRemainAfterExit=yes\nEnvironment=EMPTY_WORD=" in job
    assert "Restart" not in job
    assert "Wants=shop-db.service\nAfter=shop-db.service" in job
    assert "After=" not in units["shop-db.container"]
    assert "Image=docker.io/me/migrate:1" in job
    assert "Image=docker.io/library/postgres:16" in units["shop-db.container"]
    assert (
        "It needs these services, reachable by these names: db (postgres:16), migrate (me/migrate:1), other (small)."
        in (units["shop.container"])
    )


@pytest.mark.parametrize(("form", "image"), [("run", "me/migrate:1"), ("podman", "docker.io/me/migrate:1")])
def test_a_shell_waits_for_the_end_of_a_job(found, form, image):
    text = written(found, form)
    (job,) = re.findall(
        rf"^{'docker' if form == 'run' else 'podman'} run \\\n  --name shop-migrate .*(?:\n  .*)*", text, re.M
    )
    assert job.endswith(f"  {image} up ''")
    assert "--rm" in job
    assert "--detach" not in job
    assert text.index("--name shop-db") < text.index("--name shop-migrate") < text.index("--name shop ")


def test_who_needs_a_way_out_finds_the_others_by_name_all_the_same(found):
    """The engine's usual network knows no names."""
    outgoing = replace(found, options=found.options.but(network="bridge"))
    text = written(outgoing, "run")
    assert "docker network create shop-network\n" in text
    assert text.count("--network shop-network") == 3
    assert "--publish 127.0.0.1:80:80" in text
    assert "Network=shop-network.network" in written(outgoing, "quadlet")


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("quadlet", {"shop.container", "shop-db.container", "shop-migrate.container", "shop-internal.network"}),
        ("podman", {"podman.sh"}),
        ("ecs", {"task-definition.json"}),
    ],
)
def test_a_folder_gets_what_its_platform_takes(found, tmp_path, form, names):
    """Fargate takes no seccomp profile: it gets none to look for."""
    given = Written("", "./shop.seccomp.json", files="..")
    _give(found, form, tmp_path / "none", given, str(tmp_path / "deploy"))
    left = {each.name for each in (tmp_path / "deploy").iterdir()}
    assert left == names | (set() if form == "ecs" else {"shop.seccomp.json"})


@pytest.mark.parametrize("folder", ["shop", "../shop", ".", ".."])
def test_compose_takes_no_file_for_the_name_of_a_volume(found, folder):
    """The project's folder may lie below the one in which the text is."""
    services = yaml.safe_load(written(found, "compose", Written(files=folder)))["services"]
    volumes = [each for service in services.values() for each in service.get("volumes", ())]
    assert len(volumes) == 2
    assert all(each.startswith(("./", "../")) for each in volumes)


@pytest.mark.parametrize(("form", "word"), [("run", "--network"), ("compose", "networks"), ("quadlet", "Network=")])
def test_of_a_service_without_a_port_none_is_named(found, form, word):
    variant = found.variant
    run = variant.run.model_copy(update={"ports": ()})
    health = Health(kind="exec", command=("up",))
    alone = replace(found, variant=variant.model_copy(update={"port": None, "run": run, "health": health}))
    text = written(alone, form)
    assert "# Nothing is reached on its network, and outgoing connections are blocked." in text
    assert "reach port" not in text
    assert f"instead of {word}" not in text
    assert f"instead of {word}" in written(found, form)


def test_a_unit_hands_on_paths_as_they_are(found):
    """systemd takes a percent sign for a specifier, and a dollar sign for a variable."""
    options = found.options.but(files={"/etc/$tea": "conf/100%"})
    unit = files(replace(found, options=options), "quadlet", Written(files=".."))["shop.container"]
    assert "# copy ../conf/100% to conf/100% where this file is\nVolume=./conf/100%%:/etc/$$tea:ro\n" in unit
