//! MQTT 5 and 3.1.1 as a function of bytes: what is to be written, and what was heard.
//!
//! The packets are `mqtt_protocol_core`'s. It also keeps to the window that the broker grants, which
//! is as far as anything is ever ahead of what the broker has acknowledged.

use std::time::{Duration, Instant};

use cib_protocol::mqtt::MqttSettings;
use mqtt_protocol_core::mqtt::connection::{ConnectionOptions, Event, TimerKind};
use mqtt_protocol_core::mqtt::packet::{
    ContentType, CorrelationData, GenericPacketTrait as _, Packet, Properties, Property, Qos,
    SessionExpiryInterval, SubEntry, SubOpts, UserProperty, WillDelayInterval,
};
use mqtt_protocol_core::mqtt::packet::{v3_1_1, v5_0};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, ConnectReturnCode, MqttError};
use mqtt_protocol_core::mqtt::{Connection, Version, common::Cursor, role::Client};

/// Messages on their way to the broker at most, however many it grants.
const WINDOW: usize = 512;

/// Bytes of a message that is taken from the broker.
pub(super) const MOST_HEARD: u32 = 1 << 20;

/// Bytes around a payload and a topic, properties of ours included.
const AROUND: usize = 512;

/// How often the line is tried, in seconds.
const KEEP_ALIVE: u16 = 30;

/// How long the broker has to answer that, in milliseconds.
const PONG: u64 = 10_000;

/// How long the broker keeps what is for the box while it is away, in seconds.
const EXPIRY: u32 = 3600;

/// How long the broker waits with saying that the box is away, in seconds.
const WILL_DELAY: u32 = 5;

/// Which MQTT is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Speaks {
    /// MQTT 5.
    Five,
    /// MQTT 3.1.1.
    Three,
}

/// Why a broker does not take the box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not speak this version.
    Version,
    /// It will not do so later either, before something is changed.
    Never(String),
    /// It may later.
    Later(String),
}

/// A message from the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    /// The broker kept it for whoever subscribes.
    pub(super) is_retained: bool,
    /// It may have come before.
    pub(super) is_repeated: bool,
    /// Where its sender wants the answer.
    pub(super) response: Option<String>,
    /// What its sender knows the answer by.
    pub(super) correlation: Option<Vec<u8>>,
}

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The broker took the box.
    Connected,
    /// It did not.
    Refused(Refusal),
    /// It has a message; `false` if it does not want it.
    Acknowledged(u16, bool),
    /// It does not let the box hear what it asked for.
    Deaf,
    /// A message.
    Message(Message),
    /// The line is of no use any more.
    Over(String),
}

/// A message to the broker.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outgoing<'a> {
    pub(super) topic: &'a str,
    pub(super) payload: &'a [u8],
    /// The broker is to keep it for whoever subscribes.
    pub(super) retain: bool,
    /// The frame's seq.
    pub(super) seq: Option<u64>,
    /// Whether the payload is JSON.
    pub(super) is_json: bool,
    pub(super) correlation: Option<&'a [u8]>,
}

/// Why a message cannot be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The window is full.
    Full,
    /// The broker would not take it: it is too long, or its topic is none.
    Never,
}

/// One connection's protocol.
pub(super) struct Wire {
    connection: Connection<Client>,
    speaks: Speaks,
    /// What is to be written.
    out: Vec<u8>,
    timers: [Option<Instant>; 2],
    most: usize,
    flying: usize,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire")
            .field("speaks", &self.speaks)
            .field("flying", &self.flying)
            .finish_non_exhaustive()
    }
}

fn never(error: MqttError) -> Refusal {
    Refusal::Never(format!(
        "what the variables say makes no message: {error:?}"
    ))
}

