# shellcheck shell=bash
# One box on this machine: its secrets, its container, its health.

# box_state NAME: the folder that holds what must not be in the container's configuration.
box_state() {
  printf '%s/claude-in-box/%s\n' "${XDG_STATE_HOME:-$HOME/.local/state}" "$1"
}

# box_secret FILE VALUE: writes a secret that only this user may read. The folder is private
# before the file exists, so that there is no moment in which others could open it.
box_secret() {
  (
    umask 077
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1"
  )
  chmod 0600 "$1"
}

box_mint_token() { od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n'; }

box_exists() { docker container inspect "$1" >/dev/null 2>&1; }

box_field() { docker container inspect --format "$2" "$1" 2>/dev/null; }

# box_is_current NAME FINGERPRINT IMAGE: it runs, with these settings, from the image that
# this name means now.
box_is_current() {
  [[ $(box_field "$1" '{{.State.Running}} {{index .Config.Labels "claude-in-box.settings"}} {{.Image}}') == "true $2 $(docker image inspect --format '{{.Id}}' "$3")" ]]
}

box_remove() {
  docker stop --time 10 "$1" >/dev/null 2>&1 || true
  docker rm --force "$1" >/dev/null 2>&1 || true
}

# box_await_health NAME SECONDS: returns when the box answers; ends with its log when it does not.
box_await_health() {
  local name=$1 deadline=$((SECONDS + $2)) state
  while ((SECONDS < deadline)); do
    state=$(box_field "$name" '{{.State.Status}} {{if .State.Health}}{{.State.Health.Status}}{{end}}')
    case $state in
      'running healthy') return 0 ;;
      exited* | dead*) box_failed "$name" "it ended with exit code $(box_field "$name" '{{.State.ExitCode}}')" ;;
      '') box_failed "$name" "its container is gone" ;;
    esac
    sleep 0.3
  done
  box_failed "$name" "it was not healthy within $2 s"
}

box_failed() {
  printf '%s\n' "--- docker logs $1" >&2
  docker logs --tail 60 "$1" >&2 2>&1 || true
  printf '%s\n' "--- its last health check" >&2
  box_field "$1" '{{if .State.Health}}{{range .State.Health.Log}}exit code {{.ExitCode}}: {{.Output}}{{println}}{{end}}{{end}}' |
    sed '/^$/d' | tail -n 1 >&2
  printf '%s\n' "---" >&2
  local code
  code=$(box_field "$1" '{{.State.ExitCode}}')
  [[ $code =~ ^[1-9][0-9]*$ ]] || code=$EX_SOFTWARE
  die "$code" "the box '$1' did not start: $2. Its log is above; mend that and run this again"
}
