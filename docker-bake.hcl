# docker buildx bake                 latest and latest-headless for this machine's platform
# docker buildx bake base testkit    what derives from it, and what tests it

variable "REGISTRY" {
  # Where the images are named for, with a slash at its end; empty for local names.
  default = ""
}

variable "VERSION" {
  default = "latest"
}

variable "CLAUDE_VERSION" {
  default = "2.1.330"
}

variable "BASE_IMAGE" {
  default = "debian:trixie-slim"
}

variable "CARGO_PROFILE" {
  default = "release"
}

variable "CA_BUNDLE" {
  # A file of certificates that the build trusts. A secret: it is in no layer.
  default = ""
}

variable "BUILD_NETWORK" {
  default = "default"
}

variable "NPM_CONFIG_REGISTRY" {
  default = ""
}

# A value that does not match ends the bake with an error that names it. Newer versions of
# buildx say it better with validation blocks: docker-bake.checks.hcl has them.
function "checked" {
  params = [pattern, value]
  result = regex(pattern, value)
}

function "tag" {
  params = [suffix]
  result = ["${REGISTRY}claude-in-box:${checked("^(?:latest|edge|[0-9]+\\.[0-9]+\\.[0-9]+(?:-[0-9A-Za-z.-]+)?)$", VERSION)}${suffix}"]
}

group "default" {
  targets = ["headless", "full"]
}

target "_common" {
  context    = "."
  dockerfile = "images/Dockerfile"
  network    = checked("^(?:default|host)$", BUILD_NETWORK)
  attest     = ["type=provenance,disabled=true"]
  secret     = CA_BUNDLE == "" ? [] : ["id=ca,src=${CA_BUNDLE}"]
  args = {
    BASE_IMAGE          = BASE_IMAGE
    CARGO_PROFILE       = CARGO_PROFILE
    CLAUDE_VERSION      = checked("^[0-9]+\\.[0-9]+\\.[0-9]+$", CLAUDE_VERSION)
    NPM_CONFIG_REGISTRY = NPM_CONFIG_REGISTRY
  }
}

target "base" {
  inherits = ["_common"]
  target   = "base"
  tags     = tag("-base")
}

target "headless" {
  inherits = ["_common"]
  target   = "headless"
  tags     = tag("-headless")
}

target "full" {
  inherits = ["_common"]
  target   = "full"
  tags     = tag("")
}

target "testkit" {
  inherits = ["_common"]
  target   = "testkit"
  tags     = ["cib-testkit:latest"]
}
