# shellcheck shell=bash
# The pages: what they are built and tested with.

# web COMMAND...: in the folder of the pages.
web() { (cd "$CIB_ROOT/web" && "$@"); }

# web_dependencies: what the lock file names, installed once for each state of it. No package's
# own script is run.
web_dependencies() {
  local wanted stamp=$CIB_ROOT/web/node_modules/.cib-lock
  command -v node >/dev/null || apt_install nodejs
  command -v npm >/dev/null || apt_install npm
  wanted=$(sha256sum <"$CIB_ROOT/web/package-lock.json")
  [[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] && return 0
  step "Installing what the pages are built with"
  quietly "$(cib_cache)/npm.log" web npm ci --ignore-scripts --no-audit --no-fund
  printf '%s' "$wanted" >"$stamp"
}

# web_lint: what the linters of the pages say.
web_lint() {
  web npx eslint . && web npx prettier --check --log-level warn .
}

# web_counted LOG COMMAND...: runs tests in the folder of the pages and adds what vitest or Node
# counted to the totals.
web_counted() {
  local log=$1 status=0
  shift
  web "$@" 2>&1 | tee "$log" || status=$?
  sed 's/\x1b\[[0-9;]*m//g' "$log" | awk '
    $1 == "Tests" { for (i = 2; i < NF; i++) { if ($(i + 1) == "passed") p += $i; if ($(i + 1) == "failed") f += $i } }
    $2 == "pass" { p += $3 }
    $2 == "fail" { f += $3 }
    END { print p + 0, f + 0 }' >>"$(rust_totals)"
  ((status == 0)) || {
    failed_names "$log"
    failed_reasons "$log"
  }
  return "$status"
}
