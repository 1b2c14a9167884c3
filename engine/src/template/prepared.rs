//! A plan made ready to run: templates compiled, schemas compiled, followers known. Made once per plan, shared by its
//! runs.
//!
//! Invariant: making it never fails; what is broken fails the step that needs it, with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jsonschema::Validator;
use language::Plan;
use language::plan::{MainInputPlan, OnError, Phase, StepIndex, StepPlan};
use minijinja::Environment;
use serde_json::{Map, Value as Json};

use super::analysis::{Analysis, Names, Reads, Weight};
use super::callables::Callables;
use super::cases;
use super::environment::{Place, environment};
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
    /// The list of `for_each`.
    pub list: Option<Ready>,
    /// The condition that ends a `repeat`.
    pub until: Option<Ready>,
    /// The value of `on_error`.
    pub fallback: Option<Ready>,
    /// The step's own way to do it, then its fallbacks.
    pub entries: Vec<PreparedEntry>,
}

/// One way to do a step, compiled.
pub struct PreparedEntry {
    /// Without raw fields and prompts.
    pub config: Ready,
    /// Handed over as written.
    pub raw: Map<String, Json>,
    /// Rendered last, because they see the rest of the config by name: prompts, written here or in a file of the folder,
    /// by the field that takes their text.
    pub prompts: Vec<(String, Ready)>,
    /// For a main input that is a list: the steps whose whole outputs are listed, where the config says nothing else.
    pub listed_steps: Option<Vec<String>>,
    pub executor: Option<Arc<dyn Executor>>,
    pub(crate) validator: Option<Validator>,
}

/// One way to do a step, as the plan has it.
pub(crate) struct Way<'a> {
    pub executor: &'a str,
    pub config: &'a Map<String, Json>,
    pub config_lines: &'a BTreeMap<String, u32>,
    pub main_input: Option<&'a MainInputPlan>,
    pub line: u32,
}

/// The step's own way for 0, its nth fallback for n.
pub(crate) fn way(step: &StepPlan, entry: u32) -> Way<'_> {
    match (entry as usize).checked_sub(1).and_then(|index| step.fallbacks.get(index)) {
        None => Way {
            executor: &step.executor,
            config: &step.config,
            config_lines: &step.config_lines,
            main_input: step.main_input.as_ref(),
            line: step.line,
        },
        Some(fallback) => Way {
            executor: &fallback.executor,
            config: &fallback.config,
            config_lines: &fallback.config_lines,
            main_input: fallback.main_input.as_ref(),
            line: fallback.line,
        },
    }
}

pub struct Prepared {
    graph: Arc<Graph>,
    pub vars: Vec<(String, Ready)>,
    pub steps: Vec<PreparedStep>,
    pub outputs: Option<Ready>,
    environment: Environment<'static>,
    sources: BTreeMap<String, String>,
    callables: Callables,
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
        let names = Names::plain(&groups);
        let mut compiler = Compiler::new(&plan, names);
        let vars = plan
            .vars
            .iter()
            .map(|(name, value)| (name.clone(), compiler.ready(Shape::new(value, &format!("vars/{name}"), names))));
        let vars = vars.collect();
        let outputs = plan
            .outputs
            .as_ref()
            .map(|outputs| compiler.ready(Shape::new(&Json::Object(outputs.clone()), "outputs", names)));
        let steps = (0..plan.steps.len()).map(|index| compiler.step(&plan, index, registry, names)).collect();
        let graph = Arc::new(Graph::new(plan, registry));
        let Compiler { environment, sources, callables, .. } = compiler;
        Self { graph, vars, steps, outputs, environment, sources, callables }
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
            functions: self.callables.functions(&ready.reads.roots),
        }
    }

    /// Takes the markers of a render out of a config. See [`crate::event::SecretUse`].
    pub fn take_secrets(config: &mut Json, nonce: &str) -> Result<Vec<crate::event::SecretUse>, Fault> {
        secrets::take_out(config, nonce)
    }

    /// One way to do a step.
    #[must_use]
    pub fn entry(&self, step: StepIndex, entry: u32) -> Option<&PreparedEntry> {
        self.steps[step].entries.get(entry as usize)
    }

    /// What a config has against its executor's schema, as one sentence, with the pointer of the place.
    #[must_use]
    pub fn misfit(&self, step: StepIndex, entry: u32, config: &Json) -> Option<(String, String)> {
        let validator = self.entry(step, entry)?.validator.as_ref()?;
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
    callables: Callables,
}

