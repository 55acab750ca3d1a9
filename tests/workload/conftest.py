"""A service to collect requests from, and to settle them on."""

import json

import pytest

from deadweight_workload import settle, sources
from tests.support.attack_grounds import castle, service_image

SERVICE = "tests/services/asked"
ONE = {"schema": {"type": "integer", "minimum": 1, "maximum": 9}, "name": "id", "in": "path", "required": True}
ITEM = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "maxLength": 8}}}
BODY = {"required": True, "content": {"application/json": {"schema": ITEM}}}
LINK = {"operationId": "read", "parameters": {"id": "$response.body#/id"}}
PLAIN = ("/random", "/fickle", "/stream", "/login", "/broken", "/limited")
DOCUMENT = {
    "openapi": "3.0.3", "info": {"title": "t", "version": "1"},
    "paths": {
        "/shutdown": {"post": {}},
        "/items/{id}": {"get": {"parameters": [ONE], "operationId": "read"}},
        "/items": {"post": {"responses": {"201": {"description": "", "links": {"it": LINK}}}, "requestBody": BODY}},
        **{path: {"get": {}} for path in PLAIN},
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def built(engine, tmp_path_factory):
    files, folder = {"/openapi.json": json.dumps(DOCUMENT).encode()}, tmp_path_factory.mktemp("asked")
    with service_image(engine, folder, "asked", SERVICE, files, at="/app") as made:
        yield made


@pytest.fixture
def service(tmp_path, engine, built, monkeypatch):
    """Its subject with this YAML; ``files`` are further ones of the project."""
    for module in (sources, settle):
        monkeypatch.setattr(module, "SECONDS", 2.0)
    archive, image = built
    return lambda yaml="", **files: castle(tmp_path, engine, archive, yaml, reference=image, awk=False, **files)
