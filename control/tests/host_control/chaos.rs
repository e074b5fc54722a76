//! The program is killed and killed again while sessions stream: it costs readers nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::chaos::{Random, Record, Transport, read, write};
use crate::common::client::Client;
use crate::common::process::{Process, free_address};
use crate::common::world::{MASTER, World};
use tokio::task::{LocalSet, spawn_blocking};

const SESSIONS: usize = 20;
const READERS: usize = 5;
const KILLS: usize = 50;

/// With this many processes at work it may take a while until the last reader has everything.
const PATIENCE: Duration = Duration::from_secs(120);

#[tokio::test]
async fn every_reader_reads_exactly_the_journal_while_control_is_killed_fifty_times() {
    let world = World::without_init();
    let address = free_address();
    let mut process = Process::start(&world, address);
    let mut random = Random::fresh();
    let is_over = Arc::new(AtomicBool::new(false));
    let local = LocalSet::new();
    let mut sessions = Vec::new();
    for _ in 0..SESSIONS {
        let keeper = world.keeper();
        let id = keeper.id;
        let over = Arc::clone(&is_over);
        let writing = random.split();
        let writer = spawn_blocking(move || write(keeper, writing, &over));
        let readers: Vec<_> = (0..READERS)
            .map(|i| {
                let client = Client::new(address).with_token(MASTER);
                let random = random.split();
                let transport = Transport::ALL[i % Transport::ALL.len()];
                local.spawn_local(async move { read(&client, id, transport, random).await })
            })
            .collect();
        sessions.push((writer, readers));
    }
    let judge = async {
        for _ in 0..KILLS {
            tokio::time::sleep(Duration::from_millis(20 + random.below(180))).await;
            process.kill();
            process = Process::start(&world, address);
        }
        is_over.store(true, Ordering::Relaxed);
        let (mut frames, mut read) = (0, 0);
        for (writer, readers) in sessions {
            let keeper = crate::common::soon(writer)
                .await
                .expect("the writer writes");
            let journal = Record::of_journal(&keeper.journal());
            assert!(journal.0.len() > 100, "hardly anything was written");
            frames += journal.0.len();
            for reader in readers {
                let reader = tokio::time::timeout(PATIENCE, reader);
                let record = reader
                    .await
                    .expect("it reads on")
                    .expect("the reader reads");
                record.assert_is(&journal);
                read += record.0.len();
            }
        }
        println!("{SESSIONS} sessions, {frames} frames, {read} read, {KILLS} kills");
    };
    local.run_until(judge).await;
}
