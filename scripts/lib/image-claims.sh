# shellcheck shell=bash
# Claims about the plan of the images, about the images as files, and about how they are built.
# Nothing in an image is started for them.

# shellcheck source=scripts/lib/image-checks.sh
source "$CIB_ROOT/scripts/lib/image-checks.sh"

readonly IMAGE_EXPECTATIONS=$CIB_ROOT/images/expected

# image_tag FLAVOUR
image_tag() {
  case $1 in
    full) printf 'claude-in-box:latest\n' ;;
    *) printf 'claude-in-box:latest-%s\n' "$1" ;;
  esac
}

# expect FILE: standard input is what images/expected/FILE says. With CIB_WRITE_EXPECTED=1 it
# becomes that.
expect() {
  local file=$IMAGE_EXPECTATIONS/$1
  if [[ ${CIB_WRITE_EXPECTED:-} == 1 ]]; then
    mkdir -p "$(dirname "$file")"
    cat >"$file"
  else
    diff --unified "$file" -
  fi
}

# ---- the plan ------------------------------------------------------------------------------

# bake_prints [OPTION...] TARGET...: the plan of these targets.
bake_prints() { (cd "$CIB_ROOT" && docker buildx bake --file docker-bake.hcl --print "$@" 2>/dev/null); }

claim_the_bake_file_comes_to_the_committed_plan() { "$CIB_ROOT/scripts/bake-plan" --check; }

claim_a_wrong_variable_ends_the_bake_and_is_named() {
  local assignment
  for assignment in VERSION=v1.0 REGISTRY=registry.example PLATFORMS=linux/mips CARGO_PROFILE=fast \
    CLAUDE_VERSION=2.1 SOURCE_DATE_EPOCH=now DEBIAN_SNAPSHOT=today ALLOW_UNLOCKED_NPM=yes; do
    if said=$(cd "$CIB_ROOT" && env "$assignment" docker buildx bake --print release all 2>&1); then
      echo "$assignment was taken"
      return 1
    fi
    grep -o "cannot parse \"${assignment%%=*} is .*\"" <<<"$said"
  done
}

claim_the_variables_reach_the_plan() {
  REGISTRY=registry.example/me/ VERSION=1.2.3 REVISION=0123abc PLATFORMS=linux/arm64 \
    SOURCE_DATE_EPOCH=1700000000 CACHE=registry.example/me/cache bake_prints full headless-release |
    jq -e '.target
      | .full.tags == ["registry.example/me/claude-in-box:1.2.3"]
      and .full.platforms == ["linux/arm64"]
      and .full.args.SOURCE_DATE_EPOCH == "1700000000"
      and .full["cache-from"] == ["type=registry,ref=registry.example/me/cache:full-linux-arm64"]
      and (.["headless-release"]
        | .platforms == ["linux/arm64"]
        and .labels["org.opencontainers.image.revision"] == "0123abc"
        and (.annotations | index("manifest:org.opencontainers.image.revision=0123abc"))
        and .["cache-to"] == ["type=registry,ref=registry.example/me/cache:headless-linux-arm64,mode=max"])'
}

# docker/metadata-action writes such a file, and bake gets it as one more.
claim_a_release_takes_what_metadata_action_says() {
  local file
  file=$(mktemp --suffix .json)
  cat >"$file" <<'JSON'
{"target": {"docker-metadata-action": {
  "tags": ["registry.example/box:1.2.3", "registry.example/box:latest"],
  "labels": {"org.opencontainers.image.source": "https://forge.example/box"}}}}
JSON
  bake_prints --file "$file" base-release headless-release full-release |
    jq -e '[.target[]] | length == 3 and all(
      .tags == ["registry.example/box:1.2.3", "registry.example/box:latest"]
      and .labels["org.opencontainers.image.source"] == "https://forge.example/box"
      and .labels["org.opencontainers.image.title"] == "claude-in-box")'
  rm -f "$file"
}

claim_a_release_is_pushed_by_digest_in_small_layers() {
  PUSH_TO=registry.example/me/box bake_prints headless-release | jq -e '.target["headless-release"].output[0] | split(",")
    | (index("compression=zstd") and index("rewrite-timestamp=true"))
    and index("name=registry.example/me/box") and index("push-by-digest=true") and index("push=true")'
}

# What the release workflow asks before it does anything.
claim_a_release_has_one_version_and_a_changelog() {
  local folder status
  folder=$(mktemp -d)
  cp -r "$CIB_ROOT/scripts" "$folder"
  printf '[workspace.package]\nversion = "1.2.3"\n\n[profile.release]\nversion = "9"\n' >"$folder/Cargo.toml"
  printf '# Changelog\n\n## [Unreleased]\n\n- later\n\n## [1.2.3] - 2026-01-01\n\n- now\n\n## [1.2.2]\n\n- before\n' >"$folder/CHANGELOG.md"
  [[ $("$folder/scripts/release-notes" v1.2.3) == '- now' ]]
  status=0
  "$folder/scripts/release-notes" v1.2.4 || status=$?
  ((status == 78))
  sed -i 's/^- now$//' "$folder/CHANGELOG.md"
  status=0
  "$folder/scripts/release-notes" v1.2.3 || status=$?
  ((status == 78))
  rm -rf "$folder"
}

