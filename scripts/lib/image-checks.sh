# shellcheck shell=bash
# What is true of an image as a file, whatever platform it is for: nothing in it is started.

# image_root TAG ARCHIVE [PLATFORM]: the image's files as one tar archive.
image_root() {
  local container
  container=$(docker create --pull never ${3:+--platform "$3"} "$1")
  docker export "$container" >"$2"
  docker rm "$container" >/dev/null
}

# image_layout ARCHIVE: mode, owner and path of what is ours, of whatever has a right of its
# own, and of whatever should have been cleaned away.
image_layout() {
  tar --numeric-owner -tvf "$1" | awk '
    {
      mode = $1; owner = $2; path = "/" $6
      for (i = 7; i <= NF; i++) path = path " " $i
      name = path; sub(/ (->|link to) .*/, "", name)
      ours = name ~ /^\/(init|workspace\/?|home\/.*|etc\/claude-in-box\/.*|var\/lib\/claude-in-box\/.*)$/ ||
        name ~ /^\/usr\/bin\/(cib-|git-remote-cib$)/ || name ~ /^\/usr\/local\/(bin|sbin|lib)\/[^\/]*\/?$/ ||
        name ~ /^\/usr\/local\/lib\/claude-code\/[^\/]*\/?(claude)?$/ || name ~ /^\/usr\/share\/claude-in-box\//
      # Files of the pages have names that change with their content: only an odd one is shown.
      if (name ~ /^\/usr\/share\/claude-in-box\/web\/.*\.(br|gz)$/ && mode == "-rw-r--r--" && owner == "0/0") next
      top = name ~ /^\/[^\/]*\/?$/ && name !~ /^\/(dev|proc|sys|\.dockerenv)\/?$/
      special = mode ~ /^[bcps]/ && name !~ /^\/dev\//
      right = mode ~ /^-..[sS]|^-.....[sS]/ || (mode ~ /^[-d].......w/ && mode !~ /t$/)
      litter = name ~ /^\/(tmp|run\/secrets|images|var\/log|var\/tmp|var\/lib\/apt\/lists|var\/cache\/apt)\/./
      if (ours || top || special || right || litter) print mode, owner, path
    }' | LC_ALL=C sort -k3
}

# image_contract TAG: what a runtime reads from the image's configuration.
image_contract() {
  docker image inspect "$1" | jq --sort-keys '.[0].Config | {
    Cmd, Entrypoint, Env, ExposedPorts, Healthcheck, StopSignal, User, Volumes, WorkingDir}'
}

# image_hardening ARCHIVE: how each of our programs was linked.
image_hardening() {
  local folder program
  folder=$(mktemp -d)
  tar -C "$folder" -xf "$1" --wildcards 'usr/bin/cib-*'
  for program in "$folder"/usr/bin/cib-*; do
    printf '%s\t%s\n' "$(basename "$program")" "$(elf_hardening "$program")"
  done
  rm -rf "$folder"
}

# elf_hardening FILE: pie or fixed, full or partial relro, nx or exec-stack, static or dynamic,
# stripped or symbols.
elf_hardening() {
  local facts
  facts=$(readelf --file-header --program-headers --dynamic --section-headers --wide "$1")
  printf '%s %s %s %s %s' \
    "$(has "$facts" 'Type: +DYN' pie fixed)" \
    "$(has "$facts" 'GNU_RELRO' "$(has "$facts" 'BIND_NOW|FLAGS_1.*NOW' full-relro partial-relro)" no-relro)" \
    "$(has "$facts" 'GNU_STACK.* RWE ' exec-stack nx)" \
    "$(has "$facts" ' INTERP ' dynamic static)" \
    "$(has "$facts" '\.symtab' symbols stripped)"
}

has() { if grep -qE "$2" <<<"$1"; then printf '%s' "$3"; else printf '%s' "$4"; fi; }
