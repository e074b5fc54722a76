# shellcheck shell=bash
# init: PID 1 beside tini, dumb-init, catatonit, s6 and supervisord

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"

# bench_init [MEASUREMENT...]: start, term, early, orphans, restart, idle, box; all of them
# by default.
bench_init() {
  need_root "measuring PID 1 (it makes namespaces)"
  apt_install tini dumb-init catatonit s6 supervisor perl util-linux \
    iproute2 nftables redsocks microsocks
  rust_ensure
  rust_build_static cib-control
  rust_build_static cib-resolver
  rust_bench_static cib-init init "$@"
}
