//! The keeper's socket: lines in, lines out, and nobody can hold the keeper up.
//!
//! Whoever is not one of those that may ask gets no answer to anything.
//! A client that does not read its replies is not read either, and one that sends what is no
//! request is told so and shut out; the others notice nothing.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use cib_protocol::MAX_INPUT_LINE;
use cib_protocol::keeper::{KeeperFault, KeeperReply, KeeperRequest};
use nix::poll::PollFlags;
use nix::sys::socket::{getsockopt, sockopt};

/// Name of the socket in the runtime directory.
pub(super) const SOCKET: &str = "keeper.sock";

/// Clients at once; control needs a few.
const MAX_CLIENTS: usize = 64;

/// Bytes of replies that may wait before a client is not read any more.
const MAX_REPLIES: usize = 64 * 1024;

/// The listening socket and its clients.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) listener: UnixListener,
    /// Users that may ask.
    peers: Vec<u32>,
    clients: Vec<Client>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    state: ClientState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClientState {
    Open,
    /// Gone once its replies are written.
    Leaving,
    Gone,
}

impl Clients {
    /// Listens. The caller holds the session's lock, so a socket that is there is a dead one.
    pub(super) fn listen(runtime: &Path, peers: &[u32]) -> io::Result<Self> {
        let path = runtime.join(SOCKET);
        let listener = crate::socket::listen(&path)?;
        // Control reaches the socket by its group, which a set-group-id directory hands on.
        // Where the directory does not, the kernel's word on who connects is guard enough.
        let inherits = fs::metadata(&path)?.gid() == fs::metadata(runtime)?.gid();
        let mode = if inherits { 0o660 } else { 0o666 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        let own = nix::unistd::geteuid().as_raw();
        Ok(Self {
            listener,
            peers: [0, own].iter().chain(peers).copied().collect(),
            clients: Vec::new(),
        })
    }

    /// The connections with what each waits for, in a stable order until [`Clients::sweep`].
    pub(super) fn interests(&self) -> impl Iterator<Item = (&UnixStream, PollFlags)> {
        self.clients.iter().map(|client| {
            let mut flags = PollFlags::empty();
            if client.state == ClientState::Open && client.output.len() < MAX_REPLIES {
                flags |= PollFlags::POLLIN;
            }
            if !client.output.is_empty() {
                flags |= PollFlags::POLLOUT;
            }
            (&client.stream, flags)
        })
    }

    /// Takes everybody who knocks and may.
    pub(super) fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let may = peer(&stream).is_some_and(|uid| self.peers.contains(&uid));
            if may && self.clients.len() < MAX_CLIENTS && stream.set_nonblocking(true).is_ok() {
                self.clients.push(Client::new(stream));
            }
        }
    }

    pub(super) fn get(&mut self, index: usize) -> Option<&mut Client> {
        self.clients.get_mut(index)
    }

    /// Gives a client the replies that it takes, and returns what it asks.
    pub(super) fn serve(
        &mut self,
        index: usize,
        flags: PollFlags,
        buffer: &mut [u8],
    ) -> Vec<KeeperRequest> {
        let Some(client) = self.get(index) else {
            return Vec::new();
        };
        if flags.contains(PollFlags::POLLOUT) {
            client.write();
        }
        if flags.contains(PollFlags::POLLIN) {
            return client.read(buffer);
        }
        if flags.intersects(PollFlags::POLLHUP | PollFlags::POLLERR) {
            client.hang_up();
        }
        Vec::new()
    }

    /// Forgets who is gone.
    pub(super) fn sweep(&mut self) {
        self.clients
            .retain(|client| client.state != ClientState::Gone);
    }
}

/// Who is at the other end of a connection, by the kernel's word.
pub(super) fn peer(stream: &UnixStream) -> Option<u32> {
    Some(getsockopt(stream, sockopt::PeerCredentials).ok()?.uid())
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            input: Vec::new(),
            output: Vec::new(),
            state: ClientState::Open,
        }
    }

    /// Reads once and returns the requests that are complete.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Vec<KeeperRequest> {
        let count = match self.stream.read(buffer) {
            Ok(0) => {
                self.state = ClientState::Leaving;
                self.write();
                return Vec::new();
            }
            Ok(count) => count,
            Err(error) => {
                let passing = [io::ErrorKind::WouldBlock, io::ErrorKind::Interrupted];
                if !passing.contains(&error.kind()) {
                    self.state = ClientState::Gone;
                }
                return Vec::new();
            }
        };
        self.input.extend_from_slice(&buffer[..count]);
        let fresh = self.input.len() - count;
        let Some(end) = self.input[fresh..].iter().rposition(|&byte| byte == b'\n') else {
            if self.input.len() > MAX_INPUT_LINE {
                self.shut_out(&format!("a request is at most {MAX_INPUT_LINE} bytes long"));
            }
            return Vec::new();
        };
        let rest = self.input.split_off(fresh + end + 1);
        let lines = std::mem::replace(&mut self.input, rest);
        self.parse(&lines)
    }

    fn parse(&mut self, lines: &[u8]) -> Vec<KeeperRequest> {
        let mut requests = Vec::new();
        for line in lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            match crate::json::from_bytes(line) {
                Ok(request) => requests.push(request),
                Err(error) => {
                    self.shut_out(&format!("not a request: {error}"));
                    break;
                }
            }
        }
        requests
    }

    /// Answers, as far as the client reads.
    pub(super) fn reply(&mut self, reply: &KeeperReply) {
        // Replies hold strings and numbers alone, which are always JSON.
        if serde_json::to_writer(&mut self.output, reply).is_ok() {
            self.output.push(b'\n');
        }
        self.write();
    }

    /// Writes what the client takes.
    pub(super) fn write(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(count) => {
                    self.output.drain(..count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        self.state = ClientState::Gone;
                    }
                    return;
                }
            }
        }
        if self.state == ClientState::Leaving {
            self.state = ClientState::Gone;
        }
    }

    /// The connection broke.
    pub(super) fn hang_up(&mut self) {
        self.state = ClientState::Gone;
    }

    fn shut_out(&mut self, detail: &str) {
        self.input = Vec::new();
        self.state = ClientState::Leaving;
        self.reply(&KeeperReply::Refused {
            code: KeeperFault::BadRequest,
            detail: detail.to_owned(),
        });
    }
}
