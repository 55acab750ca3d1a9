"""The words of a command as systemd starts it (systemd.service(5), "Command lines"): quotes, escapes, specifiers, variables."""

import re
from collections.abc import Mapping

ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", '"': '"', "'": "'", "s": " ",
}  # fmt: skip


def words(command: str, specifiers: Mapping[str, str], variables: Mapping[str, str]) -> list[str]:
    """``specifiers`` are by their letters. One that is not named, or a variable that is not, is refused: it is not known here."""
    found: list[str] = []
    word: str | None = None
    quote, at = "", 0
    while at < len(command):
        character = command[at]
        at += 1
        if character == "\\":
            text, at = _escaped(command, at)
            word = (word or "") + text
        elif quote and character == quote:
            quote = ""
        elif not quote and character in "\"'":
            quote, word = character, word or ""
        elif not quote and character.isspace():
            found, word = ([*found, word] if word is not None else found), None
        else:
            word = (word or "") + character
    assert not quote, f"a quote is not closed: {command}"
    return [_expanded(each, specifiers, variables) for each in ([*found, word] if word is not None else found)]


def _escaped(text: str, at: int) -> tuple[str, int]:
    if text[at] == "x":
        return chr(int(text[at + 1 : at + 3], 16)), at + 3
    return ESCAPES[text[at]], at + 1


def _expanded(word: str, specifiers: Mapping[str, str], variables: Mapping[str, str]) -> str:
    told = {**specifiers, "%": "%"}
    word = re.sub("%(.)", lambda match: told[match[1]], word)
    return re.sub(r"\$(\$|\{\w+\}|)", lambda match: "$" if match[1] == "$" else variables[match[1].strip("{}")], word)
