//! Objects that are objects.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Reads an object, or nothing. Where serde's own reading expects the fields of a struct it
/// also takes their values as an array, and a request must not mean something by accident.
///
/// # Errors
/// If it is anything else, or not the object that is wanted.
pub(crate) fn option<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    deserializer.deserialize_any(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use crate::api::CreateShell;

    #[test]
    fn the_values_of_an_object_are_no_object() {
        let read = serde_json::from_str::<CreateShell>;
        assert_eq!(read(r#"{"limits": null}"#).unwrap().limits, None);
        let limits = read(r#"{"limits": {"pids": 3}}"#).unwrap().limits;
        assert_eq!(limits.unwrap().pids, Some(3));
        let error = read(r#"{"limits": [1, 2]}"#).unwrap_err().to_string();
        assert!(error.contains("expected an object"), "{error}");
        let error = read(r#"{"limits": {"pid": 3}}"#).unwrap_err().to_string();
        assert!(error.contains("unknown field `pid`"), "{error}");
    }
}
