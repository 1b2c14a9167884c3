//! Every problem code with its severity and its meaning: the table of the docs.
//!
//! Invariant: a code is never reused for another meaning; retired codes stay retired.

use crate::problem::Severity;

/// What a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code {
    pub code: &'static str,
    pub severity: Severity,
    pub meaning: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $severity:ident, $meaning:literal;)*) => {
        $(pub(crate) const $name: Code = Code { code: $code, severity: Severity::$severity, meaning: $meaning };)*
        /// All codes, in order.
        pub const ALL: &[Code] = &[$($name,)*];
    };
}

/// The code of [`UNKNOWN_CALLEE`], for those who look for it among problems.
pub const UNKNOWN_CALLEE_CODE: &str = UNKNOWN_CALLEE.code;

codes! {
    TOO_LARGE = "F001", Error, "The file, its nesting, its number of nodes, steps or names is beyond a limit.";
    YAML_SYNTAX = "F002", Error, "The text is not YAML.";
    DUPLICATE_KEY = "F003", Error, "A key is written twice in one mapping.";
    YAML_FEATURE = "F004", Error, "A part of YAML that flows do not use: tags, merge keys, several documents, keys that are not text, an anchor inside itself.";
    UNQUOTED_TEMPLATE = "F005", Error, "A template without quotes, which YAML reads as a mapping.";
    NUMBER_TOO_LARGE = "F006", Error, "A number that does not fit 64 bits; quote it if it is an identifier.";
    UNKNOWN_KEY = "F010", Error, "A key that the language does not know here.";
    WRONG_TYPE = "F011", Error, "A value of another type than the key takes.";
    MISSING_KEY = "F012", Error, "A key that must be there is missing.";
    INVALID_VALUE = "F013", Error, "A value outside its choices or bounds.";
    INVALID_NAME = "F014", Error, "A name that is not made of the allowed characters.";
    NAME_DIFFERS = "F015", Error, "`name` differs from the folder's or the URL's name.";
    INVALID_SCHEMA = "F016", Error, "A JSON Schema that is not one.";
    DEFAULT_MISFIT = "F017", Error, "A default or an example that its own input would refuse.";
    UNKNOWN_FIELD = "F018", Error, "`search` names a field that the flow does not have.";
    UNKNOWN_EXECUTOR = "F020", Error, "An executor that does not exist.";
    CONFIG_MISFIT = "F021", Error, "A config value that the executor does not take.";
    UNKNOWN_CONFIG = "F022", Error, "A config key that the executor does not know.";
    MISSING_CONFIG = "F023", Error, "A config key that the executor needs.";
    MISSING_FILE = "F024", Error, "A file that is not in the flow's folder.";
    NO_ITEMS = "F025", Error, "A word about items (`as`, `max_items` ...) in a step without `for_each`.";
    UNFIT = "F026", Error, "A setting that cannot go with another: `save: none` with a wait, a handler that waits, a list longer than `max_items`.";
    IDLE = "F027", Warning, "Something that has no effect: a cache on a step that is never cached, an item that nothing uses, an import without functions.";
    DUPLICATE_NAME = "F030", Error, "Two steps or groups share a name.";
    UNKNOWN_DEPENDENCY = "F031", Error, "`depends_on` names no step and no group.";
    CYCLE = "F032", Error, "Steps wait for each other in a circle.";
    GROUP_APART = "F033", Error, "Members of one group are not written together.";
    OWN_GROUP = "F034", Error, "A member waits for its own group.";
    UNKNOWN_GROUP = "F035", Error, "`groups` describes a group without members.";
    JOIN_IMPOSSIBLE = "F036", Error, "A join that needs more members than the group has.";
    OTHER_PHASE = "F037", Error, "A step names or reads one that has its turn later, or may not have run: a handler's step from outside, or, in `compensate`, a step that need not have come before.";
    UNREACHABLE = "F038", Warning, "A step that can never run.";
    UNORDERED = "F039", Warning, "Two steps that act on the outside world without an order between them.";
    TEMPLATE_SYNTAX = "F040", Error, "A template that cannot be read.";
    COMPUTED_STEP = "F041", Error, "A step's name is computed, so that nobody can tell what to wait for.";
    UNKNOWN_STEP = "F042", Error, "A template reads a step that does not exist.";
    UNKNOWN_INPUT = "F043", Error, "A template reads an input that the flow does not declare.";
    UNKNOWN_VARIABLE = "F044", Error, "A template reads a variable that is not there, or not yet.";
    UNKNOWN_NAME = "F045", Error, "A template uses a name that is not in scope.";
    UNKNOWN_FUNCTION = "F046", Error, "A template uses a filter, test or function that does not exist.";
    NOT_A_STATUS = "F047", Error, "`.status` is compared with something that is no status.";
    SECRET_PLACE = "F048", Error, "A secret is read outside an executor's config, or by a computed name.";
    UNKNOWN_OUTPUT = "F049", Warning, "A template reads a field that the step's output, or the input, does not have.";
    MAIN_INPUT_MISSING = "F050", Error, "Nothing before the step, and no input, can be its main input.";
    MAIN_INPUT_AMBIGUOUS = "F051", Error, "Several inputs or members of a group could be the main input.";
    NOT_AN_EXPRESSION = "F052", Error, "A condition that is not one expression, or can never be true or false.";
    TEMPLATE_TOO_COMPLEX = "F053", Error, "A template that nests or chains too much.";
    TEMPLATE_FILE = "F054", Error, "A template includes a file that is not there, or by a computed name.";
    RECORD_NAME = "F055", Warning, "An output field is named like a field of the step's record and is hidden by it.";
    SHADOWED = "F056", Error, "A template assigns to a name of the language.";
    UNKNOWN_NEIGHBOUR = "F060", Error, "`extends` or `imports` names a flow that is not there.";
    NEIGHBOUR_CYCLE = "F061", Error, "Flows that extend or call each other in a circle.";
    NOTHING_TO_REMOVE = "F062", Error, "`remove` names nothing of the extended flow.";
    FUNCTION_SHAPE = "F063", Error, "A function without its `def` line, or a macro without its `macro` block, of the same name.";
    FUNCTION_BODY = "F064", Warning, "A function whose body is missing or returns a name that nothing sets.";
    ARGUMENTS = "F065", Error, "A function or macro is called with arguments that it does not take.";
    UNKNOWN_CALLEE = "F066", Warning, "A step calls a flow, a version or a channel that is not there yet; the run would fail.";
    CALLEE_INPUT = "F067", Warning, "A step gives a flow an input that it does not declare or would refuse, or not one that it needs.";
    UNKNOWN_REFERENCE = "F068", Warning, "A secret, a connection or a pool that the tenant does not have yet; said where the flow is saved.";
    LOAD_CYCLE = "F069", Error, "Macros or prompt files that load each other in a circle.";
    TYPE_MISFIT = "F070", Error, "A value of another type than the config, the list or the operation takes.";
    NEVER_EQUAL = "F071", Warning, "A comparison that can never hold, or whose outcome no value changes: the two sides have different types or choices.";
    MAYBE_SKIPPED = "F072", Warning, "The output of a step is read that may have been skipped.";
    SECRET_LEAVES = "F073", Error, "A secret would leave: by a field that is not for secrets, or to a host that the call or a step chooses.";
    SECRET_SHOWN = "F074", Warning, "A secret stands in an address, which others write into their logs.";
    NOT_YET = "F090", Error, "A part of the language that this version does not run yet.";
}
