# shellcheck shell=bash
# Claims that start a box from an image. testkit/tests/box_images/contract.rs has those that hold for
# the headless image on this machine; here are those for other images, platforms and engines.

readonly IMAGE_TOKEN=0123456789abcdef0123

# image_box NAME IMAGE [OPTION...] [-- ARGUMENT...]: a box and the stand-in for the Messages API
# on a network of their own, which goes with this shell. Prints the box's URL.
image_box() {
  local name=$1 image=$2
  local -a options=()
  shift 2
  while (($#)) && [[ $1 != -- ]]; do
    options+=("$1")
    shift
  done
  (($# == 0)) || shift
  # shellcheck disable=SC2064 # this name, now
  trap "docker rm --force --volumes $name $name-api >/dev/null 2>&1; docker network rm $name >/dev/null 2>&1" EXIT
  docker network create "$name" >/dev/null
  docker run --detach --label cib-test --name "$name-api" --network "$name" --network-alias api \
    cib-testkit:latest api --listen 0.0.0.0:8080 >/dev/null
  docker run --detach --label cib-test --name "$name" --network "$name" --publish 127.0.0.1::8080 \
    --env CIB_AUTH_TOKEN=$IMAGE_TOKEN --env CIB_MODE=headless \
    --env ANTHROPIC_BASE_URL=http://api:8080 --env ANTHROPIC_API_KEY=sk-not-a-key \
    "${options[@]}" "$image" "$@" >/dev/null
}

image_url() { printf 'http://%s\n' "$(docker port "$1" 8080/tcp)"; }

image_api() { # NAME PATH OPTION...
  curl -fsS --max-time 20 -H "Authorization: Bearer $IMAGE_TOKEN" -H 'Content-Type: application/json' \
    "$(image_url "$1")$2" "${@:3}"
}

image_answers() { image_api "$1" /api/health | jq -e '.status == "ok"'; }

# image_is_up NAME SECONDS: waits until it answers; shows its log when it does not.
image_is_up() {
  wait_until "$2" image_answers "$1" || {
    docker logs "$1"
    return 1
  }
  image_api "$1" /api/health
  docker exec "$1" cib-init healthcheck
}

image_turn_is_over() { image_api "$1" "/api/sessions/$2/transcript?from=1" | jq -e '.frames | any(.kind == "stop")'; }

# image_turn NAME SECONDS: one turn of Claude with a tool in it; prints its frames.
image_turn() {
  local session frames
  session=$(image_api "$1" /api/sessions -d '{"workdir": "/workspace",
    "prompt": "Keep a word.\n@bash echo kept > /workspace/word && cat /workspace/word\n@text It is kept."}' | jq -r .id)
  wait_until "$2" image_turn_is_over "$1" "$session" || {
    docker logs "$1"
    image_api "$1" "/api/sessions/$session/transcript?from=1"
    return 1
  }
  frames=$(image_api "$1" "/api/sessions/$session/transcript?from=1")
  jq -c '.frames[] | {kind, data}' <<<"$frames" | cut -c1-300
  [[ $(docker exec "$1" cat /workspace/word) == kept ]]
  jq -e '[.frames[] | select(.kind == "text.delta") | .data.text] | join("") | contains("It is kept.")' <<<"$frames"
}

# image_ran NAME VERSION: the sessions of this box ran that Claude Code.
image_ran() {
  local session
  session=$(image_api "$1" /api/sessions | jq -r '(.sessions // .)[0].id')
  image_api "$1" "/api/sessions/$session/transcript?from=1" |
    jq -e --arg version "$2" '.frames | any(.kind == "meta" and .data.claude_version == $version)'
}

# ---- the full image ------------------------------------------------------------------------

claim_its_languages_and_tools_work() {
  docker run --rm --interactive --user coder --workdir /tmp --entrypoint bash "$(image_tag full)" -euo pipefail -s <<'SH'
for tool in node npm npx python3 pip go git git-lfs gh gcc g++ make patch file jq less rg curl \
  ssh gpg ps unzip zip xz claude; do
  command -v "$tool" || { echo "there is no $tool" >&2; exit 1; }
done
node -e 'console.log(6 * 7)' | grep -x 42
npm --version
npx --version
python3 -m venv venv
venv/bin/python -c 'print(6 * 7)' | grep -x 42
venv/bin/pip --version
printf 'package main\n\nimport "fmt"\n\nfunc main() { fmt.Println(6 * 7) }\n' >program.go
go run program.go | grep -x 42
printf '#include <stdio.h>\nint main(void) { printf("%%d\\n", 6 * 7); }\n' >in_c.c
make in_c
./in_c | grep -x 42
printf '#include <iostream>\nint main() { std::cout << 6 * 7 << std::endl; }\n' >in_cc.cc
make in_cc
./in_cc | grep -x 42
git init --quiet repository
gh --version
# A large file goes to another repository by the hook of `git lfs`, and comes back from there.
git -C repository lfs track '*.bin'
seq 20000 >repository/large.bin
git -C repository add --all
git -C repository -c user.name=a -c user.email=a@b commit --quiet --message large
git init --quiet --bare store.git
git -C repository push --quiet "file://$PWD/store.git" HEAD:refs/heads/main
GIT_LFS_SKIP_SMUDGE=1 git clone --quiet --branch main "file://$PWD/store.git" copy
grep '^oid sha256:' copy/large.bin
git -C copy lfs pull
cmp repository/large.bin copy/large.bin
# As a task's tree is told: control takes the contents from there, and the hook brings none.
git -C copy config lfs.url https://forge.invalid/acme/art.git/info/lfs
git -C copy config lfs.pushurl "file://$PWD/copy"
seq 30000 >copy/large.bin
git -C copy -c user.name=a -c user.email=a@b commit --quiet --all --message larger
git -C copy push --quiet origin HEAD
test "$(git -C store.git rev-parse main)" = "$(git -C copy rev-parse HEAD)"
# As GitHub's own host it would be asked by TLS; by this name it is asked here.
cat >forge.py <<'PY'
import http.server

class Forge(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        is_known = self.path == "http://api.github.localhost/user" and self.headers["Authorization"] == "token ghp_coder"
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"login": "coder-of-the-box"}')

http.server.HTTPServer(("127.0.0.1", 8080), Forge).serve_forever()
PY
python3 forge.py 2>forge.log &
until (exec 3<>/dev/tcp/127.0.0.1/8080) 2>/dev/null; do
  kill -0 $! || { cat forge.log >&2; exit 1; }
  sleep 0.1
done
HTTP_PROXY=http://127.0.0.1:8080 GH_HOST=github.localhost GH_TOKEN=ghp_coder gh api user --jq .login | grep -x coder-of-the-box
kill $!
test -s /usr/share/claude-in-box/web/manifest.json
test -s /usr/share/claude-in-box/web/index.html
SH
}

claim_it_carries_no_language_and_no_web_pages() { # FLAVOUR
  docker run --rm --interactive --entrypoint sh "$(image_tag "$1")" -eu -s <<'SH'
for tool in node npm python3 go gcc make; do
  if command -v "$tool"; then exit 1; fi
done
test ! -e /usr/share/claude-in-box/web
SH
}

claim_claude_works_in_the_version_that_is_asked_for() { # VERSION
  image_box "cib-asked-$$" "$(image_tag full)" --env CIB_CLAUDE_VERSION="$1"
  image_is_up "cib-asked-$$" 60
  image_turn "cib-asked-$$" 120
  image_ran "cib-asked-$$" "$1"
  docker logs "cib-asked-$$" 2>&1 | grep -F "Claude Code $1, as CIB_CLAUDE_VERSION says"
}

# The native builds for x86-64 are made of AVX instructions. Init alone runs on a processor
# without them here, an emulated one, and decides for the rest of the box.
claim_a_processor_without_avx_gets_the_version_that_runs_on_it() {
  local folder status=0 said
  folder=$(mktemp -d)
  # A private engine has a /usr of its own.
  cp "$(command -v qemu-x86_64-static)" "$folder/emulator"
  local -a old=(--volume "$folder/emulator:/emulator:ro" --entrypoint /emulator)
  image_box "cib-old-$$" "$(image_tag full)" "${old[@]}" -- -cpu Nehalem /usr/bin/cib-init box
  image_is_up "cib-old-$$" 60
  docker logs "cib-old-$$" 2>&1 | grep -F 'Claude Code 2.1.112' | grep -F 'lacks AVX'
  image_turn "cib-old-$$" 120
  image_ran "cib-old-$$" 2.1.112
  said=$(docker run --rm --env CIB_AUTH_TOKEN=$IMAGE_TOKEN "${old[@]}" "$(image_tag headless)" \
    -cpu Nehalem /usr/bin/cib-init check 2>&1) || status=$?
  printf '%s\n' "$said"
  ((status == 78))
  grep -F 'lacks AVX' <<<"$said" | grep -F claude-in-box:latest
  rm -rf "$folder"
}

# ---- another engine ------------------------------------------------------------------------

# The image is given to Podman as a registry would give it, and OCI images have no HEALTHCHECK:
# there it is an option.
claim_it_starts_and_ends_under_rootless_podman() { # FLAVOUR
  local engine=cib-podman-$$
  # shellcheck disable=SC2064 # this name, now
  trap "docker rm --force --volumes $engine >/dev/null 2>&1" EXIT
  docker run --detach --privileged --label cib-test --name "$engine" cib-podman:latest >/dev/null
  podman_() { docker exec --interactive --user person --env XDG_RUNTIME_DIR=/tmp "$engine" podman "$@"; }
  [[ $(podman_ info --format '{{.Host.Security.Rootless}}') == true ]]
  docker save "$(image_tag "$1")" | podman_ load
  podman_ run --detach --name box --health-cmd '/usr/bin/cib-init healthcheck' \
    --env CIB_AUTH_TOKEN=$IMAGE_TOKEN "docker.io/library/$(image_tag "$1")"
  wait_until 60 podman_ healthcheck run box || {
    podman_ logs box
    return 1
  }
  podman_ exec box cib-init status
  podman_ stop --time 10 box
  [[ $(podman_ inspect --format '{{.State.ExitCode}}' box) == 0 ]]
  plays_a_job "docker.io/library/$(image_tag "$1")"
}

# plays_a_job IMAGE: deploy/kubernetes/task.yaml by `podman kube play`, which is what there is here of
# Kubernetes: a pod with its Secret, its arguments and its variables. There is no network and no
# repository, and the box says so by its code.
plays_a_job() {
  local said
  {
    sed -e 's/generateName: .*/name: play/' -e "s|image: .*|image: $1|" -e 's|acme/api|nowhere|' \
      -e '/^    metadata:/,/labels:/s/labels:/&\n        batch.kubernetes.io\/job-name: play/' \
      "$CIB_ROOT/deploy/kubernetes/task.yaml"
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata: {name: cib-task}\n'
    printf 'stringData: {anthropic_api_key: sk-ant-play, github_token: ghp_play0123456789}\n'
  } | podman_ kube play --network none -
  wait_until 60 job_has_ended
  said=$(podman_ logs play-pod-box 2>&1)
  printf '%s\n' "$said"
  [[ $(podman_ inspect --format '{{.State.ExitCode}}' play-pod-box) == 66 ]]
  grep '^{"exit_code":66,' <<<"$said" | jq -e '.error.kind == "no_repo"'
}

job_has_ended() { [[ $(podman_ inspect --format '{{.State.Status}}' play-pod-box) == exited ]]; }

# ---- a derived image -----------------------------------------------------------------------

claim_a_derived_image_adds_a_service_and_a_step() {
  local box=cib-derived-$$ name
  local -a arguments=()
  for name in http_proxy https_proxy no_proxy; do
    [[ -z ${!name:-} ]] || arguments+=(--build-arg "${name^^}=${!name}")
  done
  docker build --quiet "${arguments[@]}" --tag cib-derived-test "$CIB_ROOT/images/examples/derived"
  # shellcheck disable=SC2064 # this name, now
  trap "docker rm --force --volumes $box >/dev/null 2>&1" EXIT
  docker run --rm --env CIB_AUTH_TOKEN=$IMAGE_TOKEN cib-derived-test cib-init check
  docker run --detach --label cib-test --name "$box" --env CIB_AUTH_TOKEN=$IMAGE_TOKEN cib-derived-test >/dev/null
  wait_until 60 box_is_healthy "$box" || {
    docker logs "$box"
    return 1
  }
  docker exec "$box" cib-init status --json | jq -e '.services | any(.name == "redis" and .state == "ready")'
  [[ $(docker exec "$box" redis-cli ping) == PONG ]]
  [[ $(docker exec --user coder "$box" git config --global init.defaultBranch) == main ]]
}

box_is_healthy() { [[ $(box_field "$1" '{{.State.Health.Status}}') == healthy ]]; }

# ---- other platforms -----------------------------------------------------------------------

# foreign_tag DEBIAN_ARCH
foreign_tag() { printf 'claude-in-box:test-%s\n' "$1"; }

claim_its_programs_are_for_their_platform() { # DEBIAN_ARCH
  local archive folder machine program hardened
  case $1 in
    arm64) machine=AArch64 hardened='pie full-relro nx static stripped' ;;
    # The C library of 32-bit ARM has no start file for what is static and position-independent.
    armhf) machine=ARM hardened='fixed partial-relro nx static stripped' ;;
  esac
  folder=$(mktemp -d)
  archive=$folder/root.tar
  image_root "$(foreign_tag "$1")" "$archive" "$(docker_platform "$1")"
  tar -C "$folder" -xf "$archive" --wildcards 'usr/bin/cib-*'
  for program in "$folder"/usr/bin/cib-*; do
    readelf --file-header "$program" | grep -E "Machine: +$machine\$"
    elf_hardening "$program"
    [[ $(elf_hardening "$program") == "$hardened" ]]
  done
  rm -rf "$folder"
}

# image_exits CODE ARCH OPTION... IMAGE ARGUMENT...: a command in a foreign image ends with this code.
image_exits() {
  local status=0
  docker run --rm --label cib-test --platform "$(docker_platform "$2")" "${@:3}" || status=$?
  ((status == $1)) || {
    echo "exit code $status, not $1: ${*:3}"
    return 1
  }
}

image_says() { docker logs "$1" 2>&1 | grep -qx "$2"; }

# claim_it_is_a_bare_init DEBIAN_ARCH: the start of a command with and without a terminal, its end by a signal, and, as somebody else's child, the end of those that
# it left behind.
claim_it_is_a_bare_init() {
  local name=cib-bare-$1-$$ image
  image=$(foreign_tag "$1")
  # shellcheck disable=SC2064 # this name, now
  trap "docker rm --force $name >/dev/null 2>&1" EXIT
  image_exits 7 "$1" "$image" sh -c 'exit 7'
  image_exits 127 "$1" "$image" no-such-command
  image_exits 64 "$1" "$image" --no-such-option
  image_exits 0 "$1" --tty "$image" sh -c 'test -t 0 && test -t 1'
  image_exits 8 "$1" "$image" timeout 60 cib-init --grace 20 -- sh -c 'setsid sleep 300 & exit 8'
  docker run --detach --label cib-test --name "$name" --platform "$(docker_platform "$1")" "$image" \
    --rewrite HUP:TERM sh -c 'setsid sleep 300 & echo up; exec sleep 600' >/dev/null
  wait_until 60 image_says "$name" up
  docker kill --signal HUP "$name" >/dev/null
  [[ $(timeout 60 docker wait "$name") == 143 ]]
}

# claim_it_boots... DEBIAN_ARCH VERSION [turn]: under emulation, where a turn takes its time.
claim_it_boots_and_answers() {
  local box=cib-foreign-$1-$$
  image_box "$box" "$(foreign_tag "$1")" --platform "$(docker_platform "$1")"
  image_is_up "$box" 180
  docker exec "$box" uname -m
  docker exec "$box" claude --version | tee /dev/stderr | grep -F "$2"
  if [[ $1 == armhf ]]; then docker logs "$box" 2>&1 | grep -F 'no native build for this platform'; fi
  [[ ${3:-} == turn ]] || return 0
  image_turn "$box" 300
  image_ran "$box" "$2"
}
