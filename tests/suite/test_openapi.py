"""Where the paths of an OpenAPI document begin."""

from __future__ import annotations

import pytest

from deadweight.suite import openapi


@pytest.mark.parametrize(
    ("document", "begins"),
    [
        ({"basePath": "/api/"}, "/api"),
        ({"servers": [{"url": "https://shop.example/v1/"}]}, "/v1"),
        ({"servers": [{"url": "localhost:8080/v1"}]}, "/v1"),
        ({"servers": [{"url": "localhost/v1"}]}, "/v1"),
        ({"servers": [{"url": "shop.example/v1"}]}, "/v1"),
        ({"servers": [{"url": "/v2"}, {"url": "/v3"}]}, "/v2"),
        ({"servers": [{"url": "https://shop.example"}]}, ""),
        ({"servers": [{"url": "localhost:8080"}]}, ""),
        ({"servers": [{"url": "/{region}/v1"}]}, ""),
        ({"servers": []}, ""),
        ({}, ""),
    ],
)
def test_paths_begin_where_the_document_says(document, begins):
    """Some generators write a server without a scheme, which is no URL, and mean this."""
    assert openapi.prefix(document) == begins
