# docker buildx bake                 latest and latest-headless for this machine's platform
# docker buildx bake all             the same and base
# docker buildx bake release         every flavour for every platform, with attestations
# docker buildx bake testkit         what the tests talk to
#
# It parses with buildx 0.13; what needs a newer one stands in docker-bake.checks.hcl.
# scripts/bake-plan prints what these targets come to and compares it with the committed plan.

variable "REGISTRY" {
  # What the images' names begin with, with a slash at its end; empty for local names.
  default = ""
}

variable "VERSION" {
  # latest, edge, or a semantic version without a leading v.
  default = "latest"
}

variable "REVISION" {
  # The commit that the images are made from.
  default = ""
}

variable "SOURCE_DATE_EPOCH" {
  # Seconds; what every time in an image is cut off at. Empty for an everyday build.
  default = ""
}

variable "CLAUDE_VERSION" {
  # A full version of Claude Code. images/npm.lock holds the checksum of the usual one.
  default = "2.1.330"
}

variable "DEBIAN_SNAPSHOT" {
  # A moment of Debian's archive, like 20261121T000000Z; empty for its present state.
  default = ""
}

variable "PLATFORMS" {
  # Comma-separated; empty for the builder's own.
  default = ""
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

variable "NPM_CONFIG_REGISTRY" {
  default = ""
}

# A value that does not match ends the bake with an error that names it. Newer versions of
# buildx say it better, with the validation blocks of docker-bake.checks.hcl.
function "checked" {
  params = [pattern, value]
  result = regex(pattern, value)
}

function "version" {
  params = []
  result = checked("^(?:latest|edge|[0-9]+\\.[0-9]+\\.[0-9]+(?:-[0-9A-Za-z.-]+)?)$", VERSION)
}

function "tags" {
  params = [suffix]
  result = ["${REGISTRY}claude-in-box:${version()}${suffix}"]
}

# The same words as labels of an image and as annotations of its manifest.
function "described" {
  params = [flavour]
  result = {
    "org.opencontainers.image.title"         = "claude-in-box"
    "org.opencontainers.image.description"   = "A container that an autonomous coding agent can be left alone in (${flavour})"
    "org.opencontainers.image.licenses"      = "MIT"
    "org.opencontainers.image.version"       = version()
    "org.opencontainers.image.revision"      = REVISION == "" ? null : REVISION
    "org.opencontainers.image.base.name"     = BASE_IMAGE
    "io.claude-in-box.claude-code.version"   = CLAUDE_VERSION
  }
}

group "default" {
  targets = ["headless", "full"]
}

group "all" {
  targets = ["base", "headless", "full"]
}

group "release" {
  targets = ["base-release", "headless-release", "full-release", "programs-release"]
}

# docker/metadata-action puts its tags and labels here.
target "docker-metadata-action" {}

target "_common" {
  context    = "."
  dockerfile = "images/Dockerfile"
  platforms  = PLATFORMS == "" ? [] : split(",", PLATFORMS)
  secret     = CA_BUNDLE == "" ? [] : ["id=ca,src=${CA_BUNDLE}"]
  attest     = ["type=provenance,disabled=true"]
  args = {
    BASE_IMAGE          = BASE_IMAGE
    CARGO_PROFILE       = CARGO_PROFILE
    CLAUDE_VERSION      = checked("^[0-9]+\\.[0-9]+\\.[0-9]+$", CLAUDE_VERSION)
    DEBIAN_SNAPSHOT     = checked("^(?:[0-9]{8}T[0-9]{6}Z)?$", DEBIAN_SNAPSHOT)
    NPM_CONFIG_REGISTRY = NPM_CONFIG_REGISTRY
    SOURCE_DATE_EPOCH   = SOURCE_DATE_EPOCH == "" ? null : checked("^[0-9]+$", SOURCE_DATE_EPOCH)
  }
}

target "_release" {
  inherits  = ["_common", "docker-metadata-action"]
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
  attest    = ["type=provenance,mode=max", "type=sbom"]
}

target "base" {
  inherits = ["_common"]
  target   = "base"
  tags     = tags("-base")
  labels   = described("base")
}

target "headless" {
  inherits = ["_common"]
  target   = "headless"
  tags     = tags("-headless")
  labels   = described("headless")
}

target "full" {
  inherits = ["_common"]
  target   = "full"
  tags     = tags("")
  labels   = described("full")
}

target "base-release" {
  inherits = ["_release"]
  target   = "base"
  labels   = described("base")
  output   = [layers()]
}

target "headless-release" {
  inherits = ["_release"]
  target   = "headless"
  labels   = described("headless")
  output   = [layers()]
}

target "full-release" {
  inherits = ["_release"]
  target   = "full"
  labels   = described("full")
  output   = [layers()]
}

# How a released image is written: small layers, OCI media types whatever the builder's
# default, and no time in it that is newer than the source.
function "layers" {
  params = []
  result = "type=image,oci-mediatypes=true,compression=zstd,compression-level=19,force-compression=true,rewrite-timestamp=true"
}

# The box's programs alone, one folder a platform.
target "programs-release" {
  inherits = ["_release"]
  target   = "programs"
  output   = ["type=local,dest=programs"]
}

target "testkit" {
  inherits = ["_common"]
  target   = "testkit"
  tags     = ["cib-testkit:latest"]
}
