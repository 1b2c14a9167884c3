//! Walks a template's tree and notes what it uses.
//!
//! Invariant: names that the template binds itself (`set`, `for`, `with`, macros, imports) are not noted as reads.

use std::collections::HashSet;
use std::ops::Range;

use minijinja::machinery::Span;
use minijinja::machinery::ast::{BinOpKind, Call, CallArg, CompareOpKind, Expr, Macro, Stmt};
use minijinja::value::ValueKind;

use super::found::{Call as FoundCall, Comparison, File, Found, Operation, Read, Word, WordKind};

pub(super) fn statement(tree: &Stmt<'_>) -> Found {
    let mut walk = Walk::new();
    walk.statement(tree);
    walk.found
}

pub(super) fn expression(tree: &Expr<'_>) -> Found {
    let mut walk = Walk::new();
    walk.expression(tree);
    walk.found.never_boolean = tree.as_const().is_some_and(|value| value.kind() != ValueKind::Bool);
    walk.found
}

struct Walk {
    found: Found,
    /// Steps that an `if` around has asked about.
    guards: Vec<String>,
    /// How many `default(...)` and `is defined` stand around.
    shelters: usize,
    scopes: Vec<HashSet<String>>,
    /// How many conditions, loops, blocks and macros stand around.
    nested: usize,
}

fn range(span: Span) -> Range<usize> {
    span.start_offset as usize..span.end_offset as usize
}

impl Walk {
    fn new() -> Self {
        Self { found: Found::default(), guards: Vec::new(), shelters: 0, scopes: vec![HashSet::new()], nested: 0 }
    }

    fn is_bound(&self, name: &str) -> bool {
        self.scopes.iter().any(|scope| scope.contains(name))
    }

    fn bind_name(&mut self, name: &str, span: Span) {
        if crate::names::SCOPE.contains(&name) {
            self.found.bound.push((name.to_owned(), range(span)));
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(name.to_owned());
        }
    }

