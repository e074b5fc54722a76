# shellcheck shell=bash
# The floors of the tests. They do not overlap: each test runs in exactly one of them.

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"
# shellcheck source=scripts/lib/claude.sh
source "$CIB_ROOT/scripts/lib/claude.sh"
# shellcheck source=scripts/lib/engine.sh
source "$CIB_ROOT/scripts/lib/engine.sh"
# shellcheck source=scripts/lib/build.sh
source "$CIB_ROOT/scripts/lib/build.sh"
# shellcheck source=scripts/lib/box.sh
source "$CIB_ROOT/scripts/lib/box.sh"
# shellcheck source=scripts/lib/web.sh
source "$CIB_ROOT/scripts/lib/web.sh"
# shellcheck source=scripts/lib/clients.sh
source "$CIB_ROOT/scripts/lib/clients.sh"
# shellcheck source=scripts/lib/floor-images.sh
source "$CIB_ROOT/scripts/lib/floor-images.sh"

# unit: formatting, lints, and every test that needs nothing but a compiler.
floor_unit() {
  unit_packages
  rust_ensure
  cargo fmt --all --check
  cargo clippy --locked --workspace --all-targets --quiet -- -D warnings
  # What serves or decides, and what a person's machine takes of a box, opens files through one
  # door; tests need none.
  CLIPPY_CONF_DIR=$CIB_ROOT/foreign/door cargo clippy --locked --no-deps --lib --bins --quiet \
    -p cib-base -p cib-cgroup -p cib-cli -p cib-init -p cib-control -p cib-envelope -p cib-files \
    -p cib-launcher -p cib-session -p cib-tasks -p cib-forge -p cib-https -p cib-upstream \
    -p cib-resolver -p cib-redsocks -- -D warnings
  floor_run unit --lib
  quietly "$(cib_cache)/test-doc.log" cargo test --locked --workspace --doc
  rust_count "$(cib_cache)/test-doc.log"
}

# ruby reads the formula for Homebrew.
unit_packages() {
  apt_install jq ruby
}

# changed: the unit tests of what differs from a base, and of what depends on it.
floor_changed() {
  local base=${CIB_BASE:-origin/main} filter
  rust_ensure
  unit_packages
  git rev-parse --quiet --verify "$base^{commit}" >/dev/null ||
    die "$EX_USAGE" "CIB_BASE is '$base', which is no commit here"
  filter=$(rust_changed "$base")
  if [[ -z $filter ]]; then
    step "No crate differs from $base"
    return 0
  fi
  step "Crates: $filter"
  # What a filter selects, only nextest can tell; without it the whole floor runs.
  if cargo nextest --version >/dev/null 2>&1; then
    floor_run unit --lib --filterset "$filter"
  else
    floor_run unit --lib
  fi
}

# host: real namespaces, real proxies, real PID 1, the real CLI; nothing of Docker's.
floor_host() {
  need_root "the host floor (it makes network namespaces)"
  host_packages
  rust_ensure
  claude_for_tests
  web_dependencies
  floor_run host --test-threads 2
  clients_build
  clients_test
}

host_packages() {
  apt_install jq curl iproute2 nftables redsocks microsocks musl-tools tcpdump procps util-linux \
    openssh-client openssh-server gnupg git ripgrep strace gh dpkg mosquitto mosquitto-clients
  apt_install_dante
  clients_packages
}

# web: the pages, alone and in a browser, with the real control, keepers and Claude Code.
floor_web() {
  web_packages
  rust_ensure
  claude_for_tests
  web_dependencies
  web npm run --silent check
  web_counted "$(cib_cache)/test-web-unit.log" npx vitest run
  quietly "$(cib_cache)/web-build.log" web npm run --silent build
  # Of the whole workspace, as the tests are: fewer packages would take other features of what they
  # share, and compile it anew.
  cargo build --locked --quiet --workspace --bins
  CIB_TEST_PROGRAMS=$(rust_programs) CIB_TEST_SHOTS=$(cib_cache)/shots \
    web_counted "$(cib_cache)/test-web-browser.log" node --test --test-reporter=spec --test-concurrency=1 tests/browser/
}

web_packages() {
  apt_install jq chromium git ripgrep openssl nginx caddy apache2 libapache2-mod-auth-openidc
}

# images_begin: has the images of the box floor built, and then the packages of the other floors
# installed, while a floor runs that minds no company. The unit floor compiles for minutes and is
# often down to one processor, as a build is.
images_begin() {
  images_log=$(cib_cache)/images.log
  # A process group of its own, so that it can be ended with all that it started.
  set -m
  (
    set -e
    images_make
    host_packages
    web_packages
    claude_for_tests
  ) >"$images_log" 2>&1 &
  images_pid=$!
  set +m
  trap 'images_give_up' EXIT
}

images_give_up() {
  [[ -z ${images_pid:-} ]] || kill -- "-$images_pid" 2>/dev/null || true
}

# images_await: until they are built; tests that watch the clock come after it. A failure shows
# where the images are needed, which builds what is missing.
images_await() {
  [[ -n ${images_pid:-} ]] || return 0
  local began=$SECONDS
  step "Waiting for the images"
  wait "$images_pid" || warn "the images could not be built yet; $images_log says why"
  images_pid=
  note "waited $((SECONDS - began)) s"
}

images_make() {
  engine_use
  base_image_ensure
  step "Building the images"
  bake headless testkit
}

# box: the images in an engine, as a person would run them.
floor_box() {
  apt_install jq curl openssh-client musl-tools binutils zstd perl procps strace util-linux
  apt_install_podman
  rust_ensure
  images_make
  step "Looking at the images"
  image_quick_tests
  floor_run box --test-threads 3
  return "$images_failed"
}

# leaks: the leak matrix alone, out of the floors that it belongs to.
floor_leaks() {
  need_root "the leak matrix (it makes network namespaces)"
  apt_install jq curl iproute2 nftables redsocks microsocks tcpdump procps util-linux
  apt_install_dante
  rust_ensure
  claude_for_tests
  if rust_test_targets leaks | grep -q '^box_'; then images_make; fi
  floor_run leaks --test-threads 1
}

# floor_run FLOOR [OPTION...]: the floor's test targets, if it has any.
floor_run() {
  local floor=$1 threads=()
  local -a targets
  shift
  mapfile -t targets < <(rust_test_targets "$floor")
  if ((${#targets[@]} == 0)) && [[ $floor != unit ]]; then
    die "$EX_SOFTWARE" "the $floor floor has no test targets"
  fi
  if [[ ${1:-} == --test-threads ]]; then
    threads=(-- --test-threads "$2")
    if cargo nextest --version >/dev/null 2>&1; then threads=(--test-threads "$2"); fi
    shift 2
  fi
  rust_tests "$(cib_cache)/test-$floor.log" "$@" "${targets[@]}" "${threads[@]}"
}
