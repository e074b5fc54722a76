//! Mail by SMTP (RFC 5321), over TLS from the beginning or as soon as the server offers it.
//!
//! What is said is little, so it is said here: a greeting, who the box is, one message.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_base::errors::chain;
use cib_protocol::secret::Secret;
use percent_encoding::percent_decode_str;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::time::timeout;

use super::{Message, Notifier, Telling};
use crate::notices::outside::{Outside, Refusal};

/// How the box calls itself.
const NAME: &str = "claude-in-box.invalid";

/// How long a whole conversation may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a line of a server's.
const MAX_LINE: u64 = 2000;

/// Lines of an answer.
const MAX_LINES: usize = 64;

/// Bytes of text in one encoded word: with all around it that is less than the 75 characters that one
/// may have (RFC 2047).
const WORD: usize = 42;

/// Characters of base64 in a line.
const WIDTH: usize = 76;

/// Where mail is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::notices) struct Server {
    pub(in crate::notices) host: String,
    port: u16,
    /// Whether TLS comes first.
    is_tls: bool,
    login: Option<(String, Secret)>,
}

impl Server {
    /// Reads `smtps://user:password@host:port`.
    pub(in crate::notices) fn parse(url: &Secret) -> Result<Self, String> {
        let text = url.expose();
        let (is_tls, rest) = match text.split_once("://") {
            Some(("smtps", rest)) => (true, rest),
            Some(("smtp", rest)) => (false, rest),
            _ => return Err("does not begin with smtps:// or smtp://".to_owned()),
        };
        let rest = rest.trim_end_matches('/');
        if rest.contains(['/', '?', '#']) {
            return Err("has something behind the port".to_owned());
        }
        let (login, place) = match rest.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, rest),
        };
        let decode = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            let text = text.map_err(|_| "has a password that is no UTF-8".to_owned())?;
            if text.contains('\0') {
                return Err("has a NUL byte in it".to_owned());
            }
            Ok(text.into_owned())
        };
        let login = login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            Ok::<_, String>((decode(user)?, Secret::new(decode(password)?)))
        });
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => {
                let port = port
                    .parse()
                    .map_err(|_| "has a port that is none".to_owned())?;
                (host, port)
            }
            _ => (place, if is_tls { 465 } else { 587 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || host.contains(char::is_whitespace) {
            return Err("names no host".to_owned());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            is_tls,
            login: login.transpose()?,
        })
    }
}

/// Whether something can stand as an address: nothing in it can end the command that it stands in.
pub(in crate::notices) fn check_address(text: &str) -> Result<(), &'static str> {
    let is_good = |letter: char| letter.is_ascii_graphic() && !"<>()[],;:\\\"".contains(letter);
    match text.split_once('@') {
        Some((name, host))
            if !name.is_empty()
                && !host.is_empty()
                && !host.contains('@')
                && text.len() <= 254
                && text.chars().all(is_good) =>
        {
            Ok(())
        }
        _ => Err("is no address of mail"),
    }
}

/// Somebody with a mailbox.
#[derive(Debug)]
pub(in crate::notices) struct Mail<'a> {
    pub(in crate::notices) server: &'a Secret,
    pub(in crate::notices) from: &'a str,
    pub(in crate::notices) to: &'a str,
}

impl Notifier for Mail<'_> {
    fn tell<'a>(&'a self, outside: &'a Outside, message: &'a Message<'a>) -> Telling<'a> {
        Box::pin(async move {
            let server = Server::parse(self.server).map_err(Refusal::Never)?;
            let text = self.text(message);
            let told = timeout(PATIENCE, self.hand_over(outside, &server, &text)).await;
            told.unwrap_or_else(|_| {
                let why = format!("no answer within {} s", PATIENCE.as_secs());
                Err(Refusal::Later(why, None))
            })
        })
    }
}

