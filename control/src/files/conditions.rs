//! What a request's headers say of the file that they mean: RFC 9110, sections 13 and 14.

use cib_protocol::files::{Condition, Span};
use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};

use crate::fault::{Code, Fault};

/// What has to hold of a file that is to be changed: `If-Match` with the tag that the client
/// knows, or `If-None-Match: *` for one that is not there yet.
///
/// # Errors
/// [`Code::BadValue`] for what says something else.
pub fn to_change(headers: &HeaderMap) -> Result<Condition, Fault> {
    let bad = |what| Err(Fault::new(Code::BadValue, what));
    match (headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)) {
        (None, None) => Ok(Condition::None),
        (None, Some(value)) if value == "*" => Ok(Condition::Absent),
        (None, Some(_)) => bad("`If-None-Match` takes only `*` here"),
        (Some(value), None) if value == "*" => Ok(Condition::Present),
        (Some(value), None) => match value.to_str().ok().and_then(tag) {
            Some(tag) => Ok(Condition::Tag(tag.to_owned())),
            None => bad("`If-Match` takes one strong tag, or `*`"),
        },
        (Some(_), Some(_)) => bad("`If-Match` and `If-None-Match` say different things"),
    }
}

/// Whether the client has this content already.
#[must_use]
pub fn is_known(headers: &HeaderMap, current: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|word| word.trim().trim_start_matches("W/"))
        .any(|word| word == "*" || tag(word) == Some(current))
}

/// Which part of a file is asked for; `None` for all of it, also where several parts are asked
/// for, or what is asked for is not understood.
#[must_use]
pub fn span(headers: &HeaderMap) -> Option<Span> {
    let text = headers.get(RANGE)?.to_str().ok()?;
    let text = text.strip_prefix("bytes=")?.trim();
    let (first, last) = text.split_once('-')?;
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse::<u64>().ok()).flatten()
    };
    match (number(first), number(last)) {
        (None, Some(count)) if first.is_empty() && count > 0 => Some(Span::Last(count)),
        (Some(first), None) if last.is_empty() => Some(Span::From(first, None)),
        (Some(first), Some(last)) if first <= last => {
            Some(Span::From(first, (last - first).checked_add(1)))
        }
        _ => None,
    }
}

/// The tag of the content of which a part is wanted. What is no strong tag matches nothing.
#[must_use]
pub fn part_of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(IF_RANGE)?.to_str().unwrap_or_default();
    Some(tag(value).unwrap_or_default().to_owned())
}

/// The text of a strong tag.
fn tag(word: &str) -> Option<&str> {
    let tag = word.trim().strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = !tag.is_empty()
        && tag.len() <= 200
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'"');
    is_plain.then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(http::HeaderName, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.clone(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn a_change_is_bound_to_what_the_client_knows() {
        let of = |pairs: &[_]| to_change(&headers(pairs)).map_err(|fault| fault.code());
        assert_eq!(of(&[]), Ok(Condition::None));
        assert_eq!(of(&[(IF_MATCH, "*")]), Ok(Condition::Present));
        assert_eq!(of(&[(IF_NONE_MATCH, "*")]), Ok(Condition::Absent));
        let tagged = Ok(Condition::Tag("1-2".to_owned()));
        assert_eq!(of(&[(IF_MATCH, "\"1-2\"")]), tagged);
        for bad in ["1-2", "W/\"1-2\"", "\"a\", \"b\"", "\"\""] {
            assert_eq!(of(&[(IF_MATCH, bad)]), Err(Code::BadValue), "{bad}");
        }
        assert_eq!(of(&[(IF_NONE_MATCH, "\"a\"")]), Err(Code::BadValue));
    }

    #[test]
    fn one_part_is_understood_and_anything_else_is_the_whole() {
        let of = |text| span(&headers(&[(RANGE, text)]));
        assert_eq!(of("bytes=0-0"), Some(Span::From(0, Some(1))));
        assert_eq!(of("bytes=5-"), Some(Span::From(5, None)));
        assert_eq!(of("bytes=-7"), Some(Span::Last(7)));
        for whole in [
            "bytes=5-4",
            "bytes=-0",
            "bytes=0-1,3-4",
            "bytes=-",
            "items=0-1",
            "bytes=+1-2",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(whole), None, "{whole}");
        }
        assert_eq!(
            of("bytes=0-18446744073709551615"),
            Some(Span::From(0, None))
        );
    }

    #[test]
    fn what_is_known_is_not_sent_again() {
        let of = |text| is_known(&headers(&[(IF_NONE_MATCH, text)]), "1-2");
        assert!(of("\"1-2\"") && of("\"x\", W/\"1-2\"") && of("*"));
        assert!(!of("\"1\"") && !of("1-2"));
        let part = part_of(&headers(&[(IF_RANGE, "\"1-2\"")]));
        assert_eq!(part.as_deref(), Some("1-2"));
        let date = part_of(&headers(&[(IF_RANGE, "Sat, 29 Oct 1994 19:43:31 GMT")]));
        assert_eq!(date.as_deref(), Some(""));
    }
}
