//! A plan made ready to run: templates compiled, schemas compiled, followers known. Made once per plan, shared by its
//! runs.
//!
//! Invariant: making it never fails; what is broken fails the step that needs it, with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::Validator;
use language::Plan;
use language::plan::{OnError, StepIndex};
use minijinja::Environment;
use serde_json::{Map, Value as Json};

use super::analysis::{Analysis, Groups, Reads, Weight};
use super::environment::environment;
use super::fault::Fault;
use super::job::RenderJob;
use super::scope::{Scope, ScopeParts};
use super::secrets;
use super::shape::{Shape, Template};
use crate::dispatcher::Graph;
use crate::executor::{Executor, Registry};

/// A shape with what is known of it before any render: what it reads (files that it includes among it), what it weighs.
#[derive(Debug, Clone)]
pub struct Ready {
    pub shape: Shape,
    pub reads: Reads,
    pub weight: Weight,
}

/// One step, compiled.
pub struct PreparedStep {
    pub condition: Option<Ready>,
    /// Without raw fields and prompts.
    pub config: Ready,
    /// Handed over as written.
    pub raw: Map<String, Json>,
    /// Rendered last, because they see the rest of the config by name: prompts, written here or in a file of the folder,
    /// by the field that takes their text.
    pub prompts: Vec<(String, Ready)>,
    pub fallback: Option<Ready>,
    /// For a main input that is a list: the steps whose whole outputs are listed, where the config says nothing else.
    pub listed_steps: Option<Vec<String>>,
    pub executor: Option<Arc<dyn Executor>>,
    pub(crate) validator: Option<Validator>,
}

pub struct Prepared {
    graph: Arc<Graph>,
    pub vars: Vec<(String, Ready)>,
    pub steps: Vec<PreparedStep>,
    pub outputs: Option<Ready>,
    environment: Environment<'static>,
    sources: BTreeMap<String, String>,
}

impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Prepared").field("plan", &self.graph.plan().name).finish_non_exhaustive()
    }
}

impl Prepared {
    #[must_use]
    pub fn new(plan: Arc<Plan>, registry: &Registry) -> Self {
        let members: BTreeMap<&str, BTreeSet<String>> = plan
            .groups
            .iter()
            .map(|group| {
                let names = group.members.iter().map(|member| plan.steps[*member].name.clone());
                (group.name.as_str(), names.collect())
            })
            .collect();
        let groups = |name: &str| members.get(name).cloned();
        let mut compiler = Compiler::new(&plan, &groups);
        let vars = plan
            .vars
            .iter()
            .map(|(name, value)| (name.clone(), compiler.ready(Shape::new(value, &format!("vars/{name}"), &groups))));
        let vars = vars.collect();
        let outputs = plan
            .outputs
            .as_ref()
            .map(|outputs| compiler.ready(Shape::new(&Json::Object(outputs.clone()), "outputs", &groups)));
        let steps = (0..plan.steps.len()).map(|index| compiler.step(&plan, index, registry, &groups)).collect();
        let graph = Arc::new(Graph::new(plan, registry));
        let Compiler { environment, sources, .. } = compiler;
        Self { graph, vars, steps, outputs, environment, sources }
    }

