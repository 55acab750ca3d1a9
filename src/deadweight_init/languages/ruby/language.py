"""Detect a Ruby service (Rails, Rack, script) and write its Dockerfile."""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from deadweight_init.languages import common
from deadweight_init.languages.protocol import Facts, Language
from deadweight_init.languages.sources import by_depth, platform_command, scan
from deadweight_init.records import UNLISTED, ImageWords, Known, Ladder, Project, Service, simple_command, wording
from deadweight_init.tree import Tree, joined

Words = tuple[str, ...]

_DEFAULT = "3.3"
_VERSION = re.compile(r"^\s*(?:ruby[- (\"']*)?[~>= ]*(\d\.\d+)", re.MULTILINE)
_SCRIPTS = ("app.rb", "server.rb", "main.rb", "web.rb", "bin/server")
_SERVES = re.compile(
    r"\b(?:TCPServer\.(?:new|open)|WEBrick::HTTPServer|Rackup?::(?:Handler|Server))|^require ['\"]sinatra['\"]",
    re.MULTILINE,
)
_SINATRA = re.compile(r"^\s*gem ['\"]sinatra", re.MULTILINE)
_PORT = re.compile(r"\$\{?PORT(?::-\d+)?\}?")


@dataclass(frozen=True)
class RubyProject(Project):
    """``start`` has ``{port}`` for its port. ``locked``: Bundler has a lock file, ``bundled``: it has gems. ``prepares``: Rails
    brings its database up to date first. ``assets``: Rails makes files for browsers when it is built."""

    locked: bool = False
    bundled: bool = True
    prepares: bool = False
    assets: bool = False


class Ruby:
    """The language Ruby."""

    facts = Facts(("Gemfile", r"config\.ru"), (".rb", ".ru"), "ruby")

    def find(self, tree: Tree, folder: str, words: ImageWords | None, main: str | None) -> RubyProject | None:
        """The service of a folder; None for a library of gems."""
        gems = tree.texts[joined(folder, "Gemfile")]
        has_gems, rack = joined(folder, "Gemfile") in tree.files, joined(folder, "config.ru") in tree.files
        rails = re.search(r"^\s*gem ['\"]rails['\"]", gems, re.MULTILINE) is not None
        if not has_gems and not rack:
            return None
        start, usual = _start(tree, folder, gems, rails, rack)
        own = words.program if words else ()
        if not start and not own and joined(folder, "app.rb") not in tree.files:
            return None
        ports, health = scan(tree, by_depth(tree.below(folder, ".rb", ".ru", "Procfile")))
        assets = rails and any(tree.has_folder(joined(folder, path)) for path in ("app/assets", "app/javascript"))
        return RubyProject(
            language="ruby",
            kind="bundler" if has_gems else UNLISTED,
            folder=folder,
            name=posixpath.basename(folder) if folder != "." else tree.root.name,
            version=_version(tree, folder, words),
            start=start or own,
            ports=ports or (Known(usual),),
            health=(*((Known("/up", "guessed: Rails' own"),) if rails else ()), *health),
            owned=rails,
            locked=joined(folder, "Gemfile.lock") in tree.files,
            bundled=has_gems,
            prepares=rails and tree.has_folder(joined(folder, "db")),
            assets=assets,
            problem="" if start or own else wording("problem.no_start", looked_for="Procfile, config.ru, app.rb"),
        )

    def ladder(self, service: Service, project: RubyProject, place: str, port: int) -> Ladder:
        """Debian and Alpine: both have the shell that Rails' own scripts want."""
        bases = common.bases_of("ruby", version=project.version.value)
        env = {"RAILS_ENV": "production", "RACK_ENV": "production", "APP_ENV": "production", "RAILS_LOG_TO_STDOUT": "1"}
        env |= {"BUNDLE_PATH": "/gems", "BUNDLE_WITHOUT": "development:test", "LD_LIBRARY_PATH": "/gems/lib"}
        env |= common.plain_env(common.image_words(service), "PATH|GEM_HOME|BUNDLE_\\w+|RUBY_\\w+")
        copies = ["--from=build /gems /gems", f"--from=build {common.HOME} {common.HOME}"]
        last = common.run_stage(project, port, _entry(project, port), copies, env=env)
        lines = [*common.arguments(bases), *_build_stage(project), "", *last]
        ignored = ("log", "tmp", "vendor/bundle")
        return common.one_dockerfile(bases, wording("rung.gems"), place, project.folder, lines, ignored)


def _version(tree: Tree, folder: str, words: ImageWords | None) -> Known[str]:
    """Of its own image, of a file for tools that install Rubies, or of its Gemfile."""
    files = (joined(folder, name) for name in (".ruby-version", "Gemfile"))
    named = (known for file in files for known in tree.values(file, _VERSION))
    return common.of_base(words, r"ruby:(\d\.\d+)") or next(named, None) or Known(_DEFAULT)


def _start(tree: Tree, folder: str, gems: str, rails: bool, rack: bool) -> tuple[Words, int]:
    """What serves, and its usual port; ``{port}`` stands for the port."""
    command = _PORT.sub("{port}", platform_command(tree, folder))
    if words := simple_command(command):
        return words, 8080
    if rails:
        return ("bundle", "exec", "rails", "server", "-b", common.EVERYWHERE, "-p", "{port}"), 3000
    if rack and re.search(r"^\s*gem ['\"]puma", gems, re.MULTILINE):
        return ("bundle", "exec", "puma", "-b", f"tcp://{common.EVERYWHERE}:{{port}}"), 9292
    if rack:
        return (*(("bundle", "exec") if gems else ()), "rackup", "-o", common.EVERYWHERE, "-p", "{port}"), 9292
    script = next((name for name in _SCRIPTS if _SERVES.search(tree.texts[joined(folder, name)])), "")
    options = ("-o", common.EVERYWHERE, "-p", "{port}") if _SINATRA.search(gems) else ()
    return (("bundle", "exec", "ruby", script, *options) if script else ()), 4567


def _build_stage(project: RubyProject) -> Iterator[str]:
    yield "FROM ${BUILD} AS build"
    yield from common.AS_ROOT
    yield f"WORKDIR {common.HOME}"
    yield "# Gems are compiled. Alpine has what that needs as packages."
    yield "RUN if command -v apk; then apk add --no-cache build-base git \\"
    yield "    && { apk add --no-cache postgresql-dev mariadb-dev sqlite-dev yaml-dev || true; }; fi"
    yield f"ENV BUNDLE_PATH=/gems BUNDLE_WITHOUT=development:test{' BUNDLE_DEPLOYMENT=1' if project.locked else ''}"
    if project.bundled:
        yield "# Gems first: an edit of the code does not fetch them again."
        yield "COPY Gemfile Gemfile.lock* .ruby-version* ./"
        yield "RUN bundle install"
    yield from common.libraries("/gems")
    yield "COPY . ."
    if project.assets:
        yield "RUN RAILS_ENV=production SECRET_KEY_BASE_DUMMY=1 bundle exec rails assets:precompile"


def _entry(project: RubyProject, port: int) -> Words:
    """What is started, with its port. Rails brings its database up to date first, as its own image does."""
    start = tuple(word.replace("{port}", str(port)) for word in project.start)
    if not project.prepares:
        return start
    return ("sh", "-c", f"bundle exec rails db:prepare && exec {shlex.join(start)}")


LANGUAGE: Language[RubyProject] = Ruby()
