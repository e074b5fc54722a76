# What needs a newer buildx than docker-bake.hcl does. Give both:
#
#   docker buildx bake -f docker-bake.hcl -f docker-bake.checks.hcl validate

variable "VERSION" {
  validation {
    condition     = VERSION == "latest" || VERSION == "edge" || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9A-Za-z.-]+)?$", VERSION))
    error_message = "VERSION is latest, edge, or a semantic version without a leading v."
  }
}

variable "REGISTRY" {
  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9._:/-]*/)?$", REGISTRY))
    error_message = "REGISTRY is what comes before the name claude-in-box with a slash at its end, or empty."
  }
}

variable "PLATFORMS" {
  validation {
    condition     = can(regex("^(linux/(amd64|arm64|arm/v7)(,linux/(amd64|arm64|arm/v7))*)?$", PLATFORMS))
    error_message = "PLATFORMS is a comma-separated list of linux/amd64, linux/arm64 and linux/arm/v7, or empty."
  }
}

variable "CARGO_PROFILE" {
  validation {
    condition     = CARGO_PROFILE == "release" || CARGO_PROFILE == "dev"
    error_message = "CARGO_PROFILE is release or dev."
  }
}

variable "CLAUDE_VERSION" {
  validation {
    condition     = can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+$", CLAUDE_VERSION))
    error_message = "CLAUDE_VERSION is a full version of Claude Code, like 2.1.330."
  }
}

variable "ALLOW_UNLOCKED_NPM" {
  validation {
    condition     = ALLOW_UNLOCKED_NPM == "" || ALLOW_UNLOCKED_NPM == "1"
    error_message = "ALLOW_UNLOCKED_NPM is 1, or empty."
  }
}

variable "SOURCE_DATE_EPOCH" {
  validation {
    condition     = can(regex("^[0-9]*$", SOURCE_DATE_EPOCH))
    error_message = "SOURCE_DATE_EPOCH is a number of seconds, or empty."
  }
}

variable "DEBIAN_SNAPSHOT" {
  validation {
    condition     = can(regex("^([0-9]{8}T[0-9]{6}Z)?$", DEBIAN_SNAPSHOT))
    error_message = "DEBIAN_SNAPSHOT is a moment like 20261121T000000Z, or empty."
  }
}

group "validate" {
  targets = ["validate-dockerfile"]
}

# BuildKit's own checks of the Dockerfile, once for each image that comes out of it.
target "validate-dockerfile" {
  matrix   = { stage = ["base", "headless", "full", "testkit", "podman"] }
  name     = "validate-${stage}"
  inherits = ["_common"]
  target   = stage
  call     = "check"
}
