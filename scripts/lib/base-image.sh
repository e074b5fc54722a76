# shellcheck shell=bash
# debian:trixie-slim: pulled where there is a registry, otherwise made from the machine's own
# Debian sources under the same name, so that the Dockerfile never knows the difference.

# shellcheck source=scripts/lib/emulation.sh
source "$CIB_ROOT/scripts/lib/emulation.sh"
# shellcheck source=scripts/lib/oci.sh
source "$CIB_ROOT/scripts/lib/oci.sh"

readonly BASE_IMAGE_NAME=debian:trixie-slim
readonly BASE_IMAGE_SUITE=trixie

# What Debian's slim images leave out; copyright files stay, as Debian's licences ask.
readonly -a BASE_IMAGE_EXCLUDES=(
  '/usr/share/doc/*' '/usr/share/groff/*' '/usr/share/info/*' '/usr/share/linda/*'
  '/usr/share/lintian/*' '/usr/share/locale/*' '/usr/share/man/*'
)

# base_image_ensure: the base image for the engine's own platform.
base_image_ensure() { base_image_ensure_for "$(dpkg --print-architecture)"; }

# base_image_ensure_for DEBIAN_ARCH...: for these platforms, and its own.
base_image_ensure_for() {
  local arch
  local -a arches
  local absent=0
  mapfile -t arches < <(printf '%s\n' "$(dpkg --print-architecture)" "$@" | sort -u)
  for arch in "${arches[@]}"; do base_image_has "$arch" || absent=1; done
  ((absent)) || return 0
  step "Pulling $BASE_IMAGE_NAME"
  # This only tells whether there is a registry: a build pulls each platform when it needs it.
  timeout 120 docker pull --quiet "$BASE_IMAGE_NAME" >/dev/null 2>&1 && return 0
  note "it cannot be pulled here; making it from this machine's Debian sources"
  base_image_bootstrap "${arches[@]}"
}

# base_image_has DEBIAN_ARCH: the engine holds the image for this platform. Only creating a
# container from it tells: what `inspect` shows of an image is one platform's.
base_image_has() {
  local container
  container=$(docker create --pull never --platform "$(docker_platform "$1")" "$BASE_IMAGE_NAME" 2>/dev/null) || return 1
  docker rm "$container" >/dev/null
}

# base_image_bootstrap DEBIAN_ARCH...: makes the image and gives it to the engine, all
# platforms under the one name.
base_image_bootstrap() {
  local arch archive
  local -a parts=()
  apt_install jq
  [[ $* == "$(dpkg --print-architecture)" ]] || emulation_ensure "$@"
  for arch in "$@"; do
    archive=$(cib_cache)/base/$BASE_IMAGE_SUITE-slim-$arch.tar
    [[ -s $archive ]] || base_image_archive "$arch" "$archive"
    parts+=("$arch=$archive")
  done
  archive=$(cib_cache)/base/image.tar
  oci_archive "$BASE_IMAGE_NAME" "$archive" "${parts[@]}"
  docker load --quiet --input "$archive" >/dev/null
  rm -f "$archive"
}

# base_image_archive DEBIAN_ARCH FILE: the root file system as a tar archive. Only packages
# are in it: no apt lists, no logs, times cut off at the newest package's.
base_image_archive() {
  local arch=$1 archive=$2 sources option pattern
  need_root "making $BASE_IMAGE_NAME"
  apt_install mmdebstrap
  sources=$(debian_sources_for "$BASE_IMAGE_SUITE" "$arch") || die "$EX_CONFIG" \
    "$BASE_IMAGE_NAME can neither be pulled nor made here: give the engine a registry, or this machine a Debian source"
  local -a options=()
  while IFS= read -r option; do options+=(--aptopt="$option"); done < <(apt_options)
  for pattern in "${BASE_IMAGE_EXCLUDES[@]}"; do options+=(--dpkgopt="path-exclude=$pattern"); done
  mkdir -p "$(dirname "$archive")"
  step "Making $BASE_IMAGE_NAME for $arch"
  # shellcheck disable=SC2016,SC2086 # mmdebstrap expands "$1"; one line of sources is one argument
  (
    IFS=$'\n'
    quietly "$archive.log" mmdebstrap --mode=root --variant=minbase --architectures="$arch" \
      "${options[@]}" --aptopt='Acquire::Retries "3"' \
      --dpkgopt='path-include=/usr/share/doc/*/copyright' \
      --customize-hook='rm -rf "$1"/var/log/* "$1"/var/cache/ldconfig/aux-cache' \
      --customize-hook='rm -f "$1"/etc/hostname "$1"/etc/resolv.conf' \
      --format=tar "$BASE_IMAGE_SUITE" "$archive.part" $sources
  ) || die "$EX_SOFTWARE" "$BASE_IMAGE_NAME could not be made; the whole log is $archive.log"
  mv "$archive.part" "$archive"
}

# docker_platform DEBIAN_ARCH: the same machine in Docker's words.
docker_platform() {
  case $1 in
    amd64 | arm64) printf 'linux/%s\n' "$1" ;;
    armhf) printf 'linux/arm/v7\n' ;;
    *) die "$EX_CONFIG" "no image is made for $1: amd64, arm64 and armhf are" ;;
  esac
}

# debian_arch PLATFORM: the reverse.
debian_arch() {
  case $1 in
    linux/amd64 | linux/arm64) printf '%s\n' "${1#linux/}" ;;
    linux/arm/v7) printf 'armhf\n' ;;
    *) die "$EX_CONFIG" "no image is made for $1: linux/amd64, linux/arm64 and linux/arm/v7 are" ;;
  esac
}
