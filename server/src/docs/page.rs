//! The pages as HTML text.
//!
//! Invariant: everything that comes from a document goes through [`escaped`].

use std::fmt::Write;

use serde_json::Value;

use super::written;

/// The operations by tag, each with its parameters, body and answers.
pub(super) fn reference(document: &Value) -> String {
    let mut by_tag: Vec<(String, Vec<Operation<'_>>)> = Vec::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            let tag = operation["tags"][0].as_str().unwrap_or("Other").to_owned();
            let operation = Operation { path, method, operation };
            match by_tag.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, operations)) => operations.push(operation),
                None => by_tag.push((tag, vec![operation])),
            }
        }
    }
    let mut body = String::from("<h1>REST interface</h1>");
    let description = document["info"]["description"].as_str().unwrap_or_default();
    write(&mut body, format_args!("<p>{}</p>", inline(description)));
    body.push_str(
        "<p>The same as a document for programs: <a href=\"/api/v1/openapi.json\">OpenAPI 3.1</a>. Fetched with an API key, \
         it also holds that tenant's flows as typed operations.</p>",
    );
    body.push_str(START);
    body.push_str("<nav aria-label=\"Operations\"><ul>");
    for (_, operations) in &by_tag {
        for operation in operations {
            write(
                &mut body,
                format_args!("<li><a href=\"#{}\">{}</a></li>", operation.anchor(), escaped(operation.summary())),
            );
        }
    }
    body.push_str("</ul></nav>");
    for (tag, operations) in &by_tag {
        write(&mut body, format_args!("<h2>{}</h2>", escaped(tag)));
        for operation in operations {
            operation.write(&mut body, document);
        }
    }
    page("REST interface", &body)
}

const START: &str = "<h2>Start</h2><pre>curl http://127.0.0.1:8080/api/v1/flows \\\n  -H \"Authorization: Bearer $WEIR_API_KEY\"\n\n\
curl http://127.0.0.1:8080/api/v1/flows/hello/run \\\n  -H \"Authorization: Bearer $WEIR_API_KEY\" \\\n  -H \"Content-Type: application/json\" \\\n  -d '{\"name\": \"Ada\"}'</pre>";

struct Operation<'a> {
    path: &'a str,
    method: &'a str,
    operation: &'a Value,
}

impl Operation<'_> {
    fn anchor(&self) -> String {
        escaped(self.operation["operationId"].as_str().unwrap_or(self.path))
    }

    fn summary(&self) -> &str {
        self.operation["summary"].as_str().unwrap_or(self.path)
    }

    fn write(&self, out: &mut String, document: &Value) {
        let anchor = self.anchor();
        write(
            out,
            format_args!(
                "<article id=\"{anchor}\"><h3><span class=\"verb\">{}</span><code>{}</code></h3><p>{}.</p>",
                self.method.to_uppercase(),
                escaped(self.path),
                escaped(self.summary()),
            ),
        );
        if let Some(description) = self.operation["description"].as_str().filter(|text| !text.is_empty()) {
            write(out, format_args!("<p class=\"quiet\">{}</p>", inline(description)));
        }
        self.parameters(out);
        for (media_type, content) in self.operation["requestBody"]["content"].as_object().into_iter().flatten() {
            schema(out, &format!("Body, {media_type}"), &content["schema"], document);
        }
        for (status, response) in self.operation["responses"].as_object().into_iter().flatten() {
            let content = response["content"].as_object().and_then(|content| content.values().next());
            let words = response["description"].as_str().unwrap_or_default();
            let name = if status == "default" { "Otherwise" } else { status };
            match content {
                Some(content) if status != "default" => {
                    schema(out, &format!("{name} {words}"), &content["schema"], document);
                }
                _ => write(out, format_args!("<p><strong>{}</strong> {}</p>", escaped(name), escaped(words))),
            }
        }
        out.push_str("</article>");
    }

    fn parameters(&self, out: &mut String) {
        let Some(parameters) = self.operation["parameters"].as_array().filter(|list| !list.is_empty()) else { return };
        out.push_str("<table><thead><tr><th>Parameter</th><th>In</th><th>Meaning</th></tr></thead><tbody>");
        for parameter in parameters {
            let text = |name: &str| escaped(parameter[name].as_str().unwrap_or_default());
            let meaning = inline(parameter["description"].as_str().unwrap_or_default());
            write(
                out,
                format_args!(
                    "<tr><td><code>{}</code></td><td>{}</td><td>{meaning}</td></tr>",
                    text("name"),
                    text("in")
                ),
            );
        }
        out.push_str("</tbody></table>");
    }
}

fn schema(out: &mut String, title: &str, schema: &Value, document: &Value) {
    let shown = resolved(schema, document, 0);
    let text = serde_json::to_string_pretty(&shown).unwrap_or_default();
    write(out, format_args!("<details><summary>{}</summary><pre>{}</pre></details>", escaped(title), escaped(&text)));
}

/// References replaced by what they point at, three levels deep; deeper ones stay names.
fn resolved(schema: &Value, document: &Value, depth: u32) -> Value {
    match schema {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                return match document.pointer(reference.trim_start_matches('#')) {
                    Some(target) if depth < 3 => resolved(target, document, depth + 1),
                    _ => Value::String(reference.rsplit('/').next().unwrap_or(reference).to_owned()),
                };
            }
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), resolved(value, document, depth))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(|item| resolved(item, document, depth)).collect()),
        plain => plain.clone(),
    }
}

/// A whole page around a body.
pub(super) fn page(title: &str, body: &str) -> String {
    let pages =
        written::PAGES.iter().map(|page| format!("<a href=\"/docs/{}\">{}</a>", page.slug, escaped(page.title)));
    let navigation = std::iter::once("<a href=\"/docs\">REST interface</a>".to_owned()).chain(pages);
    let navigation = navigation.collect::<Vec<_>>().join(" · ");
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width, initial-scale=1\"><title>{} · Weir</title><link rel=\"stylesheet\" \
         href=\"/docs/docs.css\"></head><body><header><nav aria-label=\"Documentation\">{navigation}</nav></header>\
         <main>{body}</main></body></html>",
        escaped(title)
    )
}

/// Text with `code` in backquotes.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (index, part) in text.split('`').enumerate() {
        let part = escaped(part);
        if index % 2 == 1 {
            write(&mut out, format_args!("<code>{part}</code>"));
        } else {
            out.push_str(&part);
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

fn write(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _ = out.write_fmt(arguments);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_is_unescaped() {
        let document = crate::api::openapi::as_json(&crate::api::openapi::of_routes());
        let page = reference(&document);
        for (path, _) in document["paths"].as_object().unwrap() {
            assert!(page.contains(&escaped(path)), "{path}");
        }
        assert_eq!(inline("a `<b>` & c"), "a <code>&lt;b&gt;</code> &amp; c");
    }
}