impl Wire {
    /// A connection that begins: its first packet is written. `will` is the topic on which the broker
    /// says that the box is away.
    pub(super) fn begin(
        speaks: Speaks,
        settings: &MqttSettings,
        client: &str,
        will: &str,
    ) -> Result<Self, Refusal> {
        let version = match speaks {
            Speaks::Five => Version::V5_0,
            Speaks::Three => Version::V3_1_1,
        };
        let options = ConnectionOptions::new().maximum_packet_size_recv(MOST_HEARD);
        let mut connection = Connection::<Client>::with_options(version, options);
        connection.set_auto_pub_response(true);
        connection.set_pingresp_recv_timeout(PONG);
        let mut wire = Self {
            connection,
            speaks,
            out: Vec::new(),
            timers: [None, None],
            most: usize::MAX,
            flying: 0,
        };
        let events = wire.connect(settings, client, will).map_err(never)?;
        let mut heard = Vec::new();
        wire.take(events, &mut heard);
        match heard.into_iter().next() {
            Some(Heard::Over(why)) => Err(Refusal::Never(why)),
            _ => Ok(wire),
        }
    }

    fn connect(
        &mut self,
        settings: &MqttSettings,
        client: &str,
        will: &str,
    ) -> Result<Vec<Event>, MqttError> {
        let password = settings.password.as_ref().map(|secret| secret.expose());
        // The two builders share their words and no trait.
        macro_rules! filled {
            ($builder:expr) => {{
                let mut builder = $builder
                    .client_id(client)?
                    .clean_start(false)
                    .keep_alive(KEEP_ALIVE)
                    .will_message(will, "offline", Qos::AtLeastOnce, true)?;
                if let Some(user) = settings.user.as_deref() {
                    builder = builder.user_name(user)?;
                }
                if let Some(password) = password {
                    builder = builder.password(password)?;
                }
                builder
            }};
        }
        Ok(match self.speaks {
            Speaks::Five => {
                let expiry = SessionExpiryInterval::new(EXPIRY)?;
                let delay = WillDelayInterval::new(WILL_DELAY)?;
                let packet = filled!(v5_0::Connect::builder())
                    .props(vec![Property::SessionExpiryInterval(expiry)])
                    .will_props(vec![Property::WillDelayInterval(delay)])
                    .build()?;
                self.connection.checked_send(packet)
            }
            Speaks::Three => {
                let packet = filled!(v3_1_1::Connect::builder()).build()?;
                self.connection.checked_send(packet)
            }
        })
    }

    /// What is to be written, which it no longer is.
    pub(super) fn output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes in what came.
    pub(super) fn input(&mut self, bytes: &[u8]) -> Vec<Heard> {
        let mut heard = Vec::new();
        let mut cursor = Cursor::new(bytes);
        loop {
            let before = cursor.position();
            let events = self.connection.recv(&mut cursor);
            let is_nothing = events.is_empty() && cursor.position() == before;
            self.take(events, &mut heard);
            let is_over = matches!(heard.last(), Some(Heard::Over(_) | Heard::Refused(_)));
            if is_over || is_nothing || cursor.remaining_slice().is_empty() {
                return heard;
            }
        }
    }

