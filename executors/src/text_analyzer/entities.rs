//! Addresses, dates, amounts and names, by rules.
//!
//! Invariant: finds do not overlap; a checkable number (IBAN) is checked; positions count characters, not bytes.

use std::sync::LazyLock;

use regex::Regex;
use schemars::JsonSchema;
use serde::Serialize;

use super::dates;
use super::words::Text;

const MOST: usize = 2_000;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Entity {
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// As it stands in the text.
    pub(crate) text: String,
    /// In a form for programs, where there is one: an ISO date, an IBAN without blanks, an amount as `EUR 1234.50`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    /// Where it begins, in characters.
    pub(crate) start: usize,
    /// Where it ends, in characters.
    pub(crate) end: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Url,
    Email,
    Iban,
    Date,
    Money,
    Percent,
    Phone,
    Organization,
    Name,
}

#[expect(clippy::expect_used, reason = "the patterns are constants that a test compiles")]
fn pattern(source: &str) -> Regex {
    Regex::new(source).expect("an entity pattern compiles")
}

static URL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)\b(?:https?://|www\.)[^\s<>"'()\[\]{}]+[^\s<>"'()\[\]{}.,;:!?]"#));
static EMAIL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)\b[a-z0-9][a-z0-9._%+-]{0,63}@(?:[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?\.)+[a-z]{2,24}\b")
});
static IBAN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b"));
static MONEY: LazyLock<Regex> = LazyLock::new(|| {
    let amount = r"\d{1,3}(?:[.,'’\u{a0}\u{202f} ]\d{3})+(?:[.,]\d{1,2})?|\d+(?:[.,]\d{1,2})?";
    let code = "USD|EUR|GBP|CHF|JPY|CNY|CAD|AUD|SEK|NOK|DKK|PLN|CZK|INR|BRL|MXN";
    pattern(&format!(
        r"(?P<before>[$€£¥₹]|\b(?:{code})\b)\s?(?P<a>{amount})(?:\s?(?P<ascale>million|billion|thousand|[kmb])\b)?|\b(?P<b>{amount})(?:\s?(?P<bscale>million|billion|thousand|Millionen|Milliarden))?\s?(?P<after>[€$£¥₹]|\b(?:{code}|euros?|dollars?|Euro|Dollar|pounds|francs?)\b)"
    ))
});
static PERCENT: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"[-+]?\b\d+(?:[.,]\d+)?\s?(?:%|percent\b|Prozent\b|per cent\b)"));
static PHONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:\+|\b00)[1-9]\d{0,2}[\s./()-]{0,3}(?:\(?\d{1,5}\)?[\s./-]?){2,6}\d|\(\d{3}\)\s?\d{3}[-\s]\d{4}\b|\b\d{3}[-.]\d{3}[-.]\d{4}\b",
    )
});
static NAME: LazyLock<Regex> = LazyLock::new(|| {
    let word = r"\p{Lu}[\p{L}'’-]*\p{Ll}[\p{L}]*|\p{Lu}{2,}|\p{Lu}\.";
    pattern(&format!(
        r"(?:{word})(?:[ \u{{a0}}](?:(?:de|da|di|del|der|den|van|von|la|le|of|and|&)[ \u{{a0}}])?(?:{word}))*(?:,? (?:Inc|Ltd|LLC|Corp|GmbH|AG|SE|KG|S\.A|SARL|BV|plc|Co)\b\.?)?"
    ))
});
static ORGANIZATION: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?:,? (?:Inc|Ltd|LLC|Corp|GmbH|AG|SE|KG|S\.A|SARL|BV|plc|Co)\.?|\b(?:University|Universität|Bank|Institute|Ministry|Company|Corporation|Foundation|Association|Group|Holdings?|Council|Agency|Commission))$|^(?:University|Bank|Ministry|Institute|Council) of ",
    )
});

pub(super) fn of(text: &Text<'_>) -> Vec<Entity> {
    let mut finds = Finds::default();
    finds.add_all(text.whole, &URL, Kind::Url, |found| Some(found.to_owned()));
    finds.add_all(text.whole, &EMAIL, Kind::Email, |found| Some(found.to_lowercase()));
    finds.add_ibans(text.whole);
    for found in dates::DATES.captures_iter(text.whole) {
        if let Some(whole) = found.get(0) {
            finds.add(Kind::Date, whole.range(), whole.as_str(), dates::value(&found));
        }
    }
    for found in MONEY.captures_iter(text.whole) {
        if let Some(whole) = found.get(0) {
            finds.add(Kind::Money, whole.range(), whole.as_str().trim(), money(&found));
        }
    }
    finds.add_all(text.whole, &PERCENT, Kind::Percent, |_| None);
    finds.add_all(text.whole, &PHONE, Kind::Phone, |found| {
        let digits: String = found.chars().filter(|c| c.is_ascii_digit() || *c == '+').collect();
        Some(digits)
    });
    finds.add_names(text);
    finds.into_entities(text.whole)
}

#[derive(Default)]
struct Finds {
    found: Vec<(std::ops::Range<usize>, Kind, String, Option<String>)>,
}

impl Finds {
    fn add(&mut self, kind: Kind, range: std::ops::Range<usize>, text: &str, value: Option<String>) {
        let free = self.found.iter().all(|(taken, ..)| range.end <= taken.start || range.start >= taken.end);
        if free && self.found.len() < MOST {
            self.found.push((range, kind, text.to_owned(), value));
        }
    }

