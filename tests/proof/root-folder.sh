#!/bin/bash
# A whole `invoke demo` in a root folder of another release: its own files, Python, compiler, Java and engine. As root.
#
#   tests/proof/root-folder.sh trixie|noble [KEYRING]
#
# trixie is Debian 13, noble Ubuntu 24.04 (whose KEYRING Debian does not have: a file ubuntu-archive-keyring.gpg). Only the kernel,
# the network, the CAs and the package sources' mirrors are this machine's. All that it starts ends with it; the folder is removed.
set -euo pipefail
release=$1 keyring=${2:-}
if [ -z "${IN_NAMESPACE:-}" ]; then
    IN_NAMESPACE=1 exec unshare --mount --propagation private --pid --fork --kill-child "$0" "$@"
fi
source=$(cd "$(dirname "$0")/../.." && pwd)
root=$(mktemp -d /var/tmp/deadweight-root.XXXXXX)
trap 'umount -l "$root"; rm -rf --one-file-system "$root"' EXIT
case $release in
noble) words=(--components=main,universe "--keyring=$keyring" noble "$root" http://archive.ubuntu.com/ubuntu) ;;
*) words=("$release" "$root") ;; # from its usual mirror
esac
mmdebstrap --quiet --variant=important --include=ca-certificates,git,python3,python3-venv "${words[@]}"
mount --bind "$root" "$root" # a container's root cannot be changed in a folder that is no mount
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
rm -f "$root/etc/resolv.conf" # may be a link that leads nowhere here
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -r /usr/local/share/ca-certificates "$root/usr/local/share/"
chroot "$root" update-ca-certificates >/dev/null
git clone -q --no-hardlinks "$source" "$root/srv/clone"
cat >"$root/srv/demo.sh" <<'END'
. /etc/os-release
echo "$PRETTY_NAME, $(python3 --version)"
mkdir -p "$HOME" && cd /srv/clone
command=$(sed -n 's/^    \(python3 -m venv .*demo\)$/\1/p' README.md)
bash -c "$command"
code=$?
echo "exit code $code; $(.venv/bin/invoke doctor 2>/dev/null | grep -E '^(engine|java|go|gcc|musl-gcc) ' | tr '\n' ';')"
.venv/bin/invoke clean --all
exit $code
END
# The folder becomes the root of a mount namespace: below chroot alone, what is executed in a container would see this machine's root.
# A home of its own: bridge and sockets of the engine are called after it, and the network is this machine's
cas=/etc/ssl/certs/ca-certificates.crt
env -i HOME="/srv/home-$(basename "$root")" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
    ${SSL_CERT_FILE:+SSL_CERT_FILE=$cas PIP_CERT=$cas} unshare --mount --propagation private \
    bash -c 'cd "$1" && mkdir .old && pivot_root . .old && umount -l .old && rmdir .old && exec bash /srv/demo.sh' - "$root"
