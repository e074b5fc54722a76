//! Events of `tracing`, each of which becomes one line.
//!
//! Init has no spans, so this is all that there is to taking events. The registry of
//! `tracing-subscriber` would hold 32 KiB for spans that are never made.

use std::fmt::{Debug, Write as _};

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use super::{Level, Logs};

/// Whose line an event is that names no service.
const OWN: &str = "init";

impl Subscriber for Logs {
    fn enabled(&self, event: &Metadata<'_>) -> bool {
        level(event) <= self.0.least
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(match self.0.least {
            Level::Error => LevelFilter::ERROR,
            Level::Warn => LevelFilter::WARN,
            Level::Info => LevelFilter::INFO,
            Level::Debug => LevelFilter::DEBUG,
            Level::Trace => LevelFilter::TRACE,
        })
    }

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        let service = words.service.as_deref().unwrap_or(OWN);
        self.write(level(event.metadata()), service, &words.text);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

fn level(event: &Metadata<'_>) -> Level {
    match *event.level() {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

/// What an event says: its message, and behind that its other fields.
#[derive(Default)]
struct Words {
    service: Option<String>,
    text: String,
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "service" {
            self.service = Some(value.to_owned());
        } else {
            self.record_debug(field, &value);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            // The macros give it first.
            "message" => write!(self.text, "{value:?}"),
            name => write!(self.text, " {name}={value:?}"),
        };
    }
}
