# shellcheck shell=bash
# The real Claude Code for tests on the host, in the versions that the images hold.

# claude_for_tests: sets CIB_TEST_CLAUDE to the newest and CIB_TEST_CLAUDE_PLAIN to the last
# one that is plain JavaScript, fetching each once.
claude_for_tests() {
  if [[ -z ${CIB_TEST_CLAUDE:-} ]]; then
    claude_native
    export CIB_TEST_CLAUDE=$claude_fetched/claude
  fi
  if [[ -z ${CIB_TEST_CLAUDE_PLAIN:-} ]]; then
    claude_plain
    export CIB_TEST_CLAUDE_PLAIN=$claude_fetched/claude
  fi
}

# claude_native: the version that the images name, for this machine's processor.
claude_native() {
  local version arch
  version=$(sed -n 's/^ARG CLAUDE_VERSION=//p' "$CIB_ROOT/images/Dockerfile" | head -n 1)
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) die "$EX_CONFIG" "there is no native Claude Code for $(uname -m): set CIB_TEST_CLAUDE" ;;
  esac
  claude_fetch "@anthropic-ai/claude-code-linux-$arch" "$version"
}

# claude_plain: the version that runs everywhere, started as the images start it.
claude_plain() {
  local version
  version=$(sed -n 's/^everywhere=//p' "$CIB_ROOT/images/build/fetch-claude" | head -n 1)
  command -v node >/dev/null || apt_install nodejs
  claude_fetch @anthropic-ai/claude-code "$version"
  [[ -x $claude_fetched/claude ]] && return 0
  printf '#!/bin/sh\nexport USE_BUILTIN_RIPGREP=0\nexec node %q "$@"\n' \
    "$claude_fetched/cli.js" >"$claude_fetched/claude"
  chmod 0755 "$claude_fetched/claude"
}

# claude_fetch PACKAGE VERSION: sets claude_fetched to the folder that holds it.
claude_fetch() {
  local package=$1 version=$2
  claude_fetched=$(cib_cache)/claude/$version
  [[ ! -f $claude_fetched/package.json ]] || return 0
  apt_install openssl
  command -v npm >/dev/null || apt_install npm
  step "Fetching Claude Code $version for the tests"
  rm -rf "$claude_fetched.part"
  quietly "$(cib_cache)/claude.log" \
    "$CIB_ROOT/images/build/npm-fetch" "$package" "$version" "$claude_fetched.part" ||
    die "$EX_SOFTWARE" "Claude Code $version could not be fetched; the log is $(cib_cache)/claude.log"
  rm -rf "$claude_fetched"
  mv "$claude_fetched.part" "$claude_fetched"
}
