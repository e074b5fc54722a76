# shellcheck shell=bash
# Sourced first by every script: strict mode, where things are, and the other libraries.

set -euo pipefail

CIB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
readonly CIB_ROOT

# cib_cache: what may be deleted at any time and is made again when it is needed.
cib_cache() { printf '%s\n' "${CIB_CACHE_DIR:-$CIB_ROOT/.cache}"; }

# shellcheck source=scripts/lib/ui.sh
source "$CIB_ROOT/scripts/lib/ui.sh"
# shellcheck source=scripts/lib/apt.sh
source "$CIB_ROOT/scripts/lib/apt.sh"

# host_ca_bundle: the certificates this machine trusts, one file; nothing when there is none.
# Behind a proxy that inspects TLS it holds that proxy's certificate, and so every download
# of a build has to see it.
host_ca_bundle() {
  local file
  for file in "${SSL_CERT_FILE:-}" /etc/ssl/certs/ca-certificates.crt \
    /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    [[ -n $file && -r $file ]] && {
      printf '%s\n' "$file"
      return 0
    }
  done
  return 0
}
