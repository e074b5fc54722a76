//! What keeper and launcher tell each other: one datagram a message, numbers as this machine
//! has them, because both ends are one program on one machine.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::FileExt as _;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

/// Bytes that a program's arguments and environment may have; the kernel takes fewer.
pub const MAX_BODY: u64 = 4 * 1024 * 1024;

/// Bytes of the longest datagram.
pub(crate) const MAX_DATAGRAM: usize = 512;

/// A program to be started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Its path, or a name on the `PATH` of its own environment, and what follows.
    pub arguments: Vec<CString>,
    /// The complete environment, `NAME=value` each.
    pub environment: Vec<CString>,
    /// The folder that it starts in.
    pub folder: CString,
    /// Columns and rows of a terminal of its own, instead of three descriptors.
    pub terminal: Option<(u16, u16)>,
    /// The CPUs that it may use; empty for all.
    pub cpus: Vec<u16>,
}

impl Program {
    /// Puts it into a file without a name, which takes what no datagram would.
    pub(crate) fn write(&self) -> io::Result<File> {
        let mut body = Vec::new();
        let (columns, rows) = self.terminal.unwrap_or_default();
        body.extend(u32::from(self.terminal.is_some()).to_ne_bytes());
        body.extend(columns.to_ne_bytes());
        body.extend(rows.to_ne_bytes());
        put_len(&mut body, self.cpus.len());
        body.extend(self.cpus.iter().flat_map(|cpu| cpu.to_ne_bytes()));
        let folder = std::slice::from_ref(&self.folder);
        for texts in [folder, &self.arguments, &self.environment] {
            put_len(&mut body, texts.len());
            for text in texts {
                put_len(&mut body, text.as_bytes().len());
                body.extend(text.as_bytes());
            }
        }
        if body.len() as u64 > MAX_BODY {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let mut file = File::from(memfd_create(c"program", MFdFlags::MFD_CLOEXEC)?);
        file.write_all(&body)?;
        Ok(file)
    }

    pub(crate) fn read(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        if !meta.is_file() || meta.len() > MAX_BODY {
            return Err(io::ErrorKind::ArgumentListTooLong.into());
        }
        let mut body = vec![0; usize::try_from(meta.len()).unwrap_or(0)];
        file.read_exact_at(&mut body, 0)?;
        Reader(&body)
            .program()
            .ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// The paths under which the program may be found.
    pub(crate) fn candidates(&self) -> Vec<CString> {
        let Some(name) = self.arguments.first() else {
            return Vec::new();
        };
        if name.as_bytes().contains(&b'/') {
            return vec![name.clone()];
        }
        let mut variables = self.environment.iter().map(|entry| entry.as_bytes());
        let path = variables.find_map(|entry| entry.strip_prefix(b"PATH="));
        path.unwrap_or_default()
            .split(|&byte| byte == b':')
            // Anything else would be found by where somebody happens to stand.
            .filter(|folder| folder.starts_with(b"/"))
            .filter_map(|folder| CString::new([folder, b"/", name.as_bytes()].concat()).ok())
            .collect()
    }
}

fn put_len(body: &mut Vec<u8>, len: usize) {
    body.extend(u32::try_from(len).unwrap_or(u32::MAX).to_ne_bytes());
}

/// What the keeper wants. Descriptors go beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Start the program of the first descriptor with the others as its standard three.
    Start,
    /// Signal a process that was started, or its group.
    Signal { pid: i32, signal: i32, group: bool },
    /// Kill everything.
    KillAll,
}

/// What the launcher says. The terminal's descriptor goes beside [`Reply::Started`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    Hello(Hello),
    Started { pid: i32 },
    Failed { errno: i32, what: String },
    Exited { pid: i32, code: i32 },
    Nobody,
}

/// Who the launcher is, and for whom it starts things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its process.
    pub pid: i32,
    /// The user of what it starts.
    pub uid: u32,
}

impl Request {
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Start => numbers(0, &[]),
            Self::Signal { pid, signal, group } => numbers(1, &[pid, signal, i32::from(group)]),
            Self::KillAll => numbers(2, &[]),
        }
    }

    pub(crate) fn decode(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader(datagram);
        match reader.number()? {
            0 => Some(Self::Start),
            1 => Some(Self::Signal {
                pid: reader.number()?,
                signal: reader.number()?,
                group: reader.number()? != 0,
            }),
            2 => Some(Self::KillAll),
            _ => None,
        }
    }
}

