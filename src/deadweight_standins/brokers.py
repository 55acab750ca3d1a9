"""Stand-ins for message brokers, from the OS's packages: RabbitMQ and NATS."""

from __future__ import annotations

from pathlib import Path

from deadweight_standins.push import Settings
from deadweight_standins.recipes import PATHS, Made
from deadweight_standins.workshop import Workshop, put

_RABBITMQ_ENTRY = r"""#!/bin/sh
# As the original's: a user, a password and a virtual host by its variables; guest may come from other containers too.
set -e
case "${1:-rabbitmq-server}" in rabbitmq-server | -*) ;; *) exec "$@" ;; esac
[ "$1" != rabbitmq-server ] || shift
for name in USER PASS VHOST; do
  eval "value=\${RABBITMQ_DEFAULT_$name:-}; file=\${RABBITMQ_DEFAULT_${name}_FILE:-}"
  if [ -z "$value" ] && [ -f "$file" ]; then value="$(cat "$file")"; fi
  eval "$name=\$value"
done
home=/var/lib/rabbitmq
mkdir -p /etc/rabbitmq/conf.d "$home" /var/log/rabbitmq
{
  echo 'loopback_users = none'
  echo 'log.console = true'
  [ -z "$USER" ] || printf 'default_user = %s\n' "$USER"
  [ -z "$PASS" ] || printf 'default_pass = %s\n' "$PASS"
  [ -z "$VHOST" ] || printf 'default_vhost = %s\n' "$VHOST"
} > /etc/rabbitmq/conf.d/10-defaults.conf
[ -z "$RABBITMQ_ERLANG_COOKIE" ] || printf %s "$RABBITMQ_ERLANG_COOKIE" > "$home/.erlang.cookie"
[ ! -f "$home/.erlang.cookie" ] || chmod 400 "$home/.erlang.cookie"
chown -R rabbitmq:rabbitmq "$home" /var/log/rabbitmq /etc/rabbitmq
# this container is a cluster of one, and its own name may not be known in it
export HOME="$home" RABBITMQ_NODENAME="${RABBITMQ_NODENAME:-rabbit@localhost}"
cd "$home"
exec setpriv --reuid=rabbitmq --regid=rabbitmq --init-groups /usr/lib/rabbitmq/bin/rabbitmq-server "$@"
"""
_NATS_ENTRY = """#!/bin/sh
# As the original's: options alone are the server's.
[ "${1#-}" = "$1" ] || set -- nats-server "$@"
exec "$@"
"""
MANAGEMENT = "management"


def rabbitmq(shop: Workshop, flavour: str) -> Made:
    """The OS's RabbitMQ, made ready by the original's variables. ``flavour`` is ``management`` where its pages are wanted."""

    def fill(root: Path) -> None:
        put(root, "usr/local/bin/docker-entrypoint.sh", _RABBITMQ_ENTRY, executable=True)
        plugins = "rabbitmq_management,rabbitmq_prometheus" if flavour == MANAGEMENT else "rabbitmq_prometheus"
        put(root, "etc/rabbitmq/enabled_plugins", f"[{plugins}].\n")

    layers = (shop.rootfs_layer(("rabbitmq-server",), fast=True), shop.tree_layer(f"rabbitmq {flavour}".strip(), fill))
    settings = Settings(
        env=(f"PATH=/usr/lib/rabbitmq/bin:{PATHS}", "LANG=C.UTF-8"), entrypoint=("docker-entrypoint.sh",),
        cmd=("rabbitmq-server",), ports=("5672/tcp", *(("15672/tcp",) if flavour == MANAGEMENT else ())),
    )  # fmt: skip
    return Made(layers, settings)


def nats(shop: Workshop, _: str) -> Made:
    """The OS's NATS server."""

    def fill(root: Path) -> None:
        put(root, "usr/local/bin/docker-entrypoint.sh", _NATS_ENTRY, executable=True)
        put(root, "nats-server.conf", "port: 4222\nmonitor_port: 8222\n")

    layers = (shop.rootfs_layer(("nats-server",), fast=True), shop.tree_layer("nats", fill))
    settings = Settings(
        env=(f"PATH={PATHS}",), entrypoint=("docker-entrypoint.sh",), cmd=("nats-server", "--config", "/nats-server.conf"),
        ports=("4222/tcp", "8222/tcp"),
    )  # fmt: skip
    return Made(layers, settings)
