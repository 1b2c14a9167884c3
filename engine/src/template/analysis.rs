//! What a template reads, what it may cost, and where a record stands for what it is a record of: a step for its output,
//! an item for its element.
//!
//! Invariant: an unknown construct counts as costly and a computed name as a read of everything.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, CallType, Expr, Filter, Stmt, UnaryOpKind};
use minijinja::value::ValueKind;

use super::syntax::{Seen, walk_expr, walk_stmt};

/// Whether a render is bounded by its source and data, or has to be watched from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Weight {
    /// Work and memory are at most the length of the source times the size of the data; fuel holds.
    #[default]
    Cheap,
    /// Loops, assignments, macros, includes, or operations that fuel does not count: rendered in a sandbox child.
    Costly,
}

/// The parts of the scope that a template reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    /// Steps and groups.
    pub steps: BTreeSet<String>,
    pub all_steps: bool,
    pub roots: BTreeSet<String>,
    /// Files that are included, imported or extended by a written name.
    pub files: BTreeSet<String>,
    pub all_files: bool,
}

impl Reads {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.steps.extend(other.steps.iter().cloned());
        self.roots.extend(other.roots.iter().cloned());
        self.files.extend(other.files.iter().cloned());
        self.all_steps |= other.all_steps;
        self.all_files |= other.all_files;
    }

    #[must_use]
    pub fn reads(&self, root: &str) -> bool {
        self.roots.contains(root)
    }
}

/// What the analysis found.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    pub(super) reads: Reads,
    pub(super) weight: Weight,
    /// Byte offsets where `.output` is missing, behind a whole step or group that is used as a value; and `.value`, behind
    /// an item.
    missing: Vec<(usize, &'static str)>,
    /// For each block around, whether it gives a name of an item a value of its own.
    bound: Vec<BTreeSet<String>>,
    /// Operations so far that walk over all of their data.
    walks: usize,
}

/// The names that stand for records in a template.
#[derive(Clone, Copy)]
pub(super) struct Names<'n> {
    /// The members of a group, where the name is a group's.
    pub(super) groups: &'n dyn Fn(&str) -> Option<BTreeSet<String>>,
    /// Whether `item` is one; where an executor evaluates expressions for each element, it is the element itself.
    pub(super) items: bool,
    /// What the step calls its item with `as`.
    pub(super) item: Option<&'n str>,
    /// A compensation's item has the `output` of what it undoes besides.
    pub(super) undoes: bool,
}

impl<'n> Names<'n> {
    /// Outside of any step.
    pub(super) const fn plain(groups: &'n dyn Fn(&str) -> Option<BTreeSet<String>>) -> Self {
        Self { groups, items: true, item: None, undoes: false }
    }

    fn is_item(self, name: &str) -> bool {
        (self.items && name == ITEM) || self.item == Some(name)
    }

    /// What an item's record has besides the fields of its element.
    fn is_of_item(self, field: &str) -> bool {
        matches!(field, "value" | "index") || (self.undoes && field == "output")
    }
}

/// The name of an item without `as`.
pub(crate) const ITEM: &str = "item";

impl Analysis {
    pub(super) fn of_stmt(stmt: &Stmt<'_>, names: Names<'_>) -> Self {
        let mut found = Self::default();
        walk_stmt(stmt, &mut |seen| found.take(seen, names));
        found
    }

    pub(super) fn of_expr(expr: &Expr<'_>, names: Names<'_>) -> Self {
        let mut found = Self::default();
        walk_expr(expr, false, &mut |seen| found.take(seen, names));
        found.weigh_growth(expr);
        found
    }

    /// The source with every whole step replaced by its output, and every whole item by its element.
    pub(super) fn rewrite(&self, source: &str) -> String {
        let mut places = self.missing.clone();
        places.sort_unstable();
        let mut text = source.to_owned();
        for (place, field) in places.into_iter().rev() {
            text.insert_str(place, field);
        }
        text
    }

