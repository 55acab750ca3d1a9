"""Services in languages that the tool has no recipe for. Each answers the same operations: data of its own, a file of its image, a
module that is loaded when it is first asked for, a variable of a build argument, a folder that it may write to."""

from __future__ import annotations

from pathlib import Path

OPERATIONS = ("/health", "/prices", "/file", "/late", "/version", "/save", "/user")

_SETTINGS = """\
RUN useradd --create-home --uid 1234 shop && mkdir /data && chown shop:shop /data && ln -s /srv/shop/words.txt /etc/words
ARG VERSION
LABEL org.example.version="v${VERSION}" org.example.team=shop
ENV SHOP_VERSION=$VERSION GREETING="it's $5 \\"here\\""
WORKDIR /srv/shop
COPY --chown=shop words.txt ./
"""
_END = """\
USER shop
VOLUME ["/data"]
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --retries=2 CMD true
"""


def _dockerfile(packages: str, copies: str, command: str, *, builds: str = "") -> str:
    head = f"# syntax=docker/dockerfile:1\nARG VERSION=7\n{builds}FROM debian:12\n"
    install = f"RUN apt-get update && apt-get install -y --no-install-recommends {packages}\n"
    return f"{head}{install}{_SETTINGS}{copies}{_END}CMD {command}\n"


_SOURCES = Path(__file__).parent / "corpus/no_recipe"


def _source(name: str) -> dict[str, str]:
    return {name: (_SOURCES / name).read_text(encoding="utf-8")}


_WORDS = {"words.txt": "milk\nhoney\n", ".dockerignore": "*\n!words.txt\n!server.*\n"}

SERVICES = {
    "perl": {
        **_WORDS,
        "Dockerfile": _dockerfile("perl", "COPY server.pl ./\n", '["perl", "server.pl"]'),
        **_source("server.pl"),
    },
    "cpp": {
        **_WORDS,
        "Dockerfile": _dockerfile(
            "libstdc++6 zlib1g",
            "COPY --from=build /server /usr/local/bin/server\n",
            '["server"]',
            builds="FROM debian:12 AS build\nRUN apt-get update && apt-get install -y --no-install-recommends g++\n"
            "COPY server.cpp ./\nRUN g++ -O1 -o /server server.cpp\n",
        ),
        **_source("server.cpp"),
    },
    "lua": {
        **_WORDS,
        "Dockerfile": _dockerfile("lua5.4 lua-socket", "COPY server.lua ./\n", '["lua5.4", "server.lua"]'),
        **_source("server.lua"),
    },
    "elixir": {
        **_WORDS,
        "Dockerfile": _dockerfile("elixir", "COPY server.exs ./\n", '["elixir", "server.exs"]'),
        **_source("server.exs"),
    },
}
