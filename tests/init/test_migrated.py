"""A service that answers with errors because nobody made the tables of its database."""

from __future__ import annotations

import json

import pytest

from deadweight_init.migrated import with_migrations
from deadweight_init.remedies import remedy_of_errors
from deadweight_init.services import find_services
from deadweight_init.tree import look
from tests.support.recipes import recipe
from tests.support.trees import written

DJANGO = {
    "manage.py": 'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n',
    "requirements.txt": "django\npsycopg2\n",
    "shop/wsgi.py": "application = 1\n",
    "shop/settings.py": 'DATABASES = os.environ["DATABASE_URL"]\n',
}
FASTAPI = {"requirements.txt": "fastapi\nalembic\n", "app.py": "app = FastAPI()\n", "alembic.ini": "[alembic]\n"}


def drafted(root, files):
    tree = look(written(root, files))
    (service,) = find_services(tree)
    return recipe(service, "build"), tree


@pytest.mark.parametrize(
    ("files", "step"),
    [
        (DJANGO, ["manage.py", "migrate", "--noinput"]),
        ({f"src/{name}" if "/" in name or "manage" in name else name: text for name, text in DJANGO.items()}, None),
        (FASTAPI, ["-m", "alembic", "upgrade", "head"]),
        ({**DJANGO, "Procfile": "web: python manage.py migrate && gunicorn shop.wsgi\n"}, ""),
        ({"requirements.txt": "flask\n", "app.py": "app = Flask(__name__)\n"}, ""),
    ],
)
def test_the_database_is_brought_up_to_date_before_it_is_served(tmp_path, files, step):
    draft, tree = drafted(tmp_path, files)
    again = with_migrations(draft, tree)
    assert (again is None) is (step == "")
    if again is not None:
        done = json.loads(again.service.project.details["before"])
        assert done == [step or ["manage.py", "migrate", "--noinput"]]
        text = again.ladder.files["build/Dockerfile"]
        assert "subprocess.run([sys.executable, *step], check=False)" in text
        assert "COPY --chown=65532:65532" in text
        assert with_migrations(again, tree) is None


@pytest.mark.parametrize(("name", "before"), [("debian", True), ("today", False)])
def test_generated_images_alone_make_tables_and_both_get_a_database(tmp_path, name, before):
    own = {"Dockerfile": "FROM python:3.12\nCOPY . .\nCMD gunicorn shop.wsgi\n"}
    draft, tree = drafted(tmp_path, {**DJANGO, **own})
    rung = next(each for each in draft.rungs if each.name == name)
    again = remedy_of_errors(draft, rung, "", tree)
    assert "DATABASE_URL" in again.service.around.env
    assert bool(again.service.project.details["before"]) is before
