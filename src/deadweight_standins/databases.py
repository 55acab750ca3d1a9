"""Stand-ins for MySQL, MariaDB and memcached, from the OS's packages, and for MongoDB: FerretDB, compiled from its Go module."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from deadweight import _run
from deadweight._errors import DeadweightError
from deadweight_standins.languages import account
from deadweight_standins.push import Settings
from deadweight_standins.recipes import PATHS, Made
from deadweight_standins.workshop import Workshop, put

_MARIADB_ENTRY = r"""#!/bin/sh
# As the originals': a database is made when there is none, by the variables of MySQL's image or of MariaDB's.
set -e
for name in ROOT_PASSWORD DATABASE USER PASSWORD ALLOW_EMPTY_PASSWORD RANDOM_ROOT_PASSWORD; do
  eval "value=\${MYSQL_$name:-\$MARIADB_$name}; file=\${MYSQL_${name}_FILE:-\$MARIADB_${name}_FILE}"
  if [ -z "$value" ] && [ -f "$file" ]; then value="$(cat "$file")"; fi
  eval "$name=\$value"
done
if [ "${1#-}" != "$1" ]; then set -- mysqld "$@"; fi
case "$1" in mysqld | mariadbd) ;; *) exec "$@" ;; esac
if [ "$(id -u)" = 0 ]; then
  mkdir -p "$DATADIR" && chown -R mysql:mysql "$DATADIR"
  exec setpriv --reuid=mysql --regid=mysql --init-groups "$0" "$@"
fi
shift
# options of MySQL that MariaDB does not know are warnings, no failures
first=$#
for word in "$@"; do
  case "$word" in --loose-*) ;; --*=*) word="--loose-${word#--}" ;; esac
  set -- "$@" "$word"
