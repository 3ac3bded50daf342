//! JSON objects from strangers: a name that stands twice is refused, because two programs would read two things.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;

/// The members of one object; `None` when the text is anything else, has a name twice, or goes on after the object.
/// Nesting is bounded by serde_json (128), size by the caller.
pub(crate) fn object(json: &[u8]) -> Option<BTreeMap<String, Value>> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let members = deserializer.deserialize_map(EachNameOnce).ok()?;
    deserializer.end().ok().map(|()| members)
}

struct EachNameOnce;

impl<'de> Visitor<'de> for EachNameOnce {
    type Value = BTreeMap<String, Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with each name once")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_with_each_name_once_is_taken_and_nothing_else() {
        assert_eq!(object(br#" {"a":1,"b":{"a":2}} "#).map(|members| members.len()), Some(2));
        for bad in [r#"{"a":1,"a":1}"#, r#"{"a":1,"\u0061":1}"#, "[]", "{", "{} x", "", "{}{}"] {
            assert_eq!(object(bad.as_bytes()), None, "{bad}");
        }
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        assert_eq!(object(deep.as_bytes()), None);
    }
}
