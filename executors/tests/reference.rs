//! The language reference in `docs/`: its examples are checked with the executors that there are, and run where they say
//! what comes out; its table of executors is theirs.
//!
//! A fence says what is expected: `yaml` checks without a word, `yaml refused F042` and `yaml warns F027` give exactly
//! these codes, `yaml beside name` is a flow that the next ones of the page may build on, and `yaml run` is run with the
//! `json inputs` below it and gives the `json output`. `WEIR_UPDATE_DOCS=1` writes the table anew.
#![expect(clippy::unwrap_used, reason = "the suite's verbs fail loudly")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::{Failure, FailureKind};
use engine::memory::{FixedModels, FixedSecrets, FlowLoader, Start, Unobserved, World, WorldParts};
use engine::{Control, Outcome, Registry};
use language::{Catalogue, Compiled, ExecutorSpec, Folder, Plan, Severity};
use sandbox::{Pool, PoolConfig};
use serde_json::{Value, json};

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

fn pages() -> Vec<PathBuf> {
    let inside = std::fs::read_dir(docs().join("language")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> = inside.chain([docs().join("language.md")]).collect();
    pages.sort();
    pages
}

/// A fenced block: what stands beside its fence, its text, and its line.
struct Block {
    info: String,
    text: String,
    line: usize,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => {
                open = Some(Block { info: info.to_owned(), text: String::new(), line: number + 1 });
            }
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => {
                let _ = writeln!(block.text, "{line}");
            }
            (None, None) => {}
        }
    }
    blocks
}

fn pool() -> Arc<Pool> {
    Arc::new(Pool::new(PoolConfig::new(env!("CARGO_BIN_EXE_executors-test-child"))))
}

fn registry(pool: &Arc<Pool>) -> Registry {
    let egress = egress::Client::new(egress::Policy::parse("", None).unwrap()).unwrap();
    executors::registry(&executors::Tools { egress, sandbox: Arc::clone(pool) })
}

struct NoFlows;

impl FlowLoader for NoFlows {
    fn load(&self, flow: &str) -> Result<Arc<Plan>, Failure> {
        Err(Failure::new(FailureKind::Flow, "unknown_flow", format!("There is no flow `{flow}` here.")))
    }
}

async fn run(plan: Plan, inputs: Value) -> Value {
    let pool = pool();
    let world = World::new(WorldParts {
        registry: registry(&pool),
        secrets: FixedSecrets(BTreeMap::new()),
        models: FixedModels::default(),
        loader: Arc::new(NoFlows),
        observer: Arc::new(Unobserved),
        sandbox: Some(pool),
    });
    let inputs = language::inputs::parse(&plan, inputs, &BTreeMap::new()).unwrap();
    let finished = world.run(Arc::new(plan), Start::new("example", inputs), Control::default()).await.unwrap();
    match finished.outcome {
        Outcome::Settled(settled) if settled.error.is_none() => settled.outputs,
        other => json!({ "did not succeed": format!("{other:?}") }),
    }
}

fn prompts(yaml: &str) -> BTreeMap<String, String> {
    // Examples name prompt files without showing them.
    let named = yaml.split("prompt_file: ").skip(1).filter_map(|rest| rest.split([',', '}', '\n']).next());
    named.map(|path| (path.trim().to_owned(), "{{ text }}".to_owned())).collect()
}

