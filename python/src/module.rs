//! The functions of one flow or library, defined together, called by name.
//!
//! Invariant: a definition that is broken fails the calls of its function and no other; the time of all calls of a
//! module together is limited.

use std::time::Duration;

use monty::MontyRepl;
use monty_types::{
    CompileOptions, DateTimeSource, MontyException, MontyObject, NamedValues, OsPolicy, PrintWriter, ProcessTime,
    RandomSeed, RandomStart, ResourceLimits, ResourceTracker, SandboxTimeZone, SleepMode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::convert::{to_json, to_python};
use crate::fault::Fault;

/// All calls of one job together; under the wall time of the child, so that the error can say which function it was.
pub(crate) const TIME: Duration = Duration::from_secs(3);
/// One value that is made at once. What grows slowly meets the limit of the child.
pub(crate) const MEMORY_BYTES: usize = 128 << 20;
/// Calls in calls.
const RECURSION: usize = 400;
/// What one call may give, as JSON.
const OUTPUT_BYTES: usize = 16 << 20;

/// One function as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    pub name: String,
    /// Python with `def <name>(...)` on its top level.
    pub implementation: String,
    /// 1-based line of the first line of the source in its file.
    pub line: u32,
}

/// An interpreter that knows these functions; they may call each other.
#[derive(Debug)]
pub struct Module {
    session: MontyRepl,
    /// For messages: the functions are called `library.name`.
    library: Option<String>,
    definitions: Vec<Definition>,
    /// By definition, once they were run; the fault of one that is broken.
    defined: Option<Vec<Option<Fault>>>,
}

impl Module {
    #[must_use]
    pub fn new(library: Option<String>, definitions: Vec<Definition>) -> Self {
        Self { session: session(), library, definitions, defined: None }
    }

    /// Calls a function.
    ///
    /// # Errors
    /// There is no such function, it is broken, it failed, or it needed more than it may use.
    pub fn call(&mut self, name: &str, arguments: &[Json], named: &Map<String, Json>) -> Result<Json, Fault> {
        let broken = self.define();
        let what = self.what(name);
        let Some(index) = self.definitions.iter().position(|definition| definition.name == name) else {
            return Err(Fault::failed(format!("There is no function `{name}`.")));
        };
        if let Some(fault) = &broken[index] {
            return Err(fault.clone());
        }
        let mut values = NamedValues::new();
        values.push(ARGUMENTS, MontyObject::list(arguments.iter().map(to_python)));
        values.push(NAMED, to_python(&Json::Object(named.clone())));
        let left = self.time_left(&what)?;
        self.session.tracker_mut().set_max_feed_duration(left);
        let source = format!("{name}(*{ARGUMENTS}, **{NAMED})");
        let result = self.session.feed_run(&source, values, PrintWriter::Disabled);
        let result = result.map_err(|error| self.fault(&error, &what))?;
        to_json(&result, &what, OUTPUT_BYTES)
    }

    /// Runs every definition once.
    fn define(&mut self) -> Vec<Option<Fault>> {
        if let Some(defined) = &self.defined {
            return defined.clone();
        }
        let definitions = self.definitions.clone();
        let defined: Vec<_> = definitions.iter().map(|definition| self.define_one(definition).err()).collect();
        self.defined = Some(defined.clone());
        defined
    }

    fn define_one(&mut self, definition: &Definition) -> Result<(), Fault> {
        let what = self.what(&definition.name);
        let left = self.time_left(&what)?;
        self.session.tracker_mut().set_max_feed_duration(left);
        // A source without a statement would not count as one, and the numbers of the others would be wrong.
        let source = format!("{}\n", definition.implementation);
        self.session
            .feed_run(&source, NamedValues::new(), PrintWriter::Disabled)
            .map_err(|error| self.fault(&error, &what))?;
        if self.session.has_function(&definition.name) {
            return Ok(());
        }
        let Definition { name, line, .. } = definition;
        let message = format!("{what} (line {line}) has no body: its implementation must hold `def {name}(...)`.");
        Err(Fault { line: Some(*line), ..Fault::failed(message) })
    }

    fn what(&self, name: &str) -> String {
        let library = self.library.as_ref().map_or_else(String::new, |library| format!("{library}."));
        format!("The function `{library}{name}`")
    }

    fn time_left(&self, what: &str) -> Result<Duration, Fault> {
        TIME.checked_sub(self.session.tracker().elapsed())
            .filter(|left| !left.is_zero())
            .ok_or_else(|| Fault::limit(format!("{what} needs more time than the functions of a template may use.")))
    }

    /// The fault, at the innermost line that an author wrote.
    fn fault(&self, error: &MontyException, what: &str) -> Fault {
        let written = error.traceback().iter().rev().find_map(|frame| {
            let number: usize = frame.filename.strip_prefix("<python-input-")?.strip_suffix('>')?.parse().ok()?;
            let definition = self.definitions.get(number)?;
            Some(definition.line + frame.start.line.saturating_sub(1))
        });
        Fault::of(error, what, written)
    }
}

const ARGUMENTS: &str = "__weir_arguments";
const NAMED: &str = "__weir_named";

/// A session that sees no clock, waits for nothing and draws the same random numbers every time.
pub(crate) fn session() -> MontyRepl {
    let limits =
        ResourceLimits::default().max_feed_duration(TIME).max_memory(MEMORY_BYTES).max_recursion_depth(RECURSION);
    let policy = OsPolicy {
        datetime: DateTimeSource::CallHost,
        timezone: SandboxTimeZone::utc(),
        sleep: SleepMode::Zero,
        process_time: ProcessTime::Zero,
        random_start: RandomStart::Seed(RandomSeed::Int(0.into())),
    };
    MontyRepl::new("flow.py", ResourceTracker::new(limits), CompileOptions::default()).with_os_policy(policy)
}
