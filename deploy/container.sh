#!/usr/bin/env bash
# A Debian that boots in a container, with a real systemd and no network: what test-service, test-ansible and
# test-repository share.
#
# Run by itself it says what is missing here for that, and nothing where nothing is. To a script that sources it, it gives
# the functions below, a folder $work that is removed at the end, and the end of every container that was booted.
#
# It is a Debian 12, made once, in MASKWATCH_TEST_ROOT, unless the script sets $suite, $root, what else it needs installed,
# $more_packages, and what apt can install there without a network, $fetched_packages; what a run changes lies in memory and
# is gone with it. With ARCHITECTURE=arm64 elsewhere each of its programs is emulated, which may take $patience times
# as long.

. deploy/debian/roots.sh
suite=bookworm
here=$(dpkg --print-architecture)
architecture=${ARCHITECTURE:-$here}
patience=1
needs=(systemd-nspawn:systemd-container debootstrap:debootstrap ffmpeg:ffmpeg nsenter:util-linux dpkg-deb:dpkg pgrep:procps)
if [[ $architecture != "$here" ]]; then
    patience=40
    needs+=("${arm64_needs[@]}")
fi
more_packages=
fetched_packages=
root=${MASKWATCH_TEST_ROOT:-/var/tmp/maskwatch-debian-12}
# What a Debian has that a service is installed on, the broker of the tests, and what Ansible and install.sh want.
packages=systemd,systemd-sysv,dbus,python3,python3-systemd,mosquitto,mosquitto-clients,procps,sudo
packages+=,openssh-server,python3-apt,python3-venv
user=integrator

name_what_is_missing() {
    local need
    [[ $(id -u) -eq 0 ]] || echo "  root, to boot a container: run it with sudo"
    for need in "${needs[@]}"; do
        command -v "${need%%:*}" >/dev/null || echo "  ${need%%:*}: apt-get install ${need##*:}"
    done
}

missing=$(name_what_is_missing)
if [[ -n $missing ]]; then
    printf '%s cannot run here; missing:\n%s\n' "$(basename "$0")" "$missing" >&2
    exit 1
fi
[[ ${BASH_SOURCE[0]} != "$0" ]] || exit 0

work=$(mktemp --directory)
own_binfmt=/proc/sys/fs/binfmt_misc/maskwatch-$$
declare -A leaders=()
leave() {
    local status=$? name job
    if [[ $status -ne 0 ]]; then
        for name in "${!leaders[@]}"; do
            leader=${leaders[$name]}
            echo "--- the journal of $name" >&2
            inside journalctl --unit edge-agent --no-pager --lines 40 >&2 || true
        done
    fi
    # Not the containers' own way to end: what listens in one is stopped by it, and then each waits for the other.
    for job in $(jobs -p); do
        pkill -KILL --parent "$job" || true
    done
    wait
    [[ ! -e $own_binfmt ]] || echo -1 >"$own_binfmt"
    rm -rf "$work"
    exit "$status"
}
trap leave EXIT