    #[must_use]
    pub fn graph(&self) -> &Arc<Graph> {
        &self.graph
    }

    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        self.graph.plan()
    }

    /// Renders a cheap shape here, on fuel.
    pub fn render(&self, shape: &Shape, scope: &Scope) -> Result<Json, Fault> {
        shape.render(&self.environment, scope)
    }

    /// The job for a sandbox child.
    #[must_use]
    pub fn job(&self, ready: &Ready, scope: ScopeParts) -> RenderJob {
        let wanted = |name: &String| ready.reads.all_files || ready.reads.files.contains(name);
        let files = self.sources.iter().filter(|(name, _)| wanted(name));
        RenderJob {
            shape: ready.shape.clone(),
            scope,
            files: files.map(|(name, text)| (name.clone(), text.clone())).collect(),
        }
    }

    /// Takes the markers of a render out of a config. See [`crate::event::SecretUse`].
    pub fn take_secrets(config: &mut Json, nonce: &str) -> Result<Vec<crate::event::SecretUse>, Fault> {
        secrets::take_out(config, nonce)
    }

    /// What a config has against its executor's schema, as one sentence, with the pointer of the place.
    #[must_use]
    pub fn misfit(&self, step: StepIndex, config: &Json) -> Option<(String, String)> {
        let validator = self.steps[step].validator.as_ref()?;
        let error = validator.iter_errors(config).next()?;
        let pointer = error.instance_path().to_string();
        let place = if pointer.is_empty() { "config".to_owned() } else { format!("config{pointer}") };
        Some((format!("{place}: {}", error.masked()), pointer))
    }
}

/// Compiles shape after shape into one environment.
struct Compiler {
    environment: Environment<'static>,
    sources: BTreeMap<String, String>,
    file_reads: BTreeMap<String, Reads>,
}

impl Compiler {
    fn new(plan: &Plan, groups: Groups<'_>) -> Self {
        let (sources, file_reads) = compile_files(plan, groups);
        Self { environment: environment(&sources), sources, file_reads }
    }

    fn ready(&mut self, mut shape: Shape) -> Ready {
        shape.add_to(&mut self.environment);
        let reads = self.with_files(shape.reads());
        Ready { weight: shape.weight(), reads, shape }
    }

    fn with_files(&self, mut reads: Reads) -> Reads {
        let mut seen = BTreeSet::new();
        loop {
            let wanted = |name: &&String| (reads.all_files || reads.files.contains(*name)) && !seen.contains(*name);
            let Some((name, found)) = self.file_reads.iter().find(|(name, _)| wanted(name)) else { return reads };
            reads.merge(found);
            seen.insert(name.clone());
        }
    }

    fn step(&mut self, plan: &Plan, index: StepIndex, registry: &Registry, groups: Groups<'_>) -> PreparedStep {
        let parts = take_apart(plan, index, registry, groups);
        PreparedStep {
            condition: parts.condition.map(|shape| self.ready(shape)),
            config: self.ready(parts.config),
            raw: parts.raw,
            prompts: parts.prompts.into_iter().map(|(field, shape)| (field, self.ready(shape))).collect(),
            fallback: parts.fallback.map(|shape| self.ready(shape)),
            listed_steps: parts.listed_steps,
            validator: parts
                .executor
                .as_ref()
                .and_then(|executor| jsonschema::validator_for(&executor.spec().config).ok()),
            executor: parts.executor,
        }
    }
}

/// A step's shapes before they are compiled.
struct Parts {
    condition: Option<Shape>,
    config: Shape,
    raw: Map<String, Json>,
    prompts: Vec<(String, Shape)>,
    fallback: Option<Shape>,
    listed_steps: Option<Vec<String>>,
    executor: Option<Arc<dyn Executor>>,
}

fn compile_files(plan: &Plan, groups: Groups<'_>) -> (BTreeMap<String, String>, BTreeMap<String, Reads>) {
    let mut sources = BTreeMap::new();
    let mut reads = BTreeMap::new();
    for (name, text) in &plan.files {
        // The environment would parse it when it is asked for, so what nests too much is not given at all.
        if language::too_complex(text).is_some() {
            continue;
        }
        // A file that does not parse is given as it is: using it says why.
        match minijinja::machinery::parse(text, name, minijinja::syntax::SyntaxConfig::default()) {
            Ok(stmt) => {
                let analysis = Analysis::of_stmt(&stmt, groups);
                sources.insert(name.clone(), analysis.rewrite(text));
                reads.insert(name.clone(), analysis.reads);
            }
            Err(_) => {
                sources.insert(name.clone(), text.clone());
            }
        }
    }
    (sources, reads)
}