    /// Growth multiplies along a chain of filters, and a chain lies within one expression.
    fn weigh_growth(&mut self, expr: &Expr<'_>) {
        let (mut growing, mut repeated) = (0, 0);
        walk_expr(expr, false, &mut |seen| match seen {
            Seen::Expr { expr: Expr::Filter(filter), .. } if GROWING_FILTERS.contains(&filter.name) => growing += 1,
            Seen::Expr { expr: expr @ Expr::BinOp(node), .. }
                if matches!(node.op, BinOpKind::Mul) && !is_number(expr) =>
            {
                repeated += 1;
            }
            _ => {}
        });
        if growing > MOST_GROWING || repeated > 1 {
            self.weight = Weight::Costly;
        }
    }

    fn take(&mut self, seen: &Seen<'_, '_>, names: Names<'_>) {
        match seen {
            Seen::Enter => self.bound.push(BTreeSet::new()),
            Seen::Leave => {
                self.bound.pop();
            }
            Seen::Binds(name) if names.is_item(name) => {
                if self.bound.is_empty() {
                    self.bound.push(BTreeSet::new());
                }
                self.bound.last_mut().map(|block| block.insert((*name).to_owned()));
            }
            Seen::Binds(_) => {}
            Seen::Stmt(stmt) => self.take_stmt(stmt),
            Seen::Expr { expr, accessed } => {
                self.take_expr(expr, *accessed, names);
                self.walks += usize::from(walks_its_data(expr));
                if !expr_is_cheap(expr) || self.walks > MOST_WALKS {
                    self.weight = Weight::Costly;
                }
            }
        }
    }

    fn take_stmt(&mut self, stmt: &Stmt<'_>) {
        if !matches!(stmt, Stmt::Template(_) | Stmt::EmitExpr(_) | Stmt::EmitRaw(_) | Stmt::IfCond(_)) {
            self.weight = Weight::Costly;
        }
        match stmt {
            Stmt::EmitExpr(node) => self.weigh_growth(&node.expr),
            Stmt::IfCond(node) => self.weigh_growth(&node.expr),
            _ => {}
        }
        let file = match stmt {
            Stmt::Include(node) => &node.name,
            Stmt::Extends(node) => &node.name,
            Stmt::Import(node) => &node.expr,
            Stmt::FromImport(node) => &node.expr,
            _ => return,
        };
        match file.as_const().and_then(|value| value.as_str().map(str::to_owned)) {
            Some(name) => {
                self.reads.files.insert(name);
            }
            None => self.reads.all_files = true,
        }
    }

    fn take_expr(&mut self, expr: &Expr<'_>, accessed: bool, names: Names<'_>) {
        match expr {
            Expr::Var(var) => {
                self.reads.roots.insert(var.id.to_owned());
                // `steps` by itself, or under a computed name; a written one is counted by its access.
                if var.id == "steps" && !accessed {
                    self.reads.all_steps = true;
                }
                if !accessed && self.is_item(expr, names) {
                    self.is_missing(expr, ".value");
                }
            }
            Expr::GetAttr(_) | Expr::GetItem(_) => self.take_access(expr, accessed, names),
            _ => {}
        }
    }

    fn take_access(&mut self, expr: &Expr<'_>, accessed: bool, names: Names<'_>) {
        let Some((base, name)) = access(expr) else {
            if let Expr::GetItem(item) = expr {
                self.reads.all_steps |= is_steps(&item.expr);
                if self.is_item(&item.expr, names) {
                    self.is_missing(&item.expr, ".value");
                }
            }
            return;
        };
        if is_steps(base) {
            self.reads.steps.insert(name.to_string());
            if !accessed {
                self.is_missing(expr, ".output");
            }
            return;
        }
        if self.is_item(base, names) {
            if !names.is_of_item(&name) {
                self.is_missing(base, ".value");
            }
            return;
        }
        let member_of = access(base).filter(|(root, _)| is_steps(root)).and_then(|(_, group)| (names.groups)(&group));
        if !accessed && member_of.is_some_and(|members| members.contains(&*name)) {
            self.is_missing(expr, ".output");
        }
    }

    fn is_missing(&mut self, behind: &Expr<'_>, field: &'static str) {
        self.missing.push((behind.span().end_offset as usize, field));
    }

