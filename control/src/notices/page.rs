//! What somebody sees who opens a one-time link: the question, and what answers it. No script, nothing
//! from elsewhere, and whatever Claude wrote is text.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cib_protocol::frame::{Question, ToolUseStart};
use http::header::{
    CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, HeaderMap, HeaderValue, REFERRER_POLICY, VARY,
};
use http::{HeaderName, StatusCode};
use sha2::{Digest as _, Sha256};

use super::question::Found;
use crate::routes::call::Reply;

/// Characters of a call's input that are shown.
const MAX_INPUT: usize = 6000;

const STYLE: &str = "\
:root{color-scheme:light dark;font:1rem/1.5 system-ui,sans-serif}\
body{max-width:36rem;margin:0 auto;padding:1rem}\
h1{font-size:1.15rem;overflow-wrap:anywhere}\
fieldset{border:0;margin:0 0 1rem;padding:0}\
legend{font-weight:600;padding:0;overflow-wrap:anywhere}\
pre{overflow:auto;max-height:20rem;padding:.75rem;border:1px solid #8888;border-radius:.4rem}\
label{display:block;padding:.5rem 0;overflow-wrap:anywhere}\
small{display:block}\
button,input[type=text]{font:inherit;box-sizing:border-box;width:100%;min-height:2.75rem;\
margin:.25rem 0;padding:.5rem .75rem;border:1px solid #888;border-radius:.4rem;\
text-align:start;overflow-wrap:anywhere}";

/// A language that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

/// What the page says of itself.
struct Words {
    asks: &'static str,
    may: &'static str,
    allow: &'static str,
    deny: &'static str,
    other: &'static str,
    why: &'static str,
    send: &'static str,
    refuse: &'static str,
    answered: &'static str,
    over: &'static str,
    unknown: &'static str,
    incomplete: &'static str,
    cut: &'static str,
}

const ENGLISH: Words = Words {
    asks: "Claude asks",
    may: "Claude wants to use",
    allow: "Allow",
    deny: "Deny",
    other: "Another answer",
    why: "Deny, because",
    send: "Send",
    refuse: "Do not answer",
    answered: "Claude has your answer. This page can be closed.",
    over: "This question is not open any more: somebody else has answered it, or Claude went on.",
    unknown: "This link is good for nothing: it was used, its hour is over, or it never was one.",
    incomplete: "Each question needs an answer.",
    cut: "… the rest is in the session",
};

const CHINESE: Words = Words {
    asks: "Claude 有问题要问",
    may: "Claude 想使用",
    allow: "允许",
    deny: "拒绝",
    other: "其他回答",
    why: "拒绝,理由是",
    send: "发送",
    refuse: "不回答",
    answered: "Claude 已收到你的回答。可以关闭此页面了。",
    over: "这个问题已不再等待回答:有人已经回答,或 Claude 已经继续。",
    unknown: "此链接无效:已被使用、已超过一小时,或从未存在。",
    incomplete: "每个问题都需要回答。",
    cut: "… 其余内容请在会话中查看",
};

impl Language {
    /// The first one that a browser names and that is spoken.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let wanted = headers.get("accept-language");
        let wanted = wanted.and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut named: Vec<(u32, Self)> = wanted
            .split(',')
            .filter_map(|one| {
                let (name, rest) = one.split_once(';').unwrap_or((one, ""));
                let name = name.trim().to_ascii_lowercase();
                let language = match name.split('-').next() {
                    Some("zh") => Self::Chinese,
                    Some("en") => Self::English,
                    _ => return None,
                };
                let weight = rest.trim().strip_prefix("q=").unwrap_or("1");
                let weight: f32 = weight.trim().parse().unwrap_or(0.0);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is between 0 and 1"
                )]
                let weight = (weight.clamp(0.0, 1.0) * 1000.0) as u32;
                (weight > 0).then_some((weight, language))
            })
            .collect();
        named.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
        named
            .first()
            .map_or(Self::English, |(_, language)| *language)
    }

    fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }

    fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }
}

