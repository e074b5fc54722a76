#!/bin/sh
# Stands in for the engine's program, as far as a start and an end of a box go. The box's workspace
# is a folder here; its API is whoever listens at the port in `$STATE/port`.
# HOLD: the command that is held, until somebody ends it or for HOLD_FOR seconds.
# FAIL: the command that fails, and with what words.
set -u
case ${DOCKER_HOST-} in
  ssh://*)
    # As docker does it: its other half runs where ssh leads.
    target=${DOCKER_HOST#ssh://}
    words=
    for word; do
      words="$words '$(printf %s "$word" | sed "s/'/'\\\\''/g")'"
    done
    echo "${1-}" >>"$STATE/over-ssh"
    exec ssh -F "$STATE/ssh_config" -p "${target##*:}" "${target%:*}" "STATE='$STATE' '$0' $words"
    ;;
esac
# Runs a command of the box's: its workspace is a folder here, and no variable of git's goes in.
inside() {
  mkdir -p "$STATE/workspace" "$STATE/coder"
  count=$#
  while [ "$count" -gt 0 ]; do
    set -- "$@" "$(printf %s "$1" | sed "s|/workspace|$STATE/workspace|g; s|/home/coder|$STATE/coder|g")"
    shift
    count=$((count - 1))
  done
  for name in $(env | sed -n 's/^\(GIT_[A-Z_]*\)=.*/\1/p'); do unset "$name"; done
  exec "$@"
}
printf '%s\n' "$*" >>"$STATE/log"
echo "${DOCKER_HOST-} $1" >>"$STATE/hosts"
if [ "${FAIL-}" = "$1" ]; then
  echo "$FAIL_WORDS" >&2
  exit 125
fi
if [ "${HOLD-}" = "$1" ]; then
  touch "$STATE/held"
  if [ -z "${HOLD_FOR-}" ]; then exec sleep 300; fi
  sleep "$HOLD_FOR"
fi
# The container that holds a box's network is a file.
for about; do :; done
if [ "$1" = create ]; then about=$3; fi
case "$1 $about" in
  create*-egress)
    echo "$3" >"$STATE/holder"
    mkdir -p "$STATE/volumes"
    : >"$STATE/volumes/$3"
    exit
    ;;
  ps*holder-of*)
    if [ -e "$STATE/holder" ]; then echo holder-0123456789; fi
    exit
    ;;
  cp*-egress:*)
    cat >"$STATE/holder.tar"
    exit
    ;;
  start*-egress)
    touch "$STATE/holds"
    exit
    ;;
  container*-egress)
    # What ends so is no box: those are asked for by their ids.
    echo "[{\"Name\": \"/$(cat "$STATE/holder")\", \"NetworkSettings\": {\"Ports\":
      {\"8080/tcp\": [{\"HostIp\": \"127.0.0.1\", \"HostPort\": \"$(cat "$STATE/port")\"}]}}}]"
    exit
    ;;
  rm*-egress)
    rm -f "$STATE/holder" "$STATE/holds"
    exit
    ;;
esac
case $1 in
  version) echo 26.1.5 ;;
  context) cat "$STATE/context" ;;
  image) echo "[{\"Config\": {\"Entrypoint\": [\"/init\"], \"Labels\": {\"claude-in-box.image\": \"${IMAGE_VERSION-latest}\"}}}]" ;;
  ps) if [ -e "$STATE/box" ]; then echo box-0123456789; fi ;;
  container)
    status=created
    if [ -e "$STATE/started" ]; then status=running; fi
    if [ "$*" = "container inspect --format {{.State.ExitCode}} ${5-}" ]; then
      echo 0
      exit
    fi
    labels=$(sed 's/^\([^=]*\)=\(.*\)$/"\1": "\2",/' "$STATE/box")
    ports='{}'
    if [ ! -e "$STATE/unpublished" ]; then
      ports="{\"8080/tcp\": [{\"HostIp\": \"127.0.0.1\", \"HostPort\": \"$(cat "$STATE/port")\"}]}"
    fi
    echo "[{\"Id\": \"box-0123456789\", \"Created\": \"2026-11-30T00:00:00Z\",
      \"State\": {\"Status\": \"$status\"}, \"Config\": {\"Image\": \"i\", \"Env\": [$(cat "$STATE/env") \"X=y\"], \"Labels\": {$labels \"x\": \"y\"}},
      \"NetworkSettings\": {\"Ports\": $ports}}]"
    ;;
  volume)
    if [ "$2" = inspect ]; then
      echo '[]'
      exit 1
    fi
    for last; do :; done
    rm -f "$STATE/volumes/$last"
    ;;
  create)
    mkdir -p "$STATE/volumes"
    : >"$STATE/unpublished"
    : >"$STATE/env"
    while [ $# -gt 0 ]; do
      case $1 in
        --label) echo "$2" >>"$STATE/box.part" ;;
        --volume) case $2 in /*) ;; *) : >"$STATE/volumes/${2%%:*}" ;; esac ;;
        --publish) rm "$STATE/unpublished" ;;
        --env) printf '"%s", ' "$2" >>"$STATE/env" ;;
        --env-file) cat "$2" >"$STATE/variables" ;;
      esac
      shift
    done
    mv "$STATE/box.part" "$STATE/box"
    echo box-0123456789
    ;;
  cp) cat >"$STATE/secrets.tar" ;;
  start) touch "$STATE/started" ;;
  stop) rm -f "$STATE/started" ;;
  run)
    while [ "$1" != --entrypoint ]; do shift; done
    program=$2
    shift 3
    inside "$program" "$@"
    ;;
  exec)
    case $* in
      *'cib-init relay '*)
        exec bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$1" 4<&0 || exit 1
          cat <&4 >&3 &
          cat <&3
          kill $!' relay "$(cat "$STATE/port")"
        ;;
      *'cib-init exec -- '*)
        while [ "$1" != -- ]; do shift; done
        shift
        inside "$@"
        ;;
      *'cat /run/secrets/auth_token'*) tar -xOf "$STATE/secrets.tar" auth_token ;;
    esac
    ;;
  logs) echo "the box's own last words" ;;
  rm) rm -f "$STATE/box" "$STATE/started" ;;
esac
