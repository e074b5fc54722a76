//! The fields of an object, each for itself.

use std::borrow::Cow;

use super::scan::Scan;

/// An object of which no more is read than what somebody asks for. A field of a kind that nobody
/// expects is as if it were absent, and so is one that is `null`.
#[derive(Clone, Debug, Default)]
pub struct Object<'a> {
    fields: Vec<(Cow<'a, str>, &'a str)>,
}

impl<'a> Object<'a> {
    /// Reads an object; `None` if the text is anything else.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut scan = Scan::new(text);
        let mut fields = Vec::new();
        scan.take(b'{')?;
        if scan.take(b'}').is_none() {
            loop {
                scan.next().filter(|&byte| byte == b'"')?;
                let name = scan.string()?;
                scan.take(b':')?;
                fields.push((name, scan.value()?));
                if scan.take(b',').is_none() {
                    scan.take(b'}')?;
                    break;
                }
            }
        }
        scan.is_at_end().then_some(Self { fields })
    }

    /// All fields in their order, each value as its text.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.fields.iter().map(|(name, text)| (&**name, *text))
    }

    /// The text of a value. Of two fields of one name the later one counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.fields.iter().rev();
        let (_, text) = fields.find(|(known, _)| known == name)?;
        (*text != "null").then_some(*text)
    }

    /// A string.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        super::string(self.get(name)?)
    }

    /// A string of one's own.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<String> {
        self.text(name).map(Cow::into_owned)
    }

    /// A truth.
    #[must_use]
    pub fn flag(&self, name: &str) -> Option<bool> {
        match self.get(name)? {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    /// A number that is one.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        let text = self.get(name)?;
        // A string, a list or an object begins otherwise.
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        let number: f64 = text.parse().ok().filter(|_| is_number)?;
        number.is_finite().then_some(number)
    }

    /// A number that counts something: whole, and not below zero.
    #[must_use]
    pub fn count(&self, name: &str) -> Option<u64> {
        let text = self.get(name)?;
        if let Ok(count) = text.parse() {
            return Some(count);
        }
        let number = self.number(name)?;
        let is_count = number >= 0.0 && number.fract() == 0.0 && number < 9.0e15;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, not negative, and not too large"
        )]
        is_count.then_some(number as u64)
    }

    /// An object.
    #[must_use]
    pub fn object(&self, name: &str) -> Option<Object<'a>> {
        Object::read(self.get(name)?)
    }

    /// The items of a list, each as its text.
    #[must_use]
    pub fn items(&self, name: &str) -> Option<Vec<&'a str>> {
        super::items(self.get(name)?)
    }
}
