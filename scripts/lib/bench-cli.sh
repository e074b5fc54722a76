# shellcheck shell=bash
# cli: cib start, to a session in a terminal, beside docker run of the same image with a mount, and with a copy by hand

# shellcheck source=scripts/lib/rust.sh
source "$CIB_ROOT/scripts/lib/rust.sh"
# shellcheck source=scripts/lib/engine.sh
source "$CIB_ROOT/scripts/lib/engine.sh"
# shellcheck source=scripts/lib/build.sh
source "$CIB_ROOT/scripts/lib/build.sh"
# shellcheck source=scripts/lib/box.sh
source "$CIB_ROOT/scripts/lib/box.sh"

# How many starts of each, in turn, and how many ms of the median cib may take longer.
readonly BENCH_CLI_STARTS=7 BENCH_CLI_MOST=1000

bench_cli_now() { date +%s%3N; }

# bench_cli_median NUMBER...
bench_cli_median() { printf '%s\n' "$@" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

bench_cli_ratio() { awk -v own="$1" -v peer="$2" 'BEGIN { printf "%.2f", own / peer }'; }

# bench_cli_peer IMAGE FOLDER [REPOSITORY]: the same by hand: a container with a mount of a
# repository, of which a copy is made first if one is named, and a session in a terminal by its API.
# Sets `took`.
bench_cli_peer() {
  local begun id port token
  token=$(openssl rand -hex 24)
  begun=$(bench_cli_now)
  if (($# > 2)); then
    git clone --quiet --no-local "file://$3" "$2"
  fi
  id=$(docker run --detach --label cib-test --publish 127.0.0.1::8080 --env CIB_AUTH_TOKEN="$token" \
    --env ANTHROPIC_API_KEY=sk-ant-of-the-bench --volume "$2:/workspace" "$1")
  port=$(docker port "$id" 8080/tcp | head -1)
  until curl -fsS -o /dev/null --max-time 2 "http://$port/api/health" 2>/dev/null; do sleep 0.02; done
  # The API may be there before all of the box is.
  until curl -fsS -o /dev/null --max-time 60 -H "Authorization: Bearer $token" -H 'Content-Type: application/json' \
    --data '{"workdir": "/workspace", "driver": "tty"}' "http://$port/api/sessions" 2>/dev/null; do sleep 0.02; done
  took=$(($(bench_cli_now) - begun))
  docker rm --force --volumes "$id" >/dev/null
}

# bench_cli_end FOLDER: removes what the starts have left. Not before all of them: ext4 gives the number
# of a file that was deleted to nobody for minutes, and looks at each such number for each file that
# begins meanwhile, so that a start after the end of another would measure that end.
bench_cli_end() {
  rm -rf "$1"
  ((${#bench_cli_volumes[@]} == 0)) || docker volume rm --force "${bench_cli_volumes[@]}" >/dev/null
}

# bench_cli_own IMAGE FOLDER CIB: adds the box's volumes to `bench_cli_volumes`.
bench_cli_own() {
  local begun name
  begun=$(bench_cli_now)
  name=$("$3" -C "$2" start --json --image "$1" --driver tty --skip-reconnect-check --no-keys | jq -r .name)
  took=$(($(bench_cli_now) - begun))
  "$3" -C "$2" rm --force --keep-volumes "$name" >/dev/null 2>&1
  bench_cli_volumes+=("$name-"{workspace,data,home,secrets})
}

# bench_cli: fails if cib takes more than BENCH_CLI_MOST ms longer. CIB_BENCH_PROGRAM is a cib that is
# built already.
bench_cli() {
  local image=${CIB_TEST_IMAGE:-claude-in-box:latest-headless} folder cib took round
  local -a peers=() copies=() owns=() bench_cli_volumes=()
  (($# == 0)) || usage_error "cli has one measurement"
  apt_install jq curl openssl git
  rust_ensure
  engine_use
  docker image inspect "$image" >/dev/null 2>&1 || {
    base_image_ensure
    bake headless
  }
  cib=${CIB_BENCH_PROGRAM:-}
  if [[ -z $cib ]]; then
    quietly "$(cib_cache)/bench-cli.log" cargo build --locked --release --package cib-cli
    cib=$CIB_ROOT/target/release/cib
  fi
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder is known now
  trap "bench_cli_end '$folder'; trap - RETURN" RETURN
  git clone --quiet --no-local --depth 200 "file://$CIB_ROOT" "$folder/repository"
  # What is mounted becomes the agent's, and git leaves other users' repositories alone.
  cp -a "$folder/repository" "$folder/mounted"
  chmod 0755 "$folder"
  # Of nobody's home: no login, no keys, no settings of a person's.
  export HOME=$folder/home ANTHROPIC_API_KEY=sk-ant-of-the-bench
  unset SSH_AUTH_SOCK XDG_STATE_HOME XDG_CONFIG_HOME CLAUDE_CODE_USE_BEDROCK CLAUDE_CODE_USE_VERTEX
  mkdir -p "$HOME"
  # The first of each warms the disk's cache, and counts for nothing.
  for ((round = 0; round <= BENCH_CLI_STARTS; round++)); do
    bench_cli_peer "$image" "$folder/mounted"
    ((round == 0)) || peers+=("$took")
    bench_cli_peer "$image" "$folder/copy-$round" "$folder/repository"
    ((round == 0)) || copies+=("$took")
    bench_cli_own "$image" "$folder/repository" "$cib"
    ((round == 0)) || owns+=("$took")
  done
  local peer copy own
  peer=$(bench_cli_median "${peers[@]}")
  copy=$(bench_cli_median "${copies[@]}")
  own=$(bench_cli_median "${owns[@]}")
  printf '\n| to a session in a terminal, median of %s | ms | ratio |\n|---|---|---|\n' "$BENCH_CLI_STARTS"
  # shellcheck disable=SC2016 # the quotes are Markdown's
  printf '| `docker run` with a mount, and a call of the API | %s | 1 |\n' "$peer"
  # shellcheck disable=SC2016 # the quotes are Markdown's
  printf '| the same with `git clone --no-local` before it | %s | %s |\n' "$copy" \
    "$(bench_cli_ratio "$copy" "$peer")"
  # shellcheck disable=SC2016 # the quotes are Markdown's
  printf '| `cib start` with a copy of the repository | %s | %s |\n' "$own" \
    "$(bench_cli_ratio "$own" "$peer")"
  bench_cli_end "$folder"
  ((own - peer <= BENCH_CLI_MOST)) ||
    die "$EX_SOFTWARE" "cib takes $((own - peer)) ms longer, and may take $BENCH_CLI_MOST"
}
