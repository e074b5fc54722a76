//! Sessions that coder owned, and what coder may have put in their places.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use cib_init::steps::takeover::{ASIDE, JOURNAL, Report, Terms, is_needed, take_over};

use crate::support::{CODER, Root, run};

const DATA: &str = "/var/lib/claude-in-box";
const IDS: [&str; 4] = [
    "00000000-0000-4000-8000-000000000001",
    "00000000-0000-4000-8000-000000000002",
    "00000000-0000-4000-8000-000000000003",
    "00000000-0000-4000-8000-000000000004",
];

fn terms() -> Terms {
    Terms {
        keeper: (972, 972),
        control: 970,
        within: Duration::from_secs(20),
    }
}

fn session(root: &Root, id: &str) -> String {
    let dir = format!("{DATA}/sessions/{id}");
    root.write(&format!("{dir}/transcript.jsonl"), "{}\n");
    root.write(&format!("{dir}/lock"), "");
    root.give(&format!("{dir}/transcript.jsonl"), CODER, 970, 0o644);
    root.give(&dir, CODER, 970, 0o2750);
    dir
}

fn volume() -> (Root, PathBuf) {
    let root = Root::new();
    root.users();
    root.write(&format!("{DATA}/locks/x.lock"), "1 2");
    root.give(&format!("{DATA}/locks"), CODER, 970, 0o750);
    let data = root.at(DATA);
    (root, data)
}

#[test]
fn a_session_of_coders_becomes_the_records_own_once() {
    let (root, data) = volume();
    let dir = session(&root, IDS[0]);
    assert!(is_needed(&data, 972));
    let report = take_over(&data, &terms()).unwrap();
    let taken = Report {
        taken: 1,
        ..Report::default()
    };
    assert_eq!(report, taken);
    assert_eq!(root.shown(&dir), "972:970 2750");
    assert_eq!(
        root.shown(&format!("{dir}/transcript.jsonl")),
        "972:970 0640"
    );
    assert!(!root.at(format!("{dir}/lock")).exists());
    assert_eq!(root.shown(&format!("{DATA}/locks")), "972:970 0750");
    assert_eq!(
        fs::read_dir(root.at(format!("{DATA}/locks")))
            .unwrap()
            .count(),
        0
    );
    let said = fs::read_to_string(data.join(JOURNAL)).unwrap();
    let line = format!("sessions/{}: was 1000's, now cib-keeper's", IDS[0]);
    assert!(said.contains(&line), "{said}");
    assert_eq!(root.shown(&format!("{DATA}/{JOURNAL}")), "0:0 0644");

    assert!(!is_needed(&data, 972));
    assert_eq!(take_over(&data, &terms()).unwrap(), Report::default());
    assert_eq!(fs::read_to_string(data.join(JOURNAL)).unwrap(), said);
}

#[test]
fn what_coder_put_in_a_files_place_is_set_aside_and_nothing_elsewhere_changes_its_owner() {
    let (root, data) = volume();
    root.write("/outside/secret", "root's");
    root.write(&format!("{DATA}/control/tokens"), "control's");
    root.give(&format!("{DATA}/control/tokens"), 970, 970, 0o600);
    let dirs = IDS.map(|id| session(&root, id));
    let at = |dir: &str, name: &str| root.at(format!("{dir}/{name}"));
    // A link, a pipe, another name of somebody else's file and one of coder's own.
    symlink(root.at("/outside/secret"), at(&dirs[0], "meta.json")).unwrap();
    run(Command::new("mkfifo").arg(at(&dirs[1], "meta.json")));
    fs::remove_file(at(&dirs[2], "transcript.jsonl")).unwrap();
    fs::hard_link(
        root.at(format!("{DATA}/control/tokens")),
        at(&dirs[2], "transcript.jsonl"),
    )
    .unwrap();
    fs::hard_link(
        at(&dirs[3], "transcript.jsonl"),
        root.at("/home/coder/mine"),
    )
    .unwrap();
    // Names, a tree, and things where a session should be.
    root.write(&format!("{}/ a\n..b", dirs[0]), "");
    root.write(&format!("{}/deep/er/transcript.jsonl", dirs[0]), "");
    let odd = "00000000-0000-4000-8000-00000000000a";
    symlink("/etc", root.at(format!("{DATA}/sessions/{odd}"))).unwrap();
    symlink("/etc/passwd", data.join(JOURNAL)).unwrap();

    let report = take_over(&data, &terms()).unwrap();

    assert_eq!((report.taken, report.failed, report.left), (4, 0, 0));
    for dir in &dirs {
        assert_eq!(root.shown(dir), "972:970 2750");
        for entry in fs::read_dir(root.at(dir)).unwrap() {
            let entry = entry.unwrap();
            let found = entry.metadata().unwrap();
            assert!(found.is_file() && found.uid() == 972, "{:?}", entry.path());
            assert_eq!(found.nlink(), 1);
        }
    }
    assert!(at(&dirs[3], "transcript.jsonl").is_file(), "it was copied");
    assert!(root.shown("/home/coder/mine").starts_with("1000:"));
    assert!(root.shown("/outside/secret").starts_with("0:0"));
    assert_eq!(
        root.shown(&format!("{DATA}/control/tokens")),
        "970:970 0600"
    );
    assert!(!root.at(format!("{DATA}/sessions/{odd}")).is_symlink());
    assert_eq!(root.shown(&format!("{DATA}/{ASIDE}")), "0:0 0700");
    assert!(!data.join(JOURNAL).is_symlink());
    assert!(root.shown("/etc/passwd").starts_with("0:0"));
    assert!(!is_needed(&data, 972));
}

#[test]
fn what_was_cut_off_in_the_middle_is_gone_on_with() {
    let (root, data) = volume();
    let dir = session(&root, IDS[0]);
    // The old directory was set aside, and the new one had not got to its place.
    fs::rename(
        root.at(&dir),
        root.at(format!("{DATA}/sessions/.taken-{}", IDS[0])),
    )
    .unwrap();
    root.give(&format!("{DATA}/sessions/.taken-{}", IDS[0]), 0, 0, 0o700);
    assert!(is_needed(&data, 972));
    assert_eq!(take_over(&data, &terms()).unwrap().taken, 1);
    assert_eq!(root.shown(&dir), "972:970 2750");
    assert!(root.at(format!("{dir}/transcript.jsonl")).is_file());
}

#[test]
fn what_there_is_no_time_for_is_left_and_said() {
    let (root, data) = volume();
    session(&root, IDS[0]);
    let terms = Terms {
        within: Duration::ZERO,
        ..terms()
    };
    assert_eq!(take_over(&data, &terms).unwrap().left, 1);
    let said = fs::read_to_string(data.join(JOURNAL)).unwrap();
    assert!(said.contains("left for the next start"), "{said}");
}
