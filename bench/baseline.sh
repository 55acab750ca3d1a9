#!/bin/sh
# The rival: what a good Makefile does. The same Dockerfiles with BuildKit and their cache mounts, the same ko, melange and apko
# calls and tool versions as ours, one after another, every output into out/. Two caches outlive the runs: Go's, melange's.
#
#   baseline.sh all          build everything
#   baseline.sh dockerfiles  only the Dockerfile variants
#   baseline.sh bake         the same by one call of buildx bake (docker-bake.json)
#
# Runs in a copy of the project. From the environment: BUILD (the BuildKit client and its flags), BUILDX, KO, KO_BASE, GO_FOLDER,
# MELANGE, APKO, ARCH, OCI_ARCH, APK_WOLFI, APK_ALPINE, APK_KEY, and one NAME=image@digest for each base below.
set -eu
: "${BUILD:?}" "${KO:?}" "${MELANGE:?}" "${APKO:?}"
mkdir -p out cache/melange/go-build # melange takes no cache folder that is not there
export SOURCE_DATE_EPOCH=0 KO_DATA_DATE_EPOCH=0 GOTOOLCHAIN=local
app=src/vulnerable-awk-playground

dockerfile() { # NAME ARG=image ...
    name=$1
    shift
    for argument; do set -- "$@" --build-arg "$argument"; shift; done
    # BUILD is several words on purpose
    $BUILD --file "build/$name.Dockerfile" --tag "baseline/$name:latest" "$@" "$app"
}

dockerfiles() {
    dockerfile all-in-one "GO_BASE=$GO_BASE"
    dockerfile multi-stage-ubuntu "GO_BASE=$GO_BASE" "BASE=$UBUNTU"
    dockerfile multi-stage-alpine "GO_BASE=$GO_BASE" "BASE=$ALPINE"
    dockerfile multi-stage-chainguard "GO_BASE=$GO_BASE" "BASE=$CHAINGUARD"
    dockerfile multi-stage-distroless "GO_BASE=$GO_BASE" "BASE=$DISTROLESS"
}

with_ko() {
    (
        cd "$app"
        PATH="$GO_FOLDER:$PATH" GOCACHE="$OLDPWD/cache/go-build" KO_CONFIG_PATH="$OLDPWD/ko.yaml" \
            KO_DOCKER_REPO=baseline/ko KO_DEFAULTBASEIMAGE="$KO_BASE" \
            "$KO" build --push=false --bare --tags latest --tarball "$OLDPWD/out/ko.tar" --platform "linux/$OCI_ARCH" \
            --sbom spdx --sbom-dir "$OLDPWD/out/ko-sbom" .
    )
}

with_melange() {
    [ -f cache/key.rsa ] || (umask 077 && "$MELANGE" keygen cache/key.rsa)
    "$MELANGE" build melange.yaml --arch "$ARCH" --runner bubblewrap --source-dir "$app" --out-dir out/packages \
        -r "$APK_WOLFI" -k "$APK_KEY" --signing-key cache/key.rsa --cache-dir cache/melange --apk-cache-dir cache/apk \
        --git-repo-url https://git.invalid/baseline --git-commit 0000000000000000000000000000000000000000
}

with_apko() { # CONFIG REPOSITORY NAME
    mkdir -p "out/$3-sbom"
    "$APKO" build "$1" "baseline/$3:latest" "out/$3.tar" --arch "$ARCH" --vcs=false -r out/packages -b "$2" \
        -k "$APK_KEY" -k cache/key.rsa.pub --cache-dir cache/apk --sbom-path "out/$3-sbom"
}

case ${1:-all} in
all)
    dockerfiles
    with_ko
    with_melange
    with_apko apko.yaml "$APK_WOLFI" apko
    with_apko apko-alpine.yaml "$APK_ALPINE" apko-alpine
    ;;
dockerfiles) dockerfiles ;;
bake) "$BUILDX" bake --load --file docker-bake.json ;;
*)
    echo "usage: baseline.sh all|dockerfiles|bake" >&2
    exit 2
    ;;
esac
