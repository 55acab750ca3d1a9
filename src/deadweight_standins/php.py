"""Stand-ins for PHP's bases: the OS's PHP with the original's layout, commands and extensions.

The OS has most extensions ready-made. They are in the image but off, as far as the original does not have them either; its
``docker-php-ext-install`` and ``pecl install`` switch them on here instead of compiling them.
"""

from __future__ import annotations

from pathlib import Path

from deadweight_standins.alpine import APK_KNOWS, place_for_apk
from deadweight_standins.push import Settings
from deadweight_standins.recipes import FULL_PACKAGES, PATHS, Made, in_place_of, number
from deadweight_standins.servers import ACCESS_TO_STDOUT
from deadweight_standins.workshop import Workshop, link, put

PHPS = {"8.2": "bookworm", "8.4": "trixie"}
"""Which release of the OS has which PHP."""

USUAL = ("curl", "mbstring", "readline", "sqlite3", "xml")
"""Packages of extensions that the original has from the start."""
EXTRA = (
    *(
        "apcu",
        "bcmath",
        "bz2",
        "gd",
        "gmp",
        "imagick",
        "intl",
        "ldap",
        "memcached",
        "mysql",
        "opcache",
        "pgsql",
    ),
    *("redis", "soap", "xdebug", "xsl", "zip"),
)
"""Packages of extensions that are switched on by a Dockerfile."""
OFF = (
    *(
        "apcu",
        "bcmath",
        "bz2",
        "calendar",
        "exif",
        "ffi",
        "gd",
        "gettext",
        "gmp",
        "igbinary",
        "imagick",
        "imap",
        "intl",
    ),
    *("ldap", "memcached", "msgpack", "mysqli", "opcache", "pdo_mysql", "pdo_pgsql", "pgsql", "redis", "shmop", "soap"),
    *("sockets", "sysvmsg", "sysvsem", "sysvshm", "xdebug", "xsl", "zip"),
)
"""The extensions that the original does not have before a Dockerfile asks for them."""

_HOME = "/usr/local/etc/php"
_ENTRY = """#!/bin/sh
set -e
if [ "${1#-}" != "$1" ]; then set -- php "$@"; fi
exec "$@"
"""
SWITCH = """#!/bin/sh
# The OS's packages hold the extensions ready-made: they are switched on, not compiled.
set -e
for name; do
  case "$name" in -* | [0-9]* | install) continue ;; esac
  name="${{name%%-[0-9]*}}"
  if [ ! -f "/etc/php/{0}/mods-available/$name.ini" ]; then
    echo "error: this stand-in for php has no extension $name; it has: $(cd /etc/php/{0}/mods-available && echo *.ini)" >&2
    exit 1
  fi
  phpenmod -v {0} igbinary msgpack 2>/dev/null || true
  phpenmod -v {0} "$name"
done
"""
_FPM = """[global]
error_log = /proc/self/fd/2
daemonize = no
include = /usr/local/etc/php-fpm.d/*.conf
"""
_POOL = """[www]
user = www-data
group = www-data
listen = 127.0.0.1:9000
pm = dynamic
pm.max_children = 5
pm.start_servers = 2
pm.min_spare_servers = 1
pm.max_spare_servers = 3
access.log = /proc/self/fd/2
clear_env = no
catch_workers_output = yes
"""
_APACHE = """#!/bin/sh
# As the original's: Apache in the foreground, with the OS's own settings.
set -e
. /etc/apache2/envvars
mkdir -p "$APACHE_RUN_DIR" "$APACHE_LOCK_DIR" 2>/dev/null || true
rm -f "$APACHE_PID_FILE"
exec apache2 -DFOREGROUND "$@"
"""
KINDS = {"cli": "cli", "fpm": "fpm", "apache": "libapache2-mod"}