    /// Whether this is the step's item, and no name of the template's own.
    fn is_item(&self, expr: &Expr<'_>, names: Names<'_>) -> bool {
        let Expr::Var(var) = expr else { return false };
        names.is_item(var.id) && !self.bound.iter().any(|block| block.contains(var.id))
    }
}

fn is_steps(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Var(var) if var.id == "steps")
}

/// `a.b` and `a["b"]` as base and name.
fn access<'n, 's>(expr: &'n Expr<'s>) -> Option<(&'n Expr<'s>, std::borrow::Cow<'n, str>)> {
    match expr {
        Expr::GetAttr(node) => Some((&node.expr, node.name.into())),
        Expr::GetItem(node) => match &node.subscript_expr {
            Expr::Const(key) => Some((&node.expr, key.value.as_str()?.to_owned().into())),
            _ => None,
        },
        _ => None,
    }
}

/// How many operations that walk over their data a cheap template may hold: fuel counts each as one, however long it takes.
const MOST_WALKS: usize = 16;

fn walks_its_data(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Slice(_) | Expr::Call(_) => true,
        Expr::Filter(filter) => !matches!(filter.name, "d" | "default" | "abs" | "round" | "int" | "float" | "bool"),
        Expr::BinOp(node) => match node.op {
            BinOpKind::In | BinOpKind::Concat => true,
            // A comparison with a literal ends with the literal.
            BinOpKind::Eq | BinOpKind::Ne | BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte => {
                !is_plain_literal(&node.left) && !is_plain_literal(&node.right)
            }
            _ => false,
        },
        _ => false,
    }
}

/// Whether this node by itself keeps the promise of [`Weight::Cheap`]; its children are asked on their own.
fn expr_is_cheap(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::BinOp(node) => match node.op {
            // Lists grow lazily by `+`, and fuel does not see it; a number or a text on one side rules lists out.
            BinOpKind::Add => {
                [&node.left, &node.right].into_iter().any(|side| is_plain_literal(side) || is_number(side))
            }
            // A text or a list times a number is itself so many times.
            BinOpKind::Mul => is_number(expr) || is_factor(&node.left) || is_factor(&node.right),
            BinOpKind::Pow => is_number_literal(&node.left) && is_number_literal(&node.right),
            _ => true,
        },
        Expr::Filter(node) => filter_is_cheap(node),
        Expr::Call(node) => call_is_cheap(node),
        _ => true,
    }
}

/// Whether the value is a number, or there is none.
fn is_number(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Const(_) => is_number_literal(expr),
        Expr::UnaryOp(node) => matches!(node.op, UnaryOpKind::Neg),
        Expr::BinOp(node) => match node.op {
            BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Rem => true,
            // Nothing but a number can be taken one and a half times.
            BinOpKind::Mul => {
                is_fraction(&node.left) || is_fraction(&node.right) || (is_number(&node.left) && is_number(&node.right))
            }
            BinOpKind::Add => is_number(&node.left) || is_number(&node.right),
            _ => false,
        },
        Expr::Filter(node) => matches!(node.name, "abs" | "count" | "float" | "int" | "length" | "round"),
        _ => false,
    }
}

fn is_fraction(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(node) if node.value.kind() == ValueKind::Number && !node.value.is_integer())
}

/// How often a cheap template may repeat its data at once.
const MOST_TIMES: i64 = 16;

fn is_factor(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(node) if node.value.as_i64().is_some_and(|times| times <= MOST_TIMES))
}

fn is_plain_literal(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(node) if matches!(node.value.kind(), ValueKind::Number | ValueKind::String))
}

fn is_number_literal(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(node) if node.value.kind() == ValueKind::Number)
}

/// Filters whose result is no larger than their input times a constant, and which fuel counts.
const CHEAP_FILTERS: &[&str] = &[
    "abs",
    "attr",
    "b64decode",
    "b64encode",
    "bool",
    "capitalize",
    "count",
    "currency",
    "d",
    "default",
    "dictsort",
    "e",
    "escape",
    "first",
    "flatten",
    "float",
    "format_datetime",
    "fromjson",
    "hmac_sha256",
    "int",
    "items",
    "last",
    "length",
    "lines",
    "list",
    "lower",
    "max",
    "min",
    "parse_datetime",
    "reverse",
    "round",
    "safe",
    "sha256",
    "slugify",
    "sort",
    "split",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "truncate_tokens",
    "unique",
    "upper",
    "urlencode",
];

