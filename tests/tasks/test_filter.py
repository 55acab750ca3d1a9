"""Whatever a service, an image or a file says, a terminal obeys none of it."""

import json

import pytest

from deadweight.tasks._progress import print_json, print_utf8, say
from deadweight.tasks._task import guard

HOSTILE = "a\x1b[2J\x1b]0;owned\x07b\u202ec\u2066d\x9be\x7f"


@pytest.mark.parametrize("tell", [print, say], ids=["stdout", "progress"])
def test_no_text_is_obeyed(tell, capsys):
    """``harden`` told the keys of a JSON document raw: they cleared the screen and set its title."""
    assert guard(lambda: tell(f"{HOSTILE} \x1b[31mred\x1b[0m")) == 0
    assert "".join(capsys.readouterr()) == "abcde \x1b[31mred\x1b[0m\n"


@pytest.mark.parametrize("tell", [print_json, lambda document: print_utf8(json.dumps(document, ensure_ascii=False))])
def test_a_json_document_says_the_same_and_is_not_obeyed_either(tell, capsys):
    assert guard(lambda: tell({HOSTILE: HOSTILE})) == 0
    told = capsys.readouterr().out
    assert json.loads(told) == {HOSTILE: HOSTILE}
    assert told.replace("\n", "").isprintable()