#[tokio::test]
async fn every_example_is_checked_and_run_as_it_says() {
    let catalogue = registry(&pool()).catalogue();
    let (mut checked, mut ran) = (0, 0);
    let mut faults = Vec::new();
    for path in pages() {
        let page = std::fs::read_to_string(&path).unwrap();
        let mut beside: Vec<(String, Folder)> = Vec::new();
        let blocks = blocks(&page);
        for (index, block) in blocks.iter().enumerate() {
            let Some(wish) = block.info.strip_prefix("yaml") else { continue };
            let place = format!("{}:{}", path.display(), block.line);
            let mut folder = Folder { name: None, yaml: block.text.clone(), files: prompts(&block.text) };
            if let Some(name) = wish.trim().strip_prefix("beside ") {
                beside.push((name.to_owned(), folder.clone()));
            }
            for (name, neighbour) in beside
                .iter()
                .filter(|(name, _)| folder.missing_neighbours().contains(name))
                .cloned()
                .collect::<Vec<_>>()
            {
                folder.take_in(neighbour, &name);
            }
            let plan = check(&folder, wish.trim(), &catalogue).unwrap_or_else(|fault| {
                faults.push(format!("{place}: {fault}"));
                None
            });
            checked += 1;
            if let ("run", Some(plan)) = (wish.trim(), plan) {
                let value = |info: &str| {
                    let next = blocks[index + 1..].iter().take(2).find(|block| block.info == info)?;
                    Some(serde_json::from_str::<Value>(&next.text).unwrap())
                };
                let inputs = value("json inputs").filter(|_| blocks[index + 1].info == "json inputs");
                let expected = value("json output").unwrap_or_else(|| panic!("{place}: no output"));
                let output = run(plan, inputs.unwrap_or_else(|| json!({}))).await;
                if output != expected {
                    faults.push(format!("{place}: gives {output}"));
                }
                ran += 1;
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 35 && ran >= 5, "{checked} checked, {ran} run");
}

fn check(folder: &Folder, wish: &str, catalogue: &Catalogue) -> Result<Option<Plan>, String> {
    let Compiled { plan, problems } = language::compile(folder, catalogue);
    let found: Vec<&str> = problems.iter().map(|problem| problem.code.as_str()).collect();
    let is_refused = problems.iter().any(|problem| problem.severity == Severity::Error);
    let (word, codes) = wish.split_once(' ').unwrap_or((wish, ""));
    let expected: Vec<&str> = match word {
        "refused" | "warns" => codes.split(' ').collect(),
        _ => Vec::new(),
    };
    if found != expected || is_refused != (word == "refused") {
        let said: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        return Err(format!("{found:?} {said:?}"));
    }
    Ok(plan)
}

/// Config keys or output fields, with what they hold.
fn fields(schema: &Value) -> String {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let properties = schema["properties"].as_object().into_iter().flatten();
    let mut rows = String::new();
    for (name, property) in properties {
        let text = property["description"].as_str().unwrap_or_default().replace('\n', " ").replace('|', "\\|");
        let needed = if required.contains(&name.as_str()) { " (needed)" } else { "" };
        let _ = writeln!(rows, "| `{name}`{needed} | {text} |");
    }
    rows
}

fn section(spec: &ExecutorSpec) -> String {
    let mut text = format!("## {}\n\n{}", spec.name, spec.summary);
    if let Some(main) = &spec.main_input {
        let _ = write!(text, " Main input: `{}`.", main.field);
    }
    if spec.open_config {
        text.push_str(" Other config keys are variables of the prompt.");
    }
    if spec.default_attempts > 1 {
        let _ = write!(text, " Tries {} times unless `retry` says otherwise.", spec.default_attempts);
    }
    let _ = write!(text, "\n\n| Config | Holds |\n|---|---|\n{}\n", fields(&spec.config));
    let output = fields(&spec.output);
    if !output.is_empty() {
        let _ = write!(text, "| Output | Holds |\n|---|---|\n{output}\n");
    }
    text
}

#[test]
fn the_page_of_executors_is_made_from_them() {
    let sections: String = registry(&pool()).catalogue().iter().map(section).collect();
    stands_in("language/executors.md", ("<!-- executors -->\n", "<!-- /executors -->"), &sections);
}

#[test]
fn the_table_of_what_takes_secrets_is_made_from_the_executors() {
    let mut table = "| Executor | Fields that take secrets |\n|---|---|\n".to_owned();
    for spec in registry(&pool()).catalogue().iter().filter(|spec| !spec.secret_fields.is_empty()) {
        let _ = writeln!(table, "| `{}` | `{}` |", spec.name, spec.secret_fields.join("`, `"));
    }
    stands_in("language/templates.md", ("<!--secret-fields-->\n", "<!--/secret-fields-->"), &table);
}

/// Whether a page holds this text between its marks; where it is asked for, it is put there.
fn stands_in(page: &str, (open, close): (&str, &str), sections: &str) {
    let path = docs().join(page);
    let written = std::fs::read_to_string(&path).unwrap();
    let mut text = written.clone();
    let start = text.find(open).unwrap() + open.len();
    let end = text.find(close).unwrap();
    text.replace_range(start..end, sections);
    if std::env::var_os("WEIR_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    } else {
        assert!(written == text, "run this test once with WEIR_UPDATE_DOCS=1");
    }
}
