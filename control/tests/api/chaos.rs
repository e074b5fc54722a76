//! Readers that come and go while journals grow: every one of them reads its journal.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::chaos::{Random, Record, Transport, read, write};
use crate::common::world::World;
use tokio::task::{LocalSet, spawn_blocking};

const SESSIONS: usize = 4;
const LENGTH: Duration = Duration::from_secs(2);

#[tokio::test]
async fn readers_that_drop_at_random_read_exactly_the_journal() {
    let world = World::without_init();
    let server = world.serve();
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
        let readers: Vec<_> = (0..5)
            .map(|i| {
                let client = server.client();
                let random = random.split();
                let transport = Transport::ALL[i % Transport::ALL.len()];
                local.spawn_local(async move { read(&client, id, transport, random).await })
            })
            .collect();
        sessions.push((writer, readers));
    }
    let judge = async {
        tokio::time::sleep(LENGTH).await;
        is_over.store(true, Ordering::Relaxed);
        for (writer, readers) in sessions {
            let keeper = crate::common::soon(writer)
                .await
                .expect("the writer writes");
            let journal = Record::of_journal(&keeper.journal());
            assert!(journal.0.len() > 100, "hardly anything was written");
            for reader in readers {
                crate::common::soon(reader)
                    .await
                    .expect("the reader reads")
                    .assert_is(&journal);
            }
        }
    };
    local.run_until(judge).await;
}
