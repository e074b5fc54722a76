//! A mail server: SMTP with TLS by request, and a password.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use crate::serve::{Running, listen};

/// A mail that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Letter {
    /// How the sender logged in.
    pub login: String,
    /// Whether it came over TLS.
    pub is_tls: bool,
    /// Its sender.
    pub from: String,
    /// Its receivers.
    pub to: Vec<String>,
    /// Headers and text, as they came.
    pub text: String,
}

#[derive(Debug)]
struct Shared {
    letters: Mutex<Vec<Letter>>,
    /// Whether it offers TLS.
    offers: bool,
}

/// A mail server running in this process until dropped.
#[derive(Debug)]
pub struct Mails {
    running: Running,
    shared: Arc<Shared>,
    certificate: String,
}

impl Mails {
    /// Starts on a free port of the loopback, as `localhost`. Whoever wants TLS gets it, if it is
    /// offered.
    ///
    /// # Errors
    /// No port can be bound, or no certificate made.
    pub fn start(offers: bool) -> io::Result<Self> {
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let names = vec!["localhost".to_owned()];
        let made = CertificateParams::new(names)
            .and_then(|params| params.self_signed(&key))
            .map_err(io::Error::other)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_single_cert(vec![made.der().clone()], private)
            .map_err(io::Error::other)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let shared = Arc::new(Shared {
            letters: Mutex::default(),
            offers,
        });
        let state = Arc::clone(&shared);
        let running = Running::start(move || {
            let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0)))?;
            let address = listener.local_addr()?;
            let work = async move {
                loop {
                    let (stream, _) = listener.accept().await?;
                    let (state, acceptor) = (Arc::clone(&state), acceptor.clone());
                    tokio::spawn(async move {
                        // A sender that hangs up is its own affair.
                        let _ = serve(&state, &acceptor, stream).await;
                    });
                }
            };
            Ok((address, Box::pin(work)))
        })?;
        Ok(Self {
            running,
            shared,
            certificate: made.pem(),
        })
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.running.addr().port()
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// What it took so far.
    #[must_use]
    pub fn letters(&self) -> Vec<Letter> {
        let letters = self.shared.letters.lock();
        letters.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(shared: &Shared, acceptor: &TlsAcceptor, stream: TcpStream) -> io::Result<()> {
    let mut plain = BufReader::new(stream);
    plain
        .get_mut()
        .write_all(b"220 localhost ESMTP\r\n")
        .await?;
    if !converse(shared, &mut plain, false).await? {
        return Ok(());
    }
    let stream = acceptor.accept(plain.into_inner()).await?;
    converse(shared, &mut BufReader::new(stream), true).await?;
    Ok(())
}

/// Takes letters until the sender goes, or begins TLS: then it is true.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    shared: &Shared,
    stream: &mut BufReader<S>,
    is_tls: bool,
) -> io::Result<bool> {
    let mut letter = Letter {
        is_tls,
        ..Letter::default()
    };
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let line = line.trim_end();
        let answer = match line.split(' ').next().unwrap_or_default() {
            "EHLO" if is_tls => "250-localhost\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN".to_owned(),
            "EHLO" if shared.offers => "250-localhost\r\n250 STARTTLS".to_owned(),
            "EHLO" => "250 localhost".to_owned(),
            "STARTTLS" => {
                stream.get_mut().write_all(b"220 go ahead\r\n").await?;
                return Ok(true);
            }
            "AUTH" => {
                letter.login = line.to_owned();
                "235 2.7.0 welcome".to_owned()
            }
            "MAIL" => {
                letter.from = line.to_owned();
                "250 2.1.0 ok".to_owned()
            }
            "RCPT" => {
                letter.to.push(line.to_owned());
                "250 2.1.5 ok".to_owned()
            }
            "DATA" => {
                stream
                    .get_mut()
                    .write_all(b"354 end with a dot\r\n")
                    .await?;
                letter.text = text(stream).await?;
                let letters = shared.letters.lock();
                letters
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(letter.clone());
                "250 2.0.0 taken".to_owned()
            }
            "QUIT" => {
                stream.get_mut().write_all(b"221 bye\r\n").await?;
                return Ok(false);
            }
            _ => "500 what?".to_owned(),
        };
        stream
            .get_mut()
            .write_all(format!("{answer}\r\n").as_bytes())
            .await?;
        stream.get_mut().flush().await?;
    }
}

async fn text<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}
