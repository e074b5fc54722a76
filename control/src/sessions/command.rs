//! What a client asks of a session, whichever way it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::api::{Encoding, Input, Resize};
use cib_protocol::keeper::KeeperRequest;

use super::create::check_model;
use crate::fault::{Code, Fault};

/// What an input becomes, and how many bytes it has for the client.
///
/// # Errors
/// [`Code::BadValue`] if it is empty or not what its encoding says.
pub fn input(input: Input) -> Result<(KeeperRequest, u64), Fault> {
    let (request, bytes) = match input.encoding {
        Encoding::Utf8 | Encoding::Command => {
            // Clients that type into a terminal end a message with its Enter key.
            let text = input.data.trim_end_matches(['\r', '\n']);
            let bytes = text.len();
            let request = KeeperRequest::Input {
                text: text.to_owned(),
                id: None,
                command: input.encoding == Encoding::Command,
            };
            (request, bytes)
        }
        Encoding::Raw => {
            let data = STANDARD.encode(&input.data);
            (KeeperRequest::Raw { data }, input.data.len())
        }
        Encoding::Base64 => {
            let decoded = STANDARD.decode(&input.data).map_err(|error| {
                Fault::new(Code::BadValue, format!("`data` is not base64: {error}"))
            })?;
            (KeeperRequest::Raw { data: input.data }, decoded.len())
        }
    };
    if bytes == 0 {
        return Err(Fault::new(Code::BadValue, "`data` is empty"));
    }
    Ok((request, bytes as u64))
}

/// What an input of a shell becomes: every text is typed as it is.
///
/// # Errors
/// As [`input`].
pub fn keys(mut keys: Input) -> Result<(KeeperRequest, u64), Fault> {
    if matches!(keys.encoding, Encoding::Utf8 | Encoding::Command) {
        keys.encoding = Encoding::Raw;
    }
    input(keys)
}

/// A change of model.
///
/// # Errors
/// [`Code::BadValue`] if it is no name.
pub fn model(model: String) -> Result<KeeperRequest, Fault> {
    check_model(&model)?;
    Ok(KeeperRequest::SetModel { model })
}

/// A change of size.
///
/// # Errors
/// [`Code::BadValue`] if there would be nothing to see.
pub fn resize(size: Resize) -> Result<KeeperRequest, Fault> {
    if size.cols == 0 || size.rows == 0 {
        return Err(Fault::new(
            Code::BadValue,
            "`cols` and `rows` have to be above zero",
        ));
    }
    Ok(KeeperRequest::Resize {
        cols: size.cols,
        rows: size.rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(data: &str, encoding: Encoding) -> Result<(KeeperRequest, u64), Code> {
        input(Input {
            data: data.to_owned(),
            encoding,
        })
        .map_err(|fault| fault.code())
    }

    #[test]
    fn a_message_loses_its_enter_key_and_nothing_else() {
        let (request, bytes) = of(" two\nlines \r\n", Encoding::Utf8).unwrap();
        let text = " two\nlines ".to_owned();
        assert_eq!(bytes, 11);
        let id = None;
        let command = false;
        assert_eq!(request, KeeperRequest::Input { text, id, command });
    }

    #[test]
    fn bytes_reach_the_terminal_unchanged_in_both_spellings() {
        let data = "Gwo=".to_owned();
        assert_eq!(
            of("\u{1b}\n", Encoding::Raw),
            Ok((KeeperRequest::Raw { data: data.clone() }, 2))
        );
        assert_eq!(
            of("Gwo=", Encoding::Base64),
            Ok((KeeperRequest::Raw { data }, 2))
        );
    }

    #[test]
    fn nothing_and_broken_base64_are_refused() {
        assert_eq!(of("\n", Encoding::Utf8), Err(Code::BadValue));
        assert_eq!(of("", Encoding::Raw), Err(Code::BadValue));
        assert_eq!(of("Gwo", Encoding::Base64), Err(Code::BadValue));
    }
}
