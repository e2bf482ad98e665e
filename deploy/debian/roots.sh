# shellcheck shell=bash
# Debians in folders, also of an arm64 whose programs are emulated one by one: what the scripts that test in them share.

# bootstrap SUITE FOLDER PACKAGES [OPTION...]: make a small Debian with these packages, with commas between them, anew. Its mirror
# is that of apt's sources; where they have none, as on an Ubuntu, debootstrap's own.
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

# What it takes to emulate an arm64, as COMMAND:PACKAGE.
# shellcheck disable=SC2034  # read by the scripts
arm64_needs=(qemu-aarch64-static:qemu-user-static update-binfmts:binfmt-support)

# emulate_arm64 FILE: let the kernel start programs of an arm64 by qemu, as on a Raspberry Pi 4, and write its /proc/cpuinfo.
emulate_arm64() {
    local processor
    # What qemu 7.2 takes without this computes int8 wrongly: the golden vectors see it.
    export QEMU_CPU=cortex-a72
    [[ -e /proc/sys/fs/binfmt_misc/qemu-aarch64 ]] || update-binfmts --enable qemu-aarch64 || return
    # With as many processors as this machine has. The runtimes look there for the kernels to take; x86 in it ends LiteRT.
    for ((processor = 0; processor < $(nproc --all); processor++)); do
        printf 'processor\t: %d\nFeatures\t: fp asimd evtstrm crc32 cpuid\nCPU implementer\t: 0x41\n' "$processor"
        printf 'CPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd08\nCPU revision\t: 3\n\n'
    done >"$1"
}