impl Compiler {
    fn new(plan: &Plan, names: Names<'_>) -> Self {
        let callables = Callables::of(plan);
        let (sources, file_reads) = compile_files(plan, &callables, names);
        let environment = environment(&sources, callables.all_functions(), Place::Here);
        Self { environment, sources, file_reads, callables }
    }

    fn ready(&mut self, shape: Shape) -> Ready {
        self.ready_among(shape, &BTreeSet::new())
    }

    /// `carriers` are names in its scope whose values may hold secrets.
    fn ready_among(&mut self, mut shape: Shape, carriers: &BTreeSet<String>) -> Ready {
        shape.call(&self.callables);
        shape.add_to(&mut self.environment);
        let reads = self.with_files(shape.reads());
        if reads.reads("secrets") || carriers.iter().any(|name| reads.reads(name)) {
            let files: Vec<_> = self
                .sources
                .iter()
                .filter(|(name, _)| reads.all_files || reads.files.contains(*name))
                .filter_map(|(name, text)| {
                    minijinja::machinery::parse(text, name, minijinja::syntax::SyntaxConfig::default()).ok()
                })
                .collect();
            shape.hold_secrets(&files, carriers);
        }
        // A file may call what the template itself does not.
        let weight = if self.callables.called("", &reads.roots) { Weight::Costly } else { shape.weight() };
        Ready { weight, reads, shape }
    }

