//! JSON that can be read in one way only, and by everybody behind us.
//!
//! Invariant: what passes names no key of an object twice (readers differ in which one wins) and does not nest deeper than
//! what templates and the journal can carry.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Lists and objects within each other.
pub(crate) const DEPTH: usize = 64;

/// What is wrong with a JSON text; `None` also for one that is none, which its parser says better.
pub(crate) fn objection(content: &[u8]) -> Option<String> {
    let mut reader = serde_json::Deserializer::from_slice(content);
    match (Plain { depth: 0 }).deserialize(&mut reader) {
        Err(error) if error.is_data() => Some(error.to_string()),
        _ => None,
    }
}

struct Plain {
    depth: usize,
}

impl Plain {
    fn deeper<E: Error>(&self) -> Result<Self, E> {
        if self.depth >= DEPTH {
            return Err(E::custom(format!("it nests deeper than {DEPTH} levels")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Plain {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<(), D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Plain {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        self.deeper::<A::Error>()?;
        while items.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        self.deeper::<A::Error>()?;
        while let Some(name) = fields.next_key::<String>()? {
            if seen.contains(&name) {
                // To its end, so that the message names the place of the second one.
                fields.next_value::<IgnoredAny>()?;
                return Err(A::Error::custom(format!("the key `{name}` is there twice")));
            }
            seen.insert(name);
            fields.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_refused_wherever_it_stands() {
        for text in [
            r#"{"a": 1, "a": 1}"#,
            r#"[{"b": {"a": 1, "c": [], "a": 2}}]"#,
            r#"{"a": 1, "\u0061": 2}"#,
            r#"{"": 1, "": 2}"#,
        ] {
            let why = objection(text.as_bytes()).unwrap_or_else(|| panic!("passes: {text}"));
            assert!(why.contains("twice"), "{why}");
        }
        for text in [r#"{"a": {"a": {"a": [1, 2.5, -3, null, true, "a"]}}, "A": 18446744073709551615}"#, "[]", "7", "{"]
        {
            assert_eq!(objection(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_nests_too_deep_is_refused_before_it_can_hurt() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(objection(nested(DEPTH).as_bytes()), None);
        assert!(objection(nested(DEPTH + 1).as_bytes()).is_some_and(|why| why.contains("deeper")));
        let objects = format!("{}1{}", r#"{"a":"#.repeat(DEPTH + 1), "}".repeat(DEPTH + 1));
        assert!(objection(objects.as_bytes()).is_some());
    }
}