/// Where an executor takes variables, these texts see them.
const PROMPT_FIELDS: &[&str] = &["system", "prompt"];

fn take_apart(plan: &Plan, index: StepIndex, registry: &Registry, groups: Groups<'_>) -> Parts {
    let step = &plan.steps[index];
    let executor = registry.get(&step.executor).cloned();
    let spec = executor.as_ref().map(|executor| executor.spec());
    let mut config = step.config.clone();
    let mut raw = Map::new();
    for field in spec.map(|spec| spec.raw_fields.as_slice()).unwrap_or_default() {
        if let Some(value) = config.shift_remove(field) {
            raw.insert(field.clone(), value);
        }
    }
    let mut prompts = Vec::new();
    if spec.is_some_and(|spec| spec.open_config) {
        for field in PROMPT_FIELDS {
            let Some(text) = config.get(*field).filter(|value| value.is_string()) else { continue };
            let shape = Shape::new(text, &format!("steps/{}/{field}", step.name), groups);
            if !matches!(shape, Shape::Literal(_)) {
                config.shift_remove(*field);
                prompts.push(((*field).to_owned(), shape));
            }
        }
    }
    for field in spec.map(|spec| spec.file_fields.as_slice()).unwrap_or_default() {
        let Some(name) = config.get(field).and_then(Json::as_str).map(str::to_owned) else { continue };
        config.shift_remove(field);
        let target = field.strip_suffix("_file").unwrap_or(field).to_owned();
        prompts.push((target, file_template(plan, &name, groups)));
    }
    let listed_steps = spec
        .and_then(|spec| spec.main_input.as_ref())
        .filter(|main| main.list)
        .and_then(|main| listed_steps(config.get(&main.field)?));
    let name = &step.name;
    Parts {
        condition: step.condition.as_ref().map(|condition| {
            let template = Template::of_expression(format!("steps/{name}/condition"), &condition.source, groups);
            Shape::Template(Box::new(template))
        }),
        config: Shape::new(&Json::Object(config), &format!("steps/{name}/config"), groups),
        raw,
        prompts,
        fallback: match &step.on_error {
            OnError::Value(value) => Some(Shape::new(value, &format!("steps/{name}/on_error"), groups)),
            OnError::Fail | OnError::Continue | OnError::Attention => None,
        },
        listed_steps,
        executor,
    }
}

/// A file of the folder as a template; one that includes it, so that its own includes and errors carry its name.
fn file_template(plan: &Plan, name: &str, groups: Groups<'_>) -> Shape {
    let mut template = Template::of_text(format!("file/{name}"), &format!("{{% include {name:?} %}}"), groups);
    if !plan.files.contains_key(name) {
        template.broken = Some(Fault::new("missing_file", format!("The flow's folder has no file `{name}`.")));
    }
    template.weight = file_weight(plan, name, groups);
    Shape::Template(Box::new(template))
}

fn file_weight(plan: &Plan, name: &str, groups: Groups<'_>) -> Weight {
    let text = plan.files.get(name).map_or("", String::as_str);
    if language::too_complex(text).is_some() {
        return Weight::Cheap;
    }
    minijinja::machinery::parse(text, name, minijinja::syntax::SyntaxConfig::default())
        .map_or(Weight::Cheap, |stmt| Analysis::of_stmt(&stmt, groups).weight)
}

/// The names in a list whose elements are each exactly one whole step.
fn listed_steps(value: &Json) -> Option<Vec<String>> {
    let items = value.as_array().filter(|items| !items.is_empty())?;
    items.iter().map(|item| whole_step(item.as_str()?)).collect()
}

fn whole_step(text: &str) -> Option<String> {
    let inside = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let name = inside.strip_prefix("steps.")?;
    let is_name = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_');
    (is_name && !name.is_empty()).then(|| name.to_owned())
}
