//! One stream for everybody, and no line of it lost.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use crate::boxed::Recipe;
use crate::support::eventually;

/// A service that writes numbered lines as fast as it can, in writes that do not end at line
/// ends, and then says that it is done.
fn burst(name: &str, lines: u32) -> String {
    format!(
        "[service.{name}]\nready = {{ path = \"/tmp/{name}\" }}\nready_timeout = \"5m\"\ncommand = [\"/usr/bin/perl\", \"-e\", '''\n\
         my $text = join('', map {{ \"{name} $_ \" . ('x' x ($_ % 97)) . \"\\n\" }} 1..{lines});\n\
         for (my $at = 0; $at < length $text;) {{ $at += syswrite(STDOUT, $text, 4099, $at) }}\n\
         open(my $done, '>', '/tmp/{name}'); close $done; sleep 600;\n''']\n"
    )
}

#[test]
fn a_hundred_thousand_lines_of_two_services_arrive_whole_and_in_order() {
    let mut recipe = Recipe::new();
    recipe.configure(&(burst("one", 100_000) + &burst("two", 100_000)));
    let path = recipe.folder("stream");
    recipe.stdout(Stdio::from(File::create(&path).unwrap()));
    let mut running = recipe.start();
    running.wait_until_up();
    assert_eq!(running.stop(), Some(0));
    let mut next = [1_u32, 1];
    for line in BufReader::new(File::open(&path).unwrap()).lines() {
        let line = line.unwrap();
        let mut words = line.split_whitespace().skip(2);
        let which = match words.next() {
            Some("one") => 0,
            Some("two") => 1,
            _ => continue,
        };
        // What init itself says of the service is not numbered.
        if words.next() != Some(["one", "two"][which]) {
            continue;
        }
        let number: u32 = words.next().unwrap().parse().unwrap();
        assert_eq!(number, next[which], "lost or out of order: {line}");
        let filling = words.next().unwrap_or("");
        assert!(filling.bytes().all(|byte| byte == b'x'), "{line}");
        assert_eq!(filling.len(), (number % 97) as usize, "cut: {line}");
        next[which] += 1;
    }
    assert_eq!(next, [100_001, 100_001]);
}

#[test]
fn a_reader_that_stands_still_stops_neither_init_nor_costs_a_line() {
    let mut recipe = Recipe::new();
    recipe.configure(&burst("one", 30_000));
    let (mut reader, writer) = std::io::pipe().unwrap();
    recipe.stdout(Stdio::from(writer));
    let mut running = recipe.start();
    // The service is stuck on a full pipe, and so is the stream; init answers all the same,
    // and its control comes back when it dies.
    let before = eventually("control is ready", || {
        let status = running.status()?;
        let control = status.services.into_iter().find(|s| s.name == "control")?;
        (control.state == "ready").then_some(control)
    });
    eventually("the service waits for its reader", || {
        let status = running.status()?;
        let one = status.services.into_iter().find(|s| s.name == "one")?;
        (one.state == "starting").then_some(())
    });
    crate::support::eventually("init answers", || running.status());
    assert_eq!(running.service("control").pid, before.pid);
    let collector = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    running.wait_until_up();
    assert_eq!(running.stop(), Some(0));
    drop(running);
    let text = collector.join().unwrap();
    assert_eq!(text.matches(" one 1 x\n").count(), 1);
    let numbered = text
        .lines()
        .filter(|line| line.contains("one       one "))
        .count();
    assert_eq!(numbered, 30_000);
}

#[test]
fn with_json_every_line_is_an_object_with_time_service_and_level() {
    let mut recipe = Recipe::new();
    recipe.set("CIB_LOG", "json");
    recipe.configure(
        "[service.web]\ncommand = [\"/bin/bash\", \"-c\", 'printf \"a \\\"quoted\\\" \\\\ line\\t\\x01\\xff\\n<3>bad\\n\" >&2; exec sleep 600']\n",
    );
    let mut running = recipe.start();
    running.wait_until_up();
    running.says("bad");
    assert_eq!(running.stop(), Some(0));
    let mut seen = Vec::new();
    for line in running.said().lines() {
        let value: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["ts", "service", "level", "message"] {
            assert!(value[key].is_string(), "{key} in {line}");
        }
        if value["service"] == "web" {
            seen.push((
                value["level"].as_str().unwrap().to_owned(),
                value["message"].as_str().unwrap().to_owned(),
            ));
        }
    }
    assert!(
        seen.contains(&("error".to_owned(), "bad".to_owned())),
        "{seen:?}"
    );
    assert!(
        seen.iter()
            .any(|(_, message)| message.starts_with("a \"quoted\" \\ line\t\u{1}")),
        "{seen:?}"
    );
}
