#!/usr/bin/env bash
# Install maskwatch as a service where no Debian package is available. Run it again to repair or upgrade.
#
#   sudo deploy/install.sh              from this checkout
#   sudo deploy/install.sh FILE.whl     from a wheel
#   sudo deploy/install.sh --dry-run    print the steps without executing them
#   sudo deploy/install.sh --uninstall  remove the program; configuration, pending alerts and crops are kept
#
# PYTHON=python3.12 chooses another Python, from 3.10 to 3.14.
set -euo pipefail
# Independent of the umask: all users can read the program, only root can write it.
umask 022
checkout=$(cd "$(dirname "$0")/.." && pwd)

python=${PYTHON:-python3}
dry=no
uninstall=no
what=$checkout
for argument in "$@"; do
    case $argument in
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        -h | --help)
            sed -n '2,/^set/{/^set/d; s/^# \{0,1\}//; p}' "$0"
            exit 0
            ;;
        -*)
            echo "install.sh: '$argument' is not an option; known: --dry-run, --uninstall" >&2
            exit 64
            ;;
        *) what=$(realpath --canonicalize-existing "$argument") ;;
    esac
done

# Execute a step, or only print it.
step() {
    echo "+ $*"
    [[ $dry == yes ]] || "$@"
}
stop_with() {
    echo "install.sh: $1" >&2
    exit 1
}

if [[ $dry == no && $(id -u) -ne 0 ]]; then
    stop_with "has to be root: sudo $0 $*"
fi
if command -v dpkg-query >/dev/null &&
    [[ $(dpkg-query --show --showformat='${db:Status-Status}' maskwatch 2>/dev/null || true) == installed ]]; then
    stop_with "the package maskwatch is installed, and both would write to /opt/maskwatch; apt-get remove maskwatch first"
fi

if [[ $uninstall == yes ]]; then
    for service in maskwatch-rollout maskwatch-console edge-agent; do
        [[ ! -e /etc/systemd/system/$service.service ]] || step systemctl disable --now "$service.service"
        step rm -f "/etc/systemd/system/$service.service"
    done
    step rm -rf /opt/maskwatch /usr/local/bin/edge-agent /etc/sysusers.d/maskwatch.conf /etc/tmpfiles.d/maskwatch.conf
    step systemctl daemon-reload
    echo "kept: /etc/maskwatch and /var/lib/maskwatch; delete them with rm -rf"
    exit 0
fi

# Without a running systemd its last steps would fail. A container may have systemctl all the same.
[[ $dry == yes || -d /run/systemd/system ]] || stop_with "there is no systemd here; run 'edge-agent run' by what starts your services"
"$python" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null ||
    stop_with "$python is not Python 3.10 to 3.14; name one: sudo PYTHON=python3.12 $0"
"$python" -c 'import ensurepip' 2>/dev/null ||
    stop_with "$python cannot make virtual environments: apt-get install python3-venv"

step install -D -m 644 "$checkout/deploy/maskwatch.sysusers" /etc/sysusers.d/maskwatch.conf
step systemd-sysusers /etc/sysusers.d/maskwatch.conf
step install -D -m 644 "$checkout/deploy/maskwatch.tmpfiles" /etc/tmpfiles.d/maskwatch.conf
step systemd-tmpfiles --create /etc/tmpfiles.d/maskwatch.conf
# With system packages: python3-systemd for the journal, python3-picamera2 for a Pi's camera. Created anew for another Python:
# that of $PYTHON, or of a system that has been upgraded.
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[[ $(/opt/maskwatch/bin/pip --version 2>/dev/null || true) == *" /opt/maskwatch/lib/python$version/"* ]] ||
    step "$python" -m venv --clear --system-site-packages /opt/maskwatch
# Libraries pinned by hash, and only wheels, so that no build code runs.
step /opt/maskwatch/bin/pip install --quiet --disable-pip-version-check --upgrade --require-hashes --only-binary :all: \
    --requirement "$checkout/deploy/requirements.txt"
# Also for the same version, to repair a damaged installation. The build tools are among the libraries. They build outside the
# checkout, where modules of an earlier version would be left, and files of root.
build=$(mktemp --directory)
trap 'rm -rf "$build"' EXIT
printf '[build]\nbuild_base = %s\n[egg_info]\negg_base = %s\n' "$build" "$build" >"$build/setup.cfg"
step env DIST_EXTRA_CONFIG="$build/setup.cfg" /opt/maskwatch/bin/pip install --quiet --disable-pip-version-check \
    --force-reinstall --no-deps --no-build-isolation "$what"
step chmod -R u=rwX,go=rX /opt/maskwatch
step ln -sfn /opt/maskwatch/bin/edge-agent /usr/local/bin/edge-agent

step install -d -m 755 /etc/maskwatch
step install -d -m 700 /etc/maskwatch/credentials
if [[ ! -e /etc/maskwatch/config.yaml ]]; then
    # Renamed when it is complete: an interrupted installation must not leave a part, which the next one would keep.
    step install -m 640 -o root -g maskwatch /dev/null /etc/maskwatch/config.yaml.new
    step sh -c '/opt/maskwatch/bin/edge-agent config --config /dev/null >/etc/maskwatch/config.yaml.new'
    # What a person runs and what the service runs look into the same folder.
    step sed -i 's|^state_dir:$|state_dir: /var/lib/maskwatch|' /etc/maskwatch/config.yaml.new
    step mv /etc/maskwatch/config.yaml.new /etc/maskwatch/config.yaml
fi
step install -m 644 "$checkout/deploy/edge-agent.service" /etc/systemd/system/edge-agent.service
step install -m 644 "$checkout/deploy/maskwatch-console.service" /etc/systemd/system/maskwatch-console.service
step install -m 644 "$checkout/deploy/maskwatch-rollout.service" /etc/systemd/system/maskwatch-rollout.service
step systemctl daemon-reload
step systemctl enable edge-agent.service
# Restart only running services: a new device must be configured first.
step systemctl --no-block try-restart edge-agent.service maskwatch-console.service maskwatch-rollout.service
echo "edit /etc/maskwatch/config.yaml, then: systemctl start edge-agent; for the page: systemctl enable --now maskwatch-console"
