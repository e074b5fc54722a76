# shellcheck shell=bash
# An OCI archive out of root file systems, one a platform, under one name: what a registry
# would have given, for a machine that has none. Needs jq.

# oci_archive NAME ARCHIVE DEBIAN_ARCH=TAR...: writes ARCHIVE, to be given to `docker load`.
oci_archive() {
  local name=$1 archive=$2 layout manifests='[]' pair manifest
  shift 2
  layout=$(mktemp -d)
  mkdir -p "$layout/blobs/sha256"
  for pair in "$@"; do
    manifest=$(oci_manifest "$layout" "${pair%%=*}" "${pair#*=}")
    manifests=$(jq -c --argjson manifest "$manifest" '. + [$manifest]' <<<"$manifests")
  done
  local index
  index=$(jq -cn --argjson manifests "$manifests" '{schemaVersion: 2, mediaType: "application/vnd.oci.image.index.v1+json", manifests: $manifests}' |
    oci_blob "$layout" application/vnd.oci.image.index.v1+json)
  jq -n --argjson index "$index" --arg name "docker.io/library/$name" --arg tag "${name##*:}" '{schemaVersion: 2, manifests: [$index + {annotations: {"io.containerd.image.name": $name, "org.opencontainers.image.ref.name": $tag}}]}' >"$layout/index.json"
  printf '{"imageLayoutVersion":"1.0.0"}\n' >"$layout/oci-layout"
  tar -C "$layout" -cf "$archive" oci-layout index.json blobs
  rm -rf "$layout"
}

# oci_blob LAYOUT MEDIA_TYPE: stores standard input, prints its descriptor.
oci_blob() {
  local layout=$1 type=$2 file digest
  file=$(mktemp "$layout/blob.XXXXXX")
  cat >"$file"
  digest=$(sha256sum "$file" | cut -d' ' -f1)
  jq -cn --arg type "$type" --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$file")" \
    '{mediaType: $type, digest: $digest, size: $size}'
  mv "$file" "$layout/blobs/sha256/$digest"
}

# oci_manifest LAYOUT DEBIAN_ARCH TAR: one platform's image of one layer; prints its descriptor.
oci_manifest() {
  local layout=$1 arch=$2 tar=$3 layer config platform diff
  case $arch in
    amd64 | arm64) platform=$(jq -cn --arg a "$arch" '{os: "linux", architecture: $a}') ;;
    armhf) platform='{"os":"linux","architecture":"arm","variant":"v7"}' ;;
  esac
  diff=sha256:$(sha256sum "$tar" | cut -d' ' -f1)
  layer=$(gzip -n -6 <"$tar" | oci_blob "$layout" application/vnd.oci.image.layer.v1.tar+gzip)
  config=$(jq -cn --argjson platform "$platform" --arg diff "$diff" '$platform + {
      config: {Cmd: ["bash"], Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]},
      rootfs: {type: "layers", diff_ids: [$diff]},
      history: [{created_by: "mmdebstrap"}]}' | oci_blob "$layout" application/vnd.oci.image.config.v1+json)
  jq -cn --argjson layer "$layer" --argjson config "$config" \
    '{schemaVersion: 2, mediaType: "application/vnd.oci.image.manifest.v1+json", config: $config, layers: [$layer]}' |
    oci_blob "$layout" application/vnd.oci.image.manifest.v1+json |
    jq -c --argjson platform "$platform" '. + {platform: $platform}'
}

# oci_layers LAYOUT: the layers of the one image in it, each as its compressed and unpacked
# size in bytes and what made it.
oci_layers() {
  local layout=$1 layer size unpacked
  paste <(oci_manifest_of "$layout" | jq -r '.layers[] | [.digest, .size] | @tsv') \
    <(jq -r '.history[] | select(.empty_layer | not) | .created_by // "" | gsub("\\s+"; " ") | sub(".*(# buildkit|target=/[^ ]*) "; "")' \
      "$(oci_path "$layout" "$(oci_manifest_of "$layout" | jq -r .config.digest)")") |
    while IFS=$'\t' read -r layer size what; do
      unpacked=$(zstd -dc "$(oci_path "$layout" "$layer")" | wc -c)
      printf '%s\t%s\t%s\n' "$size" "$unpacked" "$what"
    done
}

# oci_manifest_of LAYOUT: the manifest of the one image in it, below an index or not.
oci_manifest_of() {
  local manifest
  manifest=$(jq -r '.manifests[0].digest' "$1/index.json")
  if jq -e '.manifests' "$(oci_path "$1" "$manifest")" >/dev/null; then
    manifest=$(jq -r '.manifests[0].digest' "$(oci_path "$1" "$manifest")")
  fi
  cat "$(oci_path "$1" "$manifest")"
}

oci_path() { printf '%s/blobs/%s\n' "$1" "${2/://}"; }
