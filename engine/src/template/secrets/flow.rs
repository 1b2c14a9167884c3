//! Where a secret's marker may go in a template, found without running it.
//!
//! Invariant: a template that this lets pass puts each marker into its text as it is, or through a filter that knows
//! markers; nothing is computed from a marker as if it were the value. What cannot be followed is refused.

use std::collections::BTreeSet;

use minijinja::machinery::ast::{BinOpKind, Call, CallArg, Expr, Stmt};

/// Filters that know markers: what they make is made when the value is put in.
pub(super) const KNOWING: &[&str] = &["b64encode", "hmac_sha256", "sha256", "urlencode"];

const SECRETS: &str = "secrets";

/// Why a template may not be rendered; the end of a sentence that starts with "A secret".
pub(super) type Refusal = String;

/// Looks at one template and the files that it may take in. `carriers` are names that hold markers from the start.
pub(super) fn refusal(
    templates: &[&Stmt<'_>],
    expression: Option<&Expr<'_>>,
    carriers: BTreeSet<String>,
) -> Option<Refusal> {
    let mut flow = Flow { carriers, files_carry: false, quiet: true };
    // Names are followed through the whole of it, wherever they are set, until no more are found.
    loop {
        let before = (flow.carriers.len(), flow.files_carry);
        for template in templates {
            flow.files_carry |= flow.carries(std::slice::from_ref(template));
            // Refusals are for the second look, when all names are known.
            let _ = flow.look(template);
        }
        if before == (flow.carriers.len(), flow.files_carry) {
            break;
        }
    }
    flow.quiet = false;
    let seen = templates.iter().map(|template| flow.look(template)).find_map(Result::err);
    seen.or_else(|| expression.and_then(|expression| flow.value(expression).err()))
}

struct Flow {
    carriers: BTreeSet<String>,
    /// Whether what is included may hold markers.
    files_carry: bool,
    /// While names are gathered: what would be refused counts as a carrier.
    quiet: bool,
}

impl Flow {
    fn look_all(&mut self, stmts: &[Stmt<'_>]) -> Result<(), Refusal> {
        for stmt in stmts {
            let seen = self.look(stmt);
            if !self.quiet {
                seen?;
            }
        }
        Ok(())
    }

    fn look(&mut self, stmt: &Stmt<'_>) -> Result<(), Refusal> {
        match stmt {
            Stmt::Template(node) => self.look_all(&node.children),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => Ok(()),
            Stmt::EmitExpr(node) => self.value(&node.expr).map(drop),
            Stmt::IfCond(node) => {
                self.clean(&node.expr, "cannot decide a condition")?;
                self.look_all(&node.true_body)?;
                self.look_all(&node.false_body)
            }
            Stmt::ForLoop(node) => {
                let carries = self.value(&node.iter).unwrap_or(true);
                let listed = matches!(node.iter, Expr::List(_) | Expr::Tuple(_));
                if carries {
                    self.name(&node.target);
                }
                refuse_if(carries && !listed, "cannot be walked over")?;
                if let Some(filter) = &node.filter_expr {
                    self.clean(filter, "cannot decide a condition")?;
                }
                self.look_all(&node.body)?;
                self.look_all(&node.else_body)
            }
            Stmt::WithBlock(node) => {
                for (target, value) in &node.assignments {
                    self.assign(target, value)?;
                }
                self.look_all(&node.body)
            }
            Stmt::Set(node) => self.assign(&node.target, &node.expr),
            Stmt::SetBlock(node) => {
                self.look_all(&node.body)?;
                let carries = self.carries_all(&node.body);
                if carries {
                    self.name(&node.target);
                }
                refuse_if(carries && node.filter.is_some(), "cannot go through a filter of a block")
            }
            Stmt::Include(node) => self.clean(&node.name, "cannot name a file"),
            Stmt::Extends(node) => self.clean(&node.name, "cannot name a file"),
            Stmt::Import(_) | Stmt::FromImport(_) => {
                refuse_if(self.files_carry, "cannot be in a file that is imported; include it")
            }
            Stmt::AutoEscape(node) => self.whole(&node.body, "cannot be escaped as HTML"),
            Stmt::FilterBlock(node) => self.whole(&node.body, "cannot go through a filter of a block"),
            Stmt::Block(node) => self.whole(&node.body, "cannot be in a block"),
            Stmt::Macro(node) => self.whole(&node.body, "cannot be in a macro"),
            Stmt::CallBlock(node) => {
                self.call(&node.call)?;
                self.whole(&node.macro_decl.body, "cannot be in a macro")
            }
            Stmt::Do(node) => self.call(&node.call).map(drop),
        }
    }

    /// A body that may hold no marker at all.
    fn whole(&mut self, body: &[Stmt<'_>], why: &str) -> Result<(), Refusal> {
        self.look_all(body)?;
        refuse_if(self.carries_all(body), why)
    }

    fn assign(&mut self, target: &Expr<'_>, value: &Expr<'_>) -> Result<(), Refusal> {
        refuse_if(matches!(target, Expr::Var(var) if var.id == SECRETS), "cannot be set: `secrets` is taken")?;
        let carries = self.value(value);
        if *carries.as_ref().unwrap_or(&true) {
            self.name(target);
        }
        carries.map(drop)
    }

    /// The names of a target hold markers from now on.
    fn name(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => {
                self.carriers.insert(var.id.to_owned());
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.name(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.name(item)),
            Expr::GetAttr(attribute) => self.name(&attribute.expr),
            Expr::GetItem(item) => self.name(&item.expr),
            _ => {}
        }
    }

    fn carries_all(&mut self, stmts: &[Stmt<'_>]) -> bool {
        stmts.iter().any(|stmt| self.carries(&[stmt]))
    }

    /// Whether the text of these statements may hold a marker.
    fn carries(&mut self, stmts: &[&Stmt<'_>]) -> bool {
        stmts.iter().any(|stmt| match stmt {
            Stmt::Template(node) => self.carries_all(&node.children),
            Stmt::EmitExpr(node) => self.value(&node.expr).unwrap_or(true),
            Stmt::Include(_) | Stmt::Extends(_) => self.files_carry,
            Stmt::IfCond(node) => self.carries_all(&node.true_body) || self.carries_all(&node.false_body),
            Stmt::ForLoop(node) => self.carries_all(&node.body) || self.carries_all(&node.else_body),
            Stmt::WithBlock(node) => self.carries_all(&node.body),
            Stmt::AutoEscape(node) => self.carries_all(&node.body),
            Stmt::FilterBlock(node) => self.carries_all(&node.body),
            Stmt::Block(node) => self.carries_all(&node.body),
            _ => false,
        })
    }

    fn clean(&mut self, expr: &Expr<'_>, why: &str) -> Result<(), Refusal> {
        refuse_if(self.value(expr)?, why)
    }

    fn clean_some(&mut self, expr: Option<&Expr<'_>>, why: &str) -> Result<(), Refusal> {
        expr.map_or(Ok(()), |expr| self.clean(expr, why))
    }

    /// Whether the value may hold a marker.
    fn value(&mut self, expr: &Expr<'_>) -> Result<bool, Refusal> {
        match expr {
            Expr::Const(_) => Ok(false),
            Expr::Var(var) => {
                refuse_if(var.id == SECRETS, "is named by `secrets.NAME`; all of them at once are no value")?;
                Ok(self.carriers.contains(var.id))
            }
            Expr::GetAttr(node) => {
                if is_secrets(&node.expr) {
                    Ok(true)
                } else {
                    self.value(&node.expr)
                }
            }
            Expr::GetItem(node) => {
                self.clean(&node.subscript_expr, "cannot be a key")?;
                if is_secrets(&node.expr) {
                    return Ok(true);
                }
                let carries = self.value(&node.expr)?;
                refuse_if(carries && !is_text(&node.subscript_expr), "cannot be cut into letters")?;
                Ok(carries)
            }
            Expr::Slice(node) => {
                for part in [Some(&node.expr), node.start.as_ref(), node.stop.as_ref(), node.step.as_ref()] {
                    self.clean_some(part, "cannot be cut")?;
                }
                Ok(false)
            }
            Expr::UnaryOp(node) => self.clean(&node.expr, "cannot be calculated with").map(|()| false),
            Expr::BinOp(node) => {
                let carries = self.value(&node.left)? | self.value(&node.right)?;
                let joined = matches!(node.op, BinOpKind::Concat | BinOpKind::Add);
                refuse_if(carries && !joined, "can be joined with `~`, not compared or calculated with")?;
                Ok(carries)
            }
            Expr::Compare(node) => {
                self.clean(&node.expr, "cannot be compared")?;
                for op in &node.ops {
                    self.clean(&op.expr, "cannot be compared")?;
                }
                Ok(false)
            }
            Expr::IfExpr(node) => {
                self.clean(&node.test_expr, "cannot decide a condition")?;
                let other = node.false_expr.as_ref().map_or(Ok(false), |other| self.value(other))?;
                Ok(self.value(&node.true_expr)? | other)
            }
            Expr::Filter(node) => {
                let mut carries = node.expr.as_ref().map_or(Ok(false), |expr| self.value(expr))?;
                carries |= self.args(&node.args)?;
                let why = format!("cannot go through `{}`; the filters that take one are {}", node.name, list(KNOWING));
                refuse_if(carries && !KNOWING.contains(&node.name), &why)?;
                Ok(carries)
            }
            Expr::Test(node) => {
                self.clean(&node.expr, "cannot be tested")?;
                refuse_if(self.args(&node.args)?, "cannot be tested")?;
                Ok(false)
            }
            Expr::Call(node) => self.call(node),
            Expr::List(node) => self.any(&node.items),
            Expr::Tuple(node) => self.any(&node.items),
            Expr::Map(node) => {
                refuse_if(self.any(&node.keys)?, "cannot be a key")?;
                self.any(&node.values)
            }
        }
    }

    fn call(&mut self, call: &Call<'_>) -> Result<bool, Refusal> {
        let carries = match &call.expr {
            Expr::Var(_) => false,
            Expr::GetAttr(method) => self.value(&method.expr)?,
            other => self.value(other)?,
        };
        refuse_if(carries, "has no methods")?;
        refuse_if(self.args(&call.args)?, "cannot be handed to a function or macro")?;
        Ok(false)
    }

    fn any(&mut self, exprs: &[Expr<'_>]) -> Result<bool, Refusal> {
        exprs.iter().try_fold(false, |carries, expr| Ok(self.value(expr)? | carries))
    }

    fn args(&mut self, args: &[CallArg<'_>]) -> Result<bool, Refusal> {
        args.iter().try_fold(false, |carries, arg| {
            let (CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr)) =
                arg;
            Ok(self.value(expr)? | carries)
        })
    }
}

fn refuse_if(refused: bool, why: &str) -> Result<(), Refusal> {
    if refused { Err(why.to_owned()) } else { Ok(()) }
}

fn is_secrets(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Var(var) if var.id == SECRETS)
}

fn is_text(expr: &Expr<'_>) -> bool {
    expr.as_const().is_some_and(|value| value.as_str().is_some())
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use minijinja::machinery::parse;
    use minijinja::syntax::SyntaxConfig;

    use super::*;

    fn refused(source: &str, files: &[&str]) -> Option<Refusal> {
        let parsed = |source| parse(source, "t", SyntaxConfig::default()).unwrap();
        let main = parsed(source);
        let files: Vec<Stmt<'_>> = files.iter().map(|file| parsed(file)).collect();
        let all: Vec<&Stmt<'_>> = std::iter::once(&main).chain(&files).collect();
        refusal(&all, None, BTreeSet::from(["token".to_owned()]))
    }

    /// Without those that are signs: they are operators.
    fn named(names: &'static [&'static str]) -> impl Iterator<Item = &'static &'static str> {
        names.iter().filter(|name| name.starts_with(|letter: char| letter.is_ascii_alphabetic()))
    }

    #[test]
    fn a_secret_may_be_put_in_joined_chosen_listed_and_encoded_by_those_who_know_it() {
        for source in [
            "Bearer {{ secrets.K }}",
            "{{ secrets['K'] }}",
            "{{ 'Bearer ' ~ secrets.K }}",
            "{{ 'Bearer ' + secrets.K }}",
            "{{ secrets.A if inputs.live else secrets.B }}",
            "{{ [secrets.A, {'b': secrets.B}] }}",
            "{{ ('user:' ~ secrets.K)|b64encode }}",
            "{{ inputs.body|tojson|hmac_sha256(secrets.K) }}",
            "{{ secrets.K|sha256 }}{{ secrets.K|urlencode }}",
            "{% set k = secrets.K %}{{ k }}",
            "{% set k %}a{{ secrets.K }}{% endset %}{{ k|b64encode }}",
            "{% with k = {'a': secrets.K} %}{{ k.a }}{{ k['a'] }}{% endwith %}",
            "{% for k in [secrets.A, secrets.B] %}{{ k }}{% endfor %}",
            "{% if inputs.live %}{{ secrets.K }}{% endif %}",
            "{% include 'f' %}{{ inputs.x|upper }}",
            "{{ token }}{{ inputs.x|upper|length }}",
        ] {
            assert_eq!(refused(source, &["{{ secrets.F }}"]), None, "{source}");
        }
    }

    #[test]
    fn nothing_is_computed_from_a_secret_as_if_its_marker_were_its_value() {
        let filters = language::names::FILTERS.iter().filter(|name| !KNOWING.contains(name));
        let through: Vec<String> = filters.map(|name| format!("{{{{ secrets.K|{name} }}}}")).collect();
        let tests: Vec<String> =
            named(language::names::TESTS).map(|name| format!("{{{{ secrets.K is {name} }}}}")).collect();
        let functions: Vec<String> =
            language::names::FUNCTIONS.iter().map(|name| format!("{{{{ {name}(secrets.K) }}}}")).collect();
        let operators = ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or", "-", "*", "/", "//", "%", "**"];
        let operators = operators.iter().flat_map(|operator| {
            [format!("{{{{ secrets.K {operator} 'x' }}}}"), format!("{{{{ 'x' {operator} secrets.K }}}}")]
        });
        let others = [
            "{{ secrets.K[0] }}",
            "{{ secrets.K[1:3] }}",
            "{{ inputs.x[secrets.K] }}",
            "{{ secrets.K.upper() }}",
            "{{ 'x'.replace('x', secrets.K) }}",
            "{{ not secrets.K }}",
            "{{ -secrets.K }}",
            "{{ secrets }}",
            "{{ secrets|length }}",
            "{{ {secrets.K: 1} }}",
            "{{ 1 if secrets.K else 2 }}",
            "{{ ('x' ~ secrets.K)|upper }}",
            "{{ inputs.x|default(secrets.K) }}",
            "{{ (secrets.K|b64encode)|length }}",
            "{% if secrets.K %}x{% endif %}",
            "{% if inputs.a %}{% elif 'a' ~ secrets.K == 'ab' %}x{% endif %}",
            "{% for c in secrets.K %}{{ c }}{% endfor %}",
            "{% for c in 'x' if secrets.K %}{{ c }}{% endfor %}",
            "{% set k = secrets.K %}{{ k|upper }}",
            "{% set k %}{{ secrets.K }}{% endset %}{{ k|length }}",
            "{% set k | upper %}{{ secrets.K }}{% endset %}{{ k }}",
            "{% set a = secrets.K %}{% set b = a %}{% set c = b %}{{ c == 'x' }}",
            "{% set n = namespace(x=1) %}{% set n.x = secrets.K %}{{ n.x|length }}",
            "{% for k in [secrets.A] %}{{ k|length }}{% endfor %}",
            "{% with k = secrets.K %}{{ k is string }}{% endwith %}",
            "{% filter upper %}{{ secrets.K }}{% endfilter %}",
            "{% filter upper %}{% include 'f' %}{% endfilter %}",
            "{% set k %}{% include 'f' %}{% endset %}{{ k|reverse }}",
            "{% autoescape true %}{{ secrets.K }}{% endautoescape %}",
            "{% macro m() %}{{ secrets.K }}{% endmacro %}{{ m()|length }}",
            "{% macro m(a) %}{{ a|length }}{% endmacro %}{{ m(secrets.K) }}",
            "{% block b %}{{ secrets.K }}{% endblock %}{{ self.b()|length }}",
            "{% import 'f' as f %}{{ f.k|length }}",
            "{% from 'f' import k %}{{ k|length }}",
            "{% set secrets = {'K': 1} %}{{ secrets.K }}",
            "{{ token|upper }}",
        ];
        for source in through.into_iter().chain(tests).chain(functions).chain(operators).chain(others.map(String::from))
        {
            assert!(refused(&source, &["{% set k = secrets.F %}{{ k }}"]).is_some(), "{source}");
        }
    }

    #[test]
    fn a_name_that_was_set_in_one_file_is_followed_into_another() {
        let files = &["{% set k = secrets.F %}", "{{ k|upper }}"];
        assert!(refused("{% include 'a' %}{% include 'b' %}", files).is_some());
    }
}
