# Functions that build both packages: `. deploy/debian/package.sh`, then begin, gather and pack.
# shellcheck shell=bash disable=SC2154  # $python and $for_python are set by the script

# begin PACKAGE WHEEL ARCHITECTURE: check the arguments; sets version, work, root and SOURCE_DATE_EPOCH.
begin() {
    package_name=$1
    wheel=$2
    architecture=$3
    case $architecture in
        amd64) machine=x86_64 ;;
        arm64) machine=aarch64 ;;
        *)
            echo "${0##*/}: '$architecture' is neither amd64 nor arm64; no library is published for others" >&2
            exit 1
            ;;
    esac
    if ! command -v dpkg-deb >/dev/null; then
        echo "${0##*/}: dpkg-deb is missing: it is part of Debian; elsewhere install the package dpkg" >&2
        exit 1
    fi
    version=$(basename "$wheel" | cut -d - -f 2)
    work=$(mktemp --directory)
    trap 'rm -rf "$work"' EXIT
    root=$work/root
    documents=$root/usr/share/doc/$package_name
    # Fixed file modes and times, so that builds are reproducible.
    umask 022
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
    export SOURCE_DATE_EPOCH
}

# gather FOLDER PYTHON_VERSION UV_ARGUMENT...: install libraries for that architecture and Python into a folder, on any
# machine: wheels only, and copies instead of links into uv's cache, because some files are edited below.
gather() {
    local library=$1 for_python=$2
    shift 2
    echo "gathering the libraries of $package_name for Python $for_python on $architecture ..."
    "$(dirname "$python")/uv" pip install --quiet --no-config --python "$python" --link-mode copy --only-binary :all: \
        --target "$library" --python-platform "$machine-manylinux_2_31" --python-version "$for_python" "$@"
    # Remove commands of the libraries, which would start this machine's Python, and files with paths of this machine.
    rm -rf "${library:?}/bin" "$library/.lock"
    find "$library" \( -path '*.dist-info/direct_url.json' -o -path '*.dist-info/uv_cache.json' -o -name .gitignore \) -delete
    find "$library" -path '*.dist-info/RECORD' \
        -exec sed -i '/direct_url\.json/d; /uv_cache\.json/d; /^\(\.\.\/\.\.\/\)\?bin\//d; /\.gitignore,/d' {} +
}

# pack CONTROL POSTINST PRERM POSTRM CONFFILES: write dist/PACKAGE_VERSION_ARCHITECTURE.deb from $root, for the Python
# $for_python.
pack() {
    local control=$1 script file
    printf '%s (%s) stable; urgency=medium\n\n  * See https://github.com/maskwatch/maskwatch.\n\n -- %s  %s\n' \
        "$package_name" "$version" 'The maskwatch authors <maskwatch@users.noreply.github.com>' \
        "$(date -R -u -d "@$SOURCE_DATE_EPOCH")" | gzip -9n >"$documents/changelog.gz"
    find "$root" -type d ! -path '*/credentials' -exec chmod 755 {} +
    find "$root"/opt/*/lib -type f -exec chmod 644 {} +
    install -d "$root/DEBIAN"
    sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/" \
        -e "s/@PYTHON@/$for_python/; s/@NEXT_PYTHON@/3.$((${for_python#3.} + 1))/" \
        -e "s/@INSTALLED_KIBIBYTES@/$(du -sk --apparent-size "$root" | cut -f 1)/" "$control" >"$root/DEBIAN/control"
    for script in postinst prerm postrm; do
        shift
        install -m 755 "$1" "$root/DEBIAN/$script"
    done
    install -m 644 "$2" "$root/DEBIAN/conffiles"
    (cd "$root" && find . -type f ! -path './DEBIAN/*' -printf '%P\0' | LC_ALL=C sort -z | xargs -0 md5sum) \
        >"$root/DEBIAN/md5sums"
    chmod 644 "$root/DEBIAN/md5sums"
    mkdir -p dist
    file=dist/${package_name}_${version}_$architecture.deb
    # A higher level takes minutes longer and saves only a few per cent.
    dpkg-deb --root-owner-group -Zxz "-z${COMPRESSION_LEVEL:-2}" --build "$root" "$file" >/dev/null
    du -h "$file"
}