    fn add_all(&mut self, text: &str, pattern: &Regex, kind: Kind, value: impl Fn(&str) -> Option<String>) {
        for found in pattern.find_iter(text).take(MOST) {
            self.add(kind, found.range(), found.as_str(), value(found.as_str()));
        }
    }

    fn add_ibans(&mut self, text: &str) {
        for found in IBAN.find_iter(text) {
            // The next word may look like one more group: the check digits tell where the number ends.
            let mut shown = found.as_str();
            loop {
                let bare: String = shown.chars().filter(|c| *c != ' ').collect();
                if is_iban(&bare) {
                    self.add(Kind::Iban, found.start()..found.start() + shown.len(), shown, Some(bare));
                    break;
                }
                let Some((shorter, _)) = shown.rsplit_once(' ') else { break };
                shown = shorter;
            }
        }
    }

    /// Runs of capitalised words. One word alone counts only inside a sentence: at its beginning every word is capitalised.
    fn add_names(&mut self, text: &Text<'_>) {
        // German capitalises every noun, so that capitals tell nothing there unless two meet.
        let all_nouns = text.tongue().code.as_deref() == Some("de");
        for sentence in &text.sentences {
            let base = sentence.as_ptr() as usize - text.whole.as_ptr() as usize;
            for found in NAME.find_iter(sentence) {
                let mut shown = found.as_str();
                let mut start = found.start();
                // `The Northwind Company`, `Dear Anna`: the first word is not part of the name.
                while let Some((first, rest)) = shown.split_once(' ') {
                    if !text.is_stopword(&first.to_lowercase()) && !is_address(first) {
                        break;
                    }
                    start += first.len() + 1;
                    shown = rest;
                }
                let words = shown.split(' ').count();
                let alone = words == 1;
                let shouted = shown.chars().all(|c| !c.is_lowercase());
                if shown.chars().count() < 3
                    || (alone
                        && (found.start() == 0 || all_nouns || shouted || text.is_stopword(&shown.to_lowercase())))
                    || shown.split(' ').all(|word| text.is_stopword(&word.to_lowercase()))
                {
                    continue;
                }
                let kind = if ORGANIZATION.is_match(shown) { Kind::Organization } else { Kind::Name };
                let at = base + start;
                self.add(kind, at..at + shown.len(), shown, None);
            }
        }
    }

    fn into_entities(mut self, text: &str) -> Vec<Entity> {
        self.found.sort_by_key(|(range, ..)| range.start);
        let mut characters = 0;
        let mut bytes = 0;
        let entity = |(range, kind, shown, value): (std::ops::Range<usize>, Kind, String, Option<String>)| {
            characters += text[bytes..range.start].chars().count();
            bytes = range.start;
            let start = characters;
            Entity { kind, end: start + shown.chars().count(), text: shown, value, start }
        };
        self.found.into_iter().map(entity).collect()
    }
}

fn is_address(word: &str) -> bool {
    matches!(
        word,
        "Dear"
            | "Hello"
            | "Hi"
            | "Mr."
            | "Mrs."
            | "Ms."
            | "Dr."
            | "Herr"
            | "Frau"
            | "Madame"
            | "Monsieur"
            | "Liebe"
            | "Lieber"
            | "Sehr"
    )
}

/// ISO 13616: the first four characters to the end, letters as numbers, remainder 1 of 97.
fn is_iban(bare: &str) -> bool {
    if !(15..=34).contains(&bare.len()) || !bare.is_ascii() {
        return false;
    }
    let (head, rest) = bare.split_at(4);
    let remainder = rest.chars().chain(head.chars()).try_fold(0_u32, |remainder, letter| {
        let number = letter.to_digit(36)?;
        Some((remainder * if number > 9 { 100 } else { 10 } + number) % 97)
    });
    remainder == Some(1)
}

fn money(found: &regex::Captures<'_>) -> Option<String> {
    let text = |name: &str| found.name(name).map(|part| part.as_str());
    let currency = match text("before").or_else(|| text("after"))?.to_lowercase().as_str() {
        "$" | "dollar" | "dollars" => "USD".to_owned(),
        "€" | "euro" | "euros" => "EUR".to_owned(),
        "£" | "pounds" => "GBP".to_owned(),
        "¥" => "JPY".to_owned(),
        "₹" => "INR".to_owned(),
        "franc" | "francs" => "CHF".to_owned(),
        code => code.to_uppercase(),
    };
    let mut amount = plain_number(text("a").or_else(|| text("b"))?);
    let zeros = match text("ascale").or_else(|| text("bscale")).unwrap_or_default().to_lowercase().as_str() {
        "" => 0,
        "k" | "thousand" => 3,
        "m" | "million" | "millionen" => 6,
        _ => 9,
    };
    if zeros > 0 {
        let (whole, part) = amount.split_once('.').unwrap_or((&amount, ""));
        let part: String = part.chars().chain(std::iter::repeat('0')).take(zeros).collect();
        amount = format!("{whole}{part}").trim_start_matches('0').to_owned();
    }
    Some(format!("{currency} {amount}"))
}

/// `1.234,50`, `1,234.50` and `1 234,50` are all 1234.50: the last mark with one or two digits behind it is the decimal one.
fn plain_number(text: &str) -> String {
    let decimal = text.rfind(['.', ',']).filter(|at| text.len() - at - 1 <= 2);
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).collect::<String>();
    match decimal {
        Some(at) => format!("{}.{}", digits(&text[..at]), digits(&text[at..])),
        None => digits(text),
    }
}
