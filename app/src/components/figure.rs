//! Key figures, money, shares and the empty state.

use domain::NanoUsd;
use leptos::prelude::*;

use crate::icon::Icon;

/// One figure with its name, leading to the rows behind it.
pub(crate) fn figure(name: &'static str, amount: String, unit: &'static str, href: String) -> AnyView {
    view! {
        <a class="figure" href=href>
            <span class="name">{name}</span>
            <span class="amount">{amount}{(!unit.is_empty()).then(|| view! { <span class="unit">{unit}</span> })}</span>
        </a>
    }
    .into_any()
}

/// A share as a percentage that never rounds a flaw away: 100 % only when it is whole.
pub(crate) fn percent(share: f64) -> String {
    let tenths = (share.clamp(0.0, 1.0) * 1000.0).floor();
    if tenths >= 1000.0 || tenths % 10.0 == 0.0 {
        format!("{:.0} %", tenths / 10.0)
    } else {
        format!("{:.1} %", tenths / 10.0)
    }
}

pub(crate) fn percent_or_dash(share: Option<f64>) -> AnyView {
    match share {
        Some(share) => percent(share).into_any(),
        None => dash(),
    }
}

pub(crate) fn money_or_dash(amount: Option<NanoUsd>) -> AnyView {
    match amount {
        Some(amount) => amount.to_string().into_any(),
        None => dash(),
    }
}

/// A missing value: a dash for the eye, a word for the ear.
pub(crate) fn dash() -> AnyView {
    view! { <span class="quiet"><span aria-hidden="true">"–"</span><span class="said">"none"</span></span> }.into_any()
}

/// 12,345
pub(crate) fn count_text(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Nothing here yet: why, and what to do next.
pub(crate) fn empty(icon: Icon, title: &'static str, text: &'static str, next: AnyView) -> AnyView {
    view! {
        <div class="empty">
            {icon.view()}
            <h2>{title}</h2>
            <p>{text}</p>
            <div class="row">{next}</div>
        </div>
    }
    .into_any()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_below_one_is_never_shown_as_whole() {
        assert_eq!(percent(1.0), "100 %");
        assert_eq!(percent(0.9999), "99.9 %");
        assert_eq!(percent(0.5), "50 %");
        assert_eq!(percent(0.0), "0 %");
    }

    #[test]
    fn counts_are_grouped_by_thousands() {
        assert_eq!(count_text(999), "999");
        assert_eq!(count_text(1000), "1,000");
        assert_eq!(count_text(1_234_567), "1,234,567");
    }
}
