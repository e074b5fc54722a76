# shellcheck shell=bash
# devices: the sealed envelope beside the same requests over plain HTTP, and MQTT beside mosquitto's client

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"

# bench_devices: frames sealed a second, processor time of a request, memory of open streams,
# messages a second to a broker.
bench_devices() {
  apt_install mosquitto mosquitto-clients
  rust_ensure
  rust_build_static cib-session
  rust_bench_static cib-control sessions devices mqtt
}
