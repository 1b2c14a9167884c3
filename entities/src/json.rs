//! JSON in a text column: the same on both databases, key order kept, NUL characters allowed (`jsonb` does neither).
//!
//! Invariant: what is read back equals what was written, byte for byte of its serialised form.

use sea_orm::sea_query::{ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr};
use sea_orm::{ColIdx, QueryResult, TryFromU64, TryGetError, TryGetable, Value};

/// A JSON value as rows hold it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonText(pub serde_json::Value);

impl JsonText {
    /// Serialises anything. Types whose serialisation can fail (maps with keys that are no strings) have no place in a
    /// row; for those this gives null.
    #[must_use]
    pub fn of(value: &impl serde::Serialize) -> Self {
        Self(serde_json::to_value(value).unwrap_or_default())
    }

    /// Reads the value as a type.
    ///
    /// # Errors
    /// When the stored JSON has another shape.
    pub fn read<T: serde::de::DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }

    #[must_use]
    pub fn into_inner(self) -> serde_json::Value {
        self.0
    }
}

impl std::ops::Deref for JsonText {
    type Target = serde_json::Value;
    fn deref(&self) -> &serde_json::Value {
        &self.0
    }
}

impl From<serde_json::Value> for JsonText {
    fn from(value: serde_json::Value) -> Self {
        Self(value)
    }
}

impl From<JsonText> for Value {
    fn from(value: JsonText) -> Self {
        Self::String(Some(value.0.to_string()))
    }
}

impl TryGetable for JsonText {
    fn try_get_by<I: ColIdx>(row: &QueryResult, index: I) -> Result<Self, TryGetError> {
        let text = String::try_get_by(row, index)?;
        serde_json::from_str(&text)
            .map(Self)
            .map_err(|error| TryGetError::DbErr(sea_orm::DbErr::Json(format!("{index:?}: {error}"))))
    }
}

impl ValueType for JsonText {
    fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
        match value {
            Value::String(Some(text)) => serde_json::from_str(&text).map(Self).map_err(|_| ValueTypeErr),
            _ => Err(ValueTypeErr),
        }
    }

    fn type_name() -> String {
        "JsonText".to_owned()
    }

    fn array_type() -> ArrayType {
        ArrayType::String
    }

    fn column_type() -> ColumnType {
        ColumnType::Text
    }
}

impl Nullable for JsonText {
    fn null() -> Value {
        Value::String(None)
    }
}

impl TryFromU64 for JsonText {
    fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
        Err(sea_orm::DbErr::ConvertFromU64("JsonText"))
    }
}
