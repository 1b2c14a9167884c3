//! A call's inputs: read against what the flow declares, and kept with the run.
//!
//! Invariant: what is said of a file is what is known of it, whatever the caller says.

use std::collections::BTreeMap;

use domain::{FileRef, TenantId};
use entities::{JsonText, run};
use serde_json::Value;

use crate::flows::Resolved;
use crate::{ServiceError, Weir};

/// The largest JSON of a call's inputs, in bytes.
pub const INPUT_BYTES: usize = 1024 * 1024;
/// Lists and objects within each other in a call's inputs.
const INPUT_DEPTH: usize = 64;
/// A call's inputs as they came, before they are read against what the flow declares.
#[derive(Debug, Clone, PartialEq)]
pub enum Inputs {
    /// JSON, with the files of a multipart call by field. Files uploaded before are `{"file_id": ...}` in the body.
    Json { body: Value, files: BTreeMap<String, FileRef> },
    /// The text fields of a form, with its files.
    Form { fields: BTreeMap<String, String>, files: BTreeMap<String, FileRef> },
}

/// A JSON body read as a call's inputs, for those who only want to know what would happen.
pub(crate) async fn parsed_inputs(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    body: Value,
) -> Result<Value, ServiceError> {
    read(weir, tenant, resolved, Inputs::Json { body, files: BTreeMap::new() }).await
}

pub(super) async fn read(
    weir: &Weir,
    tenant: TenantId,
    resolved: &Resolved,
    inputs: Inputs,
) -> Result<Value, ServiceError> {
    let parsed = match inputs {
        Inputs::Json { mut body, files } => {
            known_files(weir, tenant, &mut body).await?;
            language::inputs::parse(&resolved.plan, body, &files)
        }
        Inputs::Form { fields, files } => language::inputs::parse_form(&resolved.plan, &fields, &files),
    };
    let inputs = parsed.map_err(|fields| ServiceError::Invalid {
        detail: format!("The inputs do not fit what the flow `{}` declares.", resolved.name),
        fields,
    })?;
    if !nests_at_most(&inputs, INPUT_DEPTH) {
        let detail =
            format!("The inputs nest deeper than {INPUT_DEPTH} levels; neither a template nor a step could take them.");
        return Err(ServiceError::field("", detail));
    }
    if length(&inputs) > INPUT_BYTES {
        return Err(ServiceError::TooLarge("The inputs of a call may have at most 1 MiB of JSON.".to_owned()));
    }
    Ok(inputs)
}

fn nests_at_most(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| nests_at_most(item, levels - 1)),
        Value::Object(fields) => levels > 0 && fields.values().all(|field| nests_at_most(field, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// Replaces what the body says about files by what is known about them, so that nobody can claim another name, type or
/// content for one.
pub(super) async fn known_files(weir: &Weir, tenant: TenantId, body: &mut Value) -> Result<(), ServiceError> {
    const FILES: usize = 100;
    let mut places = Vec::new();
    find_files(body, &mut String::new(), &mut places);
    if places.len() > FILES {
        return Err(ServiceError::TooLarge(format!("A call may name at most {FILES} files.")));
    }
    for (pointer, id) in places {
        let unknown = || ServiceError::field(pointer.clone(), "There is no file with this id. Upload it first.");
        let id = id.parse().map_err(|_| unknown())?;
        let file = match crate::blobs::find_file(weir, tenant, id).await {
            Ok(file) => file,
            Err(ServiceError::NotFound { .. }) => return Err(unknown()),
            Err(other) => return Err(other),
        };
        if let Some(place) = body.pointer_mut(&pointer) {
            *place = serde_json::to_value(file).map_err(ServiceError::internal)?;
        }
    }
    Ok(())
}

fn find_files(value: &Value, pointer: &mut String, found: &mut Vec<(String, String)>) {
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            if let Some(id) = fields.get("file_id").and_then(Value::as_str) {
                found.push((pointer.clone(), id.to_owned()));
                return;
            }
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                find_files(field, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointer.push('/');
                pointer.push_str(&index.to_string());
                find_files(item, pointer, found);
                pointer.truncate(length);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Bytes of the value's JSON.
fn length(value: &Value) -> usize {
    struct Counted(usize);
    impl std::io::Write for Counted {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut counted = Counted(0);
    // Counting cannot fail, and neither can a value's JSON.
    let _ = serde_json::to_writer(&mut counted, value);
    counted.0
}

/// Puts inputs into the row, or beside it when they are large.
pub(super) async fn keep(
    weir: &Weir,
    tenant: TenantId,
    row: &mut run::Model,
    inputs: &Value,
) -> Result<(), ServiceError> {
    let text = inputs.to_string();
    if text.len() > engine::limits::INLINE_BYTES {
        row.inputs_blob = Some(crate::blobs::put(weir, tenant, text.into()).await?.uuid());
    } else {
        row.inputs = Some(JsonText(inputs.clone()));
    }
    Ok(())
}

/// JSON with sorted keys, and files by content: the same file uploaded again is the same input.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(_) if FileRef::from_value(value).is_some() => {
                serde_json::json!({ "name": value["name"], "sha256": value["sha256"] })
            }
            Value::Object(fields) => {
                let ordered: BTreeMap<&String, Value> =
                    fields.iter().map(|(name, field)| (name, sorted(field))).collect();
                Value::Object(ordered.into_iter().map(|(name, field)| (name.clone(), field)).collect())
            }
            Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
            plain => plain.clone(),
        }
    }
    sorted(value).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_order_of_fields_and_the_upload_of_a_file_do_not_matter() {
        let file = |id: &str| json!({"file_id": id, "name": "a.pdf", "media_type": "application/pdf", "size_bytes": 3, "sha256": "ab"});
        let [one, two] = [1_u128, 2].map(|number| domain::FileId::from_uuid(uuid::Uuid::from_u128(number)).to_string());
        let first = json!({"a": 1, "document": file(&one)});
        let second = json!({"document": file(&two), "a": 1});
        assert_eq!(canonical(&first), canonical(&second));
        assert_ne!(canonical(&first), canonical(&json!({"a": 2, "document": file(&one)})));
    }

    #[test]
    fn files_are_found_wherever_they_stand() {
        let body = json!({"a": [{"file_id": "file_1"}], "b/c": {"d~": {"file_id": "file_2", "name": "x"}}});
        let mut found = Vec::new();
        find_files(&body, &mut String::new(), &mut found);
        assert_eq!(found, [("/a/0".to_owned(), "file_1".to_owned()), ("/b~1c/d~0".to_owned(), "file_2".to_owned())]);
        assert!(found.iter().all(|(pointer, _)| body.pointer(pointer).is_some()));
    }
}