claim_a_release_without_its_pins_is_refused() {
  local folder pins status
  local -r digest=sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  folder=$(mktemp -d)
  mkdir "$folder/images"
  cp -r "$CIB_ROOT/scripts" "$folder"
  printf '# why\nBASE_IMAGE=debian:trixie-slim@%s\nDEBIAN_SNAPSHOT=20261121T120000Z\n' "$digest" >"$folder/images/pins"
  pins=$("$folder/scripts/pins" --check)
  [[ $pins == "BASE_IMAGE=debian:trixie-slim@$digest"$'\n'DEBIAN_SNAPSHOT=20261121T120000Z ]]
  for pins in 'BASE_IMAGE=debian:trixie-slim' 'DEBIAN_SNAPSHOT=' 'DEBIAN_SNAPSHOT=now' 'STRANGER=1'; do
    printf 'BASE_IMAGE=debian:trixie-slim@%s\nDEBIAN_SNAPSHOT=20261121T120000Z\n' "$digest" |
      grep -v "^${pins%%=*}=" >"$folder/images/pins"
    echo "$pins" >>"$folder/images/pins"
    status=0
    "$folder/scripts/pins" --check || status=$?
    ((status == 78)) || {
      echo "$pins was taken"
      return 1
    }
  done
  rm -rf "$folder"
}

# Nothing is downloaded for it: the checksum is missed before that.
claim_a_version_without_a_checksum_is_not_fetched() {
  local folder said status=0
  folder=$(mktemp -d)
  said=$("$CIB_ROOT/images/build/npm-fetch" npm 0.0.1 "$folder/npm" 2>&1) || status=$?
  ((status == 1)) && [[ $said == *'npm 0.0.1 is not in images/npm.lock'*ALLOW_UNLOCKED_NPM* ]] && [[ ! -e $folder/npm ]]
  rm -rf "$folder"
  ALLOW_UNLOCKED_NPM=1 bake_prints full headless-release |
    jq -e '.target | .full.args.ALLOW_UNLOCKED_NPM == "1" and .["headless-release"].args.ALLOW_UNLOCKED_NPM == ""'
}

# The engine and cross are stand-ins: what the script asks of them, and what it makes of that.
claim_cross_builds_the_programs_of_the_image_or_says_what_is_missing() {
  local folder name said status=0
  for name in PACKAGES PROGRAMS; do
    diff <(sed -n "s/^ARG $name=\"\(cib-init .*\|cib-cli\|cib\)\"\$/\1/p" "$CIB_ROOT/images/Dockerfile" | paste -sd ' ') \
      <(sed -n "s/^readonly $name=(\(.*\))\$/\1/p" "$CIB_ROOT/scripts/cross")
  done
  folder=$(mktemp -d)
  mkdir "$folder/bin"
  cp -r "$CIB_ROOT/scripts" "$folder"
  said=$(CROSS_CONTAINER_ENGINE=nobodys-engine "$folder/scripts/cross" --check 2>&1) || status=$?
  ((status == 78))
  grep 'there is no container engine' <<<"$said"
  status=0
  "$folder/scripts/cross" linux/mips || status=$?
  ((status == 64))
  cat >"$folder/bin/cross" <<'SH'
#!/bin/sh
[ ! -e broken ] || exit 1
echo "$*" >>asked
while [ "$1" != --target ]; do shift; done
mkdir -p "target/$2/release"
for program in cib-init cib-control cib-session cib-resolver cib; do
  echo "$2" >"target/$2/release/$program"
done
SH
  printf '#!/bin/sh\n' >"$folder/bin/engine"
  chmod +x "$folder/bin/cross" "$folder/bin/engine"
  said=$(PATH=$folder/bin:$PATH CROSS_CONTAINER_ENGINE=engine "$folder/scripts/cross" linux/arm64 linux/arm/v7 2>&1)
  grep "cross's image for linux/arm/v7 is not here" <<<"$said"
  grep -Fx aarch64-unknown-linux-gnu "$folder/target/cross/linux/arm64/cib-resolver"
  grep -Fx armv7-unknown-linux-gnueabihf "$folder/target/cross/linux/arm/v7/cib-init"
  [[ $(grep -c -- '^build --locked --release --target .* --bins --package cib-init' "$folder/asked") == 2 ]]
  touch "$folder/broken"
  status=0
  PATH=$folder/bin:$PATH CROSS_CONTAINER_ENGINE=engine "$folder/scripts/cross" linux/arm64 || status=$?
  ((status == 70))
  rm -rf "$folder"
}

