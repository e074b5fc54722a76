# shellcheck shell=bash
# The claims about the images, and which floor makes which of them. Nothing is compiled here
# but the images themselves.

# shellcheck source=scripts/lib/image-claims.sh
source "$CIB_ROOT/scripts/lib/image-claims.sh"
# shellcheck source=scripts/lib/image-starts.sh
source "$CIB_ROOT/scripts/lib/image-starts.sh"

# image_test CLAIM [ARGUMENT...]: runs one claim in a shell of its own, and counts it.
image_test() {
  local log status began=$SECONDS
  log=$(cib_cache)/images-$1.log
  set +e
  (
    set -e
    "claim_$1" "${@:2}"
  ) >"$log" 2>&1
  status=$?
  set -e
  if ((status == 0)); then
    note "ok      ${*//_/ } ($((SECONDS - began)) s)"
    printf '1 0\n' >>"$(rust_totals)"
  else
    warn "FAILED  ${*//_/ } ($((SECONDS - began)) s)"
    tail -n 40 "$log" >&2
    printf '0 1\n' >>"$(rust_totals)"
    images_failed=1
  fi
}

# image_files_test FLAVOUR: what an image is as a file.
image_files_test() {
  image_test files_modes_and_owners_are_the_expected_ones "$1"
  image_test the_runtime_contract_is_the_expected_one "$1"
  image_test every_program_is_static_and_hardened "$1"
  image_test no_certificate_of_the_builder_is_in_it "$1"
}

# image_quick_tests: the part of the box floor that is about images: the plan, and headless,
# which is there already. Sets images_failed.
image_quick_tests() {
  images_failed=0
  image_test the_bake_file_comes_to_the_committed_plan
  image_test a_wrong_variable_ends_the_bake_and_is_named
  image_test the_variables_reach_the_plan
  image_test a_release_takes_what_metadata_action_says
  image_test a_release_is_pushed_by_digest_in_small_layers
  image_test a_release_has_one_version_and_a_changelog
  image_test a_release_without_its_pins_is_refused
  image_test a_version_without_a_checksum_is_not_fetched
  image_test cross_builds_the_programs_of_the_image_or_says_what_is_missing
  image_test the_compose_files_limit_what_the_guides_say
  image_test the_guide_shows_the_derived_image_as_it_is
  image_test the_sizes_in_the_documentation_are_the_budget
  image_files_test headless
  image_test its_program_passes_the_tests_of_a_bare_init headless
  image_test it_carries_no_language_and_no_web_pages headless
  image_test a_derived_image_adds_a_service_and_a_step
  image_test it_is_within_its_budget base
  image_test building_it_twice_gives_the_same_digest base runtime
}

# images: the other flavours, and what takes long.
floor_images() {
  local flavour images_failed=0
  apt_install jq curl binutils zstd qemu-user-static
  engine_use
  base_image_ensure
  step "Building the images"
  bake all testkit podman
  for flavour in base full; do image_files_test "$flavour"; done
  image_test it_carries_no_language_and_no_web_pages base
  image_test its_languages_and_tools_work
  image_test it_starts_and_ends_under_rootless_podman base
  image_test claude_works_in_the_version_that_is_asked_for 2.1.112
  image_test claude_works_in_the_version_that_is_asked_for "$(image_claude_version)"
  if [[ $(uname -m) == x86_64 ]]; then
    image_test a_processor_without_avx_gets_the_version_that_runs_on_it
  fi
  image_test it_is_within_its_budget headless full
  image_test building_it_twice_gives_the_same_digest headless
  return "$images_failed"
}

# image_claude_version: of the native builds.
image_claude_version() { sed -n 's/^ARG CLAUDE_VERSION=//p' "$CIB_ROOT/images/Dockerfile" | head -n 1; }

# platforms: headless for arm64 and armv7, cross-compiled, booted under emulation.
floor_platforms() {
  local arch images_failed=0
  apt_install jq curl binutils zstd
  engine_use
  base_image_ensure_for arm64 armhf
  step "Building the images for arm64 and armv7"
  bake testkit
  for arch in arm64 armhf; do
    bake headless --set "*.platform=$(docker_platform "$arch")" --set "*.tags=$(foreign_tag "$arch")"
    image_test its_programs_are_for_their_platform "$arch"
  done
  image_test it_is_a_bare_init arm64
  image_test it_is_a_bare_init armhf
  image_test it_boots_and_answers arm64 "$(image_claude_version)"
  image_test it_boots_and_answers armhf 2.1.112 turn
  image_test it_is_within_its_budget --platform linux/arm/v7 base headless
  image_test it_is_within_its_budget --platform linux/arm64 base headless
  return "$images_failed"
}
