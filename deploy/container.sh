#!/usr/bin/env bash
# A Debian that boots in a container, with a real systemd and no network: what test-service, test-ansible and
# test-repository share.
#
# Executed directly, it lists missing requirements, also those given as program:package, and prints nothing if there are none.
# A script that sources it gets the functions below and a folder $work; at its end the folder is removed and all booted
# containers are killed.
#
# The system is a Debian 12, created once in MASKWATCH_TEST_ROOT. A script may set $suite, $root, further packages to install
# ($more_packages), and packages that apt can install there without a network ($fetched_packages). Changes of a run are kept
# in memory and discarded. With ARCHITECTURE=arm64 on another machine its programs are emulated, which may take $patience
# times as long.

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
# Packages of a system on which a service is installed, the broker of the tests, and requirements of Ansible and install.sh.
packages=systemd,systemd-sysv,dbus,python3,python3-systemd,mosquitto,mosquitto-clients,procps,sudo
packages+=,openssh-server,python3-apt,python3-venv
user=integrator
[[ ${BASH_SOURCE[0]} != "$0" ]] || needs+=("$@")

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
    # Kill the containers: an orderly shutdown can deadlock with the processes that run in them.
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
    # Register qemu again for this run, with the credentials of the emulated program (C): without them sudo has no effect.
    with_rights=$(awk '{ gsub(/../, "\\x&", $2) } /^magic/ { magic = $2 } /^mask/ { mask = $2 }
        END { print magic ":" mask }' /proc/sys/fs/binfmt_misc/qemu-aarch64)
    interpreter=$(awk '/^interpreter/ { print $2 }' /proc/sys/fs/binfmt_misc/qemu-aarch64)
    printf ':%s:M::%s:%s:POCF' "${own_binfmt##*/}" "$with_rights" "$interpreter" >/proc/sys/fs/binfmt_misc/register
    emulation=(--bind-ro="$work/cpuinfo:/cpuinfo" --setenv=QEMU_CPU="$QEMU_CPU")
fi

began=$(date +%s)
log() { printf '%4d s  %s\n' $(($(date +%s) - began)) "$*"; }
fail() {
    echo "FAILED: $*" >&2
    exit 1
}
# until_seconds SECONDS WHAT COMMAND...: wait until the command succeeds.
until_seconds() {
    local until=$(($(date +%s) + $1 * patience)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [[ $(date +%s) -lt $until ]] || fail "$what"
        sleep 0.3
    done
    log "ok: $what"
}
# equals ACTUAL EXPECTED WHAT: compare two values.
equals() {
    [[ $1 == "$2" ]] || fail "$3: '$1' instead of '$2'"
    log "ok: $3"
}

make_debian() {
    local made="$packages${more_packages:+ $more_packages}${fetched_packages:+ / $fetched_packages}"
    [[ $(cat "$root/.made" 2>/dev/null || true) != "$made" ]] || return 0
    log "creating a Debian system ($suite, $architecture) in $root (some minutes, once) ..."
    bootstrap "$suite" "$root" "$packages" --arch="$architecture" || fail "debootstrap"
    # debootstrap does not resolve virtual packages, so apt installs the others.
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
# boot NAME: boot the system with this host name and $work/packages as /packages; sets $leader.
boot() {
    local name=$1
    systemd-nspawn --quiet --boot --register=no --keep-unit --volatile=overlay --private-network \
        --machine="$name" --hostname="$name" --directory="$root" --bind-ro="$work/packages:/packages" "${emulation[@]}" \
        </dev/null >"$work/boot-$name.log" 2>&1 &
    local container=$!
    until_seconds 120 "$name boots with systemd" has_booted "$container"
    leaders[$name]=$leader
    # nspawn invents a boot id, but a sandboxed service with its own /proc sees the kernel's. On a device they are equal, and
    # the doctor uses the id to distinguish the agent's status from that of another device.
    inside umount /proc/sys/kernel/random/boot_id
    # Done by Debian's installer: host name, and a user with sudo.
    inside bash -euc "
        hostname $name
        printf '$name\n' >/etc/hostname
        printf '127.0.0.1 localhost\n127.0.1.1 $name\n' >/etc/hosts
        useradd --create-home --shell /bin/bash $user
        printf '$user ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/$user"
    # Programs started by systemd, a login or sudo see the emulated CPU too. The agent's unit needs it in its own /proc, and gets no
    # credentials, because systemd cannot create their namespace under qemu.
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

# inside COMMAND...: run a command in the container $leader.
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
# A recording longer than any test, because the agent exits at its end; slowed down under emulation.
long_recording() { ffmpeg -loglevel error -itsscale $patience -stream_loop 99 -i examples/street_door.mp4 -c copy "$1"; }

# start_broker USER...: start a broker on loopback that requires the password 'sesame-1883' from these users.
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

# first_message SECONDS USER TOPIC: the first message that is not a probe of the doctor.
first_message() {
    grep --max-count 1 --invert-match maskwatch.probe/1 < <(
        inside timeout "$1" mosquitto_sub -u "$2" -P sesame-1883 -t "$3"
    )
}
