# shellcheck shell=bash
# web: the pages in the real browser, each figure beside what is asked of it

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"
# shellcheck source=scripts/lib/web.sh
source "$CIB_ROOT/scripts/lib/web.sh"

# bench_web [MEASUREMENT...]: load, usable, memory, open, whole, scroll, reconnect, typing, terminal; all of them by
# default. With CIB_BENCH_PROGRAMS set, the programs in that folder are measured instead of a release.
bench_web() {
  apt_install chromium
  web_dependencies
  quietly "$(cib_cache)/web-build.log" web npm run --silent build
  if [[ -z ${CIB_BENCH_PROGRAMS:-} ]]; then
    rust_ensure
    cargo build --locked --quiet --release -p cib-control -p cib-session -p cib-testkit --bins
    CIB_BENCH_PROGRAMS=$CIB_ROOT/target/release
  fi
  CIB_BENCH_PROGRAMS=$CIB_BENCH_PROGRAMS web node bench/main.mjs "$@"
}
