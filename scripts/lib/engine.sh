# shellcheck shell=bash
# Which Docker engine the scripts speak to, and the private one's life.
#
# A running engine is used as it is. Where there is none, a private engine runs from Debian
# packages unpacked into a folder of its own: nothing is installed on the machine, and
# removing the folder removes the engine.

CIB_ENGINE_DIR=${CIB_ENGINE_DIR:-/var/lib/claude-in-box-engine}
readonly ENGINE_ROOTFS=$CIB_ENGINE_DIR/root
readonly ENGINE_SOCKET=$CIB_ENGINE_DIR/docker.sock
readonly ENGINE_PIDFILE=$CIB_ENGINE_DIR/dockerd.pid
readonly ENGINE_LOG=$CIB_ENGINE_DIR/dockerd.log

# shellcheck source=scripts/lib/engine-rootfs.sh
source "$CIB_ROOT/scripts/lib/engine-rootfs.sh"

# engine_private_pid: the private daemon's pid, if it lives. The name is checked as well,
# because a pid file outlives a reboot and its number may belong to another program by then.
engine_private_pid() {
  local pid
  pid=$(cat "$ENGINE_PIDFILE" 2>/dev/null) || return 1
  [[ $pid =~ ^[0-9]+$ && $(cat "/proc/$pid/comm" 2>/dev/null) == dockerd ]] || return 1
  printf '%s\n' "$pid"
}

# engine_system_works: an engine that this user may use is running, and can build.
engine_system_works() {
  command -v docker >/dev/null &&
    timeout 20 docker version --format '{{.Server.Version}}' >/dev/null 2>&1 &&
    docker buildx version >/dev/null 2>&1
}

engine_private_answers() {
  [[ -S $ENGINE_SOCKET ]] && DOCKER_HOST="unix://$ENGINE_SOCKET" \
    timeout 20 "$CIB_ENGINE_DIR/bin/docker" version --format '{{.Server.Version}}' >/dev/null 2>&1
}

# engine_use: makes `docker` in this shell speak to an engine, starting one where there is
# none. CIB_ENGINE=system or private takes away the choice.
engine_use() {
  case ${CIB_ENGINE:-auto} in
    auto) if ! engine_private_pid >/dev/null && engine_system_works; then return 0; fi ;;
    system)
      engine_system_works || die "$EX_CONFIG" \
        "CIB_ENGINE=system, but no Docker engine with buildx answers: start it, or install docker-buildx"
      return 0
      ;;
    private) ;;
    *) die "$EX_CONFIG" "CIB_ENGINE is '${CIB_ENGINE}': it may be auto, system or private" ;;
  esac
  engine_private_start
  engine_private_export
}

engine_private_export() {
  export DOCKER_HOST="unix://$ENGINE_SOCKET"
  export DOCKER_CONFIG="${DOCKER_CONFIG:-$CIB_ENGINE_DIR/config}"
  [[ ":$PATH:" == *":$CIB_ENGINE_DIR/bin:"* ]] || export PATH="$CIB_ENGINE_DIR/bin:$PATH"
}

engine_private_start() {
  if engine_private_pid >/dev/null && engine_private_answers; then return 0; fi
  need_root "starting a private Docker engine"
  mkdir -p "$CIB_ENGINE_DIR"
  (
    flock -w 900 9 || die "$EX_SOFTWARE" "another start of the engine holds $CIB_ENGINE_DIR/lock"
    engine_private_answers || engine_private_start_locked
  ) 9>"$CIB_ENGINE_DIR/lock"
}

engine_private_start_locked() {
  engine_rootfs_make
  engine_wrappers_make
  engine_rootfs_refresh
  engine_private_clear
  step "Starting a private Docker engine in $CIB_ENGINE_DIR"
  # Its own session and no inherited descriptors: the engine outlives the shell, the terminal
  # and the lock that started it.
  setsid unshare -m --propagation private \
    bash "$CIB_ROOT/scripts/lib/engine-enter.sh" "$CIB_ENGINE_DIR" \
    </dev/null >>"$ENGINE_LOG" 2>&1 9>&- &
  local pid=$!
  if ! wait_until 90 engine_private_answers; then
    tail -n 30 "$ENGINE_LOG" >&2
    kill "$pid" 2>/dev/null || true
    die "$EX_SOFTWARE" "the engine did not answer within 90 s; its log is $ENGINE_LOG"
  fi
  note "engine $(engine_private_version) is up, its log is $ENGINE_LOG"
}

# engine_private_clear: what an engine that was killed, or a machine that was switched off, has
# left: its containerd and shims, known by the socket they were started with, and the files
# of a run. A stale containerd.pid would make the next daemon wait for a stranger.
engine_private_clear() {
  local entry pid
  for entry in /proc/[0-9]*; do
    pid=${entry#/proc/}
    # Whoever ended meanwhile has no command line.
    if { tr '\0' ' ' <"$entry/cmdline"; } 2>/dev/null | grep -qF "$CIB_ENGINE_DIR/exec/containerd/"; then
      kill -KILL "$pid" 2>/dev/null || true
    fi
  done
  rm -rf --one-file-system "$ENGINE_SOCKET" "$ENGINE_PIDFILE" "$CIB_ENGINE_DIR/exec"
}

engine_private_version() {
  DOCKER_HOST="unix://$ENGINE_SOCKET" "$CIB_ENGINE_DIR/bin/docker" version --format '{{.Server.Version}}'
}

# engine_private_stop: ends the daemon, which ends its containers and its containerd.
engine_private_stop() {
  local pid
  pid=$(engine_private_pid) || {
    note "no private engine is running"
    return 0
  }
  need_root "stopping the private engine"
  step "Stopping the private engine (pid $pid)"
  kill -TERM "$pid"
  wait_until 60 engine_private_is_gone "$pid" ||
    die "$EX_SOFTWARE" "the engine (pid $pid) is still there after 60 s; its log is $ENGINE_LOG"
  rm -f "$ENGINE_SOCKET" "$ENGINE_PIDFILE"
}

engine_private_is_gone() { [[ ! -d /proc/$1 ]]; }
