# docker buildx bake                 latest and latest-headless for this machine's platform
# docker buildx bake all             the same and base
# docker buildx bake release         every flavour for every platform, with attestations
# docker buildx bake testkit podman  what the tests talk to, and another engine
# docker buildx bake -f docker-bake.hcl -f docker-bake.checks.hcl validate
#                                    BuildKit's checks of the Dockerfile
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

variable "RELEASES" {
  # Where releases are, for the command's updates; empty if nowhere.
  default = ""
}

variable "RELEASE_KEY" {
  # The public key of minisign that releases are signed with; empty if none.
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

variable "ALLOW_UNLOCKED_NPM" {
  # 1 lets an image of one's own be built with a version that images/npm.lock has no checksum
  # for. A release never takes one.
  default = ""
}

variable "DEBIAN_SNAPSHOT" {
  # A moment of Debian's archive, like 20261121T000000Z; empty for its present state. Releases
  # take the one of images/pins, which pins Debian's compiler as well.
  default = ""
}

variable "PLATFORMS" {
  # Comma-separated; empty for the builder's own.
  default = ""
}

variable "BASE_IMAGE" {
  # A release takes the one of images/pins, with its digest, and so the label says what it was
  # made of.
  default = "debian:trixie-slim"
}

variable "CARGO_PROFILE" {
  # release, or dev for a quick build.
  default = "release"
}

variable "CACHE" {
  # Where builders share their layers: an image repository, or empty for the builder's own
  # cache alone. Each target has its tag there, and builders of one platform one each.
  default = ""
}

variable "PUSH_TO" {
  # Registry and repository that a release's images are pushed to, by digest alone: tags come
  # when all platforms are there. Empty for no push.
  default = ""
}

variable "CA_BUNDLE" {
  # A file of certificates that the build trusts. A secret: it is in no layer.
  default = ""
}

variable "NPM_CONFIG_REGISTRY" {
  # Where npm's packages come from; empty for npm's own registry.
  default = ""
}

# A value that does not match ends the bake, with the rule in what it says: there is no other
# way to an error of one's own than to have a text read as a number. Newer versions of buildx
# say it better, with the validation blocks of docker-bake.checks.hcl.
function "checked" {
  params = [pattern, value, rule]
  result = can(regex(pattern, value)) ? value : "${parseint(rule, 10)}"
}

function "version" {
  params = []
  result = checked(
    "^(latest|edge|[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?)$", VERSION,
    "VERSION is latest, edge, or a semantic version without a leading v",
  )
}

function "platforms" {
  params = []
  result = checked(
    "^(linux/(amd64|arm64|arm/v7)(,linux/(amd64|arm64|arm/v7))*)?$", PLATFORMS,
    "PLATFORMS is a comma-separated list of linux/amd64, linux/arm64 and linux/arm/v7, or empty",
  )
}

function "registry" {
  params = []
  result = checked(
    "^([a-z0-9][a-z0-9._:/-]*/)?$", REGISTRY,
    "REGISTRY is what comes before the name claude-in-box with a slash at its end, or empty",
  )
}

# latest is the full image; the others say what they are.
function "tags" {
  params = [flavour]
  result = ["${registry()}claude-in-box:${version()}${flavour == "full" ? "" : "-${flavour}"}"]
}

# What an image says of itself.
function "described" {
  params = [flavour]
  result = {
    "org.opencontainers.image.title"         = "claude-in-box"
    "org.opencontainers.image.description"   = "A container that an autonomous coding agent can be left alone in (${flavour})"
    "org.opencontainers.image.licenses"      = "MIT"
    "org.opencontainers.image.version"       = version()
    "org.opencontainers.image.revision"      = REVISION == "" ? null : REVISION
    "org.opencontainers.image.base.name"     = BASE_IMAGE
    # Of the box itself, also in an image that is made of this one and has a version of its own.
    "claude-in-box.image"                    = version()
  }
}

# The same words once more, where a registry finds them without fetching the image.
function "annotated" {
  params = [flavour]
  result = [for key, word in described(flavour) : "manifest:${key}=${word}" if word != null]
}

function "cached" {
  params = [name]
  result = CACHE == "" ? [] : ["type=registry,ref=${CACHE}:${name}${PLATFORMS == "" ? "" : "-${regex_replace(PLATFORMS, "[/,]", "-")}"}"]
}

# How a released image is written: small layers, OCI media types whatever the builder's
# default, and no time in it that is newer than the source.
function "layers" {
  params = []
  result = "type=image,oci-mediatypes=true,compression=zstd,compression-level=19,force-compression=true,rewrite-timestamp=true${PUSH_TO == "" ? "" : ",name=${PUSH_TO},push-by-digest=true,name-canonical=true,push=true"}"
}

group "default" {
  targets = ["headless", "full"]
}

group "all" {
  targets = ["base", "headless", "full"]
}

group "release" {
  targets = ["base-release", "headless-release", "full-release", "programs-release", "command-release"]
}

# docker/metadata-action puts its tags and labels here.
target "docker-metadata-action" {}

target "_common" {
  context    = "."
  dockerfile = "images/Dockerfile"
  platforms  = platforms() == "" ? [] : split(",", platforms())
  secret     = CA_BUNDLE == "" ? [] : ["id=ca,src=${CA_BUNDLE}"]
  attest     = ["type=provenance,disabled=true"]
  args = {
    ALLOW_UNLOCKED_NPM = checked("^1?$", ALLOW_UNLOCKED_NPM, "ALLOW_UNLOCKED_NPM is 1, or empty")
    BASE_IMAGE    = BASE_IMAGE
    CARGO_PROFILE = checked("^(release|dev)$", CARGO_PROFILE, "CARGO_PROFILE is release or dev")
    CLAUDE_VERSION = checked(
      "^[0-9]+\\.[0-9]+\\.[0-9]+$", CLAUDE_VERSION,
      "CLAUDE_VERSION is a full version of Claude Code, like 2.1.330",
    )
    DEBIAN_SNAPSHOT = checked(
      "^([0-9]{8}T[0-9]{6}Z)?$", DEBIAN_SNAPSHOT,
      "DEBIAN_SNAPSHOT is a moment like 20261121T000000Z, or empty",
    )
    NPM_CONFIG_REGISTRY = NPM_CONFIG_REGISTRY
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH == "" ? null : checked(
      "^[0-9]+$", SOURCE_DATE_EPOCH,
      "SOURCE_DATE_EPOCH is a number of seconds, or empty",
    )
  }
}

target "_release" {
  inherits  = ["_common", "docker-metadata-action"]
  platforms = platforms() == "" ? ["linux/amd64", "linux/arm64", "linux/arm/v7"] : split(",", platforms())
  attest    = ["type=provenance,mode=max", "type=sbom"]
  args      = { ALLOW_UNLOCKED_NPM = "" }
}

# For this machine, or for PLATFORMS.
target "image" {
  matrix     = { flavour = ["base", "headless", "full"] }
  name       = flavour
  inherits   = ["_common"]
  target     = flavour
  tags       = tags(flavour)
  labels     = described(flavour)
  cache-from = cached(flavour)
}

target "image-release" {
  matrix      = { flavour = ["base", "headless", "full"] }
  name        = "${flavour}-release"
  inherits    = ["_release"]
  target      = flavour
  labels      = described(flavour)
  annotations = annotated(flavour)
  output      = [layers()]
  cache-from  = cached(flavour)
  cache-to    = [for cache in cached(flavour) : "${cache},mode=max"]
}

# The box's programs alone, one folder a platform.
target "programs-release" {
  inherits   = ["_release"]
  target     = "programs"
  output     = ["type=local,dest=programs"]
  cache-from = cached("programs")
  cache-to   = [for cache in cached("programs") : "${cache},mode=max"]
}

# The command for a person's own machine, one folder a platform.
target "command-release" {
  inherits   = ["_release"]
  target     = "command"
  args       = { CIB_RELEASES = RELEASES, CIB_RELEASE_KEY = RELEASE_KEY }
  output     = ["type=local,dest=command"]
  cache-from = cached("command")
  cache-to   = [for cache in cached("command") : "${cache},mode=max"]
}

target "testkit" {
  inherits = ["_common"]
  target   = "testkit"
  tags     = ["cib-testkit:latest"]
}

target "podman" {
  inherits = ["_common"]
  target   = "podman"
  tags     = ["cib-podman:latest"]
}
