# shellcheck shell=bash
# The real Claude Code for tests on the host, the same version that the image holds.

# claude_for_tests: sets CIB_TEST_CLAUDE, fetching the CLI once.
claude_for_tests() {
  [[ -z ${CIB_TEST_CLAUDE:-} ]] || return 0
  local version folder arch
  version=$(sed -n 's/^ARG CLAUDE_VERSION=//p' "$CIB_ROOT/images/Dockerfile" | head -n 1)
  case $(uname -m) in
    x86_64) arch=x64 ;;
    aarch64) arch=arm64 ;;
    *) die "$EX_CONFIG" "there is no native Claude Code for $(uname -m): set CIB_TEST_CLAUDE" ;;
  esac
  folder=$(cib_cache)/claude/$version
  if [[ ! -x $folder/claude ]]; then
    apt_install openssl
    command -v npm >/dev/null || apt_install npm
    step "Fetching Claude Code $version for the tests"
    quietly "$(cib_cache)/claude.log" \
      "$CIB_ROOT/images/build/npm-fetch" "@anthropic-ai/claude-code-linux-$arch" "$version" "$folder.part" ||
      die "$EX_SOFTWARE" "Claude Code $version could not be fetched; the log is $(cib_cache)/claude.log"
    rm -rf "$folder"
    mv "$folder.part" "$folder"
  fi
  export CIB_TEST_CLAUDE=$folder/claude
}
