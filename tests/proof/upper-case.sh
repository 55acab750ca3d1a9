#!/bin/bash
# Change every sentence of the catalogues and of the code to upper case, in a copy, and run the tests there: none may depend on wording.
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
cd "$copy"
[ $# -gt 0 ] || set -- --unit tests
# Left out is the file of texts that a person has judged: it holds the wording.
export SHOUT_ROOT=$copy/src PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$copy/tests/proof/shout:$copy/src
"$python" -m pytest -q -p no:cacheprovider --deselect tests/attacks/test_written.py::test_every_platform_is_given_what_was_judged_once "$@"
