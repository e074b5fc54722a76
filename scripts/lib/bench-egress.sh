# shellcheck shell=bash
# egress: the way out beside none, and beside redsocks with rules that only redirect

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"

# bench_egress [MEASUREMENT...]: bulk, sequential, concurrent, first-byte, cpu; all of them by
# default.
bench_egress() {
  need_root "measuring the way out (it makes network namespaces)"
  apt_install iproute2 nftables redsocks util-linux
  apt_install_dante
  rust_ensure
  rust_bench_static cib-redsocks egress "$@"
}
