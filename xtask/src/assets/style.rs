//! One stylesheet out of `style/`: imports inlined in order, comments and indentation dropped, addresses hashed.
//!
//! `style/main.css` gives the order by `@import "./x.css";` or `@import "./x.css" layer(name);`. Nothing is parsed beyond
//! that, so the cascade is the author's.
use crate::{failure::Failure, inputs};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

const DEPTH: u8 = 4;

pub(crate) fn bundle(folder: &Path) -> Result<String, Failure> {
    let main = folder.join("main.css");
    if main.exists() {
        return inline(&main, DEPTH);
    }
    let mut text = String::new();
    for file in inputs::files(folder)? {
        text.push_str(&inline(&file, 0)?);
    }
    Ok(text)
}

fn inline(file: &Path, depth: u8) -> Result<String, Failure> {
    let text = fs::read_to_string(file).map_err(Failure::file(file))?;
    let mut result = String::new();
    for line in strip(&text).lines().map(str::trim).filter(|line| !line.is_empty()) {
        let Some(import) = line.strip_prefix("@import") else {
            result.push_str(line);
            result.push('\n');
            continue;
        };
        let problem = |problem: &str| Failure::Style { file: file.to_owned(), problem: format!("{problem}: {line}") };
        if depth == 0 {
            return Err(problem("imports are nested too deeply"));
        }
        let (name, layer) = parse_import(import).ok_or_else(|| problem("write @import \"./x.css\"; on a line"))?;
        let content = inline(&sibling(file, name), depth - 1)?;
        match layer {
            Some(layer) => result.push_str(&format!("@layer {layer} {{\n{content}}}\n")),
            None => result.push_str(&content),
        }
    }
    Ok(result)
}

fn sibling(file: &Path, name: &str) -> PathBuf {
    file.parent().unwrap_or_else(|| Path::new("")).join(name)
}

fn parse_import(rest: &str) -> Option<(&str, Option<&str>)> {
    let rest = rest.trim().strip_suffix(';')?;
    let rest = rest.strip_prefix("url(").unwrap_or(rest);
    let quote = rest.chars().next().filter(|first| matches!(first, '"' | '\''))?;
    let (name, rest) = rest[1..].split_once(quote)?;
    let rest = rest.trim_start_matches(')').trim();
    if rest.is_empty() {
        return Some((name, None));
    }
    Some((name, Some(rest.strip_prefix("layer(")?.strip_suffix(')')?)))
}

/// Drops comments, but not what looks like one inside a string.
fn strip(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut quote = None;
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        if quote.is_none() && rest.starts_with("/*") {
            rest = rest.find("*/").map_or("", |end| &rest[end + 2..]);
            continue;
        }
        let mut length = next.len_utf8();
        match quote {
            Some(_) if next == '\\' => length += rest[length..].chars().next().map_or(0, char::len_utf8),
            Some(open) if next == open => quote = None,
            None if matches!(next, '"' | '\'') => quote = Some(next),
            _ => {}
        }
        result.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    result
}

/// `url(/assets/fonts/x.woff2)` names a public file by its logical name and becomes its hashed address.
pub(crate) fn rewrite_addresses(style: &str, hashed: &BTreeMap<String, String>) -> Result<String, Failure> {
    const MARK: &str = "/assets/";
    let mut result = String::with_capacity(style.len());
    let mut rest = style;
    while let Some(at) = rest.find(MARK) {
        let (before, after) = rest.split_at(at + MARK.len());
        let end = after.find([')', '"', '\'', ' ', '#', '?']).unwrap_or(after.len());
        let name = &after[..end];
        let file = hashed.get(name).ok_or_else(|| Failure::Style {
            file: PathBuf::from("style"),
            problem: format!("url(/assets/{name}) names no file in public/"),
        })?;
        result.push_str(before);
        result.push_str(file);
        rest = &after[end..];
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_inlined_in_order_and_in_their_layer() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write(
            "main.css",
            "@layer base, parts;\n/* order */\n@import \"./base.css\" layer(base);\n@import './parts.css';\n",
        );
        write("base.css", "a { content: \"/* kept */\"; } /* dropped */\n");
        write("parts.css", "  b { color: red }\n");
        let expected = "@layer base, parts;\n@layer base {\na { content: \"/* kept */\"; }\n}\nb { color: red }\n";
        assert_eq!(bundle(folder.path()).unwrap(), expected);
    }

    #[test]
    fn a_missing_import_or_address_fails_the_build() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("main.css"), "@import \"./gone.css\";\n").unwrap();
        assert!(bundle(folder.path()).is_err());
        let hashed = BTreeMap::from([("f.woff2".to_owned(), "f.1.woff2".to_owned())]);
        assert_eq!(rewrite_addresses("url(\"/assets/f.woff2\")", &hashed).unwrap(), "url(\"/assets/f.1.woff2\")");
        assert!(rewrite_addresses("url(/assets/g.woff2)", &hashed).is_err());
    }
}
