//! Bounds a template's depth by its tokens, before a tree is made of it.
//!
//! Invariant: an accepted template's tree is at most a few hundred levels deep. MiniJinja bounds its own recursion, but
//! not chains: `a + a + a ...` and `{% elif %}` grow the tree one level each without recursing while they are read.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::Fault;
use crate::limits;

pub(super) fn check(text: &str, is_expression: bool) -> Result<(), Fault> {
    // Operators seen in each open bracket since its last comma: their sum bounds the depth.
    let mut chains = vec![0_usize];
    let mut branches = 0;
    let mut opens_block = false;
    for token in tokenize(text, is_expression, SyntaxConfig::default()) {
        // What cannot be tokenised, the parser reports with a better message.
        let Ok((token, span)) = token else { return Ok(()) };
        let at_open = std::mem::replace(&mut opens_block, false);
        match token {
            Token::TemplateData(_) | Token::VariableStart | Token::VariableEnd | Token::BlockEnd => chains = vec![0],
            Token::BlockStart => {
                chains = vec![0];
                opens_block = true;
            }
            Token::Ident("elif") if at_open => branches += 1,
            Token::Ident("not" | "and" | "or" | "in" | "is" | "if" | "else") => bump(&mut chains),
            Token::Ident(_) | Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => {
            }
            Token::Comma => {
                if let Some(top) = chains.last_mut() {
                    *top = 0;
                }
            }
            Token::BracketOpen | Token::ParenOpen | Token::BraceOpen => {
                bump(&mut chains);
                chains.push(0);
            }
            Token::BracketClose | Token::ParenClose | Token::BraceClose => {
                if chains.len() > 1 {
                    chains.pop();
                }
            }
            Token::Colon | Token::Assign => {}
            _ => bump(&mut chains),
        }
        if chains.iter().sum::<usize>() > limits::EXPRESSION_OPERATORS || branches > limits::ELIF_BRANCHES {
            return Err(Fault {
                message: format!(
                    "the template chains or nests more than {} operators or {} branches",
                    limits::EXPRESSION_OPERATORS,
                    limits::ELIF_BRANCHES
                ),
                line: usize::from(span.start_line).max(1),
                too_complex: true,
            });
        }
    }
    Ok(())
}

fn bump(chains: &mut [usize]) {
    if let Some(top) = chains.last_mut() {
        *top += 1;
    }
}
