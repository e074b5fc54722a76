# shellcheck shell=bash
# The private engine's files: Debian's packages in a folder, the wrappers that let the
# machine run its client, and what has to be the machine's own (certificates, names).

readonly ENGINE_SUITE=trixie
readonly ENGINE_PACKAGES=docker.io,docker-cli,docker-buildx,docker-compose,iptables,ca-certificates,xz-utils,kmod,procps,git

# engine_rootfs_make: unpacks once; a half-finished folder is made again.
engine_rootfs_make() {
  [[ -x $ENGINE_ROOTFS/usr/sbin/dockerd && -e $CIB_ENGINE_DIR/rootfs-complete ]] && return 0
  apt_install mmdebstrap
  local sources option
  sources=$(debian_sources "$ENGINE_SUITE") || die "$EX_CONFIG" \
    "no Docker engine is running and this machine has no Debian sources to get one from: install Docker Engine with buildx, or run this on Debian"
  local -a options=()
  while IFS= read -r option; do options+=(--aptopt="$option"); done < <(apt_options)
  step "Unpacking a Docker engine from Debian $ENGINE_SUITE into $ENGINE_ROOTFS"
  rm -rf --one-file-system "$ENGINE_ROOTFS" "$CIB_ENGINE_DIR/rootfs-complete"
  # shellcheck disable=SC2086 # one line of sources is one argument, see IFS below
  (
    IFS=$'\n'
    quietly "$CIB_ENGINE_DIR/rootfs.log" mmdebstrap --mode=root --variant=minbase \
      --include="$ENGINE_PACKAGES" "${options[@]}" --aptopt='Acquire::Retries "3"' \
      --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
      --dpkgopt='path-exclude=/usr/share/locale/*' \
      "$ENGINE_SUITE" "$ENGINE_ROOTFS" $sources
  ) || die "$EX_SOFTWARE" "the engine could not be unpacked; the whole log is $CIB_ENGINE_DIR/rootfs.log"
  : >"$CIB_ENGINE_DIR/rootfs-complete"
}

# engine_rootfs_refresh: before each start, what the machine may have changed since.
engine_rootfs_refresh() {
  local bundle
  bundle=$(host_ca_bundle)
  [[ -z $bundle ]] || install -m 0644 "$bundle" "$ENGINE_ROOTFS/etc/ssl/certs/ca-certificates.crt"
  cp -L /etc/resolv.conf "$ENGINE_ROOTFS/etc/resolv.conf"
  cp -L /etc/hosts "$ENGINE_ROOTFS/etc/hosts"
  cat >"$CIB_ENGINE_DIR/daemon.json" <<JSON
{
  "features": { "containerd-snapshotter": true },
  "log-driver": "json-file",
  "log-opts": { "max-size": "10m", "max-file": "2" }
}
JSON
}

# engine_wrappers_make: the client and its plugins are built against the engine's libc, which
# may be newer than the machine's, so they run through the engine's own loader.
engine_wrappers_make() {
  local loader tool
  loader=$(find "$ENGINE_ROOTFS/usr/lib64" "$ENGINE_ROOTFS/usr/lib" -maxdepth 1 -name 'ld-linux*.so*' -print -quit 2>/dev/null)
  [[ -n $loader ]] || die "$EX_SOFTWARE" "no loader in $ENGINE_ROOTFS: remove $CIB_ENGINE_DIR and try again"
  mkdir -p "$CIB_ENGINE_DIR/bin" "$CIB_ENGINE_DIR/config/cli-plugins"
  engine_wrapper "$loader" /usr/bin/docker "$CIB_ENGINE_DIR/bin/docker"
  for tool in docker-buildx docker-compose; do
    engine_wrapper "$loader" "/usr/libexec/docker/cli-plugins/$tool" "$CIB_ENGINE_DIR/config/cli-plugins/$tool"
  done
}

engine_wrapper() {
  local loader=$1 program=$2 wrapper=$3 libraries
  libraries=$(find "$ENGINE_ROOTFS/usr/lib" -maxdepth 1 -type d -name '*-linux-gnu*' -printf '%p:')
  cat >"$wrapper" <<SH
#!/bin/sh
exec '$loader' --library-path '${libraries%:}' '$ENGINE_ROOTFS$program' "\$@"
SH
  chmod 0755 "$wrapper"
}
