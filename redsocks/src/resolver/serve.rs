//! From a packet to its answer.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::cache::Cache;
use super::config::ResolverConfig;
use super::forward::Forwarder;
use super::policy::{Door, Verdict, judge};
use super::wire::{Ask, Incoming, Key, Medium, read};
use crate::client::Dialer;
use crate::resolve::{Transport, exchange, random_id};

/// How long `localhost` may be kept by a client, in seconds.
const LOOPBACK_TTL: u32 = 3600;
/// How long Docker gets for one try; it sits on this machine.
const DOCKER: Duration = Duration::from_secs(2);

/// The resolver's mind: everything but its sockets.
#[derive(Debug)]
pub(super) struct Service {
    config: ResolverConfig,
    forwarder: Forwarder,
    cache: Mutex<Cache>,
    slots: Arc<Semaphore>,
}

/// What can be said of a packet without waiting.
pub(super) enum Quick {
    /// This goes back.
    Reply(Vec<u8>),
    /// Nothing does.
    Ignore,
    /// [`Service::look_up`] will find out.
    Slow(Job),
}

/// A question that has to be asked of somebody.
pub(super) struct Job {
    ask: Box<Ask>,
    query: Vec<u8>,
    whom: Whom,
    _slot: OwnedSemaphorePermit,
}

enum Whom {
    Docker,
    Upstream(Key),
}

impl Service {
    pub(super) fn new(config: ResolverConfig, dialer: Arc<Dialer>) -> Self {
        let forwarder = Forwarder::new(
            dialer,
            &config.servers,
            config.mode,
            config.ca_bundle.clone(),
        );
        Self {
            forwarder,
            cache: Mutex::new(Cache::new(config.cache_entries)),
            slots: Arc::new(Semaphore::new(config.queries)),
            config,
        }
    }

    /// Answers what can be answered here and now.
    pub(super) fn quick(&self, packet: &[u8], medium: Medium, door: Door) -> Quick {
        let ask = match read(packet, medium) {
            Incoming::Ask(ask) => ask,
            Incoming::Error(reply) => return Quick::Reply(reply),
            Incoming::Ignore => return Quick::Ignore,
        };
        let verdict = judge(ask.question(), door, &self.config.local_names);
        let code = match verdict {
            Verdict::Forward | Verdict::Docker => return self.forward(ask, verdict),
            Verdict::Loopback => {
                return Quick::Reply(ask.address(Ipv4Addr::LOCALHOST, LOOPBACK_TTL));
            }
            Verdict::Empty => ResponseCode::NoError,
            Verdict::NoSuchName => ResponseCode::NXDomain,
            Verdict::Refused => ResponseCode::Refused,
        };
        Quick::Reply(ask.error(code))
    }

    fn forward(&self, ask: Box<Ask>, verdict: Verdict) -> Quick {
        let failed = |ask: &Ask| Quick::Reply(ask.error(ResponseCode::ServFail));
        let Some(query) = ask.query() else {
            return failed(&ask);
        };
        let whom = if verdict == Verdict::Docker {
            Whom::Docker
        } else {
            let Some(key) = ask.key(&query) else {
                return failed(&ask);
            };
            if let Some((reply, age)) = self.cache().get(&key, Instant::now())
                && let Some(reply) = ask.adapt(reply, age)
            {
                return Quick::Reply(reply);
            }
            if self.forwarder.is_down() {
                return failed(&ask);
            }
            Whom::Upstream(key)
        };
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Quick::Slow(Job {
                ask,
                query,
                whom,
                _slot: slot,
            }),
            Err(_) => failed(&ask),
        }
    }

    /// Asks whoever has to be asked. Always comes to an end, within 4.5 s.
    pub(super) async fn look_up(&self, job: Job) -> Vec<u8> {
        let reply = match job.whom {
            Whom::Docker => self.ask_docker(job.query).await,
            Whom::Upstream(key) => self.ask_upstream(key, &job.query).await,
        };
        reply
            .and_then(|reply| job.ask.adapt(&reply, Duration::ZERO))
            .unwrap_or_else(|| job.ask.error(ResponseCode::ServFail))
    }

    async fn ask_upstream(&self, key: Key, query: &[u8]) -> Option<Vec<u8>> {
        let answer = self.forwarder.ask(query).await.ok()?;
        self.cache()
            .put(key, &answer.reply, answer.digest.ttl, Instant::now());
        Some(answer.reply)
    }

    /// Not kept: containers come and go, and Docker is near.
    async fn ask_docker(&self, mut query: Vec<u8>) -> Option<Vec<u8>> {
        for _ in 0..2 {
            query[..2].copy_from_slice(&random_id().ok()?.to_be_bytes());
            let asked = exchange(self.config.docker_dns, &query, Transport::UdpThenTcp);
            if let Ok(Ok(reply)) = timeout(DOCKER, asked).await {
                return Some(reply);
            }
        }
        None
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