    /// When [`Wire::ring`] is to be called.
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.timers.iter().flatten().min().copied()
    }

    /// The time of an alarm has come.
    pub(super) fn ring(&mut self, now: Instant) -> Vec<Heard> {
        let mut heard = Vec::new();
        for kind in [TimerKind::PingreqSend, TimerKind::PingrespRecv] {
            let place = place(kind);
            if self.timers[place].is_some_and(|at| at <= now) {
                self.timers[place] = None;
                let events = self.connection.notify_timer_fired(kind);
                self.take(events, &mut heard);
            }
        }
        heard
    }

    /// Whether another message may be sent now.
    pub(super) fn has_room(&self) -> bool {
        let granted = self.connection.get_receive_maximum_vacancy_for_send();
        self.flying < WINDOW && granted != Some(0)
    }

    /// Bytes of a payload that the broker takes under a topic.
    pub(super) fn room_for(&self, topic: &str) -> usize {
        self.most.saturating_sub(topic.len() + AROUND)
    }

    /// Sends a message, by the number that its acknowledgement will have.
    pub(super) fn publish(&mut self, message: &Outgoing<'_>) -> Result<u16, Unsent> {
        if !self.has_room() {
            return Err(Unsent::Full);
        }
        if message.payload.len() > self.room_for(message.topic) {
            return Err(Unsent::Never);
        }
        let id = self
            .connection
            .acquire_packet_id()
            .map_err(|_| Unsent::Full)?;
        let events = match self.packet(message, id) {
            Ok(events) => events,
            Err(_) => {
                let events = self.connection.release_packet_id(id);
                drop(events);
                return Err(Unsent::Never);
            }
        };
        let mut heard = Vec::new();
        self.take(events, &mut heard);
        if heard.iter().any(|heard| matches!(heard, Heard::Over(_))) {
            return Err(Unsent::Never);
        }
        self.flying += 1;
        Ok(id)
    }

    fn packet(&mut self, message: &Outgoing<'_>, id: u16) -> Result<Vec<Event>, MqttError> {
        Ok(match self.speaks {
            Speaks::Five => {
                let packet = v5_0::Publish::builder()
                    .topic_name(message.topic)?
                    .qos(Qos::AtLeastOnce)
                    .retain(message.retain)
                    .packet_id(id)
                    .props(properties(message)?)
                    .payload(message.payload)
                    .build()?;
                self.connection.checked_send(packet)
            }
            Speaks::Three => {
                let packet = v3_1_1::Publish::builder()
                    .topic_name(message.topic)?
                    .qos(Qos::AtLeastOnce)
                    .retain(message.retain)
                    .packet_id(id)
                    .payload(message.payload)
                    .build()?;
                self.connection.checked_send(packet)
            }
        })
    }

    /// Asks to hear what is said under topics.
    pub(super) fn subscribe(&mut self, filters: &[String]) -> Result<(), MqttError> {
        let options = SubOpts::new().set_qos(Qos::AtLeastOnce);
        let entries: Result<Vec<_>, _> = filters
            .iter()
            .map(|filter| SubEntry::new(filter.as_str(), options))
            .collect();
        let (entries, id) = (entries?, self.connection.acquire_packet_id()?);
        let events = match self.speaks {
            Speaks::Five => {
                let packet = v5_0::Subscribe::builder().entries(entries).packet_id(id);
                self.connection.checked_send(packet.build()?)
            }
            Speaks::Three => {
                let packet = v3_1_1::Subscribe::builder().entries(entries).packet_id(id);
                self.connection.checked_send(packet.build()?)
            }
        };
        self.take(events, &mut Vec::new());
        Ok(())
    }

    /// Says goodbye, so that the broker does not speak the will.
    pub(super) fn disconnect(&mut self) {
        let events = match self.speaks {
            Speaks::Five => v5_0::Disconnect::builder()
                .build()
                .map(|packet| self.connection.checked_send(packet)),
            Speaks::Three => v3_1_1::Disconnect::builder()
                .build()
                .map(|packet| self.connection.checked_send(packet)),
        };
        if let Ok(events) = events {
            self.take(events, &mut Vec::new());
        }
    }

    fn take(&mut self, events: Vec<Event>, heard: &mut Vec<Heard>) {
        let mut closes = false;
        for event in events {
            match event {
                Event::RequestSendPacket { packet, .. } => {
                    self.out.extend_from_slice(&packet.to_continuous_buffer());
                }
                Event::NotifyPacketReceived(packet) => heard.extend(self.received(packet)),
                Event::RequestTimerReset { kind, duration_ms } => {
                    let at = Instant::now() + Duration::from_millis(duration_ms);
                    self.timers[place(kind)] = Some(at);
                }
                Event::RequestTimerCancel(kind) => self.timers[place(kind)] = None,
                Event::NotifyError(error) => {
                    heard.push(Heard::Over(format!("the protocol was broken: {error:?}")));
                }
                Event::RequestClose => closes = true,
                Event::NotifyPacketIdReleased(_) => {}
            }
        }
        let is_said = heard
            .iter()
            .any(|heard| matches!(heard, Heard::Over(_) | Heard::Refused(_)));
        if closes && !is_said {
            heard.push(Heard::Over("the broker does not answer".to_owned()));
        }
    }

    fn received(&mut self, packet: Packet) -> Option<Heard> {
        Some(match packet {
            Packet::V5_0Connack(packet) => {
                for property in packet.props() {
                    if let Property::MaximumPacketSize(most) = property {
                        self.most = usize::try_from(most.val()).unwrap_or(usize::MAX);
                    }
                }
                match packet.reason_code() {
                    ConnectReasonCode::Success => Heard::Connected,
                    code => Heard::Refused(refusal_of_five(code)),
                }
            }
            Packet::V3_1_1Connack(packet) => match packet.return_code() {
                ConnectReturnCode::Accepted => Heard::Connected,
                code => Heard::Refused(refusal_of_three(code)),
            },
            Packet::V5_0Puback(packet) => {
                let is_taken = packet.reason_code().is_none_or(|code| code.is_success());
                self.acknowledged(packet.packet_id(), is_taken)
            }
            Packet::V3_1_1Puback(packet) => self.acknowledged(packet.packet_id(), true),
            Packet::V5_0Suback(packet) => {
                let is_deaf = packet.reason_codes().iter().any(|code| *code as u8 >= 0x80);
                return is_deaf.then_some(Heard::Deaf);
            }
            Packet::V3_1_1Suback(packet) => {
                let is_deaf = packet.return_codes().iter().any(|code| *code as u8 >= 0x80);
                return is_deaf.then_some(Heard::Deaf);
            }
            Packet::V5_0Publish(packet) => {
                let (mut response, mut correlation) = (None, None);
                for property in packet.props() {
                    match property {
                        Property::ResponseTopic(topic) => response = Some(topic.val().to_owned()),
                        Property::CorrelationData(data) => correlation = Some(data.val().to_vec()),
                        _ => {}
                    }
                }
                Heard::Message(Message {
                    topic: packet.topic_name().to_owned(),
                    payload: packet.payload().as_slice().to_vec(),
                    is_retained: packet.retain(),
                    is_repeated: packet.dup(),
                    response,
                    correlation,
                })
            }
            Packet::V3_1_1Publish(packet) => Heard::Message(Message {
                topic: packet.topic_name().to_owned(),
                payload: packet.payload().as_slice().to_vec(),
                is_retained: packet.retain(),
                is_repeated: packet.dup(),
                response: None,
                correlation: None,
            }),
            Packet::V5_0Disconnect(packet) => {
                let why = packet.reason_code().map(|code| code.to_string());
                let why = why.unwrap_or_else(|| "without a word".to_owned());
                Heard::Over(format!("the broker ended the connection: {why}"))
            }
            _ => return None,
        })
    }

    fn acknowledged(&mut self, id: u16, is_taken: bool) -> Heard {
        self.flying = self.flying.saturating_sub(1);
        Heard::Acknowledged(id, is_taken)
    }
}

