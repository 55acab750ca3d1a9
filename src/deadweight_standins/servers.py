"""Stand-ins for servers that services need or stand on: nginx, redis, postgres, from the OS's packages."""

from __future__ import annotations

from pathlib import Path

from deadweight_standins import alpine
from deadweight_standins.alpine import APK_KNOWS, place_for_apk
from deadweight_standins.languages import account
from deadweight_standins.push import Settings
from deadweight_standins.recipes import PATHS, Made
from deadweight_standins.workshop import Workshop, link, put

_NGINX_SITE = """server {{
    listen {port};
    server_name localhost;
    location / {{
        root /usr/share/nginx/html;
        index index.html index.htm;
    }}
}}
"""
_NGINX_LIBRARIES = ("libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g")
_NGINX_MAIN = """{user}worker_processes auto;
error_log /dev/stderr notice;
pid {pid};
events {{ worker_connections 1024; }}
http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    keepalive_timeout 65;
{temporary}    include /etc/nginx/conf.d/*.conf;
}}
"""
_TEMPORARY = "".join(
    f"    {kind}_temp_path /tmp/{kind}_temp;\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
)

_POSTGRES_ENTRY = """#!/bin/sh
# As the original's: a cluster is made when there is none, for POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB.
set -e
if [ "${1#-}" != "$1" ]; then set -- postgres "$@"; fi
if [ "$1" = postgres ]; then
  for name in POSTGRES_PASSWORD POSTGRES_USER POSTGRES_DB; do
    eval "file=\\$${name}_FILE"
    if [ -f "$file" ]; then export "$name=$(cat "$file")"; fi
  done
  export PGDATA="${PGDATA:-/var/lib/postgresql/data}" POSTGRES_USER="${POSTGRES_USER:-postgres}"
  export POSTGRES_DB="${POSTGRES_DB:-$POSTGRES_USER}"
  if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R postgres "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$0" "$@"
  fi
  if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "$POSTGRES_PASSWORD" ] && [ "$POSTGRES_HOST_AUTH_METHOD" != trust ]; then
      echo "Error: Database is uninitialized and superuser password is not specified (POSTGRES_PASSWORD)." >&2
      exit 1
    fi
    umask 077
    printf '%s\\n' "$POSTGRES_PASSWORD" > /tmp/pw
    initdb -U "$POSTGRES_USER" --pwfile=/tmp/pw -A "${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" > /dev/null
    rm -f /tmp/pw
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >> "$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses='' -k /tmp" -w start > /dev/null
    export PGPASSWORD="$POSTGRES_PASSWORD" PGHOST=/tmp PGUSER="$POSTGRES_USER"
    [ "$POSTGRES_DB" = postgres ] || createdb "$POSTGRES_DB"
    for file in /docker-entrypoint-initdb.d/*; do
      case "$file" in
        *.sh) sh "$file" ;;
        *.sql) psql -v ON_ERROR_STOP=1 -d "$POSTGRES_DB" -f "$file" ;;
      esac
    done
    pg_ctl -D "$PGDATA" -m fast -w stop > /dev/null
  fi
  shift
  exec postgres -c "listen_addresses=*" -k /tmp "$@"
fi
exec "$@"
"""
_REDIS_ENTRY = """#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then set -- redis-server "$@"; fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
  chown -R redis /data 2>/dev/null || true
  exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
exec "$@"
"""


def nginx(shop: Workshop, flavour: str) -> Made:
    """nginx with the original's layout and user; ``unprivileged`` listens on 8080 as that user, without rights."""
    free, small = "unprivileged" in flavour, flavour.endswith("alpine")

    def fill(root: Path) -> None:
        account(root, "nginx", "/var/cache/nginx", "/sbin/nologin", 101)
        put(root, "etc/nginx/conf.d/default.conf", _NGINX_SITE.format(port=8080 if free else 80))
        pid, user = ("/tmp/nginx.pid", "") if free else ("/run/nginx.pid", "user nginx;\n")  # noqa: S108 - in the image
        put(root, "etc/nginx/nginx.conf", _NGINX_MAIN.format(pid=pid, user=user, temporary=_TEMPORARY if free else ""))
        put(root, "usr/share/nginx/html/index.html", "<h1>Welcome to nginx!</h1>\n")
        put(root, "usr/share/nginx/html/50x.html", "<h1>An error occurred.</h1>\n")
        if small:
            _nginx_alone(shop, root)

    base = (
        alpine.layer(shop, _NGINX_LIBRARIES)
        if small
        else shop.rootfs_layer(("nginx-light", "ca-certificates", "curl", "gettext-base"), fast=True)
    )
    settings = Settings(
        env=(f"PATH={PATHS}",),
        cmd=("nginx", "-g", "daemon off;"),
        user="101" if free else "",
        ports=("8080/tcp" if free else "80/tcp",),
    )
    return Made((base, shop.tree_layer(f"nginx-{flavour}", fill)), settings)


def _nginx_alone(shop: Workshop, root: Path) -> None:
    """The program and its tables out of the OS's packages, for the base that has no package manager of the OS."""
    put(root, "usr/sbin/nginx", shop.unpacked("nginx") / "usr/sbin/nginx", executable=True)
    for name in ("mime.types", "fastcgi_params", "fastcgi.conf", "proxy_params", "scgi_params", "uwsgi_params"):
        put(root, f"etc/nginx/{name}", shop.unpacked("nginx-common") / "etc/nginx" / name)
    for name in ("var/log/nginx", "var/lib/nginx", "usr/share/nginx"):
        (root / name).mkdir(parents=True, exist_ok=True)


