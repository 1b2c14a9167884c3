//! "Did you mean": the nearest of the known names.
//!
//! Invariant: a suggestion is close enough that a slip of the fingers explains the difference.

/// The known name that `word` most likely stands for.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = match word.chars().count() {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        _ => 3,
    };
    known
        .into_iter()
        .filter(|name| *name != word)
        .filter_map(|name| within(word, name, allowed).map(|distance| (distance, name)))
        .min()
        .map(|(_, name)| name)
}

/// The hint that goes with an unknown word: the nearest known one, else the list where it is short.
#[must_use]
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(name) = nearest(word, known.clone()) {
        return format!("Did you mean `{name}`?");
    }
    let names: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() || names.len() > 12 { String::new() } else { format!("Known here: {}.", names.join(", ")) }
}

/// Whether a free key is so near to a known one that it must be a slip.
#[must_use]
pub fn is_slip(word: &str, known: &str) -> bool {
    let allowed = match word.chars().count().min(known.chars().count()) {
        0..=3 => 0,
        4..=6 => 1,
        _ => 2,
    };
    word != known && within(word, known, allowed).is_some()
}

/// Optimal string alignment distance, if it is at most `allowed`.
fn within(left: &str, right: &str, allowed: usize) -> Option<usize> {
    let left: Vec<char> = left.to_lowercase().chars().take(80).collect();
    let right: Vec<char> = right.to_lowercase().chars().take(80).collect();
    if left.len().abs_diff(right.len()) > allowed {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let swap = i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b;
            let best = (above[j] + usize::from(a != b)).min(above[j + 1] + 1).min(row[j] + 1);
            row.push(if swap { best.min(before[j - 1] + 1) } else { best });
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().filter(|distance| *distance <= allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_fingers_is_recognised_and_another_word_is_not() {
        assert_eq!(nearest("exectuor", ["executor", "config"]), Some("executor"));
        assert_eq!(nearest("colour", ["executor", "config"]), None);
        assert!(is_slip("temperture", "temperature"));
        assert!(!is_slip("key_phrases", "temperature"));
        assert!(!is_slip("temperature", "temperature"));
    }
}
