"""Which operations a service has, as far as that can be read: those of its OpenAPI document, else the routes in its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deadweight.suite import openapi
from deadweight_init.languages.sources import TESTS
from deadweight_init.tree import Tree, aside

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_CODE = (
    r"[\w.-]+\.(?:go|rs|py|[cm]?[jt]sx?|java|kt|scala|groovy|rb|php|p[lm]|psgi|exs?|erl|cs|fs|c|h|cc|cpp|cxx|hpp|swift|lua|clj|hs|dart"
    r"|nim|zig|cr)"
)
_ROUTE = re.compile(
    r"""(?:^|[\s.@:(\[>])(?P<word>get|post|put|delete|patch|head|any|all|match|route|resource|handle|handlefunc|path|re_path|url|add_url_rule"""
    r"""|(?:get|post|put|delete|patch|request)mapping|map(?:get|post|put|delete|patch)|http(?:get|post|put|delete|patch)|crow_route|scope)"""
    r"""\b\s*!?\s*(?:\(|\s(?=["'`/]))\s*(?:\w+\s*,\s*)?(?:(?:value|path)\s*=\s*)?\{?\s*["'`](?:(?P<method>GET|POST|PUT|DELETE|PATCH|HEAD)\s+)?"""
    r"""(?P<path>/[^"'`\s]*)["'`]""",
    re.IGNORECASE | re.MULTILINE,
)
_PARAMETER = re.compile(r"[:{<(*$\[]")
_MOST_FILES = 400


@dataclass(frozen=True)
class Operation:
    """``method`` in capitals. ``is_plain``: a GET that needs nothing but its path."""

    method: str
    path: str
    is_plain: bool = False


def described(document: Any, dangerous: re.Pattern[str]) -> list[Operation]:
    """The operations of an OpenAPI document (2 and 3)."""
    found = []
    for path, item in openapi.paths(document).items():
        for method in METHODS:
            operation = item.get(method)
            if isinstance(operation, dict):
                plain = (
                    method == "get" and not dangerous.search(path) and _needs_nothing(document, path, item, operation)
                )
                found.append(Operation(method.upper(), f"{openapi.prefix(document)}{path}", plain))
    return found


def _needs_nothing(document: Any, path: str, item: dict[str, Any], operation: dict[str, Any]) -> bool:
    given = [*(item.get("parameters") or ()), *(operation.get("parameters") or ())]
    asks = any(isinstance(each, dict) and (each.get("required") or "$ref" in each) for each in given)
    secured = operation.get("security") or (document.get("security") and operation.get("security") is None)
    return "{" not in path and not asks and not secured


def routes(tree: Tree, folder: str, dangerous: re.Pattern[str]) -> list[Operation]:
    """What the code below a folder registers, in whichever language."""
    found = dict[tuple[str, str], Operation]()
    for path in _sources(tree, folder):
        for match in _ROUTE.finditer(tree.text(path)):
            word, route = match["word"].lower(), match["path"]
            named = next(
                (each for each in METHODS if word.startswith(each) or word in (f"map{each}", f"http{each}")), ""
            )
            method = (match["method"] or named or "get").upper()
            plain = method == "GET" and not _PARAMETER.search(route) and not dangerous.search(route)
            found.setdefault((method, route), Operation(method, route, plain))
    return list(found.values())


def _sources(tree: Tree, folder: str) -> Iterator[str]:
    inside = (path for path in tree.named(_CODE) if folder == "." or path.startswith(f"{folder}/"))
    plain = (path for path in inside if not aside(path) and not TESTS.search(path))
    yield from (path for _, path in zip(range(_MOST_FILES), plain, strict=False))
