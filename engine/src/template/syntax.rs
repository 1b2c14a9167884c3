//! One walk over a parsed template, for everybody who looks at templates without running them.
//!
//! Invariant: every statement and every expression is visited exactly once, parents before children.

use minijinja::machinery::ast::{CallArg, Expr, Macro, Stmt};

/// What a visitor is shown.
pub(super) enum Seen<'n, 's> {
    Stmt(&'n Stmt<'s>),
    /// `accessed`: the expression is only the base of an attribute or item access.
    Expr {
        expr: &'n Expr<'s>,
        accessed: bool,
    },
    /// The template gives this name a value of its own, until the block around it ends.
    Binds(&'n str),
    /// A block of names begins.
    Enter,
    Leave,
}

type Visit<'v> = &'v mut dyn FnMut(&Seen<'_, '_>);

pub(super) fn walk_stmts(stmts: &[Stmt<'_>], visit: Visit<'_>) {
    for stmt in stmts {
        walk_stmt(stmt, visit);
    }
}

pub(super) fn walk_stmt(stmt: &Stmt<'_>, visit: Visit<'_>) {
    visit(&Seen::Stmt(stmt));
    match stmt {
        Stmt::Template(node) => walk_stmts(&node.children, visit),
        Stmt::EmitExpr(node) => walk_expr(&node.expr, false, visit),
        Stmt::EmitRaw(_) | Stmt::Continue(_) | Stmt::Break(_) => {}
        Stmt::ForLoop(node) => {
            walk_expr(&node.iter, false, visit);
            visit(&Seen::Enter);
            bind(&node.target, visit);
            walk_some(node.filter_expr.as_ref(), visit);
            walk_stmts(&node.body, visit);
            visit(&Seen::Leave);
            scoped(&node.else_body, visit);
        }
        Stmt::IfCond(node) => {
            walk_expr(&node.expr, false, visit);
            walk_stmts(&node.true_body, visit);
            walk_stmts(&node.false_body, visit);
        }
        Stmt::WithBlock(node) => {
            visit(&Seen::Enter);
            for (target, value) in &node.assignments {
                walk_expr(value, false, visit);
                bind(target, visit);
            }
            walk_stmts(&node.body, visit);
            visit(&Seen::Leave);
        }
        Stmt::Set(node) => {
            walk_expr(&node.expr, false, visit);
            bind(&node.target, visit);
        }
        Stmt::SetBlock(node) => {
            walk_some(node.filter.as_ref(), visit);
            scoped(&node.body, visit);
            bind(&node.target, visit);
        }
        Stmt::AutoEscape(node) => {
            walk_expr(&node.enabled, false, visit);
            walk_stmts(&node.body, visit);
        }
        Stmt::FilterBlock(node) => {
            walk_expr(&node.filter, false, visit);
            scoped(&node.body, visit);
        }
        Stmt::Block(node) => scoped(&node.body, visit),
        Stmt::Import(node) => {
            walk_expr(&node.expr, false, visit);
            bind(&node.name, visit);
        }
        Stmt::FromImport(node) => {
            walk_expr(&node.expr, false, visit);
            for (name, alias) in &node.names {
                bind(alias.as_ref().unwrap_or(name), visit);
            }
        }
        Stmt::Extends(node) => walk_expr(&node.name, false, visit),
        Stmt::Include(node) => walk_expr(&node.name, false, visit),
        Stmt::Macro(node) => {
            visit(&Seen::Binds(node.name));
            walk_macro(node, visit);
        }
        Stmt::CallBlock(node) => {
            walk_call(&node.call.expr, &node.call.args, visit);
            walk_macro(&node.macro_decl, visit);
        }
        Stmt::Do(node) => walk_call(&node.call.expr, &node.call.args, visit),
    }
}

fn walk_macro(node: &Macro<'_>, visit: Visit<'_>) {
    visit(&Seen::Enter);
    walk_exprs(&node.defaults, visit);
    for argument in &node.args {
        bind(argument, visit);
    }
    walk_stmts(&node.body, visit);
    visit(&Seen::Leave);
}

fn scoped(stmts: &[Stmt<'_>], visit: Visit<'_>) {
    visit(&Seen::Enter);
    walk_stmts(stmts, visit);
    visit(&Seen::Leave);
}

fn bind(target: &Expr<'_>, visit: Visit<'_>) {
    match target {
        Expr::Var(var) => visit(&Seen::Binds(var.id)),
        Expr::List(list) => list.items.iter().for_each(|item| bind(item, visit)),
        Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| bind(item, visit)),
        // `{% set ns.x = ... %}` changes something that is bound already.
        _ => {}
    }
}

pub(super) fn walk_expr(expr: &Expr<'_>, accessed: bool, visit: Visit<'_>) {
    visit(&Seen::Expr { expr, accessed });
    match expr {
        Expr::Var(_) | Expr::Const(_) => {}
        Expr::Slice(node) => {
            walk_expr(&node.expr, false, visit);
            walk_some(node.start.as_ref(), visit);
            walk_some(node.stop.as_ref(), visit);
            walk_some(node.step.as_ref(), visit);
        }
        Expr::UnaryOp(node) => walk_expr(&node.expr, false, visit),
        Expr::BinOp(node) => {
            walk_expr(&node.left, false, visit);
            walk_expr(&node.right, false, visit);
        }
        Expr::Compare(node) => {
            walk_expr(&node.expr, false, visit);
            for op in &node.ops {
                walk_expr(&op.expr, false, visit);
            }
        }
        Expr::IfExpr(node) => {
            walk_expr(&node.test_expr, false, visit);
            walk_expr(&node.true_expr, false, visit);
            walk_some(node.false_expr.as_ref(), visit);
        }
        Expr::Filter(node) => {
            walk_some(node.expr.as_ref(), visit);
            walk_args(&node.args, visit);
        }
        Expr::Test(node) => {
            walk_expr(&node.expr, false, visit);
            walk_args(&node.args, visit);
        }
        Expr::GetAttr(node) => walk_expr(&node.expr, true, visit),
        Expr::GetItem(node) => {
            walk_expr(&node.expr, true, visit);
            walk_expr(&node.subscript_expr, false, visit);
        }
        Expr::Call(node) => walk_call(&node.expr, &node.args, visit),
        Expr::List(node) => walk_exprs(&node.items, visit),
        Expr::Tuple(node) => walk_exprs(&node.items, visit),
        Expr::Map(node) => {
            walk_exprs(&node.keys, visit);
            walk_exprs(&node.values, visit);
        }
    }
}

fn walk_call(callee: &Expr<'_>, args: &[CallArg<'_>], visit: Visit<'_>) {
    match callee {
        // `steps.x.items()`: the method's name is no field; what it is called on is used as a value.
        Expr::GetAttr(method) => walk_expr(&method.expr, false, visit),
        other => walk_expr(other, true, visit),
    }
    walk_args(args, visit);
}

fn walk_exprs(exprs: &[Expr<'_>], visit: Visit<'_>) {
    for expr in exprs {
        walk_expr(expr, false, visit);
    }
}

fn walk_some(expr: Option<&Expr<'_>>, visit: Visit<'_>) {
    if let Some(expr) = expr {
        walk_expr(expr, false, visit);
    }
}

fn walk_args(args: &[CallArg<'_>], visit: Visit<'_>) {
    for arg in args {
        match arg {
            CallArg::Pos(expr) | CallArg::Kwarg(_, expr) | CallArg::PosSplat(expr) | CallArg::KwargSplat(expr) => {
                walk_expr(expr, false, visit);
            }
        }
    }
}
