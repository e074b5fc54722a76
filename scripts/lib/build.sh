# shellcheck shell=bash
# Building the images with bake, on whatever engine engine_use has found.

# shellcheck source=scripts/lib/base-image.sh
source "$CIB_ROOT/scripts/lib/base-image.sh"

# bake TARGET...: builds these targets of docker-bake.hcl into the engine. What the machine's
# proxies and certificates mean for a download is passed on here and nowhere else.
bake() {
  local -a arguments=() command
  local name
  CA_BUNDLE=$(host_ca_bundle)
  export CA_BUNDLE
  for name in http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || arguments+=(--set "*.args.${name^^}=${!name}")
  done
  # The values go by environment; a target's own defaults stand in docker-bake.hcl.
  command=(docker buildx bake --file "$CIB_ROOT/docker-bake.hcl" "${arguments[@]}" "$@")
  (
    cd "$CIB_ROOT"
    if [[ -t 2 ]]; then
      "${command[@]}" >&2
    else
      with_heartbeat "$(cib_cache)/bake.log" "${command[@]}" --progress plain
    fi
  ) || die "$EX_SOFTWARE" "the images could not be built; the whole log is $(cib_cache)/bake.log"
}

# with_heartbeat LOG COMMAND...: quietly, but says every half minute that it is alive.
with_heartbeat() {
  local log=$1 ticker status=0
  (while sleep 30; do note "still building, $((SECONDS))s; $(tail -n 1 "$log" 2>/dev/null | cut -c1-90)"; done) &
  ticker=$!
  quietly "$@" || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  return "$status"
}
