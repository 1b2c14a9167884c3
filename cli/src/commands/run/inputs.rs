//! The call's inputs from flags and files.
//!
//! Invariant: what comes out fits what the flow declares; a later flag never silently replaces an earlier one.

use std::collections::BTreeMap;
use std::path::Path;

use domain::FileRef;
use engine::memory::World;
use language::Plan;
use language::plan::InputKind;
use serde_json::{Map, Value};

use crate::arguments::InputArguments;
use crate::exit::{Exit, Failure};

pub(in crate::commands) async fn read(
    arguments: &InputArguments,
    plan: &Plan,
    world: &World,
) -> Result<Value, Failure> {
    let mut fields = match &arguments.input_file {
        Some(path) => from_file(path)?,
        None => Map::new(),
    };
    for given in &arguments.inputs {
        let (name, text) = split(given, "--input")?;
        let value = value_of(plan, name, text);
        if fields.insert(name.to_owned(), value).is_some() {
            return Err(Failure::new(Exit::Usage, format!("input `{name}` is given twice")));
        }
    }
    let mut files = BTreeMap::new();
    for given in &arguments.files {
        let (name, path) = split(given, "--file")?;
        if files.insert(name.to_owned(), put(world, Path::new(path)).await?).is_some() {
            return Err(Failure::new(Exit::Usage, format!("file `{name}` is given twice")));
        }
    }
    language::inputs::parse(plan, Value::Object(fields), &files).map_err(|problems| {
        let mut failure = Failure::new(Exit::Validation, "the inputs do not fit the flow");
        failure.hints = problems
            .into_iter()
            .map(|problem| {
                let hint = problem.hint.map_or_else(String::new, |hint| format!(" ({hint})"));
                format!("{}: {}{hint}", problem.pointer, problem.message)
            })
            .collect();
        failure
    })
}

fn split<'a>(given: &'a str, flag: &str) -> Result<(&'a str, &'a str), Failure> {
    given
        .split_once('=')
        .filter(|(name, _)| !name.is_empty())
        .ok_or_else(|| Failure::new(Exit::Usage, format!("`{flag} {given}` has no name: write {flag} NAME=VALUE")))
}

/// JSON is taken as such, except where the flow wants a text.
fn value_of(plan: &Plan, name: &str, text: &str) -> Value {
    let declared = plan.inputs.iter().flatten().find(|input| input.name == name);
    if declared.is_some_and(|input| input.kind == InputKind::String) {
        return Value::String(text.to_owned());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

fn from_file(path: &Path) -> Result<Map<String, Value>, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(Exit::NotFound, format!("{}: {error}", path.display())))?;
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => Ok(fields),
        Ok(_) => Err(Failure::new(Exit::Validation, format!("{}: the inputs must be a JSON object", path.display()))),
        Err(error) => Err(Failure::new(Exit::Validation, format!("{}: {error}", path.display()))),
    }
}

async fn put(world: &World, path: &Path) -> Result<FileRef, Failure> {
    let bytes =
        std::fs::read(path).map_err(|error| Failure::new(Exit::NotFound, format!("{}: {error}", path.display())))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let media_type = media_type(path);
    let stored = world.put_file(&name, media_type, bytes.into()).await;
    stored.map_err(|error| Failure::new(Exit::Failure, format!("{}: {error}", path.display())))
}

/// By the name, as a browser would declare it; executors look at the content.
pub(in crate::commands) fn media_type(path: &Path) -> &'static str {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    match extension.as_deref().unwrap_or_default() {
        "pdf" => "application/pdf",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "tif" | "tiff" => "image/tiff",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "txt" => "text/plain",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" | "htm" => "text/html",
        "json" => "application/json",
        "docx" => "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "pptx" => "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "eml" => "message/rfc822",
        _ => "application/octet-stream",
    }
}
