//! Handles a client's packet: what is answered, and by whom.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cib_upstream::client::Dialer;
use hickory_proto::op::ResponseCode;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::cache::Cache;
use crate::config::ResolverConfig;
use crate::forward::Forwarder;
use crate::policy::{Door, Verdict, judge};
use crate::stub::{Transport, exchange, random_id};
use crate::wire::{Incoming, Key, Medium, Question, read};

/// How long a client may keep the address of `localhost`, in seconds.
const LOOPBACK_TTL: u32 = 3600;
/// How long Docker's DNS may take for one try. It is on this machine.
const DOCKER: Duration = Duration::from_secs(2);

/// Handles the packets of every socket.
#[derive(Debug)]
pub(crate) struct Handler {
    config: ResolverConfig,
    forwarder: Forwarder,
    cache: Mutex<Cache>,
    slots: Arc<Semaphore>,
}

/// How a packet is handled.
pub(crate) enum Handled {
    /// This is the reply.
    Reply(Vec<u8>),
    /// There is none.
    Ignore,
    /// [`Handler::look_up`] finds the reply, which takes time.
    Pending(Lookup),
}

/// A question that somebody else has to answer.
pub(crate) struct Lookup {
    question: Box<Question>,
    query: Vec<u8>,
    source: Source,
    _slot: OwnedSemaphorePermit,
}

/// Who answers.
enum Source {
    Docker,
    Upstream(Key),
}

impl Handler {
    pub(crate) fn new(config: ResolverConfig, dialer: Arc<Dialer>) -> Self {
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
    pub(crate) fn handle(&self, packet: &[u8], medium: Medium, door: Door) -> Handled {
        let question = match read(packet, medium) {
            Incoming::Question(question) => question,
            Incoming::Error(reply) => return Handled::Reply(reply),
            Incoming::Ignore => return Handled::Ignore,
        };
        let verdict = judge(question.query(), door, &self.config.local_names);
        let code = match verdict {
            Verdict::Forward | Verdict::Docker => return self.forward(question, verdict),
            Verdict::Loopback => {
                return Handled::Reply(question.address(Ipv4Addr::LOCALHOST, LOOPBACK_TTL));
            }
            Verdict::Empty => ResponseCode::NoError,
            Verdict::NoSuchName => ResponseCode::NXDomain,
            Verdict::Refused => ResponseCode::Refused,
        };
        Handled::Reply(question.error(code))
    }

    fn forward(&self, question: Box<Question>, verdict: Verdict) -> Handled {
        let failed = |question: &Question| Handled::Reply(question.error(ResponseCode::ServFail));
        let Some(query) = question.to_query() else {
            return failed(&question);
        };
        let source = if verdict == Verdict::Docker {
            Source::Docker
        } else {
            let Some(key) = question.key() else {
                return failed(&question);
            };
            if let Some((reply, age)) = self.cache().get(&key, Instant::now())
                && let Some(reply) = question.adapt(reply, age)
            {
                return Handled::Reply(reply);
            }
            if self.forwarder.is_down() {
                return failed(&question);
            }
            Source::Upstream(key)
        };
        match Arc::clone(&self.slots).try_acquire_owned() {
            Ok(slot) => Handled::Pending(Lookup {
                question,
                query,
                source,
                _slot: slot,
            }),
            Err(_) => failed(&question),
        }
    }

    /// Asks Docker or the upstream. It always ends within 4.5 s.
    pub(crate) async fn look_up(&self, lookup: Lookup) -> Vec<u8> {
        let reply = match lookup.source {
            Source::Docker => self.ask_docker(lookup.query).await,
            Source::Upstream(key) => self.ask_upstream(key, &lookup.query).await,
        };
        reply
            .and_then(|reply| lookup.question.adapt(&reply, Duration::ZERO))
            .unwrap_or_else(|| lookup.question.error(ResponseCode::ServFail))
    }

    async fn ask_upstream(&self, key: Key, query: &[u8]) -> Option<Vec<u8>> {
        let answer = self.forwarder.ask(query).await.ok()?;
        self.cache()
            .put(key, &answer.reply, answer.info.ttl, Instant::now());
        Some(answer.reply)
    }

    /// Not cached: containers come and go, and Docker is on this machine.
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