/// A page with a question.
pub(crate) fn question(language: Language, found: &Found, is_incomplete: bool) -> Reply {
    let words = language.words();
    let mut body = String::new();
    let status = if is_incomplete {
        let _ = write!(body, "<p role=\"alert\">{}</p>", words.incomplete);
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    match &found.asked.tool {
        Some(tool) => permission(&mut body, words, tool, found.call.as_ref()),
        None => questions(&mut body, words, &found.asked.questions),
    }
    reply(language, status, &body)
}

fn permission(body: &mut String, words: &Words, tool: &str, call: Option<&ToolUseStart>) {
    let _ = write!(body, "<h1>{} {}</h1>", words.may, escaped(tool));
    if let Some(call) = call {
        let input = serde_json::to_string_pretty(&call.input).unwrap_or_default();
        let shown: String = input.chars().take(MAX_INPUT).collect();
        let _ = write!(body, "<pre tabindex=\"0\">{}</pre>", escaped(&shown));
        if shown.len() < input.len() || call.original_bytes.is_some() {
            let _ = write!(body, "<p>{}</p>", words.cut);
        }
    }
    let _ = write!(
        body,
        "<form method=\"post\"><button name=\"q0\" value=\"Allow\">{}</button>\
         <button name=\"q0\" value=\"Deny\">{}</button></form>{}",
        words.allow,
        words.deny,
        free(words.why, words.send)
    );
}

/// A form with a text of one's own.
fn free(label: &str, send: &str) -> String {
    format!(
        "<form method=\"post\"><label>{label}<input type=\"text\" name=\"q0\" required \
         maxlength=\"4000\" autocomplete=\"off\"></label><button>{send}</button></form>"
    )
}

fn questions(body: &mut String, words: &Words, questions: &[Question]) {
    if let [only] = questions
        && !only.multi_select
    {
        let asked = escaped(&only.question);
        let _ = write!(body, "<h1 dir=\"auto\">{asked}</h1><form method=\"post\">");
        for option in &only.options {
            let (label, what) = (escaped(&option.label), escaped(&option.description));
            let _ = write!(
                body,
                "<button name=\"q0\" value=\"{label}\">{label}<small>{what}</small></button>"
            );
        }
        let _ = write!(body, "</form>{}", free(words.other, words.send));
    } else {
        let _ = write!(body, "<h1>{}</h1><form method=\"post\">", words.asks);
        for (number, question) in questions.iter().enumerate() {
            let kind = if question.multi_select {
                "checkbox"
            } else {
                "radio"
            };
            let asked = escaped(&question.question);
            let _ = write!(body, "<fieldset><legend dir=\"auto\">{asked}</legend>");
            for option in &question.options {
                let (label, what) = (escaped(&option.label), escaped(&option.description));
                let _ = write!(
                    body,
                    "<label><input type=\"{kind}\" name=\"q{number}\" value=\"{label}\"> \
                     {label}<small>{what}</small></label>"
                );
            }
            let _ = write!(
                body,
                "<label>{}<input type=\"text\" name=\"q{number}\" maxlength=\"4000\" \
                 autocomplete=\"off\"></label></fieldset>",
                words.other
            );
        }
        let _ = write!(body, "<button>{}</button></form>", words.send);
    }
    let _ = write!(
        body,
        "<form method=\"post\"><button name=\"refuse\" value=\"1\">{}</button></form>",
        words.refuse
    );
}

/// A page that says that the answer was given.
pub(crate) fn answered(language: Language) -> Reply {
    sentence(language, StatusCode::OK, language.words().answered)
}

/// A page that says that there is nothing to answer any more.
pub(crate) fn over(language: Language) -> Reply {
    sentence(language, StatusCode::GONE, language.words().over)
}

/// A page that says that there is no such link.
pub(crate) fn unknown(language: Language) -> Reply {
    sentence(language, StatusCode::NOT_FOUND, language.words().unknown)
}

fn sentence(language: Language, status: StatusCode, words: &str) -> Reply {
    reply(language, status, &format!("<h1>{words}</h1>"))
}

fn reply(language: Language, status: StatusCode, body: &str) -> Reply {
    let tag = language.tag();
    let html = format!(
        "<!doctype html><html lang=\"{tag}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>claude-in-box</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>"
    );
    let mut headers = HeaderMap::new();
    if let Ok(policy) = policy().try_into() {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(tag));
    headers.insert(VARY, HeaderValue::from_static("accept-language"));
    headers.insert(
        HeaderName::from_static("x-robots-tag"),
        HeaderValue::from_static("noindex, nofollow"),
    );
    Reply::Page { status, html }.with(headers)
}

/// Nothing is loaded, nothing runs, the form goes to this address and nowhere else, and nobody shows
/// the page inside of another. Style is the one that is written here.
fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// Text as HTML. Characters that only change how others are read are shown as marks.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            '\n' | '\t' => html.push(letter),
            '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}'
            | '\u{feff}' => {
                let _ = write!(html, "⟦U+{:04X}⟧", u32::from(letter));
            }
            letter if letter.is_control() => html.push('\u{fffd}'),
            letter => html.push(letter),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_claude_wrote_is_text() {
        let shown = escaped("<script>\"'&\u{202e}\u{0}\u{200b}");
        assert_eq!(
            shown,
            "&lt;script&gt;&quot;&#39;&amp;⟦U+202E⟧\u{fffd}⟦U+200B⟧"
        );
    }

    #[test]
    fn the_language_is_the_one_that_the_browser_wants_most() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("accept-language", text.parse().unwrap());
            Language::of(&headers)
        };
        for chinese in [
            "zh-CN,zh;q=0.9,en;q=0.8",
            "fr, zh;q=0.5",
            "en;q=0.1, ZH-tw;q=0.2",
        ] {
            assert_eq!(of(chinese), Language::Chinese, "{chinese}");
        }
        for english in ["en-GB, zh;q=0.9", "fr", "", "zh;q=0", "zh;q=x"] {
            assert_eq!(of(english), Language::English, "{english}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn the_policy_lets_nothing_run_and_nothing_load() {
        let policy = policy();
        assert!(
            !policy.contains("unsafe") && !policy.contains("script-src"),
            "{policy}"
        );
        assert!(policy.starts_with("default-src 'none'"));
    }
}
