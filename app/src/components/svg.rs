//! Drawings built as text: far lighter in the browser than views, and plain to test.
//!
//! Invariant: every text and attribute value passes through `escape`, so that user text can never become markup.

use std::fmt::{Display, Write};

use leptos::prelude::*;

/// A drawing under construction.
pub(crate) struct Svg {
    open: String,
    label: Option<String>,
    body: String,
}

impl Svg {
    /// A drawing with its own measure, `width` by `height` units.
    pub(crate) fn new(width: impl Display, height: impl Display, class: &str) -> Self {
        Self {
            open: format!(
                "<svg class=\"{}\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\"",
                escape(class)
            ),
            label: None,
            body: String::new(),
        }
    }

    /// A drawing without a measure: positions across are in percent of the width it gets.
    pub(crate) fn fluid(class: &str) -> Self {
        Self { open: format!("<svg class=\"{}\"", escape(class)), label: None, body: String::new() }
    }

    /// What the drawing says, for those who do not see it. Without it the drawing is decoration.
    pub(crate) fn labelled(mut self, label: &str) -> Self {
        self.label = Some(escape(label));
        self
    }

    /// One element with attributes; values are escaped.
    pub(crate) fn element(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        self.start(name, attributes);
        self.end(name);
    }

    /// Opens an element that [`Self::end`] closes.
    pub(crate) fn start(&mut self, name: &str, attributes: &[(&str, &dyn Display)]) {
        let _ = write!(self.body, "<{name}");
        for (key, value) in attributes {
            let _ = write!(self.body, " {key}=\"{}\"", escape(&value.to_string()));
        }
        self.body.push('>');
    }

    pub(crate) fn end(&mut self, name: &str) {
        let _ = write!(self.body, "</{name}>");
    }

    pub(crate) fn text(&mut self, attributes: &[(&str, &dyn Display)], text: &str) {
        self.start("text", attributes);
        self.body.push_str(&escape(text));
        self.end("text");
    }

    /// What a pointer resting on the open element is told.
    pub(crate) fn tip(&mut self, text: &str) {
        let _ = write!(self.body, "<title>{}</title>", escape(text));
    }

    /// Markup that this program wrote itself (an icon, a pattern).
    pub(crate) fn own(&mut self, markup: &'static str) {
        self.body.push_str(markup);
    }

    pub(crate) fn rect(
        &mut self,
        x: impl Display,
        y: impl Display,
        width: impl Display,
        height: impl Display,
        radius: u8,
        class: &str,
    ) {
        self.element(
            "rect",
            &[("x", &x), ("y", &y), ("width", &width), ("height", &height), ("rx", &radius), ("class", &class)],
        );
    }

    pub(crate) fn finish(self) -> String {
        let role = match &self.label {
            Some(label) => format!(" role=\"img\" aria-label=\"{label}\""),
            None => " aria-hidden=\"true\"".to_owned(),
        };
        format!("{}{role} focusable=\"false\">{}</svg>", self.open, self.body)
    }

    /// The drawing inside a box of its own.
    pub(crate) fn into_view(self, class: &'static str) -> AnyView {
        view! { <span class=class inner_html=self.finish()></span> }.into_any()
    }
}

pub(crate) fn escape(text: &str) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_text_never_becomes_markup() {
        let mut svg = Svg::fluid("x");
        svg.text(&[("data-name", &"\"><script>")], "</text><script>alert(1)</script>");
        let drawn = svg.labelled("a \" onload=\"x").finish();
        assert!(!drawn.contains("<script>"), "{drawn}");
        assert!(!drawn.contains("\" onload"), "{drawn}");
    }
}
