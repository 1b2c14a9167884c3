//! Crate edges run one way, as the table of rooms in ARCHITECTURE.md says; every crate says what it is for and takes the
//! house's lints. The table is the rule: this suite reads it, so page and code cannot drift apart.
use super::texts::{root, sources};
use serde_json::Value;
use std::{collections::BTreeMap, env, fs, process::Command};

/// What a room's own tests may use besides.
const ALLOWED_IN_TESTS: &[(&str, &str)] = &[("entities", "migration"), ("service", "executors")];

/// What the console's browser half may see; everything else in `app` must be optional, behind `ssr`.
const BROWSER: &[&str] = &["domain", "language"];

/// Room -> the rooms it may use, from the table's first and last column; `-` is none, `all above` the rows before.
fn allowed() -> BTreeMap<String, Vec<String>> {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, table) = page.split_once("## Rooms").expect("ARCHITECTURE.md has its map under `## Rooms`");
    let rows = table.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| `"));
    let mut allowed = BTreeMap::<String, Vec<String>>::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let room = cells[0].trim_matches('`').to_owned();
        let uses = match *cells.last().unwrap() {
            "-" => Vec::new(),
            "all above" => allowed.keys().cloned().collect(),
            rooms => rooms.split(',').map(|room| room.trim().to_owned()).collect(),
        };
        allowed.insert(room, uses);
    }
    assert!(allowed.len() > 10, "the table of rooms looks wrong: {allowed:?}");
    allowed
}

fn packages() -> Vec<Value> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(root()).args(["metadata", "--format-version", "1", "--no-deps", "--locked"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

struct Edge {
    to: String,
    optional: bool,
    for_tests: bool,
}

/// The path dependencies of a package.
fn edges(package: &Value) -> Vec<Edge> {
    let dependencies = package["dependencies"].as_array().unwrap().iter();
    let rooms = dependencies.filter(|dependency| dependency["path"].is_string());
    let edge = |room: &Value| Edge {
        to: text(room, "name").to_owned(),
        optional: room["optional"] == true,
        for_tests: room["kind"] == "dev",
    };
    rooms.map(edge).collect()
}

#[test]
fn every_edge_between_rooms_is_one_that_the_architecture_draws() {
    let allowed = allowed();
    let mut problems = Vec::new();
    for package in packages() {
        let room = text(&package, "name");
        let Some(may) = allowed.get(room) else {
            problems.push(format!("`{room}` is not a room of ARCHITECTURE.md"));
            continue;
        };
        for edge in edges(&package) {
            let in_tests = edge.for_tests && ALLOWED_IN_TESTS.contains(&(room, &edge.to));
            if !may.contains(&edge.to) && !in_tests {
                problems.push(format!("`{room}` must not use `{}`", edge.to));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

#[test]
fn the_browser_half_of_the_console_sees_domain_and_language_alone() {
    let packages = packages();
    let app = packages.iter().find(|package| text(package, "name") == "app").unwrap();
    let always: Vec<_> =
        edges(app).into_iter().filter(|edge| !edge.optional && !edge.for_tests).map(|edge| edge.to).collect();
    assert!(always.iter().all(|room| BROWSER.contains(&room.as_str())), "`app` always uses {always:?}");
    let hydrate = app["features"]["hydrate"].as_array().unwrap();
    let server_only = edges(app).into_iter().filter(|edge| edge.optional && !BROWSER.contains(&edge.to.as_str()));
    let server_only: Vec<_> = server_only.map(|edge| format!("dep:{}", edge.to)).collect();
    assert!(hydrate.iter().all(|feature| !server_only.iter().any(|room| feature == room)), "hydrate: {hydrate:?}");
}

#[test]
fn every_room_says_what_it_is_for_and_takes_the_lints_of_the_house() {
    let mut problems = Vec::new();
    for package in packages() {
        let room = text(&package, "name");
        if text(&package, "description").len() < 10 {
            problems.push(format!("{room}/Cargo.toml has no description"));
        }
        let manifest = fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
        let manifest: toml::Value = toml::from_str(&manifest).unwrap();
        let inherited = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if inherited.and_then(toml::Value::as_bool) != Some(true) {
            problems.push(format!("{room}/Cargo.toml does not inherit the workspace's lints"));
        }
        if package["publish"] != serde_json::json!([]) {
            problems.push(format!("{room}/Cargo.toml may be published"));
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// A name that nothing calls still costs every build its compile time and every audit a look.
#[test]
fn every_dependency_of_a_room_is_named_in_its_sources() {
    let sources = sources();
    let mut problems = Vec::new();
    for package in packages() {
        let room = text(&package, "name");
        let of_room = sources.iter().filter(|source| source.path.starts_with(&format!("{room}/")));
        let written: String =
            of_room.filter(|source| source.path.ends_with(".rs")).map(|source| source.text.as_str()).collect();
        for dependency in package["dependencies"].as_array().unwrap() {
            let name = text(dependency, "name");
            if !is_named(&written, &name.replace('-', "_")) {
                problems.push(format!("{room}/Cargo.toml asks for `{name}` and no source of it names that crate"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// As a path, a macro or an import; a field or a variable of the same name does not count.
fn is_named(written: &str, name: &str) -> bool {
    let pattern = format!(r"(^|[^.\w]){name}(::|!|;|\s*\{{| as )");
    regex::Regex::new(&pattern).unwrap().is_match(written)
}

#[test]
fn the_search_for_unused_dependencies_sees_one() {
    let written = "use bytes::Bytes;\nlet toml = self.toml;\nfutures_util::pin_mut!(stream);";
    assert!(is_named(written, "bytes") && is_named(written, "futures_util"));
    assert!(!is_named(written, "hex") && !is_named("self.hex(3)", "hex") && !is_named("mybytes::x", "bytes"));
}