impl Mail<'_> {
    async fn hand_over(
        &self,
        outside: &Outside,
        server: &Server,
        text: &str,
    ) -> Result<(), Refusal> {
        let client = outside.client();
        let failed = |error: &cib_https::HttpsError| Refusal::Later(chain(error), None);
        let stream = client.dial(&server.host, server.port).await;
        let stream = stream.map_err(|error| failed(&error))?;
        if server.is_tls {
            let stream = client.secure(&server.host, stream).await;
            let mut talk = Talk::new(stream.map_err(|error| failed(&error))?);
            talk.answer(220).await?;
            let offers = talk.hello().await?;
            return self.converse(talk, server, &offers, text).await;
        }
        let mut talk = Talk::new(stream);
        talk.answer(220).await?;
        let offers = talk.hello().await?;
        if !offers.iter().any(|offer| offer == "STARTTLS") {
            if server.login.is_some() {
                let why = "the server offers no TLS, and a password is not sent without it";
                return Err(Refusal::Later(why.to_owned(), None));
            }
            return self.converse(talk, server, &offers, text).await;
        }
        talk.ask("STARTTLS", 220).await?;
        let stream = client.secure(&server.host, talk.bare()?).await;
        let mut talk = Talk::new(stream.map_err(|error| failed(&error))?);
        let offers = talk.hello().await?;
        self.converse(talk, server, &offers, text).await
    }

    /// From who the box is to the end of the message.
    async fn converse<S: AsyncRead + AsyncWrite + Unpin + Send>(
        &self,
        mut talk: Talk<S>,
        server: &Server,
        offers: &[String],
        text: &str,
    ) -> Result<(), Refusal> {
        if let Some((user, password)) = &server.login {
            let ways = offers.iter().find_map(|offer| offer.strip_prefix("AUTH "));
            let ways: Vec<_> = ways.unwrap_or_default().split(' ').collect();
            if ways.contains(&"PLAIN") || !ways.contains(&"LOGIN") {
                let login = STANDARD.encode(format!("\0{user}\0{}", password.expose()));
                talk.ask(&format!("AUTH PLAIN {login}"), 235).await?;
            } else {
                talk.ask("AUTH LOGIN", 334).await?;
                talk.ask(&STANDARD.encode(user), 334).await?;
                talk.ask(&STANDARD.encode(password.expose()), 235).await?;
            }
        }
        talk.ask(&format!("MAIL FROM:<{}>", self.from), 250).await?;
        talk.ask(&format!("RCPT TO:<{}>", self.to), 250).await?;
        talk.ask("DATA", 354).await?;
        talk.ask(&format!("{text}\r\n."), 250).await?;
        // It has the message, whatever it says to this.
        let _ = talk.ask("QUIT", 221).await;
        Ok(())
    }

    /// The message. No line of it begins with a dot, and none of it is longer than mail may be.
    fn text(&self, message: &Message<'_>) -> String {
        let notice = message.notice;
        let mut body = format!("{}\r\n", notice.text.replace('\n', "\r\n"));
        for option in &notice.options {
            body.push_str(&format!("- {option}\r\n"));
        }
        for url in message.link.iter().chain(&message.page) {
            body.push_str(&format!("\r\n{url}\r\n"));
        }
        let encoded = STANDARD.encode(body);
        let lines: Vec<_> = encoded
            .as_bytes()
            .chunks(WIDTH)
            .map(String::from_utf8_lossy)
            .collect();
        let headers = [
            format!("Date: {}", message.now.for_mail()),
            format!("From: <{}>", self.from),
            format!("To: <{}>", self.to),
            format!(
                "Subject: {}",
                words(&format!("{} {}", message.sign(), notice.title))
            ),
            format!("Message-ID: <{}@{NAME}>", message.delivery),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: text/plain; charset=utf-8".to_owned(),
            "Content-Transfer-Encoding: base64".to_owned(),
            "Auto-Submitted: auto-generated".to_owned(),
        ];
        format!("{}\r\n\r\n{}", headers.join("\r\n"), lines.join("\r\n"))
    }
}

