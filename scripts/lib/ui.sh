# shellcheck shell=bash
# What every script says to a person: steps, warnings, faults. All of it goes to standard
# error, so that standard output stays usable by another program.

# Exit codes, the same as the box's own: 64 usage, 70 internal, 78 configuration.
# shellcheck disable=SC2034 # for whoever sources this
readonly EX_USAGE=64 EX_SOFTWARE=70 EX_CONFIG=78

if [[ -t 2 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
  readonly C_BOLD=$'\e[1m' C_DIM=$'\e[2m' C_RED=$'\e[31m' C_YELLOW=$'\e[33m' C_GREEN=$'\e[32m' C_OFF=$'\e[0m'
else
  readonly C_BOLD='' C_DIM='' C_RED='' C_YELLOW='' C_GREEN='' C_OFF=''
fi

step() { printf '%s==>%s %s\n' "$C_BOLD" "$C_OFF" "$*" >&2; }
note() { printf '    %s%s%s\n' "$C_DIM" "$*" "$C_OFF" >&2; }
done_() { printf '%s==>%s %s\n' "$C_GREEN" "$C_OFF" "$*" >&2; }
warn() { printf '%swarning:%s %s\n' "$C_YELLOW" "$C_OFF" "$*" >&2; }

# die CODE MESSAGE...: the message names what is wrong and what to do about it.
die() {
  local code=$1
  shift
  printf '%serror:%s %s\n' "$C_RED" "$C_OFF" "$*" >&2
  exit "$code"
}

# usage_error MESSAGE: a wrong command line.
usage_error() { die "$EX_USAGE" "$* (try --help)"; }

# quietly LOG COMMAND...: runs a long command with its output in LOG; on failure shows the
# end of it, because the cause of a failed install is nearly always in its last lines.
quietly() {
  local log=$1 status=0
  shift
  mkdir -p "$(dirname "$log")"
  "$@" >"$log" 2>&1 </dev/null || status=$?
  if ((status != 0)); then
    printf '%s\n' "--- last lines of $log" >&2
    tail -n 40 "$log" >&2
    printf '%s\n' "---" >&2
  fi
  return "$status"
}

# wait_until SECONDS COMMAND...: true as soon as COMMAND is, false when the time is over.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || return 1
    sleep 0.2
  done
}

# need_root WHAT: some things only root may do; says which, and how.
need_root() {
  ((EUID == 0)) || die "$EX_CONFIG" "$1 needs root: run it with sudo, or as root"
}
