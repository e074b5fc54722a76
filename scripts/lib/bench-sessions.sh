# shellcheck shell=bash
# sessions: keeper and control beside an axum echo and terminado

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"

# bench_sessions [MEASUREMENT...]: stream, tty, memory; all of them by default.
bench_sessions() {
  apt_install python3-terminado
  rust_ensure
  rust_build_static cib-session
  rust_bench_static cib-control sessions "$@"
}