/// Text in a header, as encoded words.
fn words(text: &str) -> String {
    let mut pieces = vec![String::new()];
    for letter in text.chars().filter(|letter| !letter.is_control()) {
        if pieces
            .last()
            .is_some_and(|piece| piece.len() + letter.len_utf8() > WORD)
        {
            pieces.push(String::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push(letter);
        }
    }
    let encode = |piece: &String| format!("=?UTF-8?B?{}?=", STANDARD.encode(piece));
    pieces.iter().map(encode).collect::<Vec<_>>().join("\r\n ")
}

/// A conversation with a server.
struct Talk<S>(BufReader<S>);

impl<S: AsyncRead + AsyncWrite + Unpin> Talk<S> {
    fn new(stream: S) -> Self {
        Self(BufReader::new(stream))
    }

    /// Says who the box is; what the server offers.
    async fn hello(&mut self) -> Result<Vec<String>, Refusal> {
        let offers = self.ask(&format!("EHLO {NAME}"), 250).await?;
        Ok(offers
            .iter()
            .map(|offer| offer.to_ascii_uppercase())
            .collect())
    }

    async fn ask(&mut self, line: &str, expected: u16) -> Result<Vec<String>, Refusal> {
        let said = format!("{line}\r\n");
        let written = self.0.get_mut().write_all(said.as_bytes()).await;
        written.map_err(|error| broken(&error))?;
        self.0
            .get_mut()
            .flush()
            .await
            .map_err(|error| broken(&error))?;
        self.answer(expected).await
    }

    /// The lines of an answer, if it is the one that is expected.
    async fn answer(&mut self, expected: u16) -> Result<Vec<String>, Refusal> {
        let mut lines = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = (&mut self.0)
                .take(MAX_LINE)
                .read_until(b'\n', &mut line)
                .await;
            read.map_err(|error| broken(&error))?;
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let code: Option<u16> = line.get(..3).and_then(|code| code.parse().ok());
            let Some(code) = code.filter(|_| lines.len() < MAX_LINES) else {
                return Err(Refusal::Later(
                    "it does not answer as SMTP does".to_owned(),
                    None,
                ));
            };
            let rest = line.get(4..).unwrap_or_default().to_owned();
            if line.as_bytes().get(3) == Some(&b'-') {
                lines.push(rest);
                continue;
            }
            if code != expected && !(expected == 250 && code == 251) {
                let said: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
                return Err(Refusal::Later(format!("it answered {said}"), None));
            }
            lines.push(rest);
            return Ok(lines);
        }
    }

    /// The stream by itself. Whatever came before TLS was not the server's to say.
    fn bare(self) -> Result<S, Refusal> {
        if self.0.buffer().is_empty() {
            return Ok(self.0.into_inner());
        }
        let why = "something was said between the offer of TLS and its beginning";
        Err(Refusal::Later(why.to_owned(), None))
    }
}

fn broken(error: &std::io::Error) -> Refusal {
    Refusal::Later(format!("the connection broke: {error}"), None)
}

#[cfg(test)]
mod tests {
    use cib_protocol::time::Timestamp;

    use super::super::example;
    use super::*;

    fn server(text: &str) -> Result<Server, String> {
        Server::parse(&Secret::new(text))
    }

    #[test]
    fn a_server_is_read_with_its_password_and_what_is_none_is_refused() {
        let one = server("smtps://me%40x.org:a%3Ab@mail.example").unwrap();
        let login = ("me@x.org".to_owned(), Secret::new("a:b"));
        assert_eq!(
            (&*one.host, one.port, one.is_tls),
            ("mail.example", 465, true)
        );
        assert_eq!(one.login, Some(login));
        let two = server("smtp://[::1]:2525/").unwrap();
        assert_eq!(
            (&*two.host, two.port, two.is_tls, two.login),
            ("::1", 2525, false, None)
        );
        for bad in [
            "mail.example",
            "http://x",
            "smtp://",
            "smtp://x:y",
            "smtp://x/?a",
            "smtps://a:%00@x",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_address_cannot_end_the_command_that_it_stands_in() {
        assert_eq!(check_address("ann+box@mail.example"), Ok(()));
        for bad in [
            "",
            "ann",
            "@x",
            "a@",
            "a@b>",
            "a@b\r\nDATA",
            "a b@c",
            "<a@b>",
            "a@b@c",
            "ä@b",
        ] {
            assert!(check_address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_message_is_ascii_in_short_lines_whatever_is_told() {
        let mut notice = example();
        notice.title = "界".repeat(60) + "\r\nBcc: eve@evil.example";
        notice.text = ".\r\nsecond line\n".repeat(40);
        let server = Secret::new("smtp://x");
        let mail = Mail {
            server: &server,
            from: "box@x.example",
            to: "ann@x.example",
        };
        let text = mail.text(&Message {
            delivery: "msg_1",
            notice: &notice,
            now: Timestamp::from_millis(1_700_000_000_000),
            code: None,
            link: Some("https://box.example/a/c0de"),
            page: None,
        });
        assert!(
            text.starts_with("Date: Tue, 14 Nov 2023 22:13:20 +0000\r\n"),
            "{text}"
        );
        assert!(!text.to_lowercase().contains("\r\nbcc"));
        for line in text.split("\r\n") {
            assert!(
                line.is_ascii() && line.len() <= 76 + 10 && !line.starts_with('.'),
                "{line}"
            );
            assert!(!line.contains(['\r', '\n']));
        }
    }
}
