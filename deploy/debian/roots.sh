# shellcheck shell=bash
# Functions of the scripts that test in Debian root folders, including emulated arm64 ones.

# bootstrap SUITE FOLDER PACKAGES [OPTION...]: create a minimal Debian with these comma-separated packages; replaces FOLDER. Uses
# the Debian mirror of apt's sources, or else, as on Ubuntu, that of debootstrap.
bootstrap() {
    local suite=$1 folder=$2 packages=$3 mirror log
    shift 3
    mirror=$(apt-get indextargets --format "\$(REPO_URI)" "Created-By: Packages" | grep '/debian/*$' | head -n 1 || true)
    rm -rf "$folder"
    log=$(mktemp)
    debootstrap "$@" --variant=minbase --include="$packages" "$suite" "$folder" ${mirror:+"$mirror"} >"$log" 2>&1 || {
        tail -n 5 "$log" >&2
        rm -f "$log"
        return 1
    }
    rm -f "$log" "$folder"/var/cache/apt/archives/*.deb
}

# Requirements for emulating arm64, as COMMAND:PACKAGE.
# shellcheck disable=SC2034  # read by the scripts
arm64_needs=(qemu-aarch64-static:qemu-user-static update-binfmts:binfmt-support)

# emulate_arm64 FILE: run arm64 programs with qemu as on a Raspberry Pi 4, and write its /proc/cpuinfo to FILE.
emulate_arm64() {
    local processor
    # With its default CPU, qemu 7.2 computes int8 wrongly, which the golden vectors detect.
    export QEMU_CPU=cortex-a72
    [[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]] || update-binfmts --enable qemu-aarch64 || return
    # As many processors as this machine has. The runtimes choose kernels by this file, and LiteRT aborts on that of an x86.
    for ((processor = 0; processor < $(nproc --all); processor++)); do
        printf 'processor\t: %d\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' "$processor"
        printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
    done >"$1"
}