/// Cheap filters whose result may be several times their input.
const GROWING_FILTERS: &[&str] = &["b64encode", "e", "escape", "list", "split", "tojson", "urlencode"];
/// How many of them one expression may hold.
const MOST_GROWING: usize = 3;

const CHEAP_METHODS: &[&str] = &[
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "isdigit",
    "islower",
    "isnumeric",
    "isspace",
    "isupper",
    "items",
    "keys",
    "lower",
    "lstrip",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

fn filter_is_cheap(filter: &Filter<'_>) -> bool {
    let plain = |args: &[CallArg<'_>]| {
        args.iter().all(|arg| matches!(arg, CallArg::Pos(expr) | CallArg::Kwarg(_, expr) if expr.as_const().is_some()))
    };
    match filter.name {
        // Bounded by the length of the literal for each piece.
        "join" => plain(&filter.args),
        // Named filters and tests as arguments could be anything.
        "map" => matches!(filter.args.first(), Some(CallArg::Kwarg("attribute", _))) && plain(&filter.args),
        "selectattr" | "rejectattr" => filter.args.len() == 1 && plain(&filter.args),
        // An indent multiplies the result by whatever it says.
        "tojson" => filter.args.is_empty(),
        name => CHEAP_FILTERS.binary_search(&name).is_ok(),
    }
}

fn call_is_cheap(call: &Call<'_>) -> bool {
    match call.identify_call() {
        CallType::Method(_, name) => CHEAP_METHODS.binary_search(&name).is_ok(),
        CallType::Function(_) | CallType::Block(_) | CallType::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::parse_expr;

    use super::*;

    fn analysed(source: &str) -> Analysis {
        let groups = |name: &str| (name == "both").then(|| BTreeSet::from(["left".to_owned()]));
        Analysis::of_expr(&parse_expr(source).unwrap(), Names { item: Some("page"), ..Names::plain(&groups) })
    }

    fn text(source: &str) -> String {
        let tree = minijinja::machinery::parse(source, "text", minijinja::syntax::SyntaxConfig::default()).unwrap();
        Analysis::of_stmt(&tree, Names::plain(&|_| None)).rewrite(source)
    }

    fn rewritten(source: &str) -> String {
        analysed(source).rewrite(source)
    }

    #[test]
    fn many_walks_over_the_data_are_costly_however_plain_each_is() {
        let weight = |one: &str, times: usize| analysed(&vec![one; times].join(" ~ ")).weight;
        for one in [
            "inputs.t[::-1]|length",
            "(inputs.l == inputs.m)",
            "('zz' in inputs.l)",
            "inputs.t|title",
            "inputs.t.split('x')",
        ] {
            assert_eq!(weight(one, 2), Weight::Cheap, "{one}");
            assert_eq!(weight(one, 100), Weight::Costly, "{one}");
        }
        assert_eq!(analysed("inputs.l|tojson").weight, Weight::Cheap);
        assert_eq!(analysed("inputs.l|tojson(indent=2000000000)").weight, Weight::Costly);
    }

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        assert!(CHEAP_FILTERS.is_sorted());
        assert!(CHEAP_METHODS.is_sorted());
    }

    #[test]
    fn a_whole_step_is_its_output_and_an_attribute_is_the_record() {
        assert_eq!(rewritten("steps.a"), "steps.a.output");
        assert_eq!(rewritten("steps.a.success"), "steps.a.success");
        assert_eq!(
            rewritten("[steps.a, steps['b'], (steps.c)]"),
            "[steps.a.output, steps['b'].output, (steps.c.output)]"
        );
        assert_eq!(rewritten("steps.a|tojson ~ steps.b.text"), "steps.a.output|tojson ~ steps.b.text");
        assert_eq!(rewritten("steps.a.items()"), "steps.a.output.items()");
        assert_eq!(rewritten("steps.a[steps.b]"), "steps.a[steps.b.output]");
        assert_eq!(rewritten("steps.both"), "steps.both.output");
        assert_eq!(rewritten("steps.both.left"), "steps.both.left.output");
        assert_eq!(rewritten("steps.both.left.text"), "steps.both.left.text");
        assert_eq!(rewritten("steps.both.success"), "steps.both.success");
        assert_eq!(rewritten("'é' ~ steps.a"), "'é' ~ steps.a.output");
    }

    #[test]
    fn a_whole_item_is_its_element_and_a_name_of_the_template_s_own_is_left_alone() {
        assert_eq!(rewritten("item"), "item.value");
        assert_eq!(rewritten("item.value ~ item.index"), "item.value ~ item.index");
        assert_eq!(rewritten("item.name[item.index]"), "item.value.name[item.index]");
        assert_eq!(
            rewritten("item['name'] ~ item[0] ~ item[inputs.x]"),
            "item.value['name'] ~ item.value[0] ~ item.value[inputs.x]"
        );
        assert_eq!(rewritten("item.items() and f(item)"), "item.value.items() and f(item.value)");
        assert_eq!(rewritten("page.value.id ~ page.id ~ page"), "page.value.id ~ page.value.id ~ page.value");
        assert_eq!(rewritten("inputs.item ~ steps.item"), "inputs.item ~ steps.item.output");
        let own = "{% for item in inputs.l %}{{ item.x }}{% endfor %}{% set y = 1 %}";
        assert_eq!(text(&format!("{own}{{{{ item.x }}}}")), format!("{own}{{{{ item.value.x }}}}"));
        for own in [
            "{% set item = 1 %}{{ item }}",
            "{% macro m(item) %}{{ item.x }}{% endmacro %}",
            "{% with item = 1 %}{{ item }}{% endwith %}",
            "{% for x, item in inputs.l %}{% if x %}{{ item }}{% endif %}{% endfor %}",
        ] {
            assert_eq!(text(own), own);
        }
        assert_eq!(text("{% for x in item %}{{ x }}{% endfor %}"), "{% for x in item.value %}{{ x }}{% endfor %}");
    }

    #[test]
    fn reads_are_found_and_computed_names_read_everything() {
        let reads = analysed("steps.a.x == inputs.y and steps['b'].success").reads;
        assert_eq!(reads.steps, BTreeSet::from(["a".to_owned(), "b".to_owned()]));
        assert!(reads.reads("inputs") && !reads.all_steps);
        assert!(analysed("steps[inputs.name]").reads.all_steps);
        assert!(analysed("steps|length").reads.all_steps);
    }

    #[test]
    fn only_bounded_expressions_are_cheap() {
        let cheap = [
            "steps.a.file_type == 'pdf'",
            "inputs.x + 1",
            "'a' + inputs.x",
            "steps.a.text|upper|trim",
            "inputs.a ~ inputs.b",
            "inputs.items[0].name|default('x')",
            "not inputs.ok",
            "inputs.l|join(', ')",
            "inputs.m.items()",
            "6 * 7",
            "inputs.l|map(attribute='x')|list",
            "inputs.x|tojson|b64encode",
            "inputs.a * 2 > inputs.b",
            "3.5 * inputs.lines[0].count + inputs.lines[1].price",
            "(inputs.a - inputs.b) * inputs.l|length",
            "inputs.a|int + inputs.b|float",
        ];
        for source in cheap {
            assert_eq!(analysed(source).weight, Weight::Cheap, "{source}");
        }
        let costly = [
            "inputs.a + inputs.b",
            "inputs.a * 300",
            "inputs.a * inputs.b",
            "inputs.a * 16 * 16",
            "inputs.a * 2 + inputs.b",
            "(inputs.a - 1) * inputs.b",
            "range(10)",
            "inputs.a|map('upper')",
            "inputs.x|replace('a', 'b')",
            "inputs.l|join(inputs.s)",
            "2 ** inputs.x",
            "inputs.x|regex_find('a')",
            "inputs.x.replace('a', 'b')",
            "inputs.x|unknown_filter",
            "inputs.l|chain(inputs.l)",
            "inputs.x|tojson|tojson|tojson|tojson",
        ];
        for source in costly {
            assert_eq!(analysed(source).weight, Weight::Costly, "{source}");
        }
    }
}