def php(shop: Workshop, parameter: str) -> Made:
    """``[VERSION]-(cli|fpm|apache)[-alpine]``: the OS's PHP and its ready-made extensions."""
    wanted, kind, *flavour = parameter.split("-")
    version, alpine = php_release(wanted), "alpine" in flavour
    packages = (
        *([] if alpine else FULL_PACKAGES),
        *php_packages(version, kind),
        *(("apache2",) if kind == "apache" else ()),
    )
    off = f"--customize-hook=chroot \"$1\" sh -c 'phpdismod -v {version} {' '.join(OFF)} 2>/dev/null || true'"
    page = '--customize-hook=rm -f "$1/var/www/html/index.html"'  # Debian's own, which the original does not have
    hooks = (off, page, *((APK_KNOWS,) if alpine else ()))
    layers = (
        shop.rootfs_layer(packages, fast=True, suite=PHPS[version], hooks=hooks),
        shop.tree_layer(f"php-{parameter}", lambda root: _fill(root, version, kind, alpine=alpine)),
    )
    env = (
        f"PATH={PATHS}",
        *(f"PHP_INI_DIR={_HOME}", f"PHPRC={_HOME}", f"PHP_INI_SCAN_DIR=:{_HOME}/conf.d", f"PHP_VERSION={version}"),
        *(("APACHE_CONFDIR=/etc/apache2", "APACHE_ENVVARS=/etc/apache2/envvars") if kind == "apache" else ()),
    )
    words = {"cli": ("php", "-a"), "fpm": ("php-fpm",), "apache": ("apache2-foreground",)}[kind]
    ports = {"cli": (), "fpm": ("9000/tcp",), "apache": ("80/tcp",)}[kind]
    labels = in_place_of("PHP", version, wanted)
    entry = ("docker-php-entrypoint",)
    workdir = "/" if kind == "cli" else "/var/www/html"
    return Made(layers, Settings(env=env, entrypoint=entry, cmd=words, workdir=workdir, ports=ports, labels=labels))


def php_release(wanted: str) -> str:
    """The PHP that stands in for ``wanted`` (``8.3``): the next later one that there is; else, and for ``8``, the newest."""
    return next((each for each in PHPS if "." in wanted and number(each) >= number(wanted)[:2]), list(PHPS)[-1])


def php_packages(version: str, kind: str) -> tuple[str, ...]:
    """The OS's packages of a PHP: its command line always, as the original has it."""
    program = f"libapache2-mod-php{version}" if kind == "apache" else f"php{version}-{kind}"
    extensions = (f"php{version}-{name}" if name in _WITH_VERSION else f"php-{name}" for name in (*USUAL, *EXTRA))
    return tuple(dict.fromkeys((f"php{version}-cli", program, *extensions)))


_WITH_VERSION = {*USUAL, *EXTRA} - {"apcu", "imagick", "memcached", "redis", "xdebug"}


def _fill(root: Path, version: str, kind: str, *, alpine: bool) -> None:
    put(root, "usr/local/bin/docker-php-entrypoint", _ENTRY, executable=True)
    for name in ("docker-php-ext-install", "docker-php-ext-enable", "pecl"):
        put(root, f"usr/local/bin/{name}", SWITCH.format(version), executable=True)
    for name in ("docker-php-ext-configure", "docker-php-source"):
        put(root, f"usr/local/bin/{name}", "#!/bin/sh\nexit 0\n", executable=True)
    link(root, "usr/local/bin/php", f"/usr/bin/php{version}")
    for name in ("production", "development"):
        link(root, f"{_HOME[1:]}/php.ini-{name}", f"/usr/lib/php/{version}/php.ini-{name}")
    (root / _HOME[1:] / "conf.d").mkdir()
    (root / "var/www/html").mkdir(parents=True)
    if kind == "fpm":
        put(root, "usr/local/etc/php-fpm.conf", _FPM)
        put(root, "usr/local/etc/php-fpm.d/www.conf", _POOL)
        put(root, "usr/local/etc/php-fpm.d/zz-docker.conf", "[www]\nlisten = 9000\n")
        program = f'#!/bin/sh\nexec /usr/sbin/php-fpm{version} -y /usr/local/etc/php-fpm.conf "$@"\n'
        put(root, "usr/local/sbin/php-fpm", program, executable=True)
    if kind == "apache":
        for name in ("run/apache2", "run/lock/apache2", "var/log/apache2"):  # any user may start it, as in the original
            (root / name).mkdir(parents=True)
            (root / name).chmod(0o1777)
        for name, stream in (("error", "stderr"), ("access", "stdout"), ("other_vhosts_access", "stdout")):
            link(root, f"var/log/apache2/{name}.log", f"/dev/{stream}")
        put(root, "usr/local/bin/apache2-foreground", _APACHE, executable=True)
        put(
            root,
            "etc/apache2/conf-enabled/docker-php.conf",
            f"DirectoryIndex disabled\nDirectoryIndex index.php index.html\n{ACCESS_TO_STDOUT}",
        )
    if alpine:
        place_for_apk(root)
