//! The packages of the command, made of this build and installed as their programs do it.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails where it stands"
)]

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap()
}

#[track_caller]
fn good(program: &str, arguments: &[&str]) -> String {
    let output = run(program, arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {text}{said}"
    );
    text
}

/// Where the program of this build belongs: as a release names it, and as Debian does.
const OWN: (&str, &str) = if cfg!(target_arch = "x86_64") {
    ("linux_amd64", "amd64")
} else if cfg!(target_arch = "aarch64") {
    ("linux_arm64", "arm64")
} else {
    ("linux_arm_v7", "armhf")
};

/// Packages of the program of this build; what stands for other platforms' runs nowhere.
fn packages() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    std::fs::create_dir_all(at("archives")).unwrap();
    for platform in ["linux_amd64", "linux_arm64", "linux_arm_v7"] {
        let of = at(&format!("programs/{platform}"));
        std::fs::create_dir_all(&of).unwrap();
        let program = format!("{of}/cib");
        if platform == OWN.0 {
            // As in a release, without what a debugger reads.
            good("strip", &["-o", &program, env!("CARGO_BIN_EXE_cib")]);
        } else {
            std::fs::write(&program, platform).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
        }
        let archive = at(&format!("archives/cib-{version}-{platform}.tar.gz"));
        std::fs::write(archive, platform).unwrap();
    }
    let script = root.join("scripts/package").display().to_string();
    let url = format!("https://forge.example/a/b/releases/download/v{version}");
    let words = [&version, &at("programs"), &at("archives"), &at("out"), &url];
    good(&script, &words.map(String::as_str));
    (folder, version)
}

#[test]
fn a_debian_package_an_npm_package_and_a_formula_are_made_and_install() {
    let (folder, version) = packages();
    let at = |name: &str| folder.path().join(name).display().to_string();

    for arch in ["amd64", "arm64", "armhf"] {
        let package = at(&format!("out/cib_{version}_{arch}.deb"));
        assert_eq!(
            good("dpkg-deb", &["-f", &package, "Architecture"]).trim(),
            arch
        );
        assert!(good("dpkg-deb", &["-f", &package, "Depends"]).contains("git"));
    }
    // As dpkg does it, into a folder of its own.
    let (package, root) = (at(&format!("out/cib_{version}_{}.deb", OWN.1)), at("root"));
    for folder in ["updates", "info"] {
        std::fs::create_dir_all(format!("{root}/var/lib/dpkg/{folder}")).unwrap();
    }
    std::fs::write(format!("{root}/var/lib/dpkg/status"), "").unwrap();
    let words = [
        "--root",
        &root,
        "--force-depends",
        "--force-not-root",
        "--install",
        &package,
    ];
    good("dpkg", &words);
    let program = format!("{root}/usr/bin/cib");
    assert_eq!(
        good(&program, &["--version"]).trim(),
        format!("cib {version}")
    );
    assert_eq!(
        std::fs::read_link(format!("{root}/usr/bin/git-remote-cib")).unwrap(),
        Path::new("cib")
    );
    for file in [
        "man/man1/cib.1.gz",
        "man/man1/cib-start.1.gz",
        "bash-completion/completions/cib",
        "zsh/vendor-completions/_cib",
        "fish/vendor_completions.d/cib.fish",
        "doc/cib/copyright",
    ] {
        let about = std::fs::metadata(format!("{root}/usr/share/{file}"));
        assert!(about.is_ok_and(|about| about.len() > 50), "{file}");
    }

    // Without a registry: nothing of it is downloaded.
    let (package, prefix) = (at(&format!("out/cib-npm-{version}.tgz")), at("npm"));
    let words = [
        "install",
        "--offline",
        "--no-audit",
        "--no-fund",
        "--global",
        "--prefix",
        &prefix,
    ];
    good("npm", &[&words[..], &[package.as_str()]].concat());
    let shim = format!("{prefix}/bin/cib");
    assert_eq!(good(&shim, &["--version"]).trim(), format!("cib {version}"));
    assert_eq!(run(&shim, &["sart"]).status.code(), Some(2));
    // By the other name it is git's helper, which says what it can do.
    let mut helper = Command::new(format!("{prefix}/bin/git-remote-cib"));
    helper
        .args(["origin", "cib::x"])
        .stdin(std::process::Stdio::piped());
    let mut helper = helper.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut input = helper.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"capabilities\n\n").unwrap();
    drop(input);
    let output = helper.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "connect\n\n");

    let formula = std::fs::read_to_string(at("out/cib.rb")).unwrap();
    for platform in ["linux_amd64", "linux_arm64"] {
        let archive = at(&format!("archives/cib-{version}-{platform}.tar.gz"));
        let sum = good("sha256sum", &[&archive]);
        let sum = sum.split(' ').next().unwrap();
        let url = format!(
            "releases/download/v{version}/cib-{version}-{platform}.tar.gz\"\n    sha256 \"{sum}\""
        );
        assert!(formula.contains(&url), "{url}: {formula}");
    }
    // As Homebrew reads it: by Ruby, with a class of that name before it.
    let ruby = "class Formula; def self.method_missing(*) = nil; def self.test = nil; end\n\
                module Hardware; module CPU; def self.intel? = true; def self.arm? = false; end; end\n\
                load ARGV[0]; abort unless Cib.new.respond_to?(:install)";
    assert!(
        Command::new("ruby").arg("--version").output().is_ok(),
        "there is no ruby to read the formula; install ruby"
    );
    good("ruby", &["-wc", &at("out/cib.rb")]);
    good("ruby", &["-e", ruby, &at("out/cib.rb")]);
    let opened = formula.lines().filter(|line| {
        let line = line.trim();
        ["class ", "if ", "def "]
            .iter()
            .any(|word| line.starts_with(word))
            || line.ends_with(" do")
    });
    let closed = formula.lines().filter(|line| line.trim() == "end");
    assert_eq!(opened.count(), closed.count(), "{formula}");
}

#[test]
fn a_program_of_another_version_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let platform = folder.path().join("programs").join(OWN.0);
    std::fs::create_dir_all(&platform).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_cib"), platform.join("cib")).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/package");
    let at = |name: &str| folder.path().join(name).display().to_string();
    let words = [
        "9.9.9",
        &at("programs"),
        &at("programs"),
        &at("out"),
        "https://x.example/r",
    ];
    let output = run(&script.display().to_string(), &words);
    assert_eq!(output.status.code(), Some(78));
}
