#!/bin/sh
# Lays out the image: rootfs.sh BINARY FOLDER
# FOLDER/root is what the image's root holds, FOLDER/state what the daemon's user owns below /var/lib.
set -eu

binary=$1
root=$2/root
authorities=/etc/ssl/certs/ca-certificates.crt

if [ ! -r "$authorities" ]; then
    echo "rootfs.sh: $authorities is missing: install ca-certificates" >&2
    exit 1
fi
# A dynamic program would not start on an empty root.
if LC_ALL=C ldd "$binary" 2>/dev/null | grep -q '=>'; then
    echo "rootfs.sh: $binary is not static: build it with RUSTFLAGS='-C target-feature=+crt-static' and --target" >&2
    exit 1
fi

mkdir -p "$root/etc/ssl/certs" "$root/etc/kmswatch" "$2/state/kmswatch"
cp "$authorities" "$root$authorities"
cp "$binary" "$root/kmswatch"
chmod 0755 "$root/kmswatch"
echo 'kmswatch:x:65532:65532:kmswatch:/var/lib/kmswatch:/none' > "$root/etc/passwd"
echo 'kmswatch:x:65532:' > "$root/etc/group"
# The C library resolves names without loading anything.
echo 'hosts: files dns' > "$root/etc/nsswitch.conf"