done
shift "$first"
if [ ! -d "$DATADIR/mysql" ]; then
  if [ -z "$ROOT_PASSWORD$ALLOW_EMPTY_PASSWORD$RANDOM_ROOT_PASSWORD" ]; then
    echo "Database is uninitialized and password option is not specified: MYSQL_ROOT_PASSWORD," \
      "MYSQL_ALLOW_EMPTY_PASSWORD or MYSQL_RANDOM_ROOT_PASSWORD" >&2
    exit 1
  fi
  mariadb-install-db --datadir="$DATADIR" --auth-root-authentication-method=normal --skip-test-db > /dev/null
  mariadbd --datadir="$DATADIR" --skip-networking --socket=/tmp/first.sock --pid-file=/tmp/first.pid &
  ask() { mariadb --socket=/tmp/first.sock -uroot "$@"; }
  until ask -e 'SELECT 1' > /dev/null 2>&1; do
    kill -0 $! || exit 1
    sleep 0.2
  done
  text() { printf %s "$1" | sed "s/\\\\/\\\\\\\\/g; s/'/''/g"; }
  [ -z "$DATABASE" ] || ask -e "CREATE DATABASE IF NOT EXISTS \`$DATABASE\`"
  if [ -n "$USER" ] && [ "$USER" != root ]; then
    ask -e "CREATE USER '$(text "$USER")'@'%' IDENTIFIED BY '$(text "$PASSWORD")'"
    [ -z "$DATABASE" ] || ask -e "GRANT ALL ON \`$DATABASE\`.* TO '$(text "$USER")'@'%'"
  fi
  for file in /docker-entrypoint-initdb.d/*; do
    case "$file" in
      *.sh) . "$file" ;;
      *.sql) ask ${DATABASE:+"$DATABASE"} < "$file" ;;
      *.sql.gz) gunzip -c "$file" | ask ${DATABASE:+"$DATABASE"} ;;
    esac
  done
  ask -e "CREATE USER IF NOT EXISTS 'root'@'%' IDENTIFIED BY '$(text "$ROOT_PASSWORD")';
    GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION; ALTER USER 'root'@'localhost' IDENTIFIED BY '$(text "$ROOT_PASSWORD")'"
  kill $! && wait $! || true
fi
exec mariadbd --datadir="$DATADIR" --socket=/run/mysqld/mysqld.sock --bind-address=0.0.0.0 --skip-name-resolve "$@"
"""
_FERRETDB, _FERRETDB_VERSION = "github.com/FerretDB/FerretDB", "v1.24.2"
_FERRETDB_SUM = "h1:trrUU0LbmusMbyubhPS1IELncvrIwKrsRT2LW1UUWCw="
"""The last release that keeps its data in SQLite, and so needs no other server; its own go.sum pins what it is made of."""

_MONGO_ENTRY = r"""#!/bin/sh
# As the original's: a user where the variables name one. Options of mongod mean nothing here.
set -e
case "${1:-mongod}" in mongod | -*) ;; *) exec "$@" ;; esac
for name in MONGO_INITDB_ROOT_USERNAME MONGO_INITDB_ROOT_PASSWORD; do
  eval "file=\${${name}_FILE:-}"
  if [ -f "$file" ]; then export "$name=$(cat "$file")"; fi
done
mkdir -p /data/db
set -- --handler=sqlite --sqlite-url=file:/data/db/ --state-dir=/data/db --listen-addr=:27017 --telemetry=disable --debug-addr=- \
  --log-level=warn
if [ -n "$MONGO_INITDB_ROOT_USERNAME" ]; then
  set -- "$@" --test-enable-new-auth "--setup-username=$MONGO_INITDB_ROOT_USERNAME" \
    "--setup-password=$MONGO_INITDB_ROOT_PASSWORD" --setup-database=admin
fi
exec ferretdb "$@"
"""
_MARIADB_PORT, _MEMCACHED_PORT = 3306, 11211
_MYSQL_USER = 999


def mariadb(shop: Workshop, _: str) -> Made:
    """The OS's MariaDB, which stands in for MySQL too; made ready at its first start by the originals' variables."""

    def fill(root: Path) -> None:
        account(root, "mysql", "/var/lib/mysql", "/sbin/nologin", _MYSQL_USER)
        put(root, "usr/local/bin/docker-entrypoint.sh", _MARIADB_ENTRY, executable=True)
        put(root, "usr/local/bin/mysqld", '#!/bin/sh\nexec docker-entrypoint.sh mysqld "$@"\n', executable=True)
        for name in ("docker-entrypoint-initdb.d", "run/mysqld"):
            (root / name).mkdir(parents=True)
        (root / "run/mysqld").chmod(0o1777)

    packages = ("mariadb-server-core", "mariadb-client-core")
    layers = (shop.rootfs_layer(packages, fast=True), shop.tree_layer("mariadb", fill))
    env = (f"PATH={PATHS}", "DATADIR=/var/lib/mysql")
    settings = Settings(env=env, entrypoint=("docker-entrypoint.sh",), cmd=("mysqld",), ports=(f"{_MARIADB_PORT}/tcp",))
    return Made(layers, settings)


def memcached(shop: Workshop, _: str) -> Made:
    """The OS's memcached, as its own user."""

    def fill(root: Path) -> None:
        account(root, "memcache", "/nonexistent", "/sbin/nologin", 11211)
        put(root, "usr/local/bin/docker-entrypoint.sh", '#!/bin/sh\n[ "${1#-}" = "$1" ] || set -- memcached "$@"\nexec "$@"\n',
            executable=True)  # fmt: skip

    layers = (shop.rootfs_layer(("memcached",), fast=True), shop.tree_layer("memcached", fill))
    settings = Settings(
        env=(f"PATH={PATHS}",), entrypoint=("docker-entrypoint.sh",), cmd=("memcached",), user="memcache",
        ports=(f"{_MEMCACHED_PORT}/tcp",),
    )  # fmt: skip
    return Made(layers, settings)


def mongo(shop: Workshop, _: str) -> Made:
    """FerretDB, which speaks MongoDB's protocol; it has most of its commands, and no replica sets."""

    def fill(root: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="deadweight-ferretdb-", dir=shop.folder) as work:
            put(root, "usr/local/bin/ferretdb", _ferretdb(shop, Path(work)), executable=True)
        put(root, "usr/local/bin/docker-entrypoint.sh", _MONGO_ENTRY, executable=True)
        (root / "data/db").mkdir(parents=True)

    layers = (shop.rootfs_layer(("ca-certificates",), fast=True), shop.tree_layer("mongo", fill))
    settings = Settings(
        env=(f"PATH={PATHS}",), entrypoint=("docker-entrypoint.sh",), cmd=("mongod",), ports=("27017/tcp",),
        labels={"org.opencontainers.image.description": f"FerretDB {_FERRETDB_VERSION} in place of MongoDB"},
    )  # fmt: skip
    return Made(layers, settings)


def _ferretdb(shop: Workshop, work: Path) -> Path:
    """The program, compiled in a folder. Raises DeadweightError where the module is not the one that is meant."""
    from deadweight.toolchain.find import find

    go = find("go").path
    environment = {
        **shop.environment,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-modcacherw",
        "GOARCH": shop.machine.oci,
        "GOWORK": "off",
    }
    words: list[str | Path] = [go, "mod", "download", "-json", f"{_FERRETDB}@{_FERRETDB_VERSION}"]
    found = json.loads(_run.run(words, env=environment, cwd=work, timeout=300).output)
    if found.get("Sum") != _FERRETDB_SUM:
        raise DeadweightError(
            f"{_FERRETDB} {_FERRETDB_VERSION} has the checksum {found.get('Sum')}, not {_FERRETDB_SUM}",
            hint="check GOPROXY: it serves another module under this name",
        )
    source = shutil.copytree(found["Dir"], work / "source")
    for folder in (source, source / "build/version"):
        folder.chmod(0o755)
    (source / "build/version/version.txt").write_text(f"{_FERRETDB_VERSION}\n")
    build: list[str | Path] = [go, "build", "-trimpath", "-ldflags=-s -w", "-o", work / "ferretdb", "./cmd/ferretdb"]
    _run.run(build, env=environment, cwd=source, log=shop.log, timeout=1200)
    return work / "ferretdb"
