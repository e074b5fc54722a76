# shellcheck shell=bash
# The images floor: each function below is one claim about an image. None of them compiles
# anything but the images themselves.

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

# image_test CLAIM [ARGUMENT...]: runs one claim in a shell of its own, and counts it.
image_test() {
  local log status
  log=$(cib_cache)/images-$1.log
  set +e
  (
    set -e
    "claim_$1" "${@:2}"
  ) >"$log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then
    note "ok      ${*//_/ }"
    printf '1 0\n' >>"$(rust_totals)"
  else
    warn "FAILED  ${*//_/ }"
    tail -n 40 "$log" >&2
    printf '0 1\n' >>"$(rust_totals)"
    images_failed=1
  fi
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

claim_the_bake_file_comes_to_the_committed_plan() { "$CIB_ROOT/scripts/bake-plan" --check; }

claim_a_wrong_variable_ends_the_bake() {
  local assignment
  for assignment in VERSION=v1.0 CLAUDE_VERSION=2.1 SOURCE_DATE_EPOCH=now DEBIAN_SNAPSHOT=today; do
    if env "$assignment" docker buildx bake --file "$CIB_ROOT/docker-bake.hcl" --print >/dev/null 2>&1; then
      echo "$assignment was taken"
      return 1
    fi
  done
}

claim_files_modes_and_owners_are_the_expected_ones() { # FLAVOUR
  local archive
  archive=$(mktemp)
  image_root "$(image_tag "$1")" "$archive"
  image_layout "$archive" | expect "$1.layout"
  rm -f "$archive"
}

claim_the_runtime_contract_is_the_expected_one() { image_contract "$(image_tag "$1")" | expect "$1.json"; }

claim_every_program_is_static_and_hardened() {
  local archive
  archive=$(mktemp)
  image_root "$(image_tag base)" "$archive"
  image_hardening "$archive" | expect hardening.tsv
  rm -f "$archive"
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

claim_it_is_within_its_budget() { "$CIB_ROOT/scripts/image-report" --check "$@"; }

claim_building_it_twice_gives_the_same_layers() { # FLAVOUR
  local folder round
  folder=$(mktemp -d)
  for round in 1 2; do
    SOURCE_DATE_EPOCH=1700000000 bake "$1" --no-cache --set '*.tags=' \
      --set "*.output=type=oci,tar=false,dest=$folder/$round,oci-mediatypes=true,rewrite-timestamp=true"
    jq -r '.manifests[0].digest' "$folder/$round/index.json" >"$folder/digest.$round"
  done
  diff "$folder/digest.1" "$folder/digest.2"
  rm -rf "$folder"
}

claim_a_derived_image_adds_a_service_and_a_step() {
  local deadline=$((SECONDS + 60)) box
  docker build --quiet --tag cib-derived-test "$CIB_ROOT/images/examples/derived" >/dev/null
  docker run --rm --env CIB_AUTH_TOKEN=0123456789abcdef cib-derived-test cib-init check
  box=$(docker run --detach --env CIB_AUTH_TOKEN=0123456789abcdef cib-derived-test)
  until [[ $(box_field "$box" '{{.State.Health.Status}}') == healthy ]]; do
    if ((SECONDS > deadline)); then
      docker logs "$box"
      docker rm --force "$box" >/dev/null
      return 1
    fi
    sleep 0.3
  done
  docker exec "$box" cib-init status
  docker exec "$box" cib-init status | grep -q redis
  [[ $(docker exec --user coder "$box" git config --global init.defaultBranch) == main ]]
  docker rm --force "$box" >/dev/null
}

# Without AVX the native build of Claude Code ends in SIGILL: the full image carries a version
# that does without, and headless says where to find it.
claim_a_processor_without_avx_gets_the_version_that_runs_on_it() {
  local folder
  folder=$(mktemp -d)
  sed 's/ avx[^ ]*//g' /proc/cpuinfo >"$folder/cpuinfo"
  docker run --rm --volume "$folder/cpuinfo:/proc/cpuinfo:ro" --entrypoint claude "$(image_tag full)" --version | grep -F 2.1.112
  docker run --rm --entrypoint claude "$(image_tag full)" --version | grep -vF 2.1.112
  docker run --rm --env CIB_CLAUDE_VERSION=2.1.112 --entrypoint claude "$(image_tag full)" --version | grep -F 2.1.112
  local status=0
  docker run --rm --volume "$folder/cpuinfo:/proc/cpuinfo:ro" --entrypoint claude "$(image_tag headless)" --version \
    >"$folder/said" 2>&1 || status=$?
  cat "$folder/said"
  ((status == 78))
  grep -F claude-in-box:latest "$folder/said"
  rm -rf "$folder"
}

claim_it_starts_with() { # FLAVOUR OPTION...
  local box deadline=$((SECONDS + 60))
  box=$(docker run --detach "${@:2}" --env CIB_AUTH_TOKEN=0123456789abcdef "$(image_tag "$1")")
  until [[ $(box_field "$box" '{{.State.Health.Status}}') == healthy ]]; do
    if ((SECONDS > deadline)) || [[ $(box_field "$box" '{{.State.Status}}') != running ]]; then
      docker logs "$box"
      docker rm --force "$box" >/dev/null
      return 1
    fi
    sleep 0.3
  done
  docker stop --time 10 "$box" >/dev/null
  docker logs "$box"
  # In order, and not by the engine's SIGKILL.
  [[ $(box_field "$box" '{{.State.ExitCode}}') == 0 ]]
  docker rm --force "$box" >/dev/null
}

claim_the_compose_files_are_valid() {
  local folder file
  folder=$(mktemp -d)
  cp "$CIB_ROOT"/deploy/*.yaml "$folder"
  mkdir "$folder/secrets"
  touch "$folder"/secrets/{auth_token,proxy_url,anthropic_api_key}
  docker compose --file "$folder/compose.yaml" config --quiet
  docker compose --file "$folder/compose.hardened.yaml" config --quiet
  for file in raspberry-pi n100; do
    docker compose --file "$folder/compose.yaml" --file "$folder/compose.$file.yaml" config --quiet
  done
  rm -rf "$folder"
}

# images: what is true of the images for this machine's platform.
floor_images() {
  local flavour images_failed=0
  apt_install jq curl binutils zstd
  engine_use
  base_image_ensure
  step "Building the images"
  bake all
  image_test the_bake_file_comes_to_the_committed_plan
  image_test a_wrong_variable_ends_the_bake
  image_test the_compose_files_are_valid
  for flavour in base headless full; do
    image_test files_modes_and_owners_are_the_expected_ones "$flavour"
    image_test the_runtime_contract_is_the_expected_one "$flavour"
    image_test no_certificate_of_the_builder_is_in_it "$flavour"
  done
  image_test every_program_is_static_and_hardened
  image_test a_processor_without_avx_gets_the_version_that_runs_on_it
  image_test it_starts_with headless --network none
  image_test it_starts_with headless --init
  image_test it_starts_with headless --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE \
    --cap-add FOWNER --cap-add FSETID --cap-add KILL --cap-add SETGID --cap-add SETUID
  image_test it_starts_with headless --cap-drop ALL --user 1000:1000 --tmpfs /run:uid=1000,gid=1000 \
    --tmpfs /var/lib/claude-in-box:uid=1000,gid=1000
  image_test it_starts_with headless --read-only --tmpfs /run --tmpfs /tmp --tmpfs /home/coder:uid=1000,gid=1000 \
    --volume /var/lib/claude-in-box --volume /workspace
  image_test a_derived_image_adds_a_service_and_a_step
  image_test it_is_within_its_budget base headless
  image_test building_it_twice_gives_the_same_layers headless
  return "$images_failed"
}

# ---- the other platforms -------------------------------------------------------------------

# foreign_tag DEBIAN_ARCH
foreign_tag() { printf 'claude-in-box:test-%s\n' "$1"; }

claim_its_programs_are_for_their_platform() { # DEBIAN_ARCH
  local archive folder machine program
  case $1 in
    arm64) machine=AArch64 ;;
    armhf) machine=ARM ;;
  esac
  folder=$(mktemp -d)
  archive=$folder/root.tar
  image_root "$(foreign_tag "$1")" "$archive" "$(docker_platform "$1")"
  tar -C "$folder" -xf "$archive" --wildcards 'usr/bin/cib-*'
  for program in "$folder"/usr/bin/cib-*; do
    readelf --file-header "$program" | grep -E "Machine: +$machine\$"
    [[ $(elf_hardening "$program") == 'pie full-relro nx static stripped' ]]
  done
  rm -rf "$folder"
}

# A box of another platform, on a network with the stand-in for the Messages API.
foreign_box() { # DEBIAN_ARCH NETWORK NAME
  docker run --detach --name "$3" --network "$2" --platform "$(docker_platform "$1")" \
    --publish 127.0.0.1::8080 --env CIB_AUTH_TOKEN=0123456789abcdef0123 --env CIB_MODE=headless \
    --env ANTHROPIC_BASE_URL=http://api:8080 --env ANTHROPIC_API_KEY=sk-not-a-key \
    "$(foreign_tag "$1")" >/dev/null
}

foreign_answers() { # URL
  curl -fsS --max-time 5 "$1/api/health" | jq -e '.status == "ok"' >/dev/null
}

foreign_turn_is_over() { # URL SESSION
  curl -fsS --max-time 10 -H 'Authorization: Bearer 0123456789abcdef0123' "$1/api/sessions/$2/transcript?from=1" |
    jq -e 'if type == "object" then .frames else . end | any(.kind == "stop")' >/dev/null
}

claim_it_boots_and_answers() { # DEBIAN_ARCH [turn]
  local arch=$1 network=cib-test-$1 api=cib-test-api-$1 name=cib-test-box-$1 url session
  docker network create "$network" >/dev/null
  # shellcheck disable=SC2064 # these names, now
  trap "docker rm --force $name $api >/dev/null 2>&1; docker network rm $network >/dev/null 2>&1" EXIT
  docker run --detach --name "$api" --network "$network" --network-alias api cib-testkit:latest api --listen 0.0.0.0:8080 >/dev/null
  foreign_box "$arch" "$network" "$name"
  url=http://$(docker port "$name" 8080/tcp)
  wait_until 180 foreign_answers "$url" || {
    docker logs "$name"
    return 1
  }
  curl -fsS "$url/api/health"
  docker exec "$name" cib-init healthcheck
  docker exec "$name" claude --version
  [[ ${2:-} == turn ]] || return 0
  session=$(curl -fsS -H 'Authorization: Bearer 0123456789abcdef0123' -H 'Content-Type: application/json' \
    "$url/api/sessions" -d '{"workdir": "/workspace", "prompt": "Say hello"}' | jq -r .id)
  wait_until 300 foreign_turn_is_over "$url" "$session" || {
    docker logs "$name"
    curl -fsS -H 'Authorization: Bearer 0123456789abcdef0123' "$url/api/sessions/$session/transcript?from=1"
    return 1
  }
  curl -fsS -H 'Authorization: Bearer 0123456789abcdef0123' "$url/api/sessions/$session/transcript?from=1" | cut -c1-2000
}

# platforms: headless for arm64 and armv7, cross-compiled, booted under emulation.
floor_platforms() {
  local arch images_failed=0
  apt_install jq curl binutils
  engine_use
  base_image_ensure_for arm64 armhf
  step "Building the images for arm64 and armv7"
  bake testkit
  for arch in arm64 armhf; do
    bake headless --set "*.platform=$(docker_platform "$arch")" --set "*.tags=$(foreign_tag "$arch")"
    image_test its_programs_are_for_their_platform "$arch"
  done
  image_test it_boots_and_answers arm64
  image_test it_boots_and_answers armhf turn
  return "$images_failed"
}
