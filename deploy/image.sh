#!/bin/sh
# Builds the image from a static binary that is there already: image.sh BINARY [NAME]
#
# Needs buildah; pulls nothing, needs no daemon. The image is the last stage of the Dockerfile, word for word.
set -eu

binary=$1
name=${2:-kmswatch}
here=$(dirname "$0")
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT

"$here/rootfs.sh" "$binary" "$context/rootfs"
sed -n '/^FROM scratch/,$p' "$here/../Dockerfile" | sed 's/--from=build //' > "$context/Dockerfile"
# --format docker keeps the health check, which the OCI format has no place for.
buildah --storage-driver "${STORAGE_DRIVER:-vfs}" build --isolation chroot --format docker --tag "$name" "$context"
