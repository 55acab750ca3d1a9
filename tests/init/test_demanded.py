"""A variable for want of which a service ends, and of which nobody says a value."""

from __future__ import annotations

import pytest

from deadweight_init.demanded import MOST, with_what_it_demands
from deadweight_init.draft import first_draft
from deadweight_init.services import find_services
from deadweight_init.tree import look
from deadweight_init.values import MADE_UP
from tests.support.trees import written

APP = "app = Flask(__name__)\n"


def given(root, died: str, code: str, **more: str):
    tree = look(written(root, {"requirements.txt": "flask\n", "app.py": APP + code, **more}))
    (service,) = find_services(tree)
    draft = with_what_it_demands(first_draft(service, "build"), died, tree)
    assert draft is None or with_what_it_demands(draft, died, tree) is None
    return draft


@pytest.mark.parametrize(
    ("died", "code", "env"),
    [
        ("KeyError: 'SERVER_NAME'", "os.environ['SERVER_NAME']", {"SERVER_NAME": "localhost"}),
        (
            "KeyError: 'MAIL_SENDER'",
            "os.environ['MAIL_SENDER'], os.environ['SMTP_PORT'], os.environ.get('X'), os.environ['Y'] = 1",
            {"MAIL_SENDER": "nobody@example.com", "SMTP_PORT": "1"},
        ),
        ("UndefinedValueError: BASE_URL not found. Declare it as envvar", "", {"BASE_URL": "http://localhost"}),
        ("Set the UPLOAD_DIR environment variable", "", {"UPLOAD_DIR": "/tmp"}),
        ("Error: STRIPE_API_KEY is not set", "", {"STRIPE_API_KEY": MADE_UP}),
        ("panic: WORKERS must be set", "", None),
        (
            "1 validation error for Settings | page_size | Field required [type=missing",
            "class Settings(BaseSettings):\n    page_size: int\n    model_config = SettingsConfigDict(env_prefix='SHOP_')",
            {"SHOP_PAGE_SIZE": "1"},
        ),
        ("Could not resolve placeholder 'mail.from-email'", "", {"MAIL_FROM_EMAIL": "nobody@example.com"}),
        ("Could not resolve placeholder 'app.jwtSecret'", "", {"APP_JWTSECRET": MADE_UP}),
        ("KeyError: 'ITEMS'", "items['ITEMS']", None),
        ("it ended with exit code 1: ValueError", "os.environ['A']", None),
    ],
)
def test_a_value_is_made_up_by_what_the_name_says(tmp_path, died, code, env):
    draft = given(tmp_path, f"it ended with exit code 1: {died}", code)
    assert (draft and {name: each.value for name, each in draft.service.around.env.items()}) == env
    if draft is not None:
        name = next(iter(env))
        assert draft.run["env"].origin == f"seen: it does not come up without {name}; the value is made up"


def test_all_that_spring_finds_no_value_for_is_given_at_once(tmp_path):
    settings = "server.port=8080\nmail.host=${MAIL_HOST}\nmail.from=${mail.sender}\napp.name=${project.name}\nlevel=${LEVEL:info}\n"
    code = '@Value("${server.port}") int port; @Value("${app.jwtSecret}") String secret; @Value("${a.b:1}") int b;\n'
    files = {
        "pom.xml": "<project><artifactId>spring-boot-parent</artifactId></project>",
        "src/main/resources/application.properties": settings,
        "src/main/java/A.java": code,
        "src/test/java/ATest.java": '@Value("${only.tests}") int x;',
    }
    tree = look(written(tmp_path, files))
    (service,) = find_services(tree)
    died = "it ended with exit code 1: Could not resolve placeholder 'MAIL_HOST' in value"
    draft = with_what_it_demands(first_draft(service, "build"), died, tree)
    assert {name: each.value for name, each in draft.service.around.env.items()} == {
        "MAIL_HOST": "localhost",
        "APP_JWTSECRET": MADE_UP,
        "MAIL_SENDER": "nobody@example.com",
    }


def test_what_is_given_stays_and_is_no_reason(tmp_path):
    own = {"Dockerfile": "FROM python:3.12\nCOPY . .\nCMD python app.py\n"}
    own["compose.yaml"] = "services:\n  web: {build: ., environment: {REGION: north}}\n"
    died = "it ended: KeyError: '%s'"
    code = "os.environ['REGION'], os.environ['ZONE']"
    assert given(tmp_path, died % "REGION", code, **own) is None
    draft = given(tmp_path, died % "ZONE", code, **own)
    assert {name: each.value for name, each in draft.service.around.env.items()} == {"ZONE": "1", "REGION": "north"}


def test_a_service_that_wants_very_many_wants_something_else(tmp_path):
    code = "\n".join(f"os.environ['V{number}']" for number in range(MOST + 1))
    assert given(tmp_path, "it ended: KeyError: 'V0'", code) is None