ACCESS_TO_STDOUT = """ErrorLog /dev/stderr
CustomLog /dev/stdout combined
"""
_HTTPD = """# The OS's Apache with the original's folders.
ServerRoot /usr/local/apache2
ServerName localhost
Listen 80
PidFile /tmp/httpd.pid
Mutex file:/tmp default
IncludeOptional /etc/apache2/mods-enabled/*.load
IncludeOptional /etc/apache2/mods-enabled/*.conf
<IfModule unixd_module>
  User www-data
  Group www-data
</IfModule>
DocumentRoot "/usr/local/apache2/htdocs"
<Directory />
  AllowOverride none
  Require all denied
</Directory>
<Directory "/usr/local/apache2/htdocs">
  Options Indexes FollowSymLinks
  AllowOverride None
  Require all granted
</Directory>
DirectoryIndex index.html
LogLevel warn
LogFormat "%h %l %u %t \\"%r\\" %>s %b" common
ErrorLog /proc/self/fd/2
CustomLog /proc/self/fd/1 common
"""
_HTTPD_FOREGROUND = """#!/bin/sh
set -e
. /etc/apache2/envvars
rm -f /tmp/httpd.pid
exec apache2 -f /usr/local/apache2/conf/httpd.conf -DFOREGROUND "$@"
"""


def httpd(shop: Workshop, flavour: str) -> Made:
    """The OS's Apache, which serves /usr/local/apache2/htdocs on 80; of Alpine's, with a place for ``apk``."""
    alpine_like = flavour.endswith("alpine")

    def fill(root: Path) -> None:
        home = "usr/local/apache2"
        put(root, f"{home}/conf/httpd.conf", _HTTPD)
        put(root, f"{home}/htdocs/index.html", "<html><body><h1>It works!</h1></body></html>\n")
        put(root, "usr/local/bin/httpd-foreground", _HTTPD_FOREGROUND, executable=True)
        link(root, f"{home}/modules", "/usr/lib/apache2/modules")
        link(root, f"{home}/bin/httpd", "/usr/sbin/apache2")
        (root / home / "logs").mkdir()
        if alpine_like:
            place_for_apk(root)

    base = shop.rootfs_layer(("apache2", "ca-certificates"), fast=True, hooks=(APK_KNOWS,) if alpine_like else ())
    env = (f"PATH=/usr/local/apache2/bin:{PATHS}", "HTTPD_PREFIX=/usr/local/apache2")
    settings = Settings(env=env, cmd=("httpd-foreground",), workdir="/usr/local/apache2", ports=("80/tcp",))
    return Made((base, shop.tree_layer(f"httpd-{flavour}", fill)), settings)


def caddy(shop: Workshop, _: str) -> Made:
    """The OS's Caddy with the original's folders: it serves /usr/share/caddy until somebody says otherwise."""

    def fill(root: Path) -> None:
        put(root, "etc/caddy/Caddyfile", ":80 {\n\troot * /usr/share/caddy\n\tfile_server\n}\n")
        put(root, "usr/share/caddy/index.html", "<h1>Caddy works!</h1>\n")
        for name in ("config/caddy", "data/caddy", "srv"):
            (root / name).mkdir(parents=True)

    layers = (shop.rootfs_layer(("caddy", "ca-certificates"), fast=True), shop.tree_layer("caddy", fill))
    words = ("caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile")
    env = (f"PATH={PATHS}", "XDG_CONFIG_HOME=/config", "XDG_DATA_HOME=/data")
    return Made(
        layers, Settings(env=env, cmd=words, workdir="/srv", ports=("80/tcp", "443/tcp", "443/udp", "2019/tcp"))
    )


def redis(shop: Workshop, _: str) -> Made:
    """The OS's Redis, in memory and in ``/data``."""

    def fill(root: Path) -> None:
        put(root, "usr/local/bin/docker-entrypoint.sh", _REDIS_ENTRY, executable=True)
        (root / "data").mkdir()

    layers = (shop.rootfs_layer(("redis-server",), fast=True), shop.tree_layer("redis", fill))
    words = ("redis-server", "--protected-mode", "no", "--bind", "0.0.0.0", "--dir", "/data")  # noqa: S104 - in a container
    settings = Settings(
        env=(f"PATH={PATHS}",), entrypoint=("docker-entrypoint.sh",), cmd=words, workdir="/data", ports=("6379/tcp",)
    )
    return Made(layers, settings)


def postgres(shop: Workshop, _: str) -> Made:
    """The OS's PostgreSQL, made ready at its first start by the original's variables."""

    def fill(root: Path) -> None:
        put(root, "usr/local/bin/docker-entrypoint.sh", _POSTGRES_ENTRY, executable=True)
        (root / "docker-entrypoint-initdb.d").mkdir()

    number = shop.once("postgres version", lambda: _newest_postgres(shop))
    layers = (shop.rootfs_layer((f"postgresql-{number}",), fast=True), shop.tree_layer("postgres", fill))
    env = (f"PATH=/usr/lib/postgresql/{number}/bin:{PATHS}", "PGDATA=/var/lib/postgresql/data", f"PG_MAJOR={number}")
    settings = Settings(env=env, entrypoint=("docker-entrypoint.sh",), cmd=("postgres",), ports=("5432/tcp",))
    return Made(layers, settings)


def _newest_postgres(shop: Workshop) -> str:
    names = [
        name for name in shop.packages.get(["postgresql"]) if name.startswith("postgresql-") and name[11:].isdigit()
    ]
    return max((name[11:] for name in names), key=int)
