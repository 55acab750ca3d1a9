"""Services that answer only who asks for them by a name that they know."""

from __future__ import annotations

import pytest

from deadweight_init import reference
from deadweight_init.allowed_hosts import with_all_hosts
from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.reference_tries import why_not_up
from tests.support.trees import written

MANAGE = 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
COMPOSE = "services:\n  web: {build: ., environment: {ALLOWED_HOSTS: %s, DEBUG: 'False'}, ports: ['8000:8000']}\n"


def opened(root, settings: str, **more: str):
    files = {"manage.py": MANAGE, "requirements.txt": "django\n", "shop/wsgi.py": "application = 1\n"}
    tree = look(written(root, {**files, "shop/settings.py": settings, **more}))
    (service,) = find_services(tree)
    return with_all_hosts(first_draft(service, "build"), tree), tree


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ('ALLOWED_HOSTS = os.environ.get("DJANGO_ALLOWED_HOSTS", "localhost").split(" ")', "DJANGO_ALLOWED_HOSTS"),
        ('ALLOWED_HOSTS = env.list("ALLOWED_HOSTS")', "ALLOWED_HOSTS"),
        ('ALLOWED_HOSTS = [config("ALLOWED_HOST")]', "ALLOWED_HOST"),
    ],
)
def test_all_hosts_are_let_in_by_the_variable_that_the_settings_read(tmp_path, settings, name):
    draft, tree = opened(tmp_path, settings)
    assert draft is not None
    assert {key: known.value for key, known in draft.service.around.env.items()} == {name: "*"}
    assert draft.run["env"].origin == "seen: it answers 400 to who asks by address"
    assert with_all_hosts(draft, tree) is None


def test_what_a_compose_file_says_of_them_gives_way_and_the_rest_stays(tmp_path):
    own = {"Dockerfile": "FROM python:3.12\nCOPY . .\nEXPOSE 8000\n", "compose.yaml": COMPOSE % "localhost"}
    draft, _ = opened(tmp_path, 'ALLOWED_HOSTS = os.getenv("ALLOWED_HOSTS")', **own)
    env = {key: known.value for key, known in draft.service.around.env.items()}
    assert env == {"ALLOWED_HOSTS": "*", "DEBUG": "False"}


def test_names_that_stand_in_the_code_stay(tmp_path):
    draft, _ = opened(tmp_path, 'ALLOWED_HOSTS = ["shop.example"]')
    assert draft is None


def test_a_service_that_lets_nobody_in_is_still_tried_with_a_database_afterwards(monkeypatch, tmp_path):
    answers = (reference.Shut("400"), reference.Unwell("500"), None)
    given = {"with_all_hosts": "open", "remedy_of_errors": "with database"}
    why, asked, _ = why_not_up(monkeypatch, tmp_path, answers, **given)
    assert (why, asked) == ("", [("draft", True), ("open", True), ("with database", False)])