fn place(kind: TimerKind) -> usize {
    match kind {
        TimerKind::PingreqSend | TimerKind::PingreqRecv => 0,
        TimerKind::PingrespRecv => 1,
    }
}

fn properties(message: &Outgoing<'_>) -> Result<Properties, MqttError> {
    let mut properties = Properties::new();
    if message.is_json {
        let json = ContentType::new("application/json")?;
        properties.push(Property::ContentType(json));
    }
    if let Some(seq) = message.seq {
        let seq = seq.to_string();
        properties.push(Property::UserProperty(UserProperty::new(
            "seq",
            seq.as_str(),
        )?));
    }
    if let Some(correlation) = message.correlation {
        let data = CorrelationData::new(correlation.to_vec())?;
        properties.push(Property::CorrelationData(data));
    }
    Ok(properties)
}

fn refusal_of_five(code: ConnectReasonCode) -> Refusal {
    use ConnectReasonCode as Code;
    match code {
        Code::UnsupportedProtocolVersion => Refusal::Version,
        Code::BadUserNameOrPassword
        | Code::NotAuthorized
        | Code::Banned
        | Code::ClientIdentifierNotValid
        | Code::BadAuthenticationMethod
        | Code::QosNotSupported
        | Code::RetainNotSupported => Refusal::Never(format!("it says {code}")),
        code => Refusal::Later(format!("it says {code}")),
    }
}

fn refusal_of_three(code: ConnectReturnCode) -> Refusal {
    match code {
        ConnectReturnCode::UnacceptableProtocolVersion => Refusal::Version,
        ConnectReturnCode::ServerUnavailable | ConnectReturnCode::Accepted => {
            Refusal::Later(format!("it says {code}"))
        }
        code => Refusal::Never(format!("it says {code}")),
    }
}
