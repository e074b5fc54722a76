# shellcheck shell=bash
# Debian packages: where this machine gets them from, and how to install them quietly.

# apt_missing PACKAGE...: prints those that are not installed.
apt_missing() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || printf '%s\n' "$package"
  done
}

# apt_install PACKAGE...: installs what is missing, without starting any service. A server
# that a test needs is started by that test, in its own network namespace.
apt_install() {
  local -a missing
  mapfile -t missing < <(apt_missing "$@")
  ((${#missing[@]})) || return 0
  need_root "installing ${missing[*]}"
  command -v apt-get >/dev/null ||
    die "$EX_CONFIG" "this machine has no apt-get; install these yourself: ${missing[*]}"
  step "Installing ${missing[*]}"
  apt_without_services "${missing[@]}"
}

# apt_without_services PACKAGE...: one after the other, whoever else installs something meanwhile.
apt_without_services() {
  mkdir -p "$(cib_cache)"
  (
    flock -w 900 9 || die "$EX_SOFTWARE" "another installation holds $(cib_cache)/apt.lock"
    policy=/usr/sbin/policy-rc.d made=0 status=0
    if [[ ! -e $policy ]]; then
      printf '#!/bin/sh\nexit 101\n' >"$policy"
      chmod 0755 "$policy"
      made=1
    fi
    apt_lists_fresh &&
      quietly "$(cib_cache)/apt.log" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends -o Acquire::Retries=3 "$@" || status=$?
    ((made)) && rm -f "$policy"
    exit "$status"
  ) 9>"$(cib_cache)/apt.lock"
}

# apt_lists_fresh: the package lists once a day, which is what a fresh machine lacks.
apt_lists_fresh() {
  local newest
  newest=$(find /var/lib/apt/lists -maxdepth 1 -name '*_InRelease' -mtime -1 -print -quit 2>/dev/null)
  [[ -n $newest ]] && return 0
  need_root "apt-get update"
  quietly "$(cib_cache)/apt-update.log" apt-get update -o Acquire::Retries=3
}

# debian_sources SUITE: the machine's own Debian sources, as sources.list lines for SUITE.
# apt is asked rather than its files parsed, so that one-line and deb822 sources both count.
debian_sources() {
  local suite=$1 lines
  apt_lists_fresh || return 1
  # shellcheck disable=SC2016 # apt expands these, not the shell
  lines=$(apt-get indextargets --format '$(ORIGIN) $(RELEASE) $(REPO_URI)' 'Created-By: Packages' |
    awk -v suite="$suite" '
      $1 != "Debian" { next }
      $2 ~ /-backports/ || $2 ~ /-proposed/ { next }
      { suffix = ""
        if ($2 ~ /-updates$/) suffix = "-updates"
        if ($2 ~ /-security$/) suffix = "-security"
        sub(/\/$/, "", $3)
        line = "deb " $3 " " suite suffix " main"
        if (!seen[line]++) print line }')
  [[ -n $lines ]] || {
    warn "no Debian source among this machine's apt sources"
    return 1
  }
  printf '%s\n' "$lines"
}

# debian_sources_for SUITE ARCH: the same, without those whose index for ARCH is broken on
# the mirror at this moment; the suite itself must be among what is left.
debian_sources_for() {
  local suite=$1 arch=$2 line folder usable=''
  folder=$(mktemp -d)
  while IFS= read -r line; do
    rm -rf "$folder/lists"
    mkdir -p "$folder/lists/partial"
    printf '%s\n' "$line" >"$folder/sources.list"
    if apt-get update -qq --error-on=any -o APT::Architecture="$arch" -o APT::Architectures::="$arch" \
      -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=- \
      -o Dir::State::lists="$folder/lists" -o Acquire::Retries=2 >/dev/null 2>&1; then
      usable+=$line$'\n'
    else
      warn "left out for $arch, its index on the mirror is broken: $line"
    fi
  done < <(debian_sources "$suite")
  rm -rf "$folder"
  [[ $usable == *" $suite main"* ]] || return 1
  printf '%s' "$usable"
}

# apt_options: what the machine's apt was told about reaching its sources, as options for
# another apt that does not read the machine's configuration.
apt_options() {
  apt-config dump 2>/dev/null |
    grep -E '^Acquire::(http|https)::(Proxy|CaInfo)|^Acquire::(Check-Valid-Until|Check-Date|Retries) ' || true
}

# apt_install_podman: Podman as a user without root has it. runc is another package's part where the
# engine is Docker's own, and two of them exclude each other.
apt_install_podman() {
  local -a packages=(podman uidmap slirp4netns)
  # crun refuses machines with control groups of both versions.
  [[ -e /sys/fs/cgroup/cgroup.controllers ]] || command -v runc >/dev/null || packages+=(runc)
  apt_install "${packages[@]}"
}

# apt_install_dante: the SOCKS server of the tests. Debian 13 does not carry it; there it
# comes from Debian 12, by apt with lists of its own, so that the machine's sources stay.
apt_install_dante() {
  [[ -n $(apt_missing dante-server) ]] || return 0
  apt_lists_fresh
  if apt-cache show dante-server >/dev/null 2>&1; then
    apt_install dante-server
    return
  fi
  apt_install libwrap0
  need_root "installing dante-server"
  step "Installing dante-server from Debian 12"
  local folder status=0
  folder=$(mktemp -d)
  mkdir -p "$folder/lists/partial"
  debian_sources bookworm >"$folder/sources.list"
  local -a apt=(apt-get -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$folder/lists")
  (
    cd "$folder"
    quietly "$(cib_cache)/dante.log" "${apt[@]}" update &&
      quietly "$(cib_cache)/dante.log" "${apt[@]}" download dante-server
  ) && apt_without_services "$folder"/dante-server_*.deb || status=$?
  rm -rf "$folder"
  return "$status"
}
