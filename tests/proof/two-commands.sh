#!/bin/bash
# The README's two commands on a machine that has nothing of ours: a new clone, an empty home, a cgroup of their own. As root.
#
#   tests/proof/two-commands.sh [--only N] [MODE ...]      (default: both commands, and all modes: quiet loaded user)
#
# quiet: nothing beside them. loaded: two busy loops beside them. user: a temporary user who has sudo, instead of root.
# --only 1 runs the first command alone (demo), --only 2 the second (tests). The table goes to stdout and into OUT (default:
# /var/tmp/two-commands), where each command's output lies too, with seconds. What was started is ended by its id, also after a
# failure; the user, its rights and all folders but OUT are removed.
set -uo pipefail
if pgrep -f 'dockerd .*/run/deadweight-' >/dev/null; then # it would answer for the engine of the same path in the proof
    echo "an engine of Deadweight's is running: end it first (invoke clean --all)" >&2
    exit 2
fi
if [ -z "${IN_NAMESPACE:-}" ]; then IN_NAMESPACE=1 exec unshare --mount --propagation private "$0" "$@"; fi
source=$(cd "$(dirname "$0")/../.." && pwd)
out=${OUT:-/var/tmp/two-commands}
name=deadweight-proof
only=
if [ "${1:-}" = --only ]; then only=$2; shift 2; fi
kept=/root/.cache/deadweight # where the tests of a user who has sudo keep theirs
mapfile -t commands < <(sed -n 's/^    \(python3 -m venv .*\)$/\1/p' "$source/README.md")
mkdir -p "$out"

cgroups() { # the folders of our cgroup: one where the kernel has one tree of them, one for each controller where it has many
    if [ -f /sys/fs/cgroup/cgroup.procs ]; then echo "/sys/fs/cgroup/$name"; else echo /sys/fs/cgroup/{cpuacct,pids}/"$name"; fi
}

cpu_seconds() {
    if [ -f "/sys/fs/cgroup/cpuacct/$name/cpuacct.usage" ]; then
        echo $(($(cat "/sys/fs/cgroup/cpuacct/$name/cpuacct.usage") / 1000000000))
    else
        awk '/^usage_usec/ { print int($2 / 1000000) }' "/sys/fs/cgroup/$name/cpu.stat" 2>/dev/null || echo -
    fi
}

clean_up() {
    trap - EXIT INT TERM
    [ -z "${loops:-}" ] || kill $loops 2>/dev/null
    if [ -x "${work:-}/clone/.venv/bin/invoke" ]; then
        for who in "${as[*]}" "env HOME=/root"; do (cd "$work/clone" && $who .venv/bin/invoke clean --all) >/dev/null 2>&1; done
    fi
    for folder in $(cgroups); do
        for id in $(cat "$folder/cgroup.procs" 2>/dev/null); do kill -9 "$id" 2>/dev/null; done
        for _ in 1 2 3 4 5; do rmdir "$folder" 2>/dev/null && break; sleep 1; done
    done
    if [ "${mode:-}" = user ]; then
        rm -f "/etc/sudoers.d/$name"
        userdel "$name" 2>/dev/null
    fi
    umount -l "$kept" 2>/dev/null
    [ -z "${work:-}" ] || rm -rf --one-file-system "$work"
    work= loops=
}
trap 'clean_up; exit 130' INT TERM
trap clean_up EXIT

begin() { # MODE: everything new
    mode=$1 work=$(mktemp -d /var/tmp/dw.XXXXXX) loops=
    chmod 755 "$work"
    git clone -q --no-hardlinks "$source" "$work/clone"
    mkdir -p "$work/home" "$work/kept" "$kept"
    mount --bind "$work/kept" "$kept"
    as=(env -u VIRTUAL_ENV -u XDG_CACHE_HOME -u DEADWEIGHT_CACHE_DIR -u DOCKER_HOST "HOME=$work/home")
    if [ "$mode" = user ]; then
        command -v sudo >/dev/null || { echo "user: there is no sudo here" >&2; return 1; }
        useradd --home-dir "$work/home" --shell /bin/bash "$name" || return 1
        (umask 337 && echo "$name ALL=(ALL) NOPASSWD: ALL" >"/etc/sudoers.d/$name")
        chown -R "$name:" "$work"
        as=(runuser -u "$name" -- "${as[@]}")
    fi
    for folder in $(cgroups); do mkdir "$folder" || echo "no cgroup of its own: $folder" >&2; done
    if [ "$mode" = loaded ]; then
        for _ in 1 2; do (while :; do :; done) & loops="$loops $!"; done
    fi
}

run() { # COMMAND LOG: its exit code; each line of the log begins with the second it came at
    (
        for folder in $(cgroups); do echo "$BASHPID" >"$folder/cgroup.procs" 2>/dev/null; done
        cd "$work/clone" && exec "${as[@]}" bash -c "$1"
    ) </dev/null > >(while IFS= read -r line; do printf '%5d %s\n' $((SECONDS - started)) "$line"; done >"$2") 2>&1 &
    wait $! # unlike a command in front, this hears a signal at once
}

{
    echo "| mode | command | exit | seconds | first variant | all built | CPU seconds | counts |"
    echo "|---|---|---:|---:|---:|---:|---:|---|"
} | tee "$out/summary.md"
failed=0
for mode in "${@:-quiet loaded user}"; do
    for mode in $mode; do
        begin "$mode" || { failed=1; clean_up; trap clean_up EXIT; continue; }
        for number in ${only:-1 2}; do
            command=${commands[number - 1]} log=$out/$mode-$number.log started=$SECONDS before=$(cpu_seconds)
            run "$command" "$log"
            code=$? seconds=$((SECONDS - started))
            sleep 1 # for the log's last lines; who holds it open is ended later
            first=$(awk '/ Built  / { print $1; exit }' "$log")
            last=$(awk '/ Built  / { at = $1 } END { print at }' "$log")
            counts=$(grep -oE '[0-9]+ (passed|failed|skipped|error|not measured)[^=]*' "$log" | tail -1)
            [ "$code" = 0 ] || failed=1
            echo "| $mode | $([ "$number" = 1 ] && echo demo || echo tests) | $code | $seconds | ${first:--} | ${last:--} | $(($(cpu_seconds) - before)) | $counts |" | tee -a "$out/summary.md"
        done
        clean_up
        trap 'clean_up; exit 130' INT TERM
        trap clean_up EXIT
    done
done
exit $failed
