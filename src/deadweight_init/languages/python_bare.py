"""Python code without a list of its packages: what it imports tells them, as far as many use them.

Nothing else is fetched: the name of a module that few know may be another's package.
"""

from __future__ import annotations

import re

from deadweight_init.languages.sources import TESTS
from deadweight_init.tree import Tree, aside

PACKAGES = {
    "pkg_resources": "setuptools<81",
    "yaml": "pyyaml",
    "dotenv": "python-dotenv",
    "jwt": "pyjwt",
    "jose": "python-jose",
    "PIL": "pillow",
    "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil",
    "psycopg2": "psycopg2-binary",
    "psycopg": "psycopg[binary]",
    "multipart": "python-multipart",
    "MySQLdb": "mysqlclient",
    "sklearn": "scikit-learn",
    "rest_framework": "djangorestframework",
    "corsheaders": "django-cors-headers",
    "crispy_forms": "django-crispy-forms",
    "debug_toolbar": "django-debug-toolbar",
    "environ": "django-environ",
    "decouple": "python-decouple",
    "flask_sqlalchemy": "flask-sqlalchemy",
    "flask_login": "flask-login",
    "flask_wtf": "flask-wtf",
    "flask_cors": "flask-cors",
    "flask_migrate": "flask-migrate",
    "flask_restful": "flask-restful",
    "flask_bcrypt": "flask-bcrypt",
}
"""Packages whose modules have another name."""

_OF_IMPORTS = (
    *("packaging", "six", "typing_extensions", "importlib_metadata", "pytz", "tzdata", "greenlet", "redis", "httpx"),
    *("requests", "asyncpg", "aiosqlite", "aiomysql", "pymysql", "gevent", "eventlet", "uvloop", "simplejson"),
    *("itsdangerous", "setuptools"),
)
"""Packages that others import without saying so, or only for the database or the worker that the settings name."""

WELL_KNOWN = frozenset(_OF_IMPORTS)
_OF_SERVICES = WELL_KNOWN | {
    *(
        "django",
        "flask",
        "fastapi",
        "starlette",
        "aiohttp",
        "tornado",
        "bottle",
        "sanic",
        "litestar",
        "quart",
        "falcon",
    ),
    *(
        "jinja2",
        "sqlalchemy",
        "pydantic",
        "uvicorn",
        "gunicorn",
        "celery",
        "pymongo",
        "motor",
        "markdown",
        "whitenoise",
    ),
    *("numpy", "pandas", "matplotlib", "streamlit", "dash", "plotly", "connexion", "cherrypy", "werkzeug", "wtforms"),
}
_IMPORTED = re.compile(r"^[ \t]*(?:from|import)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)


def packages(tree: Tree, folder: str) -> list[str]:
    """The packages that the code of a folder imports, of those that many use."""
    code = (path for path in tree.below(folder, ".py") if not aside(path) and not TESTS.search(path))
    named = {module for path in code for module in _IMPORTED.findall(tree.text(path))}
    found = {PACKAGES.get(each) or (each if each in _OF_SERVICES else "") for each in named}
    return sorted(found - {""})