    fn bind(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => self.bind_name(var.id, var.span()),
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            // `{% set ns.x = ... %}` changes something that is bound already.
            other => self.expression(other),
        }
    }

    fn scoped(&mut self, inside: impl FnOnce(&mut Self)) {
        self.scopes.push(HashSet::new());
        inside(self);
        self.scopes.pop();
    }

    /// What may not be rendered, or only when something is called.
    fn nested(&mut self, inside: impl FnOnce(&mut Self)) {
        self.nested += 1;
        inside(self);
        self.nested -= 1;
    }

    fn statements(&mut self, statements: &[Stmt<'_>]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::Template(node) => self.statements(&node.children),
            Stmt::EmitExpr(node) => self.expression(&node.expr),
            Stmt::ForLoop(node) => {
                self.expression(&node.iter);
                self.scoped(|walk| {
                    walk.bind(&node.target);
                    walk.bind_name("loop", node.span());
                    walk.optional(node.filter_expr.as_ref());
                    walk.nested(|walk| walk.statements(&node.body));
                });
                self.scoped(|walk| walk.nested(|walk| walk.statements(&node.else_body)));
            }
            Stmt::IfCond(node) => self.guarded(&node.expr, |walk| {
                walk.nested(|walk| walk.statements(&node.true_body));
                walk.nested(|walk| walk.statements(&node.false_body));
            }),
            Stmt::WithBlock(node) => self.scoped(|walk| {
                for (target, value) in &node.assignments {
                    walk.expression(value);
                    walk.bind(target);
                }
                walk.statements(&node.body);
            }),
            Stmt::Set(node) => {
                self.expression(&node.expr);
                self.bind(&node.target);
            }
            Stmt::SetBlock(node) => {
                self.scoped(|walk| walk.statements(&node.body));
                self.optional(node.filter.as_ref());
                self.bind(&node.target);
            }
            Stmt::AutoEscape(node) => {
                self.expression(&node.enabled);
                self.statements(&node.body);
            }
            Stmt::FilterBlock(node) => {
                self.expression(&node.filter);
                self.scoped(|walk| walk.statements(&node.body));
            }
            Stmt::Block(node) => self.scoped(|walk| walk.nested(|walk| walk.statements(&node.body))),
            Stmt::Import(node) => {
                self.file(&node.expr, false);
                self.bind(&node.name);
            }
            Stmt::FromImport(node) => {
                self.file(&node.expr, false);
                for (name, alias) in &node.names {
                    self.bind(alias.as_ref().unwrap_or(name));
                }
            }
            Stmt::Extends(node) => self.file(&node.name, false),
            Stmt::Include(node) => self.file(&node.name, node.ignore_missing),
            Stmt::Macro(node) => {
                self.bind_name(node.name, node.span());
                self.in_macro(node);
            }
            Stmt::CallBlock(node) => {
                self.call(&node.call, node.call.span());
                self.in_macro(&node.macro_decl);
            }
            Stmt::Do(node) => self.call(&node.call, node.call.span()),
            Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
        }
    }

    fn in_macro(&mut self, node: &Macro<'_>) {
        self.scoped(|walk| {
            for default in &node.defaults {
                walk.expression(default);
            }
            for argument in &node.args {
                walk.bind(argument);
            }
            walk.nested(|walk| walk.statements(&node.body));
        });
    }

    fn file(&mut self, name: &Expr<'_>, ignore_missing: bool) {
        let range = range(name.span());
        let names = match name.as_const() {
            Some(value) if value.kind() == ValueKind::String => vec![value.as_str().map(str::to_owned)],
            Some(value) if value.kind() == ValueKind::Seq => value
                .try_iter()
                .map(|items| items.map(|item| item.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            _ => {
                self.expression(name);
                vec![None]
            }
        };
        let always = self.nested == 0 && names.len() == 1;
        let files = names.into_iter().map(|name| File { name, ignore_missing, always, range: range.clone() });
        self.found.files.extend(files);
    }

    fn optional(&mut self, expression: Option<&Expr<'_>>) {
        if let Some(expression) = expression {
            self.expression(expression);
        }
    }

    fn expression(&mut self, expression: &Expr<'_>) {
        match expression {
            Expr::Const(_) => {}
            Expr::Var(_) | Expr::GetAttr(_) | Expr::GetItem(_) => self.chain(expression),
            Expr::Slice(node) => {
                self.expression(&node.expr);
                for part in [&node.start, &node.stop, &node.step] {
                    self.optional(part.as_ref());
                }
            }
            Expr::UnaryOp(node) => self.expression(&node.expr),
            Expr::BinOp(node) => {
                if matches!(node.op, BinOpKind::Eq | BinOpKind::Ne | BinOpKind::In) {
                    self.compare(&node.left, &node.right, matches!(node.op, BinOpKind::In));
                }
                if matches!(
                    node.op,
                    BinOpKind::Add | BinOpKind::Sub | BinOpKind::Div | BinOpKind::FloorDiv | BinOpKind::Pow
                ) {
                    // Text and lists can be added to their like; nothing else takes anything but numbers.
                    self.operate(&node.left, &node.right, false, matches!(node.op, BinOpKind::Add));
                }
                if matches!(node.op, BinOpKind::Lt | BinOpKind::Lte | BinOpKind::Gt | BinOpKind::Gte) {
                    self.operate(&node.left, &node.right, true, true);
                }
                if matches!(node.op, BinOpKind::ScAnd | BinOpKind::ScOr) {
                    self.guarded(&node.left, |walk| walk.expression(&node.right));
                } else {
                    self.expression(&node.left);
                    self.expression(&node.right);
                }
            }
            Expr::Compare(node) => {
                let mut left = &node.expr;
                self.expression(left);
                for part in &node.ops {
                    if matches!(
                        part.op,
                        CompareOpKind::Eq | CompareOpKind::Ne | CompareOpKind::In | CompareOpKind::NotIn
                    ) {
                        self.compare(left, &part.expr, matches!(part.op, CompareOpKind::In | CompareOpKind::NotIn));
                    }
                    if matches!(
                        part.op,
                        CompareOpKind::Lt | CompareOpKind::Lte | CompareOpKind::Gt | CompareOpKind::Gte
                    ) {
                        self.operate(left, &part.expr, true, true);
                    }
                    self.expression(&part.expr);
                    left = &part.expr;
                }
            }
            Expr::IfExpr(node) => self.guarded(&node.test_expr, |walk| {
                walk.expression(&node.true_expr);
                walk.optional(node.false_expr.as_ref());
            }),
            Expr::Filter(node) => {
                let shelters = usize::from(matches!(node.name, "default" | "d"));
                let before = self.found.reads.len();
                self.shelters += shelters;
                self.optional(node.expr.as_ref());
                // What stands in for one step's output may be another's: one of the two has run.
                let is_choice = self.found.reads[before..].iter().any(|read| read.root == "steps");
                self.shelters -= if is_choice { 0 } else { shelters };
                self.word(WordKind::Filter, node.name, node.span());
                self.arguments(&node.args);
                self.shelters -= if is_choice { shelters } else { 0 };
            }
            Expr::Test(node) => {
                let shelters = usize::from(matches!(node.name, "defined" | "undefined"));
                self.shelters += shelters;
                self.expression(&node.expr);
                self.shelters -= shelters;
                self.word(WordKind::Test, node.name, node.span());
                self.arguments(&node.args);
            }
            Expr::Call(node) => self.call(node, node.span()),
            Expr::List(node) => node.items.iter().for_each(|item| self.expression(item)),
            Expr::Tuple(node) => node.items.iter().for_each(|item| self.expression(item)),
            Expr::Map(node) => node.keys.iter().chain(&node.values).for_each(|item| self.expression(item)),
        }
    }

    /// What comes after a question about steps is asked only if the answer allows it.
    fn guarded(&mut self, question: &Expr<'_>, inside: impl FnOnce(&mut Self)) {
        let before = self.found.reads.len();
        self.expression(question);
        let asked = self.found.reads[before..].iter().filter(|read| read.root == "steps");
        let asked: Vec<String> = asked.filter_map(|read| read.path.first().cloned()).collect();
        let asked: Vec<String> = asked.into_iter().filter(|name| !self.guards.contains(name)).collect();
        let outside = self.guards.len();
        self.guards.extend(asked);
        inside(self);
        self.guards.truncate(outside);
    }

    fn word(&mut self, kind: WordKind, name: &str, span: Span) {
        self.found.words.push(Word { kind, name: name.to_owned(), range: range(span) });
    }

    fn call(&mut self, node: &Call<'_>, span: Span) {
        match &node.expr {
            Expr::Var(var) => {
                if !self.is_bound(var.id) {
                    self.word(WordKind::Function, var.id, span);
                    self.called(None, var.id, node, span);
                }
            }
            // A method: what it is called on is read, the method's name is not a field. Or a library's function.
            Expr::GetAttr(attribute) => {
                if let Expr::Var(var) = &attribute.expr
                    && !self.is_bound(var.id)
                {
                    self.called(Some(var.id), attribute.name, node, span);
                }
                self.expression(&attribute.expr);
            }
            other => self.expression(other),
        }
        self.arguments(&node.args);
    }

    fn called(&mut self, library: Option<&str>, name: &str, node: &Call<'_>, span: Span) {
        let keywords = node.args.iter().filter_map(|argument| match argument {
            CallArg::Kwarg(name, _) => Some((*name).to_owned()),
            _ => None,
        });
        self.found.calls.push(FoundCall {
            library: library.map(str::to_owned),
            name: name.to_owned(),
            positional: node.args.iter().filter(|argument| matches!(argument, CallArg::Pos(_))).count(),
            keywords: keywords.collect(),
            is_spread: node
                .args
                .iter()
                .any(|argument| matches!(argument, CallArg::PosSplat(_) | CallArg::KwargSplat(_))),
            range: range(span),
        });
    }

    fn arguments(&mut self, arguments: &[CallArg<'_>]) {
        for argument in arguments {
            match argument {
                CallArg::Pos(value)
                | CallArg::Kwarg(_, value)
                | CallArg::PosSplat(value)
                | CallArg::KwargSplat(value) => {
                    self.expression(value);
                }
            }
        }
    }

    /// A chain of look-ups down to its root.
    fn chain(&mut self, expression: &Expr<'_>) {
        let span = expression.span();
        let (root, links) = links(expression);
        for link in &links {
            if let Link::Computed(subscript) = link {
                self.expression(subscript);
            }
        }
        let Expr::Var(var) = root else {
            self.expression(root);
            return;
        };
        if self.is_bound(var.id) {
            return;
        }
        let (path, computed) = constant_path(&links);
        // The root starts the chain; a chain's own span may begin at its last link.
        let start = (var.span().start_offset as usize).min(span.start_offset as usize);
        let range = start..span.end_offset as usize;
        let (guarded, asked) = (self.shelters > 0, self.guards.clone());
        self.found.reads.push(Read { root: var.id.to_owned(), path, computed, guarded, asked, range });
    }

    fn operate(&mut self, left: &Expr<'_>, right: &Expr<'_>, is_order: bool, takes_text: bool) {
        for (read, literal) in [(left, right), (right, left)] {
            let (Expr::Var(var), links) = links(read) else { continue };
            let Some(value) = literal.as_const() else { continue };
            let is_taken = match value.kind() {
                ValueKind::Number => true,
                ValueKind::String => takes_text,
                _ => false,
            };
            let (path, computed) = constant_path(&links);
            if is_taken && !computed && !self.is_bound(var.id) {
                let (root, range) = (var.id.to_owned(), range(literal.span()));
                self.found.operations.push(Operation { root, path, is_order, kind: value.kind(), range });
            }
        }
    }

    fn compare(&mut self, left: &Expr<'_>, right: &Expr<'_>, is_in: bool) {
        for (index, (read, literal)) in [(left, right), (right, left)].into_iter().enumerate() {
            let (Expr::Var(var), links) = links(read) else { continue };
            let Some(value) = literal.as_const() else { continue };
            // `in` asks about the items of a list; a text in a text, or a literal in a list, is another question.
            if self.is_bound(var.id) || (is_in && (index == 1 || value.kind() != ValueKind::Seq)) {
                continue;
            }
            let (path, computed) = constant_path(&links);
            if computed {
                continue;
            }
            let values = if value.kind() == ValueKind::Seq {
                value.try_iter().map(Iterator::collect).unwrap_or_default()
            } else {
                vec![value]
            };
            for value in values {
                self.found.comparisons.push(Comparison {
                    root: var.id.to_owned(),
                    path: path.clone(),
                    literal: value.to_string(),
                    is_text: value.kind() == ValueKind::String,
                    kind: value.kind(),
                    range: range(literal.span()),
                });
            }
        }
    }
}

enum Link<'e, 's> {
    Name(String),
    Computed(&'e Expr<'s>),
}

fn links<'e, 's>(expression: &'e Expr<'s>) -> (&'e Expr<'s>, Vec<Link<'e, 's>>) {
    let mut links = Vec::new();
    let mut at = expression;
    loop {
        match at {
            Expr::GetAttr(node) => {
                links.push(Link::Name(node.name.to_owned()));
                at = &node.expr;
            }
            Expr::GetItem(node) => {
                let constant = node.subscript_expr.as_const();
                links.push(match constant.as_ref().and_then(|value| value.as_str()) {
                    Some(name) => Link::Name(name.to_owned()),
                    None => Link::Computed(&node.subscript_expr),
                });
                at = &node.expr;
            }
            _ => {
                links.reverse();
                return (at, links);
            }
        }
    }
}

/// The names up to the first computed one.
fn constant_path(links: &[Link<'_, '_>]) -> (Vec<String>, bool) {
    let mut path = Vec::new();
    for link in links {
        match link {
            Link::Name(name) => path.push(name.clone()),
            Link::Computed(_) => return (path, true),
        }
    }
    (path, false)
}