impl Reply {
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Hello(hello) => numbers(0, &[hello.pid, hello.uid.cast_signed()]),
            Self::Started { pid } => numbers(1, &[*pid]),
            Self::Failed { errno, what } => {
                let mut datagram = numbers(2, &[*errno]);
                datagram.extend(what.bytes().take(MAX_DATAGRAM / 2));
                datagram
            }
            Self::Exited { pid, code } => numbers(3, &[*pid, *code]),
            Self::Nobody => numbers(4, &[]),
        }
    }

    pub(crate) fn decode(datagram: &[u8]) -> Option<Self> {
        let mut reader = Reader(datagram);
        match reader.number()? {
            0 => Some(Self::Hello(Hello {
                pid: reader.number()?,
                uid: reader.number()?.cast_unsigned(),
            })),
            1 => Some(Self::Started {
                pid: reader.number()?,
            }),
            2 => Some(Self::Failed {
                errno: reader.number()?,
                what: String::from_utf8_lossy(reader.0).into_owned(),
            }),
            3 => Some(Self::Exited {
                pid: reader.number()?,
                code: reader.number()?,
            }),
            4 => Some(Self::Nobody),
            _ => None,
        }
    }
}

fn numbers(kind: i32, fields: &[i32]) -> Vec<u8> {
    let fields = std::iter::once(&kind).chain(fields);
    fields.flat_map(|field| field.to_ne_bytes()).collect()
}

/// What is left of a message.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<i32> {
        Some(i32::from_ne_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn short(&mut self) -> Option<u16> {
        Some(u16::from_ne_bytes(self.bytes(2)?.try_into().ok()?))
    }

    fn texts(&mut self) -> Option<Vec<CString>> {
        let count = self.number()?;
        (0..count)
            .map(|_| {
                let len = usize::try_from(self.number()?).ok()?;
                CString::new(self.bytes(len)?).ok()
            })
            .collect()
    }

    fn program(&mut self) -> Option<Program> {
        let has_terminal = self.number()? != 0;
        let size = (self.short()?, self.short()?);
        let count = self.number()?;
        Some(Program {
            terminal: has_terminal.then_some(size),
            cpus: (0..count).map(|_| self.short()).collect::<Option<_>>()?,
            folder: self.texts()?.pop()?,
            arguments: self.texts()?,
            environment: self.texts()?,
        })
    }
}

/// Sends one datagram with descriptors beside it.
pub(crate) fn send(to: impl AsFd, datagram: &[u8], fds: &[BorrowedFd<'_>]) -> nix::Result<()> {
    let fds: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let beside = if fds.is_empty() { &[] } else { &rights[..] };
    let text = [IoSlice::new(datagram)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    loop {
        match sendmsg::<()>(to.as_fd().as_raw_fd(), &text, beside, flags, None) {
            Ok(_) => return Ok(()),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Program {
        Program {
            arguments: vec![c"claude".to_owned(), c"".to_owned()],
            environment: vec![c"A=1".to_owned(), c"PATH=/a::b:/c".to_owned()],
            folder: c"/w".to_owned(),
            terminal: Some((80, 24)),
            cpus: vec![1, 3],
        }
    }

    #[test]
    fn a_program_comes_out_as_it_went_in_however_long() {
        let mut program = program();
        let long = CString::new(vec![b'x'; 1_000_000]).unwrap();
        program.arguments.push(long);
        assert_eq!(Program::read(&program.write().unwrap()).unwrap(), program);
    }

    #[test]
    fn a_program_that_no_kernel_takes_is_refused() {
        let mut program = program();
        program.environment = vec![CString::new(vec![b'x'; 5_000_000]).unwrap()];
        let error = program.write().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ArgumentListTooLong);
    }

    #[test]
    fn half_a_program_and_wild_numbers_are_refused() {
        let whole = program().write().unwrap();
        let len = whole.metadata().unwrap().len();
        for cut in 0..len {
            whole.set_len(cut).unwrap();
            assert!(Program::read(&whole).is_err(), "{cut} of {len} bytes");
            let again = program().write().unwrap();
            again.write_all_at(&[0xff; 4], cut.min(len - 4)).unwrap();
            // Whatever it is read as, nothing is taken from outside of it.
            let _ = Program::read(&again);
        }
    }

    #[test]
    fn a_name_is_looked_for_in_whole_paths_alone() {
        let found = program().candidates();
        assert_eq!(found, [c"/a/claude".to_owned(), c"/c/claude".to_owned()]);
        let mut named = program();
        named.arguments[0] = c"./x".to_owned();
        assert_eq!(named.candidates(), [c"./x".to_owned()]);
    }

    #[test]
    fn messages_come_out_as_they_went_in() {
        let signal = Request::Signal {
            pid: 7,
            signal: 15,
            group: true,
        };
        for request in [Request::Start, signal, Request::KillAll] {
            assert_eq!(Request::decode(&request.encode()), Some(request));
        }
        let failed = Reply::Failed {
            errno: 2,
            what: "enter the folder".to_owned(),
        };
        for reply in [
            Reply::Hello(Hello {
                pid: 9,
                uid: u32::MAX,
            }),
            Reply::Started { pid: 7 },
            failed,
            Reply::Exited { pid: 7, code: 137 },
            Reply::Nobody,
        ] {
            assert_eq!(Reply::decode(&reply.encode()), Some(reply));
        }
        assert_eq!(Request::decode(&[]), None);
        assert_eq!(Request::decode(&[1, 0, 0, 0, 7]), None);
    }
}
