"""Where the paths of an OpenAPI document begin."""

import pytest

from deadweight_attacks.routes import documented
from deadweight_workload import openapi
from tests.support.processes import within


@pytest.mark.parametrize(("document", "begins"), [
    ({"basePath": "/api/"}, "/api"), ({"servers": [{"url": "https://shop.example/v1/"}]}, "/v1"),
    ({"servers": [{"url": "localhost:8080/v1"}]}, "/v1"), ({"servers": [{"url": "localhost/v1"}]}, "/v1"),
    ({"servers": [{"url": "shop.example/v1"}]}, "/v1"), ({"servers": [{"url": "/v2"}, {"url": "/v3"}]}, "/v2"),
    ({"servers": [{"url": "https://shop.example"}]}, ""), ({"servers": [{"url": "localhost:8080"}]}, ""),
    ({"servers": [{"url": "/{region}/v1"}]}, ""), ({"servers": []}, ""), ({}, ""),
])  # fmt: skip
def test_paths_begin_where_the_document_says(document, begins):
    """Some generators write a server without a scheme, which is no URL, and mean this."""
    assert openapi.prefix(document) == begins


def test_a_document_that_grows_by_its_own_references_takes_no_time():
    """The document is the service's: whoever reads its routes reads no more of it than an operation can need."""
    schema = {"allOf": [{"$ref": "#/components/schemas/x"}] * 100}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/x"}}}}
    document = {"paths": {"/a": {"post": {"requestBody": body}}}, "components": {"schemas": {"x": schema}}}
    with within(2):
        assert [aim.name for aim in documented(document)] == []


@pytest.mark.parametrize(
    "text", ["[" * 200_000, "a: &a [*a]", '{"paths": ' * 300, "- " * 100_000], ids=["json", "cycle", "deep", "yaml"]
)
def test_a_document_that_may_not_be_parsed_is_none(text):
    assert openapi.parsed(text) is None