claim_the_compose_files_limit_what_the_guides_say() {
  local folder
  folder=$(mktemp -d)
  cp "$CIB_ROOT"/deploy/*.yaml "$folder"
  mkdir "$folder/secrets"
  touch "$folder"/secrets/{auth_token,proxy_url,anthropic_api_key}
  docker compose --file "$folder/compose.yaml" config --quiet
  docker compose --file "$folder/compose.hardened.yaml" config --quiet
  board() { docker compose --file "$folder/compose.yaml" --file "$folder/compose.$1.yaml" config --format json; }
  board raspberry-pi | jq -e '.services.box
    | .image == "claude-in-box:latest-headless" and .environment.CIB_MODE == "headless"
    and .mem_limit == "1468006400" and .memswap_limit == "2936012800" and .oom_score_adj == 500'
  board n100 | jq -e '.services.box
    | .image == "claude-in-box:latest" and .mem_limit == "6442450944" and .memswap_limit == "8589934592"
    and .cpus == 3 and .pids_limit == 2048'
  rm -rf "$folder"
}

claim_the_guide_shows_the_derived_image_as_it_is() {
  local guide file
  guide=$(<"$CIB_ROOT/docs/guides/derived-images.md")
  for file in redis.toml 10-default-branch; do
    [[ $guide == *"$(<"$CIB_ROOT/images/examples/derived/$file")"* ]] || {
      echo "docs/guides/derived-images.md shows another $file"
      return 1
    }
  done
}

# ---- what is in an image -------------------------------------------------------------------

claim_files_modes_and_owners_are_the_expected_ones() { # FLAVOUR
  local archive
  archive=$(mktemp)
  image_root "$(image_tag "$1")" "$archive"
  image_layout "$archive" | expect "$1.layout"
  rm -f "$archive"
}

claim_the_runtime_contract_is_the_expected_one() { image_contract "$(image_tag "$1")" | expect "$1.json"; }

claim_every_program_is_static_and_hardened() { # FLAVOUR
  local archive
  archive=$(mktemp)
  image_root "$(image_tag "$1")" "$archive"
  image_hardening "$archive" | expect hardening.tsv
  rm -f "$archive"
}

# The same tests that the host floor runs on a debug build. The file has one path, or the tests
# would be compiled anew each time.
claim_its_program_passes_the_tests_of_a_bare_init() { # FLAVOUR
  local folder
  folder=$(cib_cache)/program
  mkdir -p "$folder"
  image_root "$(image_tag "$1")" "$folder/image.tar"
  tar -C "$folder" -xf "$folder/image.tar" usr/bin/cib-init
  rm "$folder/image.tar"
  CIB_TEST_INIT=$folder/usr/bin/cib-init cargo test --manifest-path "$CIB_ROOT/Cargo.toml" --locked \
    --package cib-init --test host_init bare_ -- --test-threads 2
}

claim_no_certificate_of_the_builder_is_in_it() { # FLAVOUR
  local archive bundle
  archive=$(mktemp)
  bundle=$(host_ca_bundle)
  image_root "$(image_tag "$1")" "$archive"
  # The image's own bundle is Debian's; the machine's may hold one certificate more.
  tar -xOf "$archive" etc/ssl/certs/ca-certificates.crt | certificates | sort >"$archive.image"
  certificates <"$bundle" | sort | comm -23 - "$archive.image" >"$archive.only-here"
  while IFS= read -r line; do
    if tar -xOf "$archive" etc/ssl/certs/ca-certificates.crt | tr -d '\n' | grep -qF "$line"; then
      echo "a certificate of this machine is in the image"
      return 1
    fi
  done <"$archive.only-here"
  # And by no other path either: the secret's mount left nothing behind.
  if tar -tf "$archive" | grep -E '^run/secrets/|^\./run/secrets/'; then
    echo "something is left in /run/secrets"
    return 1
  fi
  rm -f "$archive" "$archive".*
}

# certificates: each PEM certificate of standard input as one line of base64.
certificates() { awk '/BEGIN CERT/ { c = ""; on = 1; next } /END CERT/ { print c; on = 0 } on { c = c $0 }'; }

# ---- how it is built -----------------------------------------------------------------------

claim_it_is_within_its_budget() { "$CIB_ROOT/scripts/image-report" --check "$@"; }

claim_the_sizes_in_the_documentation_are_the_budget() {
  diff --unified "$CIB_ROOT/docs/reference/image-sizes.md" <("$CIB_ROOT/scripts/image-report" --docs)
}

# claim_building_it_twice... FLAVOUR [STAGE]: without any cache, cargo's included; or with only
# this stage made anew.
claim_building_it_twice_gives_the_same_digest() {
  local folder round
  local -a anew=(--no-cache --set '*.args.CARGO_TARGET_DIR=/anew')
  [[ -z ${2:-} ]] || anew=(--set "*.no-cache-filter=$2")
  folder=$(mktemp -d)
  for round in 1 2; do
    SOURCE_DATE_EPOCH=1700000000 bake "$1" "${anew[@]}" --set '*.tags=' \
      --set "*.output=type=oci,tar=false,dest=$folder/$round,oci-mediatypes=true,rewrite-timestamp=true"
    # The layers come first: they say where a difference is.
    oci_manifest_of "$folder/$round" | jq -r '.layers[].digest' >"$folder/digests.$round"
    jq -r '.manifests[0].digest' "$folder/$round/index.json" >>"$folder/digests.$round"
  done
  diff --unified "$folder/digests.1" "$folder/digests.2"
  tail -n 1 "$folder/digests.1"
  rm -rf "$folder"
}
