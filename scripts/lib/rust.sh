# shellcheck shell=bash
# The Rust toolchain of this machine, and which test targets belong to which floor.

# rust_ensure: cargo with rustfmt and clippy, new enough for the workspace.
rust_ensure() {
  local needed have
  command -v cargo >/dev/null || rust_install
  needed=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$CIB_ROOT/Cargo.toml")
  have=$(rustc --version | awk '{ print $2 }')
  [[ $(printf '%s\n' "$needed" "$have" | sort -V | head -n 1) == "$needed" ]] ||
    die "$EX_CONFIG" "rustc is $have, the workspace needs $needed: rustup update"
  cargo fmt --version >/dev/null 2>&1 || rustup component add rustfmt
  cargo clippy --version >/dev/null 2>&1 || rustup component add clippy
  apt_install gcc libc6-dev
}

rust_install() {
  apt_install rustup || die "$EX_CONFIG" "there is no cargo here, and Debian's rustup cannot be installed: install Rust"
  step "Installing the Rust toolchain"
  quietly "$(cib_cache)/rustup.log" rustup default stable
  export PATH="$HOME/.cargo/bin:$PATH"
}

# rust_test_targets FLOOR: cargo's options that select the floor's test targets, one word a
# line. A target's name says its floor: host_* needs root and namespaces, box_* an engine,
# anything else neither. Those with leak in the name are the leak matrix, by themselves.
rust_test_targets() {
  local filter
  case $1 in
    unit) filter='test("^(host|box)_") | not' ;;
    host) filter='test("^host_")' ;;
    box) filter='test("^box_")' ;;
    leaks) filter='test("^(host|box)_.*leak")' ;;
  esac
  cargo metadata --format-version 1 --no-deps --manifest-path "$CIB_ROOT/Cargo.toml" |
    jq -r "[.packages[].targets[] | select(.kind == [\"test\"]) | .name | select($filter)] | unique[] | \"--test\", ."
}

# rust_changed BASE: nextest's filter for the crates that differ from a commit, and for those
# that depend on them; nothing if none does. What belongs to no crate is everybody's.
rust_changed() {
  local folder changed=()
  while IFS= read -r folder; do
    if [[ $folder == Cargo.* ]]; then
      printf 'all()\n'
      return
    fi
    [[ -f $CIB_ROOT/$folder/Cargo.toml ]] && changed+=("rdeps(=cib-$folder)")
  done < <(git -C "$CIB_ROOT" diff --name-only "$1" -- | cut -d / -f 1 | sort -u)
  ((${#changed[@]} == 0)) || (IFS='|' && printf '%s\n' "${changed[*]}")
}

# rust_tests LOG OPTION...: runs tests, with nextest where it is installed, and adds what it
# counted to the totals.
rust_tests() {
  local log=$1 status=0
  shift
  if cargo nextest --version >/dev/null 2>&1; then
    cargo nextest run --locked --workspace --no-fail-fast --no-tests=pass "$@" 2>&1 | tee "$log" || status=$?
  else
    cargo test --locked --workspace --no-fail-fast "$@" 2>&1 | tee "$log" || status=$?
  fi
  rust_count "$log"
  ((status == 0)) || {
    failed_names "$log"
    failed_reasons "$log"
  }
  return "$status"
}

# rust_count LOG: adds what the closing lines of nextest and of cargo test count to the totals,
# a file because each floor runs in a shell of its own.
rust_count() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^ *Summary \[/ {
      for (i = 2; i <= NF; i++) {
        if ($i ~ /^passed/) passed += $(i - 1)
        if ($i ~ /^(failed|timed)/) failed += $(i - 1)
      }
    }
    /^test result:/ { passed += $4; failed += $6 }
    END { print passed + 0, failed + 0 }' >>"$(rust_totals)"
}

# rust_programs: where cargo puts the programs of a debug build.
rust_programs() {
  cargo metadata --format-version 1 --no-deps --manifest-path "$CIB_ROOT/Cargo.toml" |
    jq -r '.target_directory + "/debug"'
}

rust_totals() { printf '%s/test-totals\n' "$(cib_cache)"; }

# failed_names LOG: keeps the tests that failed by what nextest, cargo test, Node and vitest write,
# once each, so that they can be said again where everybody looks: at the very end.
failed_names() {
  sed -nE 's/\x1b\[[0-9;]*m//g
    s/^ *(FAIL( \+ LEAK)?|TIMEOUT|SIG[A-Z]+) +\[[^]]*\] *(\([^)]*\) )?(.*)/\4/p
    s/^ +FAIL +([^ ].* > .*)/\1/p
    s/^test (.*) \.\.\. FAILED$/\1/p
    s/^ *✖ (.*) \([0-9.]+ms\)$/\1/p' "$1" | awk '!seen[$0]++' >>"$(failures)"
}

failures() { printf '%s/test-failures\n' "$(cib_cache)"; }

# failed_reasons LOG: keeps the first lines of what each of them said, to be shown beside the names:
# whoever reads the end of a long run alone has to see why.
failed_reasons() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk -v most=25 '
    /^ *(FAIL( \+ LEAK)?|TIMEOUT|SIG[A-Z]+) +\[/ && !seen[$NF]++ { left = most }
    /^ +FAIL +[^ ].* > / { left = most }
    /^ *(PASS|SLOW|START|TRY|SETUP) +\[/ || /^ *Summary \[/ || /^────/ { left = 0 }
    /failing tests:/ { node = 1 }
    node { left = 2 }
    left-- > 0 && NF { print }' | head -n 150 >>"$(failures).why"
}

# rust_bench_static PACKAGE BENCH [ARGUMENT...]: builds a package's programs and one of its
# benches as the images are built, static, and runs that bench.
rust_bench_static() {
  local package=$1 bench=$2
  shift 2
  rust_static bench --package "$package" --bench "$bench" -- "$@"
}

# rust_build_static PACKAGE: builds a package's programs as the images are built, for a bench
# of another package.
rust_build_static() {
  rust_static build --profile bench --package "$1" --bins
}

# rust_static COMMAND OPTION...: cargo for static programs of this machine.
rust_static() {
  local command=$1 triple upper flags='-C target-feature=+crt-static'
  shift
  triple=$(rustc --print host-tuple)
  upper=$(tr 'a-z-' 'A-Z_' <<<"$triple")
  # Not by a pipe: one that is not read to its end fails now and then.
  if [[ $(ld --help) == *pack-relative-relocs* ]]; then
    flags+=' -C link-arg=-Wl,-z,pack-relative-relocs'
  fi
  # A target that is named keeps the flags away from build scripts and procedural macros.
  env "CARGO_TARGET_${upper}_RUSTFLAGS=$flags" \
    cargo "$command" --locked --quiet --target "$triple" "$@"
}
