//! Sentences for people, in which names stand between backticks, as the services write them.

use leptos::prelude::*;

/// A sentence with its names as code. One whose backticks are no pairs stays as it is.
pub(crate) fn prose(text: &str) -> AnyView {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return text.to_owned().into_any();
    }
    parts
        .into_iter()
        .enumerate()
        .filter(|(_, part)| !part.is_empty())
        .map(|(place, part)| match place % 2 {
            0 => part.to_owned().into_any(),
            _ => view! { <code>{part.to_owned()}</code> }.into_any(),
        })
        .collect_view()
        .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the marks that lists of views leave for the browser.
    fn html(text: &str) -> String {
        prose(text).to_html().replace("<!>", "")
    }

    #[test]
    fn names_between_backticks_become_code_and_a_lone_backtick_stays() {
        assert_eq!(html("The step `a<b` waits."), "The step <code>a&lt;b</code> waits.");
        assert_eq!(html("5 o`clock"), "5 o`clock");
    }
}
