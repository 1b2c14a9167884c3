//! What the dependency graph must not hold: a second TLS or crypto stack, C OpenSSL, an abandoned YAML parser.
//!
//! Asked of cargo's resolved graph, not of the lock file: that one also lists what no build takes.
use crate::{
    failure::Failure,
    say,
    workspace::{Workspace, output},
};
use std::{collections::BTreeSet, process::Command};

const FORBIDDEN: &[&str] = &["ring", "openssl-sys", "native-tls", "serde_yaml"];
const SINGLE: &[&str] = &["sqlx", "sqlx-core", "reqwest", "rustls", "hyper", "actix-web", "tokio", "wasm-bindgen"];

pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let mut command = Command::new(&workspace.cargo);
    command.current_dir(&workspace.root);
    command.args(["tree", "--locked", "--workspace", "--prefix", "none", "--format", "{p}"]);
    command.args(["--edges", "normal,build,dev"]);
    let tree = output(&mut command)?;
    let problems = problems(&tree);
    if problems.is_empty() {
        say::step("guards", "the dependency graph holds nothing forbidden and nothing twice that must be single");
        return Ok(());
    }
    Err(Failure::Rule(problems.join("; ")))
}

fn problems(tree: &str) -> Vec<String> {
    let packages: BTreeSet<(&str, &str)> = tree
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            Some((words.next()?, words.next()?))
        })
        .collect();
    let versions =
        |name: &str| packages.iter().filter(|package| package.0 == name).map(|package| package.1).collect::<Vec<_>>();
    let forbidden = FORBIDDEN
        .iter()
        .filter(|name| !versions(name).is_empty())
        .map(|name| format!("`{name}` must not be built (cargo tree --workspace --invert {name})"));
    let doubled = SINGLE
        .iter()
        .filter(|name| versions(name).len() > 1)
        .map(|name| format!("`{name}` must be there once, is {}", versions(name).join(", ")));
    forbidden.chain(doubled).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_crate_and_a_doubled_one_are_named() {
        let found =
            problems("server v0.1.0 (path)\nring v0.17.0\nreqwest v0.12.0\nreqwest v0.13.5\nreqwest v0.13.5 (*)\n");
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("`ring`") && found[1].contains("v0.12.0, v0.13.5"));
    }

    #[test]
    fn a_clean_graph_has_no_problem() {
        assert!(problems("server v0.1.0 (path)\nrustls v0.23.46\nrustls v0.23.46 (*)\n").is_empty());
    }
}
