//! Decides which version of Claude Code the box runs, where its image carries more than one.
//!
//! An image keeps each version in a folder of its own below [`DIRECTORY`], and names the one
//! that is meant for its platform in a file there. Native builds for x86-64 are made of AVX
//! instructions and end in SIGILL without them. The last version that is plain JavaScript runs
//! wherever Node does: on armv7, for which there is no native build, and on such processors.

use std::fmt;
use std::fs;
use std::path::Path;

use crate::environment::{Fault, Place};

/// Where an image keeps its versions.
pub const DIRECTORY: &str = "/usr/local/lib/claude-code";
/// The last version that is plain JavaScript.
pub const EVERYWHERE: &str = "2.1.112";

/// The variable that names one.
pub const VARIABLE: &str = "CIB_CLAUDE_VERSION";

/// The versions of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The one that is meant for the image's platform.
    default: String,
    /// All of them, in order.
    versions: Vec<String>,
}

/// A version, and why it is this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The name of its folder.
    pub version: String,
    /// Why.
    pub why: Why,
}

/// Why a version was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is the image's own.
    Default,
    /// [`Settings`](crate::environment::Settings) name it.
    Asked,
    /// There is no native build for this platform.
    NotNative,
    /// The processor cannot run the one that is meant for its platform.
    NoAvx {
        /// That one.
        instead_of: String,
    },
}

impl Carried {
    /// Looks into [`DIRECTORY`]; `None` where there is no Claude Code, as in the base image.
    #[must_use]
    pub fn observe(directory: &Path) -> Option<Self> {
        let default = cib_foreign::own::read_to_string(directory.join("default")).ok()?;
        let mut versions: Vec<String> = fs::read_dir(directory)
            .ok()?
            .filter_map(Result::ok)
            .filter(|entry| entry.path().join("claude").is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        versions.sort();
        Some(Self {
            default: default.trim().to_owned(),
            versions,
        })
    }

    /// Chooses for a processor with or without AVX.
    ///
    /// # Errors
    /// The version that was asked for is not there or would not run, or none that is there would.
    pub fn choose(&self, asked: Option<&str>, avx: bool) -> Result<Choice, Fault> {
        let has = |version: &str| self.versions.iter().any(|carried| carried == version);
        let runs = |version: &str| avx || version == EVERYWHERE;
        let fault = |place, problem: String, remedy: &str| Err(Fault::new(place, problem, remedy));
        if let Some(asked) = asked {
            return if !has(asked) {
                fault(
                    Place::variable(VARIABLE),
                    format!(
                        "this image does not carry {asked} but {}",
                        self.versions.join(" and ")
                    ),
                    "name one of those, or unset it; claude-in-box:latest carries 2.1.112 as well",
                )
            } else if !runs(asked) {
                fault(
                    Place::variable(VARIABLE),
                    format!("{asked} is made of AVX instructions, which this processor lacks"),
                    "unset it, or set it to 2.1.112",
                )
            } else {
                Ok(Choice {
                    version: asked.to_owned(),
                    why: Why::Asked,
                })
            };
        }
        let default = self.default.clone();
        let (version, why) = if default == EVERYWHERE {
            (default, Why::NotNative)
        } else if runs(&default) {
            (default, Why::Default)
        } else if has(EVERYWHERE) {
            let instead_of = default;
            (EVERYWHERE.to_owned(), Why::NoAvx { instead_of })
        } else {
            return fault(
                Place::Container,
                format!(
                    "this processor lacks AVX, which Claude Code {default} is made of, and the \
                     image carries no other version"
                ),
                "use claude-in-box:latest, which carries 2.1.112 as well",
            );
        };
        Ok(Choice { version, why })
    }
}

impl Choice {
    /// Whether a person would have expected another one.
    #[must_use]
    pub fn is_fallback(&self) -> bool {
        matches!(self.why, Why::NotNative | Why::NoAvx { .. })
    }
}

/// What the box says at its start.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claude Code {}", self.version)?;
        match &self.why {
            Why::Default => Ok(()),
            Why::Asked => write!(f, ", as {VARIABLE} says"),
            Why::NotNative => f.write_str(
                ", the last version that runs on Node: there is no native build for this platform",
            ),
            Why::NoAvx { instead_of } => write!(
                f,
                ", the last version that runs on Node: this processor lacks AVX, which \
                 {instead_of} is made of"
            ),
        }
    }
}

/// Whether native builds run on this processor. The processor itself is asked, together with
/// what the kernel lets a program use of it; `/proc/cpuinfo` is another machine's under
/// emulation.
#[must_use]
pub fn avx() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carried(default: &str, versions: &[&str]) -> Carried {
        Carried {
            default: default.to_owned(),
            versions: versions.iter().map(ToString::to_string).collect(),
        }
    }

    fn full() -> Carried {
        carried("2.1.330", &["2.1.112", "2.1.330"])
    }

    #[test]
    fn the_images_own_version_runs_where_nothing_else_is_asked() {
        let choice = full().choose(None, true).unwrap();
        assert_eq!(choice.to_string(), "Claude Code 2.1.330");
        assert!(!choice.is_fallback());
    }

    #[test]
    fn a_processor_without_avx_gets_the_version_that_runs_on_it_and_is_told() {
        let choice = full().choose(None, false).unwrap();
        assert_eq!(choice.version, EVERYWHERE);
        assert!(choice.is_fallback());
        let told = choice.to_string();
        assert!(told.contains("lacks AVX") && told.contains("2.1.330"));
    }

    #[test]
    fn a_platform_without_a_native_build_is_told() {
        let image = carried(EVERYWHERE, &[EVERYWHERE]);
        for avx in [true, false] {
            let choice = image.choose(None, avx).unwrap();
            assert_eq!(choice.version, EVERYWHERE);
            assert!(choice.is_fallback());
            assert!(choice.to_string().contains("no native build"));
        }
    }

    #[test]
    fn the_fallback_can_be_forced() {
        let choice = full().choose(Some(EVERYWHERE), true).unwrap();
        assert_eq!(choice.version, EVERYWHERE);
        assert_eq!(
            choice.to_string(),
            "Claude Code 2.1.112, as CIB_CLAUDE_VERSION says"
        );
    }

    #[test]
    fn a_version_that_is_not_there_is_refused_with_those_that_are() {
        let fault = full().choose(Some("9.9.9"), true).unwrap_err().to_string();
        assert!(fault.starts_with("CIB_CLAUDE_VERSION: "), "{fault}");
        assert!(fault.contains("9.9.9 but 2.1.112 and 2.1.330"), "{fault}");
    }

    #[test]
    fn a_version_that_would_end_in_sigill_is_refused() {
        let fault = full().choose(Some("2.1.330"), false).unwrap_err();
        assert!(fault.to_string().contains("AVX"));
        let headless = carried("2.1.330", &["2.1.330"]);
        let fault = headless.choose(None, false).unwrap_err().to_string();
        assert!(fault.starts_with("container: "), "{fault}");
        assert!(fault.contains("claude-in-box:latest"), "{fault}");
    }

    #[test]
    fn a_folder_counts_once_a_program_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Carried::observe(dir.path()), None);
        fs::write(dir.path().join("default"), "2.1.330\n").unwrap();
        for version in ["2.1.330", "2.1.112", "2.1.400"] {
            fs::create_dir(dir.path().join(version)).unwrap();
        }
        for version in ["2.1.330", "2.1.112"] {
            fs::write(dir.path().join(version).join("claude"), "").unwrap();
        }
        assert_eq!(Carried::observe(dir.path()), Some(full()));
    }
}
