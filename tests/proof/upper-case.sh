#!/bin/bash
# Change every sentence of the catalogues and of the code to upper case, in a copy, and run the tests there: only the snapshots of
# tests/test_wording.py may fail, and they must.
#
#   tests/proof/upper-case.sh [pytest's words]      (default: --unit tests)
set -euo pipefail
source=$(cd "$(dirname "$0")/../.." && pwd)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
git -C "$source" ls-files -z | (cd "$source" && xargs -0 cp --parents -t "$copy")
python=$source/.venv/bin/python
"$python" - "$copy"/src/*/messages.toml <<'PY'
import re, sys
for path in sys.argv[1:]:
    text = open(path, encoding="utf-8").read()
    shout = lambda line: line if line.startswith(("#", "[")) else re.sub(
        r"\{[^{}]*\}|\\.|[a-z]", lambda found: found[0].upper() if len(found[0]) == 1 else found[0], line.partition("= ")[2])
    lines = [line if line.startswith(("#", "[")) or "= " not in line else line.partition("= ")[0] + "= " + shout(line)
             for line in text.splitlines()]
    open(path, "w", encoding="utf-8").write("\n".join(lines) + "\n")
PY
mkdir "$copy/shout"
cat >"$copy/shout/sitecustomize.py" <<'PY'
"""Shout: a Python that finds this on its path reads the code below ``SHOUT_ROOT`` with its sentences (three words and more) in
upper case. It leaves alone what is compared or looked for (the words of other programs), regular expressions, shell, and what the
reference is made of: docstrings, defaults, descriptions and help.
"""

import ast
import importlib.machinery
import os
import re

ROOT = os.environ.get("SHOUT_ROOT")
SENTENCE = re.compile(r"[a-z]{2,} [a-z]+ [a-z{]")
NO_SENTENCE = re.compile(r"[\\|$^]|^(from|import|apk|npm|RUN) |\w\(|\?:|&&|>&|^\s*[<#]|\n.*\n")
LOOKING = re.compile("compile|endswith|find(all|iter)?|(full)?match|r?partition|remove(pre|suf)fix|replace|search|r?split|startswith|sub")


def shouted(text: str) -> str:
    return re.sub(r"\{[^{}]*\}|`[^`]*`|[a-z]", lambda part: part[0].upper() if len(part[0]) == 1 else part[0], text)


def looked_for(nodes: list[ast.AST]) -> list[ast.AST]:
    """What is compared or looked for; of constants, also what is run over: ``any(text in line for text in TEXTS)``."""
    found: list[ast.AST] = [node for node in nodes if isinstance(node, ast.Compare | ast.MatchValue)]
    found += [node for node in nodes if isinstance(node, ast.Call) and LOOKING.fullmatch(getattr(node.func, "attr", ""))]
    asked = [node for node in found if not isinstance(node, ast.Compare) or isinstance(node.ops[0], ast.In)]
    names = {part.id for node in asked for part in ast.walk(node) if isinstance(part, ast.Name)}
    loops = [node for node in nodes if isinstance(node, ast.comprehension | ast.For)]
    loops = [each for each in loops if isinstance(each.iter, ast.Name) and getattr(each.target, "id", "") in names]
    names |= {each.iter.id for each in loops}
    constants = {name for name in names if name.isupper()}
    found += [node for node in nodes if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in constants]
    found += [node for node in nodes if isinstance(node, ast.Expr | ast.AnnAssign) and isinstance(node.value, ast.Constant)]
    return found + [node for node in nodes if isinstance(node, ast.keyword) and node.arg in ("description", "help")]


def shout(tree: ast.AST) -> None:
    nodes = list(ast.walk(tree))
    alone = {id(part) for node in looked_for(nodes) for part in ast.walk(node)}
    for node in nodes:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        texts = [part for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
        whole = "".join(part.value if part in texts else "{}" for part in parts) if texts else ""
        for part in texts:
            if not {id(node), id(part)} & alone and SENTENCE.search(whole) and not NO_SENTENCE.search(whole):
                part.value = shouted(part.value)
        alone.update(map(id, texts))


def parsed(source, filename="<unknown>", *more, **others):
    tree = parse(source, filename, *more, **others)
    if ROOT and str(filename).startswith(ROOT):
        shout(tree)
    return tree


def compiled(_loader, data, path, *, _optimize=-1):
    return compile(ast.parse(data, path), path, "exec", dont_inherit=True, optimize=_optimize)


parse, ast.parse = ast.parse, parsed  # for pytest, which rewrites what its plugins are of
importlib.machinery.SourceFileLoader.source_to_code = compiled
PY
cd "$copy"
[ $# -gt 0 ] || set -- --unit tests
# Left out is what judges the source itself, and what people read, which must all differ.
export SHOUT_ROOT=$copy/src PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$copy/shout:$copy/src
"$python" -m pytest -q -p no:cacheprovider --deselect tests/test_house.py --deselect tests/test_wording.py "$@"
"$python" -m pytest -q -p no:cacheprovider -p no:xdist tests/test_wording.py >wording.log && exit 1
grep "^6 failed" wording.log
