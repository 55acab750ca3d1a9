"""What a service needs, in what harden writes: a job has ended well before it is started, what runs on is there."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest
import yaml

from deadweight.suite.model import Health, Need
from deadweight.tasks.attack import _give, _way
from deadweight_attacks.harden.health_command import OfNeeds
from deadweight_attacks.harden.result import Found
from deadweight_attacks.harden.write import files, written
from deadweight_attacks.harden.write.values import Written
from tests.support.forms import shop

NEEDS = {
    "db": Need(image="postgres:16", port=5432, tmpfs=("/run", "/data:16MiB"), files={"/init": "db/init"}),
    "migrate": Need(image="me/migrate:1", args=("up", ""), health=Health(kind="exit")),
    "other": Need(variant="small", port=80),
}

UNITS = {f"shop{beside}.container" for beside in ("", "-db", "-migrate", "-other")} | {"shop-internal.network"}
SMALL = "deadweight/shop-small:dev"


@pytest.fixture
def found() -> Found:
    got = shop("shop", "registry.example/shop:1")
    run = got.variant.run.model_copy(update={"needs": NEEDS})
    return replace(got, variant=got.variant.model_copy(update={"run": run}), need_images={"other": SMALL})


def test_compose_waits_for_the_end_of_a_job(found):
    document = yaml.safe_load(written(found, "compose", Written(files="..")))
    services = document["services"]
    assert list(services) == ["db", "migrate", "other", "shop"]
    assert services["shop"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "migrate": {"condition": "service_completed_successfully"},
        "other": {"condition": "service_started"},
    }
    assert services["migrate"]["depends_on"] == {"db": {"condition": "service_healthy"}}
    assert services["db"]["healthcheck"]["test"] == ["CMD", *found.need_asks["db"]]
    assert services["db"]["healthcheck"]["start_period"] == "60s"
    assert "depends_on" not in services["db"]
    assert (services["migrate"]["restart"], services["db"]["restart"]) == ("no", "unless-stopped")
    assert services["db"]["tmpfs"] == ["/run", f"/data:size={16 * 2**20}"]
    assert services["db"]["volumes"] == ["../db/init:/init:ro"]
    assert "healthcheck" not in services["migrate"]
    assert "nothing waits for it: other." in written(found, "compose")
    asked = replace(found, need_stand_ins=("db", "other"))
    assert "the public image may lack it: db.\n" in written(asked, "compose")


@pytest.fixture
def untold(found) -> Found:
    """Nothing in the database's image asks it."""
    return replace(found, need_asks={"db": ()})


def test_a_job_is_tried_again_where_nothing_tells_when_it_may_begin(untold):
    text = written(untold, "compose")
    services = yaml.safe_load(text)["services"]
    assert services["shop"]["depends_on"]["db"] == {"condition": "service_started"}
    assert services["migrate"]["depends_on"] == ["db"]
    assert services["migrate"]["restart"] == "on-failure:10"
    assert "healthcheck" not in services["db"]
    shell, units = written(untold, "podman"), files(untold, "quadlet", Written())
    assert "for try in $(seq 10); do\n  podman run \\\n  --name shop-migrate" in shell
    assert "podman exec" not in shell
    assert "Restart=on-failure\nRestartSec=5\n" in units["shop-migrate.container"]
    assert "Wants=shop-migrate.service\n" in units["shop.container"]
    assert "Requires" not in units["shop.container"]
    assert "ExecStartPost" not in units["shop-db.container"]
    for told in (text, shell, units["shop.container"]):
        assert "# Nothing in the image tells whether it is up, so that nothing waits for it: db, other.\n" in told


def test_a_unit_requires_a_job_and_wants_what_runs_on(found):
    units = files(found, "quadlet", Written())
    assert set(units) == UNITS
    assert "Wants=shop-db.service\nAfter=shop-db.service" in units["shop.container"]
    assert "Requires=shop-migrate.service\nAfter=shop-migrate.service" in units["shop.container"]
    job = units["shop-migrate.container"]
    assert "Type=oneshot\nRemainAfterExit=yes\nEnvironment=EMPTY_WORD=" in job
    assert "Restart" not in job
    assert "Wants=shop-db.service\nAfter=shop-db.service" in job
    database = units["shop-db.container"]
    assert "After=" not in database
    assert "\nExecStartPost=/bin/sh -c 'for try in $$(seq 60); do podman healthcheck run shop-db && exit;" in database
    assert "\nHealthCmd=" in database
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
    tool = "docker" if form == "run" else "podman"
    assert f"for try in $(seq 60); do\n  {tool} exec shop-db python3 -c " in text
    assert text.index("--name shop-db") < text.index("--name shop-migrate") < text.index("--name shop ")


