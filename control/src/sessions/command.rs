//! What a client asks of a session, whichever way it came.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::api::{Content, Encoding, ImageSource, Input, Resize};
use cib_protocol::image::{Image, MAX_BYTES, MAX_IMAGES};
use cib_protocol::keeper::KeeperRequest;

use super::create::{check_effort, check_model};
use crate::fault::{Code, Fault};
use crate::once::Key;

/// What an input becomes, and how many bytes it has for the client.
///
/// # Errors
/// [`Code::BadValue`] if it is empty or not what its encoding says, [`Code::TooLarge`] if its
/// images are too many or too large.
pub fn input(input: Input) -> Result<(KeeperRequest, u64), Fault> {
    if !input.content.is_empty() {
        return parts(input);
    }
    let (request, bytes) = match input.encoding {
        Encoding::Utf8 | Encoding::Command => {
            // Clients that type into a terminal end a message with its Enter key.
            let text = input.data.trim_end_matches(['\r', '\n']);
            let bytes = text.len();
            let request = KeeperRequest::Input {
                text: text.to_owned(),
                id: None,
                command: input.encoding == Encoding::Command,
                images: Vec::new(),
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

/// What a message in parts becomes.
fn parts(input: Input) -> Result<(KeeperRequest, u64), Fault> {
    if !input.data.is_empty() || input.encoding != Encoding::Utf8 {
        let detail = "`content` stands in the place of `data`, and is a message";
        return Err(Fault::new(Code::BadValue, detail));
    }
    let (mut texts, mut images) = (Vec::new(), Vec::new());
    for part in input.content {
        match part {
            Content::Text { text } => texts.push(text),
            Content::Image {
                source: ImageSource::Base64 { media_type, data },
            } => images.push(Image { media_type, data }),
        }
    }
    let text = texts.join("\n\n");
    let text = text.trim_end_matches(['\r', '\n']);
    let bytes = text.len() + check_images(&images)?;
    if bytes == 0 {
        return Err(Fault::new(Code::BadValue, "`content` is empty"));
    }
    let request = KeeperRequest::Input {
        text: text.to_owned(),
        id: None,
        command: false,
        images,
    };
    Ok((request, bytes as u64))
}

/// How many bytes images have. One that is not what it says would be refused by the API, with
/// the conversation that it is in, for ever.
fn check_images(images: &[Image]) -> Result<usize, Fault> {
    if images.len() > MAX_IMAGES {
        let detail = format!("a message has at most {MAX_IMAGES} images");
        return Err(Fault::new(Code::TooLarge, detail));
    }
    let mut bytes = 0;
    for image in images {
        // Its length is known before any of it is decoded.
        bytes += image.data.len() / 4 * 3;
        if bytes > MAX_BYTES + 3 * MAX_IMAGES {
            let detail = format!("images of a message have at most {MAX_BYTES} bytes together");
            return Err(Fault::new(Code::TooLarge, detail));
        }
        let decoded = STANDARD.decode(&image.data).map_err(|error| {
            Fault::new(Code::BadValue, format!("an image is not base64: {error}"))
        })?;
        if !image.media_type.fits(&decoded) {
            let detail = "an image is not what its `media_type` says";
            return Err(Fault::new(Code::BadValue, detail));
        }
    }
    Ok(bytes)
}

/// Gives a message the id that a client's own name for it stands for: a keeper that has had it takes
/// it no second time, whatever became of control in between.
pub fn name(request: &mut KeeperRequest, key: &Key) {
    if let KeeperRequest::Input { id, .. } = request {
        *id = Some(key.uuid());
    }
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

/// A change of effort.
///
/// # Errors
/// [`Code::BadValue`] if there is none of that name.
pub fn effort(effort: String) -> Result<KeeperRequest, Fault> {
    check_effort(&effort)?;
    Ok(KeeperRequest::SetEffort { effort })
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
    use serde_json::json;

    use super::*;

    fn of(data: &str, encoding: Encoding) -> Result<(KeeperRequest, u64), Code> {
        input(Input {
            data: data.to_owned(),
            encoding,
            ..Input::default()
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
        let images = Vec::new();
        let expected = KeeperRequest::Input {
            text,
            id,
            command,
            images,
        };
        assert_eq!(request, expected);
    }

    fn of_parts(parts: serde_json::Value) -> Result<(KeeperRequest, u64), Code> {
        let content = serde_json::from_value(parts).unwrap();
        input(Input {
            content,
            ..Input::default()
        })
        .map_err(|fault| fault.code())
    }

    fn png(bytes: usize) -> serde_json::Value {
        let mut image = b"\x89PNG\r\n\x1a\n".to_vec();
        image.resize(bytes, 0);
        let data = STANDARD.encode(image);
        json!({"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": data,
        }})
    }

    #[test]
    fn a_message_in_parts_is_its_texts_and_its_images() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let parts = json!([text("one"), png(9), text("two\n")]);
        let (request, bytes) = of_parts(parts).unwrap();
        let KeeperRequest::Input { text, images, .. } = request else {
            panic!("{request:?}");
        };
        assert_eq!((&*text, images.len(), bytes), ("one\n\ntwo", 1, 8 + 9));
        assert!(of_parts(json!([png(9)])).is_ok());
    }

    #[test]
    fn an_image_that_is_none_or_too_large_is_refused() {
        let wrong = |media: &str, data: &str| {
            json!([{"type": "image", "source": {
                "type": "base64", "media_type": media, "data": data,
            }}])
        };
        let html = STANDARD.encode("<script>");
        assert_eq!(of_parts(wrong("image/png", &html)), Err(Code::BadValue));
        assert_eq!(of_parts(wrong("image/jpeg", "?")), Err(Code::BadValue));
        assert_eq!(of_parts(json!([png(MAX_BYTES + 100)])), Err(Code::TooLarge));
        assert!(of_parts(json!([png(MAX_BYTES)])).is_ok());
        assert_eq!(of_parts(json!(vec![png(9); 21])), Err(Code::TooLarge));
        let empty = json!([{"type": "text", "text": "\n"}]);
        assert_eq!(of_parts(empty), Err(Code::BadValue));
        let both = Input {
            data: "x".to_owned(),
            content: vec![Content::Text { text: "y".into() }],
            ..Input::default()
        };
        assert_eq!(input(both).unwrap_err().code(), Code::BadValue);
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
