//! `weir config show`: what flags, environment and file come to.

use serde_json::json;
use server::config::Origin;

use crate::arguments::{ConfigCommand, Overrides};
use crate::exit::{Exit, Failure};
use crate::output::Output;

pub(crate) fn config(overrides: &Overrides, command: &ConfigCommand, output: Output) -> Result<Exit, Failure> {
    let ConfigCommand::Show { origin } = command;
    let config = super::configuration(overrides)?;
    let from = |origin: &Origin| match origin {
        Origin::Flag => "flag".to_owned(),
        Origin::Environment => "environment".to_owned(),
        Origin::File(path) => path.display().to_string(),
        Origin::Default => "default".to_owned(),
    };
    if output.is_json() {
        let keys: Vec<_> = config
            .origins
            .iter()
            .map(|(key, value, origin)| {
                json!({"key": key.name, "variable": key.variable, "value": value, "origin": from(origin)})
            })
            .collect();
        output.object(&json!({ "config": keys }));
        return Ok(Exit::Ok);
    }
    for (key, value, source) in &config.origins {
        let source = if *origin { format!("  # {}", from(source)) } else { String::new() };
        output.line(&format!("{} = {value:?}{source}", key.name));
    }
    Ok(Exit::Ok)
}