UP = (
    'case "$*" in *exec*) false ;; *migrate*) exit $JOB ;; *shop-db*|*\\ create*|*shop-other*) ;; *) echo began ;; esac'
)


@pytest.mark.parametrize("form", ["run", "podman"])
@pytest.mark.parametrize(("up", "job"), [("false", 0), ("true", 1)])
def test_a_shell_that_gives_up_says_so_and_starts_nothing_more(found, form, up, job, tmp_path):
    """By engines that do nothing: of the database they say no for ever, or the job fails for ever."""
    for tool in ("docker", "podman"):
        (tmp_path / tool).write_text("#!/bin/sh\n" + UP.replace("false", up))
        (tmp_path / tool).chmod(0o755)
    (tmp_path / "sleep").symlink_to("/bin/true")
    untold = replace(found, need_asks={} if job else found.need_asks, options=found.options.but(network="bridge"))
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB": str(job)}
    done = subprocess.run(["sh"], input=written(untold, form), env=env, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    failed = (
        "migrate failed: tried 10 times" if job else f"db is not up (see {form.replace('run', 'docker')} logs shop-db)"
    )
    assert failed in done.stderr


def test_who_needs_a_way_out_finds_the_others_by_name_all_the_same(found):
    """The engine's usual network knows no names."""
    outgoing = replace(found, options=found.options.but(network="bridge"))
    text = written(outgoing, "run")
    assert "docker network create shop-network\n" in text
    assert text.count("--network shop-network") == 4
    assert "--publish 127.0.0.1:80:80" in text
    assert "Network=shop-network.network" in written(outgoing, "quadlet")


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("quadlet", UNITS),
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


def test_files_are_found_from_a_folder_that_is_a_link(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "a" / "b"
    project.mkdir()
    elsewhere.mkdir(parents=True)
    (project / "deploy").symlink_to(elsewhere)
    assert (project / "deploy" / _way(str(project / "deploy"), project)).samefile(project)
    assert _way(str(project / "new"), project) == ".."


@pytest.mark.parametrize("folder", ["shop", "../shop", ".", ".."])
def test_compose_takes_no_file_for_the_name_of_a_volume(found, folder):
    """The project's folder may lie below the one in which the text is."""
    services = yaml.safe_load(written(found, "compose", Written(files=folder)))["services"]
    volumes = [each for service in services.values() for each in service.get("volumes", ())]
    assert len(volumes) == 2
    assert all(each.startswith(("./", "../")) for each in volumes)


@pytest.mark.parametrize(
    ("form", "closed"),
    [
        ("run", "--internal --opt inhibit=true where the network is created"),
        ("podman", "--internal where the network is created"),
        ("compose", "internal: true and driver_opts of the network"),
        ("quadlet", "Internal=true in shop-internal.network"),
    ],
)
def test_how_to_publish_it_keeps_the_names_of_what_it_needs(found, form, closed):
    text = written(replace(found, cut_off={"inhibit": "true"}), form)
    told = re.search(
        "^# To publish them here, which also allows outgoing connections: add (.*), and take away (.*)\\.$", text, re.M
    )
    assert told
    assert "127.0.0.1:80:80" in told[1]
    assert told[2] == closed
    assert closed.partition(" ")[0] in text.replace(told[0], "")


def test_a_cluster_lets_it_reach_what_it_needs(found):
    text = written(found, "kubernetes")
    policy = next(each for each in yaml.safe_load_all(text) if each["kind"] == "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    names, needed = policy["egress"]
    assert [each["port"] for each in names["ports"]] == [53, 53]
    assert [each["port"] for each in needed["ports"]] == [80, 5432]
    assert "the NetworkPolicy lets it reach port 80, 5432 in this cluster, and beyond it nothing" in text
    alone = written(replace(found, variant=_alone(found.variant)), "kubernetes")
    policy = next(each for each in yaml.safe_load_all(alone) if each["kind"] == "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "egress" not in policy
    assert "What it needs" not in alone
    outgoing = written(replace(found, options=found.options.but(network="bridge")), "kubernetes")
    policy = next(each for each in yaml.safe_load_all(outgoing) if each["kind"] == "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress"]
    assert "What it needs is not in here: give each a Service" in outgoing


def test_what_a_cluster_does_not_let_it_reach_is_said(found):
    """No port is known of a container that a command tells to be up."""
    tells = Health(kind="exec", command=("up",))
    needs = {"queue": Need(image="queue:1", health=tells), "migrate": NEEDS["migrate"]}
    run = found.variant.run.model_copy(update={"needs": needs})
    deaf = replace(found, variant=found.variant.model_copy(update={"run": run}), need_images={})
    text = written(deaf, "kubernetes")
    assert "the NetworkPolicy does not let it reach queue, whose port the suite does not say (run.needs)." in text
    assert "does not let it reach" not in written(found, "kubernetes")
    outgoing = replace(deaf, options=deaf.options.but(network="bridge"))
    assert "does not let it reach" not in written(outgoing, "kubernetes")


def _alone(variant):
    return variant.model_copy(update={"run": variant.run.model_copy(update={"needs": {}})})


@pytest.mark.parametrize("form", ["run", "compose", "quadlet"])
def test_of_a_service_without_a_port_none_is_named(found, form):
    variant = found.variant
    run = variant.run.model_copy(update={"ports": ()})
    health = Health(kind="exec", command=("up",))
    alone = replace(found, variant=variant.model_copy(update={"port": None, "run": run, "health": health}))
    text = written(alone, form)
    assert "# Nothing is reached on its network, and outgoing connections are blocked." in text
    assert "reach port" not in text
    assert "To publish" not in text
    assert "To publish" in written(found, form)


def test_a_unit_hands_on_paths_as_they_are(found):
    """systemd takes a percent sign for a specifier, and a dollar sign for a variable."""
    options = found.options.but(files={"/etc/$tea": "conf/100%"})
    unit = files(replace(found, options=options), "quadlet", Written(files=".."))["shop.container"]
    assert "# copy ../conf/100% to conf/100% where this file is\nVolume=./conf/100%%:/etc/$$tea:ro\n" in unit


def test_another_variant_that_it_needs_stands_beside_it_too(found):
    """Its image is where the service's own is: in the engine that built it."""
    services = yaml.safe_load(written(found, "compose"))["services"]
    assert services["other"]["image"] == SMALL
    assert f"  {SMALL}\n" in written(found, "run")
    assert f"  localhost/{SMALL}\n" in written(found, "podman")
    units = files(found, "quadlet", Written())
    assert f"Image=localhost/{SMALL}\n" in units["shop-other.container"]
    for text in (written(found, "compose"), written(found, "run"), units["shop.container"]):
        assert f"# Only in the engine that built it: {SMALL}. Elsewhere: push it, and set its name here." in text


def test_podman_names_an_image_as_it_got_it(found):
    theirs = {found.image: "docker.io/me/shop:1", SMALL: f"docker.io/{SMALL}"}
    got = replace(found, in_podman=theirs)
    text, units = written(got, "podman"), files(got, "quadlet", Written())
    assert "  docker.io/me/shop:1 " in text
    assert f"  docker.io/{SMALL}\n" in text
    assert "podman save docker.io/me/shop:1 | podman load" in text
    assert "Image=docker.io/me/shop:1\n" in units["shop.container"]
    assert f"Image=docker.io/{SMALL}\n" in units["shop-other.container"]
    assert f"Image=localhost/{SMALL}\n" in files(found, "quadlet", Written())["shop-other.container"]


@pytest.mark.parametrize(("suite", "need", "name"), [("db", "db", "db-service"), ("s", "service", "s-service-service")])
def test_nothing_that_it_needs_is_called_as_it_is(found, suite, need, name):
    run = found.variant.run.model_copy(update={"needs": {need: NEEDS["db"]}})
    clashing = replace(found, suite=suite, variant=found.variant.model_copy(update={"run": run}), need_asks={})
    assert set(yaml.safe_load(written(clashing, "compose"))["services"]) == {need, name}
    assert set(files(clashing, "quadlet", Written())) >= {f"{name}.container", f"{suite}-{need}.container"}
    assert f"--name {name} " in written(clashing, "run").replace(" \\\n", " ")


@pytest.mark.parametrize(
    ("answers", "found"),
    [
        ({"nc": "hangs", "bash": "tells"}, "bash"),
        ({"nc": "says yes of everything", "python3": "tells"}, "python3"),
        ({"nc": "hangs", "bash": "hangs"}, None),
    ],
)
def test_a_program_that_hangs_or_is_always_content_tells_nothing(answers, found):
    """One that a profile refuses a system call may never end."""

    def tried(words, *, seconds):
        answer = answers.get(words[0], "is not there")
        if answer == "hangs":
            raise TimeoutError("timed out")
        says_yes = answer == "says yes of everything" or (answer == "tells" and "5432" in " ".join(words))
        return SimpleNamespace(exit_code=0 if says_yes else 1)

    told = OfNeeds({"db": NEEDS["db"]})
    told.up("db", SimpleNamespace(exec=tried, image="postgres:16"))
    assert told.asks["db"][:1] == ((found,) if found else ())
