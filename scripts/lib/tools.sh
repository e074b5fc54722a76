# shellcheck shell=bash
# The tools that scripts fetch, as scripts/tools.txt has them.

# tools_of REGISTRY SEPARATOR: a tool with its version a line, as that registry's installer
# takes them.
tools_of() {
  awk -v registry="$1" -v separator="$2" \
    '$1 == registry { print $2 separator $3 }' "$CIB_ROOT/scripts/tools.txt"
}
