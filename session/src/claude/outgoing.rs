//! Bytes on their way to a reader that may be slow.

use std::fs::File;
use std::io::{self, Write};

/// Bytes that may wait before more input is refused.
const MAX_WAITING: usize = 16 * 1024 * 1024;

/// What is left of the buffer after it was emptied.
const KEEP_BUFFER: usize = 64 * 1024;

/// The writing end of a pipe, and what it has not taken yet.
#[derive(Debug)]
pub struct Outgoing {
    pipe: Option<File>,
    waiting: Vec<u8>,
    /// How much of `waiting` is written.
    written: usize,
    /// Whether the pipe is to be closed when everything is written.
    closing: bool,
}

impl Outgoing {
    /// A pipe that has been made non-blocking; without one everything is swallowed.
    #[must_use]
    pub fn new(pipe: Option<File>) -> Self {
        Self {
            pipe,
            waiting: Vec::new(),
            written: 0,
            closing: false,
        }
    }

    /// The pipe, if it has to be written when it can be.
    #[must_use]
    pub fn wants_to_write(&self) -> Option<&File> {
        self.pipe.as_ref().filter(|_| !self.waiting.is_empty())
    }

    /// Whether so much waits that nothing should be added.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.waiting.len() - self.written > MAX_WAITING
    }

    /// Adds bytes and writes what can be written.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.pipe.is_some() && !self.closing {
            self.waiting.extend_from_slice(bytes);
            self.write();
        }
    }

    /// Closes the pipe as soon as everything is written.
    pub fn close(&mut self) {
        self.closing = true;
        self.write();
    }

    /// Writes what can be written. A reader that is gone makes everything vanish: its process
    /// is about to be reaped, and says more than the pipe.
    pub fn write(&mut self) {
        let Some(pipe) = &mut self.pipe else {
            return;
        };
        while self.written < self.waiting.len() {
            match pipe.write(&self.waiting[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.written > KEEP_BUFFER {
                        self.waiting.drain(..self.written);
                        self.written = 0;
                    }
                    return;
                }
                Err(_) => {
                    self.pipe = None;
                    break;
                }
            }
        }
        self.written = 0;
        self.waiting.clear();
        self.waiting.shrink_to(KEEP_BUFFER);
        if self.closing {
            self.pipe = None;
        }
    }
}
