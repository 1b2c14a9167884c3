//! JSON into a server's values and back.
//!
//! Invariant: what has no exact form in JSON becomes a text that keeps all of it.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::{BufMut, BytesMut};
use serde_json::{Number, Value};
use tokio_postgres::types::{Format, FromSql, IsNull, Kind, ToSql, Type, to_sql_checked};

type Fault = Box<dyn Error + Sync + Send>;

/// A parameter, sent as the text that the server reads for whatever type it expects.
#[derive(Debug)]
pub(super) struct Bound<'v>(pub(super) &'v Value);

impl ToSql for Bound<'_> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Fault> {
        let text = match (self.0, ty.kind()) {
            (Value::Null, _) => return Ok(IsNull::Yes),
            (Value::String(text), _) => text.clone(),
            (Value::Array(items), Kind::Array(_)) => array(items),
            (other, _) => other.to_string(),
        };
        if text.contains('\0') {
            return Err("a text with a NUL character cannot be stored".into());
        }
        out.put_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

/// `{"a","b",NULL}`, lists in lists too.
fn array(items: &[Value]) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let item = |item: &Value| match item {
        Value::Null => "NULL".to_owned(),
        Value::Array(items) => array(items),
        Value::String(text) => quoted(text),
        other => quoted(&other.to_string()),
    };
    format!("{{{}}}", items.iter().map(item).collect::<Vec<_>>().join(","))
}

/// A value of a row.
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Fault> {
        Ok(Self(read(ty, raw)?))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Fault> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

fn read(ty: &Type, raw: &[u8]) -> Result<Value, Fault> {
    Ok(match *ty {
        Type::BOOL => Value::from(bool::from_sql(ty, raw)?),
        Type::INT2 => Value::from(i16::from_sql(ty, raw)?),
        Type::INT4 => Value::from(i32::from_sql(ty, raw)?),
        Type::INT8 => Value::from(i64::from_sql(ty, raw)?),
        Type::OID => Value::from(u32::from_sql(ty, raw)?),
        Type::FLOAT4 => float(f64::from(f32::from_sql(ty, raw)?)),
        Type::FLOAT8 => float(f64::from_sql(ty, raw)?),
        Type::NUMERIC => Value::from(numeric(raw).ok_or("a number is broken")?),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::UNKNOWN | Type::XML => {
            Value::from(std::str::from_utf8(raw)?)
        }
        Type::JSON => serde_json::from_slice(raw)?,
        // One byte of version comes first.
        Type::JSONB => serde_json::from_slice(raw.get(1..).unwrap_or_default())?,
        Type::BYTEA => Value::from(BASE64.encode(raw)),
        Type::UUID => Value::from(uuid(raw).ok_or("an id is broken")?),
        Type::TIMESTAMPTZ => {
            let at = chrono::DateTime::<chrono::Utc>::from_sql(ty, raw)?;
            Value::from(at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
        }
        Type::TIMESTAMP => {
            Value::from(chrono::NaiveDateTime::from_sql(ty, raw)?.format("%Y-%m-%dT%H:%M:%S%.f").to_string())
        }
        Type::DATE => Value::from(chrono::NaiveDate::from_sql(ty, raw)?.to_string()),
        Type::TIME => Value::from(chrono::NaiveTime::from_sql(ty, raw)?.to_string()),
        _ => return nested(ty, raw),
    })
}

/// Lists, values of a domain, and enums; the rest has no reading here.
fn nested(ty: &Type, raw: &[u8]) -> Result<Value, Fault> {
    match ty.kind() {
        Kind::Array(_) => {
            let cells = Vec::<Option<Cell>>::from_sql(ty, raw)?;
            Ok(Value::Array(cells.into_iter().map(|cell| cell.map_or(Value::Null, |cell| cell.0)).collect()))
        }
        Kind::Domain(inner) => read(inner, raw),
        Kind::Enum(_) => Ok(Value::from(std::str::from_utf8(raw)?)),
        _ => Err(format!("A column is of the type `{}`, which cannot be read", ty.name()).into()),
    }
}

/// Not a number and the infinities are texts: JSON has none.
fn float(value: f64) -> Value {
    Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number)
}

fn uuid(raw: &[u8]) -> Option<String> {
    let text = hex::encode(raw);
    let parts = [text.get(..8)?, text.get(8..12)?, text.get(12..16)?, text.get(16..20)?, text.get(20..32)?];
    Some(parts.join("-"))
}

/// The server's decimals: groups of four digits, where the point is, the sign, and how many digits to show behind it.
fn numeric(raw: &[u8]) -> Option<String> {
    let short = |at: usize| raw.get(at..at + 2)?.try_into().ok().map(i16::from_be_bytes);
    let (count, weight, sign, scale) = (short(0)?, i32::from(short(2)?), short(4)?, usize::try_from(short(6)?).ok()?);
    match sign.cast_unsigned() {
        0 | 0x4000 => {}
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    let groups = (0..usize::try_from(count).ok()?).map(|index| short(8 + 2 * index)).collect::<Option<Vec<_>>>()?;
    let group = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    let whole: String = (0..=weight.max(0)).rev().map(|place| format!("{:04}", group(place))).collect();
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let places = i32::try_from(scale.div_ceil(4)).ok()?;
        let fraction: String = (1..=places).map(|place| format!("{:04}", group(-place))).collect();
        text.push('.');
        text.push_str(fraction.get(..scale)?);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(count: i16, weight: i16, sign: u16, scale: i16, groups: &[i16]) -> Vec<u8> {
        let mut raw = Vec::new();
        for part in [count, weight, sign.cast_signed(), scale].iter().chain(groups) {
            raw.extend(part.to_be_bytes());
        }
        raw
    }

    #[test]
    fn decimals_keep_every_digit() {
        for (raw, text) in [
            (of(0, 0, 0, 0, &[]), "0"),
            (of(0, 0, 0, 2, &[]), "0.00"),
            (of(2, 0, 0, 2, &[12, 5000]), "12.50"),
            (of(2, 1, 0x4000, 0, &[1, 2]), "-10002"),
            (of(1, 2, 0, 0, &[5]), "500000000"),
            (of(1, -2, 0, 6, &[1200]), "0.000012"),
            (of(3, 1, 0, 3, &[1234, 5678, 9010]), "12345678.901"),
            (of(0, 0, 0xC000, 0, &[]), "NaN"),
        ] {
            assert_eq!(numeric(&raw).as_deref(), Some(text));
        }
        assert_eq!(numeric(&of(5, 0, 0, 0, &[1])), None);
    }

    #[test]
    fn a_list_cannot_break_out_of_its_quotes() {
        assert_eq!(array(&[json!("a\"},b"), json!(null), json!(1), json!(["x\\"])]), r#"{"a\"},b",NULL,"1",{"x\\"}}"#);
    }
}