    /// The fields of a config that hold secrets: prompts see them by name.
    fn carriers(&self, config: &Shape) -> BTreeSet<String> {
        let Shape::Map(fields) = config else { return BTreeSet::new() };
        let carries = |field: &Shape| self.with_files(field.reads()).reads("secrets");
        fields.iter().filter(|(_, field)| carries(field)).map(|(name, _)| name.clone()).collect()
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

    fn step(&mut self, plan: &Plan, index: StepIndex, registry: &Registry, names: Names<'_>) -> PreparedStep {
        let step = &plan.steps[index];
        let name = &step.name;
        let names = Names {
            item: step.for_each.as_ref().and_then(|each| each.name.as_deref()),
            undoes: matches!(step.phase, Phase::Compensation { .. }),
            ..names
        };
        let expression = |what: &str, source: &str| {
            let template = Template::of_expression(format!("steps/{name}/{what}"), source, names);
            Shape::Template(Box::new(template))
        };
        let condition = step.condition.as_ref().map(|condition| expression("condition", &condition.source));
        let until = step.repeat.as_ref().map(|repeat| expression("until", &repeat.until.source));
        let list = step.for_each.as_ref().map(|each| Shape::new(&each.list, &format!("steps/{name}/for_each"), names));
        let fallback = match &step.on_error {
            OnError::Value(value) => Some(Shape::new(value, &format!("steps/{name}/on_error"), names)),
            OnError::Fail | OnError::Continue | OnError::Attention => None,
        };
        let entries = 0..=u32::try_from(step.fallbacks.len()).unwrap_or_default();
        PreparedStep {
            condition: condition.map(|shape| self.ready(shape)),
            list: list.map(|shape| self.ready(shape)),
            until: until.map(|shape| self.ready(shape)),
            fallback: fallback.map(|shape| self.ready(shape)),
            entries: entries.map(|entry| self.entry(take_apart(plan, index, entry, registry, names))).collect(),
        }
    }

    fn entry(&mut self, parts: Parts) -> PreparedEntry {
        let carriers = self.carriers(&parts.config);
        PreparedEntry {
            config: self.ready(parts.config),
            raw: parts.raw,
            prompts: parts
                .prompts
                .into_iter()
                .map(|(field, shape)| (field, self.ready_among(shape, &carriers)))
                .collect(),
            listed_steps: parts.listed_steps,
            validator: parts
                .executor
                .as_ref()
                .and_then(|executor| jsonschema::validator_for(&cases::rendered_schema(&executor.spec().config)).ok()),
            executor: parts.executor,
        }
    }
}

/// The shapes of an entry before they are compiled.
struct Parts {
    config: Shape,
    raw: Map<String, Json>,
    prompts: Vec<(String, Shape)>,
    listed_steps: Option<Vec<String>>,
    executor: Option<Arc<dyn Executor>>,
}

/// The folder's files and the author's macros, as the environment loads them, and what each reads.
fn compile_files(
    plan: &Plan,
    callables: &Callables,
    names: Names<'_>,
) -> (BTreeMap<String, String>, BTreeMap<String, Reads>) {
    let mut sources = BTreeMap::new();
    let mut reads = BTreeMap::new();
    for (name, text) in plan.files.iter().chain(&callables.templates) {
        // The environment would parse it when it is asked for, so what nests too much is not given at all.
        if language::too_complex(text).is_some() {
            continue;
        }
        // A file that does not parse is given as it is: using it says why.
        match minijinja::machinery::parse(text, name, minijinja::syntax::SyntaxConfig::default()) {
            Ok(stmt) => {
                let mut analysis = Analysis::of_stmt(&stmt, names);
                let preamble = callables.preamble(name, &free(text, &analysis.reads.roots));
                sources.insert(name.clone(), preamble.text + &analysis.rewrite(text));
                analysis.reads.files.extend(preamble.files);
                reads.insert(name.clone(), analysis.reads);
            }
            Err(_) => {
                sources.insert(name.clone(), text.clone());
            }
        }
    }
    (sources, reads)
}

/// Names that the template does not set itself: a macro's parameter of another macro's name is no reason to load that one,
/// which might load this one for the same reason.
fn free(text: &str, roots: &BTreeSet<String>) -> BTreeSet<String> {
    let environment = Environment::empty();
    let Ok(template) = environment.template_from_str(text) else { return roots.clone() };
    let undeclared = template.undeclared_variables(false);
    roots.iter().filter(|root| undeclared.contains(*root)).cloned().collect()
}

/// Where an executor takes variables, these texts see them.
const PROMPT_FIELDS: &[&str] = &["system", "prompt"];

fn take_apart(plan: &Plan, index: StepIndex, entry: u32, registry: &Registry, names: Names<'_>) -> Parts {
    let way = way(&plan.steps[index], entry);
    let name = match entry {
        0 => plan.steps[index].name.clone(),
        fallback => format!("{}/fallback/{fallback}", plan.steps[index].name),
    };
    let executor = registry.get(way.executor).cloned();
    let spec = executor.as_ref().map(|executor| executor.spec());
    let mut config = way.config.clone();
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
            let shape = Shape::new(text, &format!("steps/{name}/{field}"), names);
            if !matches!(shape, Shape::Literal(_)) {
                config.shift_remove(*field);
                prompts.push(((*field).to_owned(), shape));
            }
        }
    }
    for field in spec.map(|spec| spec.file_fields.as_slice()).unwrap_or_default() {
        let Some(file) = config.get(field).and_then(Json::as_str).map(str::to_owned) else { continue };
        config.shift_remove(field);
        let target = field.strip_suffix("_file").unwrap_or(field).to_owned();
        prompts.push((target, file_template(plan, &file, names)));
    }
    let listed_steps = spec
        .and_then(|spec| spec.main_input.as_ref())
        .filter(|main| main.list)
        .and_then(|main| listed_steps(config.get(&main.field)?));
    let shape = Shape::new(&Json::Object(config), &format!("steps/{name}/config"), names);
    Parts {
        config: match spec {
            Some(spec) => cases::mark(shape, &spec.config),
            None => shape,
        },
        raw,
        prompts,
        listed_steps,
        executor,
    }
}

/// A file of the folder as a template; one that includes it, so that its own includes and errors carry its name.
fn file_template(plan: &Plan, name: &str, names: Names<'_>) -> Shape {
    let mut template = Template::of_text(format!("file/{name}"), &format!("{{% include {name:?} %}}"), names);
    if !plan.files.contains_key(name) {
        template.broken = Some(Fault::new("missing_file", format!("The flow's folder has no file `{name}`.")));
    }
    template.weight = file_weight(plan, name, names);
    Shape::Template(Box::new(template))
}

fn file_weight(plan: &Plan, name: &str, names: Names<'_>) -> Weight {
    let text = plan.files.get(name).map_or("", String::as_str);
    if language::too_complex(text).is_some() {
        return Weight::Cheap;
    }
    minijinja::machinery::parse(text, name, minijinja::syntax::SyntaxConfig::default())
        .map_or(Weight::Cheap, |stmt| Analysis::of_stmt(&stmt, names).weight)
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