emulation=()
if [[ $architecture != "$here" ]]; then
    emulate_arm64 "$work/cpuinfo"
    # Once more for this run, and with the rights of a program's owner (C), without which sudo is not root there.
    with_rights=$(awk '{ gsub(/../, "\\x&", $2) } /^magic/ { magic = $2 } /^mask/ { mask = $2 }
        END { print magic ":" mask }' /proc/sys/fs/binfmt_misc/qemu-aarch64)
    interpreter=$(awk '/^interpreter/ { print $2 }' /proc/sys/fs/binfmt_misc/qemu-aarch64)
    printf ':%s:M::%s:%s:POCF' "${own_binfmt##*/}" "$with_rights" "$interpreter" >/proc/sys/fs/binfmt_misc/register
    emulation=(--bind-ro="$work/cpuinfo:/cpuinfo" --setenv=QEMU_CPU="$QEMU_CPU")
fi

began=$(date +%s)
say() { printf '%4d s  %s\n' $(($(date +%s) - began)) "$*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# until_seconds SECONDS WHAT COMMAND...: wait for something to become true.
until_seconds() {
    local until=$(($(date +%s) + $1 * patience)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [[ $(date +%s) -lt $until ]] || fail "$what"
        sleep 0.3
    done
    say "ok: $what"
}
# equals ACTUAL EXPECTED WHAT
equals() {
    [[ $1 == "$2" ]] || fail "$3: '$1' instead of '$2'"
    say "ok: $3"
}

make_debian() {
    local made="$packages${more_packages:+ $more_packages}${fetched_packages:+ / $fetched_packages}"
    [[ $(cat "$root/.made" 2>/dev/null || true) != "$made" ]] || return 0
    say "making a Debian ($suite, $architecture) in $root (some minutes, once) ..."
    bootstrap "$suite" "$root" "$packages" --arch="$architecture" || fail "debootstrap"
    # debootstrap finds no package by the name of another that provides it.
    # shellcheck disable=SC2016  # expanded by the shell inside
    [[ -z $more_packages$fetched_packages ]] || unshare --mount --pid --fork bash -euc '
        mount -t proc proc "$0/proc"
        cp /etc/resolv.conf "$0/etc/resolv.conf"
        export DEBIAN_FRONTEND=noninteractive
        chroot "$0" apt-get update
        chroot "$0" apt-get install --yes --no-install-recommends $1
        chroot "$0" apt-get clean
        chroot "$0" apt-get install --yes --no-install-recommends --download-only $2' \
        "$root" "$more_packages" "$fetched_packages" >"$work/apt.log" 2>&1 || fail "$(tail -n 5 "$work/apt.log")"
    echo "$made" >"$root/.made"
}

has_booted() { leader=$(pgrep --parent "$1") && inside systemctl is-active multi-user.target; }
# boot NAME: boot the Debian as a machine of this name, with $work/packages as /packages; it becomes the $leader.
boot() {
    local name=$1
    systemd-nspawn --quiet --boot --register=no --keep-unit --volatile=overlay --private-network \
        --machine="$name" --hostname="$name" --directory="$root" --bind-ro="$work/packages:/packages" "${emulation[@]}" \
        </dev/null >"$work/boot-$name.log" 2>&1 &
    local container=$!
    until_seconds 120 "$name boots a real systemd" has_booted "$container"
    leaders[$name]=$leader
    # nspawn makes up an id of the boot; in the /proc of its own that a sandboxed service has, it is the kernel's. On a
    # device they are one, by which the doctor knows the agent's status from that of another device.
    inside umount /proc/sys/kernel/random/boot_id
    # What an installer of Debian makes: names, and a person who may become root.
    inside bash -euc "
        hostname $name
        printf '$name\n' >/etc/hostname
        printf '127.0.0.1 localhost\n127.0.1.1 $name\n' >/etc/hosts
        useradd --create-home --shell /bin/bash $user
        printf '$user ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/$user"
    # What systemd, a login and sudo start is of the same processor. The agent's unit has a /proc of its own, and no credentials: in
    # qemu systemd gets no namespace to make them in.
    [[ $architecture == "$here" ]] || inside bash -euc "
        mount --bind /cpuinfo /proc/cpuinfo
        mkdir /etc/systemd/system/edge-agent.service.d
        printf '[Service]\nBindReadOnlyPaths=/cpuinfo:/proc/cpuinfo\nLoadCredential=\nSetCredential=\n' \
            >/etc/systemd/system/edge-agent.service.d/emulated.conf
        systemctl daemon-reload
        systemctl set-environment QEMU_CPU=$QEMU_CPU
        printf 'export QEMU_CPU=$QEMU_CPU\n' >/etc/profile.d/emulated.sh
        printf 'Defaults env_keep += QEMU_CPU\n' >/etc/sudoers.d/emulated"
}

shut_down() {
    for leader in "${leaders[@]}"; do
        inside systemctl poweroff
    done
    wait
    leaders=()
}

# Within the container that is the $leader.
inside() { nsenter --target "$leader" --mount --uts --ipc --net --pid --root --wdns=/ "$@"; }
service() { inside systemctl show --property "$1" --value edge-agent; }

# pack_newer PACKAGE.deb VERSION NEWER.deb: the same package with a higher version and one more line in its configuration.
pack_newer() {
    dpkg-deb --raw-extract "$1" "$work/newer"
    sed -i "s/^Version: .*/Version: $2/" "$work/newer/DEBIAN/control"
    echo "# A newer version." >>"$work/newer/usr/share/maskwatch/config.yaml"
    dpkg-deb --root-owner-group -Znone --build "$work/newer" "$3" >/dev/null
    rm -rf "$work/newer"
}
# Longer than any test: a recording that ends would end the agent. As much slower as what watches it.
long_recording() { ffmpeg -loglevel error -itsscale $patience -stream_loop 99 -i examples/street_door.mp4 -c copy "$1"; }

# A broker on loopback that asks for a password, which is 'sesame-1883' for each of these users.
start_broker() {
    local one
    inside install -o mosquitto -m 600 /dev/null /etc/mosquitto/passwords
    for one in "$@"; do
        inside mosquitto_passwd -b /etc/mosquitto/passwords "$one" sesame-1883
    done
    inside bash -euc '
        printf "listener 1883 127.0.0.1\npassword_file /etc/mosquitto/passwords\n" >/etc/mosquitto/conf.d/test.conf
        systemctl restart mosquitto'
}

# heard SECONDS USER TOPIC: the first message there that is no probe of the doctor.
heard() {
    grep --max-count 1 --invert-match maskwatch.probe/1 < <(
        inside timeout "$1" mosquitto_sub -u "$2" -P sesame-1883 -t "$3"
    )
}
