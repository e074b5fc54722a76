//! The log with services that shout and readers that do not listen.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;

use tokio::task::LocalSet;

use super::*;

fn logs_on(fd: OwnedFd) -> Logs {
    Logs::on(Output::on(Some(fd)), Format::Text, Level::Info, false)
}

fn within_a_box<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        tokio::time::timeout(Duration::from_secs(60), test)
            .await
            .unwrap();
    });
}

#[test]
fn a_burst_of_100_000_lines_from_four_services_loses_and_cuts_none() {
    const EACH: usize = 25_000;
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    let reader = std::thread::spawn(move || {
        let mut next = [0_usize; 4];
        for line in BufReader::new(std::fs::File::from(read)).lines() {
            let line = line.unwrap();
            let (_, words) = line.split_once(" service").expect("a whole line");
            let (service, number) = words.split_once(" line ").expect("a whole line");
            let service: usize = service.trim().parse().unwrap();
            let number: usize = number.trim_end_matches('.').parse().unwrap();
            assert!(line.ends_with("....."), "{line}");
            assert_eq!(
                number, next[service],
                "a line of service{service} is missing"
            );
            next[service] += 1;
        }
        next
    });
    within_a_box(async move {
        let logs = logs_on(write);
        let _taken = tracing::subscriber::set_default(logs.clone());
        let idle = Arc::strong_count(&logs.0);
        let writers: Vec<_> = (0..4)
            .map(|service| {
                let fd = logs.open(&format!("service{service}")).unwrap();
                std::thread::spawn(move || {
                    let mut pipe = std::fs::File::from(fd);
                    for number in 0..EACH {
                        writeln!(pipe, "line {number}.....").unwrap();
                    }
                })
            })
            .collect();
        while !writers.iter().all(std::thread::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Every pipe is closed; its follower ends once it has read it to its end.
        while Arc::strong_count(&logs.0) > idle {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        logs.flush(Duration::from_secs(30)).await;
    });
    assert_eq!(reader.join().unwrap(), [EACH; 4]);
}

#[test]
fn a_reader_that_is_stuck_does_not_stop_init() {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    within_a_box(async move {
        let logs = logs_on(write);
        let start = std::time::Instant::now();
        for _ in 0..2000 {
            logs.write(Level::Info, "init", &"x".repeat(100));
        }
        logs.flush(Duration::from_millis(50)).await;
        assert!(start.elapsed() < Duration::from_secs(5));
        drop(read);
    });
}

#[test]
fn a_reader_that_is_gone_does_not_stop_init() {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    drop(read);
    within_a_box(async move {
        let logs = logs_on(write);
        let _taken = tracing::subscriber::set_default(logs.clone());
        tracing::info!("hello");
        tracing::warn!(service = "egress", port = 12345, "closed");
        tracing::debug!("not asked for");
        logs.flush(Duration::from_secs(5)).await;
        assert_eq!(logs.recent("init", 10), ["hello"]);
        assert_eq!(logs.recent("egress", 10), ["closed port=12345"]);
    });
}

#[test]
fn no_secret_shows_whoever_writes_it() {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    within_a_box(async move {
        let logs = logs_on(write);
        let _taken = tracing::subscriber::set_default(logs.clone());
        logs.mask("hunter2hunter2");
        let mut service = std::fs::File::from(logs.open("leaky").unwrap());
        service.write_all(b"token=hunter2hunter2;\n").unwrap();
        // In as many writes as it has letters, each read by itself.
        for letter in b"token=hunter2hunter2.\n" {
            service.write_all(&[*letter]).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        drop(service);
        while logs.recent("leaky", 2).len() < 2 {
            tokio::task::yield_now().await;
        }
        logs.flush(Duration::from_secs(5)).await;
        assert_eq!(logs.recent("leaky", 2), ["token=***;", "token=***."]);
        drop(logs);
    });
    let text = std::io::read_to_string(std::fs::File::from(read)).unwrap();
    assert!(
        text.contains("token=***;") && !text.contains("hunter2"),
        "{text}"
    );
}

#[test]
fn a_line_without_an_end_comes_out_when_its_service_goes() {
    let (_read, write) = pipe2(OFlag::O_CLOEXEC).unwrap();
    within_a_box(async move {
        let logs = logs_on(write);
        let _taken = tracing::subscriber::set_default(logs.clone());
        let mut service = std::fs::File::from(logs.open("s").unwrap());
        service.write_all(b"<4>last words").unwrap();
        drop(service);
        while logs.recent("s", 1).is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(logs.recent("s", 1), ["last words"]);
    });
}
